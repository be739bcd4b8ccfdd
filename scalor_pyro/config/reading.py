"""How a video is read: which part of the picture, which frames, and at which size.

Pixels and frames are those of the file as a player shows it: upright, and counted from 0 at the left and top borders.
"""

from dataclasses import dataclass

from scalor_pyro.config.checks import is_finite, require, require_sides
from scalor_pyro.config.data import MOST_PIXELS

# Limits far above any use, as in scalor_pyro.config.data. A file may be larger than a frame that is computed with.
MOST_FILE_PIXELS, LAST_FRAME, MOST_RATE = 2**31 - 1, 2**53, 1e6


@dataclass(frozen=True)
class Crop:
    """A rectangle of a frame, in px.

    :raises ConfigError: if it is empty, or starts left of or above the frame.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        corner, size = (self.x, self.y), (self.width, self.height)
        require(
            all(0 <= value <= MOST_FILE_PIXELS for value in corner)
            and all(1 <= value <= MOST_FILE_PIXELS for value in size),
            "crop",
            (*corner, *size),
            "x and y from 0, and a width and height of at least 1 px",
        )

    @property
    def size(self) -> tuple[int, int]:
        """H, W in px."""
        return self.height, self.width


@dataclass(frozen=True)
class ReadOptions:
    """Which frames to read: those from `start` to `stop`, of these the ones at `rate`, of these every `stride`-th.

    :raises ConfigError: for values that no video can have.
    """

    crop: Crop | None = None  # px of the file; None: the whole frame
    start: int = 0  # first frame
    stop: int | None = None  # frame before which to stop; None: the end
    stride: int = 1  # every stride-th frame
    rate: float | None = None  # frames per second, by the file's time stamps; None: every frame
    size: tuple[int, int] | None = None  # H, W in px to resize a frame (or its crop) to; None: unchanged
    grey: bool = False  # read one channel; grey files always have one
    levels: tuple[float, float] | None = None  # pixel values that become 0 and 1; None: estimated, if not 8-bit

    def __post_init__(self) -> None:
        require(0 <= self.start <= LAST_FRAME, "start", self.start, "a frame from 0")
        require(
            self.stop is None or self.start < self.stop <= LAST_FRAME,
            "stop",
            self.stop,
            f"a frame above start ({self.start})",
        )
        require(1 <= self.stride <= LAST_FRAME, "stride", self.stride, "a whole number of at least 1")
        rate = self.rate
        require(rate is None or 0 < rate <= MOST_RATE, "rate", rate, f"a number above 0, up to {MOST_RATE:,.0f}")
        if self.size is not None:
            require_sides("size", self.size, 1, MOST_PIXELS)
        if self.levels is not None:
            low, high = self.levels
            require(is_finite(low, high) and low < high, "levels", self.levels, "a low and a higher number")
