"""Motion: objects drift at constant velocity through a world somewhat larger than the view, and bounce.

Where an object is at frame t is a pure function of t (no state is carried), so that a short video is the
beginning of a long one.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import DataConfig

Numbers = NDArray[np.float64]

# The world is wider than the view by this many objects: an object can leave the view altogether.
WORLD_MARGIN = 1.25
# Positions are multiples of this many px: exact in float32 and the same on every machine.
POSITION_STEP = 1 / 256
# Objects that meet pass each other at up to this many sizes along each axis.
MEETING_OFFSET = 0.25


class Departure(NamedTuple):
    """Uniform random numbers in [0, 1) from which an object starts; each (B, N)."""

    x: Numbers
    y: Numbers
    direction: Numbers
    speed: Numbers


def centres(start: Departure, born: NDArray[np.int64], config: DataConfig, frames: int) -> Numbers:
    """Centres of the objects in the frames 0 … frames − 1.

    :param start: random numbers (B, N).
    :param born: frame of appearance (B, N); an object that appears after frame 0 is then wholly inside the view.
    :returns: (B, N, T, 2): x, y in px from the left and the top border of the view.
    """
    turns, meeting = start.direction, config.motion == "meet"
    if meeting:
        turns = _paired(turns, turns + 0.5)
    speed = config.speed_min + start.speed * (config.speed_max - config.speed_min)
    middle = (config.frames - 1) / 2
    time = np.arange(frames) - (middle if meeting else born[..., None])
    velocities = (speed * np.cos(2 * math.pi * turns), speed * np.sin(2 * math.pi * turns))

    height, width = config.image_size
    axes = []
    for number, side, velocity in zip((start.x, start.y), (width, height), velocities, strict=True):
        margin = WORLD_MARGIN * config.object_size / 2
        anywhere = -margin + number * (side + 2 * margin)
        within = _inside(number, side, config.object_size)
        if meeting:
            offset = (number - 0.5) * 2 * MEETING_OFFSET * config.object_size
            origin = _paired(within, within + offset)
        else:
            origin = np.where(born > 0, within, anywhere)
        axes.append(reflect(origin[..., None] + velocity[..., None] * time, -margin, side + margin))
    return np.rint(np.stack(axes, -1) / POSITION_STEP) * POSITION_STEP


def reflect(position: Numbers, low: float, high: float) -> Numbers:
    """Fold a straight path into [low, high], as if it bounced at both ends."""
    span = high - low
    return low + np.abs(np.mod(position - low + span, 2 * span) - span)


def _inside(number: Numbers, side: int, size: float) -> Numbers:
    """A uniform place at which an object lies wholly inside the view; the centre of the view if it does not fit."""
    border = min(size, side) / 2
    return border + number * (side - 2 * border)


def _paired(first: Numbers, second: Numbers) -> Numbers:
    """``first`` for objects 0, 2, …; for objects 1, 3, … ``second`` of the object before."""
    paired = first.copy()
    paired[:, 1::2] = second[:, : paired.shape[1] // 2 * 2 : 2]
    return paired
