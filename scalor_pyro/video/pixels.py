"""What can be told from a part of the pixels of frames: whether they have colour."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Light is measured, and colour looked for, on about this many px, spread over the frame: more tell nothing new.
ENOUGH_PIXELS = 15_000
# A video has no colour if nearly all pixels differ from grey by less than this (of 255).
COLOURLESS, COLOURED_SHARE = 12, 0.01


def thinned(pixels: NDArray[Any]) -> NDArray[Any]:
    """Every n-th pixel each way of large frames. (…, H, W) → (…, H', W')"""
    height, width = pixels.shape[-2:]
    step = max(1, int((height * width / ENOUGH_PIXELS) ** 0.5))
    return pixels[..., ::step, ::step]


def has_colour(images: NDArray[np.uint8]) -> bool:
    """Whether colours differ within pictures (n, C, H, W); one tint over all of them is none."""
    if images.shape[1] == 1:
        return False
    images = thinned(images)
    tinted = images - np.median(images[0], axis=(1, 2), keepdims=True).astype(np.float32)
    return bool((tinted.max(1) - tinted.min(1) > COLOURLESS).mean() > COLOURED_SHARE)
