"""The presets: each builds, holds what its videos show, and gives a loss; `paper` undoes every switch."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from scalor_pyro.config import ConfigError, ModelConfig, RunConfig, config_from_dict, config_to_dict
from scalor_pyro.config.presets import COUNTS, PRESETS, SIZES, paper, preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO

# Every switch of the model as the paper has it; whoever adds one decides here, in `paper` and in docs/deviations.md.
AS_THE_PAPER = {
    "rejection": True,
    "reject_among_proposals": False,
    "reject_among_propagated": False,
    "reject_by_colour": False,
    "constant_velocity": False,
    "explain_away": False,
    "object_attention": False,
    "attention": True,
    "inertia": False,
    "colour_start": False,
    "contrast_input": False,
    "difference_input": False,
}
# Numbers among the switches that mean something only while another switch is on, by that switch.
NUMBERS_OF = {
    "colour_threshold": "reject_by_colour",
    "propagated_overlap": "reject_among_propagated",
    "depth_step": "inertia",
    "depth_range": "inertia",
}
# What only ablations turn off; `paper` leaves it to them.
ABLATIONS = ("rejection", "attention")


def switches() -> list[str]:
    """The fields of ModelConfig after the comment that begins the switches."""
    _, listed = inspect.getsource(ModelConfig).split("# --- switches", 1)
    return re.findall(r"^    (\w+): ", listed.split("def __post_init__")[0], re.MULTILINE)


def most_objects(config: RunConfig) -> int:
    """The most objects that can be seen at once, in training or testing."""
    return max(data.count_max + len(data.arrivals) * data.arrival_max for data in (config.data, config.evaluated))


@pytest.mark.parametrize("build", PRESETS.values(), ids=PRESETS)
def test_preset_holds_what_its_videos_show(build: Callable[[], RunConfig]) -> None:
    config = build()
    model = config.model
    for each in (config, paper(config)):
        assert each.model.slots >= most_objects(each)
        assert each.model.proposals(first=True) >= max(each.data.count_max, each.evaluated.count_max)
    if config.data.arrivals:
        assert model.proposals(first=False) >= config.data.arrival_max
    for data in (config.data, config.evaluated):
        assert data.object_size == model.object_size
        assert data.background == (model.background == "moving")


@pytest.mark.parametrize("build", PRESETS.values(), ids=PRESETS)
def test_the_shortest_clips_show_objects_twice(build: Callable[[], RunConfig]) -> None:
    """Without an object to propagate, a training learns to propagate none, and does not recover."""
    config = build()
    shortest = min(stage.frames for stage in config.train.curriculum)
    (truth,) = SyntheticVideos(replace(config.data, digits="uci"), 0, "train").batch(0, 1).truth
    seen = {(int(frame), int(each)) for frame, each in zip(truth.frame, truth.identity, strict=True)}
    assert any((frame - 1, each) in seen for frame, each in seen if frame < shortest)


@pytest.mark.parametrize("build", PRESETS.values(), ids=PRESETS)
def test_preset_comes_back_from_json(build: Callable[[], RunConfig]) -> None:
    for config in (build(), paper(build())):
        assert config_from_dict(RunConfig, config_to_dict(config)) == config


@pytest.mark.parametrize("name", [*PRESETS, "paper"])
def test_preset_gives_a_loss(name: str) -> None:
    config = paper(PRESETS["bg"]()) if name == "paper" else PRESETS[name]()
    data = replace(config.data, digits="uci")
    frames = SyntheticVideos(data, seed=0, split="train").batch(0, 1, frames=2).tensor()
    scalor = Scalor(config.model)
    scalor.schedule(config.train.scheduled(0))
    with torch.no_grad():
        loss = ReparamELBO().differentiable_loss(scalor.model, scalor.guide, frames)
    assert torch.isfinite(loss)


def test_every_switch_is_decided() -> None:
    assert set(switches()) == set(AS_THE_PAPER) | set(NUMBERS_OF), "a switch was added or renamed"
    flags = {field.name for field in dataclasses.fields(ModelConfig) if field.type in (bool, "bool")}
    assert flags <= set(switches()), "a switch stands above the comment that begins them"
    assert {name for name, value in AS_THE_PAPER.items() if not value} | set(ABLATIONS) == set(AS_THE_PAPER)


@pytest.mark.parametrize("name", [name for name in AS_THE_PAPER if name not in ABLATIONS])
def test_paper_undoes_each_switch(name: str) -> None:
    config = preset()
    for before in (True, False):
        changed = replace(config, model=replace(config.model, **{name: before}))
        assert getattr(paper(changed).model, name) is AS_THE_PAPER[name]


@pytest.mark.parametrize("build", PRESETS.values(), ids=PRESETS)
def test_paper_undoes_the_rest(build: Callable[[], RunConfig]) -> None:
    """What no field after the comment is, but docs/deviations.md lists, too."""
    config = paper(build())
    model, train = config.model, config.train
    assert {name: getattr(model, name) for name in AS_THE_PAPER} == AS_THE_PAPER
    assert model.proposals(first=True) == model.proposals(first=False) == model.n_cells, "every cell is drawn"
    assert (model.size_range, model.aspect_range) == (0.5, 0.5), "boxes are as wide as the prior of the paper allows"
    assert [(stage.frames, stage.batch) for stage in train.curriculum] == [(config.data.frames, 16)]
    assert (train.optimiser, train.learning_rate_at(0.0), train.learning_rate_at(1.0)) == ("rmsprop", 5e-4, 5e-4)
    assert (train.temperature(0), train.temperature(20_000)) == (1.0, 0.3)
    assert (train.discovery_prior(0), train.discovery_prior(20_000)) == pytest.approx((0.1, 1e-4))
    for step in (0, 100, 10_000):  # nothing is held back in the first steps
        assert train.discovery_bound(step) == model.logit_bound
        assert train.propagation_release(step) == 1.0
    assert (config.data, config.evaluated) == (build().data, build().evaluated), "the same videos"


@pytest.mark.parametrize("objects", SIZES)
@pytest.mark.parametrize("density", COUNTS)
@pytest.mark.parametrize("background", [False, True])
def test_every_row_of_the_table_builds(objects: str, density: str, background: bool) -> None:
    config = preset(objects, density, background)
    assert config.data.objects == objects
    assert (config.data.count_min, config.data.count_max) == COUNTS[density]
    assert config.data.object_size == SIZES[objects][density]
    assert config.data.background is background


@pytest.mark.parametrize(
    ("objects", "density", "match"),
    [("cats", "MD", "objects: expected one of digits.*'cats'"), ("digits", "XS", "density: expected one of VLD.*'XS'")],
)
def test_unknown_settings_are_refused(objects: str, density: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        preset(objects, density)
