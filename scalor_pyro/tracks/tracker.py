"""Tracking a video of any length: chunk after chunk, in pixels and frames of its file, with memory for one chunk.

Identities and all that the guide knows of the objects are carried over from chunk to chunk
(:class:`~scalor_pyro.model.frame.Carried`). Frames may be larger than those of training
(:mod:`scalor_pyro.model.views`).

A run may be one of ``scalor train``: then the video is of its scene, and read as in training. Or one on synthetic
videos, among them the weights that come with the package: then any video will do whose objects move over what the run
was trained on, black or a moving background; pixels are taken as they are, unless the size of an object is said.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import ConfigError, VideoRunConfig
from scalor_pyro.inference.latents import frames_of
from scalor_pyro.inference.masks import owners
from scalor_pyro.inference.posterior import begun, follow, slots_of, with_first_looks
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.frame import Carried, FrameLatents
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.views import nearest_size, with_view
from scalor_pyro.tracks.spread import box_spread
from scalor_pyro.tracks.table import Tracks, tracks_of
from scalor_pyro.video import Chunk, Crop, Geometry, ReadOptions, Video
from scalor_pyro.video.background_files import load_background_image, region_options
from scalor_pyro.video.background_image import BackgroundImage, estimate_background_image

logger = logging.getLogger(__name__)

# Frames that are followed at a time: enough that the convolutions have work, few enough for little memory.
CHUNK = 16
# Draws for the standard deviations of boxes.
DRAWS = 64
# The scene follows the light by this much of the range from black to white in a frame, where no object is.
LIGHT_STEP = 0.1 / 255
# For a model of objects over black, a pixel below so many of 255 is black, and of a crowd so much of a frame is.
BLACK, LEAST_BLACK = 32, 0.2


class Tracked(NamedTuple):
    """What was found in a chunk of n frames."""

    numbers: NDArray[np.int64]  # (n,) frames of the file, from 0
    tracks: Tracks  # in px and frames of the file
    latents: list[FrameLatents]  # n, in the units of the model
    propagated: int  # objects drawn that were there in the frame before, in all frames but the video's first
    discovered: int  # … that were not
    foreground: float  # share of the pictures that objects draw

    def segments(self) -> NDArray[np.int64]:
        """(n, H, W) identity of the object that owns a pixel of the frames as they were read; -2: none."""
        labels: NDArray[np.int64] = torch.cat([owners(frame) for frame in self.latents]).cpu().numpy()
        return labels


class Tracker:
    """Follows the objects of one video.

    :param scalor: a trained model for frames of the size that comes.
    :param geometry: from these frames to those of the file.
    :param spread: work out the standard deviations of boxes, too.
    :param scene_step: how much the scene may change in a frame; 0 for a scene that never does.
    """

    def __init__(self, scalor: Scalor, geometry: Geometry, spread: bool = True, light_step: float = LIGHT_STEP) -> None:
        self.scalor, self.geometry, self.spread, self.light_step = scalor, geometry, spread, light_step
        self.carried: Carried | None = None
        self.last_number = -1

    @torch.no_grad()
    def advance(self, chunk: Chunk) -> Tracked:
        """Go on with the frames that follow those of the last call."""
        frames = frames_for(self.scalor, chunk)
        first = self.carried is None
        before = self._looked_at(frames[:, :1]) if first else self.carried
        trace = follow(self.scalor, frames, before)
        latents = frames_of(trace)
        self.carried = latents[-1].carried
        if first:
            latents = [begun(latents[0]), *latents[1:]]
        self._follow_the_light(frames[0], torch.cat([frame.canvas.alpha for frame in latents]))
        spread = box_spread(self.scalor, trace, DRAWS, before=before and before.slots).box if self.spread else None
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

    def _looked_at(self, frame: Tensor) -> Carried | None:
        """What the guide carries from its looks at the first frame into the last one; None if there is no other."""
        further = with_first_looks(self.scalor, frame)[:, 1:]
        return frames_of(follow(self.scalor, further))[-1].carried if further.shape[1] else None

    def _follow_the_light(self, frames: Tensor, alpha: Tensor) -> None:
        """Move the scene towards the frames, a step each: it stays about the median of what was seen lately.

        Differs: in the paper, a background has latents alone. Over hours, the light changes by more than they can say.

        :param frames: (n, C, H, W)
        :param alpha: (n, 1, H, W) of the objects, which are not to become part of the scene.
        """
        if self.scalor.background_image is not None and self.light_step > 0:
            steps = ((frames - self.scalor.background_image).sign() * (1 - alpha)).sum(0)
            self.scalor.set_background_image((self.scalor.background_image + self.light_step * steps)[None].clamp(0, 1))

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
    object_size: float | None = None  # px of the file: side of an object; None: the scale is that of training
    background_image: str = (
        "auto"  # "run": the picture in the run folder; "video": the median of the video; "auto": the first
    )
    # if it fits
    light_step: float = LIGHT_STEP  # see Tracker

    def __post_init__(self) -> None:
        if self.object_size is not None and not 1 <= self.object_size < math.inf:
            raise ConfigError(f"object_size is {self.object_size}, but at least 1 px was expected.")


def tracker_of(run: TrainedRun, path: str | Path, options: Options | None = None) -> tuple[Tracker, Video]:
    """A tracker for a video, and the video as it has to be read.

    :raises VideoError: if the video cannot be read as asked.
    :raises ConfigError: for a scene that does not fit.
    """
    options = options or Options()
    video = video_for(run, path, options)
    scalor = scalor_for(run, video, options)
    return Tracker(scalor, video.geometry, light_step=options.light_step), video


def video_for(run: TrainedRun, path: str | Path, options: Options) -> Video:
    """A video as it has to be read for a run.

    :raises VideoError: if it cannot be read as asked.
    :raises ConfigError: see :func:`require_colour`.
    """
    height, width = Video(path).info.size
    if isinstance(run.config, VideoRunConfig):
        reading = region_options(run.config, (height, width), options.crop, options.object_size)
    else:
        model, region = run.config.model, options.crop or Crop(0, 0, width, height)
        scale = 1.0 if options.object_size is None else model.object_size / options.object_size
        size = nearest_size(model, (region.height * scale, region.width * scale))
        reading = ReadOptions(crop=region, size=size, grey=model.channels == 1)
    stride = reading.stride if options.stride is None else options.stride
    video = Video(path, replace(reading, start=options.start, stop=options.stop, stride=stride))
    require_colour(run, video)
    return video


def scalor_for(run: TrainedRun, video: Video, options: Options) -> Scalor:
    """The model of a run for the frames of a video.

    :param video: see :func:`video_for`.
    :raises ConfigError: for a scene that does not fit.
    """
    size, slots = video.geometry.size, options.slots
    if run.config.model.background == "static":
        if slots is None and isinstance(run.config, VideoRunConfig):
            slots = run.config.video.region_slots
        image, flicker = (torch.from_numpy(part).float() / 255 for part in _background_image(run, video, options))
        return with_view(run.scalor, size, image, slots, flicker)
    if options.background_image != "auto":
        raise ConfigError(
            f"background_image is {options.background_image!r}, but 'auto' was expected: the run's background is"
            f" {run.config.model.background!r}, not a scene."
        )
    if run.config.model.background == "none":
        _warn_unless_black(video)
    return with_view(run.scalor, size, slots=slots)


def frames_for(scalor: Scalor, chunk: Chunk) -> Tensor:
    """Frames as a model sees them: grey ones, too, where it sees colour. (1, n, C, H, W) in [0, 1]"""
    frames = chunk.tensor(next(scalor.parameters()).device)[None]
    return frames.expand(-1, -1, scalor.config.channels, -1, -1)


def _warn_unless_black(video: Video) -> None:
    share = float((next(iter(video)).image.max(0) < BLACK).mean())
    if share < LEAST_BLACK:
        logger.warning(
            "%.0f %% of the first frame of %s is black, but the run was trained on objects over black: one of scalor"
            " train knows the scene of the video.",
            100 * share,
            video.path,
        )


def require_colour(run: TrainedRun, video: Video) -> None:
    """Refuse a video in colour for a run on grey ones, and the reverse; one on synthetic videos sees both.

    :raises ConfigError: saying which.
    """
    if isinstance(run.config, VideoRunConfig) and video.channels != run.config.model.channels:
        raise ConfigError(
            f"{video.path} is {_colour(video.channels)}, but {_colour(run.config.model.channels)} was expected, as the"
            f" videos that {run.folder} was trained on."
        )


def track(run: TrainedRun, path: str | Path, options: Options | None = None, chunk: int = CHUNK) -> Iterator[Tracked]:
    """Track a video, one chunk after the other.

    :param chunk: frames in each.
    :raises ValueError: see :func:`tracker_of`.
    """
    tracker, video = tracker_of(run, path, options)
    for frames in video.chunks(chunk):
        yield tracker.advance(frames)


def _background_image(run: TrainedRun, video: Video, options: Options) -> BackgroundImage:
    """The scene of the frames that are read."""
    kept = None if options.background_image == "video" else load_background_image(run.folder)
    if kept is not None and kept.image.shape == (video.channels, *video.geometry.size):
        return kept
    if options.background_image == "run":
        found = "there is none" if kept is None else f"it has {kept.image.shape[2]} × {kept.image.shape[1]} px"
        raise ConfigError(
            f"The scene of {run.folder} does not fit {video.path}: {found}, but {video.geometry.size[1]} ×"
            f" {video.geometry.size[0]} px were expected."
        )
    return estimate_background_image([video])


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "in colour"
