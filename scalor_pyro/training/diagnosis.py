"""Find where a loss or gradient that is not finite comes from."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from scalor_pyro.runs.checkpoint import set_random_state
from scalor_pyro.training.distributed import World


class NonFiniteError(ValueError):
    """A loss or gradient that is not finite; the message names the site or parameter."""


class _Program(Protocol):
    """A model and guide whose values can be looked at."""

    def model(self, frames: Tensor, /) -> Any: ...

    def guide(self, frames: Tensor, /) -> Any: ...


class _Parameters(Protocol):
    """A module whose gradients can be looked at."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


def diagnosis(
    program: _Program,
    module: _Parameters,
    loss: Tensor,
    frames: Tensor,
    random: Mapping[str, Any],
    world: World,
    where: str,
) -> NonFiniteError:
    """The error that says what was not finite in a step; the step is run again with the same random numbers.

    :param program: what was run.
    :param module: what has the parameters.
    :param loss: () of the step. If it is finite, the gradient, which the parameters still have, was not.
    :param frames: (B, T, C, H, W), the batch of the step.
    :param random: the random state before the step.
    :param world: the processes that train together.
    :param where: the end of the sentence: at which step, and what follows from it.
    """
    if bool(torch.isfinite(loss)):
        name = non_finite_gradient(module.named_parameters())
        return NonFiniteError(f"The gradient of {name or 'all parameters together'} is not finite {where}")
    set_random_state(random)
    with world.noise():
        site = non_finite_site(program.model, program.guide, frames)
    site = next(filter(None, world.gather(site)), None)
    return NonFiniteError(f"The loss is {loss.item()}, first in {site or 'the sum over all sites'}, {where}")


def non_finite_site(model: Callable[[Tensor], Any], guide: Callable[[Tensor], Any], frames: Tensor) -> str | None:
    """Run guide and model once, and name the first site whose value or log-probability is not finite.

    :param frames: (B, T, C, H, W), the batch on which the loss was not finite.
    :returns: the site in words, or None if every site is finite.
    """
    with torch.no_grad():
        guide_trace = poutine.trace(guide).get_trace(frames)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(frames)
        return _first_site(guide_trace, "guide") or _first_site(model_trace, "model")


def _first_site(trace: poutine.Trace, owner: str) -> str | None:
    for name, site in trace.nodes.items():
        if site["type"] != "sample" or site_is_subsample(site):
            continue
        if not _finite(site["value"]):
            return f"the value of site {name} of the {owner}"
        trace.compute_log_prob(site_filter=partial(_is_named, name))
        if not _finite(site["log_prob"]):
            return f"the log-probability of site {name} of the {owner}"
    return None


def _is_named(wanted: str, name: str, site: Any) -> bool:
    return name == wanted


def non_finite_gradient(parameters: Iterable[tuple[str, nn.Parameter]]) -> str | None:
    """The first of the named parameters whose gradient is not finite, or None."""
    for name, parameter in parameters:
        if parameter.grad is not None and not _finite(parameter.grad):
            return name
    return None


def _finite(value: Any) -> bool:
    return bool(torch.isfinite(value).all())
