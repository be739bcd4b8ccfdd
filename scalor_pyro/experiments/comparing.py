"""Is a model better after training than before? Both are compared on clips that training did not see.

The ELBO says how well clips are explained, not whether objects are followed: it can rise while tracks break more often.
So the share of objects that continue one of the frame before must not fall by more than chance, either.

ELBOs of models with other networks or priors compare, too, as long as the frames and their σ are the same.
"""

import math
from typing import Literal, NamedTuple

import pyro
import torch
from torch import Tensor

from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import random_state, set_random_state
from scalor_pyro.training.elbo import ReparamELBO

# A gain or a loss that is less than this many times its standard error may be chance.
LEAST_ERRORS = 2.0


class OnClips(NamedTuple):
    """What a model is worth on some clips."""

    elbos: Tensor  # (B,) nats per frame
    followed: Tensor  # (B, 2) see :func:`followed`


class HeldOut(NamedTuple):
    """What the weights of the start and of the end of a training are worth on clips that it did not see."""

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

    def gain(self) -> str:
        """The difference between both, in words."""
        return (
            f"ELBO {self.end - self.start:+.1f} ± {self.error:.1f} nats per frame, propagated"
            f" {self.propagated_start:.4f} before and {self.propagated_end:.4f} ± {self.propagated_error:.4f} after"
        )


class Choice(NamedTuple):
    """Which model of a run is kept: the best on held-out clips, or that of the start if none is better than it."""

    trained: HeldOut  # the start's weights, and the same trained further
    fresh: HeldOut | None  # … and those that began at random; None: none did

    @property
    def kept(self) -> Literal["start", "end", "fresh"]:
        """The weights of the start, of the end of their training, or of the model that began at random."""
        end, fresh = self.trained, self.fresh
        if fresh is not None and fresh.is_better and not (end.is_better and end.end >= fresh.end):
            return "fresh"
        return "end" if end.is_better else "start"

    def sentence(self) -> str:
        """What came out, in words."""
        found = self.trained.gain()
        if self.fresh is not None:
            found += f"; from random weights: {self.fresh.gain()}"
        found = f"{found}; on {self.trained.clips} held-out clips"
        return {
            "start": f"Training has not improved the model ({found}), so the weights that it started from are kept.",
            "end": f"Training has improved the model ({found}), so the trained weights are kept.",
            "fresh": f"The model that began with random weights is the best ({found}), so it is kept.",
        }[self.kept]


def on_clips(scalor: Scalor, clips: Tensor) -> OnClips:
    """What a model, as it is, is worth on clips.

    :param clips: (B, T, C, H, W) in [0, 1], B at least 2.
    """
    return OnClips(elbos(scalor, clips), followed(scalor, clips))


def compared(before: OnClips, after: OnClips) -> HeldOut:
    """Compare two models by what they are worth on the same clips, as they see them."""
    gain = after.elbos - before.elbos
    return HeldOut(
        float(before.elbos.mean()),
        float(after.elbos.mean()),
        float(gain.std() / math.sqrt(len(gain))),
        float(share(before.followed)),
        float(share(after.followed)),
        float(jackknife(share(left_out(after.followed)) - share(left_out(before.followed)))),
        clips=len(gain),
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
