"""The background image: what a still camera sees without objects, and how much that moves by itself."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from scalor_pyro.model.background import variation
from scalor_pyro.video.background.median import light_of, median_frame
from scalor_pyro.video.background.resting import without_resting
from scalor_pyro.video.pixels import has_colour
from scalor_pyro.video.reading import Video
from scalor_pyro.video.source import VideoError

# Evenly spaced frames whose median is the background image; and how far into a video they are taken.
BACKGROUND_FRAMES = 200
SPAN = 20_000
# Bytes of frames held at a time: fewer of larger ones.
MEMORY = 256 << 20
# How many of these measure the flicker: as floating point, they take four times the memory.
FLICKER_FRAMES = 50


class BackgroundImage(NamedTuple):
    """The background of videos from one camera, both (C, H, W), from 0 to 255."""

    image: NDArray[np.uint8]  # the median of the frames, without objects that rested
    flicker: NDArray[np.uint8]  # how much they vary beyond the light: see background.variation


def estimate_background_image(videos: Sequence[Video], frames: int = BACKGROUND_FRAMES) -> BackgroundImage:
    """Estimate from frames spread over videos that show one scene and give frames of one size.

    If the empty scene is given, it is the image, as bright as the videos are.

    :param frames: about how many to take, if they are not large.
    """
    size = videos[0].channels * videos[0].geometry.size[0] * videos[0].geometry.size[1]
    frames = min(frames, max(FLICKER_FRAMES, MEMORY // size))
    lengths = [min(video.expected_frames, SPAN) for video in videos]
    each = max(1, math.ceil(sum(lengths) / frames))
    taken: list[NDArray[np.uint8]] = []
    for video, length in zip(videos, lengths, strict=True):
        sparse = video.again(replace(video.options, stride=video.options.stride * each))
        for frame, _ in zip(sparse, range(math.ceil(length / each)), strict=False):
            taken.append(frame.image)
    together = np.stack(taken)
    median = np.median(together, axis=0).astype(np.float32)
    given = given_background(videos[0], together)
    found = without_resting(together, median) if given is None else given + light_of((median - given)[None])[0]
    image = np.rint(found.clip(0, 255)).astype(np.uint8)
    few = np.stack(taken[:: math.ceil(len(taken) / FLICKER_FRAMES)])
    return BackgroundImage(image, np.stack([_flicker(few[:, i], image[i]) for i in range(len(image))]))


def given_background(video: Video, frames: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The picture of the empty scene that the options of a video name, read as its frames are. (C, H, W), 0 to 255

    :param frames: (n, C, H, W) of the video: if they have colour, the picture needs it too.
    :return: None if they name none.
    :raises VideoError: see :meth:`~scalor_pyro.video.reading.Video.empty_scene`; for a grey picture of a video in
        colour.
    """
    empty = video.empty_scene()
    if empty is None:
        return None
    if empty.channels == 1 and has_colour(frames):
        raise VideoError(
            f"{empty.path}: expected a picture of the empty scene in colour, like {video.path}, got a grey one."
        )
    pictures = np.stack([frame.image for frame, _ in zip(empty, range(BACKGROUND_FRAMES), strict=False)])
    return median_frame(pictures)


def _flicker(frames: NDArray[np.uint8], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of one channel: (n, H, W), (H, W) → (H, W)"""
    differences = torch.from_numpy(frames).float() - torch.from_numpy(image)
    varies: NDArray[np.uint8] = variation(differences[:, None])[0].round().clamp(max=255).byte().numpy()
    return varies
