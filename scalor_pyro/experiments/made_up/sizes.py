"""A run that learns how large objects are: the network that brings videos to the scale of a model for any scene."""

import logging
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray

from scalor_pyro.config import SizesRunConfig
from scalor_pyro.data.worlds import Split
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.experiments.made_up.any_scene import in_parts
from scalor_pyro.experiments.results import write_results
from scalor_pyro.runs.provenance import UNKNOWN, MadeBy, provenance
from scalor_pyro.sizes.program import ASKED, SEEN, ObjectSizes, coded, told_in, typical_side
from scalor_pyro.sizes.videos import FRAME, SizedMovers
from scalor_pyro.training.callbacks import Callback
from scalor_pyro.training.loop import train

logger = logging.getLogger(__name__)

# Videos scored at a time.
SCORED = 50


def run_sizes(
    config: SizesRunConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    resume: bool = False,
    workers: int = 1,
    final_videos: int = 400,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    made_by: MadeBy = UNKNOWN,
) -> dict[str, Any] | None:
    """Train on made-up movers, score on others, and leave weights and ``results.json`` in the run folder.

    :param folder: of the run; see :mod:`scalor_pyro.runs.folder`.
    :param device: where to compute.
    :param resume: continue the run in the folder.
    :param workers: processes that make the videos to train on; these stay in memory, 0.11 MB each.
    :param final_videos: number of unseen videos to score at the end, and at most during training.
    :param callbacks: see :func:`~scalor_pyro.training.loop.train`.
    :param progress: show a progress bar.
    :param made_by: the command, for the provenance in ``results.json``.
    :return: the results, or None if training was interrupted.
    """
    origin = provenance(made_by, device, resumed=resume)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    program = ObjectSizes(config.model).to(device)
    logger.info("Making %d videos.", config.videos)
    clips = clips_of(config.seed, "train", config.videos, workers)
    during = min(config.train.eval_videos, final_videos)
    ended = train(
        program,
        clips,
        config,
        folder,
        evaluate=lambda _: without_nan(scores(program, config.seed, during)),
        callbacks=callbacks,
        resume=resume,
        progress=progress,
    )
    if ended.interrupted:
        return None
    final = scores(program, config.seed, final_videos)
    return write_results(folder, final, final_videos, ended, config.seed, origin)


def clips_of(seed: int, split: Split, count: int, workers: int = 1) -> NDArray[np.uint8]:
    """Frames, and a last picture that tells the sizes in one of them. (N, 4, 3, H, W)

    :param count: N, the first videos of the stream.
    :param workers: processes that make them; with 1, this one does.
    """
    return in_parts(partial(_part, seed, split), (count, len(SEEN) + 1, 3, FRAME, FRAME), workers)


def _part(seed: int, split: Split, start: int, count: int) -> NDArray[np.uint8]:
    videos = SizedMovers(SEEN, ASKED, seed, split).batch(start, count)
    told = coded(torch.from_numpy(videos.covered), torch.from_numpy(videos.sides).float())
    return np.concatenate((videos.frames, np.rint(told.numpy() * 255).astype(np.uint8)[:, None]), 1)


@torch.no_grad()
def scores(program: ObjectSizes, seed: int, count: int) -> dict[str, float]:
    """How well sizes are told in videos that training never sees.

    :param count: number of videos.
    :return: the mean error of the log side at places of known size (`place_error`); the mean and the median over
        videos of that of the typical side (`side_error`, `median_side_error`), and its mean with its sign (`bias`); the
        share of places that are rightly told as object or not (`covered`). NaN where no size is known.
    """
    device, training = next(program.parameters()).device, program.training
    errors: list[float] = []
    places: list[float] = []
    right: list[float] = []
    program.eval()
    for start in range(0, count, SCORED):
        number = min(SCORED, count - start)
        clips = torch.from_numpy(_part(seed, "test", start, number)).to(device).float() / 255
        told, said = told_in(clips[:, len(SEEN)]), program(clips[:, : len(SEEN)])
        right.append(float(((said.logit > 0) == (told.covered > 0)).float().mean()) * number)
        for video in range(number):
            known = told.known[video]
            if known.any():
                places.append(float((said.log_side - told.log_side)[video][known].abs().mean()))
                own = typical_side(said.log_side[video], said.logit[video].sigmoid())
                true = typical_side(told.log_side[video], known.float())
                errors.append(float(np.log(own / true)))
    program.train(training)
    return {
        "place_error": _mean(places),
        "side_error": _mean(np.abs(errors)),
        "median_side_error": float(np.median(np.abs(errors))) if errors else math.nan,
        "bias": _mean(errors),
        "covered": sum(right) / count,
    }


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
