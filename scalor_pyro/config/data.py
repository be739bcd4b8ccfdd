"""Settings of synthetic videos."""

from dataclasses import dataclass
from typing import Literal

from scalor_pyro.config.checks import positive, require
from scalor_pyro.config.options import option


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
    arrivals: tuple[int, ...] = ()  # frames in which arrival_min … arrival_max further objects appear
    arrival_min: int = 10
    arrival_max: int = 15
    motion: Literal["drift", "meet"] = "drift"  # "meet": objects move towards each other and occlude

    def __post_init__(self) -> None:
        require(self.objects in ("digits", "sprites"), "objects", self.objects, "'digits' or 'sprites'")
        require(self.digits in ("auto", "mnist", "uci"), "digits", self.digits, "'auto', 'mnist' or 'uci'")
        require(self.motion in ("drift", "meet"), "motion", self.motion, "'drift' or 'meet'")
        require(0 <= self.count_min <= self.count_max, "count_min", self.count_min, f"0 to {self.count_max}")
        positive(self, "object_size", "frames")
        require(min(self.image_size) >= 8, "image_size", self.image_size, "at least 8 px each way")
        require(0 <= self.speed_min <= self.speed_max, "speed_min", self.speed_min, f"0 to {self.speed_max}")
        require(
            len(self.digit_classes) > 0 and all(0 <= digit <= 9 for digit in self.digit_classes),
            "digit_classes",
            self.digit_classes,
            "digits from 0 to 9",
        )
        require(all(0 <= t < self.frames for t in self.arrivals), "arrivals", self.arrivals, f"0 to {self.frames - 1}")
        require(0 <= self.arrival_min <= self.arrival_max, "arrival_min", self.arrival_min, f"0 to {self.arrival_max}")
