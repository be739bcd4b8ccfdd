"""Records of public benchmarks: files of docs/records/public, one for each run or other method and benchmark."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from records import ORIGIN, without_folders

from scalor_pyro.config import PublicRunConfig
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.experiments.results import RESULTS
from scalor_pyro.inference.trained import TrainedRun

RECORDS = Path(__file__).resolve().parents[1] / "docs" / "records" / "public"
# Of the results of a run, what its record keeps about the training.
TRAINING = ("steps", "training_minutes", "processor_minutes", "seed")

Record = Mapping[str, Any]


def origin_of_training(run: TrainedRun, videos: PublicVideos) -> dict[str, Any] | None:
    """Where weights come from that were trained on a benchmark; None if it was on other videos."""
    if not isinstance(run.config, PublicRunConfig) or run.config.data.benchmark != videos.config.benchmark:
        return None
    path = run.folder / RESULTS
    results: dict[str, Any] = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"seed": run.config.seed}
    )
    origin = results.get("provenance", {})
    return {
        **{name: results.get(name) for name in TRAINING},
        "videos": run.config.videos,
        "command": without_folders(origin.get("command")),
        **{name: origin.get(name) for name in ORIGIN},
    }


def record_name(record: Record) -> str:
    """The file of a record."""
    if record["training"] is not None:
        return f"{record['benchmark']}-{record['training']['seed']}.json"
    return f"{record['benchmark']}-by-{record['weights']}.json"


def read(folder: Path) -> list[dict[str, Any]]:
    """All records, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
