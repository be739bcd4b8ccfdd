"""What made-up scenes are made of: objects with a state, their ways, and the background."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scenes.painting import Colour, Floats, Thing

Generator = np.random.Generator
Grounds = Callable[[int], Floats]


class Scene(NamedTuple):
    """A video that is about to be drawn."""

    frames: int
    ground: Grounds  # (H, W, 3) by frame
    things: Iterator[list[Thing]]  # of each frame, from back to front
    grey: bool = False
    blur: float = 0.5  # px
    noise: float = 0.012
    photons: float = 0.0  # at full brightness; 0: no shot noise


@dataclass
class Mover:
    """An object with a state; angles in radians, px and px a frame."""

    identity: int
    x: float
    y: float
    heading: float
    speed: float
    size: float
    colour: Colour
    phase: float = 0.0
    state: dict[str, float] = field(default_factory=dict)

    def step(self) -> None:
        """Straight on."""
        self.x += self.speed * float(np.cos(self.heading))
        self.y += self.speed * float(np.sin(self.heading))

    def within(self, size: tuple[int, int], margin: float) -> bool:
        """Whether it is in the picture, or near."""
        return -margin < self.x < size[1] + margin and -margin < self.y < size[0] + margin


def wander(mover: Mover, generator: Generator, size: tuple[int, int], turn: float, inside: float) -> None:
    """A correlated random walk that turns back towards the middle at the border."""
    mover.heading += float(generator.normal(0, turn))
    if not mover.within(size, -inside):
        home = np.arctan2(size[0] / 2 - mover.y, size[1] / 2 - mover.x)
        mover.heading += 0.2 * float(np.sin(home - mover.heading))
    mover.step()


def spread(generator: Generator, count: int, size: tuple[int, int], apart: float, margin: float) -> Floats:
    """Places that are not nearer to each other than `apart`, if there is room; (count, 2) of x, y."""
    places: list[Floats] = []
    while len(places) < count:
        tries = generator.uniform([margin, margin], [size[1] - margin, size[0] - margin], (40, 2))
        free = [each for each in tries if all(np.hypot(*(each - other)) > apart for other in places)]
        places.append(free[0] if free else tries[0])
    return np.array(places)


def still(ground: Floats) -> Grounds:
    """A background that does not change."""
    return lambda _: ground


def shade(colour: Colour, factor: float) -> Colour:
    """Darker or lighter."""
    red, green, blue = (float(np.clip(each * factor, 0, 1)) for each in colour)
    return red, green, blue


def pick(generator: Generator, colours: Sequence[Colour]) -> Colour:
    """One of some colours."""
    return colours[int(generator.integers(len(colours)))]
