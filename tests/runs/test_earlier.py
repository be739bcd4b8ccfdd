"""Weights of version 0.1 load."""

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import torch
from torch import Tensor

from scalor_pyro.config import config_to_dict
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.earlier import RENAMED, renamed
from scalor_pyro.runs.loading import load_model
from scalor_pyro.runs.pretrained import file_of
from scalor_pyro.runs.weights import write_weights


def as_in_0_1(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under their names in version 0.1."""
    earlier = {}
    for name, value in weights.items():
        before, today = next(((b, t) for b, t in RENAMED if name.startswith(t)), ("", ""))
        earlier[before + name.removeprefix(today)] = value
    return earlier


@pytest.mark.parametrize("background", ["none", "moving", "static"])
def test_names_of_0_1_become_those_of_today(make_scalor: Callable[..., Scalor], background: str) -> None:
    weights = make_scalor(background=background, flicker=1.0).state_dict()
    earlier = as_in_0_1(weights)
    assert earlier.keys() != weights.keys()
    assert not any("background." in name or "attention" in name for name in earlier)
    assert list(renamed(earlier)) == list(weights) and list(renamed(weights)) == list(weights)
    assert all(value is weights[name] for name, value in renamed(earlier).items())


def test_a_file_of_0_1_loads(make_scalor: Callable[..., Scalor], tmp_path: Path) -> None:
    scalor = make_scalor(background="static")
    scalor.set_background_image(torch.rand(3, 3, 32, 48))
    path = tmp_path / "weights.safetensors"
    weights = {name: value.clone() for name, value in as_in_0_1(dict(scalor.state_dict())).items()}
    write_weights(path, weights, {"model": config_to_dict(scalor.config)}, {})
    again = Scalor.from_pretrained(path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in scalor.state_dict().items())


def test_shipped_weights_have_their_names_of_0_1_in_the_file() -> None:
    with safetensors.safe_open(file_of("bg"), framework="pt") as file:
        names = set(file.keys())
    assert "background_prior.rnn.weight_hh" in names, "the file is as it was published"
    _, weights = load_model("bg")
    assert weights.keys() == Scalor.from_pretrained("bg").state_dict().keys()
