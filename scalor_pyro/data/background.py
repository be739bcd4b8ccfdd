"""Background: a base colour and two plane waves, each in its own colour direction, that drift."""

import math

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.data.glyphs import rounded

BASE_MIN, BASE_MAX = 0.2, 0.5  # of each channel
WAVES = 2
AMPLITUDE = 0.2  # length of a wave's colour direction
MAX_CYCLES = 1.5  # across the view, along each axis
MAX_DRIFT = 0.4  # rad per frame
# Random numbers that a background takes: its base, and for each wave colour (2), cycles (2), phase and drift.
BACKGROUND_NUMBERS = 3 + WAVES * 6


def backgrounds(numbers: NDArray[np.float64], frames: int, image_size: tuple[int, int]) -> NDArray[np.float32]:
    """Moving backgrounds of a batch.

    :param numbers: uniform random numbers (B, BACKGROUND_NUMBERS).
    :param image_size: H, W in px.
    :returns: (B, T, 3, H, W) in [0, 1].
    """
    batch, (height, width) = len(numbers), image_size
    base = rounded(BASE_MIN + numbers[:, :3] * (BASE_MAX - BASE_MIN))
    turn, tilt, cycles_x, cycles_y, phase, drift = np.moveaxis(numbers[:, 3:].reshape(batch, WAVES, 6), -1, 0)
    # The angle of a wave is a part along x and a part along (t, y): cos(a + b) = cos a cos b − sin a sin b.
    angle_x = _signed(cycles_x, MAX_CYCLES * 2 * math.pi)[..., None] * (np.arange(width) + 0.5) / width
    angle_y = _signed(cycles_y, MAX_CYCLES * 2 * math.pi)[..., None] * (np.arange(height) + 0.5) / height
    angle_t = _signed(drift, MAX_DRIFT)[..., None] * np.arange(frames) + 2 * math.pi * phase[..., None]
    angle_ty = (angle_t[..., None] + angle_y[..., None, :]).reshape(batch, WAVES, frames * height)
    ones = (np.ones((batch, 1, frames * height)), np.ones((batch, 1, width)))
    # Rounded factors make the sum below exact, hence the same whatever the order in which it is taken.
    along_ty = np.concatenate([rounded(np.cos(angle_ty)), rounded(np.sin(angle_ty)), ones[0]], 1)
    along_x = np.concatenate([rounded(np.cos(angle_x)), rounded(-np.sin(angle_x)), ones[1]], 1)
    colour = _colour_directions(turn, tilt)
    weights = np.concatenate([colour, colour, base[:, None]], 1)  # (B, 2 * WAVES + 1, 3)
    colour_x = weights.transpose(0, 2, 1)[..., None] * along_x[:, None]  # (B, 3, 2 * WAVES + 1, W)
    # (B, 3, T * H, W)
    values: NDArray[np.float32] = np.matmul(along_ty.transpose(0, 2, 1)[:, None], colour_x).astype(np.float32)
    np.clip(values, 0, 1, out=values)
    return values.reshape(batch, 3, frames, height, width).transpose(0, 2, 1, 3, 4)


def _signed(number: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    return (2 * number - 1) * largest


def _colour_directions(turn: NDArray[np.float64], tilt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions uniform on the sphere in RGB, of length AMPLITUDE: (…,) -> (…, 3)."""
    blue = 2 * tilt - 1
    flat = np.sqrt(1 - blue * blue)
    angle = 2 * math.pi * turn
    return rounded(AMPLITUDE * np.stack([flat * np.cos(angle), flat * np.sin(angle), blue], -1))
