"""The folder of a run: what lies in it, and how files get there whole.

==========================  =====================================================================
``training_state.pt``       the checkpoint: weights, optimiser, counters and random states, in one file
``weights.safetensors``     the weights of the same checkpoint, for everyone who only wants the model
``config.json``             the :class:`~scalor_pyro.config.RunConfig`, or that of a run on videos
``metrics.jsonl``           one JSON object per logged step and per evaluation
``pictures/``               pictures of what the model sees
==========================  =====================================================================

Each file but the metrics is written beside its place and moved there by one ``os.replace``, so that
a process killed at any moment leaves the old file or the new one. Going on with a run reads
``training_state.pt`` alone: there is no pair of files that could disagree.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scalor_pyro.files import RunFolderError, write_atomically

STATE, WEIGHTS, CONFIG, METRICS, PICTURES = (
    "training_state.pt",
    "weights.safetensors",
    "config.json",
    "metrics.jsonl",
    "pictures",
)


class RunFolder:
    """Paths and metrics of one run.

    :param path: the folder; see :meth:`create` and :meth:`open` for making and finding it.
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
        """A folder for a new run.

        :raises RunFolderError: if it holds a run already, or cannot be written.
        """
        folder = cls(path)
        folder._make_writable(folder.path)
        for file in (folder.state, folder.weights, folder.config, folder.metrics):
            if file.exists():
                raise RunFolderError(
                    f"{folder.path} holds another run ({file.name}); a new folder, or resuming that run, was expected."
                )
        folder._make_writable(folder.pictures)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """The folder of a run that can be gone on with.

        :raises RunFolderError: if there is no training state in it, or it cannot be written.
        """
        folder = cls(path)
        if not folder.state.is_file():
            raise RunFolderError(f"{folder.path} holds no run to resume: a file {STATE} in it was expected.")
        folder._make_writable(folder.path)
        folder._make_writable(folder.pictures)
        return folder

    @staticmethod
    def _make_writable(path: Path) -> None:
        probe = path / ".writable"
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise RunFolderError(
                f"{path} cannot be written ({error.strerror}); a folder with the right to write was expected."
            ) from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row to the metrics; numbers that are not finite become null."""
        line = json.dumps({name: _plain(value) for name, value in row.items()}, allow_nan=False)
        try:
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise RunFolderError(
                f"{self.metrics} could not be written ({error.strerror}); the last checkpoint is kept."
            ) from error

    def rows(self) -> list[dict[str, Any]]:
        """All metrics so far; a last line that was cut off while being written is left out."""
        if not self.metrics.exists():
            return []
        rows = []
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break
                raise RunFolderError(f"Line {number} of {self.metrics} is not JSON, which was expected.") from error
        return rows

    def keep_rows(self, step: int) -> list[dict[str, Any]]:
        """Drop the metrics after a step, as if the run had ended there; gives back the rest."""
        rows = [row for row in self.rows() if row["step"] <= step]
        write_atomically(self.metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())
        return rows


def _plain(value: Any) -> Any:
    """A value that strict JSON can hold."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
