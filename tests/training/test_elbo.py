"""The sync-free ELBO is Pyro's own."""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import ELBO, SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor

from scalor_pyro.model.distributions import QuickNormal, weighted_by
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.shared import shared_work
from scalor_pyro.training.elbo import ReparamELBO

DATA = torch.linspace(-1, 2, 6)


def model() -> None:
    """Weights, masks, plates and a subsample: all that scales a site."""
    with pyro.plate("videos", 2, dim=-2):
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0).expand([2, 1]))
        with pyro.plate("data", 6, subsample_size=4, dim=-1) as index, weighted_by(torch.tensor([0.0, 0.3, 0.7, 1.0])):
            noisy = pyro.sample("noisy", dist.Normal(mean, 0.5))
            pyro.sample("x", dist.Normal(noisy, 0.5), obs=DATA[index].expand(2, 4))


def guide() -> None:
    loc = pyro.param("loc", torch.tensor([[0.1], [0.4]]))
    scale = pyro.param("scale", torch.tensor(0.7), constraint=dist.constraints.positive)
    with pyro.plate("videos", 2, dim=-2):
        pyro.sample("mean", dist.Normal(loc, scale))
        with pyro.plate("data", 6, subsample_size=4, dim=-1), weighted_by(torch.tensor([0.0, 0.3, 0.7, 1.0])):
            pyro.sample("noisy", dist.Normal(loc.expand(2, 4), scale))


def of_scalor(scalor: Scalor, x: Tensor, elbo: ELBO) -> tuple[float, dict[str, Tensor]]:
    pyro.set_rng_seed(3)
    scalor.zero_grad()
    with shared_work():  # so that gradients are summed in the same order
        loss = elbo.loss_and_grads(scalor.model, scalor.guide, x)
    return loss, {name: p.grad.clone() for name, p in scalor.named_parameters() if p.grad is not None}


def of_program(elbo: ELBO) -> tuple[float, dict[str, Tensor]]:
    pyro.clear_param_store()
    pyro.set_rng_seed(3)
    loss = elbo.loss_and_grads(model, guide)
    store = pyro.get_param_store()
    return loss, {name: p.grad.clone() for name, p in store.named_parameters()}


pairs = pytest.mark.parametrize(
    ("ours", "pyros"),
    [(lambda: ReparamELBO(), lambda: Trace_ELBO()), (lambda: ReparamELBO(analytic_kl=True), TraceMeanField_ELBO)],
    ids=["trace", "analytic"],
)
Factory = Callable[[], ELBO]


@pairs
@pytest.mark.parametrize(
    "changes", [{}, {"background": "none"}, {"background": "static"}], ids=["background", "black", "static"]
)
def test_scalor_learns_the_same(
    make_scalor: Callable[..., Scalor], videos: Tensor, changes: dict[str, str], ours: Factory, pyros: Factory
) -> None:
    scalor = make_scalor(**changes).double()
    with pyro.validation_enabled(False):  # with it, Pyro makes the traces
        (mine, gradients), (theirs, expected) = (of_scalor(scalor, videos.double(), elbo()) for elbo in (ours, pyros))
    assert mine == pytest.approx(theirs, rel=1e-13)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@pairs
def test_scales_masks_and_subsamples_count(ours: Factory, pyros: Factory) -> None:
    (mine, gradients), (theirs, expected) = (of_program(elbo()) for elbo in (ours, pyros))
    assert mine == pytest.approx(theirs, rel=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name])


def test_the_analytic_kl_is_the_mean_of_the_sampled_one() -> None:
    def losses(elbo: ELBO) -> Tensor:
        return torch.tensor([elbo.loss(model, guide) for _ in range(150)])

    sampled, analytic = losses(ReparamELBO()), losses(ReparamELBO(analytic_kl=True))
    error = (sampled.var() / 150 + analytic.var() / 150).sqrt()
    assert (sampled.mean() - analytic.mean()).abs() < 4 * error


def test_step_and_evaluation(scalor: Scalor, videos: Tensor) -> None:
    svi = SVI(scalor.model, scalor.guide, pyro.optim.Adam({"lr": 1e-3}), ReparamELBO())
    before = [parameter.clone() for parameter in scalor.parameters()]
    evaluated = svi.evaluate_loss(videos)
    assert isinstance(evaluated, float)
    assert all(parameter.grad is None for parameter in scalor.parameters())
    assert isinstance(svi.step(videos), float)
    assert any(not torch.equal(a, b) for a, b in zip(before, scalor.parameters(), strict=True))


def test_differentiable_loss_is_a_tensor(scalor: Scalor, videos: Tensor) -> None:
    loss = ReparamELBO().differentiable_loss(scalor.model, scalor.guide, videos)
    assert loss.shape == () and loss.requires_grad


def test_refuses_a_guide_that_is_not_reparameterised() -> None:
    def coin() -> None:
        pyro.sample("side", dist.Bernoulli(0.5))

    def call() -> None:
        pyro.sample("side", dist.Bernoulli(pyro.param("p", torch.tensor(0.5))))

    with pytest.raises(ValueError, match="side .* reparameterised"):
        ReparamELBO().loss_and_grads(coin, call)


def test_sites_of_all_frames_are_evaluated_together(
    scalor: Scalor, videos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[int] = []
    log_prob = QuickNormal.log_prob

    def counted(normal: QuickNormal, value: Tensor) -> Tensor:
        evaluated.append(value.numel())
        return log_prob(normal, value)

    monkeypatch.setattr(QuickNormal, "log_prob", counted)
    with pyro.validation_enabled(False):
        ReparamELBO().differentiable_loss(scalor.model, scalor.guide, videos)
    # Prior and posterior of propagated objects, first and later proposals, and backgrounds; and the frames.
    assert len(evaluated) == 2 * 4 + 1


def test_double_precision_to_the_last_digits(scalor: Scalor, videos: Tensor) -> None:
    scalor.double()
    mine, theirs = (of_scalor(scalor, videos.double(), elbo)[0] for elbo in (ReparamELBO(), Trace_ELBO()))
    assert mine == pytest.approx(theirs, rel=1e-13)
