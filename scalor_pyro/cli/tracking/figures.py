"""Figures of a video while it is tracked, and in words at its end."""

import math
import time
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ModelConfig
from scalor_pyro.evaluation.tables import ordinal
from scalor_pyro.tracks.finishing import Finished
from scalor_pyro.tracks.side_by_side import LEAST_FRAMES, Arrived
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.tracker import Tracked
from scalor_pyro.video import Video


class Seen:
    """Figures of a video so far; memory: one number for each track.

    :param keep: keep all tracks, too.
    :param appearance: of these, what objects look like.
    """

    def __init__(self, keep: bool = False, appearance: bool = True) -> None:
        self._keep, self._appearance = keep, appearance
        self._parts: list[tuple[Tracks, NDArray[np.float32]]] = []
        self.first_frame = self.last_frame = -1
        self.unlinked: int | None = None  # tracks before they were linked
        self.frames = self.reported = self.propagated = self.discovered = 0
        self.foreground = 0.0  # summed over frames
        self.lengths: Counter[int] = Counter()  # frames in which each identity was reported
        self.seconds, self._started = 0.0, time.perf_counter()

    def add(self, found: Tracked | Arrived) -> None:
        """Count a chunk."""
        self.first_frame = int(found.numbers[0]) if self.first_frame < 0 else self.first_frame
        self.last_frame = int(found.numbers[-1])
        self.frames += len(found.numbers)
        self.reported += len(found.tracks)
        self.propagated += found.propagated
        self.discovered += found.discovered
        self.foreground += found.foreground * len(found.numbers)
        self.lengths.update(found.tracks.identity.tolist())
        if self._keep and len(found.tracks):
            self._parts.append((found.tracks, found.appearance if self._appearance else found.appearance[:, :0]))
        self.seconds = time.perf_counter() - self._started

    def everything(self) -> tuple[Tracks, NDArray[np.float32]]:
        """All tracks that were kept, and their appearances."""
        tracks, appearances = [part[0] for part in self._parts], [part[1] for part in self._parts]
        return concatenate(tracks), np.concatenate(appearances) if appearances else np.zeros((0, 0), np.float32)

    def tracks(self) -> Tracks:
        """All tracks that were kept."""
        return concatenate([part[0] for part in self._parts])

    def count_finished(self, finished: Finished) -> None:
        """From now on, the figures are those of the finished tracks."""
        self._parts, self.unlinked = [], len(self.lengths)
        self.reported, self.lengths = len(finished.tracks), Counter(finished.tracks.identity.tolist())
        self.seconds = time.perf_counter() - self._started

    @property
    def objects_per_frame(self) -> float:
        """Reported objects, mean over frames."""
        return self.reported / self.frames

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return {
            "frames": self.frames,
            "first_frame": self.first_frame,
            "last_frame": self.last_frame,
            "seconds": self.seconds,
            "frames_per_second": self.frames / self.seconds,
            "objects_per_frame": self.objects_per_frame,
            "tracks": len(self.lengths),
            "tracks_before_linking": len(self.lengths) if self.unlinked is None else self.unlinked,
            "median_track_frames": float(np.median(list(self.lengths.values()))) if self.lengths else 0.0,
            "foreground_share": self.foreground / self.frames,
            "propagation_rate": self.propagated / max(1, self.propagated + self.discovered),
        }

    def rows(self) -> list[tuple[str, str]]:
        """The figures in words."""
        of = self.figures()
        linked = "" if self.unlinked in (None, len(self.lengths)) else f", from {self.unlinked} tracks"
        return [
            ("frames", f"{of['frames']:.0f}, {of['frames_per_second']:.1f} per second"),
            ("objects", f"{of['objects_per_frame']:.1f} per frame"),
            ("identities", f"{of['tracks']:.0f}{linked}; the median track has {of['median_track_frames']:.0f} frames"),
            (
                "propagated",
                f"{of['propagation_rate']:.3f} of the objects after the first frame; the rest are new",
            ),
        ]


def box_sides(model: ModelConfig, video: Video) -> tuple[float, float]:
    """The sides of the boxes that a model can draw, of the square with their area: smallest and largest, px of the
    file.

    :param model: for frames of the size in which the video is read.
    """
    (height, width), crop = video.geometry.size, video.geometry.crop
    typical = model.object_size * model.box_margin * math.sqrt(crop.height / height * crop.width / width)
    nearest = math.exp(abs(model.perspective) / 2)
    return typical * (1 - model.size_range) / nearest, typical * (1 + model.size_range) * nearest


def sides_row(sides: tuple[float, float]) -> tuple[str, str]:
    """The sides of :func:`box_sides`, to be printed."""
    return ("boxes", f"with sides of {sides[0]:.1f} to {sides[1]:.1f} px")


def stride_rows(stride: int) -> list[tuple[str, str]]:
    """That some frames have no tracks."""
    return [] if stride == 1 else [("stride", f"every {ordinal(stride)} frame was tracked; --stride 1 tracks all")]


def parts_rows(parts: int, processes: int) -> list[tuple[str, str]]:
    """Into how many parts a video was divided, where several processes were asked for."""
    if processes == 1:
        return []
    fewer = f" (each has at least {LEAST_FRAMES} frames)" if parts < processes else ""
    return [("parts", f"{parts} at the same time{fewer}")]
