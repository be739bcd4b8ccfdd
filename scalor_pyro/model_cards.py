"""Model cards of the weights that come with the package: data, scores, cost and origin, kept in their files.

docs/weights.md is made of them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from scalor_pyro.checkpoint import CheckpointError, load_config, read_about, write_weights
from scalor_pyro.config import DataConfig, RunConfig, config_to_dict
from scalor_pyro.pretrained import file_of


@dataclass(frozen=True)
class Card:
    """What is known of trained weights beside their config."""

    scores: Mapping[str, float]  # of the very numbers in the file, by name: see metrics.Evaluation.result
    videos: int  # unseen ones, that the scores are of
    steps: int
    minutes: float  # of training
    machine: str
    command: str
    commit: str


def rounded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with matrices in half precision, which halves the file; the few other numbers stay as they are."""
    return {name: value.half() if value.dim() > 1 else value for name, value in weights.items()}


def write_pretrained(path: Path, weights: Mapping[str, Tensor], config: RunConfig, card: Card) -> None:
    """Write a model as it comes with the package.

    :param weights: see :func:`rounded`.
    """
    write_weights(path, dict(weights), config_to_dict(config), {"card": asdict(card)})


def card_of(name: str) -> tuple[RunConfig, Card]:
    """The config and the card of weights that come with the package.

    :raises CheckpointError: if there are none of this name, or they have no card.
    """
    path = file_of(name)
    try:
        return load_config(path), Card(**read_about(path)["card"])
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{path} has no model card, which was expected.") from error


def shown_data(data: DataConfig) -> str:
    """The videos that a model is for, in words."""
    what = f"{data.objects} ({data.digits.upper()})" if data.objects == "digits" else data.objects
    behind = "a moving background" if data.background else "black"
    return f"{data.count_min}–{data.count_max} {what} of {data.object_size:g} px over {behind}"
