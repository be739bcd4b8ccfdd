"""From the frames that the model sees back to the file: pixels and frame numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scalor_pyro.config import Crop, ReadOptions
from scalor_pyro.video.source import VideoError

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """Where the frames that are read lie in those of the file.

    Positions are in px, x to the right and y down, and pixel i spans [i, i + 1], in both; so the borders of the frames
    that are read are exactly those of the crop, for any resize.
    """

    source_size: tuple[int, int]  # H, W in px of the file's frames, upright
    crop: Crop  # px of the file
    size: tuple[int, int]  # H, W in px of the frames that are read
    start: int = 0  # frame of the file
    stride: int = 1
    resampled: bool = False  # read at another frame rate: only a frame itself knows where it came from

    @classmethod
    def of(cls, source_size: tuple[int, int], options: ReadOptions) -> "Geometry":
        """The geometry of a file with frames of this size, read with these options.

        :raises VideoError: if the crop is not inside the frame.
        """
        height, width = source_size
        crop = options.crop or Crop(0, 0, width, height)
        if crop.x + crop.width > width or crop.y + crop.height > height:
            raise VideoError(
                f"crop: expected a rectangle inside the frame of {width} × {height} px (width × height), got one from"
                f" ({crop.x}, {crop.y}) to ({crop.x + crop.width}, {crop.y + crop.height})."
            )
        size = options.size or (crop.height, crop.width)
        return cls(source_size, crop, size, options.start, options.stride, options.rate is not None)

    @property
    def scale(self) -> tuple[float, float]:
        """Original px per px that is read, (vertical, horizontal)."""
        return self.crop.height / self.size[0], self.crop.width / self.size[1]

    def to_source(self, x: ArrayLike, y: ArrayLike) -> tuple[Numbers, Numbers]:
        """Positions in the frames that are read → positions in the file's frames. (…) → (…)"""
        vertical, horizontal = self.scale
        return self.crop.x + np.asarray(x) * horizontal, self.crop.y + np.asarray(y) * vertical

    def from_source(self, x: ArrayLike, y: ArrayLike) -> tuple[Numbers, Numbers]:
        """The inverse of :meth:`to_source`."""
        vertical, horizontal = self.scale
        return (np.asarray(x) - self.crop.x) / horizontal, (np.asarray(y) - self.crop.y) / vertical

    def lengths_to_source(self, width: ArrayLike, height: ArrayLike) -> tuple[Numbers, Numbers]:
        """Widths and heights (or displacements) in px that are read → in original px."""
        vertical, horizontal = self.scale
        return np.asarray(width) * horizontal, np.asarray(height) * vertical

    def frame_to_source(self, frame: ArrayLike) -> NDArray[np.int64]:
        """Counts of frames read, from 0 → frame numbers of the file, from 0; of a file without missing frames.

        :raises ValueError: if the frames were read at another rate, see :class:`~scalor_pyro.video.reading.Frame`.
        """
        if self.resampled:
            raise ValueError("The frames were read at another rate; use the number that each Frame carries.")
        numbers: NDArray[np.int64] = self.start + np.asarray(frame, np.int64) * self.stride
        return numbers
