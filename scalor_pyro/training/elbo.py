"""The ELBO of a fully reparameterised pair, without a host sync at each site."""

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.infer import ELBO
from pyro.infer.enum import get_importance_trace
from torch import Tensor
from torch.distributions import kl_divergence

from scalor_pyro.model.shared import shared_work


class ReparamELBO(ELBO):
    """:class:`pyro.infer.Trace_ELBO` for guides in which every site is reparameterised.

    Values and gradients are those of ``Trace_ELBO`` with one particle. ``Trace_ELBO`` reads each site's value back to
    the host, which makes a GPU wait over a hundred times per step; here everything stays in tensors.

    :param bool analytic_kl: use the closed-form KL of a site if one is registered, as
        :class:`pyro.infer.TraceMeanField_ELBO` does; the presence weights of the guide's sites apply to it.
    """

    def __init__(self, analytic_kl: bool = False) -> None:
        super().__init__()
        self.analytic_kl = analytic_kl

    def _get_trace(self, model: Callable[..., Any], guide: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """The negative ELBO, summed over the batch.

        :raises ValueError: if the guide has a site that is not reparameterised.
        """
        with shared_work():
            model_trace, guide_trace = self._get_trace(model, guide, args, kwargs)
        elbo: Tensor | float = 0.0  # no tensor of the host
        for name, site in model_trace.nodes.items():
            if site["type"] != "sample" or poutine.util.site_is_subsample(site):
                continue
            latent = None if site["is_observed"] else guide_trace.nodes[name]
            if latent is None:
                elbo = elbo + site["log_prob_sum"]
            elif not latent["fn"].has_rsample:
                raise ValueError(
                    f"Site {name} of the guide: expected a reparameterised distribution, got {latent['fn']}."
                )
            elif self.analytic_kl:
                elbo = elbo - _scaled(kl_divergence(latent["fn"], site["fn"]), latent)
            else:
                elbo = elbo + (site["log_prob_sum"] - latent["log_prob_sum"])
        return -torch.as_tensor(elbo)

    def loss(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """The loss as a number, without gradients."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def loss_and_grads(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """The loss as a number; its gradients are added to the parameters (for :class:`pyro.infer.SVI`)."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return loss.item()


def _scaled(kl: Tensor, site: dict[str, Any]) -> Tensor:
    if site["mask"] is not None:
        kl = torch.where(site["mask"], kl, kl.new_zeros(()))
    return (kl * site["scale"]).sum()
