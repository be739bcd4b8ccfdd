"""Arrays that are in memory already, read as a video."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scalor_pyro.video.source import FileInfo, Pixels, Shot, VideoError

# What messages call an array, which has no path.
NAME = Path("array")
# Channels of the last axis: grey, colour, colour and alpha.
CHANNELS = (1, 3, 4)


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
            yield Shot(number, None, lambda number=number: self._pixels(number))  # type: ignore[misc]  # of this number

    def _pixels(self, number: int) -> Pixels:
        return self._array[number]
