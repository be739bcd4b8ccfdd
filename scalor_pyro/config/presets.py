"""Presets: one for each setting of the paper's experiments, and :func:`paper`, which undoes the deviations.

docs/results.md has their scores.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scalor_pyro.config.checks import require
from scalor_pyro.config.data import DataConfig
from scalor_pyro.config.model import ModelConfig
from scalor_pyro.config.run import RunConfig
from scalor_pyro.config.schedule import Schedule, constant
from scalor_pyro.config.train import ANYWHERE, Stage, TrainConfig

# Objects in the world (paper App. F: 2.9, 8, 20, 55 and 90 are visible on average).
COUNTS: dict[str, tuple[int, int]] = {"VLD": (2, 4), "LD": (8, 11), "MD": (18, 24), "HD": (50, 64), "VHD": (90, 110)}
# Pixels per frame.
SPEEDS: dict[str, tuple[float, float]] = {
    "VLD": (1.0, 3.0),
    "LD": (1.0, 3.0),
    "MD": (1.0, 3.0),
    "HD": (0.5, 1.5),
    "VHD": (0.5, 1.5),
}
# Side of an object in pixels.
SIZES: dict[str, dict[str, float]] = {
    "digits": {"VLD": 20.0, "LD": 14.0, "MD": 10.0, "HD": 8.0, "VHD": 7.0},
    "sprites": {"VLD": 16.0, "LD": 14.0, "MD": 10.0, "HD": 7.0, "VHD": 6.0},
}
# Cells, slots, proposals in the first frame (enough for all its objects), and proposals in later frames.
CAPACITY: dict[str, tuple[tuple[int, int], int, int, int]] = {
    "VLD": ((4, 4), 6, 6, 6),
    "LD": ((8, 8), 14, 14, 8),
    "MD": ((8, 8), 28, 28, 12),
    "HD": ((16, 16), 72, 72, 16),
    "VHD": ((16, 16), 120, 120, 20),
}
# Training steps that a setting needs; docs/results.md has the minutes.
STEPS: dict[str, dict[str, int]] = {
    "digits": {"VLD": 1000, "LD": 2000, "MD": 3000, "HD": 2400, "VHD": 2000},
    "sprites": {"VLD": 2000, "LD": 2000, "MD": 3000, "HD": 2400, "VHD": 2000},
}
# Videos per step: fewer with more objects, so that all steps cost about the same.
VIDEOS: dict[str, int] = {"VLD": 8, "LD": 8, "MD": 4, "HD": 2, "VHD": 2}
# Short videos first: their steps are fast, and long tracks are of no use before objects are learned.
CURRICULUM: dict[str, tuple[Stage, ...]] = {
    density: (Stage(0.1, 2, 4 * videos), Stage(0.6, 4, 2 * videos), Stage(1.0, 8, videos))
    for density, videos in VIDEOS.items()
}
# Densities at which neighbours often touch, and at which they often hide each other.
CROWDED = ("MD", "HD", "VHD")
PACKED = ("HD", "VHD")


def preset(objects: str = "digits", density: str = "VLD", background: bool = False) -> RunConfig:
    """A row of the paper's Table 1: digits or sprites, at a density, over black or over a moving background.

    :param objects: 'digits' or 'sprites'.
    :param density: 'VLD' (2–4 objects), 'LD' (8–11), 'MD' (18–24), 'HD' (50–64) or 'VHD' (90–110).
    :raises ConfigError: for other objects or another density.
    """
    require(objects in SIZES, "objects", objects, f"one of {', '.join(SIZES)}")
    require(density in COUNTS, "density", density, f"one of {', '.join(COUNTS)}")
    data = DataConfig(
        objects="digits" if objects == "digits" else "sprites",
        count_min=COUNTS[density][0],
        count_max=COUNTS[density][1],
        speed_min=SPEEDS[density][0],
        speed_max=SPEEDS[density][1],
        object_size=SIZES[objects][density],
        background=background,
    )
    cells, slots, first_shortlist, shortlist = CAPACITY[density]
    model = ModelConfig(
        cells=cells, slots=slots, first_shortlist=first_shortlist, shortlist=shortlist, object_size=data.object_size
    )
    train = TrainConfig(steps=STEPS[objects][density], curriculum=CURRICULUM[density])
    config = RunConfig(data=data, model=model, train=train)
    config = coloured(config, density) if objects == "sprites" else strokes(config, density)
    return moving_background(config) if background else config


def coloured(config: RunConfig, density: str) -> RunConfig:
    """For opaque objects of many colours: overlaps reject only like-coloured objects; in crowds, only large overlaps.

    An object may be hidden for a while, so a track ends another only if it covers nearly all of it. In packed videos no
    track ends another: it would end more tracks of hidden objects than of objects that are tracked twice.
    """
    ends = density not in PACKED
    model = replace(config.model, reject_by_colour=True, reject_among_propagated=ends, propagated_overlap=0.8)
    if density not in CROWDED:
        return replace(config, model=model)
    model = replace(model, size_range=0.2, aspect_range=0.3)
    rejection = constant(0.6)
    if density == "VHD":
        # Most objects are partly hidden: less rejection than in training finds them; more looks find some twice.
        rejection, model = constant(0.6, then=0.8), replace(model, first_looks=1)
    train = replace(config.train, reject_propagated=rejection, reject_proposals=rejection)
    return replace(config, model=model, train=train)


def strokes(config: RunConfig, density: str) -> RunConfig:
    """For white digits: two looks at the first frame, since a third one finds parts of digits a second time.

    With many digits: a tight box, which holds less of the neighbours, and rejection that is strict at first. With few
    digits the defaults are better (docs/results.md), and evidence teaches them apart; with more, those that are not yet
    drawn well would never be worth it (docs/studies/hindsight.md).
    """
    config = replace(config, model=replace(config.model, first_looks=2))
    if density == "VLD":
        # A model trained with it finds some digits twice; one trained without it then finds digits that overlap.
        return replace(config, train=replace(config.train, reject_within=constant(ANYWHERE, then=1.1), evidence=True))
    model = replace(config.model, box_margin=1.1, propagated_overlap=0.75)
    train = replace(
        config.train,
        discovery_prior=Schedule(((0, 0.1), (300, 1e-2)), log=True),
        reject_propagated=Schedule(((300, 0.3), (600, 0.5))),
        reject_proposals=Schedule(((300, 0.5), (600, 0.7))),
    )
    return replace(config, model=model, train=train)


# Keeps objects from vanishing in the first steps, before objects or background are learned.
HELD_AT_FIRST: dict[str, Any] = {
    "discovery_bound": Schedule(((60, 1.5), (120, 8.8))),
    "propagation_release": Schedule(((100, 0.0), (200, 1.0))),
}


def moving_background(config: RunConfig) -> RunConfig:
    """For moving backgrounds: objects start with their colour, the background with the frame's coarse grid."""
    model = replace(config.model, background="moving", colour_start=True, contrast_input=True)
    return replace(config, model=model, train=replace(config.train, **HELD_AT_FIRST))


def paper(config: RunConfig) -> RunConfig:
    """The same setting with every deviation undone that is a switch (paper §3, App. A, C, E).

    docs/deviations.md lists the differences that remain.
    """
    model = replace(
        config.model,
        first_shortlist=0,
        shortlist=0,
        box_margin=1.25,
        size_range=0.5,
        aspect_range=0.5,
        reject_among_proposals=False,
        reject_among_propagated=False,
        reject_by_colour=False,
        constant_velocity=False,
        explain_away=False,
        object_attention=False,
        inertia=False,
        colour_start=False,
        contrast_input=False,
        difference_input=False,
        first_looks=1,
    )
    train = replace(
        config.train,
        curriculum=(Stage(1.0, config.data.frames, 16),),
        optimiser="rmsprop",
        learning_rate=5e-4,
        decay_from=1.0,
        temperature=Schedule(((0, 1.0), (20_000, 0.3))),
        discovery_prior=Schedule(((0, 0.1), (20_000, 1e-4)), log=True),
        reject_propagated=constant(0.3),
        reject_within=constant(ANYWHERE),
        reject_proposals=constant(0.5),
        evidence=False,
        discovery_bound=constant(8.8),
        propagation_release=constant(1.0),
    )
    return replace(config, model=model, train=train)


def longer() -> RunConfig:
    """LG: trained on videos of 10 frames, tested on 20 (paper App. C)."""
    config = preset("sprites", "MD")
    return replace(config, test_data=replace(config.data, frames=20))


def denser() -> RunConfig:
    """Trained on 15–25 sprites, tested on 50–60 (paper App. C)."""
    config = preset("sprites", "MD")
    model = replace(config.model, cells=(16, 16), slots=72, first_shortlist=72, shortlist=16)
    data = replace(config.data, count_min=15, count_max=25, object_size=7.0)
    model = replace(model, object_size=7.0)
    return replace(config, data=data, model=model, test_data=replace(data, count_min=50, count_max=60))


def unseen_digits() -> RunConfig:
    """Trained on digits 0–5, tested on 6–9 (paper App. C)."""
    config = preset("digits", "VLD")
    data = replace(config.data, digit_classes=tuple(range(6)))
    train = replace(config.train, evidence=False)  # as its figures were made; evidence was not tried here
    return replace(config, data=data, test_data=replace(data, digit_classes=tuple(range(6, 10))), train=train)


def dense_discovery() -> RunConfig:
    """10–15 new sprites at each of the frames 1, 5 and 9 (paper App. C)."""
    config = preset("sprites", "MD")
    data = replace(config.data, count_min=0, count_max=0, object_size=7.0, arrivals=(1, 5, 9))
    model = replace(config.model, cells=(16, 16), object_size=7.0, slots=48, first_shortlist=16, shortlist=16)
    # The first objects appear in the second frame. In clips of two frames none of them could be propagated, so that
    # propagation would not be learned, there or later.
    train = replace(config.train, curriculum=(Stage(0.6, 4, 16), Stage(1.0, 8, 8)))
    return replace(config, data=data, model=model, train=train)


def occlusion() -> RunConfig:
    """Sprites that meet and occlude each other (paper App. C)."""
    config = preset("sprites", "LD")
    return replace(config, data=replace(config.data, motion="meet"))


def thousand() -> RunConfig:
    """900–1,000 sprites on 512 × 512 px (the paper stops at 100), with the units of the other presets' 64 × 64 px.

    A step has few videos of few frames, because one frame shows enough objects to learn from. It takes about four
    seconds of processor time in every stage.
    """
    config = preset("sprites", "MD")
    data = replace(config.data, image_size=(512, 512), count_min=900, count_max=1000)
    model = replace(config.model, image_size=data.image_size, view=(64, 64), cells=(64, 64))
    model = replace(model, slots=1100, first_shortlist=1100, shortlist=160)
    stages = Stage(0.1, 2, 4), Stage(0.6, 4, 2), Stage(1.0, 8, 1)
    train = replace(config.train, steps=200, curriculum=stages, eval_every=100, eval_videos=1, checkpoint_every=50)
    return replace(config, data=data, model=model, train=train)


def ablation() -> RunConfig:
    """6–36 sprites (paper Figure 8)."""
    config = preset("sprites", "MD")
    model = replace(config.model, slots=44, first_shortlist=44)
    return replace(config, data=replace(config.data, count_min=6, count_max=36), model=model)


def _row(objects: str, density: str, background: bool = False) -> Callable[[], RunConfig]:
    return lambda: preset(objects, density, background)


# Every preset by name; `paper` changes one of them.
PRESETS: dict[str, Callable[[], RunConfig]] = {
    **{f"{objects}-{density.lower()}": _row(objects, density) for objects in SIZES for density in COUNTS},
    "bg": _row("sprites", "MD", background=True),
    "lg": longer,
    "denser": denser,
    "unseen-digits": unseen_digits,
    "dense-discovery": dense_discovery,
    "occlusion": occlusion,
    "thousand": thousand,
    "ablation": ablation,
}


def test_videos(name: str, digits: DataConfig) -> DataConfig:
    """The videos that a preset is evaluated on, with digits from the same source as a run.

    :param name: of the preset.
    :param digits: the run's videos; their source of digits is not used for sprites.
    """
    data = PRESETS[name]().evaluated
    return replace(data, digits=digits.digits) if data.objects == "digits" else data


def setting_of(config: RunConfig) -> str | None:
    """The name of the setting that a run was trained in; None if its settings are of no preset.

    :return: a name of :data:`PRESETS`, after ``paper-`` if :func:`paper` was applied. A budget other than the preset's
        is part of the name (``digits-vld-60-minutes``), except for the paper's settings, which do not fix one.
    """
    for name, make in PRESETS.items():
        known = make()
        if same_but_for_budget(config, paper(known)):
            return f"paper-{name}"
        if same_but_for_budget(config, known):
            return name + _other_budget(config.train, known.train)
    return None


def _other_budget(train: TrainConfig, known: TrainConfig) -> str:
    if train.minutes is not None:
        return f"-{train.minutes:g}-minutes"
    return "" if train.steps == known.steps else f"-{train.steps}-steps"


def same_but_for_budget(config: Any, other: Any) -> bool:
    """Whether two runs, of SCALOR or of a baseline, differ only in budget, seed, and source of digits."""
    return bool(_without_budget(config) == _without_budget(other))


def _without_budget(config: Any) -> Any:
    data, test = (None if each is None else replace(each, digits="auto") for each in (config.data, config.test_data))
    return replace(config, data=data, test_data=test, train=replace(config.train, steps=1, minutes=None), seed=0)
