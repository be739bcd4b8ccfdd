r"""Likelihood of videos under a model: importance-weighted bounds of log p(x) (the NLL of paper §5.1).

.. math::

    \log p(x) \ge E[\log \tfrac1N \sum_{n=1}^N w_n], \qquad w_n = p(x, z_n) / q(z_n | x), \quad z_n \sim q

The bound grows with N and reaches log p(x) (Burda et al., 2016). But it needs true densities. Training counts an
object's latents as much as the object is present (:func:`~scalor_pyro.model.distributions.weighted_by`): p(z)^w is no
density, and a product of such factors is no importance weight. So here a latent counts in full or not at all:

- If its weight is below :data:`ABSENT`, or it is masked, it is drawn anew from the prior and does not count: a proposal
  from the prior cancels against the prior.
- Otherwise the guide's draw is used, and log p − log q counts in full, whatever its weight.

This is a proper importance sampler for any threshold. Let a be the draws of the guide that are used, b the new ones and
v the draws of the guide that are not used (later draws of the guide may depend on them). The proposal is
q(a, v | x) p(b | …), and the target p(x, a, b) is extended by the guide's own conditionals of v, which integrate to
one and cancel. Which latents are absent follows from a and b alone, in the order in which the model draws them. The
weight that remains is p(x | a, b) times p / q of the latents in a, and its mean is p(x).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from scalor_pyro.inference.inputs import require_videos, undisturbed
from scalor_pyro.model.program import Program, mark_drawn
from scalor_pyro.model.shared import shared_work

# Below this weight an object is absent: its other latents are drawn from the prior and do not count.
# Any threshold gives a bound. Close to 1, new draws disturb the frame; close to 0, latents count that the guide was
# hardly trained on.
ABSENT = 0.05

# The plate whose elements are independent data, each with a weight of its own.
PLATE = "sequences"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Bounds of log p(x) of B independent sequences.

    :param samples: growing numbers of samples.
    :param bound: (len(samples), B) in nats: log of the mean of the first so many weights.
    :param effective: (B,) effective sample size of all samples, (Σw)² / Σw²: from 1 (one sample dominates, and the
        bound is still far from log p(x)) to N (the guide is the posterior).
    """

    samples: tuple[int, ...]
    bound: Tensor
    effective: Tensor


class LogMean:
    """The log of a running mean of weights; holds sums only."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._sum_of_squares = torch.tensor(-torch.inf, dtype=torch.float64)  # logarithms of them

    def add(self, log_weight: Tensor) -> None:
        """Count one log-weight of each sequence. (B,)"""
        log_weight = log_weight.detach().cpu().double()
        self.count += 1
        self._sum = torch.logaddexp(self._sum, log_weight)
        self._sum_of_squares = torch.logaddexp(self._sum_of_squares, 2 * log_weight)

    @property
    def value(self) -> Tensor:
        """(B,) log of the mean of all weights so far."""
        return self._sum - math.log(self.count)

    @property
    def effective(self) -> Tensor:
        """(B,) effective sample size, from 1 to the number of weights."""
        return (2 * self._sum - self._sum_of_squares).exp()


class ImportanceMessenger(Messenger):
    """Run a model on a guide's draws, and add up the log-weight, see :mod:`scalor_pyro.inference.likelihood`.

    Latents that only the model has are drawn from their prior; those that only the guide has are not used.

    :param proposal: a trace of the guide.
    :param plate: the plate whose elements each have a weight; every site must be within it.
    """

    def __init__(self, proposal: poutine.Trace, plate: str = PLATE) -> None:
        super().__init__()
        self.proposal = proposal
        self.plate = plate
        self.log_weight = torch.zeros((), dtype=torch.float64)  # (B,) after the first site

    def _pyro_sample(self, msg: Any) -> None:
        if _is_no_density(msg):
            return
        if not msg["is_observed"]:
            self._choose(msg)
        msg["scale"] = 1.0

    def _choose(self, msg: Any) -> None:
        """Use the guide's value where the latent is present, a new one elsewhere."""
        if msg["name"] not in self.proposal:
            msg["mask"] = False
            return
        distribution, proposed = msg["fn"], self._proposed(msg)["value"]
        if proposed.shape != distribution.shape():
            raise ValueError(
                f"Site {msg['name']} of the guide: expected shape {tuple(distribution.shape())}, as in the model, got"
                f" {tuple(proposed.shape)}."
            )
        there = _there(msg).to(proposed.device).expand(distribution.batch_shape)
        of_event = there[(..., *[None] * distribution.event_dim)]
        msg["value"], msg["done"] = torch.where(of_event, proposed, distribution.sample()), True
        mark_drawn(msg)
        msg["mask"] = there

    def _pyro_post_sample(self, msg: Any) -> None:
        if _is_no_density(msg) or msg["mask"] is False:
            return
        log_ratio = msg["fn"].log_prob(msg["value"])
        if not msg["is_observed"]:
            proposed = self._proposed(msg)
            log_ratio = log_ratio - proposed["fn"].log_prob(proposed["value"])
        if msg["mask"] is not None:
            log_ratio = torch.where(torch.as_tensor(msg["mask"]), log_ratio, log_ratio.new_zeros(()))
        self.log_weight = self.log_weight.to(log_ratio.device) + self._of_each(log_ratio.double(), msg)

    def _proposed(self, msg: Any) -> Any:
        return self.proposal.nodes[msg["name"]]

    def _of_each(self, log_ratio: Tensor, msg: Any) -> Tensor:
        """The sum over everything but the plate. (…) → (B,)"""
        for frame in msg["cond_indep_stack"]:
            if frame.full_size not in (None, frame.size):
                raise ValueError(
                    f"Plate {frame.name}: expected all {frame.full_size} elements, got {frame.size}; a subsample has"
                    " no evidence."
                )
        dims = [frame.dim for frame in msg["cond_indep_stack"] if frame.name == self.plate]
        if not dims:
            raise ValueError(f"Site {msg['name']}: expected it within plate {self.plate}, got it outside.")
        return log_ratio.movedim(dims[0], 0).flatten(1).sum(1) if log_ratio.dim() > 1 else log_ratio


def _is_no_density(msg: Any) -> bool:
    """Whether a site is a plate's own, or deterministic."""
    return bool(poutine.util.site_is_subsample(msg) or msg["infer"].get("_deterministic"))


def _there(msg: Any) -> Tensor:
    """Which elements of a site are present, by the weight and the mask that the program gives them."""
    there = torch.as_tensor(msg["scale"]) >= ABSENT
    return there if msg["mask"] is None else there & torch.as_tensor(msg["mask"])


@torch.no_grad()
def log_weight(
    model: Callable[..., Any], guide: Callable[..., Any], *args: Any, plate: str = PLATE, **kwargs: Any
) -> Tensor:
    """One sample of log p(x, z) − log q(z | x) for each element of a plate, valid however presence weighs the latents.

    :param model: a Pyro program; masked observed sites count as missing.
    :param guide: its guide, which takes the same arguments.
    :param plate: name of the plate of independent data.
    :return: (B,) in nats.
    :raises ValueError: for a site outside the plate, a subsample, or shapes that differ between model and guide.
    """
    with pyro.validation_enabled(False), shared_work():
        proposal = poutine.trace(guide).get_trace(*args, **kwargs)
        with ImportanceMessenger(proposal, plate) as importance:
            model(*args, **kwargs)
    return importance.log_weight


def log_evidence(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    samples: Sequence[int],
    plate: str = PLATE,
    **kwargs: Any,
) -> Evidence:
    """The importance-weighted bound of log p(x) for growing numbers of samples; memory does not grow with them.

    :param samples: increasing numbers of samples, from 1.
    :raises ValueError: for other numbers, and as :func:`log_weight`.
    """
    counts = tuple(samples)
    if not counts or counts[0] < 1 or any(a >= b for a, b in zip(counts, counts[1:], strict=False)):
        raise ValueError(f"samples: expected increasing numbers from 1, got {counts}.")
    mean, bounds = LogMean(), []
    for count in range(1, counts[-1] + 1):
        mean.add(log_weight(model, guide, *args, plate=plate, **kwargs))
        if count in counts:
            bounds.append(mean.value)
    return Evidence(counts, torch.stack(bounds), mean.effective)


def nll(program: Program, x: Tensor, samples: int = 100) -> Tensor:
    """Importance-weighted negative log-likelihood of videos, in nats per pixel; its mean falls as samples grow.

    Total nats / (T · H · W): the channels of a pixel are summed. A density of numbers in [0, 1] may be above 1, so this
    may be negative. The paper does not state the scale of its NLL, so compare only figures measured by this function.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :param samples: N.
    :return: (B,)
    :raises ValueError: if x is not a batch of videos that this model can see, or N is below 1.
    """
    require_videos(program, x)
    with undisturbed():
        evidence = log_evidence(program.model, program.guide, x, samples=[samples])
    frames, height, width = x.shape[1], x.shape[3], x.shape[4]
    return -evidence.bound[-1] / (frames * height * width)
