"""Checks of the videos that a model or a guide is called with."""

from typing import Protocol

import torch
from torch import Tensor


class FrameFormat(Protocol):
    """The size of the videos that a model takes, as its config says."""

    @property
    def channels(self) -> int: ...

    @property
    def image_size(self) -> tuple[int, int]: ...


def extent(
    x: Tensor | None, frames: int | None, sequences: int, config: FrameFormat, dtype: torch.dtype
) -> tuple[int, int, int]:
    """The number of observed frames, of all frames, and B, for a call of a model or guide.

    :param x: (B, T, C, H, W) in [0, 1], or None.
    :param frames: the number in total; default T.
    :param sequences: B, if x is None.
    :param config: of the model.
    :param dtype: the model's.
    :raises ValueError: if x is not a batch of videos of the config's size, or there is no frame at all.
    """
    if x is not None:
        check_videos(x, config)
        if x.dtype != dtype:
            raise ValueError(f"Videos: expected the model's dtype {dtype}, got {x.dtype}.")
        if frames is not None and frames < 1:
            raise ValueError(f"frames: expected at least 1, got {frames}.")
        return x.shape[1], x.shape[1] if frames is None else frames, x.shape[0]
    if not frames or frames < 1 or sequences < 1:
        raise ValueError(
            f"Without a video: expected frames and sequences of at least 1, got frames={frames}, sequences={sequences}."
        )
    return 0, frames, sequences


def check_videos(x: Tensor, config: FrameFormat) -> None:
    """Refuse anything but a batch of videos of the config's size.

    :raises ValueError: for another rank, dtype or size, an empty batch, values outside [0, 1] or NaN.
    """
    expected = (config.channels, *config.image_size)
    if x.dim() != 5 or tuple(x.shape[2:]) != expected:
        raise ValueError(f"Videos: expected shape (B, T, {', '.join(map(str, expected))}), got {tuple(x.shape)}.")
    if x.shape[0] < 1 or x.shape[1] < 1:
        raise ValueError(f"Videos: expected at least one sequence of one frame, got shape {tuple(x.shape)}.")
    if not x.dtype.is_floating_point:
        raise ValueError(f"Videos: expected a floating-point dtype with values in [0, 1], got {x.dtype}.")
    if x.device.type == "cpu":  # elsewhere, reading the values back would make the device wait
        low, high = x.aminmax()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"Videos: expected values in [0, 1] without NaN, got {low:g} to {high:g}.")
