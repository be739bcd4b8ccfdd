"""Is a model better after training than before? Both are compared on clips that training did not see.

The ELBO says how well clips are explained, not whether objects are followed: it can rise while tracks break more often.
So the share of objects that continue one of the frame before must not fall by more than chance, either.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import random_state, set_random_state
from scalor_pyro.training.elbo import ReparamELBO

# A gain or a loss that is less than this many times its standard error may be chance.
LEAST_ERRORS = 2.0


class HeldOut(NamedTuple):
    """What the weights of the start and of the end are worth on clips that training did not see."""

    start: float  # ELBO, nats per frame
    end: float
    error: float  # standard error of end - start, over clips
    propagated_start: float  # of the objects after the first frame, the share that continue one of the frame before
    propagated_end: float
    propagated_error: float  # standard error of propagated_end - propagated_start, over clips
    clips: int

    @property
    def is_better(self) -> bool:
        """Whether the ELBO has risen beyond chance, and the propagated share has not fallen beyond chance."""
        lost = self.propagated_start - self.propagated_end
        return self.end - self.start > LEAST_ERRORS * self.error and lost <= LEAST_ERRORS * self.propagated_error

    def sentence(self) -> str:
        """What came out, in words."""
        gain = (
            f"ELBO {self.end - self.start:+.1f} ± {self.error:.1f} nats per frame, propagated"
            f" {self.propagated_start:.4f} before and {self.propagated_end:.4f} ± {self.propagated_error:.4f} after, on"
            f" {self.clips} held-out clips"
        )
        if self.is_better:
            return f"Training has improved the model ({gain}), so the trained weights are kept."
        return f"Training has not improved the model ({gain}), so the weights that it started from are kept."


def compare(scalor: Scalor, start: Mapping[str, Tensor], clips: Tensor) -> HeldOut:
    """Compare a trained model, as it is, with the weights that it started from.

    :param start: the weights by name.
    :param clips: (B, T, C, H, W) in [0, 1], B at least 2.
    """
    trained = {name: value.clone() for name, value in scalor.state_dict().items()}
    after, followed_after = elbos(scalor, clips), followed(scalor, clips)
    _put(scalor, start)
    before, followed_before = elbos(scalor, clips), followed(scalor, clips)
    _put(scalor, trained)
    gain = after - before
    return HeldOut(
        float(before.mean()),
        float(after.mean()),
        float(gain.std() / math.sqrt(len(gain))),
        float(share(followed_before)),
        float(share(followed_after)),
        float(jackknife(share(left_out(followed_after)) - share(left_out(followed_before)))),
        clips=len(clips),
    )


def followed(scalor: Scalor, clips: Tensor) -> Tensor:
    """After the first frame, how many objects continue one of the frame before, and how many are new, as in tracking.

    :return: (B, 2) of each clip.
    """
    inference = infer(scalor, clips, evidence="auto")
    counts = [each.flatten(1).sum(1) for each in (inference.propagated, inference.discovered[:, 1:])]
    return torch.stack(counts, 1).double()


def share(followed: Tensor) -> Tensor:
    """Of all objects after the first frame, the share that continue one of the frame before; 0 if there are none.

    :param followed: (…, B, 2) of each clip. → (…)
    """
    going_on, new = followed.sum(-2).unbind(-1)
    return going_on / (going_on + new).clamp(min=1)


def left_out(followed: Tensor) -> Tensor:
    """The same without each clip in turn. (B, 2) → (B, B - 1, 2)"""
    kept = ~torch.eye(len(followed), dtype=torch.bool)
    return torch.stack([followed[each] for each in kept])


def jackknife(without: Tensor) -> Tensor:
    """Standard error of a figure, from its values without each clip in turn. (B,) → ()"""
    count = len(without)
    return ((without - without.mean()).square().sum() * (count - 1) / count).sqrt()


def elbos(scalor: Scalor, clips: Tensor) -> Tensor:
    """The ELBO of each clip, nats per frame; the noise is the same in each call. (B,)

    :param clips: (B, T, C, H, W) in [0, 1].
    """
    state, objective = random_state(), ReparamELBO()
    found = []
    with pyro.validation_enabled(False):
        for index, clip in enumerate(clips):
            pyro.set_rng_seed(index)
            found.append(-objective.loss(scalor.model, scalor.guide, clip[None]) / len(clip))
    set_random_state(state)
    return torch.tensor(found, dtype=torch.float64)


def _put(scalor: Any, weights: Mapping[str, Tensor]) -> None:
    scalor.load_state_dict(dict(weights))
