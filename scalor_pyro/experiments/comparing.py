"""Is a model better after training than before? Both are compared on clips that training did not see.

The ELBO says how well clips are explained, not whether objects are followed: it can rise while tracks break more often.
So the share of objects that continue one of the frame before must not fall, either.
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

# Trained weights are kept if the gain is this many times its standard error: less may be chance.
LEAST_ERRORS = 2.0


class HeldOut(NamedTuple):
    """What the weights of the start and of the end are worth on clips that training did not see."""

    start: float  # ELBO, nats per frame
    end: float
    error: float  # standard error of end - start, over clips
    propagated_start: float  # of the objects after the first frame, the share that continue one of the frame before
    propagated_end: float
    clips: int

    @property
    def is_better(self) -> bool:
        """Whether the ELBO has risen, beyond chance, and as many objects are followed."""
        return self.end - self.start > LEAST_ERRORS * self.error and self.propagated_end >= self.propagated_start

    def sentence(self) -> str:
        """What came out, in words."""
        gain = (
            f"ELBO {self.end - self.start:+.1f} ± {self.error:.1f} nats per frame, propagated"
            f" {self.propagated_start:.4f} before and {self.propagated_end:.4f} after, on {self.clips} held-out clips"
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
    after, propagated_after = elbos(scalor, clips), propagated(scalor, clips)
    _put(scalor, start)
    before, propagated_before = elbos(scalor, clips), propagated(scalor, clips)
    _put(scalor, trained)
    gain = after - before
    error = float(gain.std() / math.sqrt(len(gain)))
    return HeldOut(
        float(before.mean()), float(after.mean()), error, propagated_before, propagated_after, clips=len(clips)
    )


def propagated(scalor: Scalor, clips: Tensor) -> float:
    """Of the objects after the first frame, the share that continue one of the frame before; 0 if there are none.

    What is new, and what goes on, is decided as in tracking.
    """
    inference = infer(scalor, clips, evidence="auto")
    going_on, new = int(inference.propagated.sum()), int(inference.discovered[:, 1:].sum())
    return going_on / (going_on + new) if going_on + new else 0.0


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
