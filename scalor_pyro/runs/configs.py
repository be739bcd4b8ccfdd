"""The config that is saved with a run: how it is written, read and compared."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalor_pyro.config import ConfigError, config_from_dict, config_to_dict
from scalor_pyro.config.checks import shown
from scalor_pyro.config.kinds import kind_of
from scalor_pyro.config.plain import parse_json

# A config or a line of metrics is smaller by far, so that a huge file is refused before it is read.
MOST_BYTES = 16 * 2**20


class CheckpointError(ValueError):
    """A file of a run that cannot be written or used; the message names the file and what was expected."""


def config_to_json(config: Any) -> str:
    """The config as one line of JSON, the same for equal configs."""
    return json.dumps(config_to_dict(config))


def config_hash(config_json: str) -> str:
    """A short name of a config, the same for equal ones."""
    return hashlib.sha256(config_json.encode()).hexdigest()[:16]


def first_difference(saved: Any, wanted: Any, name: str = "") -> str | None:
    """The first field in which two configs (as plain values) differ, in words; None if they agree."""
    if isinstance(saved, Mapping) and isinstance(wanted, Mapping):
        for key in [*wanted, *(key for key in saved if key not in wanted)]:
            found = first_difference(saved.get(key), wanted.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    return None if saved == wanted else f"{name}: expected {shown(wanted)}, got {shown(saved)}"


def require_same_config(path: Path, saved: Any, wanted: Any) -> None:
    """Refuse a checkpoint of another config.

    :param path: of the checkpoint.
    :param saved: its config as plain values; fields that are newer than the checkpoint have their defaults.
    :param wanted: the config.
    :raises CheckpointError: naming the first field that differs.
    """
    wanted_values = _plain(wanted)
    try:
        saved = _plain(config_from_dict(type(wanted), saved))
    except ConfigError:  # it differs in a field that this config cannot have, and is named below
        if isinstance(saved, Mapping) and "kind" in wanted_values:
            saved = {"kind": kind_of(saved), **saved}
    difference = first_difference(saved, wanted_values)
    if difference:
        raise CheckpointError(f"{path} has another config ({difference}).")


def _plain(config: Any) -> Any:
    """The config as JSON gives it back."""
    return json.loads(config_to_json(config))


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a file of a run.

    :param most: bytes to read at most; None: no limit.
    :raises CheckpointError: if it cannot be read, or is larger.
    """
    try:
        with open(path, "rb") as file:
            content = file.read() if most is None else file.read(most + 1)
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        raise unreadable(path, error) from error
    if most is not None and len(content) > most:
        raise CheckpointError(f"{path}: expected at most {most // 2**20} MB, got more.")
    return content


def unreadable(path: Path, error: OSError | ValueError) -> CheckpointError:
    """The error for a file that the system cannot read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return CheckpointError(f"{path} could not be read ({reason}).")


def read_json(path: Path) -> Any:
    """The values of a JSON file of a run.

    :raises CheckpointError: if it cannot be read, or is not strict JSON.
    """
    try:
        return parse_json(read_bytes(path, MOST_BYTES))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
