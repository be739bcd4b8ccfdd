"""Reading a video: frames for the model, one after the other, with memory for few of them."""

import copy
import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import ReadOptions
from scalor_pyro.video.arrays import ArraySource, MemorySource
from scalor_pyro.video.containers import ContainerSource
from scalor_pyro.video.developing import Developing
from scalor_pyro.video.geometry import Geometry
from scalor_pyro.video.images import FolderSource
from scalor_pyro.video.pictures import PICTURE_SUFFIXES, PictureSource
from scalor_pyro.video.source import FileInfo, Pixels, Shot, Source, VideoError, reading, warn_once
from scalor_pyro.video.tiff import STACK_SUFFIXES, StackSource

logger = logging.getLogger(__name__)

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})
# The range of values of a file of more than 8 bits is that of this many frames, evenly spaced among its first ones.
LEVEL_FRAMES, LEVEL_RANGE = 16, 1000
# At a frame rate, one frame may fill a pause of this many frames.
LONGEST_PAUSE = 1000


class NoFrames(VideoError):
    """A video that ends before the first frame that is asked for."""


class Frame(NamedTuple):
    """A frame that was read."""

    number: int  # in the file, from 0; frames that are missing in the file leave a gap
    time: float | None  # s in the file; None if it has no time stamps
    image: NDArray[np.uint8]  # (C, H, W)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive frames that were read."""

    numbers: NDArray[np.int64]  # (n,) in the file, from 0
    frames: NDArray[np.uint8]  # (n, C, H, W)
    whole: tuple[Frame, ...] = ()  # n, uncropped, in full size and colour, if asked for: see Video.chunks

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """The frames as float32 (n, C, H, W) in [0, 1]."""
        return torch.from_numpy(self.frames).to(device).float() / 255


class Video:
    """A video on disk: mp4, avi, mkv, mov, gif, …; a TIFF stack; a folder of images or stacks; npy or npz.

    Iterating reads it from the beginning, each time anew, and holds few frames in memory however long it is. Frames are
    uint8: an eighth of the memory of float64, and the model sees no difference. For more than 8 bits, the range of
    values found in some frames, or `options.levels`, becomes 0 to 255; floating-point numbers within [0, 1] are read as
    black to white.

    Frames keep the number that they have in the file, even if others are missing there: in a video file of constant
    rate by time stamps, in a folder by names, elsewhere by position.

    :param path: a file or folder, or an array (T, H, W) or (T, H, W, C), which messages call "array".
    :param options: what to read of it.
    :raises VideoError: if there is nothing that can be read as asked.
    """

    def __init__(self, path: str | Path | NDArray[Any], options: ReadOptions | None = None) -> None:
        self._source = MemorySource(path) if isinstance(path, np.ndarray) else open_source(Path(path))
        self.path = self._source.info.path
        self.options = options or ReadOptions()
        self.info: FileInfo = self._source.info
        self._found_levels: list[tuple[float, float] | None] = []  # of the file, once; shared by all that read it
        self.geometry = Geometry.of(self.info.size, self.options)
        if self.options.rate is not None and self.info.rate is None:
            raise VideoError(
                f"{self.path}: a frame rate needs time stamps, got {self.info.kind} without any; use a stride."
            )

    @property
    def channels(self) -> int:
        """C: 1 grey, 3 colour."""
        return 1 if self.options.grey else self.info.channels

    @cached_property
    def source_frames(self) -> int:
        """How many frames the file should hold."""
        return self._source.count()

    @property
    def expected_frames(self) -> int:
        """How many frames reading should give, as the file announces; at a frame rate, about so many."""
        options = self.options
        last = self.source_frames if options.stop is None else min(options.stop, self.source_frames)
        frames = max(0, last - options.start)
        if options.rate is not None and self.info.rate is not None:
            frames = round(frames * options.rate / self.info.rate)
        return -(-frames // options.stride)

    @property
    def levels(self) -> tuple[float, float] | None:
        """Values of the file that become 0 and 255; None where its 8 bits stay as they are."""
        if self.options.levels is not None:
            return self.options.levels
        if not self._found_levels:
            self._found_levels.append(_levels_of(self._source))
        return self._found_levels[0]

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames.

        :raises VideoError: if there is none in the range, one changes its size, or one cannot be read.
        """
        for frame, _ in self._developed(whole=False):
            yield frame

    def chunks(self, length: int, whole: bool = False) -> Iterator[Chunk]:
        """Read the frames in chunks of `length`; the last one may be shorter.

        :param whole: also keep each frame uncropped, in full size and colour; the file is still decoded once.
        """
        pairs = self._developed(whole)
        while taken := list(islice(pairs, length)):
            numbers, images = [frame.number for frame, _ in taken], [frame.image for frame, _ in taken]
            yield Chunk(np.array(numbers), np.stack(images), tuple(full for _, full in taken if full is not None))

    def keep(self) -> None:
        """Decode each frame of a short video file once, for all that read it :meth:`again`; frames stay in memory."""
        if isinstance(self._source, ContainerSource):
            self._source.keep()

    def again(self, options: ReadOptions) -> "Video":
        """The same video with other options; the file is not opened again, and its levels are not searched again."""
        other = copy.copy(self)
        other.options, other.geometry = options, Geometry.of(self.info.size, options)
        return other

    def empty_scene(self) -> "Video | None":
        """The picture `options.background_image`, to be read as the frames are; None if none is given.

        :raises VideoError: if it cannot be read, or is not like the frames.
        """
        if self.options.background_image is None:
            return None
        empty = Video(self.options.background_image)
        if (found := _kind(empty._source)) != (expected := _kind(self._source)):
            raise VideoError(
                f"{empty.path}: expected a picture of the empty scene like the frames of {self.path}, {expected}, got"
                f" {found}."
            )
        here = ReadOptions(self.options.crop, size=self.options.size, grey=self.channels == 1, levels=self.levels)
        return empty.again(here)

    def _developed(self, whole: bool) -> Iterator[tuple[Frame, Frame | None]]:
        """Each frame as the options ask for it, and, if `whole`, as the file has it."""
        develop = self._developing()
        full_size = Geometry.of(self.info.size, ReadOptions())
        develop_whole = Developing(self.path, full_size, self.info.channels, self.levels, False) if whole else None
        shot = None
        for shot in self._selected():
            pixels = shot.pixels()
            frame = Frame(shot.number, shot.time, develop(pixels, shot.number))
            yield frame, frame._replace(image=develop_whole(pixels, shot.number)) if develop_whole else None
        if shot is None:
            raise NoFrames(
                f"{self.path}: expected at least 1 frame from {self.options.start} on, got a video that ends before it."
            )

    def at(self, positions: Collection[int]) -> Iterator[tuple[int, Frame]]:
        """Some of the frames that iterating gives, by their positions there; the pixels of others are not computed."""
        develop = self._developing()
        last = max(positions, default=-1)
        for position, shot in enumerate(islice(self._selected(), last + 1)):
            if position in positions:
                yield position, Frame(shot.number, shot.time, develop(shot.pixels(), shot.number))

    def _developing(self) -> Developing:
        colour_is_lost = self.info.channels == 1 and not self.options.grey
        return Developing(self.path, self.geometry, self.channels, self.levels, colour_is_lost)

    def _selected(self) -> Iterator[Shot]:
        options = self.options
        shots: Iterable[Shot] = dropwhile(lambda shot: shot.number < options.start, self._source.shots())
        if options.stop is not None:
            shots = _until(shots, options.stop)
        if options.rate is not None:
            shots = at_rate(shots, options.rate, self.path)
        return islice(shots, 0, None, options.stride)


def _kind(source: Source) -> str:
    """What another picture has to have in common with the frames of a video."""
    height, width = source.info.size
    in_8_bits = all(_is_8_bits(shot.pixels()) for shot in islice(source.shots(), 1))
    depth = "8 bits" if in_8_bits else "another depth than 8 bits"
    return f"{width} × {height} px of {depth}"


def _is_8_bits(pixels: Pixels) -> bool:
    return pixels.dtype in (np.uint8, np.bool_)


def _until(shots: Iterable[Shot], stop: int) -> Iterator[Shot]:
    """Shots before a frame; the one after them is not looked for when the last one is reached."""
    for shot in shots:
        if shot.number >= stop:
            return
        yield shot
        if shot.number == stop - 1:
            return


def open_source(path: Path) -> Source:
    """A file or folder as a source of frames.

    :raises VideoError: if it is none.
    """
    with reading(path, "a file or a folder"):
        exists = path.exists()
    if not exists:
        raise VideoError(f"There is no file or folder {path}.")
    if path.is_dir():
        return FolderSource(path)
    if not path.is_file():
        raise VideoError(f"{path}: expected a file or a folder, got a device or a pipe.")
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        return ArraySource(path)
    if suffix in STACK_SUFFIXES:
        return StackSource(path)
    if suffix in PICTURE_SUFFIXES:
        return PictureSource(path)
    return ContainerSource(path)


def at_rate(shots: Iterable[Shot], rate: float, path: Path) -> Iterator[Shot]:
    """At each k / rate seconds after the first shot, the shot nearest in time; one may come several times, or never.

    Nearest, not last shown: time stamps that are rounded to milliseconds then repeat or skip nothing.

    :raises VideoError: if a shot has no time stamp, or lasts for more than :data:`LONGEST_PAUSE` frames.
    """
    due = 0  # k
    last: tuple[Shot, float] | None = None  # with its time after the first shot's
    origin = 0.0
    for shot in shots:
        if shot.time is None:
            raise VideoError(f"{path}: a frame rate needs time stamps, and frame {shot.number} has none; use a stride.")
        if last is None:
            origin = shot.time
        else:
            middle = (last[1] + shot.time - origin) / 2
            if middle * rate - due > LONGEST_PAUSE:
                raise VideoError(
                    f"{path}: a rate of {rate:g} would repeat frame {last[0].number} more than {LONGEST_PAUSE} times,"
                    f" because the next one is {shot.time - origin - last[1]:.0f} s later."
                )
            while due / rate < middle:
                yield last[0]
                due += 1
        last = shot, shot.time - origin
    while last is not None and due / rate < last[1] + 0.5 / rate:
        yield last[0]
        due += 1


def _levels_of(source: Source) -> tuple[float, float] | None:
    """The range of values of a file; None for 8 bits."""
    step = max(1, min(source.count(), LEVEL_RANGE) // LEVEL_FRAMES)
    low, high, kind = np.inf, -np.inf, ""
    for shot in islice(source.shots(), 0, LEVEL_RANGE, step):
        pixels = shot.pixels()
        if _is_8_bits(pixels):
            return None
        low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
        kind = pixels.dtype.kind
    if not kind:
        return None
    if not (np.isfinite(low) and np.isfinite(high)):
        raise VideoError(f"{source.info.path}: expected finite numbers, got infinite ones or NaN.")
    if kind == "f" and low >= 0 and high <= 1:
        return 0.0, 1.0
    warn_once(
        logger,
        source.info.path,
        f"is not in 8 bits: the range found, {low:g} to {high:g}, becomes black to white; read videos that belong"
        " together with the same --levels.",
    )
    return low, high if high > low else low + 1.0
