"""Swapping priors: which sites are given another law, what stays, what is refused; and the priors that are shipped."""

from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive
from torch import Tensor

from scalor_pyro.inference.posterior import ModeMessenger, infer
from scalor_pyro.inference.priors import (
    NEVER,
    constant_velocity,
    discovery_at_border,
    first_frame_presence,
    motion,
    no_discovery_from,
)
from scalor_pyro.inference.swap_prior import swap_prior
from scalor_pyro.model.distributions import RelaxedPresence
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO

# B, T, K, N, M of later frames
B, T, K, N, M = 2, 3, 5, 12, 6
FAR = dist.Normal(3.0, 0.01).expand([4]).to_event(1)


@pytest.fixture
def busy(busy: Scalor) -> Scalor:
    """A model that not only sees, but also imagines objects everywhere."""
    busy.schedule({"discovery_prior": 0.7})
    return busy


def distribution_of(trace: poutine.Trace, name: str) -> Any:
    return trace.nodes[name]["fn"]


def is_far(site: Any) -> bool:
    return not isinstance(site["fn"], RelaxedPresence) and bool((site["fn"].mean == 3.0).all())


def prior_trace(program: Callable[..., Any], frames: int = T) -> poutine.Trace:
    trace: poutine.Trace = poutine.trace(program).get_trace(frames=frames, sequences=B)
    return trace


# ------------------------------------------------------------------ which sites


def test_both_forms_swap_what_matches_and_nothing_else(busy: Scalor) -> None:
    torch.manual_seed(0)
    with swap_prior({"z_where_prop_*": FAR}):
        within = prior_trace(busy.model)
    torch.manual_seed(0)
    wrapped = prior_trace(swap_prior(busy.model, {"z_where_prop_*": FAR}))
    plain = prior_trace(busy.model)
    for trace in (within, wrapped):
        assert trace.nodes.keys() == plain.nodes.keys()
        for name, site in trace.nodes.items():
            if name.startswith("z_"):
                assert type(site["fn"]) is type(distribution_of(plain, name))
                assert is_far(site) == name.startswith("z_where_prop_"), name
                assert site["fn"].batch_shape == distribution_of(plain, name).batch_shape
        for t in (1, 2):
            torch.testing.assert_close(
                trace.nodes[f"z_where_prop_{t}"]["value"], torch.full((B, K, 4), 3.0), atol=0.1, rtol=0
            )
    assert torch.equal(within.nodes["y_2"]["value"], wrapped.nodes["y_2"]["value"])
    assert not is_far(plain.nodes["z_where_prop_1"]), "only within"


def test_one_frame_by_name(busy: Scalor) -> None:
    trace = prior_trace(swap_prior(busy.model, {"z_where_prop_2": FAR}))
    assert [is_far(trace.nodes[f"z_where_prop_{t}"]) for t in (1, 2)] == [False, True]


def test_function_is_given_frame_and_prior_and_patterns_follow_each_other(busy: Scalor) -> None:
    given: list[tuple[int, Any]] = []

    def distribution(t: int, prior: Any) -> Any:
        given.append((t, prior))
        return FAR if t == 2 else prior

    prior_trace(swap_prior(busy.model, {"z_where_prop_1": FAR, "z_where_prop_*": distribution}))
    assert [t for t, _ in given] == [1, 2]
    assert [bool((prior.mean == 3.0).all()) for _, prior in given] == [True, False]
    given.clear()
    with swap_prior({"z_where_prop_*": distribution}), swap_prior({"z_where_prop_1": FAR}):
        prior_trace(busy.model)
    assert [bool((prior.mean == 3.0).all()) for _, prior in given] == [True, False]


@pytest.mark.parametrize("shape", [[], [K], [B, 1], [B, K]])
def test_law_is_expanded_to_the_batch_shape(busy: Scalor, shape: list[int]) -> None:
    distribution = dist.Normal(3.0, 0.01).expand([*shape, 4]).to_event(1)
    trace = prior_trace(swap_prior(busy.model, {"z_where_prop_1": distribution}))
    assert distribution_of(trace, "z_where_prop_1").batch_shape == (B, K)


# ------------------------------------------------------------------ what stays


def test_weighting_by_presence_stays(busy: Scalor) -> None:
    plain = prior_trace(busy.model)
    model = poutine.replay(busy.model, trace=plain)
    swapped = prior_trace(swap_prior(model, {"z_where_prop_*": FAR, "z_where_disc_*": FAR}))
    for name in ("z_where_prop_1", "z_where_disc_1"):
        was, site = plain.nodes[name], swapped.nodes[name]
        assert was["scale"].lt(1).any()
        assert torch.equal(site["scale"], was["scale"]) and torch.equal(site["mask"], was["mask"])
        assert torch.equal(site["value"], was["value"]), "replayed"
    swapped.compute_log_prob()
    expected = FAR.log_prob(plain.nodes["z_where_prop_1"]["value"]) * plain.nodes["z_where_prop_1"]["scale"]
    expected = expected.where(plain.nodes["z_where_prop_1"]["mask"], torch.zeros(()))
    torch.testing.assert_close(swapped.nodes["z_where_prop_1"]["log_prob"], expected)


def test_guide_is_left_alone(busy: Scalor, videos: Tensor) -> None:
    plain = infer(busy, videos)
    with swap_prior({"z_where_*": FAR, "z_pres_prop_*": lambda t, prior: prior}):
        assert torch.equal(infer(busy, videos).where, plain.where), "modes of the guide, replayed in the model"
        guide = poutine.trace(busy.guide).get_trace(videos)
        model = poutine.trace(poutine.replay(busy.model, trace=guide)).get_trace(videos)
        rerun = poutine.trace(poutine.replay(busy.guide, trace=guide)).get_trace(videos)
    for name in ("z_where_disc_0", "z_where_prop_2"):
        assert not is_far(guide.nodes[name]) and not is_far(rerun.nodes[name])
        assert is_far(model.nodes[name]), "replayed from the guide, but the model"
        assert torch.equal(model.nodes[name]["value"], guide.nodes[name]["value"])


@pytest.mark.parametrize("inside", [True, False])
def test_elbo_is_of_the_new_prior(busy: Scalor, videos: Tensor, inside: bool) -> None:
    priors = {"z_where_prop_*": dist.Normal(40.0, 1.0).expand([4]).to_event(1)}
    losses = []
    for swapped in (False, True):
        torch.manual_seed(3)
        model = swap_prior(busy.model, priors) if swapped and inside else busy.model
        if swapped and not inside:
            with swap_prior(priors):
                losses.append(ReparamELBO().differentiable_loss(model, busy.guide, videos))
        else:
            losses.append(ReparamELBO().differentiable_loss(model, busy.guide, videos))
    assert losses[1] > losses[0] + 1000


@pytest.mark.parametrize("inside", [True, False])
def test_predictive_with_guide(busy: Scalor, videos: Tensor, inside: bool) -> None:
    def predict(model: Callable[..., Any]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = Predictive(model, guide=busy.guide, num_samples=2)(videos[:, :2], frames=4)
        return found

    priors = {"z_where_prop_*": FAR}
    if inside:
        found = predict(swap_prior(busy.model, priors))
    else:
        with swap_prior(priors):
            found = predict(busy.model)
    assert found["z_where_prop_1"].abs().max() < 2.5, "the guide's"
    torch.testing.assert_close(found["z_where_prop_3"], torch.full((2, B, K, 4), 3.0), atol=0.1, rtol=0)


def test_conditioned_and_replayed_values_stay(busy: Scalor) -> None:
    held = {"z_where_prop_1": torch.ones(B, K, 4)}
    conditioned = poutine.condition(busy.model, data=held)
    with swap_prior({"z_where_prop_*": FAR}):
        outside = prior_trace(conditioned)
    inside = prior_trace(poutine.condition(swap_prior(busy.model, {"z_where_prop_*": FAR}), data=held))
    for trace in (outside, inside):
        assert torch.equal(trace.nodes["z_where_prop_1"]["value"], held["z_where_prop_1"])
        assert is_far(trace.nodes["z_where_prop_1"]) and is_far(trace.nodes["z_where_prop_2"])
        assert trace.nodes["z_where_prop_2"]["value"].mean() > 2.5


@pytest.mark.parametrize("inside", [True, False])
def test_works_with_do(busy: Scalor, inside: bool) -> None:
    priors, held = {"z_where_prop_*": FAR}, {"z_where_prop_1": torch.ones(B, K, 4)}
    if inside:
        trace = prior_trace(poutine.do(swap_prior(busy.model, priors), data=held))
    else:
        with swap_prior(priors):
            trace = prior_trace(poutine.do(busy.model, data=held))
    plain = prior_trace(poutine.do(busy.model, data=held))
    assert trace.nodes.keys() == plain.nodes.keys()
    assert trace.nodes["z_where_prop_2"]["value"].mean() > 2.5


def test_modes_are_of_the_new_prior_or_refused(busy: Scalor) -> None:
    with ModeMessenger(), swap_prior({"z_where_prop_*": FAR}):
        trace = prior_trace(busy.model)
    assert (trace.nodes["z_where_prop_2"]["value"] == 3.0).all()
    with pytest.raises(ValueError, match="z_where_prop_1 was drawn before swap_prior could replace its prior"):
        with swap_prior({"z_where_prop_*": FAR}), ModeMessenger():
            prior_trace(busy.model)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("priors", "match"),
    [
        ({"z_pres_disk_*": FAR}, r"'z_pres_disk_\*' matches no latent .* its sites are z_pres_disc_0 to 2, z_where"),
        ({"z_where_prop_0": FAR}, "'z_where_prop_0' matches no latent .* z_where_prop_1 to 2"),
        ({"z_where_prop_*": FAR, "slots": FAR}, "'slots' matches no latent"),
        ({"x_*": FAR}, "expected a pattern of latent sites, got one that matches x_0, which is the obs"),
        ({"*": FAR}, "expected a batch shape"),
        ({"slot_where_*": FAR}, "matches slot_where_0, which is deterministic"),
        ({"y_1": FAR}, "matches y_1, which is deterministic"),
        ({"z_where_prop_*": dist.Normal(0.0, 1.0)}, r"broadcasts to \(2, 5\) and event shape \(4,\), got"),
        ({"z_where_prop_*": dist.Normal(torch.zeros(3), 1.0).to_event(1)}, r"got \(\) and \(3,\)"),
        ({"z_where_disc_*": FAR.expand([B, K])}, r"broadcasts to \(2, 7\) .* got \(2, 5\)"),
        ({"z_where_disc_0": FAR.expand([4, 1, 1])}, r"broadcasts to \(2, 7\) .* got \(4, 1, 1\)"),
        ({"z_pres_disc_*": dist.Bernoulli(0.2)}, r"z_pres_disc_0: expected support Real\(\), got Boolean\(\)"),
        ({"z_where_prop_*": dist.LogNormal(torch.zeros(4), 1.0).to_event(1)}, "expected support .* got GreaterThan"),
        ({"z_where_prop_*": lambda t, prior: 0.3}, "The prior for z_where_prop_1: expected a Pyro distribution"),
        ({"z_where_prop_*": 0.3}, "The prior for 'z_where_prop_.*': expected a Pyro distribution, or a function"),
        ({}, "expected at least one"),
        (FAR, "expected at least one"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrapped", [True, False])
def test_refuses(busy: Scalor, priors: dict[str, Any], match: str, wrapped: bool) -> None:
    with pytest.raises(ValueError, match=match) as refusal:
        if wrapped:
            swap_prior(busy.model, priors)(frames=T, sequences=B)
        else:
            with swap_prior(priors):
                busy.model(frames=T, sequences=B)
    assert "\n" not in str(refusal.value)


def test_unmatched_pattern_does_not_hide_another_error(busy: Scalor, videos: Tensor) -> None:
    with pytest.raises(ValueError, match="Videos: expected shape"):
        with swap_prior({"z_no_*": FAR}):
            busy.model(videos[0])


def test_refuses_a_block_in_which_no_model_runs(busy: Scalor, videos: Tensor) -> None:
    with pytest.raises(ValueError, match="no model ran within it"):
        with swap_prior({"z_where_prop_*": FAR}):
            busy.guide(videos)


# ------------------------------------------------------------------ the priors that are shipped


def test_no_discovery_from_a_frame_on(busy: Scalor) -> None:
    trace = prior_trace(swap_prior(busy.model, no_discovery_from(1)))
    found = [(trace.nodes[f"z_pres_disc_{t}"]["value"] > 0).any().item() for t in range(T)]
    assert found == [True, False, False]
    assert torch.equal(
        distribution_of(trace, "z_pres_disc_0").logits, distribution_of(prior_trace(busy.model), "z_pres_disc_0").logits
    )
    assert trace.nodes["slot_identity_2"]["value"].max() <= trace.nodes["slot_identity_0"]["value"].max()


def test_first_frame_presence(busy: Scalor) -> None:
    torch.manual_seed(0)
    trace = poutine.trace(swap_prior(busy.model, first_frame_presence(0.25))).get_trace(frames=2, sequences=300)
    distribution = distribution_of(trace, "z_pres_disc_0")
    assert isinstance(distribution, RelaxedPresence)
    torch.testing.assert_close(distribution.logits.sigmoid(), torch.full((300, N), 0.25))
    there = (trace.nodes["z_pres_disc_0"]["value"] > 0).float().mean()
    assert abs(there - 0.25) < 0.03
    torch.testing.assert_close(distribution_of(trace, "z_pres_disc_1").logits.sigmoid(), torch.full((300, N), 0.7))


def test_constant_velocity_moves_in_straight_lines(busy: Scalor) -> None:
    swapped = {**constant_velocity(busy.config, 1e-4), "z_pres_prop_*": lambda t, prior: RelaxedPresence(
        prior.temperature, torch.full_like(prior.logits, 20.0))}  # fmt: skip
    moved = {"z_where_prop_1": torch.ones(B, K, 4)}  # a first push, so that there is a velocity
    trace = prior_trace(poutine.condition(swap_prior(busy.model, swapped), data=moved), frames=4)
    plain = prior_trace(busy.model)
    assert torch.equal(distribution_of(trace, "z_where_prop_1").mean[..., 2:], torch.zeros(B, K, 2))
    assert distribution_of(plain, "z_where_prop_1").mean[..., 2:].abs().max() > 0
    identity = torch.stack([trace.nodes[f"slot_identity_{t}"]["value"] for t in range(4)], 1)
    where = torch.stack([trace.nodes[f"slot_where_{t}"]["value"] for t in range(4)], 1)
    stays = (identity == identity[:, :1]).all(1) & (identity[:, 0] >= 0) & (where[:, 3, :, 2:].abs() < 1.4).all(-1)
    assert stays.any()
    steps = where[..., 2:].diff(dim=1)[:, 1:].transpose(1, 2)[stays]
    torch.testing.assert_close(steps[:, 0], steps[:, 1], atol=1e-3, rtol=0)
    assert steps.abs().min() > 0.05


def test_discovery_at_the_border(busy: Scalor) -> None:
    trace = prior_trace(swap_prior(busy.model, discovery_at_border(busy.config, 0.3)))
    probability = distribution_of(trace, "z_pres_disc_1").logits[0].view(busy.config.cells)  # (4, 3)
    inner = torch.zeros(busy.config.cells, dtype=torch.bool)
    inner[1:3, 1] = True
    assert (probability[inner] == NEVER).all()
    torch.testing.assert_close(probability[~inner].sigmoid(), torch.full((10,), 0.3))
    assert distribution_of(trace, "z_pres_disc_0").logits.sigmoid().min() > 0.6, "the first frame is the prior's"


def test_priors_refuse(busy: Scalor, tiny: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="constant_velocity: expected a model with True, got False"):
        constant_velocity(tiny(constant_velocity=False))
    with pytest.raises(ValueError, match="motion: expected learned or constant-velocity, got 'fast'"):
        motion(tiny(), "fast")
    for deviation in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="deviation: expected a number above 0, got"):
            constant_velocity(busy.config, deviation)
    for probability in (0.0, 1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="Probability: expected a number above 0 and below 1, got"):
            first_frame_presence(probability)
        with pytest.raises(ValueError, match="Probability: expected"):
            discovery_at_border(busy.config, probability)
    with pytest.raises(ValueError, match="without discoveries: expected a number from 0, got -1"):
        no_discovery_from(-1)
