"""Networks in bfloat16, and everything between them in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Protocol

import torch
from torch import Tensor, nn

# These compute in bfloat16. The RNNs of objects do not: their memory is carried over many frames.
NETWORKS = (nn.Sequential, nn.Conv2d, nn.Linear)


class Parts(Protocol):
    """A module, as far as it is needed here."""

    def children(self) -> Iterator[nn.Module]: ...


def networks(module: Parts) -> Iterator[nn.Module]:
    """The networks of a model: its largest parts that consist of layers only."""
    for child in module.children():
        if isinstance(child, NETWORKS):
            yield child
        else:
            yield from networks(child)


@contextmanager
def networks_in_bfloat16(model: Parts, device: torch.device) -> Iterator[None]:
    """Within, each network of a model computes in bfloat16 and gives float32.

    Weights stay in float32, and so does everything that the program computes from the networks' outputs: boxes,
    rendering, draws, log-probabilities and KLs. On a CPU, strided convolutions compute in float32, too.

    :param device: where the model is.
    """
    inside = list(networks(model))
    exact = [layer for network in inside for layer in network.modules() if _wrong_in_bfloat16(layer, device)]
    # The outermost autocast caches the cast weights, so that each is cast once, not once per frame.
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
    """Whether this is a strided convolution on a CPU: with AMX, the result of oneDNN is noise for some of them.

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
