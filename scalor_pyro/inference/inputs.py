"""Questions to a model leave everything else as it was: checks before them, and a handler around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from scalor_pyro.model.inputs import check_videos
from scalor_pyro.model.program import Program


def require_videos(program: Program, x: Tensor) -> None:
    """Refuse anything but a batch of videos that this model can see, on its device and in its precision.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :raises ValueError: in one sentence.
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"Videos: expected a tensor of shape (B, T, C, H, W), got {type(x).__name__}.")
    like = parameter_of(program)
    if like is not None and x.device != like.device:
        raise ValueError(f"Videos: expected device {like.device}, where the model is, got {x.device}.")
    check_videos(x, program.config)
    if like is not None and x.dtype != like.dtype:
        raise ValueError(f"Videos: expected dtype {like.dtype}, as the model has, got {x.dtype}.")
    if x.device.type != "cpu" and not bool(((x >= 0) & (x <= 1)).all()):  # check_videos looks only at those on the CPU
        raise ValueError("Videos: expected values in [0, 1] without NaN, got others.")


def parameter_of(program: Program) -> Tensor | None:
    """Any of the parameters of a program: all have the same device and dtype. None if it has no parameters."""
    return next(program.parameters(), None) if isinstance(program, nn.Module) else None


class UnregisteredMessenger(Messenger):
    """Give programs their parameters without putting them into Pyro's parameter store.

    Parameters that are already in the store are read from there, as always.
    """

    def _pyro_param(self, msg: Any) -> None:
        name, *initial = msg["args"]
        if msg["value"] is None and initial and name not in pyro.get_param_store():
            msg["value"] = initial[0]() if callable(initial[0]) else initial[0]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run programs without gradients, without Pyro's checks, and without adding to its parameter store."""
    with torch.no_grad(), pyro.validation_enabled(False), UnregisteredMessenger():
        yield
