"""Synthetic videos: an endless stream that is a pure function of (seed, split, index).

Nothing is stored. Frames are rounded to 8 bits, which makes them the same on every machine.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import DataConfig
from scalor_pyro.config.checks import shown
from scalor_pyro.data.background import backgrounds
from scalor_pyro.data.digits import load_digits
from scalor_pyro.data.glyphs import resize
from scalor_pyro.data.painting import paint
from scalor_pyro.data.sprites import sprite_glyphs
from scalor_pyro.data.truth import GroundTruth, ground_truth
from scalor_pyro.data.worlds import Split, Worlds, draw_worlds, require_batch, require_stream


@dataclass(frozen=True, eq=False)
class VideoBatch:
    """A batch of videos of a stream."""

    frames: NDArray[np.uint8]  # (B, T, C, H, W)
    worlds: Worlds = field(repr=False)
    bank: NDArray[np.uint8] = field(repr=False)  # (G, S, S)
    object_size: float  # px

    @cached_property
    def truth(self) -> list[GroundTruth]:
        """The ground truth of each video; computed on demand, because training does not need it."""
        return ground_truth(self.worlds, self.bank, self.object_size, self.frames.shape[-2:])

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """The frames as float32 (B, T, C, H, W) in [0, 1]."""
        return torch.from_numpy(self.frames).to(device).float() / 255


class SyntheticVideos:
    """An endless stream of videos with their ground truth.

    :param config: what the videos show.
    :param seed: from 0 to 2**64 - 1; each seed has its own videos.
    :param split: 'train' or 'test', which have their own random numbers and digits.
    :param mnist: a file or folder of MNIST to take digits from (see :func:`load_digits`).
    :raises ValueError: for an unknown split, a seed out of range, or digits that are not available.
    """

    def __init__(self, config: DataConfig, seed: int, split: Split, mnist: Path | None = None) -> None:
        require_stream(seed, split)
        self.config = config
        self.seed = seed
        self.split = split
        self.bank = sprite_glyphs(config.object_size) if config.objects == "sprites" else _digits(config, split, mnist)

    def batch(self, start: int, count: int, frames: int | None = None) -> VideoBatch:
        """The videos from start to start + count − 1.

        :param start: index of the first video, from 0.
        :param count: B, at least 1.
        :param frames: T, the first frames of the videos; None: all.
        :raises ValueError: for a number out of range.
        """
        config = self.config
        frames = config.frames if frames is None else frames
        require_batch(start, count, frames, config.frames)
        indices = range(start, start + count)
        worlds = draw_worlds(config, self.seed, self.split, indices, len(self.bank), frames)
        background = backgrounds(worlds.backdrop, frames, config.image_size) if config.background else None
        painted = paint(worlds, self.bank, config.image_size, background)
        painted *= 255
        pixels = np.rint(painted, out=painted).astype(np.uint8)
        coloured = np.broadcast_to(pixels, (count, frames, 3, *config.image_size)).copy()
        return VideoBatch(coloured, worlds, self.bank, config.object_size)


def _digits(config: DataConfig, split: Split, mnist: Path | None) -> NDArray[np.uint8]:
    """The digits of the classes that the config names."""
    images, labels = load_digits(config.digits, split, mnist)
    chosen = images[np.isin(labels, config.digit_classes)]
    if len(chosen) == 0:
        raise ValueError(f"digit_classes: expected classes of the available digits, got {shown(config.digit_classes)}.")
    return resize(chosen, config.object_size)
