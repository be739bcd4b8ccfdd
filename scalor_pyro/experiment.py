"""From a config to figures: build the model, train it on its stream, evaluate it, draw what it sees."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Tensor

from scalor_pyro.config import RunConfig
from scalor_pyro.data import SyntheticVideos, choose_source
from scalor_pyro.distributed import ALONE, World
from scalor_pyro.elbo import ReparamELBO
from scalor_pyro.metrics import Evaluation, without_nan
from scalor_pyro.pictures import filmstrip, save_pictures
from scalor_pyro.player import write_player
from scalor_pyro.posterior import infer
from scalor_pyro.run_folder import RunFolder, write_atomically
from scalor_pyro.scalor import Scalor
from scalor_pyro.track_text import write_mot
from scalor_pyro.tracks import tracks_of
from scalor_pyro.training import TrainResult, train

logger = logging.getLogger(__name__)

# Videos in one batch of an evaluation.
EVALUATION_BATCH = 8
# Seed of the videos that everyone is evaluated on, and where those looked at during training begin in their stream.
TEST_SEED, VALIDATION_START = 0, 1_000_000


def run_experiment(
    config: RunConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    mnist: Path | None = None,
    resume: bool = False,
    final_videos: int = 200,
    progress: bool = True,
    world: World = ALONE,
) -> dict[str, Any] | None:
    """Train, evaluate on unseen videos, and leave figures, tracks and pictures in the run folder.

    :param config: of the run.
    :param folder: where it is kept; see :mod:`scalor_pyro.run_folder`. Beside what training writes:
        ``results.json``, ``tracks/`` in MOTChallenge text, ``pictures/`` and ``player.html``.
    :param device: where to compute.
    :param mnist: a local file of MNIST, see :func:`scalor_pyro.data.load_digits`.
    :param resume: go on with the run in the folder.
    :param final_videos: how many unseen videos to evaluate on at the end.
    :param progress: show a progress bar.
    :param world: the processes that train together.
    :return: the results, or None if training was interrupted.
    :raises ValueError: for whatever cannot be done, in one sentence.
    """
    _require_videos(final_videos)
    config = world.lead(lambda: with_known_digits(config, mnist))
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = Scalor(config.model).to(device)
    videos = SyntheticVideos(config.data, config.seed, "train", mnist)
    unseen = SyntheticVideos(config.evaluated, TEST_SEED, "test", mnist)

    def evaluate_at(step: int) -> Mapping[str, Any]:
        logger.info("Evaluating at step %d.", step)
        return without_nan(evaluate(scalor, unseen, config.train.eval_videos, VALIDATION_START))

    def draw_at(step: int) -> Mapping[str, Tensor]:
        frames = unseen.batch(VALIDATION_START, 1).tensor(device)
        return {"filmstrip": _to_tensor(filmstrip(frames.cpu(), infer(scalor, frames)))}

    ended = train(
        scalor,
        ReparamELBO(analytic_kl=config.train.elbo == "analytic"),
        videos,
        config,
        folder,
        evaluate=evaluate_at,
        draw=draw_at,
        resume=resume,
        progress=progress,
        world=world,
    )
    if ended.interrupted:
        return None
    return world.lead(lambda: report(scalor, unseen, config, RunFolder.open(folder), ended, final_videos))


def evaluate(
    scalor: Scalor, videos: SyntheticVideos, count: int, start: int = 0, tracks: Path | None = None
) -> dict[str, float]:
    """Score a model on videos of a stream.

    :param count: how many videos.
    :param start: index of the first.
    :param tracks: a folder for the tracks of each video, in MOTChallenge text.
    :return: see :meth:`scalor_pyro.metrics.Evaluation.result`.
    :raises ValueError: if count is below 1.
    """
    _require_videos(count)
    device = next(scalor.parameters()).device
    evaluation = Evaluation()
    for first in range(start, start + count, EVALUATION_BATCH):
        batch = videos.batch(first, min(EVALUATION_BATCH, start + count - first))
        inference = infer(scalor, batch.tensor(device))
        evaluation.add(inference, batch.tensor(), batch.truth)
        if tracks is not None:
            for index, found in enumerate(tracks_of(inference, videos.config.image_size), first):
                write_mot(tracks / f"{index:05d}.txt", found)
    return evaluation.result()


def _require_videos(count: int) -> None:
    if count < 1:
        raise ValueError(f"The number of videos to evaluate on is {count}, but at least 1 was expected.")


def report(
    scalor: Scalor,
    unseen: SyntheticVideos,
    config: RunConfig,
    folder: RunFolder,
    ended: TrainResult,
    final_videos: int,
) -> dict[str, Any]:
    """Evaluate a trained model, and write results.json, tracks, pictures and the player."""
    tracks = folder.path / "tracks"
    tracks.mkdir(exist_ok=True)
    for stale in tracks.glob("*.txt"):  # of an evaluation before a resume, which may have had more videos
        stale.unlink()
    figures = without_nan(evaluate(scalor, unseen, final_videos, tracks=tracks))
    rows = folder.rows()
    results = {
        **figures,
        "videos": final_videos,
        "steps": ended.step,
        "training_minutes": ended.minutes,
        "seed": config.seed,
        "digits": config.evaluated.digits if config.evaluated.objects == "digits" else None,
        "evaluations": [row for row in rows if row.get("evaluation")],
    }
    write_atomically(folder.path / "results.json", json.dumps(results, indent=1).encode())
    batch = unseen.batch(0, 1)
    frames = batch.tensor()
    inference = infer(scalor, batch.tensor(next(scalor.parameters()).device))
    save_pictures(folder.pictures, frames, inference, truth=batch.truth[0], rows=rows)
    write_player(folder.path / "player.html", frames, inference)
    return results


def with_known_digits(config: RunConfig, mnist: Path | None) -> RunConfig:
    """The config with 'auto' replaced by the digits that there are, so that the run says what it was trained on.

    :raises ValueError: if MNIST is given for videos without digits.
    """
    if config.data.objects != "digits":
        if mnist is not None:
            raise ValueError(f"MNIST was given ({mnist}), but the videos show sprites: digits or no file was expected.")
        return config
    digits = choose_source(config.data.digits, mnist)
    test = config.test_data
    return replace(
        config,
        data=replace(config.data, digits=digits),
        test_data=None if test is None else replace(test, digits=digits),
    )


def _to_tensor(figure: Any) -> Tensor:
    """A figure as a picture (3, H, W) in [0, 1]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
