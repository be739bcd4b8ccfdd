"""An annotated video: the frames that were tracked, with boxes, numbers and trails in the colours of the identities.

:class:`AnnotatedVideo` takes frames while they are tracked, so that the file is decoded once. :func:`annotate` reads
the video again, for tracks that were written earlier or edited.
"""

import io
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scalor_pyro.colours import identity_colour
from scalor_pyro.files import OutputError, require_new, written_whole
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.video import ReadOptions, Video, VideoError
from scalor_pyro.video.reading import Frame

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]  # (H, W, 3)

ENCODER = "libx264"
ENCODER_OPTIONS = {"crf": "20", "preset": "veryfast"}

# Name of the annotated video after the stem of the video: never the video's own name.
ENDING = "-tracks.mp4"

# Ticks of time stamps per second, as is common in MPEG.
TICKS = 90_000

# Frames per second of files that do not say.
UNKNOWN_RATE = 10.0

# Frames whose shorter side is below this many px are enlarged by a whole number, so that lines and numbers show …
SHORTER_SIDE = 360
# … as long as the longer side stays within what players can show (H.264, level 5).
LONGER_SIDE = 4096
# px, the largest side that libx264 takes; larger frames are reduced.
LARGEST_SIDE = 16_384

# A trail is this many tracked frames long.
TRAIL = 20

# px of a line's width for each px of the shorter side; H.264 loses the colour of lines thinner than 2 px.
LINE_SHARE, THINNEST_LINE = 1 / 240, 2

# A number is this part of its box's height, from 9 px up to a part of the shorter side.
TEXT_OF_BOX, SMALLEST_TEXT, TEXT_SHARE = 0.6, 9, 1 / 26


def zoom_for(size: tuple[int, int]) -> float:
    """How much frames of this size, H, W in px, are enlarged: a whole number, or below 1 for very large frames."""
    shorter, longer = min(size), max(size)
    if longer > LARGEST_SIDE:
        return LARGEST_SIDE / longer
    return max(1, min(round(SHORTER_SIDE / shorter), LONGER_SIDE // longer))


def require_encoder(size: tuple[int, int] = (2, 2)) -> None:
    """Encode one black frame in memory, so that an encoder that is missing or fails is known before any work.

    :param size: H, W in px of the frames of the video.
    :raises VideoError: saying so.
    """
    try:
        av.codec.Codec(ENCODER, "w")
    except UnknownCodecError as error:
        raise VideoError(
            f"The FFmpeg of PyAV has no encoder {ENCODER}, which annotated videos need; the PyAV that pip installs has"
            " it."
        ) from error
    with Encoder(io.BytesIO(), Path(f"An annotated video of {size[1]} × {size[0]} px"), UNKNOWN_RATE) as encoder:
        encoder.add(np.zeros((*_enlarged(size), 3), np.uint8), 0.0)


def _enlarged(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (max(1, round(side * zoom_for(size))) for side in size)
    return height, width


class AnnotatedVideo:
    """Writes an mp4 (H.264) frame by frame, in full size and colour, each shown as long as in the file::

        with AnnotatedVideo("street-tracks.mp4", video) as movie:
            for frame, tracks in tracked:
                movie.add(frame, tracks)

    Numbers are identities, counted from 0, as `particle` in the CSV. Files without a frame rate are shown at 10 frames
    per second. Small frames are enlarged, and frames beyond the encoder's limit reduced.

    :param out: the mp4; it appears whole or not at all.
    :param video: as it is read for tracking.
    :param overwrite: replace `out` if it exists.
    :raises VideoError: if the encoder is missing, or `out` is the video itself.
    :raises OutputError: if `out` exists.
    """

    def __init__(self, out: str | Path, video: Video, overwrite: bool = False) -> None:
        self.out = Path(out)
        require_new(self.out, overwrite)
        if self.out.exists() and video.path.exists() and self.out.samefile(video.path):
            raise VideoError(f"{out}: expected another name for the annotated video, got that of the video itself.")
        require_encoder(video.info.size)
        self._rate, self._by_time = _rate(video), video.options.rate is None
        self._painter = _Painter(video.info.size)
        self._first: float | None = None  # time of the first frame, s
        self._exits = ExitStack()
        self._encoder: Encoder | None = None

    def __enter__(self) -> "AnnotatedVideo":
        temporary = self._exits.enter_context(written_whole(self.out))
        try:
            self._encoder = self._exits.enter_context(Encoder(str(temporary), self.out, self._rate))
        except BaseException as error:
            self._exits.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def add(self, frame: Frame, tracks: Tracks | None) -> None:
        """Write the next frame.

        :param frame: uncropped, in full size, see :meth:`~scalor_pyro.video.reading.Video.chunks`.
        :param tracks: its rows, in px of the file; None for no object.
        :raises OutputError: if it cannot be written.
        """
        if self._encoder is None:
            raise ValueError("AnnotatedVideo.add: expected to be called inside of the with statement.")
        seconds = self._encoder.frames / self._rate
        if frame.time is not None and self._by_time:
            self._first = frame.time if self._first is None else self._first
            seconds = frame.time - self._first
        self._encoder.add(self._painter.paint(frame.image, tracks), seconds)

    @property
    def frames(self) -> int:
        """How many frames were written."""
        return self._encoder.frames if self._encoder else 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, traceback)


def annotate(
    video: str | Path,
    tracks: Iterable[Tracks],
    out: str | Path,
    options: ReadOptions | None = None,
    overwrite: bool = False,
) -> int:
    """Write an :class:`AnnotatedVideo` of a video that was tracked earlier.

    :param video: the file that was tracked.
    :param tracks: in px and frames of the file, one frame each, in order, as from
        :func:`~scalor_pyro.tracks.text.tracks_by_frame`.
    :param out: the mp4; it appears whole or not at all.
    :param options: how the video was read for tracking: they select the frames.
    :param overwrite: replace `out` if it exists.
    :return: how many frames were written.
    :raises VideoError: if the encoder is missing, the video cannot be read or is `out` itself, or the tracks continue
        beyond its end.
    :raises OutputError: if `out` exists or cannot be written.
    """
    shown = replace(options or ReadOptions(), crop=None, size=None, grey=False)
    source, rows = Video(video, shown), _RowsInOrder(tracks)
    with AnnotatedVideo(out, source, overwrite) as movie:
        for frame in source:
            movie.add(frame, rows.of(frame.number))
        beyond = rows.first_from(frame.number + 1)
        if shown.stop is None and beyond is not None:
            raise VideoError(
                f"{video}: expected tracks of this video, which ends with frame {frame.number}, got some of frame"
                f" {beyond}."
            )
    return movie.frames


class _RowsInOrder:
    """The rows of each frame, from parts in order of frames, one of which is held at a time."""

    def __init__(self, parts: Iterable[Tracks]) -> None:
        self._parts = iter(parts)
        self._part = next(self._parts, None)

    def of(self, number: int) -> Tracks | None:
        """The rows of a frame, None if it has none; earlier frames are skipped."""
        return self._part if self.first_from(number) == number else None

    def first_from(self, number: int) -> int | None:
        """The first frame from this one on that has rows; None if there is none."""
        while self._part is not None and self._part.frame[0] < number:
            self._part = next(self._parts, None)
        return None if self._part is None else int(self._part.frame[0])


def rows_of_frames(numbers: Iterable[int], tracks: Tracks, last: Tracks | None = None) -> Iterator[Tracks]:
    """The rows of each frame of a chunk; a frame that was read twice has the same rows again.

    :param numbers: of the frames.
    :param tracks: of the chunk.
    :param last: the rows of the last frame of the chunk before, which this chunk may begin with again.
    """
    for number in numbers:
        here = tracks.rows(tracks.frame == number)
        yield last if not len(here) and last is not None and len(last) and last.frame[0] == number else here


def _rate(video: Video) -> float:
    """Frames per second of those that are read, on average."""
    return (video.options.rate or video.info.rate or UNKNOWN_RATE) / video.options.stride


# ------------------------------------------------------------------ drawing


class _Painter:
    """Draws tracks on frames of one size.

    :param size: H, W in px.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._zoom, self._size = zoom_for(size), _enlarged(size)
        side = min(self._size)
        self._line = max(THINNEST_LINE, round(side * LINE_SHARE))
        self._largest_text = max(SMALLEST_TEXT, round(side * TEXT_SHARE))
        self._trails: dict[int, deque[tuple[int, float, float]]] = {}  # by identity: (count, x, y), enlarged
        self._count = 0  # frames painted

    def paint(self, image: NDArray[np.uint8], tracks: Tracks | None) -> Pixels:
        """A frame, enlarged, with its tracks.

        :param image: (C, H, W).
        :param tracks: the rows of this frame.
        """
        pixels = np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3))
        method = Image.Resampling.NEAREST if self._zoom >= 1 else Image.Resampling.BOX
        canvas = Image.fromarray(np.ascontiguousarray(pixels))
        if canvas.size != self._size[::-1]:
            canvas = canvas.resize(self._size[::-1], method)
        if tracks is not None:
            self._draw(ImageDraw.Draw(canvas), tracks)
        self._count += 1
        self._forget()
        return np.asarray(canvas)

    def _draw(self, draw: ImageDraw.ImageDraw, tracks: Tracks) -> None:
        boxes = self._zoom * tracks.box
        numbers = []  # above all boxes
        for identity, (x, y, width, height) in zip(tracks.identity.tolist(), boxes.tolist(), strict=True):
            colour = _colour(identity)
            trail = self._trails.setdefault(identity, deque())
            trail.append((self._count, x, y))
            draw.line([point[1:] for point in trail], fill=colour, width=self._line, joint="curve")
            left, top = x - width / 2, y - height / 2
            draw.rectangle((left, top, left + width - 1, top + height - 1), outline=colour, width=self._line)
            size = min(self._largest_text, max(SMALLEST_TEXT, round(TEXT_OF_BOX * height)))
            numbers.append(((max(left, 0), max(top, size)), str(identity), colour, _font(size)))
        for place, text, colour, font in numbers:
            draw.text(place, text, colour, font, anchor="lb", stroke_width=1, stroke_fill=(0, 0, 0))

    def _forget(self) -> None:
        """Cut the trails to the length that is shown."""
        for identity in list(self._trails):
            trail = self._trails[identity]
            while trail and trail[0][0] <= self._count - TRAIL:
                trail.popleft()
            if not trail:
                del self._trails[identity]


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib."""
    import matplotlib  # takes a fifth of a second, which tracking without pictures does not need

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _colour(identity: int) -> Colour:
    red, green, blue = (round(255 * channel) for channel in identity_colour(identity))
    return red, green, blue


# ------------------------------------------------------------------ encoding


class Encoder:
    """Writes pictures of one size as H.264 in mp4.

    :param file: its path, or a file object.
    :param name: for messages.
    :param rate: frames per second, on average.
    :param options: of the encoder.
    :raises OutputError: if FFmpeg cannot write it.
    """

    def __init__(
        self, file: str | io.BytesIO, name: Path, rate: float, options: Mapping[str, str] = ENCODER_OPTIONS
    ) -> None:
        self._file, self._name, self._options = file, name, dict(options)
        self._rate = Fraction(rate).limit_denominator(1001)
        self._stream: Any = None
        self._last = -1  # time stamp, in ticks
        self.frames = 0

    def __enter__(self) -> "Encoder":
        # faststart would read a file object again.
        options = {"movflags": "faststart"} if isinstance(self._file, str) else {}
        self._container = av.open(self._file, "w", format="mp4", options=options)
        return self

    def add(self, pixels: Pixels, seconds: float) -> None:
        """Write a picture that is shown from this time on."""
        # The colours of yuv420p have half the resolution: sides must be even.
        odd = pixels.shape[0] % 2, pixels.shape[1] % 2
        even = np.pad(pixels, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else pixels
        if self._stream is None:
            self._stream = self._begin(*even.shape[:2])
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        self._last = max(self._last + 1, round(seconds * TICKS))  # time stamps must increase, even if the file's do not
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._mux(frame)
        self.frames += 1

    def _begin(self, height: int, width: int) -> Any:
        stream: Any = self._container.add_stream(ENCODER, rate=self._rate, options=self._options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        # What the conversion from RGB makes; without it, players guess by the size.
        stream.codec_context.colorspace, stream.codec_context.color_range = Colorspace.ITU601, ColorRange.MPEG
        return stream

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except FFmpegError as error:
            raise OutputError(f"{self._name} could not be written ({error.strerror}).") from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._container:
            if kind is None and self._stream is not None:
                self._mux(None)
