"""Scenes of made-up movers, and what a camera makes of them: light, posts in front, shaking, blur, noise, blocks."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

Pixels = NDArray[np.float32]


def scene(rng: np.random.Generator, channels: int, size: tuple[int, int]) -> Pixels:
    """A still scene without objects. (C, H, W) in [0.03, 0.97]"""
    height, width = size
    image = 0.5 + rng.uniform(-0.4, 0.4) + rng.uniform(-0.08, 0.08, (channels, 1, 1)) * np.ones((channels, *size))
    coarse, fine = rng.uniform(4, 16), rng.uniform(0.7, 4)
    image += rng.uniform(0, 0.2) * _noise(rng, channels, size, coarse) + rng.uniform(0, 0.12) * _noise(
        rng, channels, size, fine
    )
    if rng.random() < 0.3:  # tiles or stripes
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        along = (x * np.cos(angle := rng.uniform(0, np.pi)) + y * np.sin(angle)) / rng.uniform(4, 20)
        image += rng.uniform(0, 0.15) * np.sign(np.sin(2 * np.pi * along))
    return np.clip(image, 0.03, 0.97).astype(np.float32)


def posts(rng: np.random.Generator, size: tuple[int, int], object_size: float) -> NDArray[np.bool_]:
    """What hides objects, as posts and leaves in front of them do; in most scenes nothing. (H, W)"""
    hidden = np.zeros(size, bool)
    if rng.random() < 0.2:
        for _ in range(rng.integers(1, 4)):
            wide = max(1, round(rng.uniform(0.15, 0.7) * object_size))
            if rng.random() < 0.6:
                start = int(rng.integers(size[1]))
                hidden[:, start : start + wide] = True
            else:
                y, x = (int(rng.integers(side)) for side in size)
                hidden[y : y + 2 * wide, x : x + 2 * wide] = True
    return hidden


def light(rng: np.random.Generator, frames: int, size: tuple[int, int], contrast: float) -> Pixels:
    """What light adds: it drifts, differs from side to side, and flickers. (T, H, W)"""
    height, width = size
    y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    time = np.linspace(0, 1, frames)[:, None, None]
    strength = contrast * rng.choice([0.03, 0.12])
    drift = strength * (rng.normal() + rng.normal() * x + rng.normal() * y) * time
    flicker = contrast * rng.choice([0, 0.04]) * rng.normal(size=(frames, 1, 1))
    added: Pixels = (drift + flicker).astype(np.float32)
    return added


class Camera:
    """How a camera spoils what it sees; drawn once for a video.

    :param still: (C, H, W) the scene, whose edges show where the camera shakes.
    :param contrast: of a typical object, by which faults are measured.
    """

    def __init__(self, rng: np.random.Generator, still: Pixels, contrast: float) -> None:
        self._rng, self._still = rng, still
        self.blur = rng.uniform(0, 0.8) if rng.random() < 0.5 else 0.0
        self.noise = contrast * np.exp(rng.uniform(np.log(0.01), np.log(0.2)))
        self.coloured = still.shape[0] == 3 and rng.random() < 0.4
        self.blocks = self.noise * rng.uniform(0.15, 0.5) if rng.random() < 0.3 else 0.0
        self.shakes = rng.uniform(0.05, 0.3) if rng.random() < 0.15 else 0.0

    def seen(self, difference: Pixels) -> Pixels:
        """What it says of frames. (T, C, H, W) differences from the scene → the same with its faults"""
        rng, (frames, channels, height, width) = self._rng, difference.shape
        out = gaussian_filter(difference, (0, 0, self.blur, self.blur)) if self.blur else difference
        grain = rng.normal(size=(frames, channels if self.coloured else 1, height, width)).astype(np.float32)
        out = out + self.noise * grain
        if self.blocks:
            coarse = rng.normal(size=(frames, 1, -(-height // 4), -(-width // 4))).astype(np.float32)
            out = out + self.blocks * coarse.repeat(4, 2).repeat(4, 3)[..., :height, :width]
        if self.shakes:
            for t, (dy, dx) in enumerate(rng.normal(size=(frames, 2)) * self.shakes):
                out[t] += shift(self._still, (0, dy, dx), order=1, mode="nearest") - self._still
        spoilt: Pixels = out
        return spoilt


def _noise(rng: np.random.Generator, channels: int, size: tuple[int, int], scale: float) -> Pixels:
    noise = gaussian_filter(rng.normal(size=(channels, *size)), (0, scale, scale))
    smooth: Pixels = (noise / max(float(noise.std()), 1e-6)).astype(np.float32)
    return smooth
