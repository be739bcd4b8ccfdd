"""Scores of tracks against a MOTChallenge ground truth: CLEAR MOT and identity scores by motmetrics, HOTA by trackeval.

A report and a true object can be matched where their boxes overlap enough (the benchmark's IoU of at least 0.5), or
where their centres are near enough. Scores of several sequences are ratios of sums over all of them, as in the
benchmark.

A row of the truth whose flag (7th column) is 0 is "don't care": it need not be found, and a report that is matched to
it is dropped before anything is counted. The class (8th column) is not looked at: every other row is an object.
Differs: the benchmark's own scorer drops such reports for four classes of distractors alone.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import numpy as np
from motmetrics.lap import linear_sum_assignment
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.hota import HotaTally, Similar
from scalor_pyro.evaluation.matching import COUNTS, Pairs, count, idf1, mota, precision, ratio, recall, rows_by_frame
from scalor_pyro.tracks.table import Tracks

Boxes = NDArray[np.float64]  # (R, 4): centre x, centre y, width, height in px
Matrix = NDArray[np.float64]  # (N, P), for each true object and each report

# What motmetrics counts in a sequence.
SEQUENCE_COUNTS = (
    *COUNTS,
    "idtp",
    "num_unique_objects",
    "mostly_tracked",
    "partially_tracked",
    "mostly_lost",
    "num_fragmentations",
)

# Boxes that are read from text are off by rounding: what is beyond the threshold by this much still matches.
ROUNDING = 1e-9

# px; a true box without an area is taken to have this size.
SMALLEST_SIZE = 1e-6


@dataclass(frozen=True)
class Matching:
    """When a report can be matched to a true object.

    :param by: the overlap of boxes (intersection over union), the distance of centres in px, or that distance in sizes
        of the true object; a size is the square root of the area of its box.
    :param threshold: the least IoU, or the largest distance.
    :raises ConfigError: for another measure, or a threshold out of its range.
    """

    by: Literal["iou", "distance", "sizes"] = "iou"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.by not in ("iou", "distance", "sizes"):
            raise ConfigError(f"match: expected iou, distance or sizes, got {self.by!r}.")
        if self.by == "iou" and not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold: expected an IoU above 0 and up to 1, got {self.threshold}.")
        if not 0 < self.threshold < np.inf:
            raise ConfigError(f"threshold: expected a distance above 0, got {self.threshold}.")

    def costs(self, true: Boxes, reported: Boxes) -> Matrix:
        """How badly objects of one frame match: 1 - IoU, or the distance in px or sizes. (N, 4), (P, 4) → (N, P)"""
        if self.by == "iou":
            return 1 - iou(true, reported)
        offset = true[:, None, :2] - reported[None, :, :2]
        distance: Matrix = np.hypot(offset[..., 0], offset[..., 1])
        if self.by == "sizes":
            distance /= np.sqrt(true[:, 2:].prod(-1))[:, None].clip(min=SMALLEST_SIZE)
        return distance

    def allowed(self, costs: Matrix) -> NDArray[np.bool_]:
        """Which may be matched."""
        return costs <= (1 - self.threshold if self.by == "iou" else self.threshold) + ROUNDING

    def similarity(self, costs: Matrix) -> Matrix:
        """From 0 to 1, for HOTA: the IoU; of distances, 0.5 at the threshold and 0 from twice the threshold on."""
        return 1 - costs if self.by == "iou" else np.maximum(0, 1 - costs / (2 * self.threshold))


class Frame(NamedTuple):
    """The objects of one frame that count."""

    true: NDArray[np.int64]  # (N,) identities
    reported: NDArray[np.int64]  # (P,) identities
    costs: Matrix  # (N, P)


@dataclass(frozen=True)
class SequenceScores:
    """Scores of a sequence, or of several; shares are in [0, 1], MOTA can be negative, NaN: nothing to count.

    :param mota: 1 - (misses + false alarms + switches) / objects.
    :param idf1: F1 score of identities, under the best assignment of reported to true identities in each sequence.
    :param motp: of matched objects, the mean IoU (more is better), or the mean distance, in px or sizes (less is).
    :param precision: matched / reported objects.
    :param recall: matched / true objects.
    :param switches: how often a true object is matched by another identity than before.
    :param misses: true objects that nothing matches, over all frames.
    :param false_alarms: reported objects that match nothing, over all frames.
    :param fragmentations: how often a true object is lost and found again.
    :param identities: true objects, each counted once.
    :param mostly_tracked: of those, how many are matched in at least 80 % of their frames.
    :param partly_tracked: … in less than that, but at least 20 %.
    :param mostly_lost: … in less than 20 %.
    :param objects: true objects, over all frames.
    :param reports: reported objects, over all frames.
    """

    mota: float
    idf1: float
    motp: float
    precision: float
    recall: float
    switches: int
    misses: int
    false_alarms: int
    fragmentations: int
    identities: int
    mostly_tracked: int
    partly_tracked: int
    mostly_lost: int
    objects: int
    reports: int


class _Counted(NamedTuple):
    counts: Counter[str]
    cost: float  # summed over matches


class Scorer:
    """Scores sequences one by one, and all together.

    :param matching: what may be matched.
    :param hota: HOTA, too.
    :raises ConfigError: where trackeval, which HOTA needs, is not installed.
    """

    def __init__(self, matching: Matching, hota: bool = False) -> None:
        self.matching = matching
        self._hota = HotaTally() if hota else None
        self._counted: dict[str, _Counted] = {}

    def add(self, name: str, tracks: Tracks, truth: Tracks) -> None:
        """Count a sequence.

        :param name: of the sequence.
        :param truth: the presence is the flag of its rows.
        """
        frames = frames_of(tracks, truth, self.matching)
        allowed = [
            Pairs(true, reported, np.where(self.matching.allowed(costs), costs, np.nan))
            for true, reported, costs in frames
        ]
        counts, cost = count(allowed, SEQUENCE_COUNTS)
        self._counted[name] = _Counted(Counter(counts), cost)
        if self._hota is not None:
            similar = [Similar(true, reported, self.matching.similarity(costs)) for true, reported, costs in frames]
            self._hota.add(name, similar)

    def sequences(self) -> dict[str, dict[str, float]]:
        """By the name of each sequence, its scores by name: those of :class:`SequenceScores`, and of HOTA if asked."""
        figures = {name: asdict(self._scores(counted)) for name, counted in self._counted.items()}
        if self._hota is not None:
            for name, scores in figures.items():
                scores.update(self._hota.scores(name)._asdict())
        return figures

    def total(self) -> dict[str, float]:
        """The same of all of them."""
        counts = sum((each.counts for each in self._counted.values()), Counter[str]())
        scores = asdict(self._scores(_Counted(counts, sum(each.cost for each in self._counted.values()))))
        return scores if self._hota is None else scores | self._hota.total()._asdict()

    def _scores(self, counted: _Counted) -> SequenceScores:
        counts, cost = counted
        mean_cost = ratio(cost, counts["num_detections"])
        return SequenceScores(
            mota=mota(counts),
            idf1=idf1(counts),
            motp=1 - mean_cost if self.matching.by == "iou" else mean_cost,
            precision=precision(counts),
            recall=recall(counts),
            switches=counts["num_switches"],
            misses=counts["num_misses"],
            false_alarms=counts["num_false_positives"],
            fragmentations=counts["num_fragmentations"],
            identities=counts["num_unique_objects"],
            mostly_tracked=counts["mostly_tracked"],
            partly_tracked=counts["partially_tracked"],
            mostly_lost=counts["mostly_lost"],
            objects=counts["num_objects"],
            reports=counts["num_predictions"],
        )


def iou(true: Boxes, reported: Boxes) -> Matrix:
    """Intersection over union, from 0 to 1; 0 where both boxes are empty. (N, 4), (P, 4) → (N, P)"""
    true, reported = true[:, None], reported[None]
    upper = np.minimum(true[..., :2] + true[..., 2:] / 2, reported[..., :2] + reported[..., 2:] / 2)
    lower = np.maximum(true[..., :2] - true[..., 2:] / 2, reported[..., :2] - reported[..., 2:] / 2)
    both = np.maximum(0, upper - lower).prod(-1)
    either = true[..., 2:].prod(-1) + reported[..., 2:].prod(-1) - both
    shares: Matrix = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return shares


def frames_of(tracks: Tracks, truth: Tracks, matching: Matching) -> list[Frame]:
    """What counts in each frame that has anything, in order; "don't care" is taken out."""
    reports, objects = (rows_by_frame(each.frame, each.x, each.y) for each in (tracks, truth))
    box, true_box, nothing = tracks.box, truth.box, np.empty(0, np.int64)
    frames = []
    for t in sorted(reports.keys() | objects.keys()):
        here, there = reports.get(t, nothing), objects.get(t, nothing)
        costs = matching.costs(true_box[there], box[here])
        care = truth.presence[there] != 0
        keep = ~_matched_to(~care, np.where(matching.allowed(costs), costs, np.nan))
        frames.append(Frame(truth.identity[there[care]], tracks.identity[here[keep]], costs[care][:, keep]))
    return frames


def _matched_to(which: NDArray[np.bool_], costs: Matrix) -> NDArray[np.bool_]:
    """Which of P reports the best assignment matches to one of the true objects `which`."""
    matched = np.zeros(costs.shape[1], np.bool_)
    if which.any() and costs.size:
        rows, columns = linear_sum_assignment(costs)
        matched[columns[which[rows]]] = True
    return matched
