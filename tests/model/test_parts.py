"""Parts of the model that a user exchanges: built, trained, saved, and loaded again."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig, config_to_dict
from scalor_pyro.inference.posterior import infer
from scalor_pyro.layers.frame_encoder import Features, FrameEncoder
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import extract
from scalor_pyro.model.appearance import AppearanceEncoder, AppearancePrior
from scalor_pyro.model.attention import Attention
from scalor_pyro.model.background import Background, BackgroundPrior, MovingBackground, MovingPosterior
from scalor_pyro.model.discovery import DiscoveryPosterior, DiscoveryPrior
from scalor_pyro.model.parts import Parts
from scalor_pyro.model.propagation import PropagationPosterior, PropagationPrior
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.views import with_view
from scalor_pyro.runs.configs import CheckpointError
from scalor_pyro.runs.loading import load_weights
from scalor_pyro.runs.weights import copy_weights, write_weights

Tiny = Callable[..., ModelConfig]
HERE = __name__


class FlatDecoder(nn.Module):
    """A disc of one colour."""

    mask: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.colour = nn.Linear(config.z_what_dim, config.channels + 1)
        side = torch.linspace(-1, 1, config.glimpse_size)
        self.register_buffer("mask", (side[:, None] ** 2 + side**2 < 1).float())

    def forward(self, what: Tensor) -> Tensor:
        colour, alpha = self.colour(what).sigmoid().tensor_split([-1], -1)
        return torch.cat((colour * alpha, alpha), -1)[..., None, None] * self.mask


class CentreAttention(nn.Module):
    """The four feature vectors around the centre of an object."""

    def __init__(self, config: ModelConfig, points: int = 1) -> None:
        super().__init__()
        self.points = points
        self.head = nn.Linear(points**2 * config.feature_dim, 2 * config.tracker_dim)

    def forward(self, objects: Objects, frame: Tensor, feature_map: Tensor) -> Tensor:
        seen: Tensor = self.head(extract(feature_map, objects.where, self.points).flatten(2))
        return seen


class WideAppearance(AppearancePrior):
    """A prior that is given by keyword."""


class WrongDecoder(FlatDecoder):
    def forward(self, what: Tensor) -> Tensor:
        return super().forward(what)[..., :-1, :, :]


class WrongAttention(CentreAttention):
    def forward(self, objects: Objects, frame: Tensor, feature_map: Tensor) -> Tensor:
        return super().forward(objects, frame, feature_map)[..., :-1]


class WrongEncoder(FrameEncoder):
    def forward(self, *arguments: Any) -> Features:
        features = super().forward(*arguments)
        return features._replace(maps=features.maps[..., ::2])


OWN = Parts(decoder=FlatDecoder, attention=partial(CentreAttention, points=2))


def save(scalor: Scalor, path: Path, **about: Any) -> Path:
    write_weights(path, copy_weights(scalor), {"model": config_to_dict(scalor.config)}, about)
    return path


def test_own_parts_are_trained_saved_refused_and_loaded_again(tiny: Tiny, videos: Tensor, tmp_path: Path) -> None:
    scalor = Scalor(tiny(), parts=OWN)
    before = {name: parameter.clone() for name, parameter in scalor.named_parameters()}
    svi = SVI(scalor.model, scalor.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())
    for _ in range(2):
        svi.step(videos)
    assert not any(torch.equal(parameter, before[name]) for name, parameter in scalor.named_parameters())
    path = save(scalor, tmp_path / "mine.safetensors", parts=scalor.own_parts)
    with pytest.raises(CheckpointError) as refused:
        Scalor.from_pretrained(path)
    assert str(refused.value) == (
        f"{path}: trained with its own decoder ({HERE}.FlatDecoder) and attention ({HERE}.CentreAttention); "
        "pass parts=Parts(decoder=…, attention=…)."
    )
    with pytest.raises(CheckpointError, match=r"own attention \(.*CentreAttention\); pass parts=Parts\(attention=…\)"):
        Scalor.from_pretrained(path, parts=Parts(decoder=FlatDecoder))
    again = Scalor.from_pretrained(path, parts=OWN)
    for mine, theirs in zip(infer(scalor.eval(), videos), infer(again, videos), strict=True):
        assert torch.equal(mine, theirs)
    load_weights(path, Scalor(tiny(), parts=OWN))
    with pytest.raises(CheckpointError, match="trained with its own decoder"):
        load_weights(path, Scalor(tiny()))


def test_names_of_parts_are_only_text(scalor: Scalor, tmp_path: Path) -> None:
    path = save(scalor, tmp_path / "long.safetensors", parts={"x": "os." * 99})
    with pytest.raises(CheckpointError) as refused:
        Scalor.from_pretrained(path)
    assert len(str(refused.value)) < len(str(path)) + 200
    with pytest.raises(CheckpointError, match="expected the names of the model's parts"):
        Scalor.from_pretrained(save(scalor, path, parts=[1]))


def test_a_standard_model_says_nothing_of_parts(scalor: Scalor, tmp_path: Path) -> None:
    assert scalor.own_parts == {}
    again = Scalor.from_pretrained(save(scalor, tmp_path / "standard.safetensors"))
    assert torch.equal(again.decoder.bias, scalor.decoder.bias)


def test_standard_classes_as_parts_make_the_standard_model(tiny: Tiny, videos: Tensor) -> None:
    """The same parameters in the same order, from the same random numbers."""
    parts = Parts(
        appearance_encoder=AppearanceEncoder,
        attention=Attention,
        background=MovingBackground,
        discovery_posterior=DiscoveryPosterior,
        discovery_prior=DiscoveryPrior,
        frame_encoder=FrameEncoder,
        propagation_posterior=PropagationPosterior,
        propagation_prior=PropagationPrior,
    )
    models = []
    for given in (None, parts):
        torch.manual_seed(1)
        models.append(Scalor(tiny(), parts=given))
    assert list(models[0].state_dict()) == list(models[1].state_dict())
    for mine, theirs in zip(infer(models[0], videos), infer(models[1], videos), strict=True):
        assert torch.equal(mine, theirs)
    assert models[1].own_parts["background"] == "scalor_pyro.model.background.MovingBackground"


def test_an_own_background_is_used(tiny: Tiny, videos: Tensor) -> None:
    class Black(nn.Module):
        def __init__(self, config: ModelConfig) -> None:
            super().__init__()
            self.config = config

        def forward(self, z_bg: Tensor) -> Tensor:
            return z_bg.new_zeros(len(z_bg), self.config.channels, *self.config.image_size)

    def black(config: ModelConfig) -> Background:
        return Background(Black(config), BackgroundPrior(config), MovingPosterior(config))

    scalor = Scalor(tiny(), parts=Parts(background=black))
    assert (infer(scalor, videos).background == 0).all()
    with pytest.raises(ValueError, match="expected an image if config.background is 'static'"):
        Scalor(tiny(background="static"), parts=Parts(background=black))
    with pytest.raises(ValueError, match="expected a config whose background is 'moving' or 'static', got 'none'"):
        Scalor(tiny(background="none"), parts=Parts(background=black))


def test_own_parts_are_built_again_for_larger_frames(tiny: Tiny) -> None:
    scalor = Scalor(tiny(), parts=OWN)
    larger = with_view(scalor, (64, 96))
    assert isinstance(larger.decoder, FlatDecoder) and larger.own_parts == scalor.own_parts
    ready = Scalor(tiny(), appearance_prior=WideAppearance(tiny()))
    assert ready.own_parts == {"appearance_prior": f"{HERE}.WideAppearance"}
    with pytest.raises(ValueError, match=r"appearance_prior was given as a module.*parts=Parts\(appearance_prior=…\)"):
        with_view(ready, (64, 96))
    assert with_view(Scalor(tiny(), parts=Parts(appearance_prior=WideAppearance)), (64, 96)).own_parts


def test_a_model_with_own_parts_can_be_copied(tiny: Tiny) -> None:
    assert copy.deepcopy(Scalor(tiny(), parts=Parts(decoder=FlatDecoder))).parts == Parts(decoder=FlatDecoder)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (Parts(decoder=WrongDecoder), r"decoder: expected a tensor of shape \(2, 7, 4, 8, 8\), got \(2, 7, 3, 8, 8\)"),
        (Parts(attention=WrongAttention), r"attention: expected a tensor of shape \(2, 5, 32\), got \(2, 5, 31\)"),
        (Parts(frame_encoder=WrongEncoder), r"frame_encoder: expected a tensor of shape \(2, 3, 16, 8, 12\)"),
    ],
    ids=["decoder", "attention", "frame encoder"],
)
def test_outputs_of_another_shape_are_refused(tiny: Tiny, videos: Tensor, parts: Parts, message: str) -> None:
    with pytest.raises(ValueError, match=f"Parts.{message}"):
        Scalor(tiny(), parts=parts).guide(videos)


def test_parts_that_are_no_parts_are_refused(tiny: Tiny) -> None:
    config = tiny()
    with pytest.raises(ValueError, match="Parts.decoder: expected a class or function.*, got an object of FlatDecoder"):
        Parts(decoder=FlatDecoder(config))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Parts.attention: expected a class or function.*, got an object of int"):
        Parts(attention=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Parts.decoder: expected builtins.repr to make a module, got str"):
        Scalor(config, parts=Parts(decoder=repr))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="propagation_prior: expected a module or parts.propagation_prior, got both"):
        Scalor(config, parts=Parts(propagation_prior=PropagationPrior), propagation_prior=PropagationPrior(config))
    with pytest.raises(ValueError, match="background_prior: expected none beside a background"):
        Scalor(config, parts=Parts(background=MovingBackground), background_prior=BackgroundPrior(config))
