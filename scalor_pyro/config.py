"""Configuration: frozen dataclasses, checked when they are built.

A :class:`RunConfig` holds all that decides a run: the data, the model and the training. It is saved
with the run as JSON and read back with :func:`config_from_dict`. Presets that fill it in for each
setting of the paper are in :mod:`scalor_pyro.presets`.

Units: sizes and speeds in pixels (and frames) where they describe the data, because that is what a user
measures in a video; the model turns them into image coordinates in [-1, 1].
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the field, its value and what was expected."""


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise ConfigError(f"{name} is {value!r}, but {expected} was expected.")


def _positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(value > 0 and math.isfinite(value), name, value, "a number above 0")


def _probability(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(0.0 <= value <= 1.0, name, value, "a number from 0 to 1")


@dataclass(frozen=True)
class Schedule:
    """A quantity as a pure function of the training step: straight lines between ``points``.

    :param points: ((step, value), …), steps rising; the value is constant before the first and after the last.
    :param log: interpolate the logarithm (for probabilities that fall by orders of magnitude).
    :param then: the value with which a model is evaluated and saved; None: the one that it was trained with last.
    """

    points: tuple[tuple[int, float], ...]
    log: bool = False
    then: float | None = None

    def __post_init__(self) -> None:
        _require(len(self.points) > 0, "points", self.points, "at least one (step, value) pair")
        steps = [step for step, _ in self.points]
        _require(all(a < b for a, b in zip(steps, steps[1:], strict=False)), "points", self.points, "rising steps")
        _require(
            not self.log or all(value > 0 for value in self.values), "points", self.points, "values above 0 with log"
        )

    def __call__(self, step: int) -> float:
        """The value at a training step."""
        before = self.points[0]
        for after in self.points:
            if step < after[0]:
                if after[0] == before[0]:
                    return before[1]
                share = (step - before[0]) / (after[0] - before[0])
                if self.log:
                    return math.exp(math.log(before[1]) * (1 - share) + math.log(after[1]) * share)
                return before[1] * (1 - share) + after[1] * share
            before = after
        return before[1]

    def after(self, steps: int) -> float:
        """The value after so many steps of training, for what is evaluated or saved then."""
        return self(steps - 1) if self.then is None else self.then

    @property
    def values(self) -> tuple[float, ...]:
        """The values that it names."""
        named = tuple(value for _, value in self.points)
        return named if self.then is None else (*named, self.then)


def constant(value: float, then: float | None = None) -> Schedule:
    """A schedule that does not change during the training."""
    return Schedule(((0, value),), then=then)


# A box so many times as large holds the centre of whatever overlaps it.
ANYWHERE = 10.0


@dataclass(frozen=True)
class DataConfig:
    """Synthetic videos: objects that drift and bounce, over black or over a moving background."""

    objects: Literal["digits", "sprites"] = "digits"
    count_min: int = 2  # objects in the world, uniform in [count_min, count_max]
    count_max: int = 4
    object_size: float = 20.0  # px, side of an object's box
    speed_min: float = 1.0  # px per frame
    speed_max: float = 3.0
    image_size: tuple[int, int] = (64, 64)  # H, W in px
    frames: int = 10  # T
    background: bool = False  # the moving background, else black
    digits: Literal["auto", "mnist", "uci"] = "auto"  # where digits come from
    digit_classes: tuple[int, ...] = tuple(range(10))  # which digits appear
    arrivals: tuple[int, ...] = ()  # frames in which arrival_min … arrival_max further objects appear
    arrival_min: int = 10
    arrival_max: int = 15
    motion: Literal["drift", "meet"] = "drift"  # "meet": objects move towards each other and occlude

    def __post_init__(self) -> None:
        _require(self.objects in ("digits", "sprites"), "objects", self.objects, "'digits' or 'sprites'")
        _require(self.digits in ("auto", "mnist", "uci"), "digits", self.digits, "'auto', 'mnist' or 'uci'")
        _require(self.motion in ("drift", "meet"), "motion", self.motion, "'drift' or 'meet'")
        _require(0 <= self.count_min <= self.count_max, "count_min", self.count_min, f"0 to {self.count_max}")
        _positive(self, "object_size", "frames")
        _require(min(self.image_size) >= 8, "image_size", self.image_size, "at least 8 px each way")
        _require(0 <= self.speed_min <= self.speed_max, "speed_min", self.speed_min, f"0 to {self.speed_max}")
        _require(
            len(self.digit_classes) > 0 and all(0 <= digit <= 9 for digit in self.digit_classes),
            "digit_classes",
            self.digit_classes,
            "digits from 0 to 9",
        )
        _require(all(0 <= t < self.frames for t in self.arrivals), "arrivals", self.arrivals, f"0 to {self.frames - 1}")
        _require(0 <= self.arrival_min <= self.arrival_max, "arrival_min", self.arrival_min, f"0 to {self.arrival_max}")


@dataclass(frozen=True)
class ModelConfig:
    """The generative model and its guide. The fields after `switches` are listed in docs/deviations.md."""

    image_size: tuple[int, int] = (64, 64)  # H, W in px
    view: tuple[int, int] | None = None  # H, W in px of the images trained on; None: image_size. See views.py
    channels: int = 3  # C
    cells: tuple[int, int] = (8, 8)  # G_y, G_x: the discovery grid
    slots: int = 16  # K: objects carried from frame to frame
    first_shortlist: int = 16  # M in the first frame: must hold all that is there; 0 = every cell
    shortlist: int = 16  # M in later frames; 0 = every cell
    object_size: float = 14.0  # px, the typical object
    aspect: float = 1.0  # height / width of the typical object, whose area is object_size²
    box_margin: float = 1.25  # side of the typical box / object_size
    size_range: float = 0.15  # a box is within 1 ± size_range of the typical one
    aspect_range: float = 0.2  # log aspect is within ± aspect_range of the typical one's
    cell_reach: float = 0.75  # centre of a proposal: within this many cells of its cell's centre
    move_range: float = 0.2  # a propagated centre deviates at most this part of the half-image a frame
    z_what_dim: int = 32
    glimpse_size: int = 16  # S
    feature_dim: int = 48  # channels of the frame features
    tracker_dim: int = 128  # posterior RNN of an object
    prior_dim: int = 64  # prior RNN of an object
    sigma: float = 0.2  # standard deviation of a pixel
    background: Literal["none", "moving", "static"] = "none"  # static: one scene, set by Scalor.set_scene
    z_bg_grid: int = 4  # the latent of a moving background starts as the frame on this coarse grid
    z_bg_extra: int = 16  # further numbers of it, for what the grid leaves out
    z_bg_light: int = 4  # numbers of a static background's latent, for slow changes of light
    flicker: float = 0.0  # over a static background, a pixel's σ is at least so many times what the scene varies there
    presence_threshold: float = 0.5  # z_pres above it counts as an object that is carried on
    first_looks: int = 3  # looks at the first frame of a video before tracks begin; training and traces have one
    mask_threshold: float = 0.3  # a pixel belongs to an object's mask above it (for rejection)
    logit_bound: float = 8.8  # presence logits lie within ± this
    # --- switches: where the default leaves the paper ---
    rejection: bool = True  # off only for ablations
    reject_among_proposals: bool = True  # a stronger proposal of the same frame rejects, too
    reject_among_propagated: bool = True  # an older object that covers a younger one for two frames ends its track
    propagated_overlap: float = 0.6  # …: above this share of the younger one's mask
    reject_by_colour: bool = False  # an overlap counts only where mean colours are alike
    colour_threshold: float = 0.15  # …: mean absolute difference per channel below this
    constant_velocity: bool = True  # deviations are from where the last displacement leads
    explain_away: bool = True  # what others explain, and the own template, are inputs of the guide
    object_attention: bool = True  # attend at object scale instead of half the view
    attention: bool = True  # off only for ablations: propagation does not look at the frame
    inertia: bool = True  # appearance deviates from the last frame's; size and depth, too, and return to their middle
    colour_start: bool = False  # the glimpse's own colour starts z_what
    contrast_input: bool = False  # local contrast as a further input of the frame encoder
    difference_input: bool = True  # the difference from the scene as one, where the background is static

    def __post_init__(self) -> None:
        _positive(
            self, "slots", "object_size", "aspect", "box_margin", "glimpse_size", "sigma", "z_what_dim", "feature_dim"
        )
        _positive(self, "tracker_dim", "prior_dim", "move_range", "cell_reach")
        _positive(self, "z_bg_grid", "z_bg_light", "logit_bound", "first_looks")
        _require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (colour)")
        backgrounds = ("none", "moving", "static")
        _require(self.background in backgrounds, "background", self.background, "'none', 'moving' or 'static'")
        _require(self.glimpse_size % 8 == 0, "glimpse_size", self.glimpse_size, "a multiple of 8")
        _require(self.z_what_dim >= self.channels, "z_what_dim", self.z_what_dim, f"at least {self.channels}")
        _require(0 <= self.size_range < 1, "size_range", self.size_range, "a number from 0 to below 1")
        _require(0 <= self.aspect_range < 2, "aspect_range", self.aspect_range, "a number from 0 to below 2")
        _require(self.feature_dim % 8 == 0, "feature_dim", self.feature_dim, "a multiple of 8")
        _require(self.z_bg_extra >= 0, "z_bg_extra", self.z_bg_extra, "0 or more")
        _require(self.flicker >= 0 and math.isfinite(self.flicker), "flicker", self.flicker, "a number from 0")
        _probability(self, "presence_threshold", "mask_threshold", "colour_threshold", "propagated_overlap")
        _require(min(self.cells) > 0, "cells", self.cells, "at least 1 each way")
        for size, cells in zip(self.image_size, self.cells, strict=True):
            _require(
                size >= 16 and size % 4 == 0,
                "image_size",
                self.image_size,
                "at least 16 px each way, in multiples of 4",
            )
            _require(
                size % cells == 0 and (size // cells) % 4 == 0,
                "cells",
                self.cells,
                f"a grid whose cells divide the image {self.image_size} into multiples of 4 px",
            )
        for name in ("first_shortlist", "shortlist"):
            value = getattr(self, name)
            _require(0 <= value <= self.n_cells, name, value, f"0 (every cell) to {self.n_cells}")

    @property
    def views(self) -> tuple[float, float]:
        """How many times an image is as (high, wide) as those trained on."""
        (height, width), (trained_height, trained_width) = self.image_size, self.view or self.image_size
        return height / trained_height, width / trained_width

    @property
    def n_cells(self) -> int:
        """N = G_y · G_x."""
        return self.cells[0] * self.cells[1]

    def proposals(self, first: bool) -> int:
        """M: how many cells are shortlisted in the first frame, or in a later one."""
        return (self.first_shortlist if first else self.shortlist) or self.n_cells


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum: until this share of the budget, so many frames and videos a step."""

    until: float  # share of the budget, (0, 1]
    frames: int  # T
    batch: int  # B

    def __post_init__(self) -> None:
        _require(0 < self.until <= 1, "until", self.until, "a share of the budget above 0, up to 1")
        _positive(self, "frames", "batch")


@dataclass(frozen=True)
class TrainConfig:
    """Stochastic variational inference: budget, optimiser, schedules."""

    steps: int = 3000
    minutes: float | None = None  # budget in wall time instead of steps; a resumed run is then not bit-identical
    start_from: str | None = None  # weights to begin with: a name of those in the package, or a run; None: random ones
    curriculum: tuple[Stage, ...] = (Stage(0.1, 2, 32), Stage(0.6, 4, 16), Stage(1.0, 8, 8))
    optimiser: Literal["adam", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4  # reached by a cosine over the last part of the budget
    decay_from: float = 0.6  # share of the budget at which the cosine starts
    clip: float = 1.0  # gradient norm, of the loss per frame
    elbo: Literal["trace", "analytic"] = "trace"  # analytic: closed-form KL where there is one
    precision: Literal["fp32", "bf16"] = "fp32"  # of the networks; all between them is computed in fp32
    capture: bool = True  # on a GPU, record a step as a CUDA graph and replay it; a CPU has none
    temperature: Schedule = Schedule(((0, 1.0), (1000, 0.5)))
    discovery_prior: Schedule = Schedule(((0, 0.1), (300, 1e-4)), log=True)
    reject_propagated: Schedule = constant(0.3)  # overlap with a propagated object above which a proposal is rejected
    reject_within: Schedule = constant(ANYWHERE)  # …, if its centre is in that one's box, so many times as large
    reject_proposals: Schedule = constant(0.5)  # overlap with a stronger proposal above which one is rejected
    discovery_bound: Schedule = constant(8.8)  # bound of discovery logits; small at first, objects cannot vanish
    propagation_release: Schedule = constant(1.0)  # share of the learned propagation logit (0: held at its bias)
    log_every: int = 20  # steps
    eval_every: int = 500
    eval_videos: int = 32  # during training
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        _positive(self, "steps", "learning_rate", "clip", "log_every", "eval_every", "eval_videos", "checkpoint_every")
        _positive(self, "final_learning_rate")
        if self.minutes is not None:
            _positive(self, "minutes")
        _require(self.optimiser in ("adam", "rmsprop"), "optimiser", self.optimiser, "'adam' or 'rmsprop'")
        _require(self.elbo in ("trace", "analytic"), "elbo", self.elbo, "'trace' or 'analytic'")
        _require(self.precision in ("fp32", "bf16"), "precision", self.precision, "'fp32' or 'bf16'")
        _probability(self, "decay_from")
        untils = [stage.until for stage in self.curriculum]
        _require(
            len(untils) > 0 and untils == sorted(untils) and untils[-1] == 1.0,
            "curriculum",
            untils,
            "stages in order whose last one ends at 1.0",
        )
        for name in ("temperature", "discovery_bound"):
            for value in getattr(self, name).values:
                _require(value > 0, name, value, "a number above 0")
        for value in self.reject_within.values:
            _require(value >= 0, "reject_within", value, "a number from 0")
        for name in ("reject_propagated", "reject_proposals", "propagation_release"):
            for value in getattr(self, name).values:
                _require(0 <= value <= 1, name, value, "a number from 0 to 1")
        for value in self.discovery_prior.values:
            _require(0 < value < 1, "discovery_prior", value, "a probability between 0 and 1")

    def stage(self, progress: float) -> Stage:
        """The stage of the curriculum at a share of the budget."""
        return next((stage for stage in self.curriculum if progress < stage.until), self.curriculum[-1])

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at a share of the budget: constant, then a cosine down to the final one."""
        if progress <= self.decay_from or self.decay_from >= 1:
            return self.learning_rate
        share = min(1.0, (progress - self.decay_from) / (1 - self.decay_from))
        low, high = self.final_learning_rate, self.learning_rate
        return low + (high - low) * (1 + math.cos(math.pi * share)) / 2

    def scheduled(self, step: int) -> dict[str, float]:
        """The values at a step of all that :meth:`scalor_pyro.scalor.Scalor.schedule` takes."""
        return {name: getattr(self, name)(step) for name in SCHEDULED}

    def settled(self, steps: int) -> dict[str, float]:
        """The same for a model that has learned for so many steps, and is evaluated or saved."""
        return {name: getattr(self, name).after(steps) for name in SCHEDULED}


# Quantities of the model that a schedule of TrainConfig drives, by the name of both.
SCHEDULED = (
    "temperature",
    "discovery_prior",
    "reject_propagated",
    "reject_within",
    "reject_proposals",
    "discovery_bound",
    "propagation_release",
)


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run, but for the seed's random numbers and the machine."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test_data: DataConfig | None = None  # what to evaluate on; None: videos like those of training
    seed: int = 0

    def __post_init__(self) -> None:
        check_run(self)

    @property
    def evaluated(self) -> DataConfig:
        """The videos to evaluate on."""
        return self.data if self.test_data is None else self.test_data


def check_run(config: Any) -> None:
    """Refuse a run, of :class:`RunConfig` or one with another model, whose parts do not fit each other.

    :raises ConfigError: for a seed out of range, images of different sizes, and training on more frames than there are.
    """
    _require(0 <= config.seed < 2**32, "seed", config.seed, "a whole number from 0 to 2**32 - 1")
    _require(
        config.data.image_size == config.model.image_size == config.evaluated.image_size,
        "data.image_size",
        config.data.image_size,
        f"the model's image_size {config.model.image_size}",
    )
    longest = max(stage.frames for stage in config.train.curriculum)
    _require(longest <= config.data.frames, "train.curriculum", f"{longest} frames", f"up to {config.data.frames}")


ConfigT = TypeVar("ConfigT")


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config as plain dicts, lists and numbers, ready for JSON."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def config_from_dict(cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a config from plain values; the inverse of :func:`config_to_dict`.

    :raises ConfigError: for unknown keys, values of the wrong kind, and whatever the config itself refuses.
    """
    parsed = _parse(cls, values, cls.__name__)
    return typing.cast(ConfigT, parsed)


def _parse(kind: Any, value: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        _require(isinstance(value, Mapping), name, value, "a table of settings")
        types_of = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(types_of))
        _require(not unknown, name, unknown, f"only keys among {sorted(types_of)}")
        missing = [
            f.name
            for f in dataclasses.fields(kind)
            if f.name not in value and f.default is f.default_factory is dataclasses.MISSING
        ]
        _require(not missing, name, value, f"a value for {', '.join(missing)}")
        return kind(**{key: _parse(types_of[key], item, f"{name}.{key}") for key, item in value.items()})  # type: ignore[operator]
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _parse(next(k for k in arguments if k is not type(None)), value, name)
    if origin is tuple:
        _require(isinstance(value, list | tuple), name, value, "a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_parse(arguments[0], item, name) for item in value)
        _require(len(value) == len(arguments), name, value, f"{len(arguments)} values")
        return tuple(_parse(k, item, name) for k, item in zip(arguments, value, strict=True))
    if origin is Literal:
        _require(value in arguments, name, value, " or ".join(map(repr, arguments)))
        return value
    if kind is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool), name, value, "a number")
        return float(value)
    _require(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), name, value, kind.__name__)
    return value
