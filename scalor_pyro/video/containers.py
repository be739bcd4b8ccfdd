"""Video files (mp4, avi, mkv, mov, gif, …) through PyAV, which brings FFmpeg along."""

import logging
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from scalor_pyro.video.source import (
    LISTED,
    SPARSEST,
    FileInfo,
    Pixels,
    Shot,
    VideoError,
    missing_words,
    quoted,
    reading,
    require_size,
    warn_once,
)

logger = logging.getLogger(__name__)

# FFmpeg makes a video even of text, as a terminal would show it, and playlists would open other files.
NOT_VIDEO = frozenset({"tty", "concat", "hls", "dash", "xbin", "bin", "adf", "idf"})
EXPECTED = "a video"
# A file that is short of what it announces by more than this share, and by more than these frames, was cut off:
# headers may count frames that an edit list hides, and round the duration.
MISSING_SHARE, MISSING_FRAMES = 0.02, 1
# A rate is constant if nearly all times between frames are multiples of one interval, to this part of it, and at least
# half of them are that interval.
ROUNDING, NEARLY_ALL = 0.2, 0.98
# Formats whose frames are meant to last for different times.
VARIABLE = frozenset({"gif"})
# FFV1 ends each slice with its size (3 bytes), a state (1) and a CRC-32 that reads bits from the other end than zlib's.
FOOTER = 8
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# Bytes of decoded frames that a short file may keep in memory, see ContainerSource.keep.
KEPT = 512 << 20
# Files whose time stamps are remembered, so that several readers of one file look at them once.
REMEMBERED = 256


class _Turn(NamedTuple):
    """How a stored picture becomes upright: first transposed, then turned over."""

    transposed: bool
    flipped: bool  # top and bottom
    mirrored: bool  # left and right


class Clock(NamedTuple):
    """What the time stamps of a file say; they are read without decoding."""

    packets: int  # about as many as frames
    hidden: int  # further packets that an edit list takes out of what is shown
    damaged: int  # packets that differ from their checksums
    interval: float | None  # s between frames, if it is constant (but for missing frames)
    rate: float | None  # frames per second, on average; None without time stamps


class ContainerSource:
    """A video file.

    If the frame rate is constant, frames are numbered by their time stamps: number = (time - first time) × rate,
    rounded; so a hole in the file does not shift the frames after it. If it varies, they are numbered by position. Time
    stamps that jump back (files that were joined) go on where they were.

    Turned or mirrored videos (display matrix) come out upright. Pixels are taken as square. Grey of more than 8 bits
    comes as 16 bits; colour always as 8.

    :raises VideoError: if it is not a video, or its codec is not known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as (container, stream):
            first = next(_decoded(container, stream, []), None)
            if first is None:
                raise VideoError(f"{path}: expected a video of at least 1 frame, got none that can be decoded.")
            require_size(path, first.height, first.width)
            self._bytes_of_frame = sum(plane.buffer_size for plane in first.planes)
            self._format = _format_of(first)
            self._turn = _turn_of(first)
            height, width = (first.height, first.width)[:: -1 if self._turn.transposed else 1]
            with reading(path, EXPECTED):
                rate = stream.average_rate or stream.guessed_rate
                seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
                if seconds is None and container.duration:
                    seconds = container.duration / av.time_base
                announced = stream.frames
                # In other files the duration may be that of the sound.
                self._alone = len(container.streams) == 1
                kind = f"{stream.codec_context.name} in {container.format.name.partition(',')[0]}"
        self._errors: list[str] = []  # what ended the decoding of the frames that are kept
        self._kept: _Kept | None = None
        status = path.stat()
        self._clock = clock_of(path, status.st_mtime_ns, status.st_size)
        self._expected = max(0, announced - self._clock.hidden)
        if self._clock.damaged:
            of = f"{self._clock.damaged} of {self._clock.packets} frames"
            warn_once(logger, path, f"is damaged: {of} differ from their checksums, and parts of them are shown late.")
        self.info = FileInfo(
            path=path,
            kind=kind,
            size=(height, width),
            channels=1 if self._format.startswith("gray") else 3,
            rate=self._clock.rate or (float(rate) if rate else None),
            duration=seconds,
        )

    def count(self) -> int:
        """How many frames the file says that it holds, or else how many packets it holds."""
        return self._expected or self._clock.packets

    def keep(self) -> None:
        """Decode each frame once, however often the file is read, if all of them fit into 512 MiB of memory."""
        if self._kept is None and self._clock.packets * self._bytes_of_frame <= KEPT:
            self._kept = _Kept(partial(self._frames, self._errors))

    def shots(self) -> Iterator[Shot]:
        """All frames up to the end, or to where the file is damaged: then one warning says how many there were.

        The last frame of a damaged file may be half there.
        """
        numbering = _Numbering(self._clock)
        errors: list[str] = [] if self._kept is None else self._errors
        reformatter = VideoReformatter()  # one for all frames: each frame's own would set itself up anew
        for frame in self._frames(errors) if self._kept is None else self._kept:
            number, time = numbering.of(frame.time)
            yield Shot(number, time, partial(self._pixels, reformatter, frame))
        self._compare(numbering, errors)

    def _frames(self, errors: list[str]) -> Iterator[VideoFrame]:
        with self._opened() as (container, stream):
            stream.thread_type = "AUTO"
            yield from _decoded(container, stream, errors)

    def _pixels(self, reformatter: VideoReformatter, frame: VideoFrame) -> Pixels:
        with reading(self.path, EXPECTED):
            return _turned(reformatter.reformat(frame, format=self._format).to_ndarray(), self._turn)

    def _compare(self, numbering: "_Numbering", errors: list[str]) -> None:
        """Say so if frames are missing. Of a variable rate only an error tells, or a count in the header."""
        read, reached = numbering.read, numbering.number + 1
        expected = self._expected
        if not expected and self._alone and self.info.duration and self._clock.interval:
            expected = round(self.info.duration / self._clock.interval)
        if expected - max(read, reached) > max(MISSING_FRAMES, MISSING_SHARE * expected):
            warn_once(logger, self.path, f"seems to be cut off: {read} of about {expected} frames could be read.")
        elif errors:
            warn_once(logger, self.path, f"is damaged: decoding ended after {read} frames ({quoted(errors[0])}).")
        if numbering.missing:
            where = numbering.words()
            warn_once(logger, self.path, f"has a hole: {where} missing; the other frames keep their numbers.")

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError(f"{self.path}: expected a codec that the FFmpeg of PyAV can decode, got another one.")
            yield container, stream


class _Kept:
    """Frames that are decoded when they are first asked for, and stay.

    :param decode: all frames, from the first on.
    """

    def __init__(self, decode: Callable[[], Iterator[VideoFrame]]) -> None:
        self._decode, self._coming = decode, decode()
        self._there: list[VideoFrame] = []

    def __iter__(self) -> Iterator[VideoFrame]:
        for place in count():
            if place == len(self._there):
                if (frame := self._next()) is None:
                    return
                self._there.append(frame)
            yield self._there[place]

    def _next(self) -> VideoFrame | None:
        try:
            return next(self._coming, None)
        except (
            BaseException
        ):  # the next reader goes on there: a generator that was interrupted looks like one at its end
            self._coming = islice(self._decode(), len(self._there), None)
            raise


class _Numbering:
    """Numbers and times of frames, in the order in which they are shown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._step = clock.interval or (1 / clock.rate if clock.rate else 0.0)
        self._shift, self._last = 0.0, -math.inf
        self.read, self.number = 0, -1
        self._gaps: list[int] = []  # numbers of the frames before and after the first few

    @property
    def missing(self) -> int:
        return self.number + 1 - self.read

    def of(self, stamp: float | None) -> tuple[int, float | None]:
        """Number and time of the next frame."""
        self.read += 1
        if stamp is None:
            self.number += 1
            return self.number, None
        time = stamp + self._shift
        if time < self._last:
            self._shift += self._last + self._step - time
            time = self._last + self._step
        steps = 1
        if self._clock.interval is not None and math.isfinite(self._last):
            steps = max(1, round((time - self._last) / self._clock.interval))
        if steps > 1 and len(self._gaps) < 2 * (LISTED + 1):
            self._gaps += [self.number, self.number + steps]
        self._last, self.number = time, self.number + steps
        return self.number, time

    def words(self) -> str:
        """The missing frames in words."""
        pairs = list(zip(self._gaps[::2], self._gaps[1::2], strict=True))
        return missing_words(pairs, self.missing)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """A container with a video; as a file, whatever its name looks like, and without the files that it may name."""
    try:
        with reading(path, EXPECTED):
            container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except VideoError as error:
        reason = str(error).partition(", got ")[2]
        raise VideoError(f"{path}: expected a complete video, got {reason}") from error
    with container:
        if not container.streams.video or container.format.name in NOT_VIDEO:
            raise VideoError(f"{path}: expected a video, got {container.format.name} without one.")
        yield container


@lru_cache(REMEMBERED)
def clock_of(path: Path, changed: int, size: int) -> Clock:
    """Read the time stamps of a file, without decoding.

    :param changed: when, in ns; with the size, it tells whether the file is still the same.
    """
    parts: list[list[float]] = [[]]
    packets, hidden, damaged, last = 0, 0, 0, -math.inf
    with _opened(path) as container:
        stream = container.streams.video[0]
        variable = container.format.name in VARIABLE
        checked = stream.codec_context is not None and stream.codec_context.name == "ffv1"
        try:
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    hidden += packet.size > 0
                    continue
                packets += 1
                damaged += checked and not _is_whole(bytes(packet))
                order = packet.dts if packet.dts is not None else packet.pts
                if packet.pts is None or order is None or packet.time_base is None:
                    variable = True
                    continue
                if order < last:
                    parts.append([])
                last = order
                parts[-1].append(float(packet.pts * packet.time_base))
        except (FFmpegError, OSError) as error:
            logger.debug("%s: counting ended with %s", path, error)  # reading will say so
        tick = float(stream.time_base or 0)
    steps = np.concatenate([np.diff(np.sort(part)) for part in parts])
    rate = len(steps) / steps.sum() if len(steps) and steps.sum() > 0 else None
    interval = None if variable else _interval(steps, tick, packets)
    damaged = damaged if 2 * damaged <= packets else 0  # FFV1 may also be without checksums
    return Clock(packets, hidden, damaged, interval, rate if interval is None else 1 / interval)


def _is_whole(packet: bytes) -> bool:
    """Whether all slices of a packet of FFV1 have their checksums: FFmpeg shows others as they were a frame before."""
    end = len(packet)
    while end > 0:
        size = FOOTER + int.from_bytes(packet[end - FOOTER : end - FOOTER + 3], "big") if end >= FOOTER else end + 1
        if size > end or zlib.crc32(packet[end - size : end].translate(REVERSED), 0xFFFFFFFF) != 0xFFFFFFFF:
            return False
        end -= size
    return True


def _interval(steps: NDArray[np.float64], tick: float, frames: int) -> float | None:
    """The constant time between frames, of which a few may be missing; None if it varies.

    :param steps: times between frames, s.
    :param tick: to which they are rounded, s.
    """
    if not len(steps) or np.median(steps) <= 0:
        return None
    interval = float(np.median(steps))
    interval = float(steps[np.abs(steps - interval) <= tick + ROUNDING * interval].mean())  # less rounded than one
    counts = np.maximum(1, np.rint(steps / interval))
    even = np.abs(steps - counts * interval) <= tick + ROUNDING * interval
    single = counts == 1
    if even.mean() < NEARLY_ALL or single.mean() < 0.5 or counts.sum() >= SPARSEST * frames:
        return None
    return interval


def _decoded(container: InputContainer, stream: VideoStream, errors: list[str]) -> Iterator[VideoFrame]:
    """Frames until the end, or until one cannot be decoded, so that frames keep their numbers.

    :param errors: gets what ended the decoding early.
    """
    frames = container.decode(stream)
    while True:
        try:
            frame = next(frames, None)
        except (FFmpegError, ValueError, MemoryError, OverflowError) as error:
            errors.append(getattr(error, "strerror", None) or str(error))
            return
        if frame is None:
            return
        yield frame


def _format_of(frame: VideoFrame) -> str:
    """The pixel format to convert to, that loses nothing of grey and of transparency."""
    name = frame.format.name
    deep = any(component.bits > 8 for component in frame.format.components)
    if name.startswith("gray") or name.startswith("mono"):
        return "gray16le" if deep else "gray"
    if name.startswith("ya"):
        return "rgba"
    has_alpha = frame.format.has_palette or len(frame.format.components) == 4
    return "rgba" if has_alpha else "rgb24"


def _turn_of(frame: VideoFrame) -> _Turn:
    """What the display matrix says; it maps the stored (right, down) to (a, b) and (c, d), in 16.16 fixed point."""
    for data in cast(Iterable[SideData], frame.side_data):  # PyAV types it as a mapping
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = (int(number) for number in np.frombuffer(bytes(data), np.int32)[:5])
            transposed = abs(b) > abs(a)
            return _Turn(True, b < 0, c < 0) if transposed else _Turn(False, d < 0, a < 0)
    return _Turn(False, False, False)


def _turned(pixels: Pixels, turn: _Turn) -> Pixels:
    """A stored picture as it is to be shown. (H, W[, C]) → (H', W', C)"""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if turn.transposed:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if turn.flipped else 1, :: -1 if turn.mirrored else 1]
