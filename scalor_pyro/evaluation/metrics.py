"""Metrics: how well tracks match the truth, by motmetrics on the distance of centres.

A reported object can match a true one within 2 sizes of it (the paper's threshold), or within 0.5 sizes for the
strict MOTA. An object with less than half of its ink inside the view is "don't care": it need not be found, and
a report that is nearest to it, within one size, is dropped before anything is counted.

Scores of many videos are ratios of sums over all of them, as MOTChallenge does it, not means of ratios. A ratio
that has nothing to count (the recall where there is no object, the precision where nothing was reported) is NaN.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.data import GroundTruth
from scalor_pyro.evaluation.hota import Hota, HotaTally, Similar
from scalor_pyro.evaluation.matching import COUNTS, Pairs, count, idf1, mota, precision, ratio, recall, rows_by_frame
from scalor_pyro.evaluation.tables import NOTHING, lined_up, markdown_table, shown
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.tracks.table import Tracks, tracks_of

# A report matches a true object at most this many of its sizes away (Paper: §4).
MATCH_SIZES = 2.0

# The same for the strict MOTA: half a size away, a box still covers a good part of the object.
STRICT_SIZES = 0.5

# True objects with less of their ink inside the view are "don't care".
CARE_SHARE = 0.5

# A report whose nearest true object is "don't care", and at most this many sizes away, is dropped.
DROP_SIZES = 1.0

# Rows of the printed table: key of the results, and what it means.
_TABLE = (
    ("mota", "MOTA (within 2 sizes)"),
    ("mota_strict", "MOTA (within 0.5 sizes)"),
    ("idf1", "IDF1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("motp", "MOTP: mean distance of matched centres, px"),
    ("switches", "identity switches"),
    ("misses", "misses"),
    ("false_alarms", "false alarms"),
    ("count_mae", "count error |reported - true| / true"),
    ("mse", "MSE of the reconstruction per pixel"),
    ("nll", "NLL, nats per pixel"),
    ("propagation_rate", "propagated share of objects after frame 0"),
    ("discoveries", "discoveries per video"),
)

# Columns of a table of several results: key of the results, its heading, and how it is written.
_COLUMNS = {
    "mota": ("MOTA 2×", "{:.3f}"),
    "mota_strict": ("MOTA 0.5×", "{:.3f}"),
    "idf1": ("IDF1", "{:.3f}"),
    "precision": ("precision", "{:.3f}"),
    "recall": ("recall", "{:.3f}"),
    "misses": ("misses", "{}"),
    "false_alarms": ("false alarms", "{}"),
    "switches": ("switches", "{}"),
    "count_mae": ("CountMAE", "{:.3f}"),
    "mse": ("MSE", "{:.4f}"),
    "nll": ("NLL", "{:.4f}"),
    "objects_per_frame": ("objects", "{:.1f}"),
    "foreground_share": ("foreground", "{:.3f}"),
    "propagation_rate": ("propagated", "{:.3f}"),
    "discoveries": ("discoveries", "{:.1f}"),
    "steps": ("steps", "{}"),
    "training_minutes": ("minutes", "{:.1f}"),
}


@dataclass(frozen=True)
class Scores:
    """Scores of a set of videos, by motmetrics and counts; shares are in [0, 1], but MOTA can be negative.

    :param mota: 1 - (misses + false alarms + switches) / objects, within 2 sizes.
    :param mota_strict: the same within 0.5 sizes.
    :param idf1: F1 score of identities, under the best assignment of reported to true identities in each video.
    :param motp: px, mean distance of matched centres (less is better).
    :param precision: matched / reported objects.
    :param recall: matched / true objects.
    :param switches: how often a true object is matched by another identity than before.
    :param misses: true objects that nothing matches, over all frames.
    :param false_alarms: reported objects that match nothing, over all frames.
    :param count_mae: mean over frames of \\|reported - true\\| / true; frames without a true object are left out.
    """

    mota: float
    mota_strict: float
    idf1: float
    motp: float
    precision: float
    recall: float
    switches: int
    misses: int
    false_alarms: int
    count_mae: float


@dataclass(frozen=True)
class _Frame:
    """What is to be matched in one frame: reported and true identities, distances in px and in sizes."""

    reported: NDArray[np.int64]  # (P,)
    true: NDArray[np.int64]  # (N,)
    distance: NDArray[np.float64]  # (N, P), px
    in_sizes: NDArray[np.float64]  # (N, P), in sizes of the true object


class Tally:
    """Adds up what is counted in each video; holds sums only, so that its memory does not grow."""

    def __init__(self) -> None:
        self._loose: Counter[str] = Counter()
        self._strict: Counter[str] = Counter()
        self._distance = 0.0  # px, summed over matches
        self._count_error = 0.0
        self._counted_frames = 0

    def add(self, tracks: Tracks, truth: GroundTruth) -> None:
        """Count one video."""
        frames = list(_frames(tracks, truth))
        counts, distance = count(_pairs(frames, MATCH_SIZES), ("idtp", *COUNTS))
        self._loose.update(counts)
        self._distance += distance
        self._strict.update(count(_pairs(frames, STRICT_SIZES), COUNTS)[0])
        for frame in frames:
            if len(frame.true):
                self._count_error += abs(len(frame.reported) - len(frame.true)) / len(frame.true)
                self._counted_frames += 1

    def scores(self) -> Scores:
        """The scores of all videos added so far."""
        loose = self._loose
        return Scores(
            mota=mota(loose),
            mota_strict=mota(self._strict),
            idf1=idf1(loose),
            motp=ratio(self._distance, loose["num_detections"]),
            precision=precision(loose),
            recall=recall(loose),
            switches=loose["num_switches"],
            misses=loose["num_misses"],
            false_alarms=loose["num_false_positives"],
            count_mae=ratio(self._count_error, self._counted_frames),
        )


def score(tracks: Sequence[Tracks], truths: Sequence[GroundTruth]) -> Scores:
    """Score the tracks of some videos against their truths.

    :raises ValueError: where there is not one truth for each video.
    """
    if len(tracks) != len(truths):
        raise ValueError(f"truths: expected {len(tracks)}, one for each video, got {len(truths)}.")
    tally = Tally()
    for track, truth in zip(tracks, truths, strict=True):
        tally.add(track, truth)
    return tally.scores()


def hota(tracks: Sequence[Tracks], truths: Sequence[GroundTruth]) -> Hota:
    """HOTA of videos by the distance of centres, "don't care" left out as for the other scores.

    The true objects have a centre and a size, but no box that another's could overlap. So similarity is 1 at the centre
    and falls by 1 per size of the true object: 0.5, where the strict MOTA stops matching, and 0 a whole size away.
    The mean over thresholds of similarity is one over 0.05 to 0.95 sizes. Two sizes, where the other scores stop
    matching, would let an object in a crowd be "localised" by its neighbours.

    :raises ConfigError: where trackeval is not installed.
    """
    tally = HotaTally()
    for index, (track, truth) in enumerate(zip(tracks, truths, strict=True)):
        tally.add(
            str(index),
            [
                Similar(frame.true, frame.reported, np.maximum(0, 1 - frame.in_sizes / (2 * STRICT_SIZES)))
                for frame in _frames(track, truth)
            ],
        )
    return tally.total()


class Evaluation:
    """Evaluates batch after batch; holds sums only, so that memory stays flat over any number of videos::

    evaluation = Evaluation()
    for frames, truths in batches:
        evaluation.add(infer(scalor, frames), frames, truths)
    print(table(evaluation.result()))
    """

    def __init__(self) -> None:
        self._tally = Tally()
        self._videos = 0
        self._squared_error = 0.0
        self._pixels = 0
        self._propagated = 0  # objects drawn in frames t > 0 that were propagated
        self._rediscovered = 0  # … that were discovered there
        self._discovered = 0  # in any frame

    def add(self, inference: Inference, frames: Tensor, truths: Sequence[GroundTruth]) -> None:
        """Count a batch of videos.

        :param inference: what the posterior says of the videos.
        :param frames: (B, T, C, H, W) in [0, 1].
        :param truths: one for each video.
        :raises ValueError: where the shapes of frames and inference, or the number of truths, do not fit.
        """
        if frames.shape != inference.reconstruction.shape:
            raise ValueError(
                f"frames: expected the shape of the reconstruction, {tuple(inference.reconstruction.shape)}, got"
                f" {tuple(frames.shape)}."
            )
        if len(truths) != len(frames):
            raise ValueError(f"truths: expected {len(frames)}, one for each video, got {len(truths)}.")
        height, width = frames.shape[-2:]
        for tracks, truth in zip(tracks_of(inference, (height, width)), truths, strict=True):
            self._tally.add(tracks, truth)
        error = inference.reconstruction.double() - frames.to(inference.reconstruction.device).double()
        self._squared_error += float(error.square().sum())
        self._pixels += error.numel()
        self._videos += len(frames)
        self._propagated += int(inference.propagated.sum())
        self._rediscovered += int(inference.discovered[:, 1:].sum())
        self._discovered += int(inference.discovered.sum())

    def result(self) -> dict[str, float]:
        """All scores by name: those of :class:`Scores`, and of all videos

        - `mse`: squared error of the reconstruction, mean over pixels and channels;
        - `propagation_rate`: of the objects drawn in frames t > 0, the share that was propagated, not discovered there;
        - `discoveries`: proposals drawn, per video.

        The last two count what is drawn, not what slots hold: without rejection, an object is drawn by its track and
        by a proposal that finds no free slot.
        """
        return {
            **asdict(self._tally.scores()),
            "mse": ratio(self._squared_error, self._pixels),
            "propagation_rate": ratio(self._propagated, self._propagated + self._rediscovered),
            "discoveries": ratio(self._discovered, self._videos),
        }


def true_tracks(truth: GroundTruth) -> Tracks:
    """The truth as a file of tracks can hold it: presence is 1 where an object is to be found, else 0, don't care."""
    presence, unknown = (truth.share >= CARE_SHARE).astype(np.float64), np.full(len(truth.x), math.nan)
    return Tracks(truth.frame, truth.identity, truth.x, truth.y, truth.size, truth.size, presence, depth=unknown)


def table(results: Mapping[str, float | None]) -> str:
    """The results as a plain-text table, one line for each score; `-` where there was nothing to count."""
    return lined_up([(label, shown(results[key])) for key, label in _TABLE if key in results])


def markdown(results: Mapping[str, Mapping[str, Any]], left_out: Sequence[str] = ()) -> str:
    """Several results as a Markdown table, a row for each; `-` where there was nothing to count.

    :param results: by the name of their row.
    :param left_out: keys without a column; keys that no result has get none either.
    """
    keys = [key for key in _COLUMNS if key not in left_out and any(key in figures for figures in results.values())]
    rows = [[name, *(_cell(key, figures.get(key)) for key in keys)] for name, figures in results.items()]
    return markdown_table(["", *(_COLUMNS[key][0] for key in keys)], rows)


def _cell(key: str, value: float | None) -> str:
    return NOTHING if value is None else _COLUMNS[key][1].format(value)


def without_nan(results: Any) -> Any:
    """The results, nested or not, with None in place of NaN, which JSON does not know."""
    if isinstance(results, Mapping):
        return {key: without_nan(value) for key, value in results.items()}
    if isinstance(results, list):
        return [without_nan(value) for value in results]
    return None if isinstance(results, float) and math.isnan(results) else results


def _frames(tracks: Tracks, truth: GroundTruth) -> Iterator[_Frame]:
    """What is to be matched in each frame that has anything, "don't care" already taken out."""
    reports = rows_by_frame(tracks.frame, tracks.x, tracks.y)
    objects = rows_by_frame(truth.frame, truth.x, truth.y)
    nothing = np.empty(0, np.int64)
    for t in sorted(reports.keys() | objects.keys()):
        here, there = reports.get(t, nothing), objects.get(t, nothing)
        offset_x = truth.x[there, None] - tracks.x[None, here]  # (N, P)
        offset_y = truth.y[there, None] - tracks.y[None, here]
        distance = np.hypot(offset_x, offset_y).astype(np.float64)
        in_sizes = distance / truth.size[there, None]
        care = truth.share[there] >= CARE_SHARE
        keep = ~_nearest_to_any(~care, distance, in_sizes)
        yield _Frame(
            tracks.identity[here][keep], truth.identity[there][care], distance[care][:, keep], in_sizes[care][:, keep]
        )


def _nearest_to_any(
    which: NDArray[np.bool_], distance: NDArray[np.float64], in_sizes: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which of P reports are nearest to one of the true objects `which`, and close enough to be about it."""
    if not which.any():
        return np.zeros(distance.shape[1], dtype=np.bool_)
    nearest = distance.argmin(axis=0)  # (P,)
    close = in_sizes[nearest, np.arange(distance.shape[1])] <= DROP_SIZES
    about: NDArray[np.bool_] = which[nearest] & close
    return about


def _pairs(frames: Sequence[_Frame], sizes: float) -> list[Pairs]:
    """The frames, with the pairs that may match: those within this many sizes."""
    return [
        Pairs(frame.true, frame.reported, np.where(frame.in_sizes <= sizes, frame.distance, np.nan)) for frame in frames
    ]
