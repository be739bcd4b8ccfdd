"""Checkpoints: what is saved of a training, and how it is read back without trusting the file."""

import dataclasses
import hashlib
import io
import json
import logging
import math
import pickle
import random
import zipfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from scalor_pyro.config import ConfigError, ConfigT, ModelConfig, RunConfig, config_from_dict, config_to_dict
from scalor_pyro.files import write_atomically
from scalor_pyro.runs import pretrained
from scalor_pyro.runs.folder import CONFIG, WEIGHTS, RunFolder

logger = logging.getLogger(__name__)

FORMAT = "scalor_pyro"
VERSION = 1

# By a part of its config that no other has, what left a run.
TRAINED_BY = {"data": "an example on synthetic videos", "video": "scalor train"}

# What reading a damaged or hostile file can raise in torch's and Python's readers.
_UNREADABLE = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
)


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or used; the message names the file and what was expected."""


class Weighted(Protocol):
    """A module as far as its weights go."""

    config: Any

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


@dataclass
class TrainingState:
    """All that a training needs to go on as if it had never stopped; every value survives ``weights_only``."""

    config: str  # the RunConfig as JSON
    weights: dict[str, Tensor]
    optimiser: dict[str, Any]
    step: int  # steps done
    next_video: int  # index of the first video not trained on yet
    seconds: float  # trained so far
    window: dict[str, Any]  # sums since the last logged row
    random: dict[str, Any]  # see random_state
    processor_seconds: float = math.nan  # of the process that leads; NaN: not counted yet when this was saved
    format: str = FORMAT
    version: int = VERSION


def random_state() -> dict[str, Any]:
    """The states of all random generators, on a GPU of the one in use, as numbers, lists and tensors."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put all random generators back; that of CUDA where it was saved and there is a GPU."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])


def config_to_json(config: Any) -> str:
    """The config as one line of JSON, the same for equal configs."""
    return json.dumps(config_to_dict(config))


def config_hash(config_json: str) -> str:
    """A short name of a config, to tell checkpoints apart."""
    return hashlib.sha256(config_json.encode()).hexdigest()[:16]


def first_difference(saved: Any, wanted: Any, name: str = "") -> str | None:
    """The first field in which two configs (as plain values) differ, as words; None where they agree."""
    if isinstance(saved, Mapping) and isinstance(wanted, Mapping):
        for key in [*wanted, *(key for key in saved if key not in wanted)]:
            found = first_difference(saved.get(key), wanted.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    return None if saved == wanted else f"{name} is {saved!r} in the checkpoint, but {wanted!r} was expected"


def copy_weights(module: Weighted) -> dict[str, Tensor]:
    """The weights on the CPU, apart from the module.

    :raises CheckpointError: naming the first weight that is not finite: such a model is never saved.
    """
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{name} holds values that are not finite; finite weights were expected for saving.")
    return weights


def save_checkpoint(folder: RunFolder, state: TrainingState) -> None:
    """Write training state, weights and config. The first of them is the checkpoint: it is replaced in one move.

    :raises RunFolderError: if it cannot be written; the old checkpoint is kept.
    """
    content = io.BytesIO()  # torch hides the operating system's error when it writes to a file itself
    torch.save({field.name: getattr(state, field.name) for field in dataclasses.fields(state)}, content)
    write_atomically(folder.state, content.getvalue())
    export_weights(folder, state)


def export_weights(folder: RunFolder, state: TrainingState) -> None:
    """Write the weights and the config of a training state for readers of the model."""
    write_weights(folder.weights, state.weights, json.loads(state.config), {"step": state.step})
    write_atomically(folder.config, (json.dumps(json.loads(state.config), indent=2) + "\n").encode())


def write_weights(
    path: Path, weights: dict[str, Tensor], config: Mapping[str, Any], further: Mapping[str, Any]
) -> None:
    """Write weights in safetensors form, with all that a reader has to know of them.

    :param config: of the run, as plain values.
    :param further: what else is said of them, ready for JSON.
    """
    about = {"version": VERSION, "config": config, "config_hash": config_hash(json.dumps(config)), **further}
    # One entry alone: safetensors writes several in random order, and equal weights should be equal files.
    write_atomically(path, to_safetensors(weights, {FORMAT: json.dumps(about)}))


def load_training_state(path: str | Path) -> TrainingState:
    """Read ``training_state.pt``; nothing in the file is run.

    :raises CheckpointError: if it is missing, cut off, not of this project, or would run code.
    """
    path = Path(path)
    start = _start(path)
    if not start.startswith(b"PK"):
        raise CheckpointError(f"{path} is not a checkpoint: a training state written by {FORMAT} was expected.")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is cut off or damaged: a whole training state was expected.")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused because loading it would run code or build foreign objects: "
            f"a training state written by {FORMAT} was expected."
        ) from error
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} is cut off or damaged: a whole training state was expected.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by {FORMAT}: one of its training states was expected.")
    _check_version(path, values.get("version"))
    fields = {field.name for field in dataclasses.fields(TrainingState)}
    older = fields - {"processor_seconds"}
    if set(values) not in (fields, older):
        raise CheckpointError(f"{path} holds {sorted(values)}, but exactly {sorted(fields)} was expected.")
    return TrainingState(**values)


def located(run: str | Path) -> Path:
    """The file with the weights of a run.

    :param run: a run folder; a file of weights; or, as a str, the name of weights that come with the package
        (:mod:`scalor_pyro.runs.pretrained`), which takes precedence over a folder of that name ("./name").
    :raises CheckpointError: if there is no such folder, file or name.
    """
    path, names = Path(run), pretrained.names()
    if isinstance(run, str) and run in names:
        return pretrained.file_of(run)
    if not path.exists():
        raise CheckpointError(
            f"There is no run {run}, but a run folder, a file of weights, or one of the names {', '.join(names)} was"
            " expected."
        )
    return path / WEIGHTS if path.is_dir() else path


def load_weights(run: str | Path, scalor: Weighted, same_config: bool = True) -> None:
    """Put saved weights into a model.

    :param run: see :func:`located`.
    :param scalor: the model that takes them.
    :param same_config: require the model's config to be the saved one; else only names and shapes must fit
        (a model with more slots takes the same weights).
    :raises CheckpointError: if the file cannot be used, or belongs to another config.
    """
    path = located(run)
    about, weights = _read(path)
    if same_config:
        require_same_config(path, about["config"].get("model"), scalor.config)
    put_weights(path, weights, scalor)


def load_model(run: str | Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The config and the weights of the model of a run, whatever it was trained on.

    :param run: see :func:`located`.
    :raises CheckpointError: if the file cannot be used, or is of another kind of model.
    """
    path = located(run)
    about, weights = _read(path)
    return _config_from(path, about["config"].get("model", {}), ModelConfig), weights


def load_run(run: str | Path) -> tuple[RunConfig, dict[str, Tensor]]:
    """The config and the weights of a run.

    :param run: see :func:`located`.
    :raises CheckpointError: if either is missing or damaged, or they belong to different runs.
    """
    return load_run_as(run, RunConfig)


def load_run_as(run: str | Path, kind: type[ConfigT]) -> tuple[ConfigT, dict[str, Tensor]]:
    """Like :func:`load_run`, for a run with another kind of config."""
    config = load_config_as(run, kind)
    path = located(run)
    about, weights = _read(path)
    require_same_config(path, about["config"], config)
    return config, weights


def load_config(run: str | Path) -> RunConfig:
    """The config of a run.

    :param run: see :func:`located`.
    :raises CheckpointError: if there is none, or it is not one.
    """
    return load_config_as(run, RunConfig)


def load_config_as(run: str | Path, kind: type[ConfigT]) -> ConfigT:
    """Like :func:`load_config`, for a run with another kind of config."""
    path, values = _saved_config(run)
    _require_kind(path, values, kind)
    return _config_from(path, values, kind)


def is_on_videos(run: str | Path) -> bool:
    """Whether ``scalor train`` left a run, not an example on synthetic videos.

    :param run: see :func:`located`.
    :raises CheckpointError: if its config cannot be read.
    """
    _, values = _saved_config(run)
    return isinstance(values, Mapping) and _trained_by(values) == TRAINED_BY["video"]


def _saved_config(run: str | Path) -> tuple[Path, Any]:
    """The config of a run as plain values, and the file it is from: the folder's, or, of weights alone, their own."""
    weights = located(run)
    path = weights.with_name(CONFIG)
    if weights.name != WEIGHTS or not path.exists():
        return weights, read_about(weights)["config"]
    try:
        return path, json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not JSON: the config of a run was expected.") from error


def _config_from(path: Path, values: Any, kind: type[ConfigT]) -> ConfigT:
    try:
        return config_from_dict(kind, values)
    except ConfigError as error:
        raise CheckpointError(f"{path} does not describe a run: {error}") from error


def _require_kind(path: Path, values: Any, kind: Any) -> None:
    """Refuse the run of another program, before its settings are taken for damaged ones."""
    expected = _trained_by({field.name for field in dataclasses.fields(kind)})
    found = _trained_by(values) if isinstance(values, Mapping) else None
    if found and expected and found != expected:
        raise CheckpointError(f"{path} is of a run of {found}, but a run of {expected} was expected.")


def _trained_by(parts: Container[str]) -> str | None:
    return next((trainer for part, trainer in TRAINED_BY.items() if part in parts), None)


def require_same_config(path: Path, saved: Any, wanted: Any) -> None:
    """Refuse a checkpoint of another config, naming the first field that differs.

    :param saved: plain values; fields that are newer than the checkpoint have their defaults.
    :param wanted: the config.
    """
    try:
        saved = _plain(config_from_dict(type(wanted), saved))
    except ConfigError:
        pass  # what is no config differs from each that is one, and the difference is named below
    difference = first_difference(saved, _plain(wanted))
    if difference:
        raise CheckpointError(f"{path} belongs to another config: {difference}.")


def _plain(config: Any) -> Any:
    """The config as JSON gives it back."""
    return json.loads(json.dumps(config_to_dict(config)))


def put_weights(path: Path, weights: Mapping[str, Tensor], scalor: Weighted) -> None:
    """Load weights whose names and shapes fit the model, or leave it untouched.

    Scheduled quantities that are newer than the weights stay as they are, at first at their defaults.
    """
    own = scalor.state_dict()
    complete = {name: value for name, value in own.items() if name.startswith("annealed.")} | dict(weights)
    for mismatch in _mismatches(complete, own):
        raise CheckpointError(f"{path} does not fit the model: {mismatch}.")
    scalor.load_state_dict(complete)


def start_from(run: str | Path, own: Mapping[str, Tensor]) -> None:
    """Give a model the parameters of a run that fit it by name and shape; all others stay as they are.

    :param run: see :func:`located`; its model may differ, in the image's size, the cells or the slots, say.
    :param own: the model's parameters by name, changed in place. Scheduled quantities and the scene of a static
        background are none.
    :raises CheckpointError: if the file cannot be used, or fewer than half of the parameters fit; nothing changes then.
    """
    path = located(run)
    _, weights = _read(path)
    fitting = [name for name, value in own.items() if name in weights and weights[name].shape == value.shape]
    if 2 * len(fitting) < len(own):
        raise CheckpointError(
            f"{path} is no start for this model: {len(fitting)} of its {len(own)} parameters have their like there,"
            " but at least half were expected."
        )
    logger.info("Starting from %s: %d of %d parameters are taken from there.", path, len(fitting), len(own))
    with torch.no_grad():
        for name in fitting:
            own[name].copy_(weights[name])


def _mismatches(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[str]:
    for name, value in own.items():
        if name not in saved:
            yield f"it lacks {name}"
        elif saved[name].shape != value.shape:
            yield f"{name} has shape {tuple(saved[name].shape)}, but {tuple(value.shape)} was expected"
    yield from (f"the model has no {name}" for name in saved if name not in own)


def read_about(path: Path) -> dict[str, Any]:
    """What a file of weights says of them: version, config and more, as plain values; tensors are not read.

    :raises CheckpointError: if it cannot be used.
    """
    return _read(path, tensors=False)[0]


def _read(path: Path, tensors: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file of weights says of them, and the weights in single precision."""
    _start(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if tensors else ()
            weights = {name: _single(file.get_tensor(name)) for name in names}
    except (safetensors.SafetensorError, *_UNREADABLE) as error:
        raise CheckpointError(
            f"{path} is cut off, damaged or of another kind: whole weights in safetensors form were expected."
        ) from error
    if FORMAT not in metadata:
        raise CheckpointError(f"{path} was not written by {FORMAT}: weights of one of its runs were expected.")
    try:
        about = dict(json.loads(metadata[FORMAT]))
        version, about["config"] = about["version"], dict(about["config"])
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} holds no readable config: the JSON of a run's config was expected.") from error
    _check_version(path, version)
    return about, weights


def _single(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value


def _check_version(path: Path, version: object) -> None:
    if str(version) != str(VERSION):
        raise CheckpointError(f"{path} has format version {version}, but version {VERSION} was expected.")


def _start(path: Path) -> bytes:
    """The first bytes of a file that must be there."""
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except OSError as error:
        raise CheckpointError(f"{path} could not be read ({error.strerror}): a file of a run was expected.") from error
