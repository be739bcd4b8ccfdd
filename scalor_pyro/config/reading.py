"""How a video is read: which part of the picture, which frames, and at which size.

Pixels and frames are those of the file as a player shows it: upright, and counted from 0 at the left and top borders.
"""

from dataclasses import dataclass

from scalor_pyro.config.checks import is_finite, require, require_path, require_sides
from scalor_pyro.config.data import MOST_PIXELS
from scalor_pyro.config.options import option

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
    background_image: str | None = option(
        None,
        "picture of the empty scene, as large as the frames; of several frames, as in a short video, their median",
        metavar="FILE",
        none="what is found in the video",
    )

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
        if self.background_image is not None:
            require_path("background_image", self.background_image)
