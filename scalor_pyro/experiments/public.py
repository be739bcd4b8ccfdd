"""A run on a public benchmark: training, and scores by the published protocols."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyro
import torch

from scalor_pyro.config import PublicRunConfig
from scalor_pyro.data import choose_source
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.experiments.public_scores import TEST_SEED, scores
from scalor_pyro.experiments.results import write_results
from scalor_pyro.experiments.ways import WAYS
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.provenance import UNKNOWN, MadeBy, provenance
from scalor_pyro.runs.sources import mnist_to_train_on, remember_mnist
from scalor_pyro.training.callbacks import Callback
from scalor_pyro.training.loop import train

# Index of the first video for scores during training, far from those at its end.
VALIDATION_START = 100_000


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
    found = {name: scores(scalor, unseen, final_videos, way=way) for name, way in WAYS.items()}
    return write_results(folder, found, final_videos, ended, config.seed, origin)


def with_known_digits(config: PublicRunConfig, mnist: Path | None) -> PublicRunConfig:
    """The config with 'auto' replaced by the digits that are available.

    :raises ValueError: for digits that are not, or MNIST for videos without digits.
    """
    if config.data.objects != "digits":
        if mnist is not None:
            raise ValueError(f"MNIST was given ({mnist}), but {config.data.benchmark} shows no digits.")
        return config
    return replace(config, data=replace(config.data, digits=choose_source(config.data.digits, mnist)))
