"""The relaxed Bernoulli of presence, and the weight that presence gives to an object's other latents."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from pyro.distributions import Normal, constraints
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Bernoulli, Independent, kl_divergence, register_kl
from torch.distributions.utils import _standard_normal, clamp_probs

from scalor_pyro.model.shared import once

# The smallest weight of a site, because Pyro's scales must not be zero; the mask removes sites of weight 0.
SMALLEST_WEIGHT = 1e-6
HALF_LOG_2PI = math.log(2 * math.pi) / 2


class RelaxedPresence(TorchDistribution):
    """Relaxed Bernoulli in logit space: z_pres is the sigmoid of what it samples (paper §3.1, Maddison et al. 2017).

    Differs: the paper's sample lies in (0, 1). There, samples near the ends have to be clamped, which biases the
    log-ratio of posterior and prior by several nats at low temperature; in logit space nothing is clamped.

    :param Tensor temperature: () relaxation, above 0; towards 0 the samples tend to 0 and 1.
    :param Tensor logits: log-odds of presence, any batch shape.
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature: Tensor, logits: Tensor, validate_args: bool | None = None) -> None:
        self.temperature = temperature
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    @property
    def mode_logit(self) -> Tensor:
        """The sample without its noise."""
        return self.logits / self.temperature

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "RelaxedPresence":
        return RelaxedPresence(self.temperature, self.logits.expand(tuple(batch_shape)), validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = clamp_probs(torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device))
        return (uniform.logit() + self.logits) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        difference = self.logits - value * self.temperature
        return self.temperature.log() + difference - 2 * F.softplus(difference)


@register_kl(RelaxedPresence, RelaxedPresence)
def _kl_presence(q: RelaxedPresence, p: RelaxedPresence) -> Tensor:
    # Of the underlying Bernoullis: the relaxed pair has no closed form.
    return kl_divergence(Bernoulli(logits=q.logits), Bernoulli(logits=p.logits))


def weighted_by(presence: Tensor) -> AbstractContextManager[Any]:
    """Weight the sites within by the presence of their objects: an absent object does not count.

    Used in model and guide, so that the objective is the presence-weighted ELBO of the paper (App. C). To be entered
    outside of plates: they multiply weights that are given within them, one site after the other.

    :param Tensor presence: weight in [0, 1], of the batch shape of the sites within.
    """
    return _Weighted(*once(_scale_and_mask, presence))


class _Weighted(Messenger):
    """``poutine.scale`` and ``poutine.mask`` in one; a site without another weight gets these very tensors."""

    def __init__(self, scale: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.scale, self.mask = scale, mask

    def _pyro_sample(self, msg: Any) -> None:
        scale, mask = msg["scale"], msg["mask"]
        msg["scale"] = self.scale if isinstance(scale, float) and scale == 1 else self.scale * scale
        msg["mask"] = self.mask if mask is None else mask & self.mask


def _scale_and_mask(presence: Tensor) -> tuple[Tensor, Tensor]:
    return presence.clamp(min=SMALLEST_WEIGHT), presence > 0


def standard_normal(shape: Sequence[int], like: Tensor) -> TorchDistribution:
    """N(0, 1) of a shape whose last dimension is the event, with the dtype and device of another tensor."""
    return normal(like.new_zeros(()).expand(shape), like.new_ones(()).expand(shape))


class QuickNormal(Normal):
    """:class:`pyro.distributions.Normal` with half the operations: a step evaluates it more than a hundred times.

    :param Tensor loc: any shape.
    :param Tensor scale: of a shape that expands to loc's. Its logarithm is computed in this shape: once, if it is one
        number for all pixels.
    """

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(loc, scale, validate_args=validate_args)
        self.given_scale = scale

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "QuickNormal":
        if torch.Size(batch_shape) == self.batch_shape:
            return self
        return QuickNormal(self.loc.expand(tuple(batch_shape)), self.given_scale, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = _standard_normal(shape, self.loc.dtype, self.loc.device)
        return torch.addcmul(self.loc, noise, self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        deviation = (value - self.loc) / self.given_scale
        return torch.addcmul(-HALF_LOG_2PI - self.given_scale.log(), deviation, deviation, value=-0.5)


def normal(loc: Tensor, scale: Tensor, event_dims: int = 1) -> TorchDistribution:
    """A diagonal Normal whose last dimensions are its event."""
    return QuickNormal(loc, scale).to_event(event_dims)


def element(distribution: TorchDistribution) -> TorchDistribution:
    """The distribution of the single numbers of an event, for one whose numbers are independent."""
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution


Join = Callable[[Sequence[Tensor]], Tensor]


def joined(distributions: Sequence[TorchDistribution], join: Join) -> TorchDistribution | None:
    """One distribution of all numbers of several sites, whose densities then take a few operations for all of them.

    :param distributions: of single numbers (:func:`element`).
    :param join: puts tensors of all sites together, each of the shape of its site's value.
    :return: None if there is more than one kind of them, or a kind that cannot be joined.
    """
    if all(type(one) is QuickNormal for one in distributions):
        locs, scales = [one.loc for one in distributions], [one.given_scale for one in distributions]
        if all(scale is scales[0] for scale in scales) and scales[0].dim() == 0:
            return QuickNormal(join(locs), scales[0])
        return QuickNormal(join(locs), join([one.scale for one in distributions]))
    if all(type(one) is RelaxedPresence for one in distributions):
        temperature = distributions[0].temperature
        if all(one.temperature is temperature for one in distributions):
            return RelaxedPresence(temperature, join([one.logits for one in distributions]))
    return None
