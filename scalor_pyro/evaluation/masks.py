"""Scores of masks, by the protocol of Weis et al., "Benchmarking unsupervised object representations for video
sequences", JMLR 22:183, 2021.

In each of the frames 2 to 9 of a video of ten, a reported mask can be matched to a true one where they overlap by an
IoU of at least ½; masks of at most five pixels are left out. What motmetrics counts over all videos together is divided
by the number of true masks; identities hold within a video.

Boxes, by the protocol of He et al. (Tracking by Animation, CVPR 2019), need nothing of their own:
:mod:`scalor_pyro.evaluation.mot_challenge` with an IoU of ½, over one sequence of 10,000 frames.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.matching import COUNTS, Pairs, events_of, mota, ratio, summed
from scalor_pyro.evaluation.tables import NOTHING, lined_up

Labels = NDArray[np.integer]  # (T, H, W): 0 background, else identity + 1

# A share of an object's frames from which on it is mostly detected, or mostly tracked.
MOSTLY = 0.8


@dataclass(frozen=True)
class MaskProtocol:
    """What is scored.

    :param first: frame of a video, from 0; those before it are not scored.
    :param last: frame of a video; those after it are not scored. None: all are.
    :param iou: the least overlap of a match.
    :param most_dropped: masks of at most this many pixels are left out.
    :raises ConfigError: for values out of their range.
    """

    first: int = 2
    last: int | None = None
    iou: float = 0.5
    most_dropped: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.iou <= 1:
            raise ConfigError(f"iou: expected a share above 0 and up to 1, got {self.iou}.")
        if self.first < 0 or self.most_dropped < 0:
            raise ConfigError(f"first and most_dropped: expected numbers from 0, got {self.first, self.most_dropped}.")
        if self.last is not None and self.last < self.first:
            raise ConfigError(f"last: expected a frame from {self.first}, got {self.last}.")


@dataclass(frozen=True)
class MaskScores:
    """Scores of masks, all of them shares (the published tables have percent); NaN: nothing to count.

    :param mota: 1 - (misses + false alarms + switches) / objects.
    :param motp: mean IoU of matched masks.
    :param mostly_detected: of the true objects, the share that is found in at least 80 % of its frames.
    :param mostly_tracked: … and that by one identity: frames with a switch do not count.
    :param match: matched true masks, without switches, per true mask.
    :param miss: true masks that nothing matches, per true mask.
    :param switch: true masks matched by another identity than before, per true mask.
    :param false_alarm: reported masks that match nothing, per true mask.
    :param objects: number of true masks.
    :param identities: number of true objects.
    """

    mota: float
    motp: float
    mostly_detected: float
    mostly_tracked: float
    match: float
    miss: float
    switch: float
    false_alarm: float
    objects: int
    identities: int


class ObjectMisses(NamedTuple):
    """How often a true object is missed."""

    video: int  # in the order in which they were added, from 0
    identity: int
    frames: int  # in which it is scored
    misses: int


class MaskScorer:
    """Scores video after video::

        scorer = MaskScorer()
        for reported, true in videos:
            scorer.add(reported, true)
        print(scorer.total().mota)

    :param protocol: what is scored.
    """

    def __init__(self, protocol: MaskProtocol | None = None) -> None:
        self.protocol = protocol or MaskProtocol()
        self._frames: list[Pairs] = []
        self._names = [0, 0]  # how many identities there were so far: true and reported
        self._begins: list[int] = []  # how many true ones before each video

    def add(self, reported: Labels, true: Labels) -> None:
        """Count a video.

        :param reported: (T, H, W) 0 where there is no object, else identity + 1.
        :param true: (T, H, W) likewise.
        :raises ValueError: for different shapes, or no whole numbers from 0.
        """
        for name, labels in (("reported", reported), ("true", true)):
            if labels.ndim != 3 or labels.dtype.kind not in "iu" or labels.size and labels.min() < 0:
                raise ValueError(
                    f"{name}: expected masks (T, H, W) of whole numbers from 0, got {labels.dtype} of {labels.shape}."
                )
        if reported.shape != true.shape:
            raise ValueError(f"reported: expected masks {true.shape}, as the true ones, got {reported.shape}.")
        found = list(mask_pairs(reported, true, self.protocol))
        self._begins.append(self._names[0])
        # Identities of another video are others, whatever their numbers.
        self._frames += [
            Pairs(each.true + self._names[0], each.reported + self._names[1], each.distance) for each in found
        ]
        for index, labels in enumerate((true, reported)):
            self._names[index] += int(labels.max(initial=0))

    def total(self) -> MaskScores:
        """The scores of all videos added so far."""
        events = events_of(self._frames)
        counts, distance = summed(events, COUNTS)
        objects, switches = counts["num_objects"], counts["num_switches"]
        kinds = _by_object(events)
        frames = kinds.sum(axis=1)
        return MaskScores(
            mota=mota(counts),
            motp=1 - ratio(distance, counts["num_detections"]),
            mostly_detected=ratio(int((kinds["MATCH"] + kinds["SWITCH"] >= MOSTLY * frames).sum()), len(kinds)),
            mostly_tracked=ratio(int((kinds["MATCH"] >= MOSTLY * frames).sum()), len(kinds)),
            match=ratio(counts["num_detections"] - switches, objects),
            miss=ratio(counts["num_misses"], objects),
            switch=ratio(switches, objects),
            false_alarm=ratio(counts["num_false_positives"], objects),
            objects=objects,
            identities=len(kinds),
        )

    def objects(self) -> list[ObjectMisses]:
        """How often each true object is missed, of all videos added so far, in the order of their first appearance."""
        kinds = _by_object(events_of(self._frames))
        names = np.concatenate([frame.true for frame in self._frames]) if self._frames else np.empty(0, np.int64)
        known, first = np.unique(names, return_index=True)
        order = known[np.argsort(first)]  # motmetrics' events have the places in this order
        found = []
        for place, each in kinds.iterrows():
            name = int(order[int(place)])
            video = int(np.searchsorted(self._begins, name, "right")) - 1
            found.append(ObjectMisses(video, name - self._begins[video], int(each.sum()), int(each["MISS"])))
        return found


def _by_object(events: pd.DataFrame) -> pd.DataFrame:
    """How often each true object is matched, switched and missed."""
    names = ["MATCH", "SWITCH", "MISS"]
    kinds = events[events["Type"].isin(names)].groupby("OId")["Type"].value_counts().unstack(fill_value=0)
    return kinds.reindex(columns=names, fill_value=0)


def mask_pairs(reported: Labels, true: Labels, protocol: MaskProtocol) -> Iterator[Pairs]:
    """What may be matched in each frame that is scored: 1 - IoU, NaN below the least overlap."""
    last = len(true) - 1 if protocol.last is None else protocol.last
    for here, there in zip(reported[protocol.first : last + 1], true[protocol.first : last + 1], strict=True):
        (true_names, row), (names, column) = (np.unique(labels, return_inverse=True) for labels in (there, here))
        both = np.zeros((len(true_names), len(names)), np.int64)
        np.add.at(both, (row.ravel(), column.ravel()), 1)
        area, found = both.sum(1), both.sum(0)
        rows = np.flatnonzero((true_names > 0) & (area > protocol.most_dropped))
        columns = np.flatnonzero((names > 0) & (found > protocol.most_dropped))
        shared = both[np.ix_(rows, columns)]
        overlap = shared / (area[rows, None] + found[None, columns] - shared)
        distance = np.where(overlap >= protocol.iou, 1 - overlap, np.nan)
        yield Pairs(true_names[rows].astype(np.int64) - 1, names[columns].astype(np.int64) - 1, distance)


# Columns of the published tables: name of the score, and its heading.
COLUMNS = {
    "mota": "MOTA",
    "motp": "MOTP",
    "mostly_detected": "MD",
    "mostly_tracked": "MT",
    "match": "match",
    "miss": "miss",
    "switch": "switches",
    "false_alarm": "FP",
}


def mask_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores in percent, in the order of the published tables, a line for each result.

    :param results: by the name of their line; scores are named ``mask_mota``, ….
    """
    lines = [["", *COLUMNS.values()]]
    for name, scores in results.items():
        lines.append([name, *(_percent(scores[f"mask_{key}"]) for key in COLUMNS)])
    return lined_up(lines)


def _percent(share: float | None) -> str:
    return NOTHING if share is None or math.isnan(share) else f"{100 * share:.1f}"
