"""Checks of the videos that a model or a guide is called with."""

from typing import Protocol

import torch
from torch import Tensor


class FrameFormat(Protocol):
    """What a config says of the videos that its model can see."""

    @property
    def channels(self) -> int: ...

    @property
    def image_size(self) -> tuple[int, int]: ...


def extent(
    x: Tensor | None, frames: int | None, sequences: int, config: FrameFormat, dtype: torch.dtype
) -> tuple[int, int, int]:
    """How many frames are observed, how many there are in all, and B, of a call of a model or guide.

    :param x: (B, T, C, H, W) in [0, 1], or None.
    :param frames: how many in all; default T.
    :param sequences: B, where there is no x.
    :param config: of the model.
    :param dtype: the model's.
    :raises ValueError: if x is not a batch of videos that the model can see, or there is nothing to see or imagine.
    """
    if x is not None:
        check_videos(x, config)
        if x.dtype != dtype:
            raise ValueError(f"Videos had dtype {x.dtype}, but the model's {dtype} was expected.")
        if frames is not None and frames < 1:
            raise ValueError(f"frames is {frames}, but at least 1 was expected.")
        return x.shape[1], x.shape[1] if frames is None else frames, x.shape[0]
    if not frames or frames < 1 or sequences < 1:
        raise ValueError(
            f"Without a video, frames is {frames} and sequences {sequences}, but at least 1 of each was expected."
        )
    return 0, frames, sequences


def check_videos(x: Tensor, config: FrameFormat) -> None:
    """Refuse what is not a batch of videos that a model with this config can see.

    :raises ValueError: for the wrong rank, dtype, size, an empty batch, values outside [0, 1] or NaN.
    """
    expected = (config.channels, *config.image_size)
    if x.dim() != 5 or tuple(x.shape[2:]) != expected:
        raise ValueError(
            f"Videos had shape {tuple(x.shape)}, but (B, T, {', '.join(map(str, expected))}) was expected."
        )
    if x.shape[0] < 1 or x.shape[1] < 1:
        raise ValueError(f"Videos had shape {tuple(x.shape)}, but at least one sequence of one frame was expected.")
    if not x.dtype.is_floating_point:
        raise ValueError(f"Videos had dtype {x.dtype}, but floating point in [0, 1] was expected.")
    if x.device.type == "cpu":  # elsewhere, looking at the values would make the device wait
        low, high = x.aminmax()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"Videos had values from {low:g} to {high:g}, but [0, 1] without NaN was expected.")
