"""Video files (mp4, avi, mkv, mov, gif, …) through PyAV, which brings FFmpeg along."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from scalor_pyro.video.source import FileInfo, Pixels, Shot, VideoError

logger = logging.getLogger(__name__)

# FFmpeg makes a video even of a text file, as a terminal would show it.
NOT_VIDEO = ("tty",)
# A file that is short of what it announces by more than this share, and by more than these frames, was cut off:
# headers may count frames that an edit list hides, and round the duration.
MISSING_SHARE, MISSING_FRAMES = 0.02, 1


class _Turn(NamedTuple):
    """How a stored picture becomes upright: first transposed, then turned over."""

    transposed: bool
    flipped: bool  # top and bottom
    mirrored: bool  # left and right


class ContainerSource:
    """A video file.

    Turned or mirrored videos (display matrix) come out upright. Pixels are taken as square. Grey of more than 8 bits
    comes as 16 bits; colour always as 8.

    :raises VideoError: if it is not a video, or its codec is not known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as (container, stream):
            first = next(_decoded(container, stream, path), None)
            if first is None:
                raise VideoError(f"{path} holds no frame that can be read, but a video of at least 1 was expected.")
            self._format = _format_of(first)
            self._turn = _turn_of(first)
            height, width = (first.height, first.width)[:: -1 if self._turn.transposed else 1]
            rate = stream.average_rate or stream.guessed_rate
            seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
            if seconds is None and container.duration:
                seconds = container.duration / av.time_base
            self._announced = stream.frames
            # In other files the duration may be that of the sound.
            self._alone = len(container.streams) == 1
            self.info = FileInfo(
                path=path,
                kind=f"{stream.codec_context.name} in {container.format.name.partition(',')[0]}",
                size=(height, width),
                channels=1 if self._format.startswith("gray") else 3,
                rate=float(rate) if rate else None,
                duration=seconds,
            )

    def count(self) -> int:
        """How many frames the file says that it holds, or else how many packets it holds."""
        if self._announced:
            return self._announced
        with self._opened() as (container, stream):
            packets = 0
            try:
                for packet in container.demux(stream):
                    packets += packet.size > 0
            except FFmpegError as error:
                logger.debug("%s: counting ended with %s", self.path, error)  # reading will say so
            return packets

    def shots(self) -> Iterator[Shot]:
        """All frames up to the end, or to where the file is damaged: then one warning says how many there were.

        The last frame of a damaged file may be half there.
        """
        number, time = -1, 0.0
        with self._opened() as (container, stream):
            stream.thread_type = "AUTO"
            for number, frame in enumerate(_decoded(container, stream, self.path)):
                time = frame.time
                yield Shot(number, time, partial(self._pixels, frame))
        self._compare(number + 1)

    def _pixels(self, frame: VideoFrame) -> Pixels:
        return _turned(frame.to_ndarray(format=self._format), self._turn)

    def _compare(self, read: int) -> None:
        """Say so if the file announced more frames than could be read."""
        expected = self._announced
        if not expected and self._alone and self.info.duration and self.info.rate:
            expected = round(self.info.duration * self.info.rate)
        if expected - read > max(MISSING_FRAMES, MISSING_SHARE * expected):
            logger.warning("%s seems to be cut off: %d of about %d frames could be read.", self.path, read, expected)

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        try:
            container = av.open(str(self.path))
        except (FFmpegError, OSError) as error:
            raise VideoError(
                f"{self.path} is not a video that can be read, or its end is missing ({_reason(error)})."
            ) from error
        with container:
            if not container.streams.video or container.format.name in NOT_VIDEO:
                raise VideoError(f"{self.path} holds no video ({container.format.name}), but one was expected.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError(f"{self.path} is in a codec that the FFmpeg of PyAV cannot decode.")
            yield container, stream


def _decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """Frames until the end, or until one cannot be decoded, so that frames keep their numbers."""
    try:
        yield from container.decode(stream)
    except FFmpegError as error:
        logger.debug("%s: decoding ended with %s", path, error)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


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
