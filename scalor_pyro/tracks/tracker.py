"""Tracking a video of any length: chunk after chunk, in pixels and frames of its file, with memory for one chunk.

:func:`track_chunks` gives the tracks chunk by chunk; :func:`~scalor_pyro.tracks.tracking.track` gives those of a whole
video as a table.

Identities, and everything that the guide knows of the objects, are carried over from chunk to chunk
(:class:`~scalor_pyro.model.frame.Carried`). Frames may be larger than those of training
(:mod:`scalor_pyro.model.views`).

:mod:`~scalor_pyro.tracks.opening` says how a video is read for a run.
"""

import math
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pyro import poutine
from torch import Tensor

from scalor_pyro.config import ConfigError
from scalor_pyro.inference.evidence import Worth, weigher_for
from scalor_pyro.inference.latents import frames_of
from scalor_pyro.inference.masks import owners
from scalor_pyro.inference.objects import reported
from scalor_pyro.inference.posterior import (
    Inference,
    begun,
    collect,
    follow,
    require_lookahead,
    seen_before,
    slots_of,
    with_background,
)
from scalor_pyro.inference.trained import TrainedRun, load
from scalor_pyro.model.frame import Carried, FrameLatents
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.any_scene.embedding import WITHIN, Embedder
from scalor_pyro.tracks.any_scene.looks import Differences
from scalor_pyro.tracks.checks.watch import TrackWatch
from scalor_pyro.tracks.opening import (
    LIGHT_STEP,
    BoxesOf,
    Options,
    VideoLike,
    boxes_for,
    default_dtype,
    default_dtype_of,
    frames_for,
    opened,
)
from scalor_pyro.tracks.shape import intensities, together, with_shapes
from scalor_pyro.tracks.spread import box_spread
from scalor_pyro.tracks.table import Tracks, tracks_of
from scalor_pyro.video import Chunk, Geometry, Video

# Frames in a chunk: enough to keep the convolutions busy, few enough to need little memory.
CHUNK = 16
# Draws for the standard deviations of boxes.
DRAWS = 64
# Slots that a chunk begins with, beyond those of its objects: this many, and this share of the objects.
FREE_SLOTS, FREE_SHARE = 3, 1 / 8


class Tracked(NamedTuple):
    """What was found in a chunk of n frames."""

    numbers: NDArray[np.int64]  # (n,) frames of the file, from 0
    tracks: Tracks  # in px and frames of the file
    latents: list[FrameLatents]  # n, in the units of the model
    propagated: int  # objects drawn that continue one of the frame before, in all frames but the video's first
    discovered: int  # … that were newly discovered there
    foreground: float  # share of the pixels that objects cover
    appearance: NDArray[np.float32]  # (R, D) what the object of each row looks like: z_what, or an embedding

    def segments(self) -> NDArray[np.int64]:
        """(n, H, W) identity of the object that owns a pixel of the frames as they were read; -2: none."""
        labels: NDArray[np.int64] = torch.cat([owners(frame) for frame in self.latents]).cpu().numpy()
        return labels


class Pictured(NamedTuple):
    """The first n frames of a video with what the tracker saw in them, for pictures and the player."""

    numbers: NDArray[np.int64]  # (n,) frames of the file, from 0
    frames: Tensor  # (1, n, C, H, W) in [0, 1], as they were read
    inference: Inference  # of these frames: the latents that the tracks were made from

    def and_then(self, later: "Pictured") -> "Pictured":
        """These frames, then later ones."""
        slots = max(each.inference.slots for each in (self, later))
        parts = zip(self.inference.in_slots(slots), later.inference.in_slots(slots), strict=True)
        return Pictured(
            np.concatenate([self.numbers, later.numbers]),
            torch.cat([self.frames, later.frames], 1),
            Inference(*(torch.cat(pair, 1) for pair in parts)),
        )


class Tracker:
    """Follows the objects of one video.

    Online by default: what it says of a frame does not depend on later ones. With a lookahead, the first frame's tracks
    depend on the k frames after it (see :func:`~scalor_pyro.inference.posterior.infer`), and those of frame t on no
    frame after max(k, t).

    :param scalor: a trained model for frames of the size that comes.
    :param geometry: from these frames to those of the file.
    :param spread: also compute the standard deviations of boxes.
    :param light_step: how much the background image may change per frame, of the range from black to white; 0: never.
    :param pictured: how many of the first frames to keep in :attr:`pictured`.
    :param lookahead: k, frames after the first that are seen before it; at most those of the first chunk. None: all of
        that chunk.
    :param evidence: see :func:`~scalor_pyro.inference.posterior.infer`.
    :param differences: for a model that sees differences from the scene; None: it sees frames as they are.
    :param embedder: says what objects look like; None: z_what does.
    :param boxes: those of masks, or of glimpses.
    :param levels: of the file, that are 0 and 255 in these frames, see :attr:`~scalor_pyro.video.Video.levels`.
    :raises ValueError: for a negative lookahead.
    """

    def __init__(
        self,
        scalor: Scalor,
        geometry: Geometry,
        spread: bool = True,
        light_step: float = LIGHT_STEP,
        pictured: int = 0,
        lookahead: int | None = 0,
        evidence: Worth | Literal["auto"] | None = None,
        differences: Differences | None = None,
        embedder: Embedder | None = None,
        boxes: BoxesOf = "glimpse",
        levels: tuple[float, float] | None = None,
    ) -> None:
        require_lookahead(lookahead)
        self.boxes, self.levels = boxes, levels or (0.0, 255.0)
        self.differences, self.embedder = differences, embedder
        self.scalor, self.geometry, self.spread, self.light_step = scalor, geometry, spread, light_step
        self.lookahead, self._acceptance = lookahead, weigher_for(scalor, evidence, differences is not None)
        self._free_times = 1  # as many free slots as FREE_SLOTS and FREE_SHARE say
        self.carried: Carried | None = None
        #: Looks at what is found, and says what is wrong.
        self.watch: TrackWatch | None = None
        self.last_number = -1
        #: The first frames, as many as were asked for and have been tracked.
        self.pictured: Pictured | None = None
        #: How many frames are still to be kept there.
        self.to_picture = pictured

    @property
    def within(self) -> float | None:
        """The variance of what one object looks like, see :func:`~scalor_pyro.tracks.linking.link`."""
        return None if self.embedder is None else WITHIN

    @torch.inference_mode()
    def advance(self, chunk: Chunk) -> Tracked:
        """Go on with the frames that follow those of the last call.

        The latents that it returns are inference tensors: clone those that you differentiate through.

        :raises ConfigError: if the weights lead to numbers that are not finite.
        """
        with default_dtype_of(self.scalor):
            return self._advance(chunk)

    def _advance(self, chunk: Chunk) -> Tracked:
        whole = frames_for(self.scalor, chunk)
        frames = whole if self.differences is None else self.differences.to_model(whole)
        first = self.carried is None
        before = seen_before(self.scalor, frames, self.lookahead, self._acceptance) if first else self.carried
        trace, before = self._follow(frames, before)
        latents = frames_of(trace)
        self.carried = latents[-1].carried
        foreground = float(torch.stack([frame.canvas.alpha.mean() for frame in latents]).mean())
        if not math.isfinite(foreground):
            raise ConfigError("weights: expected those of a training that went well, got some that lead to NaN.")
        if first:
            latents = [begun(latents[0]), *latents[1:]]
        if self.to_picture:
            self._picture(
                chunk.numbers,
                whole,
                [with_background(self.scalor, trace, t, latents[t]) for t in range(min(self.to_picture, len(latents)))],
            )
        self._follow_the_light(frames[0], torch.cat([frame.canvas.alpha for frame in latents]))
        spread = box_spread(self.scalor, trace, DRAWS, before=before and before.slots).box if self.spread else None
        history = slots_of(latents)
        (found,) = tracks_of(history, self.scalor.config.image_size, spread)
        objects, kept = [frame.slots.objects for frame in latents], reported(history)
        alpha = torch.stack([each.glimpse[:, :, -1] for each in objects], 1).cpu().float()[kept].numpy()
        black, white = self.levels
        owner = owners(together(latents))
        level = black + (white - black) / 255 * intensities(owner.cpu().numpy(), chunk.frames, found)
        again = np.diff(chunk.numbers, prepend=self.last_number) == 0  # frames that were read twice
        once = ~again[found.frame]
        threshold = self.scalor.config.presence_threshold
        later = [frame for frame in latents if frame.propagated is not None]
        placed = self._in_the_file(found.rows(once), chunk.numbers)
        tracks = with_shapes(placed, alpha[once], level[once], self.boxes == "mask")
        if self.embedder is None:
            appearance = torch.stack([each.what for each in objects], 1).cpu().float()[kept].numpy()[once]
        else:
            fitted = tracks if self.boxes == "mask" else with_shapes(placed, alpha[once], level[once], True)
            rows = replace(self._as_read(fitted), frame=found.frame[once])
            appearance = self.embedder.advance(whole[0], owner, rows)
        tracked = Tracked(
            chunk.numbers,
            tracks,
            latents,
            sum(int(frame.propagated.number(threshold)) for frame in later if frame.propagated is not None),
            sum(int(frame.discovered.number(threshold)) for frame in later),
            foreground,
            appearance,
        )
        if self.watch is not None:
            self.watch.add(chunk, frames[0], tracked)
        return tracked

    def _follow(self, frames: Tensor, before: Carried | None) -> tuple[poutine.Trace, Carried | None]:
        """The guide over a chunk, and what it went on from.

        Most of its work grows with the number of slots, so it begins with hardly more of them than there are objects.
        Where these are taken, the chunk is followed again with all, and later ones begin with more.
        """
        if before is None:
            return follow(self.scalor, frames, None, self._acceptance), None
        most = self.scalor.config.slots
        there = int(before.slots.alive.sum())
        few = there + self._free_times * (FREE_SLOTS + math.ceil(FREE_SHARE * there))
        if few < most:
            acceptance, fewer = copy(self._acceptance), before.in_slots(few)  # it has a state, which a second try needs
            trace = follow(self.scalor, frames, fewer, acceptance)
            if all(int(frame.slots.alive.sum()) < few for frame in frames_of(trace)):
                self._acceptance = acceptance
                return trace, fewer
            self._free_times *= 2
        before = before.in_slots(most)
        return follow(self.scalor, frames, before, self._acceptance), before

    def _picture(self, numbers: NDArray[np.int64], frames: Tensor, latents: list[FrameLatents]) -> None:
        """Keep the frames of these latents, which are the first of the chunk."""
        n = len(latents)
        seen = collect(latents, self.scalor.config.presence_threshold)
        if self.differences is not None:
            seen = self.differences.shown(seen)
        more = Pictured(numbers[:n], frames[:, :n].cpu(), seen)
        self.pictured = more if self.pictured is None else self.pictured.and_then(more)
        self.to_picture -= n

    def _follow_the_light(self, frames: Tensor, alpha: Tensor) -> None:
        """Move the background image one step per frame towards the frames, so that it stays near their recent median.

        Differs: in the paper, a background consists of latents alone. Over hours, the light changes by more than they
        can express.

        :param frames: (n, C, H, W)
        :param alpha: (n, 1, H, W) of the objects, which must not become part of the background image.
        """
        if self.scalor.background_image is not None and self.light_step > 0:
            steps = ((frames - self.scalor.background_image).sign() * (1 - alpha)).sum(0)
            self.scalor.set_background_image((self.scalor.background_image + self.light_step * steps)[None].clamp(0, 1))

    def _in_the_file(self, found: Tracks, numbers: NDArray[np.int64]) -> Tracks:
        """In px and frames of the file."""
        self.last_number = int(numbers[-1])
        x, y = self.geometry.to_source(found.x, found.y)
        width, height = self.geometry.lengths_to_source(found.width, found.height)
        x_sd, y_sd = self.geometry.lengths_to_source(found.x_sd, found.y_sd)
        width_sd, height_sd = self.geometry.lengths_to_source(found.width_sd, found.height_sd)
        frame, presence, depth = numbers[found.frame], found.presence, found.depth
        return Tracks(frame, found.identity, x, y, width, height, presence, depth, x_sd, y_sd, width_sd, height_sd)

    def _as_read(self, tracks: Tracks) -> Tracks:
        """In px of the frames as they were read."""
        x, y = self.geometry.from_source(tracks.x, tracks.y)
        vertical, horizontal = self.geometry.scale
        return replace(tracks, x=x, y=y, width=tracks.width / horizontal, height=tracks.height / vertical)


def track_chunks(
    run: TrainedRun, video: VideoLike, options: Options | None = None, chunk: int = CHUNK
) -> Iterator[Tracked]:
    """Track a video, one chunk after the other, with memory for one chunk.

    :param run: see :func:`load_for_tracking`.
    :param video: a file, a folder of images, or an array.
    :param chunk: frames in each.
    :raises ValueError: see :func:`tracker_of`.
    """
    tracker, reader = tracker_of(run, video, options)
    for frames in reader.chunks(chunk_of(tracker, chunk)):
        yield tracker.advance(frames)


def chunk_of(tracker: Tracker, chunk: int = CHUNK) -> int:
    """Frames in a chunk: the first one holds all frames of the lookahead."""
    return max(chunk, 1 + (tracker.lookahead or 0))


def load_for_tracking(run: str | Path, device: torch.device | str = "cpu") -> TrainedRun:
    """Load a run in single precision without moving the random state, see :func:`~scalor_pyro.inference.trained.load`.

    :raises CheckpointError: if there is no such run, or the networks have changed since.
    """
    with torch.random.fork_rng(devices=[]), default_dtype(torch.float32):
        return load(run, device)


def tracker_of(
    run: TrainedRun, video: VideoLike, options: Options | None = None, pictured: int = 0
) -> tuple[Tracker, Video]:
    """A tracker for a video, and the video as it has to be read.

    :param pictured: see :class:`Tracker`.
    :raises ValueError: see :func:`~scalor_pyro.tracks.opening.opened`.
    """
    options = options or Options()
    reader, scalor, differences = opened(run, video, options)
    step = options.light_step
    tracker = Tracker(
        scalor,
        reader.geometry,
        light_step=step if differences is None else differences.light_step(step),
        pictured=pictured,
        lookahead=options.lookahead,
        evidence=options.evidence(scalor, differences is not None),
        differences=differences,
        embedder=None if differences is None else Embedder(differences),
        boxes=boxes_for(run, options),
        levels=reader.levels,
    )
    tracker.watch = TrackWatch(reader, scalor)
    return tracker, reader
