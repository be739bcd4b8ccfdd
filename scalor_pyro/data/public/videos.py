"""The stream of videos of a public benchmark: a pure function of (seed, split, index)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config.public import STREAM_FRAMES, PublicData
from scalor_pyro.data.digits import load_digits
from scalor_pyro.data.public import balls, dsprites, mot
from scalor_pyro.data.public.layers import BoxTruth, Composed, Masks, Pixels, composed, joined
from scalor_pyro.data.worlds import Split, require_batch, require_stream

# Frames of a stream that are drawn at a time: every object has a sheet for each of them, and a stream has thousands.
PART = 100


@dataclass(frozen=True, eq=False)
class PublicBatch:
    """A batch of videos."""

    frames: NDArray[np.uint8]  # (B, T, 3, H, W)
    truth: list[BoxTruth]
    masks: Masks = field(repr=False)  # (B, T, H, W) identity of the object that owns a pixel, -1: none

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """The frames as float32 (B, T, 3, H, W) in [0, 1]."""
        return torch.from_numpy(self.frames).to(device).float() / 255


class PublicVideos:
    """An endless stream of videos.

    Those of Sprites-MOT and MNIST-MOT are cut one after the other from streams of 10,000 frames: objects of one video
    go on in the next.

    :param config: of which benchmark.
    :param seed: from 0 to 2**64 - 1; each seed has its own videos.
    :param split: 'train' or 'test', which have their own random numbers and digits.
    :param mnist: a file or folder of MNIST to take digits from (see :func:`~scalor_pyro.data.load_digits`).
    :param repeat: after this many videos, the stream begins again; None: it never does.
    :raises ValueError: for an unknown split, a seed out of range, or digits that are not available.
    """

    def __init__(
        self,
        config: PublicData,
        seed: int = 0,
        split: Split = "train",
        mnist: Path | None = None,
        repeat: int | None = None,
    ) -> None:
        require_stream(seed, split)
        self.config, self.seed, self.split, self.repeat = config, seed, split, repeat
        self.bank = _digits(config, split, mnist) if config.objects == "digits" else None

    def batch(self, start: int, count: int, frames: int | None = None) -> PublicBatch:
        """The videos from start to start + count − 1.

        :param start: index of the first video, from 0.
        :param count: B, at least 1.
        :param frames: T, the first frames of the videos; None: all.
        :raises ValueError: for a number out of range.
        """
        frames = self.config.frames if frames is None else frames
        require_batch(start, count, frames, self.config.frames)
        videos = [self.video(index, frames) for index in range(start, start + count)]
        return PublicBatch(
            np.stack([video.frames for video in videos]),
            [video.truth for video in videos],
            np.stack([video.masks for video in videos]),
        )

    def video(self, index: int, frames: int) -> Composed:
        """The first frames of a video."""
        index = index if self.repeat is None else index % self.repeat
        if self.config.benchmark == "balls":
            return composed(balls.video(self.seed, self.split, index, frames))
        if self.config.benchmark == "multi-dsprites":
            return composed(dsprites.video(self.seed, self.split, index, frames))
        number, place = divmod(index, STREAM_FRAMES // self.config.frames)
        start = place * self.config.frames
        return joined([self._of_stream(number, start, frames, at) for at in range(0, frames, PART)])

    def _of_stream(self, number: int, start: int, frames: int, at: int) -> Composed:
        """PART frames of a stream, or those that are left."""
        return composed(mot.video(self.seed, self.split, number, start + at, min(PART, frames - at), self.bank))


def _digits(config: PublicData, split: Split, mnist: Path | None) -> Pixels:
    """Digits with their margin, at 28 px. (G, 28, 28) in [0, 1]"""
    images, _ = load_digits(config.digits, split, mnist, whole=True)
    resize = mot.linear(images.shape[-1], mot.DIGIT_SIDE)
    return mot.rounded(np.matmul(resize, images) @ resize.T)
