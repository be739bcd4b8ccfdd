"""Sprites-MOT and MNIST-MOT (He et al., Tracking by Animation, CVPR 2019): objects enter, cross the view and leave.

A stream goes on from video to video. It has three places for objects. A place is empty for five frames, then in each
frame an object appears with probability ½: near one side of the view, wholly inside it. It goes in a straight line
towards a point at the opposite side, at 5.3 px a frame, and is gone when it comes there. Positions are whole pixels of
a view of 128 × 128 px, of which every second pixel in both directions is shown.

Differs: digits for training are from MNIST's training set and those for testing from its test set; there, both are from
all of MNIST.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config.public import SIDE, STREAM_FRAMES
from scalor_pyro.data.public.layers import Layers, Numbers, Pixels
from scalor_pyro.data.worlds import SPLITS, Split

# The view, of which every STEP-th pixel is shown.
STEP = 2
VIEW = STEP * SIDE
PLACES = 3
# Frames after an object left in which its place stays empty, and the probability of an object in each frame after that.
EMPTY, APPEARS = 5, 0.5
SPEED = 5.3  # px of the view per frame
SHAPES = ("circle", "square", "triangle", "diamond")
SPRITE_SIDE, DIGIT_SIDE = 21, 28
# Centres of sprites and of digits stay this far from the border of the view.
SPRITE_MARGIN, DIGIT_MARGIN = SPRITE_SIDE // 2, DIGIT_SIDE // 3
SCALE_SPREAD, RATIO_SPREAD = 0.1, 0.2
# Blue, green, cyan, red, magenta, yellow.
COLOURS = np.array([[(code >> bit) & 1 for bit in (2, 1, 0)] for code in range(1, 7)], np.float32)
# Random numbers of an object's looks: shape or digit, colour, scale, ratio.
LOOKS = 4


class Visit(NamedTuple):
    """An object, from the frame in which it appears to the last one in which it is seen."""

    identity: int  # unique within a stream
    place: int  # objects of later places are in front
    first: int  # frame of the stream
    centre: NDArray[np.int64]  # (n, 2): x, y, pixels of the view
    looks: Numbers  # (LOOKS,) in [0, 1)


@lru_cache(maxsize=8)
def visits(seed: int, split: Split, number: int, margin: int) -> tuple[Visit, ...]:
    """The objects of a stream, in the order of their appearance.

    :param number: of the stream; each begins with an empty view and has STREAM_FRAMES frames.
    :param margin: px of the view between its border and the centres of objects.
    """
    found = [
        visit
        for place in range(PLACES)
        for visit in _visits_of_place(np.random.default_rng([seed, SPLITS.index(split), number, place]), place, margin)
    ]
    found.sort(key=lambda visit: (visit.first, visit.place))
    return tuple(visit._replace(identity=identity) for identity, visit in enumerate(found))


def _visits_of_place(rng: np.random.Generator, place: int, margin: int) -> list[Visit]:
    found: list[Visit] = []
    left = -1
    while True:
        first = left + 1 + EMPTY + int(rng.geometric(APPEARS))
        if first >= STREAM_FRAMES:
            return found
        centre = _path(rng, margin)
        found.append(Visit(-1, place, first, centre, rng.random(LOOKS)))
        left = first + len(centre)


def _path(rng: np.random.Generator, margin: int) -> NDArray[np.int64]:
    """From one side to the opposite one. (n, 2): x, y"""
    last = VIEW - 1 - margin
    along = rng.integers(margin, last + 1, 2)
    ends = np.array([[along[0], margin], [along[1], last]], np.float64)  # from the top to the bottom
    if rng.random() < 0.5:
        ends[:, 1] = ends[::-1, 1]
    if rng.random() < 0.5:
        ends = ends[:, ::-1]
    way = ends[1] - ends[0]
    steps = np.arange(2 * VIEW)[:, None]
    centre = np.rint(ends[0] + steps * SPEED * way / np.linalg.norm(way)).astype(np.int64)
    inside = ((centre >= margin) & (centre <= last)).all(1)
    return centre[: len(centre) if inside.all() else int(inside.argmin())]


class Drawn(NamedTuple):
    """An object's picture."""

    opacity: Pixels  # (h, w), px of the view
    colour: Pixels  # (3,)


def sprite(looks: Numbers) -> Drawn:
    """A sprite: shape, colour, size and ratio."""
    shape, colour, scale, ratio = looks
    size = SPRITE_SIDE * (1 + SCALE_SPREAD * (2 * scale - 1))
    root = math.sqrt(1 + RATIO_SPREAD * (2 * ratio - 1))
    height, width = round(size * root), round(size / root)
    template = _templates()[int(shape * len(SHAPES))]
    opacity = linear(SPRITE_SIDE, height) @ template @ linear(SPRITE_SIDE, width).T
    return Drawn(rounded(opacity), COLOURS[int(colour * len(COLOURS))])


@lru_cache(maxsize=1)
def _templates() -> Pixels:
    """The shapes. (4, 21, 21), 0 or 1"""
    middle, radius = (SPRITE_SIDE - 1) / 2, SPRITE_SIDE / 2
    row, column = np.mgrid[:SPRITE_SIDE, :SPRITE_SIDE]
    down, right = row - middle, column - middle
    half_width = (row + 1) / 2  # of the triangle, whose tip is at the top
    inside = [
        down**2 + right**2 <= radius**2,
        np.ones_like(row, bool),
        np.abs(right) <= half_width - 0.5,
        np.abs(down) + np.abs(right) <= radius,
    ]
    return np.stack(inside).astype(np.float32)


def linear(old: int, new: int) -> Pixels:
    """Weights (new, old) that resize a line of pixels by linear interpolation, without smoothing."""
    at = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
    weights: Pixels = (1 - np.abs(at[:, None] - np.arange(old))).clip(0, 1).astype(np.float32)
    return weights


def rounded(opacity: Pixels) -> Pixels:
    """To 8 bits: what is less cannot be seen."""
    values: Pixels = (np.rint(255 * opacity) / 255).astype(np.float32)
    return values


def digit(looks: Numbers, bank: Pixels) -> Drawn:
    """A digit of a bank (G, 28, 28)."""
    return Drawn(bank[int(looks[0] * len(bank))], np.ones(3, np.float32))


def video(seed: int, split: Split, number: int, start: int, frames: int, bank: Pixels | None = None) -> Layers:
    """Some frames of a stream.

    :param number: of the stream.
    :param start: first frame.
    :param bank: digits (G, 28, 28) in [0, 1]; None: sprites.
    """
    margin = SPRITE_MARGIN if bank is None else DIGIT_MARGIN
    seen = [
        visit
        for visit in visits(seed, split, number, margin)
        if visit.first < start + frames and visit.first + len(visit.centre) > start
    ]
    seen.sort(key=lambda visit: visit.place)
    drawn = [sprite(visit.looks) if bank is None else digit(visit.looks, bank) for visit in seen]
    sheets = [_sheet(visit, picture.opacity, start, frames) for visit, picture in zip(seen, drawn, strict=True)]
    count = len(seen)
    return Layers(
        identity=np.array([visit.identity for visit in seen], np.int64),
        opacity=np.array([sheet.opacity for sheet in sheets], np.float32).reshape(count, frames, SIDE, SIDE),
        colour=np.array([picture.colour for picture in drawn], np.float32).reshape(count, 3),
        box=np.array([sheet.box for sheet in sheets]).reshape(count, frames, 4),
        here=np.array([sheet.here for sheet in sheets], bool).reshape(count, frames),
        ink=np.array([sheet.ink for sheet in sheets], np.float64).reshape(count, frames),
        behind=np.zeros(3, np.float32),
        adds=bank is not None,
    )


class _Sheet(NamedTuple):
    opacity: Pixels  # (T, H, W)
    box: Numbers  # (T, 4)
    ink: Numbers  # (T,)
    here: NDArray[np.bool_]  # (T,)


def _sheet(visit: Visit, picture: Pixels, start: int, frames: int) -> _Sheet:
    """An object's picture at its places, of the pixels that are shown."""
    step = start - visit.first + np.arange(frames)
    here = (step >= 0) & (step < len(visit.centre))
    centre = visit.centre[step.clip(0, len(visit.centre) - 1)]  # (T, 2)
    sides = np.array(picture.shape[::-1])  # width, height
    corner = np.floor(centre - (sides - 1) / 2).astype(np.int64)
    columns, rows = (np.arange(0, VIEW, STEP) - corner[:, axis, None] for axis in (0, 1))
    inside = _within(rows, sides[1])[:, :, None] & _within(columns, sides[0])[:, None, :] & here[:, None, None]
    shown = picture[rows.clip(0, sides[1] - 1)[:, :, None], columns.clip(0, sides[0] - 1)[:, None, :]]
    # Pixel i shows pixel STEP · i of the view, centre on centre.
    middle = (corner + sides / 2 - 0.5) / STEP + 0.5
    box = np.concatenate([middle, np.broadcast_to(sides / STEP, middle.shape)], 1)
    # Of the pixels that would be shown, had the view no border.
    ink = np.array([[picture[y::STEP, x::STEP].sum() for x in range(STEP)] for y in range(STEP)])
    return _Sheet(shown * inside, box, ink[corner[:, 1] % STEP, corner[:, 0] % STEP], here)


def _within(index: NDArray[np.int64], side: int) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (index >= 0) & (index < side)
    return inside
