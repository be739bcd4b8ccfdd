"""The scene: what a still camera sees where nothing moves."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.video.reading import Video

# Frames, evenly spaced, whose median is the scene; and how far into a video they are looked for.
SCENE_FRAMES = 200
SPAN = 20_000


def scene_of(videos: Sequence[Video], frames: int = SCENE_FRAMES) -> NDArray[np.uint8]:
    """The median of frames from all over the videos, which show one scene and give frames of one size.

    :param frames: about how many to take.
    :return: (C, H, W)
    """
    lengths = [min(video.expected_frames, SPAN) for video in videos]
    each = max(1, math.ceil(sum(lengths) / frames))
    taken: list[NDArray[np.uint8]] = []
    for video, length in zip(videos, lengths, strict=True):
        sparse = Video(video.path, replace(video.options, stride=video.options.stride * each))
        for frame, _ in zip(sparse, range(math.ceil(length / each)), strict=False):
            taken.append(frame.image)
    return np.median(np.stack(taken), axis=0).astype(np.uint8)
