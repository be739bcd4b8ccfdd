"""What a trace holds, by name, and how sure the guide is of it."""

from collections.abc import Callable

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro import poutine
from torch import Tensor

from scalor_pyro.inference.latents import Stacked, frames_of, latents, site_of
from scalor_pyro.inference.posterior import ModeMessenger
from scalor_pyro.model import sites
from scalor_pyro.model.appearance import AppearancePrior
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.spread import box_spread

Make = Callable[..., Scalor]

# B = 2, T = 3, K = 5, N = 12, M = 7 and 6, D = 9, D_bg = 15.
OBJECTS = """
z_pres_disc (2, 3, 12) sequence frame cell (0, 1, 2)
z_where_disc (2, 3, 7, 4) sequence frame proposal coordinate (0, 1, 2)
z_depth_disc (2, 3, 7) sequence frame proposal (0, 1, 2)
z_what_disc (2, 3, 7, 9) sequence frame proposal feature (0, 1, 2)
z_bg (2, 3, 15) sequence frame feature (0, 1, 2)
z_pres_prop (2, 2, 5) sequence frame slot (1, 2)
z_where_prop (2, 2, 5, 4) sequence frame slot coordinate (1, 2)
z_depth_prop (2, 2, 5) sequence frame slot (1, 2)
z_what_prop (2, 2, 5, 9) sequence frame slot feature (1, 2)
""".split("\n")[1:-1]
FOLLOWING = """
y (2, 3, 3, 32, 48) sequence frame channel row column (0, 1, 2)
slot_pres (2, 3, 5) sequence frame slot (0, 1, 2)
slot_where (2, 3, 5, 4) sequence frame slot coordinate (0, 1, 2)
slot_identity (2, 3, 5) sequence frame slot (0, 1, 2)
""".split("\n")[1:-1]
PARTS: tuple[sites.Part, ...] = ("prop", "disc")
FRAMES = ["x (2, 3, 3, 32, 48) sequence frame channel row column (0, 1, 2)"]


@pytest.fixture
def busy(scalor: Scalor) -> Scalor:
    """A model that finds something."""
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(1.0)
        scalor.decoder.bias[-1] = 2.0
    return scalor


@pytest.fixture
def guide(busy: Scalor, videos: Tensor) -> poutine.Trace:
    return poutine.trace(busy.guide).get_trace(videos)


@pytest.fixture
def model(busy: Scalor, videos: Tensor, guide: poutine.Trace) -> poutine.Trace:
    return poutine.trace(poutine.replay(busy.model, trace=guide)).get_trace(videos)


def table(stacked: dict[str, Stacked]) -> set[str]:
    return {f"{name} {tuple(s.values.shape)} {' '.join(s.axes)} {s.frames}" for name, s in stacked.items()}


def test_every_site_has_its_family_and_time() -> None:
    of_parts = [f(part, 12) for f in (sites.z_pres, sites.z_where, sites.z_depth, sites.z_what) for part in PARTS]
    of_frames = [
        f(12) for f in (sites.z_bg, sites.z, sites.x, sites.y, sites.slot_pres, sites.slot_where, sites.slot_identity)
    ]
    parsed = [sites.parse(name) for name in (*of_parts, *of_frames)]
    assert {each.family for each in parsed if each} == set(sites.EVENT_AXES) and len(parsed) == len(sites.EVENT_AXES)
    assert {each.t for each in parsed if each} == {12}
    foreign = ("slots", "_RETURN", "z_where_prop", "z_where_prop_", "z_where_1", "x_-1", "x_1__CF", "scalor_0$$$a_1")
    assert [sites.parse(name) for name in foreign] == [None] * len(foreign)


def test_families_have_named_axes(guide: poutine.Trace, model: poutine.Trace) -> None:
    assert table(latents(guide)) == {*OBJECTS}
    assert table(latents(model)) == {*OBJECTS, *FOLLOWING, *FRAMES}
    assert table(latents(guide, "stddev")) == {*OBJECTS}
    assert table(latents(model, "mean")) == {*OBJECTS, *FRAMES}  # what is deterministic has no distribution


def test_values_are_those_of_the_sites(model: poutine.Trace) -> None:
    stacked = latents(model)
    for name, site in model.nodes.items():
        if (parsed := sites.parse(name)) is not None:
            ours = stacked[parsed.family].at(parsed.t)
            assert torch.equal(ours[~ours.isnan()], site["value"].flatten()), name


def test_shorter_shortlists_end_with_nan(guide: poutine.Trace) -> None:
    stacked = latents(guide)
    for name in ("z_where_disc", "z_depth_disc", "z_what_disc"):
        missing = stacked[name].values.isnan()
        assert missing[:, 1:, 6].all() and not missing[:, :1].any() and not missing[:, :, :6].any(), name
    assert not any(stacked[name].values.isnan().any() for name in stacked if not name.endswith("_disc"))


def test_moments_are_those_of_the_distributions(guide: poutine.Trace) -> None:
    mean, stddev = latents(guide, "mean"), latents(guide, "stddev")
    distribution = guide.nodes["z_where_prop_2"]["fn"]
    assert torch.equal(mean["z_where_prop"].at(2), distribution.mean)
    assert torch.equal(stddev["z_where_prop"].at(2), distribution.stddev)
    distribution = guide.nodes["z_pres_disc_1"]["fn"]
    draws = distribution.rsample((4_000,))
    torch.testing.assert_close(mean["z_pres_disc"].at(1), draws.mean(0), atol=0.3, rtol=0)
    torch.testing.assert_close(stddev["z_pres_disc"].at(1), draws.std(0), atol=0, rtol=0.1)


def test_a_background_is_stacked_where_there_is_one(make_scalor: Make, videos: Tensor) -> None:
    stacked = latents(poutine.trace(make_scalor(background="none").guide).get_trace(videos))
    assert "z_bg" not in stacked and len(stacked) == 8


def test_one_frame_has_no_propagation(busy: Scalor, videos: Tensor) -> None:
    stacked = latents(poutine.trace(busy.guide).get_trace(videos[:, :1]))
    assert "z_where_prop" not in stacked and stacked["z_where_disc"].values.shape == (2, 1, 7, 4)


def test_do_keeps_what_was_drawn_and_condition_what_was_set(busy: Scalor, videos: Tensor, guide: poutine.Trace) -> None:
    name = sites.z_pres("disc", 0)
    data = {name: torch.full((2, 12), -900.0)}
    done, conditioned = (
        latents(poutine.trace(poutine.replay(change(busy.model, data=data), trace=guide)).get_trace(videos))
        for change in (poutine.do, poutine.condition)
    )
    assert torch.equal(done["z_pres_disc"].at(0), guide.nodes[name]["value"])
    assert torch.equal(conditioned["z_pres_disc"].at(0), data[name])
    for stacked in (done, conditioned):
        assert not stacked["slot_pres"].at(0).any()


class Odd(dist.TorchDistribution):
    """A distribution without moments."""

    arg_constraints: dict[str, object] = {}
    support = dist.constraints.real_vector

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape[:-1], shape[-1:], validate_args=False)

    def expand(self, batch_shape: tuple[int, ...], _instance: object = None) -> "Odd":
        return Odd((*batch_shape, *self.event_shape))

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return torch.zeros((*sample_shape, *self.batch_shape, *self.event_shape))


class OddAppearance(AppearancePrior):
    def forward(self, where: Tensor) -> dist.TorchDistribution:
        return Odd((*where.shape[:-1], 9))


def test_refuses_a_distribution_without_the_moment(tiny: Callable[..., object], videos: Tensor) -> None:
    config = tiny()
    scalor = Scalor(config, appearance_prior=OddAppearance(config))  # type: ignore[arg-type]
    trace = poutine.trace(scalor.model).get_trace(None, frames=1)
    assert latents(trace)["z_what_disc"].values.shape == (1, 1, 7, 9)
    with pytest.raises(ValueError, match="z_what_disc_0: expected a distribution with a stddev, got a Odd"):
        latents(trace, "stddev")


def test_refuses_what_is_not_a_trace_of_scalor(guide: poutine.Trace, busy: Scalor) -> None:
    other = poutine.trace(lambda: pyro.sample("z", dist.Normal(0.0, 1.0))).get_trace()
    with pytest.raises(ValueError, match="expected one of Scalor.guide or Scalor.model, got one with 3 nodes"):
        latents(other)
    with pytest.raises(ValueError, match="returns frames, Scalor.guide or Scalor.model, got one that returns Tensor"):
        frames_of(other)
    with pytest.raises(ValueError, match="got one that returns no frame"):
        box_spread(busy, poutine.trace(busy.guide).get_trace(None, frames=2))
    with pytest.raises(ValueError, match="got one without the site x_0"):
        site_of(guide, sites.x(0))
    with pytest.raises(ValueError, match="of: expected one of 'value', 'mean', 'stddev', got 'median'"):
        latents(guide, "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="frame: expected 1 to 2, got 0"):
        latents(guide)["z_where_prop"].at(0)


# ---------------------------------------------------------------------- uncertainty


def test_spread_is_that_of_boxes_drawn_from_the_guide(busy: Scalor, guide: poutine.Trace) -> None:
    spread = box_spread(busy, guide, draws=4_000)
    frames = frames_of(guide)
    scale = torch.tensor([24.0, 16.0, 48.0, 32.0])  # t_x, t_y are in half-images, s_x, s_y in images
    found = 0
    for t, frame in enumerate(frames):
        for b, k in frame.slots.alive.nonzero().tolist():
            part, row = ("disc", int(frame.slots.origin[b, k])) if frame.slots.new[b, k] else ("prop", k)
            raw = guide.nodes[f"z_where_{part}_{t}"]["fn"].sample((4_000,))
            if part == "disc":
                cells = guide.nodes[f"z_pres_disc_{t}"]["value"].topk(raw.shape[2], 1).indices
                where = busy.boxes.discovered(raw, cells)[0]
                logit = guide.nodes[f"z_pres_disc_{t}"]["fn"].logits[b, cells[b, row]]
            else:
                where = busy.boxes.propagated(frames[t - 1].slots.objects, raw)[0]
                logit = guide.nodes[f"z_pres_prop_{t}"]["fn"].logits[b, k]
                found += 1
            expected = where[:, b, row][:, [2, 3, 0, 1]].std(0) * scale
            torch.testing.assert_close(spread.box[b, t, k], expected, rtol=0.1, atol=1e-4)
            torch.testing.assert_close(spread.presence[b, t, k], logit.sigmoid())
    assert found > 3
    empty = ~torch.stack([frame.slots.alive for frame in frames], 1)
    assert torch.equal(spread.presence.isnan(), empty) and torch.equal(spread.box.isnan().all(-1), empty)


def test_spread_leaves_the_random_state_alone(busy: Scalor, videos: Tensor) -> None:
    with torch.no_grad(), ModeMessenger():
        trace = poutine.trace(busy.guide).get_trace(videos)
    state = torch.get_rng_state()
    one, two, other = box_spread(busy, trace), box_spread(busy, trace), box_spread(busy, trace, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.box.nan_to_num(), two.box.nan_to_num())
    assert not torch.equal(one.box.nan_to_num(), other.box.nan_to_num())
    with pytest.raises(ValueError, match="draws: expected at least 2, got 1"):
        box_spread(busy, trace, draws=1)
