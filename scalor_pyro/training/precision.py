"""Networks in bfloat16, everything between them in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Protocol

import torch
from torch import Tensor, nn

# What computes in bfloat16. The RNNs of objects do not: what they remember is carried over many frames.
NETWORKS = (nn.Sequential, nn.Conv2d, nn.Linear)


class Parts(Protocol):
    """What is asked of a module here."""

    def children(self) -> Iterator[nn.Module]: ...


def networks(module: Parts) -> Iterator[nn.Module]:
    """The networks of a model: the largest parts of it that are nothing but layers."""
    for child in module.children():
        if isinstance(child, NETWORKS):
            yield child
        else:
            yield from networks(child)


@contextmanager
def networks_in_bfloat16(model: Parts, device: torch.device) -> Iterator[None]:
    """Within, each network of a model computes in bfloat16 and gives float32.

    Weights stay in float32, and so does all that the program does with what networks say: boxes, rendering, draws,
    log-probabilities and KLs. On a CPU, strided convolutions compute in float32, too.

    :param device: where the model is.
    """
    inside = list(networks(model))
    exact = [layer for network in inside for layer in network.modules() if _wrong_in_bfloat16(layer, device)]
    # The outermost autocast keeps the cast weights, so that each is cast once and not once a frame.
    with torch.autocast(device.type, enabled=False):
        try:
            for layer in exact:
                layer.forward = _in_float32(layer.forward, device.type)
            for network in inside:
                network.forward = _cast(network.forward, device.type)
            yield
        finally:
            for changed in (*exact, *inside):
                changed.__dict__.pop("forward", None)


def _wrong_in_bfloat16(layer: nn.Module, device: torch.device) -> bool:
    """Strided convolutions on a CPU: where it has AMX, oneDNN gives some of them noise for a result.

    https://github.com/pytorch/pytorch/issues/169688
    """
    return device.type == "cpu" and isinstance(layer, nn.Conv2d) and max(layer.stride) > 1


def _in_float32(forward: Callable[..., Tensor], device: str) -> Callable[..., Tensor]:
    @wraps(forward)
    def exact(*inputs: Tensor) -> Tensor:
        with torch.autocast(device, enabled=False):
            return forward(*(part.float() for part in inputs)).bfloat16()

    return exact


def _cast(forward: Callable[..., Tensor], device: str) -> Callable[..., Tensor]:
    @wraps(forward)
    def cast(*inputs: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return forward(*inputs).float()

    return cast
