"""How a video is read: which part of it, how often, how large.

Pixels and frames here are those of the file as it is shown: of an upright picture, counted from 0, the left and top
borders being 0.
"""

import math
from dataclasses import dataclass

from scalor_pyro.config.checks import ConfigError, require
from scalor_pyro.config.options import option


@dataclass(frozen=True)
class Crop:
    """A rectangle of a frame, in px.

    :raises ConfigError: for one that is empty or begins left of or above the frame.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1:
            raise ConfigError(
                f"crop is {self.x}, {self.y}, {self.width}, {self.height}, but x and y from 0,"
                " and a width and height of at least 1 px were expected."
            )

    @property
    def size(self) -> tuple[int, int]:
        """H, W in px."""
        return self.height, self.width


@dataclass(frozen=True)
class ReadOptions:
    """What to read of a video. First the range is taken, of that the frames at `rate`, of these every `stride`-th.

    :raises ConfigError: for values that no video can have.
    """

    crop: Crop | None = option(
        None,
        "rectangle to read, in px; X and Y are its upper left corner",
        metavar=("X", "Y", "WIDTH", "HEIGHT"),
        none="the whole frame",
    )
    start: int = option(0, "first frame, counted from 0", metavar="N")
    stop: int | None = option(None, "frame to stop before, counted from 0", metavar="N", none="the end")
    stride: int = option(1, "read every N-th frame", metavar="N")
    rate: float | None = option(
        None,
        "frames per second, chosen by time stamp; for videos with a variable frame rate",
        metavar="FPS",
        none="every frame of the file",
    )
    size: tuple[int, int] | None = option(
        None, "size in px that frames are resized to", metavar=("HEIGHT", "WIDTH"), none="not resized"
    )
    grey: bool = option(False, "read in grey, or in colour; files without colour are always grey")
    levels: tuple[float, float] | None = option(
        None,
        "pixel values that become black and white",
        metavar=("LOW", "HIGH"),
        none="8-bit files unchanged, others by the range of their values",
    )

    def __post_init__(self) -> None:
        require(self.start >= 0, "start", self.start, "a frame from 0")
        require(self.stop is None or self.stop > self.start, "stop", self.stop, f"a frame above start ({self.start})")
        require(self.stride >= 1, "stride", self.stride, "at least 1")
        require(
            self.rate is None or (math.isfinite(self.rate) and self.rate > 0), "rate", self.rate, "a number above 0"
        )
        require(self.size is None or min(self.size) >= 1, "size", self.size, "at least 1 px each way")
        if self.levels is not None:
            low, high = self.levels
            finite = math.isfinite(low) and math.isfinite(high)
            require(finite and low < high, "levels", self.levels, "a low and a higher number")
