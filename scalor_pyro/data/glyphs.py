"""Glyphs: the small grey pictures that objects are painted with, at the size they have in the video.

A bank of glyphs is a uint8 array (N, S, S), S = the object's size rounded up. It is the same on every machine,
because whatever is summed is a multiple of a power of two, hence exact in any order.
"""

import math

import numpy as np
from numpy.typing import NDArray

# Weights and rotations are rounded to this many bits: sums of their products with pixels are exact in float64.
EXACT_BITS = 12


def rounded(values: NDArray[np.float64], bits: int = EXACT_BITS) -> NDArray[np.float64]:
    """Values rounded to multiples of 2 ** -bits."""
    return np.rint(values * 2.0**bits) / 2.0**bits


def glyph_side(size: float) -> int:
    """S: the side in px of the window that holds an object of this size at whole-pixel positions."""
    return math.ceil(size)


def resize(images: NDArray[np.float32], size: float) -> NDArray[np.uint8]:
    """Resize pictures to objects, antialiased: the mean over each new pixel when they shrink, bilinear when they grow.

    :param images: (N, h, h) in [0, 1].
    :param size: side of the object in px, centred in the glyph.
    :returns: (N, S, S) from 0 to 255.
    """
    weights = _resize_weights(images.shape[-1], size)
    # A chunk at a time: all of MNIST in float64 would take 200 MB.
    chunks = np.array_split(images, 1 + len(images) // 4096)
    return np.concatenate([_to_bytes(weights @ np.rint(chunk * 255.0) @ weights.T) for chunk in chunks])


def _to_bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _resize_weights(old: int, size: float) -> NDArray[np.float64]:
    """(S, old): share of each old pixel in each new one."""
    side = glyph_side(size)
    scale = old / size
    at = (np.arange(side) + 0.5 - (side - size) / 2) * scale - 0.5
    # Overlap of old pixels with an interval as wide as a new one, or as an old one where that is wider.
    overlap = np.clip((max(1.0, scale) + 1) / 2 - np.abs(at[:, None] - np.arange(old)), 0, 1)
    return rounded(overlap / overlap.sum(1, keepdims=True))
