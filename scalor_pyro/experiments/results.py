"""The results of a run: its scores, what they cost, and where they come from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.files import write_atomically
from scalor_pyro.training.callbacks import TrainResult

RESULTS = "results.json"


def write_results(
    folder: Path, scores: Mapping[str, Any], videos: int, ended: TrainResult, seed: int, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Leave ``results.json`` in the folder of a run that was trained to its end.

    :param scores: of the trained model.
    :param videos: number of unseen videos that were scored.
    :param ended: how the training ended.
    :param origin: see :func:`~scalor_pyro.runs.provenance.provenance`.
    :return: the results, with None in place of NaN.
    """
    results: dict[str, Any] = without_nan(
        {
            **scores,
            "videos": videos,
            "steps": ended.step,
            "training_minutes": ended.minutes,
            "processor_minutes": ended.processor_minutes,
            "seed": seed,
            "provenance": origin,
        }
    )
    write_atomically(folder / RESULTS, json.dumps(results, indent=1).encode())
    return results
