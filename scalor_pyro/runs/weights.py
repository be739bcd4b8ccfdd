"""Files of weights: safetensors, with the config and more about the run in their header."""

import json
import struct
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import safetensors
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from scalor_pyro.config import SCHEDULED, ConfigError
from scalor_pyro.config.checks import shown
from scalor_pyro.config.plain import parse_json
from scalor_pyro.config.train import require_scheduled
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.configs import CheckpointError, config_hash, unreadable
from scalor_pyro.runs.earlier import renamed

FORMAT = "scalor_pyro"
VERSION = 1
# Scheduled quantities are buffers of this part of a model.
ANNEALED = "annealed."
# The header of the largest model has 40 kB.
MOST_HEADER_BYTES = 16 * 2**20
# What the reader of safetensors can raise for a damaged file.
_UNREADABLE = (safetensors.SafetensorError, RuntimeError, OSError, ValueError, LookupError, TypeError, AttributeError)


class Weighted(Protocol):
    """A module, as far as its weights are concerned."""

    config: Any

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


def copy_weights(module: Weighted) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU.

    :raises CheckpointError: naming the first weight that is not finite: such a model is never saved.
    """
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    name = _not_finite(weights)
    if name is not None:
        raise CheckpointError(f"The model is not saved: expected finite weights, got NaN or infinity in {name}.")
    return weights


def write_weights(
    path: Path, weights: dict[str, Tensor], config: Mapping[str, Any], further: Mapping[str, Any]
) -> None:
    """Write weights as safetensors, with all that a reader needs to know of them.

    :param config: of the run, as plain values.
    :param further: more about the weights, ready for JSON.
    :raises OutputError: if the file cannot be written; the old one is kept.
    """
    about = {"version": VERSION, "config": config, "config_hash": config_hash(json.dumps(config)), **further}
    # A single entry: safetensors writes several in random order, and equal weights should make equal files.
    write_atomically(path, to_safetensors(weights, {FORMAT: json.dumps(about)}))


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file of weights says of them, and the weights in single precision.

    :return: as :func:`read_about`, and the weights by name.
    :raises CheckpointError: if it cannot be used, or holds values that no trained model has.
    """
    about, weights = _read(path, tensors=True)
    require_usable(path, weights)
    return about, weights


def read_about(path: Path) -> dict[str, Any]:
    """What a file of weights says of them: version, config and more, as plain values. Tensors are not read.

    :raises CheckpointError: if it cannot be used.
    """
    return _read(path, tensors=False)[0]


def require_usable(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not finite, and scheduled quantities out of their range.

    :raises CheckpointError: naming the file and the weight.
    """
    name = _not_finite(weights)
    if name is not None:
        raise CheckpointError(f"{path}, {name}: expected finite weights, got NaN or infinity.")
    for name in SCHEDULED:
        value = weights.get(ANNEALED + name)
        if value is not None and value.numel() == 1:
            try:
                require_scheduled(name, float(value))
            except ConfigError as error:
                raise CheckpointError(f"{path}, {ANNEALED}{error}") from error


def put_weights(path: Path, weights: Mapping[str, Tensor], scalor: Weighted) -> None:
    """Load weights whose names, shapes and types fit the model, or leave it untouched.

    Scheduled quantities that are newer than the weights keep their values, at first the defaults.

    :param path: of the weights, for messages.
    :raises CheckpointError: naming the first weight that does not fit.
    """
    own = scalor.state_dict()
    complete = {name: value for name, value in own.items() if name.startswith(ANNEALED)} | dict(weights)
    for mismatch in _mismatches(complete, own):
        raise CheckpointError(f"{path} does not fit the model: {mismatch}.")
    scalor.load_state_dict(complete)


def own_parts(module: object) -> dict[str, str]:
    """The parts of a model that are not standard ones, and the full names of their classes."""
    return dict(getattr(module, "own_parts", {}))


def require_parts(path: Path, trained_with: Any, given: Container[str]) -> None:
    """Refuse weights of a model with parts of its own that are not given. Their names are text; nothing is imported.

    :param trained_with: the model's :func:`own_parts`, as they were saved; None for a standard model.
    :param given: names of parts.
    """
    parts = trained_with or {}
    if not isinstance(parts, Mapping) or not all(isinstance(text, str) for item in parts.items() for text in item):
        raise CheckpointError(f"{path}: expected the names of the model's parts as text, got {shown(parts)}.")
    if missing := [name for name in parts if name not in given]:
        which = " and ".join(f"{name[:80]} ({parts[name][:80]})" for name in missing)
        arguments = ", ".join(f"{name[:80]}=…" for name in missing)
        raise CheckpointError(f"{path}: trained with its own {which}; pass parts=Parts({arguments}).")


def check_version(path: Path, version: object) -> None:
    """Refuse files of another format."""
    if type(version) not in (int, str) or str(version) != str(VERSION):
        raise CheckpointError(f"{path}: expected format version {VERSION}, got {shown(version)}.")


def _not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """The name of the first weight with a value that is not finite."""
    floating = ((name, value) for name, value in weights.items() if value.is_floating_point())
    return next((name for name, value in floating if not bool(torch.isfinite(value).all())), None)


def _mismatches(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[str]:
    for name, value in own.items():
        if name not in saved:
            yield f"it lacks {name}"
        elif saved[name].shape != value.shape:
            yield f"{name}: expected shape {tuple(value.shape)}, got {tuple(saved[name].shape)}"
        elif saved[name].is_floating_point() != value.is_floating_point() or saved[name].is_complex():
            yield f"{name}: expected {value.dtype}, got {saved[name].dtype}"
    yield from (f"the model has no {shown(name).strip(chr(39))}" for name in saved if name not in own)


def _read(path: Path, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    _require_header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if tensors else ()
            weights = {name: _single(file.get_tensor(name)) for name in names}
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} is damaged or cut off: expected whole weights in safetensors form.") from error
    if FORMAT not in metadata:
        raise CheckpointError(f"{path} was not written by {FORMAT}: expected the weights of one of its runs.")
    try:
        about = parse_json(metadata[FORMAT])
    except ConfigError as error:
        raise CheckpointError(f"{path}, its header: {error}") from error
    if not isinstance(about, dict) or not isinstance(about.get("config"), dict):
        raise CheckpointError(f"{path}, its header: expected the config of a run, got {shown(about)}.")
    check_version(path, about.get("version"))
    return about, renamed(weights)


def _require_header(path: Path) -> None:
    """Refuse a file whose header is longer than the file, or than any of ours, before anything is allocated for it."""
    try:
        with open(path, "rb") as file:
            start, size = file.read(8), file.seek(0, 2)
    except OSError as error:
        raise unreadable(path, error) from error
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 0 < length <= min(MOST_HEADER_BYTES, size - 8):
        raise CheckpointError(
            f"{path} is damaged, cut off or of another kind: expected whole weights in safetensors form."
        )


def _single(value: Tensor) -> Tensor:
    """In single precision, if it has less: not all of torch computes with the small types."""
    return value.float() if value.is_floating_point() and value.dtype.itemsize < 4 else value
