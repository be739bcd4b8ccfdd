"""Checkpoints: the state of a training, saved so that it resumes bit-exactly, and read without trusting the file."""

import dataclasses
import io
import json
import math
import pickle
import random
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalor_pyro.config import ConfigError
from scalor_pyro.config.checks import require, shown
from scalor_pyro.config.plain import parse_json
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.configs import CheckpointError, read_bytes
from scalor_pyro.runs.earlier import renamed
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.weights import FORMAT, VERSION, check_version, require_usable, write_weights

# What torch's and Python's readers can raise for a damaged or hostile file.
_UNREADABLE = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
)
# Types of numbers that a training has.
_PLAIN = {
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
}


@dataclass
class TrainingState:
    """All that a training needs to go on as if it had never stopped; every value survives ``weights_only``."""

    config: str  # the run's config as JSON
    weights: dict[str, Tensor]
    optimiser: dict[str, Any]
    step: int  # steps done
    next_video: int  # index of the first video not trained on yet
    seconds: float  # of training so far
    window: dict[str, Any]  # sums since the last logged row
    random: dict[str, Any]  # see random_state
    processor_seconds: float = math.nan  # of the process of rank 0; NaN: saved by a version that did not count them
    parts: dict[str, str] = dataclasses.field(default_factory=dict)  # the model's own_parts; standard models have none
    format: str = FORMAT
    version: int = VERSION


def random_state() -> dict[str, Any]:
    """The states of all random generators (of CUDA, that of the current device), as numbers, lists and tensors."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore all random generators; that of CUDA if it was saved and a GPU is available."""
    random.setstate(_python_state(state))
    np.random.set_state(_numpy_state(state))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])


def _python_state(state: Mapping[str, Any]) -> tuple[Any, ...]:
    version, numbers, gauss = state["python"]
    return version, tuple(numbers), gauss


def _numpy_state(state: Mapping[str, Any]) -> tuple[Any, ...]:
    name, keys, position, has_gauss, cached = state["numpy"]
    return name, np.array(keys, dtype=np.uint32), position, has_gauss, cached


def save_checkpoint(folder: RunFolder, state: TrainingState) -> None:
    """Write training state, weights and config. The first is the checkpoint itself, replaced in one move.

    :raises OutputError: if it cannot be written; the old checkpoint is kept.
    """
    content = io.BytesIO()  # torch hides the operating system's error when it writes to a file itself
    values = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    if not state.parts:
        del values["parts"]
    torch.save(values, content)
    write_atomically(folder.state, content.getvalue())
    export_weights(folder, state)


def export_weights(folder: RunFolder, state: TrainingState) -> None:
    """Write the weights and the config of a training state as files of their own, for readers of the model."""
    parts = {"parts": state.parts} if state.parts else {}
    write_model(folder, state.weights, json.loads(state.config), {"step": state.step, **parts})


def write_model(
    folder: RunFolder, weights: dict[str, Tensor], config: Mapping[str, Any], further: Mapping[str, Any]
) -> None:
    """Write weights and config, for readers of the model.

    :param config: of the run, as plain values.
    :param further: see :func:`~scalor_pyro.runs.weights.write_weights`.
    :raises OutputError: if they cannot be written.
    """
    write_weights(folder.weights, weights, config, further)
    write_atomically(folder.config, (json.dumps(config, indent=2) + "\n").encode())


def load_training_state(path: str | Path) -> TrainingState:
    """Read ``training_state.pt``; nothing in the file is executed.

    :raises CheckpointError: if it is missing, damaged (checksums find flipped bits), not of this project, would execute
        code, or holds values of another type; the message names the file, and the field if it is one.
    """
    path = Path(path)
    content = read_bytes(path)
    if not content.startswith(b"PK"):
        raise CheckpointError(f"{path} is not a checkpoint: expected a training state written by {FORMAT}.")
    _require_whole(path, content)
    try:
        values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused because loading it would execute code or build foreign objects: expected a training"
            f" state written by {FORMAT}."
        ) from error
    except _UNREADABLE as error:
        raise _damaged(path) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by {FORMAT}: expected one of its training states.")
    check_version(path, values.get("version"))
    try:
        _require_fields(values)
    except ConfigError as error:
        raise CheckpointError(f"{path}, {error}") from error
    require_usable(path, values["weights"])
    return TrainingState(**{**values, "weights": renamed(values["weights"])})


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or cut off: expected a whole training state.")


def _require_whole(path: Path, content: bytes) -> None:
    """Check the archive: its entries are stored as torch does it, and have the checksums that were saved with them.

    torch itself ignores the checksums (CRC-32), and would resume with other numbers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            # Entries that are stored, and apart, cannot be larger together than the file.
            fits = sum(entry.file_size for entry in entries) <= len(content)
            once = len({entry.filename for entry in entries}) == len(entries)
            whole = stored and fits and once and archive.testzip() is None
    except (*_UNREADABLE, zipfile.LargeZipFile) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)


def _require_fields(values: dict[str, Any]) -> None:
    """Refuse a training state whose fields are not those of :class:`TrainingState`, or not of their types.

    :raises ConfigError: naming the field.
    """
    fields = {field.name for field in dataclasses.fields(TrainingState)}
    optional = {"processor_seconds", "parts"}
    names = set(values)
    require(
        fields - optional <= names <= fields,
        "its fields",
        sorted(map(str, names)),
        f"exactly {', '.join(sorted(fields))}",
    )
    require(isinstance(values["config"], str), "config", values["config"], "JSON as text")
    try:
        require(isinstance(parse_json(values["config"]), dict), "config", values["config"], "a table of settings")
    except ConfigError as error:
        raise ConfigError(f"config: {str(error).removeprefix('config: ')}") from error
    _require_tensors("weights", values["weights"])
    parts = values.get("parts", {})
    is_text = isinstance(parts, dict) and all(isinstance(text, str) for item in parts.items() for text in item)
    require(is_text, "parts", parts, "names as text")
    for name in ("step", "next_video"):
        value = values[name]
        require(type(value) is int and 0 <= value < 2**63, name, value, "a whole number from 0")
    _require_number("seconds", values["seconds"])
    processor_seconds = values.get("processor_seconds", math.nan)
    if not (isinstance(processor_seconds, float) and math.isnan(processor_seconds)):
        _require_number("processor_seconds", processor_seconds)
    _require_window(values["window"])
    _require_optimiser(values["optimiser"])
    _require_random(values["random"])


def _require_number(name: str, value: Any) -> None:
    known = type(value) in (int, float) and abs(value) <= 1e300
    require(known and value >= 0, name, value, "a finite number from 0")


def _require_tensors(name: str, values: Any) -> None:
    require(isinstance(values, dict), name, values, "a table of tensors")
    for key, value in values.items():
        require(isinstance(key, str) and isinstance(value, Tensor), name, value, f"a tensor by the name {key}")
        require(_is_plain(value), f"{name}.{shown(key)}", value.dtype, "plain numbers")


def _require_window(window: Any) -> None:
    """Nothing, or the sums of :class:`scalor_pyro.training.reporting.Window`."""
    require(isinstance(window, dict), "window", window, "a table of sums")
    for name, value in window.items():
        known = type(value) in (int, float) and abs(value) <= 1e300 and (name != "steps" or type(value) is int)
        require(known, f"window.{name}", value, "a whole number" if name == "steps" else "a finite number")


def _require_optimiser(optimiser: Any) -> None:
    """Nothing, or the state of a torch optimiser: finite tensors and numbers by the index of their parameter."""
    require(isinstance(optimiser, dict), "optimiser", optimiser, "a table")
    states = optimiser.get("state", {})
    require(isinstance(states, dict), "optimiser.state", states, "a table")
    for index, state in states.items():
        name = f"optimiser.state.{index}"
        require(type(index) is int and isinstance(state, dict), name, state, "a table by the number of a parameter")
        for key, value in state.items():
            is_tensor = isinstance(value, Tensor)
            finite = _is_plain(value) and bool(torch.isfinite(value).all()) if is_tensor else _is_number(value)
            require(finite, f"{name}.{key}", value, "finite numbers")


def _is_plain(value: Tensor) -> bool:
    """Whether torch can compute with a tensor: neither sparse nor of a type that is only stored."""
    return value.layout == torch.strided and value.dtype in _PLAIN


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e300


def _require_random(state: Any) -> None:
    """Refuse random states that the generators do not take; those of this process stay as they are."""
    wanted = "states of the random generators"
    names = {"python", "numpy", "torch", "cuda"}
    require(isinstance(state, dict) and names <= set(state), "random", state, wanted)
    cuda = state["cuda"]
    require(
        isinstance(cuda, list) and all(isinstance(each, Tensor) and each.dtype == torch.uint8 for each in cuda),
        "random.cuda",
        cuda,
        wanted,
    )
    for name, take in (
        ("python", lambda: random.Random().setstate(_python_state(state))),
        ("numpy", lambda: np.random.RandomState().set_state(_numpy_state(state))),
        ("torch", lambda: torch.Generator().set_state(state["torch"])),
    ):
        try:
            take()
        except (TypeError, ValueError, RuntimeError, OverflowError, LookupError, AttributeError) as error:
            raise ConfigError(f"random.{name}: expected the state of a random generator.") from error
