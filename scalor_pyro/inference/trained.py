"""A trained run, ready to use: its config and its model."""

from pathlib import Path
from typing import NamedTuple

import torch

from scalor_pyro.config import RunConfig, VideoRunConfig
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import is_on_videos, load_run, load_run_as, located, put_weights


class TrainedRun(NamedTuple):
    """A trained run, ready to track."""

    folder: Path  # of its weights, and, for a run of scalor train, of its background image
    config: VideoRunConfig | RunConfig
    scalor: Scalor


def load(run: str | Path, device: torch.device | str = "cpu") -> TrainedRun:
    """Load a run of ``scalor train``, or one on synthetic videos.

    :param run: a run folder, a file of weights, or a name, see :func:`~scalor_pyro.runs.checkpoint.located`.
    :raises CheckpointError: if there is no such run, or the networks have changed since.
    """
    config: VideoRunConfig | RunConfig
    config, weights = load_run_as(run, VideoRunConfig) if is_on_videos(run) else load_run(run)
    scalor, path = Scalor(config.model), located(run)
    put_weights(path, weights, scalor)
    return TrainedRun(path.parent, config, scalor.to(device).eval())
