"""Loading runs: by folder, by file, or by the name of weights that come with the package."""

import logging
import typing
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

from scalor_pyro.config import ConfigError, ModelConfig, config_from_dict
from scalor_pyro.config.kinds import KINDS, kind_of, name_of
from scalor_pyro.config.plain import parse_json
from scalor_pyro.runs import pretrained
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.configs import CheckpointError, read_json, require_same_config
from scalor_pyro.runs.folder import CONFIG, WEIGHTS, RunFolder
from scalor_pyro.runs.weights import Weighted, own_parts, put_weights, read_about, read_weights, require_parts

logger = logging.getLogger(__name__)

RunT = TypeVar("RunT")


def located(run: str | Path) -> Path:
    """The file with the weights of a run.

    :param run: a run folder; a file of weights; or, as a str, the name of weights that come with the package
        (:mod:`scalor_pyro.runs.pretrained`). A name takes precedence over a folder that is called the same, which is
        then "./name".
    :raises CheckpointError: if there is no such folder, file or name.
    """
    path, names = Path(run), pretrained.names()
    if isinstance(run, str) and run in names:
        return pretrained.file_of(run)
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or that no file can have
        exists = is_folder = False
    if not exists:
        raise CheckpointError(
            f"There is no run {path}: expected a run folder, a file of weights, or one of the names {', '.join(names)}."
        )
    return path / WEIGHTS if is_folder else path


@overload
def load_config(run: str | Path, expected: type[RunT]) -> RunT: ...


@overload
def load_config(run: str | Path, expected: tuple[type[Any], ...] | None = None) -> Any: ...


def load_config(run: str | Path, expected: type[Any] | tuple[type[Any], ...] | None = None) -> Any:
    """The config of a run, of the type that belongs to its kind (:data:`scalor_pyro.config.kinds.KINDS`).

    :param run: see :func:`located`.
    :param expected: the type, or the types, of config that the caller can use; None: any.
    :raises CheckpointError: if there is none, it is damaged, or the run is of another kind.
    """
    path, values = _saved_config(run)
    return _config_of_run(path, values, expected)


def load_config_to_resume(folder: RunFolder, expected: type[RunT]) -> RunT:
    """The config in the training state of a run.

    :raises CheckpointError: if the state cannot be used, or the run is of another kind.
    """
    state = load_training_state(folder.state)
    config: RunT = _config_of_run(folder.state, parse_json(state.config), expected)
    return config


@overload
def load_run(run: str | Path, expected: type[RunT], parts: Container[str] = ()) -> tuple[RunT, dict[str, Tensor]]: ...


@overload
def load_run(
    run: str | Path, expected: tuple[type[Any], ...] | None = None, parts: Container[str] = ()
) -> tuple[Any, dict[str, Tensor]]: ...


def load_run(
    run: str | Path, expected: type[Any] | tuple[type[Any], ...] | None = None, parts: Container[str] = ()
) -> tuple[Any, dict[str, Tensor]]:
    """The config and the weights of a run.

    :param run: see :func:`located`.
    :param expected: see :func:`load_config`.
    :param parts: names of the parts of its own that the caller has for the model.
    :raises CheckpointError: if either is missing or damaged, they belong to different runs, or the run is of another
        kind.
    """
    config = load_config(run, expected)
    path = located(run)
    about, weights = read_weights(path)
    require_parts(path, about.get("parts"), parts)
    require_same_config(path, about["config"], config)
    return config, weights


def load_model(run: str | Path, parts: Container[str] = ()) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The config and the weights of SCALOR in a run, whatever videos it was trained on.

    :param run: see :func:`located`.
    :param parts: names of the parts of its own that the caller has for the model.
    :raises CheckpointError: if the file cannot be used, or is of a model other than SCALOR.
    """
    path = located(run)
    about, weights = read_weights(path)
    require_parts(path, about.get("parts"), parts)
    return _model_config(path, about["config"]), weights


def load_weights(run: str | Path, scalor: Weighted, same_config: bool = True) -> None:
    """Put the weights of a run into a model.

    :param run: see :func:`located`.
    :param scalor: the model that takes them.
    :param same_config: require the model's config to be the saved one; otherwise only names and shapes must fit, as
        they do for a model with more slots.
    :raises CheckpointError: if the file cannot be used, or has another config.
    """
    path = located(run)
    about, weights = read_weights(path)
    require_parts(path, about.get("parts"), own_parts(scalor))
    if same_config:
        require_same_config(path, about["config"].get("model"), scalor.config)
    put_weights(path, weights, scalor)


def start_from(run: str | Path, own: Mapping[str, Tensor]) -> None:
    """Give a model the parameters of a run that fit it by name and shape; all others keep their values.

    :param run: see :func:`located`; its model may differ, for example in image size, cells or slots.
    :param own: the model's parameters by name, changed in place. Scheduled quantities and a static background image
        are not parameters.
    :raises CheckpointError: if the file cannot be used, or less than half of the parameters fit; nothing changes then.
    """
    path = located(run)
    _, weights = read_weights(path)
    fitting = [name for name, value in own.items() if name in weights and weights[name].shape == value.shape]
    if 2 * len(fitting) < len(own):
        raise CheckpointError(
            f"{path} cannot start this model: expected at least half of its {len(own)} parameters, got {len(fitting)}."
        )
    logger.info("Starting from %s: it has %d of %d parameters.", path, len(fitting), len(own))
    with torch.no_grad():
        for name in fitting:
            own[name].copy_(weights[name])


def _saved_config(run: str | Path) -> tuple[Path, Any]:
    """The config of a run as plain values, and the file it is from: the folder's, or the weights' own if alone."""
    weights = located(run)
    path = weights.with_name(CONFIG)
    if weights.name != WEIGHTS or not path.exists():
        return weights, read_about(weights)["config"]
    return path, read_json(path)


def _config_of_run(path: Path, values: Any, expected: type[Any] | tuple[type[Any], ...] | None) -> Any:
    """The config of a run, from the plain values in a file."""
    try:
        wanted = tuple(map(name_of, _as_tuple(expected)))
        found = kind_of(values, wanted)
        if wanted and found not in wanted:
            trainers = " or ".join(f"`{KINDS[name].trained_by}`" for name in wanted)
            raise CheckpointError(
                f"{path}: expected a run trained by {trainers}, got one trained by `{KINDS[found].trained_by}`."
            )
        return config_from_dict(KINDS[found].config, values)
    except ConfigError as error:
        raise CheckpointError(f"{path}, {error}") from error


def _model_config(path: Path, values: dict[str, Any]) -> ModelConfig:
    """The config of the model in that of a run, or in a file of weights that were trained in a loop of your own."""
    if set(values) != {"model"}:
        model: ModelConfig = _config_of_run(path, values, _kinds_of_scalor()).model
        return model
    try:
        return config_from_dict(ModelConfig, values["model"])
    except ConfigError as error:
        raise CheckpointError(f"{path}, {error}") from error


def _as_tuple(expected: type[Any] | tuple[type[Any], ...] | None) -> tuple[type[Any], ...]:
    if expected is None:
        return ()
    return expected if isinstance(expected, tuple) else (expected,)


def _kinds_of_scalor() -> tuple[type[Any], ...]:
    """The configs of runs whose model is SCALOR."""
    configs = (kind.config for kind in KINDS.values())
    return tuple(config for config in configs if typing.get_type_hints(config)["model"] is ModelConfig)
