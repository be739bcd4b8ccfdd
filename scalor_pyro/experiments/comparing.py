"""Is a model better after training than before? Both are compared on clips that training did not see.

The ELBO says how well clips are explained, not whether objects are followed: it rises in nearly every training on a
video, while tracks may break more often, and a model that parts objects which another one draws as one may explain
pixels no better. So what counts is how many objects continue one of the frame before: as a number, because their share
of all objects falls if a model also finds those that are hard to follow. The ELBO only must not fall.

ELBOs of models with other networks or priors compare, too, as long as the frames and their σ are the same.
"""

import math
from typing import Any, Literal, NamedTuple

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


class Gain(NamedTuple):
    """A figure before and after training."""

    start: float
    end: float
    error: float  # standard error of end - start, over clips

    @property
    def has_risen(self) -> bool:
        """Whether it is larger, beyond chance."""
        return self.end - self.start > LEAST_ERRORS * self.error

    @property
    def has_fallen(self) -> bool:
        """Whether it is smaller, beyond chance."""
        return self.start - self.end > LEAST_ERRORS * self.error

    def words(self, digits: str) -> str:
        """The difference, as ``+1.2 ± 0.3``."""
        return f"{self.end - self.start:+{digits}} ± {self.error:{digits}}"


class HeldOut(NamedTuple):
    """What the weights of the start and of the end of a training are worth on clips that it did not see."""

    elbo: Gain  # nats per frame
    followed: Gain  # objects of a clip, after its first frame, that continue one of the frame before
    propagated: Gain  # their share of all objects after the first frame, which decides nothing
    clips: int

    @property
    def is_better(self) -> bool:
        """Whether more objects are followed, and the clips are explained no worse, beyond chance."""
        return self.followed.has_risen and not self.elbo.has_fallen

    def plain(self) -> dict[str, Any]:
        """The figures by name, ready for JSON."""
        figures = {name: getattr(self, name)._asdict() for name in ("elbo", "followed", "propagated")}
        return {**figures, "clips": self.clips}


class Choice(NamedTuple):
    """Which model of a run is kept: the best on held-out clips, or that of the start if none is better than it."""

    trained: HeldOut  # the start's weights, and the same trained further
    fresh: HeldOut | None = None  # … and those that began at random; None: none did
    between: HeldOut | None = None  # from the former end to the latter

    @property
    def kept(self) -> Literal["start", "end", "fresh"]:
        """The weights of the start, of the end of their training, or of the model that began at random."""
        if self.fresh is None or self.between is None or not self.fresh.is_better:
            return "end" if self.trained.is_better else "start"
        followed, elbo = self.between.followed, self.between.elbo
        more = followed.has_risen or (not followed.has_fallen and elbo.end > elbo.start)
        return "fresh" if more or not self.trained.is_better else "end"

    def sentence(self) -> str:
        """What is kept, in words."""
        return {
            "start": "Training has not improved the model, so the weights that it started from are kept.",
            "end": "Training has improved the model, so the trained weights are kept.",
            "fresh": "The model that began with random weights is the best, so it is kept.",
        }[self.kept]

    def rows(self) -> list[tuple[str, str]]:
        """The figures by name: those of the start, and what has been gained."""
        shown = {"elbo": ("ELBO", ".1f", "nats per frame"), "followed": ("followed", ".1f", "objects per clip")}
        shown["propagated"] = ("propagated", ".4f", "of the objects")
        rows = []
        for name, (title, digits, unit) in shown.items():
            trained: Gain = getattr(self.trained, name)
            words = f"{trained.start:{digits}} {unit} at the start; trained {trained.words(digits)}"
            if self.fresh is not None:
                words += f"; from random weights {getattr(self.fresh, name).words(digits)}"
            rows.append((title, words))
        return rows

    def plain(self) -> dict[str, Any]:
        """The figures by name, ready for JSON."""
        fresh = {} if self.fresh is None else {"fresh": self.fresh.plain()}
        return {**self.trained.plain(), **fresh, "kept": self.kept}


def on_clips(scalor: Scalor, clips: Tensor) -> OnClips:
    """What a model, as it is, is worth on clips.

    :param clips: (B, T, C, H, W) in [0, 1], B at least 2.
    """
    return OnClips(elbos(scalor, clips), followed(scalor, clips))


def compared(before: OnClips, after: OnClips) -> HeldOut:
    """Compare two models by what they are worth on the same clips, as they see them."""
    share_gain = share(left_out(after.followed)) - share(left_out(before.followed))
    propagated = Gain(float(share(before.followed)), float(share(after.followed)), float(jackknife(share_gain)))
    counted = gain(before.followed[:, 0], after.followed[:, 0])
    return HeldOut(gain(before.elbos, after.elbos), counted, propagated, clips=len(before.elbos))


def gain(before: Tensor, after: Tensor) -> Gain:
    """The means of a figure over clips, and the standard error of their difference. (B,), (B,) →"""
    differences = after - before
    error = float(differences.std() / math.sqrt(len(differences)))
    return Gain(float(before.mean()), float(after.mean()), error)


def followed(scalor: Scalor, clips: Tensor) -> Tensor:
    """After the first frame, how many objects continue one of the frame before, and how many are new, by evidence.

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
