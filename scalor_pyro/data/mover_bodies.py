"""Bodies of made-up movers: small pictures with an opacity, in coordinates of their own."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.floating[Any]]

# Side in px of the picture of a body, and the half-side of the square that it shows: a usual body fills [-1, 1].
SIDE, REACH = 48, 1.3
# Kinds that bend as they move.
BENDING = ("chain", "long")


class Body(NamedTuple):
    """How an object looks, apart from its size."""

    alpha: Pixels  # (S, S) opacity
    colour: Pixels  # (C, S, S) deviation from the object's colour
    kind: str

    @property
    def area(self) -> float:
        """In squares of the body's own unit."""
        return float(self.alpha.mean()) * (2 * REACH) ** 2


def body(rng: np.random.Generator, kind: str, channels: int) -> Body:
    """A body of a kind.

    :param kind: one of :data:`scalor_pyro.config.movers.BODIES`.
    :param channels: C; with 1, the deviation from its colour is the same in all channels.
    """
    if kind in ("spot", "ring"):
        return Body(_soft(rng, kind), np.zeros((channels, SIDE, SIDE), np.float32), kind)
    distance = {"blob": _blob, "ellipse": _ellipse, "chain": _chain, "box": _box, "long": _long}[kind](rng)
    edge = rng.uniform(0.08, 0.3)  # softness
    alpha = np.clip((1 - distance) / edge + 0.5, 0, 1).astype(np.float32)
    return Body(alpha, _texture(rng, distance, channels), kind)


def _grid() -> tuple[Pixels, Pixels]:
    steps = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32) * REACH
    x, y = np.meshgrid(steps, steps)
    return x, y


X, Y = _grid()


def _ellipse(rng: np.random.Generator) -> Pixels:
    """Distances from the middle, 1 at the outline; so are those of the other kinds."""
    flat = rng.uniform(0.45, 1)
    return np.hypot(X, Y / flat) / rng.uniform(0.8, 1.1)


def _blob(rng: np.random.Generator) -> Pixels:
    angle, radius = np.arctan2(Y, X), np.full_like(X, 0.85)
    for wave in range(2, 6):
        radius += rng.normal() * 0.16 / wave * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(X, Y) / np.maximum(radius, 0.25)


def _chain(rng: np.random.Generator) -> Pixels:
    """Two or three ellipses in a row: insects, people, fish."""
    places = np.linspace(-0.55, 0.55, rng.integers(2, 4))
    length, thickest = 0.75 / (len(places) - 0.5), rng.integers(len(places))
    distance = np.full_like(X, 9)
    for index, place in enumerate(places):
        width = rng.uniform(0.35, 0.65) * (0.75 if index != thickest else 1)
        distance = np.minimum(distance, np.hypot((X - place) / length, (Y - rng.normal() * 0.06) / width))
    return distance


def _box(rng: np.random.Generator) -> Pixels:
    half, flat, round_by = rng.uniform(0.7, 0.95), rng.uniform(0.45, 1), rng.uniform(3, 12)
    return ((np.abs(X) / half) ** round_by + (np.abs(Y) / (half * flat)) ** round_by) ** (1 / round_by)


def _long(rng: np.random.Generator) -> Pixels:
    """A bar with a head that tapers to its tail: fish, worms, bacteria."""
    thin, taper = rng.uniform(0.2, 0.42), rng.uniform(0, 0.75)
    width = thin * (1 - taper * (X + 1) / 2)
    return np.hypot(np.maximum(np.abs(X) - 0.75, 0) / 0.3, Y / np.maximum(width, 0.04))


def _soft(rng: np.random.Generator, kind: str) -> Pixels:
    """A spot without an outline, or a ring, as of particles out of focus."""
    radius, wide = np.hypot(X, Y * rng.uniform(1, 1.4)), rng.uniform(0.4, 0.8)
    if kind == "spot":
        alpha = np.exp(-((radius / wide) ** 2) * 1.2) * 1.3
    else:
        alpha = np.exp(-(((radius - wide) / rng.uniform(0.15, 0.3)) ** 2)) + rng.uniform(0, 0.5) * (radius < wide)
    return np.clip(alpha, 0, 1).astype(np.float32)


def _texture(rng: np.random.Generator, distance: Pixels, channels: int) -> Pixels:
    """Patches, another shade at one end, and a darker or lighter core or rim."""
    spots = gaussian_filter(rng.normal(size=(channels, SIDE, SIDE)), (0, *(rng.uniform(2, 8),) * 2))
    spots *= rng.uniform(0, 0.2) / max(float(spots.std()), 1e-6)
    ends = rng.choice([0, 0.3]) * rng.normal(size=(channels, 1, 1)) * np.tanh(4 * (X - rng.uniform(-0.4, 0.4)))
    rim = rng.choice([0, 0.3]) * rng.normal() * (distance > 0.7)
    texture: Pixels = (spots + ends + rim).astype(np.float32)
    return texture
