"""The folder of a run: its files, and how they are written.

==========================  =====================================================================
``training_state.pt``       the checkpoint: weights, optimiser, counters and random states, in one file
``weights.safetensors``     the weights of the same checkpoint, for readers of the model
``config.json``             the config of the run, see :data:`scalor_pyro.config.kinds.KINDS`
``sources.json``            where its data came from on this machine, see :mod:`scalor_pyro.runs.sources`
``metrics.jsonl``           one JSON object per logged step and per evaluation
``pictures/``               pictures of what the model sees
==========================  =====================================================================

Each file except the metrics is written beside its place and moved there by one ``os.replace``, so a process that is
killed at any moment leaves the old file or the new one. Resuming reads ``training_state.pt`` alone: no two files can
disagree.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scalor_pyro.config import ConfigError
from scalor_pyro.config.checks import shown
from scalor_pyro.config.plain import parse_json
from scalor_pyro.files import OutputError, remove_stale, write_atomically
from scalor_pyro.runs.configs import CheckpointError, unreadable

STATE, WEIGHTS, CONFIG, METRICS, PICTURES = (
    "training_state.pt",
    "weights.safetensors",
    "config.json",
    "metrics.jsonl",
    "pictures",
)


class RunFolder:
    """Paths and metrics of one run.

    :param path: the folder; :meth:`create` makes a new one, :meth:`open` one to resume.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state = self.path / STATE
        self.weights = self.path / WEIGHTS
        self.config = self.path / CONFIG
        self.metrics = self.path / METRICS
        self.pictures = self.path / PICTURES

    @classmethod
    def create(cls, path: str | Path) -> "RunFolder":
        """The folder of a new run, made if it does not exist.

        :raises OutputError: if it holds a run already, or cannot be written.
        """
        folder = cls(path)
        folder._make_writable(folder.path)
        for file in (folder.state, folder.weights, folder.config, folder.metrics):
            if file.exists():
                raise OutputError(
                    f"{folder.path} holds another run ({file.name}): expected a new folder, or resuming that run."
                )
        folder._make_writable(folder.pictures)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """The folder of a run that can be resumed.

        :raises OutputError: if there is no training state in it, or it cannot be written.
        :raises CheckpointError: if its metrics are damaged.
        """
        folder = cls(path)
        if not folder.state.is_file():
            raise OutputError(f"{folder.path} holds no run to resume: expected a file {STATE} in it.")
        folder._make_writable(folder.path)
        folder._make_writable(folder.pictures)
        remove_stale(folder.path)
        folder.rows()
        return folder

    def discard(self) -> None:
        """Remove the run, so that another one can begin in the folder."""
        for file in (self.metrics, self.weights, self.config, self.state):
            file.unlink(missing_ok=True)

    @staticmethod
    def _make_writable(path: Path) -> None:
        probe = path / f".writable-{os.getpid()}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written ({error.strerror or error}): expected a folder with the right to write."
            ) from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to the metrics; numbers that are not finite become null.

        :raises OutputError: if it cannot be written.
        """
        line = json.dumps({name: _plain(value) for name, value in row.items()}, allow_nan=False)
        try:
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.metrics} could not be written ({error.strerror or error}); the last checkpoint is kept."
            ) from error

    def rows(self) -> list[dict[str, Any]]:
        """All metrics so far, without a last line that was cut off while it was being written.

        :raises CheckpointError: naming the first line that is not a row of metrics.
        """
        try:
            lines = self.metrics.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(self.metrics, error) from error
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(_row(line))
            except ConfigError as error:
                if number == len(lines) and not line.endswith(b"\n"):
                    break
                raise CheckpointError(f"{self.metrics}, line {number}: {error}") from error
        return rows

    def keep_rows(self, step: int) -> list[dict[str, Any]]:
        """Drop the metrics after a step, as if the run had ended there.

        :return: the others.
        """
        rows = [row for row in self.rows() if row["step"] <= step]
        write_atomically(self.metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())
        return rows


def _row(line: bytes) -> dict[str, Any]:
    """A line of the metrics: a table with the number of a step.

    :raises ConfigError: if it is something else.
    """
    row = parse_json(line)
    step = row.get("step") if isinstance(row, dict) else None
    if not isinstance(row, dict) or type(step) is not int or not 0 <= step < 2**63:
        raise ConfigError(f"expected a table with a step, got {shown(row)}.")
    return row


def _plain(value: Any) -> Any:
    """The value as strict JSON has it."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
