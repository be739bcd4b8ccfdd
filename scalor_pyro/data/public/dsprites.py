"""Moving sprites of unequal size over a plain colour, after Video Multi-dSprites (Weis et al., JMLR 22:183, 2021).

A setting of this project: one to four squares, ellipses and hearts, each of one colour; sizes differ by up to a factor
of four; they drift, turn, bounce off the border and hide each other.
"""

import math
from typing import Any

import numpy as np

from scalor_pyro.config.public import SIDE
from scalor_pyro.data.motion import reflect
from scalor_pyro.data.public.layers import Layers, Numbers, Pixels
from scalor_pyro.data.sprites import INSIDE
from scalor_pyro.data.worlds import SPLITS, Split

MOST = 4
# Diameters in px, log-uniform: the largest is a third of the view.
SMALLEST, LARGEST = SIDE / 12, SIDE / 3
FASTEST = 2.5  # px per frame, along each axis
TURN = 0.2  # radians per frame, at most
# An object and the background, or two objects, differ by at least this in some channel.
CONTRAST = 0.3
# Points per pixel and axis at which a shape is sampled.
SUPERSAMPLING = 3


def video(seed: int, split: Split, index: int, frames: int) -> Layers:
    """A video of the stream."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    count = int(rng.integers(1, MOST + 1))
    colours = _colours(rng, count + 1)
    size = np.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST), count))
    shape = rng.integers(len(INSIDE), size=count)
    time = np.arange(frames)
    angle = rng.uniform(0, 2 * math.pi, count)[:, None] + rng.uniform(-TURN, TURN, count)[:, None] * time
    border = size[:, None, None] / 2
    begin = rng.uniform(0, 1, (count, 2))[..., None] * (SIDE - 2 * border) + border
    velocity = rng.uniform(-FASTEST, FASTEST, (count, 2))[..., None]
    centre = np.stack(
        [reflect(path, half, SIDE - half) for path, half in zip(begin + velocity * time, size / 2, strict=True)]
    ).transpose(0, 2, 1)  # (N, T, 2)
    names = tuple(INSIDE)
    drawn = [_drawn(names[shape[each]], size[each], centre[each], angle[each]) for each in range(count)]
    opacity, sides = np.stack([each[0] for each in drawn]), np.stack([each[1] for each in drawn])
    return Layers(
        identity=np.arange(count),
        opacity=opacity,
        colour=colours[1:],
        box=np.concatenate([centre + sides[..., :2], sides[..., 2:]], -1),
        here=np.ones((count, frames), bool),
        ink=opacity.sum((2, 3), dtype=np.float64),  # they never leave the view
        behind=colours[0],
        mask_above=0.5,
    )


def _colours(rng: np.random.Generator, count: int) -> Pixels:
    """Colours that can be told from each other. (count, 3)"""
    chosen: list[Numbers] = []
    while len(chosen) < count:
        colour = rng.random(3)
        if all(np.abs(colour - other).max() >= CONTRAST for other in chosen):
            chosen.append(colour)
    return np.array(chosen, np.float32)


def _drawn(shape: str, size: float, centre: Numbers, angle: Numbers) -> tuple[Pixels, Numbers]:
    """Opacity (T, H, W), and the box: offset of its centre from the sprite's and its sides (T, 4), px."""
    points = (np.arange(SIDE * SUPERSAMPLING) + 0.5) / SUPERSAMPLING
    right, down = (points - centre[:, axis, None] for axis in (0, 1))  # (T, P)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    x = (cos * right[:, None, :] + sin * down[:, :, None]) / (size / 2)
    y = (sin * right[:, None, :] - cos * down[:, :, None]) / (size / 2)
    inside = INSIDE[shape](x, y)
    blocks = inside.reshape(len(angle), SIDE, SUPERSAMPLING, SIDE, SUPERSAMPLING)
    opacity = (blocks.sum((2, 4)) / SUPERSAMPLING**2).astype(np.float32)
    spans = [_span(inside.any(axis), offset) for axis, offset in ((1, right), (2, down))]
    middle, side = (np.stack([span[part] for span in spans], 1) for part in (0, 1))
    return opacity, np.concatenate([middle, side], 1)


def _span(reached: Any, offset: Numbers) -> tuple[Numbers, Numbers]:
    """Middle and length of the stretch from the first to the last point that a shape reaches. Each (T,)"""
    low = np.where(reached, offset, np.inf).min(1)
    high = np.where(reached, offset, -np.inf).max(1)
    return (low + high) / 2, high - low + 1 / SUPERSAMPLING
