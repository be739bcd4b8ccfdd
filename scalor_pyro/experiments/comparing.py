"""Is a model better after training than before? Its ELBO on clips that training did not see, before and after."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import random_state, set_random_state
from scalor_pyro.training.elbo import ReparamELBO

# Trained weights are kept if the gain is this many times its standard error: less may be chance.
LEAST_ERRORS = 2.0


class HeldOut(NamedTuple):
    """ELBO of clips that training did not see, nats per frame, with the weights of the start and of the end."""

    start: float
    end: float
    error: float  # standard error of end - start, over clips
    clips: int

    @property
    def is_better(self) -> bool:
        """Whether training has helped, beyond chance."""
        return self.end - self.start > LEAST_ERRORS * self.error

    def sentence(self) -> str:
        """What came out, in words."""
        gain = f"{self.end - self.start:+.1f} ± {self.error:.1f} nats per frame on {self.clips} held-out clips"
        if self.is_better:
            return f"Training has improved the model ({gain}), so the trained weights are kept."
        return f"Training has not improved the model ({gain}), so the weights that it started from are kept."


def compare(scalor: Scalor, start: Mapping[str, Tensor], clips: Tensor) -> HeldOut:
    """Compare a trained model, as it is, with the weights that it started from.

    :param start: the weights by name.
    :param clips: (B, T, C, H, W) in [0, 1], B at least 2.
    """
    trained = {name: value.clone() for name, value in scalor.state_dict().items()}
    end = elbos(scalor, clips)
    _put(scalor, start)
    before = elbos(scalor, clips)
    _put(scalor, trained)
    gain = end - before
    return HeldOut(float(before.mean()), float(end.mean()), float(gain.std() / math.sqrt(len(gain))), len(gain))


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
