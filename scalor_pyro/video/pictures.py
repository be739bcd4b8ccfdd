"""One picture file (PNG, JPEG, WebP, BMP, PNM, …) or a small animation, mostly through Pillow."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import numpy as np
from PIL import Image

from scalor_pyro.video.source import FileInfo, Pixels, Shot, VideoError, reading, require_size

PICTURE_SUFFIXES = frozenset({".png", ".apng", ".jpg", ".jpeg", ".bmp", ".webp", ".pbm", ".pgm", ".ppm", ".pnm"})
# Formats by content, whatever the name says. Not all that Pillow knows: some run other programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "GIF")
EXPECTED = "a picture"
PNG = b"\x89PNG\r\n\x1a\n"
# Colour types of PNG with 16 bits that Pillow would cut to 8: colour, grey and alpha, colour and alpha.
CUT_BY_PILLOW = {2: "rgb48le", 4: "rgba64le", 6: "rgba64le"}
ORIENTATION = 0x0112  # EXIF and TIFF tag


class PictureSource:
    """A picture, or an animation in one file (APNG, WebP), whose frames keep their times.

    :raises VideoError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        first = read_picture(path, animated=True)
        self._times = _times_of(path)
        animated = len(self._times) > 2
        duration = self._times[-1] if animated and self._times[-1] > 0 else None
        self.info = FileInfo(
            path=path,
            kind="animated picture" if animated else "picture",
            size=first.shape[:2],
            channels=channels_of(first),
            rate=None if duration is None else self.count() / duration,
            duration=duration,
        )

    def count(self) -> int:
        """How many frames."""
        return len(self._times) - 1

    def shots(self) -> Iterator[Shot]:
        """The frames; those of an animation build on each other, so all are decoded."""
        if self.count() == 1:
            yield Shot(0, None, partial(read_picture, self.path, animated=True))
            return
        with _opened(self.path) as image:
            for number, index in enumerate(_frames(image)):
                with reading(self.path, EXPECTED):
                    image.seek(index)
                time = None if self.info.rate is None else self._times[number]
                yield Shot(number, time, partial(pixels_of, image, self.path))


def read_picture(path: Path, animated: bool = False) -> Pixels:
    """The pixels of a picture file, upright. (H, W, C)

    :param animated: take the first frame of an animation, rather than refuse it.
    :raises VideoError: if it is damaged, or holds several frames.
    """
    with _opened(path) as image:
        if image.format == "PNG":
            require_checksums(path)
        frames = _frames(image)
        if len(frames) > 1 and not animated:
            raise VideoError(f"{path}: expected one frame, as in the first file of the folder, got {len(frames)}.")
        with reading(path, EXPECTED):
            image.seek(frames[0])
        deep = None if len(frames) > 1 else _deep_format(path, image)
        if deep is None:
            return pixels_of(image, path)
        with reading(path, EXPECTED):
            return upright(_by_ffmpeg(path, deep), image.getexif().get(ORIENTATION, 1))


def pixels_of(image: Image.Image, path: Path) -> Pixels:
    """The pixels of the current frame of an opened image, upright. (H, W, C)"""
    with reading(path, EXPECTED):
        image.load()
        orientation = image.getexif().get(ORIENTATION, 1)
        bands, transparency = image.getbands(), image.info.get("transparency")
        if image.mode.startswith("I;16") and isinstance(transparency, int):
            grey = np.array(image)
            return upright(np.stack([grey, np.where(grey == transparency, 0, 65535).astype(grey.dtype)], -1), 1)
        if image.mode == "1" or image.mode == "L" and transparency is None:
            image = image.convert("L")
        elif "A" in bands or "a" in bands or (transparency is not None and image.mode in ("L", "P", "RGB")):
            image = image.convert("LA" if bands[0] == "L" else "RGBA")
        elif len(bands) > 1 or image.mode == "P":
            image = image.convert("RGB")
        return upright(np.array(image), orientation)  # other modes are grey of more than 8 bits


def upright(pixels: Pixels, orientation: object) -> Pixels:
    """A stored picture as EXIF and TIFF ask to show it. (H, W[, C]) → (H', W', C)

    :param orientation: 1 to 8; others, which some cameras write, change nothing.
    """
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def channels_of(pixels: Pixels) -> int:
    """1 grey, 3 colour."""
    return 1 if pixels.shape[-1] < 3 else 3


def count_frames(path: Path) -> int:
    """How many frames a picture file holds.

    :raises VideoError: if it cannot be read.
    """
    with _opened(path) as image:
        return len(_frames(image))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with reading(path, EXPECTED):
        image = Image.open(path, formats=FORMATS)
    with image:
        require_size(path, image.height, image.width)
        yield image


def _frames(image: Image.Image) -> range:
    """Indices of the frames; an MPO holds other views, and an APNG may begin with a still for old viewers."""
    if image.format == "MPO":
        return range(1)
    return range(int(bool(getattr(image, "default_image", False))), getattr(image, "n_frames", 1))


def _times_of(path: Path) -> list[float]:
    """When each frame of an animation is shown, and when the last one ends; s."""
    times = [0.0]
    with _opened(path) as image, reading(path, EXPECTED):
        for index in _frames(image):
            if len(_frames(image)) > 1:
                image.seek(index)
                image.load()
            times.append(times[-1] + float(image.info.get("duration", 0)) / 1000)
    return times


def _deep_format(path: Path, image: Image.Image) -> str | None:
    """The pixel format to ask of FFmpeg for a picture of 16 bits that Pillow would cut to 8; None for others."""
    with open(path, "rb") as file:
        start = file.read(64)
    if image.format == "PNG" and start[24] == 16:
        return CUT_BY_PILLOW.get(start[25])
    if image.format == "PPM" and start[:2] in (b"P3", b"P6") and _pnm_maximum(path) > 255:
        return "rgb48le"
    return None


def _pnm_maximum(path: Path) -> int:
    """The value of white in the header: the fourth word that is no comment."""
    words: list[bytes] = []
    with open(path, "rb") as file:
        while len(words) < 4 and (line := file.readline(1000)):
            words += line.partition(b"#")[0].split()
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else 0


def _by_ffmpeg(path: Path, pixel_format: str) -> Pixels:
    with av.open(f"file:{path}") as container:
        pixels: Pixels = next(container.decode(video=0)).to_ndarray(format=pixel_format)
    return pixels


def require_checksums(path: Path) -> None:
    """Refuse a PNG whose chunks differ from their checksums: Pillow does not look at those of the pixels.

    :raises VideoError: saying which chunk.
    """
    with reading(path, "a PNG picture"), open(path, "rb") as file:
        file.seek(len(PNG))
        while header := file.read(8):
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            checksum = zlib.crc32(kind)
            while length > 0 and (part := file.read(min(length, 1 << 20))):
                checksum, length = zlib.crc32(part, checksum), length - len(part)
            if length or file.read(4) != checksum.to_bytes(4, "big"):
                name = kind.decode("ascii", "replace")
                raise VideoError(f"{path}: expected a whole PNG picture, got a chunk {name!r} with a wrong checksum.")
            if kind == b"IEND":
                return
        raise VideoError(f"{path}: expected a whole PNG picture, got one that is cut off.")
