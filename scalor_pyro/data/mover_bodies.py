"""Bodies of made-up movers: small pictures with an opacity, in coordinates of their own."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.floating[Any]]

# Side in px of the picture of a body, and the half-side of the square that it shows: a usual body fills [-1, 1].
SIDE, REACH = 48, 1.3
# Kinds that bend as they move.
BENDING = ("chain", "long")
# Kinds with limbs, and how many pictures show a step.
LIMBED, POSES = ("walker", "crawler"), 8


class Body(NamedTuple):
    """How an object looks, apart from its size."""

    alpha: Pixels  # (P, S, S) opacity in each pose; P is 1 for bodies without limbs
    colour: Pixels  # (P, C, S, S) deviation from the object's colour
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
        return Body(_soft(rng, kind)[None], np.zeros((1, channels, SIDE, SIDE), np.float32), kind)
    if kind in LIMBED:
        return _limbed(rng, kind, channels)
    distance = {"blob": _blob, "ellipse": _ellipse, "chain": _chain, "box": _box, "long": _long}[kind](rng)
    edge = rng.uniform(0.08, 0.3)  # softness
    alpha = np.clip((1 - distance) / edge + 0.5, 0, 1).astype(np.float32)
    return Body(alpha[None], _texture(rng, distance, channels)[None], kind)


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


class Part(NamedTuple):
    """A part of a body with limbs. Parts of one shade have the same colour."""

    shade: int
    distance: Callable[[float], Pixels]  # at a phase of the gait, in radians


TRUNK, HEAD, LIMBS, LOAD = range(4)


def _limbed(rng: np.random.Generator, kind: str, channels: int) -> Body:
    """A trunk with limbs that swing, in shades of their own: people from the side, insects and crabs from above.

    A part may be as bright as the scene, so that little of it is seen.
    """
    parts = list(_walker(rng) if kind == "walker" else _crawler(rng))
    edge, differing = rng.uniform(0.15, 0.5), rng.choice([0.1, 0.35, 0.6])
    shades = differing * rng.normal(size=(LOAD + 1, channels, 1, 1))
    alpha, colour = np.zeros((POSES, SIDE, SIDE), np.float32), np.zeros((POSES, channels, SIDE, SIDE), np.float32)
    for pose in range(POSES):
        for part in parts:
            opaque = np.clip((1 - part.distance(2 * np.pi * pose / POSES)) / edge + 0.5, 0, 1)
            colour[pose] += opaque * (shades[part.shade] - colour[pose])
            np.maximum(alpha[pose], opaque, out=alpha[pose])
    return Body(alpha, colour + _texture(rng, np.hypot(X, Y), channels) / 2, kind)


def _walker(rng: np.random.Generator) -> Iterator[Part]:
    """Head, trunk and two legs in a row; some swing their arms, some carry something."""
    wide = rng.uniform(0.2, 0.34)
    yield Part(TRUNK, _oval((-0.28, 0), rng.uniform(0.36, 0.46), wide))
    yield Part(HEAD, _oval((-0.82, 0), 0.17, rng.uniform(0.13, 0.18)))
    length, thick, swing = rng.uniform(0.7, 0.95), rng.uniform(0.09, 0.15), rng.uniform(0.1, 0.55)
    for shift in (0, np.pi):
        yield Part(LIMBS, _limb((0, 0), length, thick, 0, swing, shift))
    if rng.random() < 0.5:
        for shift in (0, np.pi):
            yield Part(TRUNK, _limb((-0.55, 0), 0.6, 0.08, 0, swing, shift))
    if rng.random() < 0.3:
        place = (rng.uniform(-0.4, 0.1), rng.choice([-1, 1]) * wide)
        yield Part(LOAD, _oval(place, rng.uniform(0.12, 0.3), rng.uniform(0.1, 0.2)))


def _crawler(rng: np.random.Generator) -> Iterator[Part]:
    """Two to four pairs of legs to the sides of a trunk, which may have a head. Legs of a pair move by turns."""
    length, thick, swing = rng.uniform(0.5, 0.85), rng.uniform(0.05, 0.09), rng.uniform(0.1, 0.4)
    for index, place in enumerate(np.linspace(-0.45, 0.35, rng.integers(2, 5))):
        for side in (-1, 1):
            angle = side * (np.pi / 2 - 1.2 * (place + 0.05))  # front legs point forwards, hind legs backwards
            shift = np.pi * ((index + (side > 0)) % 2)
            yield Part(LIMBS, _limb((place, 0), length, thick, angle, swing, shift))
    wide = rng.uniform(0.2, 0.5)
    yield Part(TRUNK, _oval((-0.25, 0), rng.uniform(0.35, 0.5), wide))
    if rng.random() < 0.7:
        yield Part(HEAD, _oval((rng.uniform(0.3, 0.5), 0), rng.uniform(0.2, 0.35), wide * rng.uniform(0.5, 0.9)))


def _oval(middle: tuple[float, float], half_length: float, half_width: float) -> Callable[[float], Pixels]:
    distance: Pixels = np.hypot((X - middle[0]) / half_length, (Y - middle[1]) / half_width)
    return lambda phase: distance


def _limb(
    joint: tuple[float, float], length: float, thick: float, angle: float, swing: float, shift: float
) -> Callable[[float], Pixels]:
    """A bar that swings about its joint.

    :param thick: half of it.
    :param angle: radians, about which it swings by `swing`.
    :param shift: of its gait, in radians.
    """
    x, y = X - joint[0], Y - joint[1]

    def distance(phase: float) -> Pixels:
        way = angle + swing * np.sin(phase + shift)
        cos, sin = np.cos(way), np.sin(way)
        along = np.clip(cos * x + sin * y, 0, length)
        from_it: Pixels = np.hypot(x - along * cos, y - along * sin) / thick
        return from_it

    return distance
