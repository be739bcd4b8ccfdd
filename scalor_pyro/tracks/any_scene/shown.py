"""Frames that a survey has looked at, as a model for any scene sees them."""

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.data.movers import differences
from scalor_pyro.tracks.any_scene.looks import Look, size_of
from scalor_pyro.video import Survey
from scalor_pyro.video.developing import LUMA, resized

# Frames of a run.
LENGTH = 4


def fullest_runs(seen: Survey) -> list[list[int]]:
    """Runs of frames that follow each other in the file, the fullest first: their indices in the survey."""
    return sorted(_runs(seen), key=lambda run: -sum(float(seen.copies[i].sum()) for i in run))


def shown_frames(seen: Survey, run: list[int], how: Look) -> NDArray[np.float32]:
    """Frames as differences from the background. (T, C, H, W) in [0, 1]"""
    frames = np.stack([resized_for(seen.shown[i].image, how) for i in run])
    shown: NDArray[np.float32] = differences(frames, resized_for(seen.background, how), how.gain)
    return shown


def resized_for(image: NDArray[np.uint8], how: Look) -> NDArray[np.float32]:
    """(C, h, w) → (C', H, W) in [0, 1]"""
    pixels = np.moveaxis(image, 0, -1)
    if how.options.grey and len(image) == 3:
        pixels = ((pixels @ LUMA + 128) >> 8).astype(np.uint8)[..., None]
    return (np.moveaxis(resized(pixels, size_of(how)), -1, 0) / 255).astype(np.float32)


def _runs(seen: Survey) -> list[list[int]]:
    """Indices of :data:`LENGTH` frames that follow each other in the file; of fewer, if there are none so long."""
    numbers = [frame.number for frame in seen.shown]
    starts = [0, *(i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1), len(numbers)]
    runs = [
        list(range(first, min(stop, first + LENGTH)))
        for start, stop in zip(starts, starts[1:], strict=False)
        for first in range(start, stop, LENGTH)
    ]
    return [run for run in runs if len(run) == LENGTH] or runs
