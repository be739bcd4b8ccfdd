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

from scalor_pyro.config import AnySceneRunConfig, VideoRunConfig
from scalor_pyro.data.movers import STILL, differences, gain_for
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.model.views import nearest_size
from scalor_pyro.video import ReadOptions, Survey, Video, survey
from scalor_pyro.video.background_image import estimate_background_image

# Slots for each object of the fullest frame that the survey looked at, and some more.
SLOTS_EACH, SLOTS_MORE = 1.3, 4


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


def look_at(
    config: AnySceneRunConfig | VideoRunConfig,
    video: Video,
    object_size: float | None = None,
    slots: int | None = None,
    seen: Survey | None = None,
) -> Look:
    """Survey a video for a model that sees differences.

    :param video: with the crop, the start, the stop and the stride that are asked for.
    :param object_size: side of an object in px of the file; None: what the survey finds.
    :param slots: K; None: enough for the fullest frame.
    :param seen: what a survey of the video has found already.
    :raises VideoError: if it cannot be read, or nothing moves.
    """
    seen, model = seen or survey(video), config.model
    side = object_size or math.sqrt(seen.height * seen.width)
    crop = video.geometry.crop
    scale = model.object_size / side
    size = nearest_size(model, (crop.height * scale, crop.width * scale))
    options = replace(video.options, size=size, grey=seen.grey or not seen.colour)
    needed = slots or math.ceil(SLOTS_EACH * seen.most) + SLOTS_MORE
    return Look(options, gain_for(seen.contrast), needed)


def differences_of(video: Video, gain: float) -> Differences:
    """Differences from the median of a video's frames.

    :param video: read as :func:`look_at` says.
    """
    image = estimate_background_image([video]).image
    return Differences(torch.from_numpy(image.astype(np.float32) / 255), gain)
