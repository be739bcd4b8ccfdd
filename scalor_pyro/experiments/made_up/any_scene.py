"""A run on made-up movers: a model for scenes that nobody trained on, from its config to its scores."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray

from scalor_pyro.config import AnySceneRunConfig, MoverConfig
from scalor_pyro.data import MoverVideos
from scalor_pyro.evaluation.metrics import Evaluation, without_nan
from scalor_pyro.experiments.results import write_results
from scalor_pyro.inference.posterior import infer
from scalor_pyro.inference.taught import TOLD, with_objects
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.provenance import UNKNOWN, MadeBy, provenance
from scalor_pyro.training.callbacks import Callback
from scalor_pyro.training.loop import train

logger = logging.getLogger(__name__)

# Videos made at a time, and scored at a time.
PART, SCORED = 50, 16


def run_any_scene(
    config: AnySceneRunConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    resume: bool = False,
    workers: int = 1,
    final_videos: int = 200,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    made_by: MadeBy = UNKNOWN,
) -> dict[str, Any] | None:
    """Train on made-up movers, score on others, and leave weights and ``results.json`` in the run folder.

    :param folder: of the run; see :mod:`scalor_pyro.runs.folder`.
    :param device: where to compute.
    :param resume: continue the run in the folder.
    :param workers: processes that make the videos to train on; these stay in memory.
    :param final_videos: number of unseen videos to score at the end, and at most during training.
    :param callbacks: see :func:`~scalor_pyro.training.loop.train`.
    :param progress: show a progress bar.
    :param made_by: the command, for the provenance in ``results.json``.
    :return: the results, or None if training was interrupted.
    """
    origin = provenance(made_by, device, resumed=resume)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = Scalor(config.model).to(device)
    logger.info("Making %d videos.", config.videos)
    clips = made(config.movers, config.seed, config.videos, workers, config.train.taught)
    during = min(config.train.eval_videos, final_videos)
    ended = train(
        scalor,
        clips,
        config,
        folder,
        evaluate=lambda _: without_nan(scores(scalor, config, during)),
        callbacks=callbacks,
        resume=resume,
        progress=progress,
    )
    if ended.interrupted:
        return None
    return write_results(folder, scores(scalor, config, final_videos), final_videos, ended, config.seed, origin)


def made(config: MoverConfig, seed: int, count: int, workers: int = 1, told: bool = False) -> NDArray[np.uint8]:
    """The first videos of a stream to train on. (N, T, 3, H, W)

    :param count: N.
    :param workers: processes that make them; with 1, this one does.
    :param told: (N, T, 3 + 6, H, W): they tell where their objects are, see
        :func:`~scalor_pyro.inference.taught.with_objects`.
    """
    shape = (count, config.frames, 3 + TOLD * told, *config.image_size)
    return in_parts(partial(_part, config, seed, told), shape, workers)


def in_parts(part: Callable[[int, int], NDArray[np.uint8]], shape: tuple[int, ...], workers: int) -> NDArray[np.uint8]:
    """An array that is made in parts, by several processes if there are some.

    :param part: makes the videos from a number on, so many of them.
    :param shape: of the whole, N first.
    :param workers: processes; with 1, this one does it.
    """
    videos = np.empty(shape, np.uint8)
    starts = range(0, len(videos), PART)
    counts = [len(videos[start : start + PART]) for start in starts]
    if workers == 1:
        for start, count in zip(starts, counts, strict=True):
            videos[start : start + PART] = part(start, count)
        return videos
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for start, some in zip(starts, pool.map(part, starts, counts), strict=True):
            videos[start : start + PART] = some
    return videos


def _part(config: MoverConfig, seed: int, told: bool, start: int, count: int) -> NDArray[np.uint8]:
    batch = MoverVideos(config, seed).batch(start, count)
    return with_objects(batch.frames, batch.masks, batch.boxes, batch.areas) if told else batch.frames


def scores(scalor: Scalor, config: AnySceneRunConfig, count: int) -> dict[str, float]:
    """Online tracking of videos that training never sees, see :meth:`scalor_pyro.evaluation.metrics.Evaluation.result`.

    :param count: number of videos.
    """
    videos, evaluation = MoverVideos(config.movers, config.seed, "test"), Evaluation()
    device = next(scalor.parameters()).device
    for start in range(0, count, SCORED):
        batch = videos.batch(start, min(SCORED, count - start))
        evaluation.add(infer(scalor, batch.tensor(device)), batch.tensor(), batch.truth)
    return evaluation.result()
