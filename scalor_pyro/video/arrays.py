"""Arrays of numpy: in memory, or npy and npz, read from the file a frame at a time, never as a whole."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.video.source import FileInfo, Pixels, Shot, VideoError, reading, require_size

# An npz with several arrays holds the frames under one of these names.
FRAMES_KEYS = ("frames", "video", "images")
# Last axis of an array with channels: grey, colour, colour and alpha.
CHANNELS = (1, 3, 4)
# What messages call an array in memory, which has no path.
NAME = Path("array")
# Names of arrays that a message lists; bytes that are skipped at a time.
LISTED, SKIPPED = 5, 1 << 20


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    first: int  # byte at which the numbers begin


class ArraySource:
    """An npy file, or an array in an npz file: (T, H, W), (T, H, W, C) or (T, C, H, W), C = 1, 3 or (last) 4.

    Objects are refused, because unpickling runs code. Differs from a memory map in that pages that were read do not
    count as memory of the process.

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
                f"{path}: expected an array of shape (T, H, W), (T, H, W, C) or (T, C, H, W) with 1 or 3 channels, got"
                f" {shape}."
            )
        if min(shape) < 1:
            raise VideoError(f"{path}: expected an array of at least 1 frame, got shape {shape}.")
        rows = 2 if self._first_axis else 1
        require_size(path, shape[rows], shape[rows + 1])
        channels = 1 if len(shape) == 3 else shape[1 if self._first_axis else 3]
        kind = f"array of {self._header.dtype}"
        self.info = FileInfo(path, kind, (shape[rows], shape[rows + 1]), 1 if channels == 1 else 3, None, None)

    def count(self) -> int:
        """T, from the header."""
        return self._header.shape[0]

    def shots(self) -> Iterator[Shot]:
        """The frames; only those whose pixels are asked for are read.

        Of an npz the rest is passed over by reading it, so that its checksum is compared at the end.

        :raises VideoError: if the file ends too early, or an npz differs from its checksum.
        """
        with self._opened() as (file, _):
            for number in range(self.count()):
                yield Shot(number, None, partial(self._read, file, number))
            if self._member is not None:
                with reading(self.path, "an npz file"):
                    while file.read(SKIPPED):
                        pass

    def _read(self, file: IO[bytes], number: int) -> Pixels:
        _, dtype, first = self._header
        shape = self._header.shape[1:]
        length = math.prod(shape) * dtype.itemsize
        with reading(self.path, f"frame {number} of {self.count()}"):
            self._go_to(file, first + number * length)
            content = file.read(length)
        if len(content) < length:
            raise VideoError(
                f"{self.path}: expected {self.count()} frames, got {number} before the file ends; --stop {number}"
                " reads those."
            )
        pixels = np.frombuffer(bytearray(content), dtype).reshape(shape)  # which, unlike bytes, may be written to
        if pixels.ndim == 2:
            return pixels[..., None]
        return np.moveaxis(pixels, 0, -1) if self._first_axis else pixels

    def _go_to(self, file: IO[bytes], place: int) -> None:
        """Seek; forwards in an npz by reading, because its checksum is not compared after a seek."""
        if self._member is None or place < file.tell():
            file.seek(place)
        while (ahead := place - file.tell()) > 0 and file.read(min(ahead, SKIPPED)):
            pass

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], _Header]]:
        if self._member is None:
            with reading(self.path, "an npy file"):
                file: IO[bytes] = open(self.path, "rb")
            with file:
                yield file, _header_of(file, self.path)
            return
        with reading(self.path, "an npz file"):
            archive = zipfile.ZipFile(self.path)
        with archive:
            with reading(self.path, "an npz file"):
                file = archive.open(self._member)
            with file:
                yield file, _header_of(file, self.path)


def _member_of(path: Path) -> str:
    """The file in an npz that holds the frames."""
    with reading(path, "an npz file"), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    chosen = names if len(names) == 1 else [name for name in FRAMES_KEYS if name in names]
    if not chosen:
        listed = ", ".join(f"{name:.20}" for name in names[:LISTED]) + ", …" * (len(names) > LISTED)
        raise VideoError(
            f"{path}: expected one array, or one called {' or '.join(FRAMES_KEYS)}, got {listed or 'none'}."
        )
    return f"{chosen[0]}.npy"


def _header_of(file: IO[bytes], path: Path) -> _Header:
    with reading(path, "an array of numpy"):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    if dtype.kind not in "buif" or dtype.itemsize > 8 or dtype.subdtype is not None:
        raise VideoError(f"{path}: expected real numbers of at most 64 bits, got {str(dtype):.40}.")
    if fortran and len(shape) > 1:
        raise VideoError(f"{path}: expected an array in row (C) order, got column order.")
    return _Header(shape, dtype, file.tell())


class MemorySource:
    """An array (T, H, W) or (T, H, W, C) of real numbers, C = 1, 3 or 4. It is not copied.

    :raises VideoError: for another array.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        shape = array.shape
        if not (array.ndim == 3 or array.ndim == 4 and shape[-1] in CHANNELS) or 0 in shape:
            raise VideoError(
                f"{NAME}: expected shape (T, H, W) or (T, H, W, C) with 1, 3 or 4 channels and at least 1 frame, got"
                f" {shape}."
            )
        if array.dtype.kind not in "buif":
            raise VideoError(f"{NAME}: expected real numbers, got {array.dtype}.")
        self._array = array if array.ndim == 4 else array[..., None]
        channels = 1 if self._array.shape[-1] == 1 else 3
        self.info = FileInfo(NAME, f"array of {array.dtype}", (shape[1], shape[2]), channels, None, None)

    def count(self) -> int:
        """T."""
        return len(self._array)

    def shots(self) -> Iterator[Shot]:
        """The frames."""
        for number in range(len(self._array)):
            yield Shot(number, None, partial(self._pixels, number))

    def _pixels(self, number: int) -> Pixels:
        return self._array[number]
