"""A trained run, ready to be used: its config and its model."""

from pathlib import Path
from typing import NamedTuple

import torch

from scalor_pyro.config import RunConfig, VideoRunConfig
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.loading import load_run, located
from scalor_pyro.runs.weights import put_weights


class TrainedRun(NamedTuple):
    """A trained run, ready to track."""

    folder: Path  # of its weights, and, of a run of scalor train, of its scene
    config: VideoRunConfig | RunConfig
    scalor: Scalor


def load(run: str | Path, device: torch.device | str = "cpu") -> TrainedRun:
    """Load a run of ``scalor train``, or one on synthetic videos.

    :param run: a run folder, a file of weights, or a name, see :func:`~scalor_pyro.runs.loading.located`.
    :raises CheckpointError: if there is no such run, or the networks have changed since.
    """
    config, weights = load_run(run, (VideoRunConfig, RunConfig))
    scalor, path = Scalor(config.model), located(run)
    put_weights(path, weights, scalor)
    return TrainedRun(path.parent, config, scalor.to(device).eval())
