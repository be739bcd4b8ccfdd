"""Importance-weighted likelihood against answers that are known exactly."""

import math
from collections.abc import Callable

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro import poutine
from torch import Tensor

from scalor_pyro.inference.likelihood import ABSENT, ImportanceMessenger, LogMean, log_evidence, log_weight, nll
from scalor_pyro.model.distributions import RelaxedPresence, normal, weighted_by
from scalor_pyro.model.scalor import Scalor

Program = Callable[..., None]

# ---------------------------------------------------------------------- linear, Gaussian: log p(x) in closed form

# x = z · MIXING + noise for z of two numbers, and three observations of each of the sequences.
MIXING = torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.8, -1.2]], dtype=torch.float64)
NOISE = torch.full((3,), 0.4, dtype=torch.float64)
X = torch.tensor([[0.5, -1.0, 0.7], [1.5, 0.3, -0.2], [0.0, 0.1, 2.0], [-1.1, 0.4, 0.9]], dtype=torch.float64)


def linear(x: Tensor) -> None:
    with pyro.plate("sequences", len(x), dim=-2):
        z = pyro.sample("z", normal(torch.zeros(1, 2).double(), torch.ones(1, 2).double()))  # (B, 1, 2)
        pyro.sample("x", normal(z @ MIXING, NOISE), obs=x[:, None])


def exact() -> Tensor:
    covariance = MIXING.T @ MIXING + torch.diag(NOISE**2)
    return dist.MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(X)


def posterior(x: Tensor) -> None:
    precision = torch.eye(2).double() + MIXING / NOISE**2 @ MIXING.T
    loc = x / NOISE**2 @ MIXING.T @ precision.inverse()
    with pyro.plate("sequences", len(x), dim=-2):
        pyro.sample("z", dist.MultivariateNormal(loc[:, None], precision_matrix=precision))


def crude(x: Tensor) -> None:
    """Far from the posterior, but wide enough to reach it."""
    with pyro.plate("sequences", len(x), dim=-2):
        pyro.sample("z", normal(torch.full((1, 2), 0.3).double(), torch.full((1, 2), 1.3).double()))


def nothing(x: Tensor) -> None:
    """All latents are left to the prior."""


def test_a_guide_that_is_the_posterior_needs_one_sample() -> None:
    evidence = log_evidence(linear, posterior, X, samples=[1, 5])
    torch.testing.assert_close(evidence.bound, exact().expand(2, 4), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(evidence.effective, torch.full((4,), 5.0).double())


@pytest.mark.parametrize("guide", [crude, nothing])
def test_the_bound_is_below_the_evidence_and_grows_towards_it(guide: Program) -> None:
    # Many copies of the same sequences: the mean over them tells the expectation of the bound.
    copies = 500
    evidence = log_evidence(linear, guide, X.repeat(copies, 1), samples=[1, 4, 16, 64])
    gaps = (exact() - evidence.bound.view(4, copies, 4)).mean((1, 2))
    assert gaps[0] > 1
    assert (gaps.diff() < -0.05).all(), "grows"
    assert -0.01 < gaps[-1] < 0.3
    everything = evidence.bound[-1].view(copies, 4).logsumexp(0) - math.log(copies)
    torch.testing.assert_close(everything, exact(), rtol=0, atol=0.1)


def test_streaming_is_the_mean_of_all_weights_at_once() -> None:
    pyro.set_rng_seed(5)
    weights = torch.stack([log_weight(linear, crude, X) for _ in range(12)])
    pyro.set_rng_seed(5)
    first, rest = LogMean(), log_evidence(linear, crude, X, samples=[3, 7])
    for weight in weights[:7]:
        first.add(weight)
    torch.testing.assert_close(rest.bound[1], first.value)
    for _ in range(5):  # the second call of two goes on where the first ended
        first.add(log_weight(linear, crude, X))
    assert first.count == 12
    torch.testing.assert_close(first.value, weights.logsumexp(0) - math.log(12))
    torch.testing.assert_close(rest.bound[0], weights[:3].logsumexp(0) - math.log(3))
    torch.testing.assert_close(first.effective, weights.exp().sum(0) ** 2 / weights.exp().square().sum(0))


def test_weights_far_outside_of_floating_point_add_up() -> None:
    mean = LogMean()
    for weight in (-80_000.0, 90_000.0, 90_000.0):
        mean.add(torch.tensor([weight]))
    assert mean.value.item() == pytest.approx(90_000 + math.log(2 / 3), abs=1e-6)
    assert mean.effective.item() == pytest.approx(2)


# ---------------------------------------------------------------------- presence: log p(x) by an integral

PRIOR, TEMPERATURE, SPREAD = torch.tensor(-0.4).double(), torch.tensor(0.5).double(), 0.3
PLACES = torch.tensor([-1.2, 0.2, 1.7], dtype=torch.float64)


def seen(presence: Tensor, where: Tensor, shade: Tensor) -> dist.Distribution:
    return dist.Normal((presence * where).sum(-1, keepdim=True) + shade, SPREAD)


def present(x: Tensor) -> None:
    """Two slots, one of them empty, that hold an object of a place; and a shade, which counts in full."""
    with pyro.plate("sequences", len(x), dim=-2):
        with pyro.plate("slots", 2, dim=-1):
            with weighted_by(torch.tensor([1.0, 0.0]).double()):
                logit = pyro.sample("z_pres", RelaxedPresence(TEMPERATURE, PRIOR.expand(len(x), 2)))
            presence = logit.sigmoid() * torch.tensor([1.0, 0.0]).double()
            with weighted_by(presence):
                where = pyro.sample("z_where", normal(torch.full((1, 2, 1), 1.5).double(), torch.ones(1).double()))
        shade = pyro.sample("z_shade", dist.Normal(torch.zeros(1).double(), 1.0))
        pyro.sample("x", seen(presence, where[..., 0], shade), obs=x[:, None])


def seeker(x: Tensor) -> None:
    """Has no idea of an absent object's place, and lets its later draw depend on it all the same."""
    with pyro.plate("sequences", len(x), dim=-2):
        with pyro.plate("slots", 2, dim=-1):
            with weighted_by(torch.tensor([1.0, 0.0]).double()):
                logit = pyro.sample("z_pres", RelaxedPresence(TEMPERATURE, torch.zeros(len(x), 2).double()))
            presence = logit.sigmoid() * torch.tensor([1.0, 0.0]).double()
            with weighted_by(presence):
                loc = torch.where(presence > ABSENT, 1.2, 30.0)[..., None]
                where = pyro.sample("z_where", normal(loc, torch.full((1,), 1.4).double()))
        shade = torch.tanh(where.sum((-1, -2)))[:, None]
        pyro.sample("z_shade", dist.Normal(shade, 1.3))


def integral() -> Tensor:
    """log ∫ p(logit) p(x | logit): given presence, x is Normal with mean 1.5 · presence."""
    logit = torch.linspace(-60, 60, 24_001).double()
    presence = logit.sigmoid()
    scale = (presence**2 + 1 + SPREAD**2).sqrt()
    density = RelaxedPresence(TEMPERATURE, PRIOR.expand(len(logit))).log_prob(logit).exp()
    seen = dist.Normal(1.5 * presence, scale).log_prob(PLACES[:, None]).exp()
    return torch.trapezoid(density * seen, logit).log()


def weighted_naively(model: Program, guide: Program, x: Tensor) -> Tensor:
    """What is no importance weight: the ELBO's own terms."""
    proposal = poutine.trace(guide).get_trace(x)
    replayed = poutine.trace(poutine.replay(model, trace=proposal)).get_trace(x)
    total = torch.zeros(len(x)).double()
    for trace, sign in ((replayed, 1), (proposal, -1)):
        trace.compute_log_prob()
        for site in trace.nodes.values():
            if site["type"] == "sample" and not poutine.util.site_is_subsample(site):
                total = total + sign * site["log_prob"].sum(-1)
    return total


def test_presence_counts_right() -> None:
    copies, repeats = 4000, 12
    x = PLACES.repeat(copies)
    right, naive = LogMean(), LogMean()
    for _ in range(repeats):
        right.add(log_weight(present, seeker, x).view(copies, 3).logsumexp(0) - math.log(copies))
        naive.add(weighted_naively(present, seeker, x).view(copies, 3).logsumexp(0) - math.log(copies))
    torch.testing.assert_close(right.value, integral(), rtol=0, atol=0.05)
    assert (naive.value - integral()).abs().max() > 0.3


def test_an_absent_latent_is_drawn_from_the_model_and_does_not_count() -> None:
    values: dict[str, Tensor] = {}

    def model(x: Tensor) -> None:
        with pyro.plate("sequences", 2, dim=-2), pyro.plate("slots", 3, dim=-1):
            with weighted_by(torch.tensor([[0.0, ABSENT / 2, 2 * ABSENT], [1.0, 0.5, 0.0]])):
                values["z"] = pyro.sample("z", dist.Normal(torch.tensor(0.0), 1.0))

    def guide(x: Tensor) -> None:
        with pyro.plate("sequences", 2, dim=-2), pyro.plate("slots", 3, dim=-1), weighted_by(torch.full((2, 3), 0.2)):
            values["proposed"] = pyro.sample("z", dist.Normal(torch.tensor(50.0), 2.0))

    weight = log_weight(model, guide, X)
    there = torch.tensor([[False, False, True], [True, True, False]])
    assert torch.equal(values["z"] == values["proposed"], there)
    assert values["z"][~there].abs().max() < 6
    log_ratio = dist.Normal(0.0, 1.0).log_prob(values["proposed"]) - dist.Normal(50.0, 2.0).log_prob(values["proposed"])
    torch.testing.assert_close(weight, (log_ratio * there).sum(1).double())
    # A trace of the model sees what counted, and that it counted in full.
    proposal = poutine.trace(guide).get_trace(X)
    with poutine.trace() as trace, ImportanceMessenger(proposal):
        model(X)
    expected = dist.Normal(0.0, 1.0).log_prob(proposal.nodes["z"]["value"]) * there
    torch.testing.assert_close(trace.trace.log_prob_sum(), expected.sum())


def test_masked_observations_are_missing() -> None:
    def model(x: Tensor) -> None:
        with pyro.plate("sequences", 2, dim=-1), poutine.mask(mask=torch.tensor([True, False])):
            pyro.sample("x", dist.Normal(torch.zeros(2), 1.0), obs=torch.tensor([0.5, 0.5]))

    assert log_weight(model, nothing, X).tolist() == pytest.approx(
        [float(dist.Normal(0, 1).log_prob(X.new_tensor(0.5))), 0.0]
    )


# ---------------------------------------------------------------------- SCALOR


@pytest.mark.parametrize("background", ["moving", "static", "none"])
def test_nll_of_videos(make_scalor: Callable[..., Scalor], videos: Tensor, background: str) -> None:
    scalor = make_scalor(background=background)
    pyro.set_rng_seed(6)
    evidence = log_evidence(scalor.model, scalor.guide, videos, samples=[1, 4])
    pyro.set_rng_seed(6)
    found = nll(scalor, videos, samples=4)
    torch.testing.assert_close(found, -evidence.bound[1] / (3 * 32 * 48))
    assert found.shape == (2,) and found.isfinite().all() and not found.requires_grad
    assert torch.is_grad_enabled()


def test_the_weight_of_a_video_is_a_sum_over_its_sites(make_scalor: Callable[..., Scalor], videos: Tensor) -> None:
    scalor = make_scalor()
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(8.0)  # all there, so that nothing is drawn afresh
    scalor.schedule({"discovery_bound": 8.8, "temperature": 0.3})
    x = videos[:, :1]
    pyro.set_rng_seed(3)
    weight = log_weight(scalor.model, scalor.guide, x)
    pyro.set_rng_seed(3)
    guide = poutine.trace(scalor.guide).get_trace(x)
    model = poutine.trace(poutine.replay(scalor.model, trace=guide)).get_trace(x)
    expected = torch.zeros(2)
    for name, site in model.nodes.items():
        if site["type"] != "sample" or not (site["is_observed"] or name in guide) or name in ("slots", "cells"):
            continue
        if name.startswith(("z_", "x_")):
            log_ratio = site["fn"].log_prob(site["value"])
            if name in guide:
                log_ratio = log_ratio - guide.nodes[name]["fn"].log_prob(guide.nodes[name]["value"])
            expected = expected + log_ratio.detach().sum(1)
    torch.testing.assert_close(weight, expected.double(), rtol=1e-5, atol=0.05)


def test_videos_are_weighed_apart(make_scalor: Callable[..., Scalor], videos: Tensor) -> None:
    scalor = make_scalor()
    changed = videos.clone()
    changed[1] = 0.7
    one, other = ((pyro.set_rng_seed(2), log_weight(scalor.model, scalor.guide, x))[1] for x in (videos, changed))
    assert one[0] == pytest.approx(float(other[0]), rel=1e-6)
    assert one[1] != other[1]


# ---------------------------------------------------------------------- bad input


def outside(x: Tensor) -> None:
    pyro.sample("z", dist.Normal(0.0, 1.0))


def subsampled(x: Tensor) -> None:
    with pyro.plate("sequences", len(x), subsample_size=2, dim=-2):
        pyro.sample("z", dist.Normal(torch.zeros(1), 1.0))


def wider(x: Tensor) -> None:
    with pyro.plate("sequences", len(x), dim=-2):
        pyro.sample("z", normal(torch.zeros(1, 3).double(), torch.ones(1, 3).double()))


@pytest.mark.parametrize(
    ("model", "guide", "message"),
    [
        (outside, outside, "z: expected it within plate sequences"),
        (subsampled, subsampled, "sequences: expected all 4 elements, got 2"),
        (linear, wider, r"z of the guide: expected shape \(4, 1, 2\), .* got \(4, 1, 3\)"),
    ],
)
def test_refuses_what_has_no_evidence(model: Program, guide: Program, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_weight(model, guide, X)


@pytest.mark.parametrize("samples", [[], [0], [3, 3], [4, 2], [-1, 2]])
def test_refuses_numbers_that_do_not_rise_from_1(samples: list[int]) -> None:
    with pytest.raises(ValueError, match="increasing numbers from 1"):
        log_evidence(linear, crude, X, samples=samples)


def test_refuses_what_is_not_a_batch_of_videos(scalor: Scalor, videos: Tensor) -> None:
    with pytest.raises(ValueError, match="Videos"):
        nll(scalor, videos[0], samples=1)
    with pytest.raises(ValueError, match="increasing numbers from 1"):
        nll(scalor, videos, samples=0)
