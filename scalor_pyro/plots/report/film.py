"""The video of a report: the frames that were tracked, small enough to be carried in a page.

Boxes are not drawn into it: the page draws them, from the tracks.
"""

import io
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.config import Crop
from scalor_pyro.tracks.annotate import Encoder
from scalor_pyro.video import Video
from scalor_pyro.video.background.median import temporal_median
from scalor_pyro.video.background.resting import without_resting

# px: frames whose longer side is more are reduced, and those whose shorter side is less are enlarged by a whole number,
# because H.264 has half the resolution for colours.
LONGEST_SIDE, SHORTEST_SIDE = 640, 240
# Frames per second that are shown: slower recordings are shown faster, and faster ones slower.
SLOWEST, FASTEST = 8.0, 30.0
# Quality (x264's CRF) where that does not take too many bytes.
QUALITY = 27
# Seconds between frames that a player can jump to at once.
SEEK = 1.0
# The background is found in this many frames.
MEDIAN_OF = 15
JPEG_QUALITY = 80
# A film that is too large is encoded again with sides this much shorter, at most so many times.
SHORTER, TRIES = 0.6, 4


class Film(NamedTuple):
    """A part of a video, for a page."""

    mp4: bytes
    rate: float  # frames per second as shown
    numbers: NDArray[np.int64]  # (n,) frames of the file
    crop: Crop  # px of the file: what it shows
    size: tuple[int, int]  # H, W in px
    background: bytes  # JPEG, what its frames show without objects


def film_of(video: Video, frames: int, fps: float | None, most: int) -> Film:
    """Encode the first frames of a video as it was read for tracking.

    :param video: with the options of tracking; its resize does not matter.
    :param frames: at most so many.
    :param fps: frames per second of the recording; None: not known.
    :param most: bytes of the mp4.
    :raises VideoError: if the video cannot be read.
    """
    crop, zoom = video.geometry.crop, 1.0
    rate = min(max((fps or SLOWEST) / video.options.stride, SLOWEST), FASTEST)
    for _ in range(TRIES):
        size = size_for((crop.height, crop.width), zoom)
        reader = video.again(replace(video.options, crop=crop, size=size, grey=False))
        film = _encoded(reader, min(frames, max(1, video.expected_frames)), rate, most)
        if len(film.mp4) <= most:
            break
        zoom *= SHORTER
    return film


def size_for(size: tuple[int, int], zoom: float = 1.0) -> tuple[int, int]:
    """H, W in px, even, at which frames of this size are shown."""
    longer, shorter = max(size), min(size)
    scale = min(1.0, LONGEST_SIDE / longer)
    if shorter < SHORTEST_SIDE and longer < LONGEST_SIDE:
        scale = max(1, min(round(SHORTEST_SIDE / shorter), LONGEST_SIDE // longer))
    height, width = (max(2, 2 * round(side * scale * zoom / 2)) for side in size)
    return height, width


def encoder_options(rate: float, frames: int, most: int) -> dict[str, str]:
    """Options of x264 for so many bytes: constant quality, cut off where a second would take more than its share."""
    seconds = max(frames / rate, 1.0)
    bits = max(10_000, math.floor(0.85 * 8 * most / seconds))
    keep = {"crf": f"{QUALITY}", "preset": "superfast", "g": f"{max(1, round(SEEK * rate))}"}
    return keep | {"maxrate": f"{bits}", "bufsize": f"{bits}"}


def _encoded(video: Video, frames: int, rate: float, most: int) -> Film:
    file, numbers, few = io.BytesIO(), [], []
    every = max(1, math.ceil(frames / MEDIAN_OF))
    with Encoder(file, Path("The film of the report"), rate, encoder_options(rate, frames, most)) as encoder:
        for count, frame in enumerate(islice(video, frames)):
            image = np.broadcast_to(frame.image.transpose(1, 2, 0), (*frame.image.shape[1:], 3))
            encoder.add(image, count / rate)
            numbers.append(frame.number)
            if count % every == 0:
                few.append(image)
    spread = np.moveaxis(np.stack(few), -1, 1)
    background = np.moveaxis(without_resting(spread, temporal_median(spread)), 0, -1)
    picture = jpeg(np.rint(background).clip(0, 255).astype(np.uint8))
    return Film(file.getvalue(), rate, np.array(numbers), video.geometry.crop, video.geometry.size, picture)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
