"""How certain tracks are: the guide is sampled, and each sample compared with the tracks of its mode.

The mode is the most likely result (:mod:`scalor_pyro.inference.posterior`). The samples add how often an object is
present at all, how much its box varies, and whether its identity stays with one object. If training has made the guide
overconfident, these figures are overconfident too.
"""

from dataclasses import dataclass

import numpy as np
import pyro
import torch
from motmetrics.lap import linear_sum_assignment
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.evaluation.metrics import STRICT_SIZES
from scalor_pyro.inference.objects import REPORTED_PRESENCE, boxes
from scalor_pyro.inference.posterior import after_first_looks, infer, with_first_looks
from scalor_pyro.model.frame import FrameLatents
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.table import Tracks, tracks_of

# A spread needs this many samples.
FEWEST_FOR_SPREAD = 2


@dataclass(frozen=True, eq=False)
class TrackUncertainty:
    """The tracks of one video with how sure they are; all arrays have length R, parallel to the tracks.

    :param tracks: of the guide's mode, R rows of (frame, identity, box).
    :param samples: N, how many samples of the guide it is made from.
    :param there: share of the samples in which an object is there, in this frame, within half an object's size.
    :param spread_x: px, standard deviation of the centre over those samples; NaN where fewer than two have it.
    :param spread_y: px.
    :param spread_width: px, of the box.
    :param spread_height: px, of the box.
    :param one_thing: share of the samples in which a single object follows this identity from its first to its last
        frame; the same in all rows of an identity.
    """

    tracks: Tracks
    samples: int
    there: NDArray[np.float64]
    spread_x: NDArray[np.float64]
    spread_y: NDArray[np.float64]
    spread_width: NDArray[np.float64]
    spread_height: NDArray[np.float64]
    one_thing: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sampled:
    """The objects of one video in one sample of the guide, S rows."""

    frame: NDArray[np.int64]  # (S,)
    identity: NDArray[np.int64]  # (S,)
    box: NDArray[np.float64]  # (S, 4) centre x, centre y, width, height in px


class Comparison:
    """Compares the tracks of one video with sample after sample; holds sums only.

    :param tracks: of the mode.
    :param reach: px, how far the centre of the same object may be.
    """

    def __init__(self, tracks: Tracks, reach: float) -> None:
        self.tracks, self.reach = tracks, reach
        self._box = tracks.box
        self._samples = 0
        self._there = np.zeros(len(tracks))
        self._sum, self._squares = np.zeros((2, len(tracks), 4))  # of deviations from the mode's boxes
        self._one_thing = np.zeros(len(tracks))

    def add(self, sampled: Sampled) -> None:
        """Count one sample."""
        self._samples += 1
        match = self._match(sampled)
        has = match >= 0
        deviation = sampled.box[match[has]] - self._box[has]
        self._there += has
        self._sum[has] += deviation
        self._squares[has] += deviation**2
        followed_by = np.full(len(self.tracks), -1)
        followed_by[has] = sampled.identity[match[has]]
        for identity in np.unique(self.tracks.identity):
            rows = self.tracks.identity == identity
            first = followed_by[rows][0]
            self._one_thing[rows] += first >= 0 and bool((followed_by[rows] == first).all())

    def _match(self, sampled: Sampled) -> NDArray[np.int64]:
        """For each row of the tracks, the row of the sample that is the same object; -1 where there is none. (R,)

        One to one in each frame: as many as can be, rather those that were matched before, rather near ones.
        """
        match = np.full(len(self.tracks), -1)
        last: dict[int, int] = {}  # by which sampled identity each identity was followed
        for t in np.unique(self.tracks.frame):
            mine, theirs = np.flatnonzero(self.tracks.frame == t), np.flatnonzero(sampled.frame == t)
            distance = np.hypot(*(self._box[mine, None, :2] - sampled.box[None, theirs, :2]).transpose(2, 0, 1))
            before = np.array([last.get(identity, -1) for identity in self.tracks.identity[mine]])
            goes_on = before[:, None] == sampled.identity[theirs]
            cost = np.where(distance <= self.reach, distance - self.reach * len(mine) * goes_on, np.nan)
            rows, columns = linear_sum_assignment(cost)
            match[mine[rows]] = theirs[columns]
            last.update(zip(self.tracks.identity[mine[rows]], sampled.identity[theirs[columns]], strict=True))
        return match

    def result(self) -> TrackUncertainty:
        """What all samples so far say."""
        there = self._there[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = (self._squares - self._sum**2 / there) / (there - 1)
        x, y, width, height = np.sqrt(np.where(there >= FEWEST_FOR_SPREAD, variance.clip(min=0), np.nan)).T
        one_thing = self._one_thing / self._samples
        return TrackUncertainty(self.tracks, self._samples, self._there / self._samples, x, y, width, height, one_thing)


@torch.no_grad()
def uncertainty(scalor: Scalor, x: Tensor, samples: int = 100) -> list[TrackUncertainty]:
    """How sure the guide is of the tracks of a batch of videos; memory does not grow with the samples.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :param samples: N, how often the guide is sampled.
    :return: B results.
    :raises ValueError: if x is not a batch of videos that this model can see, or samples is below 1.
    """
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}.")
    config = scalor.config
    comparisons = [
        Comparison(tracks, STRICT_SIZES * config.object_size)
        for tracks in tracks_of(infer(scalor, x), config.image_size)
    ]
    for _ in range(samples):
        with pyro.validation_enabled(False):
            latents = after_first_looks(scalor, scalor.guide(with_first_looks(scalor, x)))
        for comparison, sampled in zip(comparisons, _objects(latents, config.image_size), strict=True):
            comparison.add(sampled)
    return [comparison.result() for comparison in comparisons]


def _objects(latents: list[FrameLatents], image_size: tuple[int, int]) -> list[Sampled]:
    """The objects of each video of a batch in one sample, those whose centre has just left the view among them."""
    all_slots = [frame.slots for frame in latents]
    there = (
        torch.stack([slots.objects.presence > REPORTED_PRESENCE for slots in all_slots], 1).cpu().numpy()
    )  # (B, T, K)
    identity = torch.stack([slots.identity for slots in all_slots], 1).cpu().numpy()
    box = boxes(torch.stack([slots.objects.where for slots in all_slots], 1), image_size)
    return [Sampled(np.nonzero(kept)[0], identity[b][kept], box[b][kept]) for b, kept in enumerate(there)]
