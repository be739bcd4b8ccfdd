"""Tracking a video of any length: chunk after chunk, in pixels and frames of its file, with memory for one chunk.

Identities and all that the guide knows of the objects are carried over from chunk to chunk
(:class:`~scalor_pyro.scalor.Carried`). Frames may be larger than those of training (:mod:`scalor_pyro.views`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.box_spread import box_spread
from scalor_pyro.config import ConfigError
from scalor_pyro.latents import frames_of
from scalor_pyro.posterior import follow, owners, slots_of
from scalor_pyro.scalor import Carried, FrameLatents, Scalor
from scalor_pyro.tracks import Tracks, tracks_of
from scalor_pyro.video import Chunk, Crop, Geometry, Video
from scalor_pyro.video.scene import Scenery, scenery_of
from scalor_pyro.video_run import VideoRunConfig, load_scene, load_video_run, region_options
from scalor_pyro.views import with_view

# Frames that are followed at a time: enough that the convolutions have work, few enough for little memory.
CHUNK = 16
# Draws for the standard deviations of boxes.
DRAWS = 64
# The scene follows the light by this much of the range from black to white in a frame, where no object is.
SCENE_STEP = 0.1 / 255


class Tracked(NamedTuple):
    """What was found in a chunk of n frames."""

    numbers: NDArray[np.int64]  # (n,) frames of the file, from 0
    tracks: Tracks  # in px and frames of the file
    latents: list[FrameLatents]  # n, in the units of the model
    propagated: int  # objects drawn that were there in the frame before, in all frames but the video's first
    discovered: int  # … that were not
    foreground: float  # share of the pictures that objects draw

    def segments(self) -> NDArray[np.int64]:
        """(n, H, W) identity of the object that owns a pixel of the frames as they were read; -1: none."""
        labels: NDArray[np.int64] = torch.cat([owners(frame) for frame in self.latents]).cpu().numpy()
        return labels


class Tracker:
    """Follows the objects of one video.

    :param scalor: a trained model for frames of the size that comes.
    :param geometry: from these frames to those of the file.
    :param spread: work out the standard deviations of boxes, too.
    :param scene_step: how much the scene may change in a frame; 0 for a scene that never does.
    """

    def __init__(self, scalor: Scalor, geometry: Geometry, spread: bool = True, scene_step: float = SCENE_STEP) -> None:
        self.scalor, self.geometry, self.spread, self.scene_step = scalor, geometry, spread, scene_step
        self.carried: Carried | None = None
        self.last_number = -1

    @torch.no_grad()
    def advance(self, chunk: Chunk) -> Tracked:
        """Go on with the frames that follow those of the last call."""
        frames = chunk.tensor(next(self.scalor.parameters()).device)[None]
        before = self.carried
        trace = follow(self.scalor, frames, before)
        latents = frames_of(trace)
        self.carried = latents[-1].carried
        self._follow_the_light(frames[0], torch.cat([frame.canvas.alpha for frame in latents]))
        spread = box_spread(self.scalor, trace, DRAWS, before=before and before.scene).box if self.spread else None
        (found,) = tracks_of(slots_of(latents), self.scalor.config.image_size, spread)
        threshold = self.scalor.config.presence_threshold
        later = [frame for frame in latents if frame.propagated is not None]
        return Tracked(
            chunk.numbers,
            self._in_the_file(found, chunk.numbers),
            latents,
            sum(int(frame.propagated.number(threshold)) for frame in later if frame.propagated is not None),
            sum(int(frame.discovered.number(threshold)) for frame in later),
            float(torch.stack([frame.canvas.alpha.mean() for frame in latents]).mean()),
        )

    def _follow_the_light(self, frames: Tensor, alpha: Tensor) -> None:
        """Move the scene towards the frames, a step each: it stays about the median of what was seen lately.

        Differs: in the paper, a background has latents alone. Over hours, the light changes by more than they can say.

        :param frames: (n, C, H, W)
        :param alpha: (n, 1, H, W) of the objects, which are not to become part of the scene.
        """
        if self.scalor.scene is not None and self.scene_step > 0:
            steps = ((frames - self.scalor.scene).sign() * (1 - alpha)).sum(0)
            self.scalor.set_scene((self.scalor.scene + self.scene_step * steps)[None].clamp(0, 1))

    def _in_the_file(self, found: Tracks, numbers: NDArray[np.int64]) -> Tracks:
        """In px and frames of the file; a frame that was read again is not reported again."""
        again = np.diff(numbers, prepend=self.last_number) == 0
        self.last_number = int(numbers[-1])
        found = found.rows(~again[found.frame])
        x, y = self.geometry.to_source(found.x, found.y)
        width, height = self.geometry.lengths_to_source(found.width, found.height)
        x_sd, y_sd = self.geometry.lengths_to_source(found.x_sd, found.y_sd)
        width_sd, height_sd = self.geometry.lengths_to_source(found.width_sd, found.height_sd)
        frame, presence, depth = numbers[found.frame], found.presence, found.depth
        return Tracks(frame, found.identity, x, y, width, height, presence, depth, x_sd, y_sd, width_sd, height_sd)


@dataclass(frozen=True)
class Options:
    """How a video is tracked, where it is not as the run says."""

    crop: Crop | None = None  # px of the file; None: the region of the run
    start: int = 0
    stop: int | None = None
    stride: int | None = None  # None: as in training
    slots: int | None = None  # K; None: as the run says
    scene: str = "auto"  # "run": the picture in the run folder; "video": the median of the video; "auto": the first
    # if it fits
    scene_step: float = SCENE_STEP  # see Tracker


class Run(NamedTuple):
    """A trained run, ready to track."""

    folder: Path
    config: VideoRunConfig
    scalor: Scalor


def load(folder: str | Path, device: torch.device | str = "cpu") -> Run:
    """Load a run of ``scalor train``.

    :raises CheckpointError: if the folder holds no such run.
    """
    config, scalor = load_video_run(folder)
    return Run(Path(folder), config, scalor.to(device).eval())


def tracker_of(run: Run, path: str | Path, options: Options | None = None) -> tuple[Tracker, Video]:
    """A tracker for a video, and the video as it has to be read.

    :raises VideoError: if the video cannot be read as asked.
    :raises ConfigError: for a scene that does not fit.
    """
    options = options or Options()
    reading = region_options(run.config, Video(path).info.size, options.crop)
    stride = reading.stride if options.stride is None else options.stride
    reading = replace(reading, start=options.start, stop=options.stop, stride=stride)
    video = Video(path, reading)
    require_colour(run, video)
    image, flicker = (torch.from_numpy(part).float() / 255 for part in _scene(run, video, options))
    slots = run.config.video.region_slots if options.slots is None else options.slots
    scalor = with_view(run.scalor, video.geometry.size, image, slots, flicker)
    return Tracker(scalor, video.geometry, scene_step=options.scene_step), video


def require_colour(run: Run, video: Video) -> None:
    """Refuse a video in colour for a run on grey ones, and the reverse.

    :raises ConfigError: saying which.
    """
    if video.channels != run.config.model.channels:
        raise ConfigError(
            f"{video.path} is {_colour(video.channels)}, but {_colour(run.config.model.channels)} was expected, as the"
            f" videos that {run.folder} was trained on."
        )


def track(run: Run, path: str | Path, options: Options | None = None, chunk: int = CHUNK) -> Iterator[Tracked]:
    """Track a video, one chunk after the other.

    :param chunk: frames in each.
    :raises ValueError: see :func:`tracker_of`.
    """
    tracker, video = tracker_of(run, path, options)
    for frames in video.chunks(chunk):
        yield tracker.advance(frames)


def _scene(run: Run, video: Video, options: Options) -> Scenery:
    """The scene of the frames that are read."""
    kept = None if options.scene == "video" else load_scene(run.folder)
    if kept is not None and kept.image.shape == (video.channels, *video.geometry.size):
        return kept
    if options.scene == "run":
        found = "there is none" if kept is None else f"it has {kept.image.shape[2]} × {kept.image.shape[1]} px"
        raise ConfigError(
            f"The scene of {run.folder} does not fit {video.path}: {found}, but {video.geometry.size[1]} ×"
            f" {video.geometry.size[0]} px were expected."
        )
    return scenery_of([video])


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "in colour"
