"""Balls that bounce off each other in two layers, after the dense bouncing balls of Lin et al., G-SWM, ICML 2020.

A setting of this project: 16 balls of 10 px, eight in each layer. Those of one layer bounce off each other and off the
border, as equal masses do; those of the front layer hide those of the back layer.
"""

import numpy as np

from scalor_pyro.config.public import SIDE
from scalor_pyro.data.public.layers import Layers, Numbers
from scalor_pyro.data.worlds import SPLITS, Split, hue_to_rgb

LAYERS, IN_LAYER = 2, 8
DIAMETER = 10.0
SPEEDS = (0.7, 1.4)  # px per frame, at first
# Steps of the simulation in a frame.
SUBSTEPS = 8


def video(seed: int, split: Split, index: int, frames: int) -> Layers:
    """A video of the stream."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    centre = np.concatenate([_bounced(rng, IN_LAYER, frames) for _ in range(LAYERS)])  # (N, T, 2)
    count = len(centre)
    pixel = np.arange(SIDE) + 0.5
    right, down = (pixel - centre[..., axis, None] for axis in (0, 1))  # (N, T, S)
    distance = np.hypot(right[..., None, :], down[..., :, None])
    opacity = (DIAMETER / 2 - distance + 0.5).clip(0, 1).astype(np.float32)
    return Layers(
        identity=np.arange(count),
        opacity=opacity,
        colour=hue_to_rgb(rng.random(count)),
        box=np.concatenate([centre, np.full_like(centre, DIAMETER)], -1),
        here=np.ones(centre.shape[:2], bool),
        ink=opacity.sum((2, 3), dtype=np.float64),  # they never leave the view
        behind=np.zeros(3, np.float32),
        mask_above=0.5,
    )


def _bounced(rng: np.random.Generator, count: int, frames: int) -> Numbers:
    """Centres of the balls of one layer. (N, T, 2): x, y"""
    place, velocity = _begin(rng, count)
    path = [place.copy()]
    for _ in range(frames - 1):
        for _ in range(SUBSTEPS):
            place += velocity / SUBSTEPS
            _bounce_off_border(place, velocity)
            _bounce_off_each_other(place, velocity)
        path.append(place.clip(DIAMETER / 2, SIDE - DIAMETER / 2))
    return np.stack(path, 1)


def _begin(rng: np.random.Generator, count: int) -> tuple[Numbers, Numbers]:
    """Places that do not overlap, and velocities. Each (N, 2)"""
    place = np.empty((0, 2))
    while len(place) < count:
        new = rng.uniform(DIAMETER / 2, SIDE - DIAMETER / 2, 2)
        if (np.linalg.norm(place - new, axis=1) >= DIAMETER).all():
            place = np.concatenate([place, new[None]])
    angle, speed = rng.uniform(0, 2 * np.pi, count), rng.uniform(*SPEEDS, count)
    return place, speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _bounce_off_border(place: Numbers, velocity: Numbers) -> None:
    beyond = (place < DIAMETER / 2) & (velocity < 0) | (place > SIDE - DIAMETER / 2) & (velocity > 0)
    velocity[beyond] *= -1


def _bounce_off_each_other(place: Numbers, velocity: Numbers) -> None:
    """Balls that touch and come nearer exchange their velocities along the line between them."""
    for one, other in zip(*np.triu_indices(len(place), 1), strict=True):
        line = place[other] - place[one]
        distance = np.linalg.norm(line)
        if distance >= DIAMETER:
            continue
        direction = line / max(float(distance), 1e-9)
        nearer = (velocity[one] - velocity[other]) @ direction
        if nearer > 0:
            velocity[one] -= nearer * direction
            velocity[other] += nearer * direction
