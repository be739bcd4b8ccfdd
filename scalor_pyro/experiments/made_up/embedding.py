"""A run that learns which glimpses are of one object: the network by which linking tells objects apart in any scene."""

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray

from scalor_pyro.config import EmbeddingRunConfig
from scalor_pyro.data.worlds import Split
from scalor_pyro.embedding.glimpses import CHANNELS, SIDE
from scalor_pyro.embedding.program import GlimpseEmbedding, told_apart
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.experiments.made_up.any_scene import in_parts
from scalor_pyro.experiments.made_up.glimpses import GLIMPSES, OBJECTS, TrackedGlimpses
from scalor_pyro.experiments.results import write_results
from scalor_pyro.runs.provenance import UNKNOWN, MadeBy, provenance
from scalor_pyro.training.callbacks import Callback
from scalor_pyro.training.loop import train

logger = logging.getLogger(__name__)

# Videos scored at a time.
SCORED = 20


def run_embedding(
    config: EmbeddingRunConfig,
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
    """Train on glimpses of made-up movers, score on others, and leave weights and ``results.json`` in the run folder.

    Parameters as of :func:`~scalor_pyro.experiments.made_up.sizes.run_sizes`; glimpses of each video stay in
    memory, 0.39 MB.
    """
    origin = provenance(made_by, device, resumed=resume)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    program = GlimpseEmbedding(config.model).to(device)
    logger.info("Making and tracking %d videos.", config.videos)
    clips = clips_of(config.seed, "train", config.videos, workers)
    unseen = clips_of(config.seed, "test", final_videos, workers)
    ended = train(
        program,
        clips,
        config,
        folder,
        evaluate=lambda _: without_nan(scores_on(program, unseen[: config.train.eval_videos])),
        callbacks=callbacks,
        resume=resume,
        progress=progress,
    )
    if ended.interrupted:
        return None
    return write_results(folder, scores_on(program, unseen), final_videos, ended, config.seed, origin)


def clips_of(seed: int, split: Split, count: int, workers: int = 1) -> NDArray[np.uint8]:
    """Glimpses of the objects of the first videos of the stream. (N, K · J, 7, 24, 24)"""
    shape = (count, OBJECTS * GLIMPSES, CHANNELS, SIDE, SIDE)
    return in_parts(partial(_part, seed, split), shape, workers)


def _part(seed: int, split: Split, start: int, count: int) -> NDArray[np.uint8]:
    return TrackedGlimpses(seed, split).batch(start, count)


def scores(program: GlimpseEmbedding, seed: int, count: int) -> dict[str, float]:
    """The scores of :func:`scores_on` in videos that training never sees.

    :param count: number of videos.
    """
    return scores_on(program, clips_of(seed, "test", count))


@torch.no_grad()
def scores_on(program: GlimpseEmbedding, clips: NDArray[np.uint8]) -> dict[str, float]:
    """How well objects are told by earlier glimpses of them.

    :param clips: of :func:`clips_of`.
    :return: the share of later glimpses whose object is told rightly (`right`), and what chance would give (`chance`);
        means over videos.
    """
    device, training = next(program.parameters()).device, program.training
    program.eval()
    found = []
    for start in range(0, len(clips), SCORED):
        some = torch.from_numpy(clips[start : start + SCORED]).to(device).float() / 255
        found.append(told_apart(program, some).cpu().numpy())
    program.train(training)
    right, chance = np.nanmean(np.concatenate(found), 0)
    return {"right": float(right), "chance": float(chance)}
