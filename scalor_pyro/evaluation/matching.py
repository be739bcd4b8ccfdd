"""Matching: which reported object is which true one, counted by motmetrics over the frames of a video.

The distances, and which pairs may match, come from :mod:`scalor_pyro.evaluation.metrics` (distance of centres from a
synthetic truth) and :mod:`scalor_pyro.evaluation.mot_challenge` (also the overlap of boxes, with a truth from a file).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import motmetrics
import numpy as np
import pandas as pd
from motmetrics.lap import linear_sum_assignment
from numpy.typing import NDArray

# motmetrics' definitions; building them takes as long as scoring a short video.
_HOST = motmetrics.metrics.create()

# Every score is made from these counts.
COUNTS = ("num_objects", "num_predictions", "num_detections", "num_switches", "num_misses", "num_false_positives")


class Pairs(NamedTuple):
    """The objects of one frame."""

    true: NDArray[np.int64]  # (N,) identities
    reported: NDArray[np.int64]  # (P,) identities
    distance: NDArray[np.float64]  # (N, P), NaN where they may not be matched


def found_in(frame: Pairs) -> dict[int, int]:
    """The reported identity of each true object that is found, by the least total distance in this frame alone."""
    rows, columns = linear_sum_assignment(frame.distance)
    return dict(zip(frame.true[rows].tolist(), frame.reported[columns].tolist(), strict=True))


def rows_by_frame(
    frame: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> dict[int, NDArray[np.int64]]:
    """The rows of each frame, in order of place.

    Where distances tie, results then depend neither on the order of rows nor on the numbers of identities.
    """
    order = np.lexsort((y, x, frame))
    frames, starts = np.unique(frame[order], return_index=True)
    return dict(zip(frames.tolist(), np.split(order, starts[1:]), strict=True)) if len(frame) else {}


def count(frames: Sequence[Pairs], names: Sequence[str]) -> tuple[dict[str, int], float]:
    """The counts of one video by motmetrics, and the sum of matched distances.

    motmetrics keeps identities as float64, which cannot tell apart all those above 2**53: they are renumbered.

    :param frames: in order of time.
    :param names: of motmetrics' counts.
    """
    return summed(events_of(frames), names)


def events_of(frames: Sequence[Pairs]) -> pd.DataFrame:
    """motmetrics' events: a row for each match, switch, miss and false positive (and raw ones, which count nothing).

    :param frames: in order of time; at each of them, motmetrics keeps earlier matches where they are still allowed.
    """
    true, _ = numbered([frame.true for frame in frames])
    reported, _ = numbered([frame.reported for frame in frames])
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for here, there, frame in zip(true, reported, frames, strict=True):
        accumulator.update(here, there, frame.distance)
    events: pd.DataFrame = accumulator.events
    return events


def summed(events: pd.DataFrame, names: Sequence[str]) -> tuple[dict[str, int], float]:
    """Counts by motmetrics, and the sum of matched distances.

    :param events: see :func:`events_of`.
    :param names: of motmetrics' counts.
    """
    if events.empty:
        return dict.fromkeys(names, 0), 0.0
    counts = _HOST.compute(events, metrics=list(names), return_dataframe=False)
    matched = events["Type"].isin(("MATCH", "SWITCH"))
    return {name: int(counts[name]) for name in names}, float(events["D"][matched].sum())


def numbered(identities: Sequence[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], int]:
    """Identities of each frame as numbers from 0 without gaps, in the order of their first appearance, and how many.

    The numbers depend on who appears where, not on what the identities are.
    """
    if not identities:
        return [], 0
    known, first, number = np.unique(np.concatenate(identities), return_index=True, return_inverse=True)
    rank = np.empty(len(known), np.int64)
    rank[np.argsort(first)] = np.arange(len(known))
    return np.split(rank[number], np.cumsum([len(each) for each in identities])[:-1]), len(known)


def ratio(part: float, whole: float) -> float:
    """A share; NaN of nothing."""
    return part / whole if whole else math.nan


def mota(counts: Mapping[str, int]) -> float:
    """1 - (misses + false alarms + switches) / objects, of sums of counts; NaN where there is no object."""
    wrong = counts["num_misses"] + counts["num_false_positives"] + counts["num_switches"]
    return 1 - ratio(wrong, counts["num_objects"])


def idf1(counts: Mapping[str, int]) -> float:
    """The F1 score of identities, of sums of counts, `idtp` among them."""
    return ratio(2 * counts["idtp"], counts["num_objects"] + counts["num_predictions"])


def precision(counts: Mapping[str, int]) -> float:
    """Matched / reported objects, of sums of counts."""
    return ratio(counts["num_detections"], counts["num_predictions"])


def recall(counts: Mapping[str, int]) -> float:
    """Matched / true objects, of sums of counts."""
    return ratio(counts["num_detections"], counts["num_objects"])
