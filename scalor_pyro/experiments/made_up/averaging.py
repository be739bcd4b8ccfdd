"""One model for any scene from several trainings: the mean of their weights.

Trainings that go on from the same weights, on other videos or with another seed, end near each other, so the mean of
the weights that they end with is a model as well, and may be better than each of them ("model soups", Wortsman et al.,
ICML 2022, arXiv 2203.05482; measured in docs/any_scene.md). It costs nothing in tracking. Trainings from random weights
have nothing in common, and no such mean.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalor_pyro.config import AnySceneRunConfig, config_to_dict
from scalor_pyro.config.checks import require, shown
from scalor_pyro.experiments.made_up.any_scene import scores
from scalor_pyro.experiments.results import RESULTS, write_results
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import write_model
from scalor_pyro.runs.configs import CheckpointError, first_difference, read_json
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_run
from scalor_pyro.runs.provenance import UNKNOWN, MadeBy, provenance
from scalor_pyro.runs.weights import copy_weights
from scalor_pyro.training.callbacks import TrainResult

# What a run has cost, as its results have it.
COSTS = ("steps", "training_minutes", "processor_minutes")


def average_any_scene(
    runs: Sequence[Path],
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    final_videos: int = 200,
    made_by: MadeBy = UNKNOWN,
) -> dict[str, Any]:
    """Average the weights of runs, score them, and leave them and ``results.json`` in a folder of their own.

    :param runs: folders of finished runs for any scene, at least two, that went on from the same weights. The config
        of the first is that of the mean.
    :param folder: a new one. It is no run that can be continued, but one that can be started from.
    :param device: where to score.
    :param final_videos: number of unseen videos to score.
    :param made_by: the command, for the provenance in ``results.json``, which also has that of each run.
    :return: the results; steps and minutes are the sums over the runs.
    :raises ConfigError: for fewer than two runs.
    :raises CheckpointError: for a run that is not finished, began otherwise than the first, or has another model.
    """
    require(len(runs) > 1, "runs", len(runs), "at least 2")
    origin = provenance(made_by, device)
    loaded = [load_run(run, AnySceneRunConfig) for run in runs]
    config = loaded[0][0]
    for run, (other, _) in zip(runs, loaded, strict=True):
        _require_alike(run, other, runs[0], config)
    results = [_results(run) for run in runs]
    into = RunFolder.create(folder)
    scalor = Scalor(config.model)
    scalor.load_state_dict(mean([weights for _, weights in loaded]))
    write_model(into, copy_weights(scalor), config_to_dict(config), {})
    scored = scores(scalor.to(device).eval(), config, final_videos)
    steps, minutes, of_processor = (sum(_number(each[name]) for each in results) for name in COSTS)
    ended = TrainResult(int(steps), minutes, of_processor, interrupted=False, evaluation=None)
    origin["mean_of"] = [{**each["provenance"], "seed": each["seed"]} for each in results]
    return write_results(folder, scored, final_videos, ended, config.seed, origin)


def mean(weights: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each of the weights, added up in double precision; whole numbers are those of the first."""
    first = weights[0]
    return {
        name: torch.stack([each[name].double() for each in weights]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def _require_alike(run: Path, config: AnySceneRunConfig, first: Path, wanted: AnySceneRunConfig) -> None:
    """Refuse a run whose weights have nothing in common with those of the first."""
    difference = first_difference(config_to_dict(config.model), config_to_dict(wanted.model))
    if difference:
        raise CheckpointError(f"{run} has another model than {first} ({difference}).")
    start = config.train.start_from
    if start is None:
        raise CheckpointError(f"{run}: expected a run that went on from trained weights, got one from random weights.")
    if start != wanted.train.start_from:
        raise CheckpointError(f"{run} went on from {start}: expected {wanted.train.start_from}, as {first} did.")


def _number(value: float | None) -> float:
    """A number of a run's results, which have None in place of NaN."""
    return math.nan if value is None else value


def _results(run: Path) -> dict[str, Any]:
    """The results of a finished run.

    :raises CheckpointError: if there are none.
    """
    path = run / RESULTS
    if not path.exists():
        raise CheckpointError(f"{run} is not finished: expected a file {RESULTS} in it.")
    results = read_json(path)
    if not isinstance(results, dict) or not {*COSTS, "seed", "provenance"} <= set(results):
        raise CheckpointError(f"{path}: expected the results of a training, got {shown(results)}.")
    return results
