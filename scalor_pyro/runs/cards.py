"""Model cards of the weights that come with the package, kept in their files.

A card is the ``results.json`` of the run without the evaluations during training, and with the scores of the rounded
weights in the file. docs/weights.md is made of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scalor_pyro.config import (
    AnySceneRunConfig,
    DataConfig,
    EmbeddingRunConfig,
    MoverConfig,
    RunConfig,
    SizesRunConfig,
    config_to_dict,
)
from scalor_pyro.runs.configs import CheckpointError
from scalor_pyro.runs.loading import load_config
from scalor_pyro.runs.pretrained import file_of, names
from scalor_pyro.runs.weights import read_about, write_weights


def rounded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with matrices in half precision, which halves the file; vectors and numbers are unchanged."""
    return {name: value.half() if value.dim() > 1 else value for name, value in weights.items()}


def write_pretrained(
    path: Path,
    weights: Mapping[str, Tensor],
    config: RunConfig | AnySceneRunConfig | SizesRunConfig | EmbeddingRunConfig,
    card: Mapping[str, Any],
) -> None:
    """Write a model for the package.

    :param weights: see :func:`rounded`.
    :param card: ready for JSON.
    """
    write_weights(path, dict(weights), config_to_dict(config), {"card": card})


def card_of(name: str) -> tuple[RunConfig | AnySceneRunConfig, dict[str, Any]]:
    """The config and the card of weights that come with the package.

    :raises CheckpointError: for an unknown name, or weights without a card.
    """
    path = file_of(name)
    card = read_about(path).get("card")
    if not isinstance(card, dict):
        raise CheckpointError(f"{path}: expected a model card in its header, got none.")
    return load_config(path, (RunConfig, AnySceneRunConfig)), card


def synthetic_card_of(name: str) -> tuple[RunConfig, dict[str, Any]]:
    """The config and the card of weights for synthetic videos.

    :raises CheckpointError: for others.
    """
    config, card = card_of(name)
    if not isinstance(config, RunConfig):
        raise CheckpointError(f"{name}: expected weights for synthetic videos, got those for any scene.")
    return config, card


def synthetic_names() -> tuple[str, ...]:
    """The names of all weights for synthetic videos."""
    return tuple(name for name in names() if isinstance(card_of(name)[0], RunConfig))


def data_of(config: RunConfig | AnySceneRunConfig) -> DataConfig | MoverConfig:
    """The videos that a model was trained on."""
    return config.movers if isinstance(config, AnySceneRunConfig) else config.data


def shown_data(data: DataConfig | MoverConfig) -> str:
    """The videos that a model was trained for, in words."""
    if isinstance(data, MoverConfig):
        return f"any scene: up to {data.most} made-up movers of {data.object_size:g} px in view, seen as differences"
    what = f"{data.objects} ({data.digits.upper()})" if data.objects == "digits" else data.objects
    behind = "a moving background" if data.background else "black"
    return f"{data.count_min}–{data.count_max} {what} of {data.object_size:g} px over {behind}"
