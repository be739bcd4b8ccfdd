"""An annotated video: the frames that were tracked, with boxes, numbers and trails in the colours of the identities.

It is a second pass over the file, with memory for a few frames: tracking itself need not decode frames in full size
and colour, and tracks that were written long ago, or edited, can be looked at as well.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import matplotlib
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

# What the annotated video of a file is called after that file's stem: not as the file itself.
ENDING = "-tracks.mp4"

# Time stamps count this many ticks in a second, as is common in MPEG.
TICKS = 90_000

# Frames per second of files that do not say.
UNKNOWN_RATE = 10.0

# Frames whose shorter side is below this many px are enlarged by a whole number, so that lines and numbers are seen.
SHORTER_SIDE = 360

# A trail is this many tracked frames long.
TRAIL = 20

# px of a line's width for each px of the shorter side; below 2 px, H.264 takes a line's colour away.
LINE_SHARE, THINNEST_LINE = 1 / 240, 2

# A number is as large as this part of its box's height, from 9 px up to a part of the shorter side.
TEXT_OF_BOX, SMALLEST_TEXT, TEXT_SHARE = 0.6, 9, 1 / 26


def require_encoder() -> None:
    """Refuse before any work where there is no encoder of H.264.

    :raises VideoError: saying so.
    """
    try:
        av.codec.Codec(ENCODER, "w")
    except UnknownCodecError as error:
        raise VideoError(
            f"The FFmpeg of PyAV has no encoder {ENCODER}, but for an annotated mp4 a PyAV that has it, as the one"
            " that pip installs, was expected."
        ) from error


def annotate(
    video: str | Path,
    tracks: Iterable[Tracks],
    out: str | Path,
    options: ReadOptions | None = None,
    overwrite: bool = False,
) -> int:
    """Write an mp4 (H.264) of the tracked frames in full size and colour, each as long as it is in the file.

    The numbers are identities, counted from 0, as `particle` in the CSV. Files without a frame rate count as 10
    frames per second. Small frames are enlarged.

    :param video: the file that was tracked.
    :param tracks: in px and frames of the file, a frame each, in order, as from
        :func:`~scalor_pyro.tracks.text.tracks_by_frame`.
    :param out: the mp4; it appears whole or not at all.
    :param options: how the video was read for tracking: they say which frames are shown.
    :param overwrite: replace `out` if it exists.
    :return: how many frames were written.
    :raises VideoError: where the encoder is missing, the video cannot be read, or is `out` itself, or the tracks go on
        after its end.
    :raises OutputError: if `out` exists or cannot be written.
    """
    require_encoder()
    require_new(Path(out), overwrite)
    if Path(out).exists() and Path(out).samefile(video):
        raise VideoError(f"{out} is the video itself, but another name was expected for the annotated one.")
    shown = replace(options or ReadOptions(), crop=None, size=None, grey=False)
    source, rows, painter = Video(video, shown), _RowsInOrder(tracks), None
    with written_whole(Path(out)) as temporary, _Encoder(temporary, Path(out), _rate(source)) as encoder:
        for frame, seconds in _timed(source):
            if painter is None:
                painter = _Painter(frame.image.shape[1:])
            encoder.add(painter.paint(frame.image, rows.of(frame.number)), seconds)
        beyond = rows.first_from(frame.number + 1)
        if shown.stop is None and beyond is not None:
            raise VideoError(
                f"The tracks go on in frame {beyond}, but {video} ends with frame {frame.number}: tracks of this video"
                " were expected."
            )
    return encoder.frames


class _RowsInOrder:
    """The rows of each frame, from parts in order of frames, of which it holds one."""

    def __init__(self, parts: Iterable[Tracks]) -> None:
        self._parts = iter(parts)
        self._part = next(self._parts, None)

    def of(self, number: int) -> Tracks | None:
        """The rows of a frame, None where it has none; those of frames before are passed over."""
        return self._part if self.first_from(number) == number else None

    def first_from(self, number: int) -> int | None:
        """The first frame from this one on that has rows; None where there is none."""
        while self._part is not None and self._part.frame[0] < number:
            self._part = next(self._parts, None)
        return None if self._part is None else int(self._part.frame[0])


# ------------------------------------------------------------------ when a frame is shown


def _rate(video: Video) -> float:
    """Frames per second of those that are read, on average."""
    return (video.options.rate or video.info.rate or UNKNOWN_RATE) / video.options.stride


def _timed(video: Video) -> Iterator[tuple[Frame, float]]:
    """Each frame with its seconds after the first: by the time stamps of the file, where they are."""
    first = None
    for count, frame in enumerate(video):
        if frame.time is None or video.options.rate is not None:
            yield frame, count / _rate(video)
        else:
            first = frame.time if first is None else first
            yield frame, frame.time - first


# ------------------------------------------------------------------ drawing


class _Painter:
    """Draws what is tracked on frames of one size.

    :param size: H, W in px.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._zoom = max(1, round(SHORTER_SIDE / min(size)))
        side = self._zoom * min(size)
        self._line = max(THINNEST_LINE, round(side * LINE_SHARE))
        self._largest_text = max(SMALLEST_TEXT, round(side * TEXT_SHARE))
        self._trails: dict[int, deque[tuple[int, float, float]]] = {}  # by identity: (count, x, y), enlarged
        self._count = 0  # frames painted

    def paint(self, image: NDArray[np.uint8], tracks: Tracks | None) -> Pixels:
        """A frame, enlarged, with what is tracked in it.

        :param image: (C, H, W).
        :param tracks: the rows of this frame.
        """
        pixels = np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3))
        canvas = Image.fromarray(pixels.repeat(self._zoom, 0).repeat(self._zoom, 1))
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
        """Shorten the trails to what is shown."""
        for identity in list(self._trails):
            trail = self._trails[identity]
            while trail and trail[0][0] <= self._count - TRAIL:
                trail.popleft()
            if not trail:
                del self._trails[identity]


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own font, which is there wherever matplotlib is."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _colour(identity: int) -> Colour:
    red, green, blue = (round(255 * channel) for channel in identity_colour(identity))
    return red, green, blue


# ------------------------------------------------------------------ encoding


class _Encoder:
    """Writes pictures of one size as H.264 in mp4.

    :param path: of the file.
    :param name: that it will have.
    :param rate: frames per second, on average.
    :raises OutputError: for what FFmpeg cannot write.
    """

    def __init__(self, path: Path, name: Path, rate: float) -> None:
        self._path, self._name = path, name
        self._rate = Fraction(rate).limit_denominator(1001)
        self._stream: Any = None
        self._last = -1  # time stamp, in ticks
        self.frames = 0

    def __enter__(self) -> "_Encoder":
        self._container = av.open(str(self._path), "w", format="mp4", options={"movflags": "faststart"})
        return self

    def add(self, pixels: Pixels, seconds: float) -> None:
        """Write a picture that is shown from so many seconds on."""
        # The colours of yuv420p are halved in size: sides must be even.
        even = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._begin(*even.shape[:2])
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        self._last = max(self._last + 1, round(seconds * TICKS))  # stamps have to rise, whatever the file says
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._mux(frame)
        self.frames += 1

    def _begin(self, height: int, width: int) -> Any:
        stream: Any = self._container.add_stream(ENCODER, rate=self._rate, options=ENCODER_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        # What the conversion from RGB makes, said so that no player has to guess by the size.
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
