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
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

STATE, WEIGHTS, CONFIG, METRICS, PICTURES = (
    "training_state.pt",
    "weights.safetensors",
    "config.json",
    "metrics.jsonl",
    "pictures",
)


class RunFolderError(ValueError):
    """A folder or file that cannot hold the run; the message names the path and what was expected."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in one sentence that a file could not be written.

    :raises RunFolderError: for what the system says of it (a full disk, …).
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"{path} could not be written ({error.strerror}); what was there before is kept, and a folder with room "
            "and the right to write is needed."
        ) from error


@contextmanager
def written_whole(path: Path, durable: bool = True) -> Iterator[Path]:
    """Where to write a file that is then moved to its place: after a crash the old one or the new one is there.

    :param durable: after a power cut, too; thousands of small files would wait for the disk longer than they take.
    :return: a path beside it; its suffix does not tell what it is.
    :raises RunFolderError: if it cannot be written (a full disk, …); what was there before is kept.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with explained(path):
            yield temporary
            if durable:
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if durable:
                sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Put a file in its place whole, see :func:`written_whole`.

    :raises RunFolderError: if it cannot be written; what was there before is kept.
    """
    with written_whole(path, durable) as temporary, open(temporary, "wb") as file:
        file.write(content)


def require_new(path: Path, overwrite: bool) -> None:
    """Refuse to replace an output that exists unless that is asked for.

    :raises RunFolderError: saying so.
    """
    if path.exists() and not overwrite:
        raise RunFolderError(f"{path} exists, but another name, or to overwrite it (--overwrite), was expected.")


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
