"""Tensors that follow from sizes alone. On small images, making them anew takes as long as using them."""

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps

import torch
from torch import Tensor

# Of each function, for the sizes, precisions and devices of this many models and videos at a time.
KEPT = 64


def made_once(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Remember what a function makes of a device and sizes; nobody may change the result in place.

    :param make: its first argument is a ``torch.device``, and all are hashable.
    """

    @lru_cache(KEPT)
    def remembered(device: torch.device, *args: Hashable) -> Tensor:
        with torch.inference_mode(False):  # gradients may go through its users, whoever is the first
            return make(device, *args)

    on_gpu: dict[Hashable, Tensor] = {}  # all of them: a CUDA graph may read each, and does not say so

    @wraps(make)
    def made(device: torch.device, *args: Hashable) -> Tensor:
        if device.type != "cuda":
            return remembered(device, *args)
        key = (device, *args)
        if key not in on_gpu:
            if torch.cuda.is_current_stream_capturing():
                return make(device, *args)  # memory of a CUDA graph is filled when the graph runs, not before
            with torch.inference_mode(False):
                on_gpu[key] = make(device, *args)
        return on_gpu[key]

    return made
