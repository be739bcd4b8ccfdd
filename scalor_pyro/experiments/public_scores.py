"""Scores on public benchmarks: by the published protocols, and of what else their videos are made to test.

Masks and boxes are scored on all of them. Sprites of unequal size: what is missed, by size. Balls that hide each other
and bounce: identities through occlusion, and forecasts.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray

from scalor_pyro.data.public import BoxTruth, PublicVideos
from scalor_pyro.evaluation.forecasts import ForecastEvaluation
from scalor_pyro.evaluation.masks import MaskScorer, ObjectMisses
from scalor_pyro.evaluation.metrics import Evaluation
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer
from scalor_pyro.evaluation.occlusion import HIDDEN, OcclusionScorer
from scalor_pyro.experiments.ways import ONLINE, Way
from scalor_pyro.inference.generation import forecast
from scalor_pyro.inference.masks import FOREGROUND
from scalor_pyro.inference.posterior import Inference, infer
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.opening import BoxesOf
from scalor_pyro.tracks.table import Tracks, from_dataframe
from scalor_pyro.tracks.tracking import track

# Videos scored at a time.
BATCH = 16
# Seed of the videos to score on.
TEST_SEED = 0
# px, sides of boxes of multi-dsprites: from one to the next they grow by about the square root of 2.
SIZES = (0.0, 7.5, 10.7, 15.0, float("inf"))
# How boxes of whole videos are matched, by the name that results give it.
MATCHINGS = {"boxes": Matching("iou", 0.5), "centres": Matching("sizes", 0.5)}


def scores(
    scalor: Scalor,
    videos: PublicVideos,
    count: int,
    start: int = 0,
    way: Way = ONLINE,
    above: float = FOREGROUND,
    by_size: bool = False,
) -> dict[str, Any]:
    """Scores on videos of a benchmark, by the protocol for masks (``mask_mota``, …) and by that of this project.

    :param count: number of videos.
    :param start: index of the first.
    :param way: to infer.
    :param above: total alpha of the objects above which a pixel belongs to one of them.
    :param by_size: also what is missed, see :func:`misses_by_size`.
    """
    by_masks, evaluation = MaskScorer(), Evaluation()
    truths: list[BoxTruth] = []
    device = next(scalor.parameters()).device
    for first in range(start, start + count, BATCH):
        batch = videos.batch(first, min(BATCH, start + count - first))
        frames = batch.tensor(device)
        inference = infer(scalor, frames, lookahead=way.lookahead, evidence=way.evidence)
        evaluation.add(inference, batch.tensor(), batch.truth)
        for reported, true in zip(labels_of(inference, above), batch.masks, strict=True):
            by_masks.add(reported, true.astype(np.int64) + 1)
        truths += batch.truth
    found: dict[str, Any] = {f"mask_{name}": value for name, value in asdict(by_masks.total()).items()}
    if by_size:
        found["by_size"] = misses_by_size(by_masks.objects(), truths)
    return {**found, **evaluation.result()}


def misses_by_size(
    objects: Sequence[ObjectMisses], truths: Sequence[BoxTruth], sizes: Sequence[float] = SIZES
) -> list[dict[str, float | None]]:
    """What is missed, by the size of objects: the median over frames of the square root of the area of their boxes.

    :param objects: of masks, see :meth:`~scalor_pyro.evaluation.masks.MaskScorer.objects`.
    :param truths: of the same videos.
    :param sizes: px, where one group ends and the next begins.
    :return: for each group ``from`` and ``to`` (px; None: no end), the number of ``objects`` and of ``frames`` in which
        they are scored, and ``miss``, the share of those in which they are missed.
    """
    sides = [
        np.median(truths[each.video].size[truths[each.video].identity == each.identity]).item() for each in objects
    ]
    groups = []
    for low, high in pairwise(sizes):
        inside = [each for each, side in zip(objects, sides, strict=True) if low <= side < high]
        frames, misses = sum(each.frames for each in inside), sum(each.misses for each in inside)
        end = high if np.isfinite(high) else None
        groups.append(
            {
                "from": low,
                "to": end,
                "objects": len(inside),
                "frames": frames,
                "miss": misses / frames if frames else None,
            }
        )
    return groups


def sequence_scores(run: TrainedRun, videos: PublicVideos, frames: int, online: bool = False) -> dict[str, Any]:
    """Scores of boxes over one long sequence, by the protocol of He et al.: an IoU of at least ½.

    The sequence is the first stream of the videos. Identities are those of the tracker alone, without linking, because
    an object that has left is not the one that comes next.

    :param run: see :func:`~scalor_pyro.tracks.tracker.load_for_tracking`.
    :param videos: of Sprites-MOT or MNIST-MOT.
    :param frames: length of the sequence; published: 10,000.
    :param online: no frame depends on a later one, and masks decide; else as ``scalor track`` does by default.
    """
    stream = copy(videos)  # not made anew, which would look for digits again
    stream.config = replace(videos.config, frames=frames)
    video = stream.video(0, frames)
    scorer = Scorer(MATCHINGS["boxes"])
    scorer.add("sequence", tracked(run, video.frames, online, False, boxes_of(videos)), tracks_of_truth(video.truth))
    return scorer.total()


def tracked(run: TrainedRun, frames: NDArray[np.uint8], online: bool, link: bool, boxes: BoxesOf) -> Tracks:
    """The tracks of a video.

    :param run: see :func:`~scalor_pyro.tracks.tracker.load_for_tracking`.
    :param frames: (T, 3, H, W)
    :param online: no frame depends on a later one, and masks decide; else as ``scalor track`` does by default.
    """
    options: dict[str, Any] = {"lookahead": 0, "decide_by": "masks"} if online else {}
    pictures = np.ascontiguousarray(frames.transpose(0, 2, 3, 1))
    return from_dataframe(track(pictures, run, boxes=boxes, link=link, **options))


def boxes_of(videos: PublicVideos) -> BoxesOf:
    """The true box of a digit is that of its whole picture, of everything else that of its ink."""
    return "glimpse" if videos.config.benchmark == "mnist-mot" else "mask"


def tracks_of_truth(truth: BoxTruth, hidden: float = 0.0) -> Tracks:
    """The truth as tracks.

    :param hidden: an object of which less than this share is visible need not be found.
    """
    counts, unknown = (truth.visible >= hidden).astype(float), np.full(len(truth.x), np.nan)
    return Tracks(truth.frame, truth.identity, truth.x, truth.y, truth.width, truth.height, counts, unknown)


def video_scores(run: TrainedRun, videos: PublicVideos, count: int, online: bool = False) -> dict[str, dict[str, Any]]:
    """Scores of the tracks of whole videos: by boxes and by centres, and identities through occlusion.

    An object of which less than a quarter is visible need not be found.

    :param run: see :func:`~scalor_pyro.tracks.tracker.load_for_tracking`.
    :param count: number of videos.
    :param online: no frame depends on a later one, masks decide, and nothing is linked; else as ``scalor track`` does
        by default.
    """
    made, boxes = (videos.video(index, videos.config.frames) for index in range(count)), boxes_of(videos)
    return scores_of_tracks((tracked(run, each.frames, online, not online, boxes), each.truth) for each in made)


def scores_of_tracks(pairs: Iterable[tuple[Tracks, BoxTruth]]) -> dict[str, dict[str, Any]]:
    """The same of any tracks, each with its truth."""
    scorers = {name: Scorer(matching, hota=True) for name, matching in MATCHINGS.items()}
    occlusion = OcclusionScorer()
    for number, (found, truth) in enumerate(pairs):
        for scorer in scorers.values():
            scorer.add(str(number), found, tracks_of_truth(truth, HIDDEN))
        occlusion.add(found, truth)
    return {**{name: scorer.total() for name, scorer in scorers.items()}, "occlusion": asdict(occlusion.total())}


def forecast_scores(
    scalor: Scalor, videos: PublicVideos, count: int, observed: int = 10, samples: int = 10
) -> dict[str, Any]:
    """Errors of forecasts by horizon, see :class:`~scalor_pyro.evaluation.forecasts.ForecastEvaluation`.

    :param count: number of videos.
    :param observed: frames that are seen.
    :param samples: of each video.
    """
    evaluation, device = ForecastEvaluation(observed, videos.config.frames), next(scalor.parameters()).device
    pyro.set_rng_seed(videos.seed)  # of the samples
    for first in range(0, count, BATCH):
        batch = videos.batch(first, min(BATCH, count - first))
        x = batch.tensor(device)
        evaluation.add(forecast(scalor, x, observed, videos.config.frames, samples), x, batch.truth)
    return {**evaluation.result(), "samples": samples}


def labels_of(inference: Inference, above: float = FOREGROUND) -> NDArray[np.int64]:
    """Masks as they are scored. (B, T, H, W): 0 background, else identity + 1

    :param above: total alpha of the objects above which a pixel belongs to one of them.
    """
    if above == FOREGROUND:
        labels: NDArray[np.int64] = inference.segments.numpy()
        return np.maximum(labels, -1) + 1
    parts = []
    for video in range(len(inference.presence)):
        shares = inference.soft_masks(video)  # (T, K, H, W)
        owner = (
            inference.identity[video].gather(1, shares.argmax(1).flatten(1)).view(shares.shape[0], *shares.shape[2:])
        )
        parts.append(torch.where(inference.foreground[video, :, 0] > above, owner, -1).numpy() + 1)
    return np.stack(parts)
