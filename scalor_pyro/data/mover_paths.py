"""Paths of made-up movers: walking, turning, resting, side by side, crossing; nearer ones are larger."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


# How bodies are turned, and how often: along their way, as those seen from above; upright, as people seen from the
# side; or each at an angle of its own, which may spin.
POSTURES, POSTURE_SHARES = ("along", "upright", "own"), (0.6, 0.25, 0.15)
# Radians by which upright bodies lean, and sway as they walk.
LEAN, SWAY = 0.08, 0.06
# How many of the objects walk beside another, and how often; and how far apart, in sizes.
COMPANY, COMPANY_SHARES, APART = (0.0, 0.3, 0.7), (0.6, 0.25, 0.15), 0.8
# Probability that an object stops or starts between two frames, in videos in which objects rest.
CHANGES_PACE = 0.1


class Paths(NamedTuple):
    """Where N objects are in T frames."""

    centre: Numbers  # (N, T, 2) x, y in px
    angle: Numbers  # (N, T) radians: where they point to
    phase: Numbers  # (N, T) radians of their gait, which goes on while they move
    scale: Numbers  # (N, T) of their size, by perspective


def paths(
    rng: np.random.Generator, count: int, frames: int, size: float, room: tuple[float, float], upright: bool = False
) -> Paths:
    """Paths that stay in a room, at whose walls objects turn back.

    :param count: N.
    :param frames: T.
    :param size: px, of a typical object.
    :param room: width and height in px, around the view's middle.
    :param upright: they are seen from the side; else from the side or from above, as it happens.
    """
    half = np.array(room) / 2
    speed = rng.uniform(0, 0.45) * size * np.exp(rng.normal(size=count) * 0.4)
    heading = rng.uniform(0, 2 * np.pi, count)
    place = rng.uniform(-half, half, (count, 2))
    company = rng.random(count) < rng.choice(COMPANY, p=COMPANY_SHARES)
    _join(rng, place, heading, speed, size, np.nonzero(company)[0])
    turning, drift = rng.choice([0, 0.05, 0.2]), rng.normal(size=count) * rng.choice([0, 0.03])  # drift: circles
    rests = rng.random() < 0.4
    moving = rng.random(count) < (0.7 if rests else 1)
    jitter = rng.choice([0, 0.03]) * size  # Brownian
    depth = rng.normal() * 0.4 if rng.random() < 0.3 else 0.0
    gait, pace = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.3, 1.2)
    centre, headed, phase = np.empty((count, frames, 2)), np.empty((count, frames)), np.empty((count, frames))
    for t in range(frames):
        near = np.exp(depth * place[:, 1] / half[1])
        centre[:, t], headed[:, t], phase[:, t] = place, heading, gait
        step = np.where(moving, speed, 0) * near
        heading = heading + turning * rng.normal(size=count) + drift
        place = place + step[:, None] * np.stack((np.cos(heading), np.sin(heading)), 1)
        place = place + jitter * rng.normal(size=place.shape)
        gait = gait + pace * moving
        heading = _turned_back(place, heading, half)
        if rests:
            moving = moving ^ (rng.random(count) < CHANGES_PACE)
    return Paths(centre, _posture(rng, headed, phase, upright), phase, np.exp(depth * centre[..., 1] / half[1]))


def _posture(rng: np.random.Generator, headed: Numbers, phase: Numbers, upright: bool) -> Numbers:
    """How objects are turned, given where they are headed. (N, T)"""
    count, frames = headed.shape
    posture = "upright" if upright else rng.choice(POSTURES, p=POSTURE_SHARES)
    if posture == "along":
        return headed
    if posture == "upright":
        return np.pi / 2 + LEAN * rng.normal(size=(count, 1)) + SWAY * np.sin(phase)
    spin = rng.normal(size=(count, 1)) * rng.choice([0, 0.1])
    own: Numbers = rng.uniform(0, 2 * np.pi, (count, 1)) + spin * np.arange(frames)
    return own


def _join(
    rng: np.random.Generator,
    place: Numbers,
    heading: Numbers,
    speed: Numbers,
    size: float,
    company: NDArray[np.int64],
) -> None:
    """Let some walk beside the one before them, touching it."""
    for each in company[company > 0]:
        heading[each], speed[each] = heading[each - 1] + rng.normal() * 0.05, speed[each - 1]
        place[each] = place[each - 1] + rng.normal(size=2) * size * APART


def _turned_back(place: Numbers, heading: Numbers, half: Numbers) -> Numbers:
    """Headings after the walls; places are put back inside."""
    outside = np.abs(place) > half
    np.clip(place, -half, half, out=place)
    direction = np.stack((np.cos(heading), np.sin(heading)), 1)
    inward = -np.sign(place) * np.abs(direction)
    direction = np.where(outside, inward, direction)
    turned: Numbers = np.arctan2(direction[:, 1], direction[:, 0])
    return turned
