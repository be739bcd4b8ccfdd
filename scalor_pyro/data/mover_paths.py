"""Paths of made-up movers: walking, turning, resting, side by side, crossing; nearer ones are larger."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Paths(NamedTuple):
    """Where N objects are in T frames."""

    centre: Numbers  # (N, T, 2) x, y in px
    angle: Numbers  # (N, T) radians: where they point to
    phase: Numbers  # (N, T) radians of their gait, which goes on while they move
    scale: Numbers  # (N, T) of their size, by perspective


def paths(rng: np.random.Generator, count: int, frames: int, size: float, room: tuple[float, float]) -> Paths:
    """Paths that stay in a room, at whose walls objects turn back.

    :param count: N.
    :param frames: T.
    :param size: px, of a typical object.
    :param room: width and height in px, around the view's middle.
    """
    half = np.array(room) / 2
    speed = rng.uniform(0, 0.45) * size * np.exp(rng.normal(size=count) * 0.4)
    heading = rng.uniform(0, 2 * np.pi, count)
    place = rng.uniform(-half, half, (count, 2))
    if rng.random() < 0.4:
        _pair(rng, place, heading, speed, size, np.nonzero(rng.random(count) < 0.3)[0])
    turning = rng.choice([0, 0.05, 0.2]) * np.ones(count)
    drift = rng.normal(size=count) * rng.choice([0, 0.03])  # circles
    rests = rng.random() < 0.4
    moving = np.ones(count, bool) if not rests else rng.random(count) < 0.7
    facing = rng.random() < 0.75  # else they keep their own angle
    jitter = rng.choice([0, 0.03]) * size  # Brownian
    own, spin = rng.uniform(0, 2 * np.pi, count), rng.normal(size=count) * rng.choice([0, 0.1])
    depth = rng.choice([0, 1]) * rng.normal() * 0.4 if rng.random() < 0.5 else 0.0
    centre, angle, phase = np.empty((count, frames, 2)), np.empty((count, frames)), np.empty((count, frames))
    gait, pace = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.3, 1.2)
    for t in range(frames):
        near = np.exp(depth * place[:, 1] / half[1])
        centre[:, t], phase[:, t] = place, gait
        angle[:, t] = heading if facing else own + spin * t
        step = np.where(moving, speed, 0) * near
        heading = heading + turning * rng.normal(size=count) + drift
        place = place + step[:, None] * np.stack((np.cos(heading), np.sin(heading)), 1)
        place = place + jitter * rng.normal(size=place.shape)
        gait = gait + pace * moving
        heading = _turned_back(place, heading, half)
        if rests:
            moving = moving ^ (rng.random(count) < 0.1)
    return Paths(centre, angle, phase, np.exp(depth * centre[..., 1] / half[1]))


def _pair(
    rng: np.random.Generator, place: Numbers, heading: Numbers, speed: Numbers, size: float, who: NDArray[np.int64]
) -> None:
    """Some walk beside the one before them, touching it."""
    for each in who[who > 0]:
        heading[each], speed[each] = heading[each - 1] + rng.normal() * 0.05, speed[each - 1]
        place[each] = place[each - 1] + rng.normal(size=2) * size * 0.8


def _turned_back(place: Numbers, heading: Numbers, half: Numbers) -> Numbers:
    """Headings after the walls; places are put back inside."""
    outside = np.abs(place) > half
    np.clip(place, -half, half, out=place)
    direction = np.stack((np.cos(heading), np.sin(heading)), 1)
    inward = -np.sign(place) * np.abs(direction)
    direction = np.where(outside, inward, direction)
    turned: Numbers = np.arctan2(direction[:, 1], direction[:, 0])
    return turned
