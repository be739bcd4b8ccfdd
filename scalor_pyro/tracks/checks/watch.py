"""A watch on a video while it is tracked: it applies the checks, and says each finding once."""

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.model.frame import FrameLatents
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.checks.sentences import (
    LEAST_OBJECTS,
    MOST_CHANGED,
    boxes_do_not_fit,
    changed_part,
    filled_part,
    scene_changed,
    slots_full,
    tracks_break,
)
from scalor_pyro.video import Chunk, Video
from scalor_pyro.video.camera import CameraWatch

logger = logging.getLogger(__name__)

# A video is judged after this many frames: fewer may be an odd moment.
LEAST_FRAMES = 24
# Chunks in a row that must agree that the scene has changed: a flash of light is no change.
CHANGED_CHUNKS = 2


class Found(Protocol):
    """The parts of :class:`~scalor_pyro.tracks.tracker.Tracked` that are looked at."""

    @property
    def latents(self) -> list[FrameLatents]: ...

    @property
    def propagated(self) -> int: ...

    @property
    def discovered(self) -> int: ...


class TrackWatch:
    """Looks at a video while it is tracked, and says what is wrong, each thing once.

    :param video: as it is read; messages begin with its path.
    :param scalor: the model that tracks.
    :param say: takes a sentence; default: a warning in the log.
    """

    def __init__(self, video: Video, scalor: Scalor, say: Callable[[str], None] | None = None) -> None:
        self._video, self._scalor, self._say = video, scalor, say or _warn
        #: What was said, by what it is about.
        self.said: dict[str, str] = {}
        self._camera, self._judged = CameraWatch(), False
        self._frames = self._full = self._propagated = self._discovered = self._changed = 0
        self._filled: list[NDArray[np.float32]] = []
        self._sides: list[NDArray[np.float32]] = []
        self._changed_since = 0

    def add(self, chunk: Chunk, seen: Tensor, found: Found) -> None:
        """Look at what was found in a chunk.

        :param seen: (n, C, H, W) its frames as the model sees them.
        """
        slots = self._scalor.config.slots
        alive = torch.cat([frame.slots.alive for frame in found.latents])  # (n, K)
        self._frames += len(alive)
        self._full += int((alive.sum(-1) >= slots).sum())
        self._propagated += found.propagated
        self._discovered += found.discovered
        self._measure(found.latents)
        self._look_at_scene(chunk, seen, found.latents)
        if self._frames < LEAST_FRAMES:
            return
        self._note("slots", slots_full(self._full, self._frames, slots))
        self._note("tracks", tracks_break(self._propagated, self._discovered, self._video.options.stride))
        filled = np.concatenate(self._filled)
        if not self._judged and len(filled) >= LEAST_OBJECTS:
            size = float(np.median(np.concatenate(self._sides)))
            self._note("boxes", boxes_do_not_fit(float(np.median(filled)), size))
            self._judged = True  # once, and the numbers are no longer kept
            self._filled, self._sides = [filled[:0]], [filled[:0]]

    def _measure(self, latents: list[FrameLatents]) -> None:
        """Note the masks and boxes of the objects of a chunk."""
        if self._judged:
            return
        height, width = self._scalor.config.image_size
        for frame in latents:
            objects, alive = frame.slots.objects, frame.slots.alive
            filled = filled_part(objects.glimpse, alive).cpu().float().numpy()
            sides = objects.where[alive][:, :2].cpu().double().numpy()  # of width and height
            wide, high = self._video.geometry.lengths_to_source(sides[:, 0] * width, sides[:, 1] * height)
            self._filled.append(filled)
            self._sides.append((filled * np.sqrt(wide * high)).astype(np.float32))

    def _look_at_scene(self, chunk: Chunk, seen: Tensor, latents: list[FrameLatents]) -> None:
        image = self._scalor.background_image
        if image is None:
            return
        if self._camera.moves(chunk.frames[0], chunk.frames[-1]):
            self._note("camera", "the camera seems to move, so the background cannot be estimated.")
        alpha = torch.cat([frame.canvas.alpha for frame in latents])
        share = changed_part(seen, image, self._scalor.config.sigma, alpha)
        if share <= MOST_CHANGED:
            self._changed, self._changed_since = 0, int(chunk.numbers[-1]) + 1
            return
        self._changed += 1
        if self._changed >= CHANGED_CHUNKS and "camera" not in self.said:
            self._note("scene", scene_changed(share, self._changed_since))

    def _note(self, what: str, sentence: str | None) -> None:
        if sentence is not None and what not in self.said:
            self.said[what] = f"{self._video.path}: {sentence}"
            self._say(self.said[what])


def _warn(sentence: str) -> None:
    logger.warning("%s", sentence)
