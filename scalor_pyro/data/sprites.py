"""Sprites: square, ellipse and heart, at every rotation, drawn by this module.

A sprite fits into the circle whose diameter is the object's size, so that its box holds it at any rotation.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.data.glyphs import glyph_side, rounded

SHAPES = ("square", "ellipse", "heart")
# Rotations of each shape, one degree apart: at 20 px the border moves by less than 0.2 px from one to the next.
ROTATIONS = 360
# Points per pixel and axis at which a shape is sampled, for soft borders.
SUPERSAMPLING = 4
# Minor axis of the ellipse, as a share of the major one.
ELLIPSE_RATIO = 0.55
# The heart (x² + y² − 1)³ ≤ x² y³ reaches from y = −1 to y ≈ 1.24; centred so, its farthest point is at 1.2.
HEART_CENTRE, HEART_RADIUS = 0.1, 1.2


def sprite_glyphs(size: float) -> NDArray[np.uint8]:
    """The bank of sprites: every shape at every rotation, 360 to a shape.

    :param size: diameter in px.
    :returns: coverage (len(SHAPES) * ROTATIONS, S, S) from 0 to 255.
    """
    side = glyph_side(size)
    points = (np.arange(side * SUPERSAMPLING) + 0.5) / SUPERSAMPLING - side / 2
    angles = np.deg2rad(np.arange(ROTATIONS) * 360.0 / ROTATIONS)
    cos, sin = (rounded(wave(angles))[:, None, None] for wave in (np.cos, np.sin))
    # Coordinates in the frame of the sprite: its circle has radius 1, y points up.
    x = (cos * points + sin * points[:, None]) / (size / 2)
    y = (sin * points - cos * points[:, None]) / (size / 2)
    inside = np.stack([_square(x, y), _ellipse(x, y), _heart(x, y)])
    blocks = inside.reshape(-1, side, SUPERSAMPLING, side, SUPERSAMPLING)
    coverage = blocks.sum((2, 4)) * (255 / SUPERSAMPLING**2)
    bank: NDArray[np.uint8] = np.rint(coverage).astype(np.uint8)
    return bank


def _square(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.maximum(np.abs(x), np.abs(y)) <= np.sqrt(0.5)
    return inside


def _ellipse(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    minor = y / ELLIPSE_RATIO
    return x * x + minor * minor <= 1.0


def _heart(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    x, y = x * HEART_RADIUS, y * HEART_RADIUS + HEART_CENTRE
    # Products instead of powers, whose last digit differs between machines.
    ring = x * x + y * y - 1.0
    return ring * ring * ring <= x * x * y * y * y


# Whether points lie in a sprite whose circle has radius 1, y upwards; by the name of its shape.
INSIDE: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]] = {
    "square": _square,
    "ellipse": _ellipse,
    "heart": _heart,
}
