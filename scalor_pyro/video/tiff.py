"""TIFF files through tifffile: stacks, ImageJ hyperstacks, OME-TIFF, BigTIFF, …, with their axes.

Which axis is time: T. In a file without T, the only axis beside the picture and its colours (ImageJ keeps a film that
nobody labelled as a stack of slices; a warning says so). Three channels are red, green and blue. Other axes are
refused: the reader would have to choose a slice or a channel.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tifffile import PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from scalor_pyro.video.pictures import ORIENTATION, channels_of, upright
from scalor_pyro.video.source import (
    FileInfo,
    Pixels,
    Shot,
    VideoError,
    collected,
    quoted,
    reading,
    require_size,
    warn_once,
)

logger = logging.getLogger(__name__)

STACK_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8"})
EXPECTED = "a TIFF file"
# Kinds of extra samples that are transparency: premultiplied, and not.
PREMULTIPLIED, ALPHA = 1, 2
# Pixels that Pillow reads without loss: (samples, bits, kind of number). It brings codecs that tifffile lacks.
BY_PILLOW = {(1, 1, "b"), (1, 2, "u"), (1, 4, "u"), (1, 8, "u"), (1, 16, "u"), (1, 32, "f"), (3, 8, "u"), (4, 8, "u")}
# tifffile decodes these; of the others it gives numbers that are no grey or RGB values.
PLAIN = {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE}
NAMES = {"T": "time", "Z": "slices", "C": "channels", "S": "samples", "I": "pages", "Q": "unnamed"}


class StackSource:
    """A TIFF file, whose time axis is found as the module says.

    :raises VideoError: if it cannot be read, or has axes that are neither time nor colour.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened_tiff(path) as stack:
            self._count = stack.count
            first = stack.read(0)
        self.info = FileInfo(path, "TIFF stack", first.shape[:2], channels_of(first), None, None)

    def count(self) -> int:
        """How many frames."""
        return self._count

    def shots(self) -> Iterator[Shot]:
        """The frames; only those whose pixels are asked for are read."""
        with opened_tiff(self.path, quiet=True) as stack:
            for number in range(self._count):
                yield Shot(number, None, partial(stack.read, number))


class _Axes(NamedTuple):
    """What the axes of a file mean: positions in its shape."""

    time: int | None
    channel: int | None  # of single colours or samples


class TiffStack:
    """An opened TIFF file as frames."""

    def __init__(self, path: Path, series: TiffPageSeries) -> None:
        self.path, self._series = path, series
        self._page: TiffPage = series.keyframe
        self._axes = _meaning(path, series)
        self.count: int = 1 if self._axes.time is None else series.shape[self._axes.time]
        y, x = series.axes.index("Y"), series.axes.index("X")
        require_size(path, series.shape[y], series.shape[x])
        if series.dtype is None or series.dtype.kind not in "buif":
            raise VideoError(f"{path}: expected real numbers, got {series.dtype}.")

    def read(self, number: int) -> Pixels:
        """The pixels of a frame, upright. (H, W, C)

        :raises VideoError: if they are damaged, or packed in a way that is not known.
        """
        series, (time, channel) = self._series, self._axes
        index: list[Any] = [slice(None)] * len(series.shape)
        if time is not None:
            index[time] = number
        with reading(self.path, f"frame {number} of {self.count}"), collected("tifffile"):
            array, by_pillow = self._array(index)
        axes = "".join(axis for place, axis in enumerate(series.axes) if place != time)
        order = axes.index("Y"), axes.index("X")
        pixels: Pixels = array.transpose(*order, *(place for place in range(len(axes)) if place not in order))
        pixels = pixels if channel is not None else pixels[..., None]
        if not by_pillow:
            pixels = self._as_seen(pixels)
        elif pixels.dtype == np.uint16 and self._page.photometric == PHOTOMETRIC.MINISWHITE:
            pixels = ~pixels  # Pillow does so for 8 bits, but not for 16
        if pixels.shape[-1] not in (1, 2, 3, 4):
            raise VideoError(f"{self.path}: expected 1 to 4 samples per pixel, got {pixels.shape[-1]}.")
        return upright(pixels, 1 if by_pillow else self._page.tags.valueof(ORIENTATION, 1))

    def _array(self, index: list[Any]) -> tuple[NDArray[Any], bool]:
        """A part of the file's array, and whether Pillow decoded it."""
        series, page = self._series, self._page
        if series.dataoffset is not None:
            dtype = np.dtype(series.dtype).newbyteorder(page.parent.byteorder)
            whole = np.memmap(self.path, dtype, "r", series.dataoffset, series.shape)  # anew: its pages are freed
            return np.array(whole[tuple(index)], series.dtype), False
        leading = len(series.shape) - len(page.axes)
        grid = series.shape[:leading]
        if leading < 0 or prod(grid) != len(series.pages):
            raise VideoError(f"{self.path}: expected {prod(grid)} pages for axes {_words(series)}, got {len(series)}.")
        chosen = np.arange(len(series.pages)).reshape(grid)[tuple(index[:leading])]
        pages = [self._decoded(int(place)) for place in np.ravel(chosen)]
        array = np.stack([pixels for pixels, _ in pages]).reshape(*np.shape(chosen), *pages[0][0].shape)
        return array[(slice(None),) * np.ndim(chosen) + tuple(index[leading:])], pages[0][1]

    def _decoded(self, place: int) -> tuple[NDArray[Any], bool]:
        page: Any = self._series.pages[place]
        if page is None:
            raise VideoError(f"{self.path}: expected page {place}, which the file describes, got nothing.")
        keyframe: Any = page.keyframe
        try:
            decodable = keyframe.photometric in PLAIN and keyframe.bitspersample not in (2, 4)
            if decodable and keyframe.compression != tifffile.COMPRESSION.JPEG:
                return page.asarray(), False
            unknown = f"{keyframe.photometric.name} in {keyframe.bitspersample} bits"
        except (ValueError, NotImplementedError) as error:
            if "imagecodecs" not in str(error):
                raise
            unknown = f"{tifffile.COMPRESSION(keyframe.compression).name} compression"
        kind = keyframe.samplesperpixel, keyframe.bitspersample, np.dtype(keyframe.dtype).kind
        planar = keyframe.planarconfig == tifffile.PLANARCONFIG.SEPARATE and kind[0] > 1
        if kind in BY_PILLOW and not planar and isinstance(page.index, int):
            return self._by_pillow(page.index)
        raise VideoError(
            f"{self.path}: expected a kind of TIFF that can be decoded, got {unknown}; pip install imagecodecs may"
            " help, or save it uncompressed."
        )

    def _by_pillow(self, index: int) -> tuple[NDArray[Any], bool]:
        """A page, and whether Pillow has turned it upright and its numbers into light, too."""
        with Image.open(self.path, formats=("TIFF",)) as image:
            image.seek(index)
            image.load()
            return np.array(image.convert("L") if image.mode == "1" else image), image.mode != "P"

    def _as_seen(self, pixels: Pixels) -> Pixels:
        """From stored numbers to light: 0 is black, whatever the photometric interpretation."""
        page, bits = self._page, int(self._page.bitspersample)
        if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
            colours: Any = np.asarray(page.colormap)
            colours = colours >> 8 if colours.max() > 255 else colours
            return colours.astype(np.uint8).T[pixels[..., 0]]
        if pixels.dtype == np.bool_:
            pixels, bits = pixels.astype(np.uint8), 1
        if page.photometric == PHOTOMETRIC.MINISWHITE:
            if pixels.dtype.kind == "f":
                raise VideoError(f"{self.path}: expected floating-point grey as BlackIsZero, got WhiteIsZero.")
            pixels = ~pixels if pixels.dtype.kind == "i" else (1 << bits) - 1 - pixels
        if bits < 8:
            pixels = pixels * np.uint8(255 // ((1 << bits) - 1))
        return self._without_premultiplied_alpha(pixels)

    def _without_premultiplied_alpha(self, pixels: Pixels) -> Pixels:
        """Premultiplied colours lie over black already; samples of unknown meaning are no alpha."""
        colours = 3 if self._page.photometric == PHOTOMETRIC.RGB else 1
        extra = tuple(self._page.extrasamples or ())
        if self._axes.channel is None or self._series.axes[self._axes.channel] != "S" or ALPHA in extra[:1]:
            return pixels
        if pixels.shape[-1] > colours and extra[:1] != (PREMULTIPLIED,):
            text = f"has {pixels.shape[-1]} samples per pixel, of which the first {colours} are read."
            warn_once(logger, self.path, text)
        return pixels[..., :colours]


@contextmanager
def opened_tiff(path: Path, own_pages: bool = False, quiet: bool = False) -> Iterator[TiffStack]:
    """Open a TIFF file.

    :param own_pages: of a data set in several files (OME), read only the pages of this one.
    :param quiet: do not say that a part is missing.
    :raises VideoError: if it cannot be read.
    """
    with collected("tifffile") as messages:
        with reading(path, EXPECTED):
            file = TiffFile(path)
            try:
                several = list(file.series)
                if own_pages and any(each.is_multifile for each in several):
                    file.close()
                    file = TiffFile(path, is_ome=False)
                    several = list(file.series)
            except BaseException:
                file.close()
                raise
    with file:
        stack = TiffStack(path, _only(path, several))
        if messages and not quiet:
            said = quoted(messages[0].partition("> ")[2] or messages[0])
            warn_once(logger, path, f"seems to be cut off or damaged: {stack.count} frames can be read ({said}).")
        yield stack


def _only(path: Path, several: list[TiffPageSeries]) -> TiffPageSeries:
    """The series of frames, among smaller copies and labels of it.

    :raises VideoError: if there are several, or none.
    """
    frames = [each for each in several if "Y" in each.axes and "X" in each.axes and not each.keyframe.is_reduced]
    if len(frames) != 1:
        shapes = ", ".join(f"{each.axes} {' × '.join(map(str, each.shape))}" for each in frames[:3]) or "none"
        raise VideoError(f"{path}: expected pages of one size and depth, got {len(frames)} series ({shapes}).")
    return frames[0]


def _meaning(path: Path, series: TiffPageSeries) -> _Axes:
    """Which axis is time, and which holds colours.

    :raises VideoError: if others are left.
    """
    long = {axis: place for place, axis in enumerate(series.axes) if axis not in "YX" and series.shape[place] > 1}
    # Axes of length 1, other than the samples, hold nothing to choose from; tifffile leaves them out.
    places = [place for place, axis in enumerate(series.axes) if axis not in "YXS"]
    others = [place for place in places if series.axes[place] != "C"]
    channel = series.axes.find("S") if "S" in series.axes else None
    if "C" in long and channel is None and series.shape[long["C"]] == 3:
        channel = long["C"]
        warn_once(logger, path, "has 3 channels, which are read as red, green and blue.")
    elif "C" in long:
        raise VideoError(
            f"{path}: expected one channel, or 3 (red, green, blue), got {_words(series)}; save one channel as a stack"
            " of its own (ImageJ: Image > Color > Split Channels)."
        )
    if len(others) > 1:
        raise VideoError(
            f"{path}: expected one axis beside the picture and its colours, got {_words(series)}; save one slice, or a"
            " projection, as a stack over time."
        )
    if others and series.axes[others[0]] == "Z" and series.shape[others[0]] > 1:
        warn_once(logger, path, f"has no time axis: its {series.shape[others[0]]} slices (Z) are read as frames.")
    return _Axes(others[0] if others else None, channel)


def _words(series: TiffPageSeries) -> str:
    """The axes with their lengths, as "TZYX (8 time × 5 slices × …)"."""
    lengths = [f"{length} {NAMES.get(axis, axis)}" for axis, length in zip(series.axes, series.shape, strict=True)]
    return f"axes {series.axes} ({' × '.join(lengths)})"
