"""Training a model for any scene on made-up movers, and scoring it on movers that training never saw."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scalor_pyro.config import AnySceneRunConfig, MoverConfig
from scalor_pyro.data.movers import MoverVideos
from scalor_pyro.evaluation.metrics import Evaluation, without_nan
from scalor_pyro.experiments.videos import RESULTS
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.provenance import MadeBy, provenance
from scalor_pyro.training.loop import train

# Videos made at a time, and scored at a time.
PART, BATCH = 50, 16
# Videos of the final score.
SCORED = 200


def train_on_movers(
    scalor: Scalor,
    config: AnySceneRunConfig,
    folder: Path,
    *,
    videos: int,
    workers: int = 1,
    resume: bool = False,
    made_by: MadeBy,
) -> dict[str, Any]:
    """Train, score, and write ``results.json``; the run folder is what ``scalor track --weights`` takes.

    :param videos: made-up videos to train on, held in memory: 0.2 MB each.
    :param workers: processes that make them.
    :param made_by: the command.
    :return: the results.
    """
    origin = provenance(made_by, next(scalor.parameters()).device, resumed=resume)
    clips = made_movers(config.movers, config.seed, videos, workers)
    ended = train(
        scalor,
        clips,
        config,
        folder,
        evaluate=lambda _: score_on_movers(scalor, config.movers, config.seed, config.train.eval_videos),
        resume=resume,
    )
    results: dict[str, Any] = {
        **origin,
        "seed": config.seed,
        "steps": ended.step,
        "training_minutes": ended.minutes,
        "videos": SCORED,
        **without_nan(score_on_movers(scalor.eval(), config.movers, config.seed, SCORED)),
    }
    write_atomically(folder / RESULTS, json.dumps(results, indent=1).encode())
    return results


def made_movers(config: MoverConfig, seed: int, count: int, workers: int = 1) -> NDArray[np.uint8]:
    """Videos to train on. (N, T, 3, H, W)"""
    frames = np.empty((count, config.frames, 3, *config.image_size), np.uint8)
    starts = range(0, count, PART)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_part, config, seed, start, min(PART, count - start)) for start in starts]
        for start, job in zip(tqdm(starts, desc="making videos", leave=False), jobs, strict=True):
            frames[start : start + PART] = job.result()
    return frames


def _part(config: MoverConfig, seed: int, start: int, count: int) -> NDArray[np.uint8]:
    return MoverVideos(config, seed).batch(start, count).frames


def score_on_movers(scalor: Scalor, config: MoverConfig, seed: int, count: int) -> dict[str, float]:
    """Online tracking of made-up videos that training never sees, by masks.

    :return: see :meth:`scalor_pyro.evaluation.metrics.Evaluation.result`.
    """
    videos, evaluation = MoverVideos(config, seed, "test"), Evaluation()
    device = next(scalor.parameters()).device
    for start in range(0, count, BATCH):
        batch = videos.batch(start, min(BATCH, count - start))
        evaluation.add(infer(scalor, batch.tensor(device)), batch.tensor(), batch.truth)
    return evaluation.result()
