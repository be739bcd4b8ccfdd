"""Arrays of numpy, npy and npz: read from the file a frame at a time, never as a whole."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from scalor_pyro.video.source import FileInfo, Pixels, Shot, VideoError

# An array of this name is taken from an npz that holds several.
FRAMES_KEYS = ("frames", "video", "images")
# Last axis of an array with channels: grey, colour, colour and alpha.
CHANNELS = (1, 3, 4)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    first: int  # byte at which the numbers begin


class ArraySource:
    """An npy file, or an array in an npz file: (T, H, W), (T, H, W, C) or (T, C, H, W), C = 1, 3 or (last) 4.

    Differs from a memory map in that pages that were read do not count as memory of the process.

    :raises VideoError: if it cannot be read or is not a video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._member = _member_of(path) if path.suffix.lower() == ".npz" else None
        with self._opened() as (_, header):
            self._header = header
        shape = self._header.shape
        self._first_axis = len(shape) == 4 and shape[-1] not in CHANNELS and shape[1] in (1, 3)
        if not (len(shape) == 3 or len(shape) == 4 and (shape[-1] in CHANNELS or self._first_axis)):
            raise VideoError(
                f"{path} holds an array of shape {shape}, but (T, H, W), (T, H, W, C) or (T, C, H, W) with 1 or 3"
                " channels was expected."
            )
        if 0 in shape:
            raise VideoError(f"{path} holds an array of shape {shape}, but at least 1 frame was expected.")
        rows = 2 if self._first_axis else 1
        channels = 1 if len(shape) == 3 else shape[1 if self._first_axis else 3]
        kind = f"array of {self._header.dtype}"
        self.info = FileInfo(path, kind, (shape[rows], shape[rows + 1]), 1 if channels == 1 else 3, None, None)

    def count(self) -> int:
        """T, as the header has it."""
        return self._header.shape[0]

    def shots(self) -> Iterator[Shot]:
        """The frames; only those whose pixels are asked for are read.

        :raises VideoError: where the file ends too early.
        """
        with self._opened() as (file, _):
            for number in range(self.count()):
                yield Shot(number, None, lambda number=number: self._read(file, number))  # type: ignore[misc]  # of this number

    def _read(self, file: IO[bytes], number: int) -> Pixels:
        _, dtype, first = self._header
        shape = self._header.shape[1:]
        length = math.prod(shape) * dtype.itemsize
        file.seek(first + number * length)
        content = file.read(length)
        if len(content) < length:
            raise VideoError(
                f"{self.path} is cut off: {number} of {self.count()} frames can be read; --stop {number} reads those."
            )
        pixels = np.frombuffer(bytearray(content), dtype).reshape(shape)  # which, unlike bytes, may be written to
        if pixels.ndim == 2:
            return pixels[..., None]
        return np.moveaxis(pixels, 0, -1) if self._first_axis else pixels

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], _Header]]:
        if self._member is None:
            with open(self.path, "rb") as file:
                yield file, _header_of(file, self.path)
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._member) as member:
                yield member, _header_of(member, self.path)


def _member_of(path: Path) -> str:
    """The file in an npz that holds the frames."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise VideoError(f"{path} is not an npz file that can be read ({error}).") from error
    chosen = names if len(names) == 1 else [name for name in FRAMES_KEYS if name in names]
    if not chosen:
        raise VideoError(
            f"{path} holds the arrays {', '.join(names) or '(none)'}, but one, or one called"
            f" {' or '.join(FRAMES_KEYS)}, was expected."
        )
    return f"{chosen[0]}.npy"


def _header_of(file: IO[bytes], path: Path) -> _Header:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError) as error:
        raise VideoError(f"{path} is not an array of numpy that can be read ({error}).") from error
    if fortran and len(shape) > 1 or dtype.kind not in "buif":
        order = "column" if fortran else "row"
        raise VideoError(f"{path} holds {dtype} in {order} order, but real numbers in row (C) order were expected.")
    return _Header(shape, dtype, file.tell())
