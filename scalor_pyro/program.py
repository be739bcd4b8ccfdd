"""What every model of videos here is: a pair of Pyro programs that are called alike."""

from typing import Any, Protocol

from torch import Tensor


class Program(Protocol):
    """:class:`~scalor_pyro.scalor.Scalor`, and what it is compared with (:mod:`scalor_pyro.baselines`)."""

    config: Any

    def model(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> Any:
        """p(x, z): observes the frames (B, T, C, H, W) it is given, imagines the rest."""

    def guide(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> Any:
        """q(z | x), as far as there are frames to see."""
