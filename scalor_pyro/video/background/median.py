"""The median of frames: what is there most of the time, and how it varies."""

import numpy as np
from numpy.typing import NDArray

# σ of a normal distribution / its median absolute deviation.
MAD_TO_SIGMA = 1.4826
# Rows of the image whose median is taken at a time: bounds the copy that this makes.
ROWS = 64


def median_frame(
    frames: NDArray[np.uint8] | NDArray[np.float32], light: NDArray[np.float32] | float = 0.0
) -> NDArray[np.float32]:
    """The median of each pixel over frames, as `np.median` has it, but faster. (n, …, H, W) → (…, H, W)

    NumPy sorts rows of adjacent numbers with the vector instructions of the processor.

    :param light: of each frame, which is subtracted from it; see :func:`light_of`.
    """
    strips = []
    for row in range(0, frames.shape[-2], ROWS):
        pixels = (frames[..., row : row + ROWS, :] - np.float32(light)).astype(np.float32, copy=False)
        ordered = np.sort(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), axis=-1)
        strips.append(ordered[..., [(len(frames) - 1) // 2, len(frames) // 2]].mean(-1))
    middle: NDArray[np.float32] = np.concatenate(strips, axis=-2)
    return middle


def light_of(frames: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """How bright each frame is: the median of each channel. (n, C, H, W) → (n, C, 1, 1), from 0 to 255"""
    light: NDArray[np.float32] = np.median(frames, axis=(2, 3), keepdims=True).astype(np.float32)
    return light


def temporal_median(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The background of a static camera, where nothing rests for half of the time. (n, C, H, W) → (C, H, W), 0 to 255

    Each frame counts by its difference from its own median, so that light that changes does not blur it.
    """
    light = light_of(frames)
    return median_frame(frames, light) + median_frame(light)
