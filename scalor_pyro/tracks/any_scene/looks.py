"""Videos as a model for any scene sees them: at a scale that suits its objects, as differences from the scene.

Nothing is trained: a survey of the video says how large and how bright its objects are, and the median of its frames is
the scene.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scalor_pyro.config import AnySceneRunConfig, BoxRanges, VideoRunConfig
from scalor_pyro.data.movers import STILL, differences, gain_for
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.model.views import nearest_size
from scalor_pyro.video import ReadOptions, Survey, Video, VideoError, survey
from scalor_pyro.video.background.image import estimate_background_image

# Slots for each object of the fullest frame that the survey looked at, and some more.
SLOTS_EACH, SLOTS_MORE = 1.3, 4


# px: frames are resized to no more, whatever the size of their objects, which bounds memory and time. They are not
# enlarged by more than this factor either: beyond it, particles of 5 px are found no better.
MOST_PIXELS, MOST_ENLARGED = 1024 * 768, 1.7
# At most this many slots, for the same reason.
MOST_SLOTS = 1024
# Fewer frames have no median that objects leave.
LEAST_FRAMES = 10
# The median of a video in which objects are larger than this part of the frame, as a ratio of sides, shows them.
LARGEST_SHARE = 0.5


class Differences(NamedTuple):
    """From frames to what the model sees, and back."""

    scene: Tensor  # (C, H, W) in [0, 1]
    gain: float

    def to_model(self, frames: Tensor) -> Tensor:
        """(…, C, H, W) in [0, 1] → the same shape, in [0, 1]"""
        seen: Tensor = differences(frames, self.scene.to(frames.device), self.gain)
        return seen

    def from_model(self, images: Tensor) -> Tensor:
        """What the model draws, as it would look in the video: the reverse of :meth:`to_model`."""
        return (self.scene.to(images.device) + (images - STILL) * 2 / self.gain).clamp(0, 1)

    def shown(self, inference: Inference) -> Inference:
        """An inference whose pictures are as they would look in the video."""
        names = ("reconstruction", "background")
        return inference._replace(**{name: self.from_model(getattr(inference, name)) for name in names})

    def light_step(self, step: float) -> float:
        """A step of the background image in the model's units."""
        return step * self.gain / 2


class Look(NamedTuple):
    """How a video is to be read and seen."""

    options: ReadOptions
    gain: float
    slots: int
    #: What the user should know of the scale, a sentence; None: nothing.
    note: str | None = None
    #: Bounds of boxes; None: those of training.
    boxes: BoxRanges | None = None


def size_of(look: Look) -> tuple[int, int]:
    """H, W in px that frames are resized to."""
    assert look.options.size is not None
    return look.options.size


def look_at(
    config: AnySceneRunConfig | VideoRunConfig,
    video: Video,
    box: tuple[float, float] | None = None,
    slots: int | None = None,
    seen: Survey | None = None,
    side: float | None = None,
) -> Look:
    """Survey a video for a model that sees differences.

    :param video: with the crop, the start, the stop and the stride that are asked for.
    :param box: H, W of a typical object in px of the file; None: what the survey finds.
    :param slots: K; None: enough for the fullest frame.
    :param seen: what a survey of the video has found already.
    :param side: of the square with the area of a typical object, px of the file; None: by the survey.
    :raises VideoError: if it cannot be read, or nothing moves.
    """
    seen, model = seen or survey(video, box=box), config.model
    crop = video.geometry.crop
    wanted = model.object_size / (side or seen.middle_side)
    scale = min(wanted, MOST_ENLARGED, math.sqrt(MOST_PIXELS / (crop.height * crop.width)))
    size = nearest_size(model, (crop.height * scale, crop.width * scale))
    options = replace(video.options, size=size, grey=seen.grey or not seen.colour)
    needed = slots or min(MOST_SLOTS, math.ceil(SLOTS_EACH * seen.most) + SLOTS_MORE)
    return Look(
        options, gain_for(seen.contrast), needed, None if scale == wanted else _too_small(video, size, scale / wanted)
    )


def _too_small(video: Video, size: tuple[int, int], share: float) -> str:
    """That objects are seen smaller than they should be."""
    text = (
        f"{video.path}: the frames are resized to {size[1]} × {size[0]} px and no larger, to bound memory and time, so"
        f" objects are seen {1 / share:.1f} times smaller than in training"
    )
    return f"{text}; if small ones are missed, track a part with --crop."


def require_frames(video: Video) -> None:
    """Refuse videos that are too short to be tracked without a training.

    :raises VideoError: saying so.
    """
    if video.expected_frames < LEAST_FRAMES:
        raise VideoError(
            f"{video.path}: expected at least {LEAST_FRAMES} frames, to tell objects from the background, got"
            f" {video.expected_frames}; weights that were trained on its scene (--weights) track any number."
        )


def require_suitable(seen: Survey, video: Video) -> None:
    """Refuse videos that a model for any scene cannot see.

    :param seen: in the video.
    :raises VideoError: saying why.
    """
    if seen.camera_moves:
        raise VideoError(
            f"{video.path}: expected a camera that stands still, got one that moves, so that all of the picture differs"
            " from its median; stabilise the video first."
        )
    share = math.sqrt(seen.height * seen.width / (seen.size[0] * seen.size[1]))
    if share > LARGEST_SHARE:
        raise VideoError(
            f"{video.path}: expected objects smaller than {LARGEST_SHARE:.0%} of the frame's side, got"
            f" {seen.width:.0f} × {seen.height:.0f} px in a frame of {seen.size[1]} × {seen.size[0]} px; if they are"
            " smaller, give their size with --object-size."
        )


def differences_of(video: Video, gain: float) -> Differences:
    """Differences from the median of a video's frames.

    :param video: read as :func:`look_at` says.
    """
    image = estimate_background_image([video]).image
    return Differences(torch.from_numpy(image.astype(np.float32) / 255), gain)
