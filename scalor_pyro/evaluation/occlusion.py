"""Identities through occlusion: does an object that others hid have its identity again when it is seen again?

An occlusion of a true object begins with the last frame in which it is seen well and ends with the next one in which it
is seen well again; in between, hardly anything of it is visible. In both frames true and reported objects are matched
by the least total distance of centres, within half a size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.data.public import BoxTruth
from scalor_pyro.evaluation.matching import Pairs, found_in, ratio
from scalor_pyro.evaluation.mot_challenge import Matching
from scalor_pyro.tracks.table import Tracks

# Share of an object's ink that no other object hides: less is hidden, and from SEEN on it is seen well.
HIDDEN, SEEN = 0.25, 0.75
NEAR = Matching("sizes", 0.5)


class Occlusion(NamedTuple):
    """One object, hidden once."""

    identity: int
    before: int  # last frame in which it is seen well
    after: int  # next one in which it is


@dataclass(frozen=True)
class OcclusionScores:
    """Scores of occlusions; shares are in [0, 1], NaN: nothing to count.

    :param occlusions: how many there are.
    :param frames: their mean length, from the last frame before to the first after.
    :param followed: of them, the share in which the object was found just before.
    :param found: of those followed, the share in which it is found just after.
    :param kept: of those followed, the share in which it is found just after with the same identity.
    """

    occlusions: int
    frames: float
    followed: float
    found: float
    kept: float


class OcclusionScorer:
    """Scores video after video; holds counts only."""

    def __init__(self) -> None:
        self._occlusions, self._frames, self._followed, self._found, self._kept = 0, 0, 0, 0, 0

    def add(self, tracks: Tracks, truth: BoxTruth) -> None:
        """Count the occlusions of a video."""
        matched: dict[int, dict[int, int]] = {}
        for each in occlusions(truth):
            for frame in (each.before, each.after):
                if frame not in matched:
                    matched[frame] = matched_in(frame, tracks, truth)
            before, after = (matched[frame].get(each.identity) for frame in (each.before, each.after))
            self._occlusions += 1
            self._frames += each.after - each.before
            self._followed += before is not None
            self._found += before is not None and after is not None
            self._kept += before is not None and before == after

    def total(self) -> OcclusionScores:
        """The scores of all videos added so far."""
        return OcclusionScores(
            occlusions=self._occlusions,
            frames=ratio(self._frames, self._occlusions),
            followed=ratio(self._followed, self._occlusions),
            found=ratio(self._found, self._followed),
            kept=ratio(self._kept, self._followed),
        )


def occlusions(truth: BoxTruth) -> Iterator[Occlusion]:
    """All occlusions of a video, object by object. An object that never comes to light again has none."""
    for identity in np.unique(truth.identity).tolist():
        rows = np.flatnonzero(truth.identity == identity)
        rows = rows[np.argsort(truth.frame[rows])]
        seen_last, hidden = None, False
        for frame, visible in zip(truth.frame[rows].tolist(), truth.visible[rows], strict=True):
            if visible < HIDDEN:
                hidden = True
            elif visible >= SEEN:
                if hidden and seen_last is not None:
                    yield Occlusion(identity, seen_last, frame)
                seen_last, hidden = frame, False


def matched_in(frame: int, tracks: Tracks, truth: BoxTruth) -> dict[int, int]:
    """The reported identity of each true object that is found in a frame."""
    here, there = np.flatnonzero(tracks.frame == frame), np.flatnonzero(truth.frame == frame)
    true: NDArray[np.float64] = np.stack([truth.x, truth.y, truth.width, truth.height], 1)[there]
    costs = NEAR.costs(true, tracks.box[here])
    distance = np.where(NEAR.allowed(costs), costs, np.nan)
    return found_in(Pairs(truth.identity[there], tracks.identity[here], distance))
