"""A trained run, ready to use: its config and its model."""

from pathlib import Path
from typing import NamedTuple

import torch

from scalor_pyro.config import AnySceneRunConfig, PublicRunConfig, RunConfig, VideoRunConfig
from scalor_pyro.model.parts import Parts
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.loading import load_run, located
from scalor_pyro.runs.weights import put_weights


class TrainedRun(NamedTuple):
    """A trained run, ready to track."""

    folder: Path  # of its weights, and, for a run of scalor train, of its background image
    config: VideoRunConfig | RunConfig | AnySceneRunConfig | PublicRunConfig
    scalor: Scalor


def load(run: str | Path, device: torch.device | str = "cpu", parts: Parts | None = None) -> TrainedRun:
    """Load a run of ``scalor train``, one on synthetic videos or a public benchmark, or one for any scene.

    :param run: a run folder, a file of weights, or a name, see :func:`~scalor_pyro.runs.loading.located`.
    :param parts: the parts of its own that the model was trained with.
    :raises CheckpointError: if there is no such run, the networks have changed since, or parts are missing.
    """
    parts = parts or Parts()
    config, weights = load_run(run, (VideoRunConfig, RunConfig, AnySceneRunConfig, PublicRunConfig), parts.names())
    scalor, path = Scalor(config.model, parts=parts), located(run)
    put_weights(path, weights, scalor)
    return TrainedRun(path.parent, config, scalor.to(device).eval())
