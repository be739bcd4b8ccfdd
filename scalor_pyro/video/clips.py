"""Clips for training: an endless stream of T-frame clips of videos, a pure function of (seed, index).

The videos are read once, from beginning to end, and kept in memory as they are read: cropped, resized, strided, in 8
bits. A minute at 12 frames a second of 96 × 96 px, grey, takes 6.6 MB. Seeking in compressed videos instead would
decode up to a whole group of pictures for each clip, which costs more than the training step.

Memory is bounded: where the videos are longer than that, evenly spaced segments of them are kept.
"""

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import ConfigError, Crop, ReadOptions
from scalor_pyro.video.reading import Video
from scalor_pyro.video.source import VideoError

logger = logging.getLogger(__name__)

# Bytes that the kept frames of all videos may take.
MEMORY = 1 << 30
# Length, in clips, of the segments that are kept of videos that are too long: many instants, and few seams.
SEGMENT = 8
# Grand Central Station: every 8th frame, the last tenth of the frames to test on.
GRAND_CENTRAL_STRIDE, GRAND_CENTRAL_TEST = 8, 10
# Its 8 crops are squares of half the frame's height; left and top borders, in such halves: two at the top, three across
# the middle, three at the bottom. Three squares side by side are as wide as the frame of 720 × 480 px.
GRAND_CENTRAL_PLACES = ((0.5, 0), (1.5, 0), (0, 0.5), (1, 0.5), (2, 0.5), (0, 1), (1, 1), (2, 1))


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """Some clips of a stream."""

    frames: NDArray[np.uint8]  # (B, T, C, H, W)
    scene: NDArray[np.int64]  # (B,) which window of which video: clips of one scene have the same static background

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """The frames as float32 (B, T, C, H, W) in [0, 1]."""
        return torch.from_numpy(self.frames).to(device).float() / 255


class Clips:
    """An endless stream of clips, each equally likely to begin at any frame, in any window, of any video.

    :param videos: to read; all must give frames of one size and number of channels.
    :param frames: T.
    :param seed: from 0; other seeds, other clips.
    :param windows: parts of the frames that are read (in their px) that a clip may show; None: the whole frame.
    :param memory: bytes that the kept frames may take.
    :raises VideoError: for a video that cannot be read, is shorter than T, or gives other frames than the first does.
    :raises ValueError: for a seed below 0, no video, windows of different sizes or outside the frame, or T below 1.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        frames: int,
        seed: int = 0,
        windows: Sequence[Crop] | None = None,
        memory: int = MEMORY,
    ) -> None:
        if not videos:
            raise ValueError("videos: expected at least 1, got none.")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed: expected a whole number from 0 to 2**64 - 1, got {seed}.")
        if frames < 1:
            raise ValueError(f"frames: expected at least 1, got {frames}.")
        self.frames, self.seed = frames, seed
        self.channels, self.image_size = shape_of_all(videos)
        height, width = self.image_size
        self.windows = [Crop(0, 0, width, height)] if windows is None else list(windows)
        self.window_size = _window_size(self.windows, self.image_size)
        bytes_each = self.channels * height * width
        expected = sum(video.expected_frames for video in videos)
        share = min(1.0, memory / max(1, expected * bytes_each))
        if share < 1:
            logger.warning(
                "The videos have %d frames: %.0f %% of them, in evenly spaced segments, are kept to train on.",
                expected,
                100 * share,
            )
        self._runs: list[NDArray[np.uint8]] = []  # (n, C, H, W), n at least T
        self._video_of: list[int] = []  # of each run
        for index, video in enumerate(videos):
            runs = _read(video, frames, share)
            self._runs += runs
            self._video_of += [index] * len(runs)
        self._count()

    def _count(self) -> None:
        starts = [len(run) - self.frames + 1 for run in self._runs]
        self._before = np.concatenate(([0], np.cumsum(starts)))  # clips in all runs before each

    def within(self, windows: Sequence[Crop]) -> "Clips":
        """Clips of the same frames that show these windows of them.

        :raises ValueError: for windows of different sizes, or outside the frame.
        """
        other = copy.copy(self)
        other.windows, other.window_size = list(windows), _window_size(windows, self.image_size)
        return other

    def split(self, share: float) -> tuple["Clips", "Clips"]:
        """Two streams without a frame in common: the beginning of each run of frames, and its end.

        :param share: of the frames, for the second stream; at least T of each run.
        :raises VideoError: if no run has enough frames for both.
        """
        parts: list[tuple[NDArray[np.uint8], NDArray[np.uint8], int]] = []
        for run, video in zip(self._runs, self._video_of, strict=True):
            border = len(run) - max(self.frames, round(share * len(run)))
            if border >= self.frames:
                parts.append((run[:border], run[border:], video))
        if not parts:
            longest = max(map(len, self._runs))
            raise VideoError(
                f"The videos: expected at least {2 * self.frames} frames in one of them, for clips to train on and"
                f" clips to compare with, got {longest}."
            )
        first, last = copy.copy(self), copy.copy(self)
        for stream, place in ((first, 0), (last, 1)):
            stream._runs = [part[:2][place] for part in parts]
            stream._video_of = [part[2] for part in parts]
            stream._count()
        return first, last

    def __len__(self) -> int:
        """How many different clips there are."""
        return int(self._before[-1]) * len(self.windows)

    def batch(self, start: int, count: int, frames: int | None = None) -> ClipBatch:
        """The clips start … start + count − 1 of the stream.

        :param start: index of the first clip, from 0.
        :param count: B, at least 1.
        :param frames: to have only the beginning of the clips; None = T.
        :raises ValueError: for numbers out of their range.
        """
        frames = self.frames if frames is None else frames
        if start < 0:
            raise ValueError(f"start: expected an index from 0, got {start}.")
        if count < 1:
            raise ValueError(f"count: expected a batch of at least 1 clip, got {count}.")
        if not 1 <= frames <= self.frames:
            raise ValueError(f"frames: expected 1 to {self.frames}, got {frames}.")
        height, width = self.window_size
        clips = np.empty((count, frames, self.channels, height, width), np.uint8)
        scene = np.empty(count, np.int64)
        for row, index in enumerate(range(start, start + count)):
            which = self._choose(index)
            place, window = which % self._before[-1], which // self._before[-1]
            run = int(np.searchsorted(self._before, place, side="right")) - 1
            first = place - self._before[run]
            x, y = self.windows[window].x, self.windows[window].y
            clips[row] = self._runs[run][first : first + frames, :, y : y + height, x : x + width]
            scene[row] = self._video_of[run] * len(self.windows) + window
        return ClipBatch(clips, scene)

    def _choose(self, index: int) -> int:
        """Which of the different clips stands at an index of the stream."""
        generator = np.random.Philox(counter=np.array([0, 0, 0, index], np.uint64), key=self.seed)
        return int(np.random.Generator(generator).integers(len(self)))


def shape_of_all(videos: Sequence[Video]) -> tuple[int, tuple[int, int]]:
    """C and (H, W) of the frames that videos give.

    :raises VideoError: if they are not the same in all of them.
    """
    first = videos[0]
    for video in videos:
        if (video.channels, video.geometry.size) != (first.channels, first.geometry.size):
            raise VideoError(
                f"{video.path}: expected frames of {_words(first)}, as {first.path} gives, got {_words(video)}; a size"
                " (H, W), or grey, makes them alike."
            )
    return first.channels, first.geometry.size


def _words(video: Video) -> str:
    height, width = video.geometry.size
    return f"{width} × {height} px in {'grey' if video.channels == 1 else 'colour'}"


def _window_size(windows: Sequence[Crop], image_size: tuple[int, int]) -> tuple[int, int]:
    height, width = image_size
    sizes = {(window.height, window.width) for window in windows}
    if len(sizes) != 1 or any(each.x + each.width > width or each.y + each.height > height for each in windows):
        raise ValueError(
            f"windows: expected some of one size inside {width} × {height} px, got {str(list(windows)):.80}."
        )
    return sizes.pop()


def _read(video: Video, frames: int, share: float) -> list[NDArray[np.uint8]]:
    """Runs of consecutive frames of a video, together about `share` of it, each at least `frames` long."""
    segment = max(frames, video.expected_frames) if share == 1 else SEGMENT * frames
    runs: list[NDArray[np.uint8]] = []
    read, keep = 0, False
    for read, frame in enumerate(video, start=1):
        index, place = divmod(read - 1, segment)
        if place == 0:
            keep = math.ceil((index + 1) * share) > math.ceil(index * share)
            if keep:
                runs.append(np.empty((segment, video.channels, *video.geometry.size), np.uint8))
        if keep:
            runs[-1][place] = frame.image
    if read < frames:
        raise VideoError(f"{video.path}: expected at least {frames} frames, the length of a clip, got {read}.")
    if keep:
        runs[-1] = runs[-1][: (read - 1) % segment + 1]
    return [run for run in runs if len(run) >= frames]


def grand_central(
    frames: int, split: Literal["train", "test"] = "train", side: int = 128
) -> tuple[ReadOptions, tuple[Crop, ...]]:
    """Grand Central Station as in the paper (§5.2, App. D): 8 crops of a folder of numbered frames of 720 × 480 px.

    The frames are read once and resized as a whole, and the crops are windows of them::

        options, windows = grand_central(len(list(folder.iterdir())))
        clips = Clips([Video(folder, options)], frames=10, windows=windows)

    Differs: clips begin at every 8th frame, not at every frame, so that an eighth of the frames is kept in memory.

    :param frames: in the folder.
    :param split: the first nine tenths of the frames, or the last.
    :param side: of a crop, in px, after the resize; even.
    :raises ConfigError: for another split, an odd side, or too few frames.
    """
    if split not in ("train", "test"):
        raise ConfigError(f"split: expected 'train' or 'test', got {split!r}.")
    if side < 2 or side % 2:
        raise ConfigError(f"side: expected an even number of px, got {side!r}.")
    if frames < GRAND_CENTRAL_TEST:
        raise ConfigError(f"frames: expected at least {GRAND_CENTRAL_TEST}, got {frames!r}.")
    border = frames - frames // GRAND_CENTRAL_TEST
    start, stop = (0, border) if split == "train" else (border, frames)
    options = ReadOptions(start=start, stop=stop, stride=GRAND_CENTRAL_STRIDE, size=(2 * side, 3 * side))
    windows = tuple(Crop(int(x * side), int(y * side), side, side) for x, y in GRAND_CENTRAL_PLACES)
    return options, windows
