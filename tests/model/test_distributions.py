"""The relaxed Bernoulli of presence, and the weight that it gives to other sites."""

import math

import pyro
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro import poutine
from pyro.distributions import Normal
from torch import Tensor
from torch.distributions import Bernoulli, kl_divergence
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli

from scalor_pyro.model.distributions import RelaxedPresence, normal, weighted_by

logits = st.floats(-9, 9)
temperatures = st.floats(0.1, 2)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(temperatures, logits, st.floats(-30, 30))
def test_log_prob_is_that_of_torch(temperature: float, logit: float, value: float) -> None:
    ours = RelaxedPresence(tensor(temperature)[0], tensor(logit)).log_prob(tensor(value))
    theirs = LogitRelaxedBernoulli(tensor(temperature)[0], logits=tensor(logit)).log_prob(tensor(value))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@given(temperatures, logits)
def test_density_integrates_to_one(temperature: float, logit: float) -> None:
    x = torch.linspace(-40, 40, 8001, dtype=torch.float64) / temperature
    distribution = RelaxedPresence(tensor(temperature)[0], tensor(logit).expand(8001))
    assert torch.trapezoid(distribution.log_prob(x).exp(), x).item() == pytest.approx(1, abs=1e-6)


def test_samples_are_reparameterised_and_follow_the_law() -> None:
    logit = torch.tensor([1.5], requires_grad=True)
    distribution = RelaxedPresence(torch.tensor(0.4), logit)
    assert distribution.has_rsample
    samples = distribution.rsample(torch.Size((20_000,)))
    assert samples.shape == (20_000, 1)
    (gradient,) = torch.autograd.grad(samples.mean(), logit)
    assert gradient.item() == pytest.approx(1 / 0.4)
    # The sign of a sample is a Bernoulli draw with these logits, at any temperature.
    assert (samples > 0).float().mean().item() == pytest.approx(torch.sigmoid(logit).item(), abs=0.015)
    assert distribution.mode_logit.item() == pytest.approx(1.5 / 0.4)
    assert distribution.sample().requires_grad is False
    assert distribution.expand(torch.Size((3, 5))).rsample().shape == (3, 5)


@pytest.mark.parametrize(("q_logit", "p_logit", "temperature"), [(2.0, -3.0, 0.5), (-1.0, 5.0, 1.0), (8.8, -9.2, 0.3)])
def test_mean_of_the_log_ratio_is_the_integral(q_logit: float, p_logit: float, temperature: float) -> None:
    scale = tensor(temperature)[0]
    q, p = (RelaxedPresence(scale, tensor(logit)) for logit in (q_logit, p_logit))
    samples = q.rsample(torch.Size((20_000,)))[:, 0]
    sampled = (q.log_prob(samples) - p.log_prob(samples)).mean()
    x = torch.linspace(-60, 60, 20_001, dtype=torch.float64) / temperature
    integral = torch.trapezoid(q.log_prob(x).exp() * (q.log_prob(x) - p.log_prob(x)), x)
    assert sampled.item() == pytest.approx(integral.item(), abs=0.15)


@given(logits, logits, temperatures)
def test_registered_kl_is_that_of_the_bernoullis(q_logit: float, p_logit: float, temperature: float) -> None:
    scale = tensor(temperature)[0]
    ours = kl_divergence(RelaxedPresence(scale, tensor(q_logit)), RelaxedPresence(scale, tensor(p_logit)))
    torch.testing.assert_close(
        ours, kl_divergence(Bernoulli(logits=tensor(q_logit)), Bernoulli(logits=tensor(p_logit)))
    )


def test_refuses_logits_that_are_not_numbers() -> None:
    with pytest.raises(ValueError, match="logits"):
        RelaxedPresence(torch.tensor(0.5), torch.tensor([math.nan]))


def test_normal_has_one_event_dimension() -> None:
    distribution = normal(torch.zeros(2, 3, 5), torch.ones(2, 3, 5))
    assert (distribution.batch_shape, distribution.event_shape) == ((2, 3), (5,))


def weighted_site(weight: Tensor, loc: Tensor, value: Tensor) -> dict[str, Tensor]:
    def program() -> None:
        with pyro.plate("rows", weight.shape[0], dim=-2), pyro.plate("columns", weight.shape[1], dim=-1):
            with weighted_by(weight):
                pyro.sample("z", normal(loc, torch.ones_like(loc)), obs=value)

    trace = poutine.trace(program).get_trace()
    trace.compute_log_prob()
    site: dict[str, Tensor] = trace.nodes["z"]
    return site


@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-4, 1)), min_size=6, max_size=6))
def test_a_site_counts_as_much_as_its_weight(weights: list[float]) -> None:
    weight = torch.tensor(weights).view(2, 3)
    torch.manual_seed(0)
    loc, value = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    expected = weight * Normal(loc, 1).log_prob(value).sum(-1)
    site = weighted_site(weight, loc, value)
    torch.testing.assert_close(site["log_prob"], expected)
    torch.testing.assert_close(site["log_prob_sum"], expected.sum())


def test_weight_0_counts_exactly_nothing_however_unlikely_the_value() -> None:
    weight = torch.tensor([[0.0, 0.5, 0.0]], requires_grad=True)
    loc = torch.zeros(1, 3, 2, requires_grad=True)
    value = torch.tensor([[[1e30, 0.0], [1.0, 2.0], [-1e30, 0.0]]])  # log-probability -inf in 32 bits
    site = weighted_site(weight, loc, value)
    assert site["log_prob"][0, 0] == 0 and site["log_prob"][0, 2] == 0
    site["log_prob_sum"].backward()
    assert weight.grad is not None and loc.grad is not None
    assert weight.grad.isfinite().all() and (weight.grad[0, [0, 2]] == 0).all()
    assert torch.equal(loc.grad[0, :, 0], torch.tensor([0.0, 0.5, 0.0]))


def test_weights_reach_what_they_weigh() -> None:
    weight = torch.tensor([[0.3, 0.8]], requires_grad=True)
    site = weighted_site(weight, torch.zeros(1, 2, 1), torch.tensor([[[1.0], [2.0]]]))
    site["log_prob_sum"].backward()
    torch.testing.assert_close(weight.grad, Normal(0.0, 1.0).log_prob(torch.tensor([[1.0, 2.0]])))


@pytest.mark.parametrize("scale", [torch.tensor(0.3), torch.tensor([0.3, 2.0, 0.7]), torch.rand(4, 3) + 0.1])
def test_normal_is_pyros(scale: Tensor) -> None:
    """Values and gradients, whatever the shape of the scale; and it can be expanded, as plates do."""
    found = []
    for distribution_of in (normal, lambda loc, scale: Normal(loc, scale).to_event(1)):
        loc, spread = torch.linspace(-1, 1, 12).view(4, 3).requires_grad_(), scale.clone().requires_grad_()
        distribution = distribution_of(loc, spread).expand((4,)).expand((2, 4))
        density = distribution.log_prob(torch.full((2, 4, 3), 0.4))
        density.sum().backward()
        found.append(
            (density.detach(), loc.grad, spread.grad, distribution.mean.detach(), distribution.stddev.detach())
        )
    torch.testing.assert_close(*found)


def test_normal_refuses_what_pyros_refuses() -> None:
    for loc, scale in ((torch.zeros(2), -torch.ones(2)), (torch.full((2,), torch.nan), torch.ones(2))):
        with pytest.raises(ValueError, match="Expected parameter"):
            normal(loc, scale)
    with pytest.raises(ValueError, match="Expected value"):
        normal(torch.zeros(2), torch.ones(2)).log_prob(torch.full((2,), torch.nan))
