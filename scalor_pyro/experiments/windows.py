"""Clips of a video as a model that sees differences is trained on them: windows of the frames where things move."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import VideoRunConfig
from scalor_pyro.data.movers import STILL
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.tracks.any_scene.looks import Differences
from scalor_pyro.video import ClipBatch, Clips, Crop

# Windows lie this part of their side apart, so that each object is whole in one of them.
APART = 0.5
# A window is trained on if at least this part as much moves in it as in the busiest one.
LEAST_BUSY = 0.25
# How many frames say where things move, and the difference, of the model's range, that counts as movement.
LOOKED_AT, MOVES = 32, 0.15


@dataclass(frozen=True, eq=False)
class SeenBatch:
    """Some clips, as differences."""

    clips: ClipBatch  # as they were read
    differences: Differences  # whose scene is that of each clip, (B, 1, C, H, W)
    channels: int  # of the model

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """(B, T, C, H, W) in [0, 1], as the model sees them."""
        return self._coloured(self.differences.to_model(self.clips.tensor(device)))

    def original(self) -> Tensor:
        """(B, T, C, H, W) in [0, 1], as they look in the video."""
        return self._coloured(self.clips.tensor())

    def shown(self, inference: Inference) -> Inference:
        """What the model drew, as it would look in the video."""
        return self.differences.shown(inference)

    def _coloured(self, frames: Tensor) -> Tensor:
        return frames.expand(-1, -1, self.channels, -1, -1)


class SeenClips:
    """An endless stream of clips as differences from the scene; see :class:`~scalor_pyro.video.Clips`.

    :param clips: their frames are those of the scene, or windows of them.
    :param differences: of all frames.
    :param channels: of the model; grey videos are shown to a model of colour in three equal channels.
    """

    def __init__(self, clips: Clips, differences: Differences, channels: int) -> None:
        self.clips, self.differences, self.channels = clips, differences, channels

    def batch(self, start: int, count: int, frames: int | None = None) -> SeenBatch:
        """See :meth:`scalor_pyro.video.Clips.batch`."""
        clips = self.clips.batch(start, count, frames)
        windows = [self.clips.windows[scene % len(self.clips.windows)] for scene in clips.scene]
        scenes = torch.stack([_cut(self.differences.scene, window) for window in windows])
        return SeenBatch(clips, self.differences._replace(scene=scenes[:, None]), self.channels)

    def busy(self, size: tuple[int, int]) -> "SeenClips":
        """The stream of windows of a size (H, W) in which things move."""
        moves = self._movement()
        windows = grid(self.clips.image_size, size)
        movement = np.array([_cut(moves, window).sum() for window in windows])
        chosen = [each for each, much in zip(windows, movement, strict=True) if much >= LEAST_BUSY * movement.max()]
        return SeenClips(self.clips.within(chosen), self.differences, self.channels)

    def split(self, share: float) -> tuple["SeenClips", "SeenClips"]:
        """See :meth:`scalor_pyro.video.Clips.split`."""
        first, last = self.clips.split(share)
        return SeenClips(first, self.differences, self.channels), SeenClips(last, self.differences, self.channels)

    def _movement(self) -> NDArray[Any]:
        """(H, W) in how many of some frames a pixel differs from the scene."""
        seen = self.batch(0, LOOKED_AT, frames=1).tensor()
        moves: NDArray[Any] = ((seen - STILL).abs().mean(2) > MOVES).float().sum((0, 1)).numpy()
        return moves


def seen_clips(clips: Clips, config: VideoRunConfig, image: NDArray[np.uint8]) -> SeenClips:
    """The stream of a run.

    :param clips: of whole frames.
    :param image: (C, H, W) the background image.
    """
    scene = torch.from_numpy(image.astype(np.float32) / 255)
    whole = SeenClips(clips, Differences(scene, config.video.gain), config.model.channels)
    return whole.busy(config.model.image_size)


def _cut(image: Any, window: Crop) -> Any:
    """The part of an image (…, H, W) in a window."""
    return image[..., window.y : window.y + window.height, window.x : window.x + window.width]


def grid(image: tuple[int, int], size: tuple[int, int]) -> Sequence[Crop]:
    """Windows that cover an image; both sizes are (H, W)."""
    rows, columns = (_places(whole - part, APART * part) for whole, part in zip(image, size, strict=True))
    return [Crop(x, y, size[1], size[0]) for y in rows for x in columns]


def _places(room: int, step: float) -> list[int]:
    """From 0 to `room`, evenly, at most a step apart."""
    return [round(place) for place in np.linspace(0, room, 1 + int(np.ceil(room / step)))]
