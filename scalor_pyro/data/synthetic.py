"""Synthetic videos: an endless stream that is a pure function of (seed, split, index).

Nothing is stored. The frames are rounded to 8 bits, so that they are the same on every machine.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import DataConfig
from scalor_pyro.data.background import backgrounds
from scalor_pyro.data.digits import load_digits
from scalor_pyro.data.glyphs import resize
from scalor_pyro.data.painting import paint
from scalor_pyro.data.sprites import sprite_glyphs
from scalor_pyro.data.truth import GroundTruth, ground_truth
from scalor_pyro.data.worlds import SPLITS, Split, Worlds, draw_worlds


@dataclass(frozen=True, eq=False)
class VideoBatch:
    """Some videos of a stream."""

    frames: NDArray[np.uint8]  # (B, T, C, H, W)
    worlds: Worlds = field(repr=False)
    bank: NDArray[np.uint8] = field(repr=False)  # (G, S, S)
    object_size: float  # px

    @cached_property
    def truth(self) -> list[GroundTruth]:
        """The ground truth of each video; worked out when asked for, because training needs none."""
        return ground_truth(self.worlds, self.bank, self.object_size, self.frames.shape[-2:])

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """The frames as float32 (B, T, C, H, W) in [0, 1]."""
        return torch.from_numpy(self.frames).to(device).float() / 255


class SyntheticVideos:
    """An endless stream of videos with their ground truth.

    :param config: what the videos show.
    :param seed: from 0; other seeds, other videos.
    :param split: 'train' or 'test': other random numbers, and other digits.
    :param mnist: a file or folder of MNIST, if digits are to come from there (see :func:`load_digits`).
    :raises ValueError: for an unknown split, a seed below 0, or digits that cannot be had.
    """

    def __init__(self, config: DataConfig, seed: int, split: Split, mnist: Path | None = None) -> None:
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}, but 'train' or 'test' was expected.")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed is {seed}, but a whole number from 0 to 2**64 - 1 was expected.")
        self.config = config
        self.seed = seed
        self.split = split
        self.bank = sprite_glyphs(config.object_size) if config.objects == "sprites" else _digits(config, split, mnist)

    def batch(self, start: int, count: int, frames: int | None = None) -> VideoBatch:
        """The videos start … start + count − 1.

        :param start: index of the first video, from 0.
        :param count: B, at least 1.
        :param frames: T, to have only the beginning of the videos; None = all that the config says.
        :raises ValueError: for numbers out of their range.
        """
        config = self.config
        frames = config.frames if frames is None else frames
        if start < 0:
            raise ValueError(f"start is {start}, but an index from 0 was expected.")
        if count < 1:
            raise ValueError(f"count is {count}, but a batch of at least 1 video was expected.")
        if not 1 <= frames <= config.frames:
            raise ValueError(f"frames is {frames}, but 1 to {config.frames} was expected.")
        indices = range(start, start + count)
        worlds = draw_worlds(config, self.seed, self.split, indices, len(self.bank), frames)
        background = backgrounds(worlds.backdrop, frames, config.image_size) if config.background else None
        painted = paint(worlds, self.bank, config.image_size, background)
        painted *= 255
        pixels = np.rint(painted, out=painted).astype(np.uint8)
        coloured = np.broadcast_to(pixels, (count, frames, 3, *config.image_size)).copy()
        return VideoBatch(coloured, worlds, self.bank, config.object_size)


def _digits(config: DataConfig, split: Split, mnist: Path | None) -> NDArray[np.uint8]:
    """The bank of digits of the classes that the config names."""
    images, labels = load_digits(config.digits, split, mnist)
    chosen = images[np.isin(labels, config.digit_classes)]
    if len(chosen) == 0:
        raise ValueError(f"digit_classes is {config.digit_classes}, but the digits at hand show none of these.")
    return resize(chosen, config.object_size)
