"""Cuts: where the appearance of a track changes for good, because it went over from one object to another.

A cut needs more than a change. Appearance drifts in every track, so what is seen just before and just after is compared
by how much it differs in this video as a rule. Where no other object is near, that a track goes over is almost
impossible, and the log-ratio of "one object" to "two" has to outweigh these odds. Where one is near, it decides alone:
a cut that was wrong is linked again, but one that is missing mixes two objects.
"""

from collections.abc import Iterator

import numpy as np

from scalor_pyro.tracks.linking import appearance as of_appearance
from scalor_pyro.tracks.linking.appearance import TwoCovariances, pooled
from scalor_pyro.tracks.linking.pieces import WELL_KNOWN, Counts, Flags, Numbers, in_order_of_beginning
from scalor_pyro.tracks.table import Tracks

# Share of tracks that are taken to need no cut, when the variance within tracks is measured to find cuts.
UNCUT = 0.75
# Frames on either side of a cut in which the object is wholly in view: the fewest that allow a cut, and the most that
# are compared.
LEAST_AROUND, MOST_AROUND = 5, 15
# Factors of the variance within, and their probabilities: what is seen at once varies less than what is seen again.
FACTORS = ((1.0, 0.9), (4.0, 0.1))
# Odds, in a frame, that a track goes over to another object: with another one within reach, and without.
GOES_OVER, GOES_OVER_ALONE = 1.0, 1e-4
# Another object is within reach if their boxes overlap within a few frames of the cut: the factor by which boxes are
# enlarged first, and the frames before and after.
REACH, AROUND = 1.2, 5
# Weight of the expected variance within an object, beside the measured one: in tracks.
WORTH = 1.0
# Median of a squared standard normal variable.
MEDIAN = 0.455


def cut(tracks: Tracks, appearance: Numbers, whole: Flags, groups: list[Counts], model: TwoCovariances) -> list[Counts]:
    """Groups of rows, cut where their appearance changes for good.

    :param appearance: (R, D)
    :param whole: (R,) where an object is wholly in view.
    :param model: of appearances, in which few tracks need a cut.
    """
    along = model.along_axes(appearance)
    clear = [rows[whole[rows]] for rows in groups]
    model, along = _with_drift(model, along, clear)
    needed = np.log(np.where(_others_near(tracks), GOES_OVER, GOES_OVER_ALONE))
    parts = [part for rows in groups for part in _parts(tracks, rows, along, whole, needed, model)]
    return in_order_of_beginning(tracks, parts)


def _parts(
    tracks: Tracks, rows: Counts, along: Numbers, whole: Flags, needed: Numbers, model: TwoCovariances
) -> Iterator[Counts]:
    clear = rows[whole[rows]]
    at = _change(along[clear], _around(tracks.frame[clear], needed[clear]), model)
    if at is None:
        yield rows
    else:
        middle = int(np.searchsorted(tracks.frame[rows], tracks.frame[clear[at]]))
        yield from _parts(tracks, rows[:middle], along, whole, needed, model)
        yield from _parts(tracks, rows[middle:], along, whole, needed, model)


def _change(along: Numbers, needed: Numbers, model: TwoCovariances) -> int | None:
    """Where a track most likely goes over to another object, if it does: the first frame of that one.

    :param along: (n, d) appearances in the frames wholly in view, along the axes.
    :param needed: (n,) log-odds of that in each frame.
    """
    at, before, after = _both_sides(along)
    if not len(at):
        return None
    seen = np.full(len(at), WELL_KNOWN)
    ratio = of_appearance.log_ratio(pooled(before, seen, model), pooled(after, seen, model), model.between, FACTORS)
    ratio = ratio - needed[at]
    return int(at[np.argmin(ratio)]) if ratio.min() < 0 else None


def _both_sides(along: Numbers) -> tuple[Counts, Numbers, Numbers]:
    """Places for a cut, and the mean appearances before and after each."""
    at = np.arange(LEAST_AROUND, len(along) - LEAST_AROUND + 1)
    sums = np.concatenate([np.zeros((1, along.shape[1])), along.cumsum(axis=0)])
    start, stop = np.maximum(at - MOST_AROUND, 0), np.minimum(at + MOST_AROUND, len(along))
    return at, (sums[at] - sums[start]) / (at - start)[:, None], (sums[stop] - sums[at]) / (stop - at)[:, None]


def _with_drift(model: TwoCovariances, along: Numbers, clear: list[Counts]) -> tuple[TwoCovariances, Numbers]:
    """The model with the variance within that most tracks show in as short a time; and appearances along its axes."""
    apart = [np.subtract(*_both_sides(along[rows])[1:]) for rows in clear]
    measured = sum(1 for each in apart if len(each))
    if not measured:
        return model, along
    shown = np.median(np.concatenate(apart) ** 2, axis=0) / (2 * MEDIAN)
    share = (measured * shown + WORTH) / (measured + WORTH)
    return model._replace(between=model.between / share), along / np.sqrt(share)


def _around(frame: Counts, values: Numbers) -> Numbers:
    """The largest value in the frames around each. (n,)"""
    start, stop = np.searchsorted(frame, frame - AROUND), np.searchsorted(frame, frame + AROUND, "right")
    return np.array([values[one:other].max() for one, other in zip(start, stop, strict=True)])


def _others_near(tracks: Tracks) -> Flags:
    """In which rows another object is within reach. (R,)"""
    near = np.zeros(len(tracks), np.bool_)
    order = np.argsort(tracks.frame, kind="stable")
    for rows in np.split(order, np.nonzero(np.diff(tracks.frame[order]))[0] + 1):
        sides = tracks.width[rows], tracks.height[rows]
        overlap = np.ones((len(rows), len(rows)), np.bool_)
        for centre, side in zip((tracks.x[rows], tracks.y[rows]), sides, strict=True):
            overlap &= 2 * abs(centre[:, None] - centre) < REACH * (side[:, None] + side)
        near[rows] = overlap.sum(axis=1) > 1
    return near
