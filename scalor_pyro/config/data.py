"""Settings of synthetic videos."""

from dataclasses import dataclass
from typing import Literal

from scalor_pyro.config.checks import at_least_1, positive, require, require_choice, require_sides
from scalor_pyro.config.options import option

# Limits far above any use, so that a mistyped number is refused rather than filling the memory.
MOST_PIXELS, MOST_FRAMES, MOST_OBJECTS, MOST_SPEED = 16_384, 1_000_000, 100_000, 16_384


@dataclass(frozen=True)
class DataConfig:
    """Synthetic videos: objects that drift and bounce, over black or over a moving background."""

    objects: Literal["digits", "sprites"] = option("digits", "what moves")
    count_min: int = 2  # objects in the world, uniform in [count_min, count_max]
    count_max: int = 4
    object_size: float = 20.0  # px, side of an object's box
    speed_min: float = 1.0  # px per frame
    speed_max: float = 3.0
    image_size: tuple[int, int] = (64, 64)  # H, W in px
    frames: int = option(10, "length of a video in frames")  # T
    background: bool = option(False, "moving background instead of a black one")
    digits: Literal["auto", "mnist", "uci"] = option(
        "auto",
        "source of the digits: MNIST, or the ones bundled with scikit-learn; auto: MNIST if it is available",
    )
    digit_classes: tuple[int, ...] = tuple(range(10))  # which digits appear
    arrivals: tuple[int, ...] = ()  # frames in which arrival_min to arrival_max more objects appear
    arrival_min: int = 10
    arrival_max: int = 15
    motion: Literal["drift", "meet"] = "drift"  # "meet": objects move towards each other and occlude

    def __post_init__(self) -> None:
        require_choice(self, "objects", "digits", "sprites")
        require_choice(self, "digits", "auto", "mnist", "uci")
        require_choice(self, "motion", "drift", "meet")
        at_least_1(self, "frames", most=MOST_FRAMES)
        positive(self, "object_size", most=MOST_PIXELS)
        require_sides("image_size", self.image_size, 8, MOST_PIXELS)
        for name in ("count", "speed", "arrival"):
            self._require_range(f"{name}_min", f"{name}_max", MOST_SPEED if name == "speed" else MOST_OBJECTS)
        require(
            len(self.digit_classes) > 0 and all(0 <= digit <= 9 for digit in self.digit_classes),
            "digit_classes",
            self.digit_classes,
            "digits from 0 to 9",
        )
        require(
            len(self.arrivals) <= self.frames and all(0 <= t < self.frames for t in self.arrivals),
            "arrivals",
            self.arrivals,
            f"frames from 0 to {self.frames - 1}",
        )

    @property
    def mean_count(self) -> float:
        """How many objects the world holds on average, those that arrive later left out."""
        return (self.count_min + self.count_max) / 2

    def _require_range(self, lowest: str, highest: str, most: float) -> None:
        """Refuse two fields that are no range."""
        low, high = getattr(self, lowest), getattr(self, highest)
        require(0 <= high <= most, highest, high, f"0 to {most:,}")
        require(0 <= low <= high, lowest, low, f"0 to {high}")
