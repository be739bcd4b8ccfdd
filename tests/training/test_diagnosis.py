"""Values that are not finite are traced to their site or parameter."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn

from scalor_pyro.training.diagnosis import non_finite_gradient, non_finite_site


def guide(frames: Tensor) -> None:
    with pyro.plate("sequences", 2):
        pyro.sample("z_a", dist.Normal(frames[0], 1.0))
        pyro.sample("z_b", dist.Normal(frames[1], frames[2]))


def model(frames: Tensor) -> None:
    with pyro.plate("sequences", 2):
        pyro.sample("z_a", dist.Normal(0.0, 1.0))
        hidden = pyro.sample("z_b", dist.Normal(0.0, 1.0))
        pyro.sample("z_c", dist.Normal(0.0, 1.0), obs=frames[3])
        with poutine.mask(mask=torch.BoolTensor([True, False])):
            pyro.sample("x", dist.Normal(hidden, 1.0), obs=frames[4])


@pytest.mark.parametrize(
    ("argument", "value", "named"),
    [
        (0, torch.inf, "the value of site z_a of the guide"),
        (1, torch.nan, "the value of site z_b of the guide"),
        (2, 0.0, "the log-probability of site z_b of the guide"),
        (3, torch.nan, "the value of site z_c of the model"),
        (4, torch.nan, "the value of site x of the model"),
        (4, 1e30, "the log-probability of site x of the model"),
        (4, 1.0, None),
    ],
)
def test_first_site_that_is_not_finite_is_named(argument: int, value: float, named: str | None) -> None:
    frames = torch.ones(5, 2)
    frames[argument, 0] = value
    with pyro.validation_enabled(False):
        assert non_finite_site(model, guide, frames) == named


def test_masked_log_probabilities_do_not_count() -> None:
    frames = torch.ones(5, 2)
    frames[4, 1] = 1e30
    with pyro.validation_enabled(False):
        assert non_finite_site(model, guide, frames) is None


def test_first_gradient_that_is_not_finite_is_named() -> None:
    first, second = nn.Linear(2, 3), nn.Linear(3, 5)
    module = nn.Sequential(first, second)
    assert non_finite_gradient(module.named_parameters()) is None
    module(torch.ones(2)).sum().backward()
    assert non_finite_gradient(module.named_parameters()) is None
    for parameter in (second.bias, first.bias):
        assert parameter.grad is not None
        parameter.grad[1] = torch.nan
    assert non_finite_gradient(module.named_parameters()) == "0.bias"
