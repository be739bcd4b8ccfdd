"""What every model of videos here is: a pair of Pyro programs that are called alike."""

from typing import Any, Protocol

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor


class GuideMessenger(Messenger):
    """Does nothing but stand on Pyro's stack while a guide runs, whose sites have the names of the model's."""


def guide_runs() -> bool:
    """Whether a site that a handler is given is the guide's."""
    return any(isinstance(handler, GuideMessenger) for handler in _PYRO_STACK)


class Program(Protocol):
    """:class:`~scalor_pyro.model.scalor.Scalor`, and what it is compared with (:mod:`scalor_pyro.baselines`)."""

    config: Any

    def model(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> Any:
        """p(x, z): observes the frames (B, T, C, H, W) it is given, imagines the rest."""

    def guide(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> Any:
        """q(z | x), as far as there are frames to see."""
