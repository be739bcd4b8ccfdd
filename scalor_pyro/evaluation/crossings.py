"""Identities through crossings: do two objects that meet and part again both keep their identities?

A crossing of two true objects begins with the last frame in which their centres are at least a size apart, and ends
with the next one in which they are again; in between, they come nearer than half a size. In both frames, true and
reported objects are matched by the least total distance of centres, within half a size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.data.truth import GroundTruth
from scalor_pyro.evaluation.matching import Pairs, found_in, ratio
from scalor_pyro.tracks.table import Tracks

# Distances of centres, sizes: nearer is a meeting, and from APART on objects are apart.
MET, APART = 0.5, 1.0
# Within so many sizes a reported object may be a true one.
NEAR = 0.5
# Objects with less of their ink inside the view are not looked for.
IN_VIEW = 0.5


class Crossing(NamedTuple):
    """Two objects that meet once."""

    pair: tuple[int, int]  # identities
    before: int  # last frame in which they are apart
    after: int  # next one in which they are


@dataclass(frozen=True)
class CrossingScores:
    """Scores of crossings; shares are in [0, 1], NaN: nothing to count.

    :param crossings: how many there are.
    :param followed: of them, the share in which both objects were found just before.
    :param kept: of those followed, the share in which both are found just after with the same identities.
    :param swapped: of those followed, the share in which one of them has the other's identity just after.
    """

    crossings: int
    followed: float
    kept: float
    swapped: float


class CrossingScorer:
    """Scores video after video; holds counts only."""

    def __init__(self) -> None:
        self._crossings, self._followed, self._kept, self._swapped = 0, 0, 0, 0

    def add(self, tracks: Tracks, truth: GroundTruth) -> None:
        """Count the crossings of a video."""
        for pair, before, after in crossings(truth):
            known, later = (_matched(frame, tracks, truth) for frame in (before, after))
            self._crossings += 1
            if not all(each in known for each in pair):
                continue
            names, new = [known[each] for each in pair], [later.get(each) for each in pair]
            self._followed += 1
            self._kept += new == names
            self._swapped += names[0] == new[1] or names[1] == new[0]

    def total(self) -> CrossingScores:
        """The scores of all videos added so far."""
        return CrossingScores(
            crossings=self._crossings,
            followed=ratio(self._followed, self._crossings),
            kept=ratio(self._kept, self._followed),
            swapped=ratio(self._swapped, self._followed),
        )


def crossings(truth: GroundTruth) -> Iterator[Crossing]:
    """All crossings of a video, pair by pair, of objects that are in view before and after."""
    paths = {identity: _path(truth, identity) for identity in np.unique(truth.identity).tolist()}
    size = float(np.median(truth.size)) if len(truth.size) else 1.0
    for pair in combinations(paths, 2):
        (one, one_seen), (other, other_seen) = paths[pair[0]], paths[pair[1]]
        distance = np.linalg.norm(one - other, axis=1) / size
        last_apart, met = None, False
        for frame in range(len(distance)):
            if distance[frame] < MET:
                met = True
            elif distance[frame] >= APART:
                seen = bool(one_seen[frame] and other_seen[frame])
                if met and seen and last_apart is not None:
                    yield Crossing(pair, last_apart, frame)
                last_apart, met = (frame if seen else None), False


def _path(truth: GroundTruth, identity: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The centres of an object, NaN where it does not exist, and whether it is in view. (T, 2), (T,)"""
    count, rows = int(truth.frame.max()) + 1, np.flatnonzero(truth.identity == identity)
    path, seen = np.full((count, 2), np.nan), np.zeros(count, np.bool_)
    path[truth.frame[rows]] = np.stack([truth.x, truth.y], 1)[rows]
    seen[truth.frame[rows]] = truth.share[rows] >= IN_VIEW
    return path, seen


def _matched(frame: int, tracks: Tracks, truth: GroundTruth) -> dict[int, int]:
    """The reported identity of each true object that is found in a frame."""
    here = np.flatnonzero(tracks.frame == frame)
    there = np.flatnonzero((truth.frame == frame) & (truth.share > 0))
    apart = np.stack([truth.x, truth.y], 1)[there, None] - np.stack([tracks.x, tracks.y], 1)[None, here]
    distance = np.linalg.norm(apart, axis=-1) / truth.size[there, None]
    near = np.where(distance <= NEAR, distance, np.nan)
    return found_in(Pairs(truth.identity[there], tracks.identity[here], near))
