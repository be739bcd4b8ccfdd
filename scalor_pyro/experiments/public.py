"""A run on a public benchmark: training, and scores by the published protocols."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray

from scalor_pyro.config import PublicRunConfig
from scalor_pyro.data import choose_source
from scalor_pyro.data.public import BoxTruth, PublicVideos
from scalor_pyro.evaluation.masks import MaskScorer
from scalor_pyro.evaluation.metrics import Evaluation, without_nan
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer
from scalor_pyro.experiments.ways import ONLINE, WAYS, Way
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.masks import FOREGROUND
from scalor_pyro.inference.posterior import Inference, infer
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.provenance import UNKNOWN, MadeBy, provenance
from scalor_pyro.runs.sources import mnist_to_train_on, remember_mnist
from scalor_pyro.tracks.opening import BoxesOf
from scalor_pyro.tracks.table import Tracks, from_dataframe
from scalor_pyro.tracks.tracker import track
from scalor_pyro.training.callbacks import Callback
from scalor_pyro.training.loop import train

logger = logging.getLogger(__name__)

# Videos scored at a time.
BATCH = 16
# Seed of the videos to score on, and the index of the first one for scores during training: far from the others.
TEST_SEED, VALIDATION_START = 0, 100_000


def run_public(
    config: PublicRunConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    mnist: Path | None = None,
    resume: bool = False,
    final_videos: int = 1000,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    made_by: MadeBy = UNKNOWN,
) -> dict[str, Any] | None:
    """Train on a benchmark, score on other videos of it, and leave weights and ``results.json`` in the run folder.

    :param folder: of the run; see :mod:`scalor_pyro.runs.folder`.
    :param device: where to compute.
    :param mnist: a local file of MNIST, for digits.
    :param resume: continue the run in the folder.
    :param final_videos: number of unseen videos to score at the end.
    :param callbacks: see :func:`~scalor_pyro.training.loop.train`.
    :param progress: show a progress bar.
    :param made_by: the command, for the provenance in ``results.json``.
    :return: the results, or None if training was interrupted.
    """
    if resume:
        mnist = mnist_to_train_on(folder, config.data, mnist)
    config = with_known_digits(config, mnist)
    origin = provenance(made_by, device, resumed=resume)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = Scalor(config.model).to(device)
    videos = PublicVideos(config.data, config.seed, "train", mnist, config.videos)
    unseen = PublicVideos(config.data, TEST_SEED, "test", mnist)

    if mnist is not None:
        remember_mnist(folder, mnist, resume)

    def during(step: int) -> Mapping[str, Any]:
        found = scores(scalor, unseen, config.train.eval_videos, VALIDATION_START)
        return without_nan(found)

    ended = train(
        scalor, videos, config, folder, evaluate=during, callbacks=callbacks, resume=resume, progress=progress
    )
    if ended.interrupted:
        return None
    results = {
        **{name: scores(scalor, unseen, final_videos, way=way) for name, way in WAYS.items()},
        "videos": final_videos,
        "steps": ended.step,
        "training_minutes": ended.minutes,
        "processor_minutes": ended.processor_minutes,
        "seed": config.seed,
        "provenance": origin,
    }
    results = without_nan(results)
    write_atomically(folder / "results.json", json.dumps(results, indent=1).encode())
    return results


def with_known_digits(config: PublicRunConfig, mnist: Path | None) -> PublicRunConfig:
    """The config with 'auto' replaced by the digits that are available.

    :raises ValueError: for digits that are not, or MNIST for videos without digits.
    """
    if config.data.objects != "digits":
        if mnist is not None:
            raise ValueError(f"MNIST was given ({mnist}), but {config.data.benchmark} shows no digits.")
        return config
    return replace(config, data=replace(config.data, digits=choose_source(config.data.digits, mnist)))


def scores(
    scalor: Scalor,
    videos: PublicVideos,
    count: int,
    start: int = 0,
    way: Way = ONLINE,
    above: float = FOREGROUND,
) -> dict[str, Any]:
    """Scores on videos of a benchmark, by the protocol for masks (``mask_mota``, …) and by that of this project.

    :param count: number of videos.
    :param start: index of the first.
    :param way: to infer.
    :param above: total alpha of the objects above which a pixel belongs to one of them.
    """
    by_masks, evaluation = MaskScorer(), Evaluation()
    device = next(scalor.parameters()).device
    for first in range(start, start + count, BATCH):
        batch = videos.batch(first, min(BATCH, start + count - first))
        frames = batch.tensor(device)
        inference = infer(scalor, frames, lookahead=way.lookahead, evidence=way.evidence)
        evaluation.add(inference, batch.tensor(), batch.truth)
        for reported, true in zip(labels_of(inference, above), batch.masks, strict=True):
            by_masks.add(reported, true.astype(np.int64) + 1)
    found = {f"mask_{name}": value for name, value in asdict(by_masks.total()).items()}
    return {**found, **evaluation.result()}


def sequence_scores(run: TrainedRun, videos: PublicVideos, frames: int, online: bool = False) -> dict[str, Any]:
    """Scores of boxes over one long sequence, by the protocol of He et al.: an IoU of at least ½.

    The sequence is the first stream of the videos. Identities are those of the tracker alone, without linking, because
    an object that has left is not the one that comes next.

    :param run: see :func:`~scalor_pyro.tracks.tracker.load_for_tracking`.
    :param videos: of Sprites-MOT or MNIST-MOT.
    :param frames: length of the sequence; published: 10,000.
    :param online: no frame depends on a later one, and masks decide; else as ``scalor track`` does by default.
    """
    stream = PublicVideos(replace(videos.config, frames=frames), videos.seed, videos.split)
    stream.bank = videos.bank
    video = stream.video(0, frames)
    options = {"lookahead": 0, "decide_by": "masks"} if online else {}
    # The true box of a digit is that of its whole picture, of a sprite that of its ink.
    boxes: BoxesOf = "glimpse" if videos.config.benchmark == "mnist-mot" else "mask"
    pictures = np.ascontiguousarray(video.frames.transpose(0, 2, 3, 1))
    found = track(pictures, run, boxes=boxes, link=False, **options)  # type: ignore[arg-type]
    scorer = Scorer(Matching("iou", 0.5))
    scorer.add("sequence", from_dataframe(found), tracks_of_truth(video.truth))
    return scorer.total()


def tracks_of_truth(truth: BoxTruth) -> Tracks:
    """The truth as tracks; every object counts, however little of it is seen."""
    one, unknown = np.ones(len(truth.x)), np.full(len(truth.x), np.nan)
    return Tracks(truth.frame, truth.identity, truth.x, truth.y, truth.width, truth.height, one, unknown)


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
