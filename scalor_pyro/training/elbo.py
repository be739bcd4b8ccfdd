"""The ELBO of a fully reparameterised pair, without a host sync at each site, and in few operations."""

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from pyro import poutine
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.infer import ELBO
from pyro.infer.enum import get_importance_trace
from pyro.infer.util import is_validation_enabled
from torch import Tensor
from torch.distributions import kl_divergence

from scalor_pyro.model.distributions import Join, element, joined
from scalor_pyro.model.shared import shared_work


class ReparamELBO(ELBO):
    """:class:`pyro.infer.Trace_ELBO` for guides in which every site is reparameterised.

    Values and gradients are those of ``Trace_ELBO`` with one particle, up to the order of additions. ``Trace_ELBO``
    reads each site's value back to the host, which makes a GPU wait over a hundred times per step; here everything
    stays in tensors. And it evaluates and adds up one site after the other; here all sites with the same weights, and
    those of all frames, are evaluated together: their tensors are small, so that the number of operations counts.

    :param bool analytic_kl: use the closed-form KL of a site if one is registered, as
        :class:`pyro.infer.TraceMeanField_ELBO` does; the presence weights of the guide's sites apply to it.
    """

    def __init__(self, analytic_kl: bool = False) -> None:
        super().__init__()
        self.analytic_kl = analytic_kl

    def _get_trace(self, model: Callable[..., Any], guide: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if is_validation_enabled():  # Pyro compares model and guide, for which it evaluates each site
            return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        return poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs), guide_trace

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """The negative ELBO, summed over the batch.

        :raises ValueError: if the guide has a site that is not reparameterised.
        """
        with shared_work():
            model_trace, guide_trace = self._get_trace(model, guide, args, kwargs)
        alike: dict[Hashable, list[_Site]] = {}
        for site in _sites(model_trace, guide_trace):
            alike.setdefault(site.kind(), []).append(site)
        terms = [term.elbo(self.analytic_kl) for sites in alike.values() for term in _together(sites)]
        return -torch.stack(terms).sum() if terms else torch.zeros(())

    def loss(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """The loss as a number, without gradients."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def loss_and_grads(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """The loss as a number; its gradients are added to the parameters (for :class:`pyro.infer.SVI`)."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return loss.item()


class _Weight(NamedTuple):
    """The scale and mask that Pyro gives to a site, of the shape of its batch."""

    scale: Tensor | float
    mask: Tensor | bool | None

    def is_that_of(self, other: "_Weight") -> bool:
        """Whether another weight is the same, known without looking at its numbers."""
        if self.mask is not other.mask:
            return False
        if isinstance(self.scale, float) and isinstance(other.scale, float):
            return self.scale == other.scale
        return self.scale is other.scale

    def kind(self) -> Hashable:
        """Whether scale and mask are tensors, or which numbers they are."""
        return tuple("tensor" if isinstance(part, Tensor) else part for part in self)

    def applied(self, values: Tensor) -> Tensor:
        """Values of a site, weighted."""
        if not (isinstance(self.scale, float) and self.scale == 1):
            values = values * self.scale
        if self.mask is None or self.mask is True:
            return values
        return torch.where(torch.as_tensor(self.mask, device=values.device), values, values.new_zeros(()))


class _Site(NamedTuple):
    """A site of the model, or several of them put together."""

    value: Tensor
    prior: TorchDistribution
    posterior: TorchDistribution | None  # None: the value is observed
    weight: _Weight
    weight_of_posterior: _Weight

    def kind(self) -> Hashable:
        """Sites of the same kind may be put together."""
        shape, events = self.value.shape, self.prior.event_dim
        distributions = [one for one in (self.prior, self.posterior) if one is not None]
        if not self.weight.is_that_of(self.weight_of_posterior) or any(one.shape() != shape for one in distributions):
            return id(self)
        shape = shape if _is_stacked(events) else shape[:-1]
        return shape, events, self.weight.kind(), *(type(element(one)) for one in distributions)

    def elbo(self, analytic_kl: bool) -> Tensor:
        """What it adds to the ELBO. ()"""
        if self.posterior is None:
            return self.weight.applied(self.prior.log_prob(self.value)).sum()
        if analytic_kl:
            return -self.weight_of_posterior.applied(kl_divergence(self.posterior, self.prior)).sum()
        expected, drawn = self.prior.log_prob(self.value), self.posterior.log_prob(self.value)
        if self.weight.is_that_of(self.weight_of_posterior):
            return self.weight.applied(expected - drawn).sum()
        return self.weight.applied(expected).sum() - self.weight_of_posterior.applied(drawn).sum()

    def spread(self, part: Tensor) -> Tensor:
        """A scale or mask of the batch, for each number of the value."""
        return part[(..., *[None] * self.prior.event_dim)].expand(self.value.shape)


def _is_stacked(events: int) -> bool:
    """Whether sites of events of so many dimensions are stacked, rather than joined along the last of them."""
    return events > 1


def _sites(model_trace: Any, guide_trace: Any) -> Iterator[_Site]:
    for name, site in model_trace.nodes.items():
        if site["type"] != "sample" or poutine.util.site_is_subsample(site):
            continue
        latent = None if site["is_observed"] else guide_trace.nodes[name]
        if latent is not None and not latent["fn"].has_rsample:
            raise ValueError(f"Site {name} of the guide: expected a reparameterised distribution, got {latent['fn']}.")
        weight = _Weight(site["scale"], site["mask"])
        if latent is None:
            yield _Site(site["value"], site["fn"], None, weight, weight)
        else:
            of_posterior = _Weight(latent["scale"], latent["mask"])
            yield _Site(site["value"], site["fn"], latent["fn"], weight, of_posterior)


def _together(sites: list[_Site]) -> list[_Site]:
    """Sites of one kind, put together where that is possible: their single numbers are then the events."""
    first = sites[0]
    join: Join = partial(torch.stack, dim=0) if _is_stacked(first.prior.event_dim) else partial(torch.cat, dim=-1)
    prior = joined([element(site.prior) for site in sites], join)
    latent = [element(site.posterior) for site in sites if site.posterior is not None]
    posterior = joined(latent, join) if latent else None
    if len(sites) == 1 or prior is None or (latent and posterior is None):
        return sites
    weight = _Weight(*(_joined_weights(sites, index, join) for index in range(2)))
    return [_Site(join([site.value for site in sites]), prior, posterior, weight, weight)]


def _joined_weights(sites: list[_Site], index: int, join: Join) -> Any:
    """The scales (0) or the masks (1) of sites of one kind."""
    if not isinstance(sites[0].weight[index], Tensor):
        return sites[0].weight[index]
    parts: list[Any] = [site.weight[index] for site in sites]
    return join([site.spread(part) for site, part in zip(sites, parts, strict=True)])
