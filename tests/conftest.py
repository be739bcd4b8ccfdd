"""What all tests share: seeds, an empty parameter store, and a model small enough to run in hundredths of a second."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import numpy as np
import pyro
import pytest
import torch
from torch import Tensor

from scalor_pyro import cli as command
from scalor_pyro.config import AnySceneRunConfig, ModelConfig, MoverConfig, Stage, TrainConfig, config_to_dict, movers
from scalor_pyro.experiments import video_configs
from scalor_pyro.experiments import videos as video_run
from scalor_pyro.inference.taught import with_objects
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.weights import copy_weights, write_weights
from tests.video_files import squares, write_video

# The same examples on every machine and in every run.
PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, max_examples=30, phases=PHASES)
hypothesis.settings.load_profile("tests")

# B, T, K and the sides of image and grid are all different, so that swapped axes show.
TINY = {
    "image_size": (32, 48),
    "cells": (4, 3),
    "slots": 5,
    "first_shortlist": 7,
    "shortlist": 6,
    "object_size": 10.0,
    "z_what_dim": 9,
    "glimpse_size": 8,
    "feature_dim": 16,
    "tracker_dim": 16,
    "prior_dim": 11,
    "background": "moving",
    "z_bg_grid": 2,
    "z_bg_extra": 3,
    "first_looks": 1,  # inference is then the guide as it is
}


# Networks for runs on videos in which training takes a second.
SMALL = {"feature_dim": 16, "tracker_dim": 16, "prior_dim": 8, "z_what_dim": 8, "glimpse_size": 8}


@pytest.fixture(scope="session")
def small() -> Iterator[None]:
    """Small networks and short steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_configs, "ModelConfig", partial(ModelConfig, **SMALL))
        patch.setattr(video_configs, "TrainConfig", partial(TrainConfig, curriculum=(Stage(1.0, 4, 2),)))
        patch.setattr(video_run, "LOOKED_AT", 2)
        patch.setattr(video_run, "COMPARED", 3)
        patch.setattr(movers, "VIDEO_STAGE", Stage(1.0, 4, 2))
        patch.setattr(movers, "FRESH_STAGES", (Stage(1.0, 4, 2),))
        yield


@pytest.fixture(scope="session")
def small_run(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with street.mkv, and runs/street trained on two copies of it."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("street", "again"):
        write_video(folder / f"{name}.mkv", squares())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = ["street.mkv", "again.mkv", "--start", "2", "--steps", "2", "--seed", "3", "--slots", "9"]
        arguments.append("--from-scratch")
        assert command.main(["train", *arguments, "--out", "runs/street"]) == 0
    return folder


@pytest.fixture(scope="session")
def small_any_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with untrained weights for any scene, which see objects of 8 px."""
    folder = tmp_path_factory.mktemp("any-scene")
    shapes = {"image_size": (32, 32), "cells": (4, 4), "object_size": 8.0, "slots": 6}
    shapes |= {
        "first_shortlist": 6,
        "shortlist": 4,
        "background": "static",
        "difference_input": False,
        "first_looks": 1,
    }
    model = ModelConfig(**SMALL, **shapes)  # type: ignore[arg-type]
    train = TrainConfig(steps=1, curriculum=(Stage(1.0, 4, 2),))
    config = AnySceneRunConfig(model, train, MoverConfig((32, 32), object_size=8.0))
    torch.manual_seed(0)
    scalor = Scalor(model)
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(1.0)
        scalor.decoder.bias[-1] = 2.0
    write_weights(folder / "weights.safetensors", copy_weights(scalor), config_to_dict(config), {"step": 1})
    return folder


@pytest.fixture(autouse=True)
def _fresh_start() -> Iterator[None]:
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    with pyro.validation_enabled():
        yield
    pyro.clear_param_store()


@pytest.fixture
def tiny() -> Callable[..., ModelConfig]:
    """A tiny model's config, with changes by name."""

    def build(**changes: object) -> ModelConfig:
        return ModelConfig(**{**TINY, **changes})  # type: ignore[arg-type]

    return build


@pytest.fixture
def make_scalor(tiny: Callable[..., ModelConfig]) -> Callable[..., Scalor]:
    """A tiny model, the same one for the same changes."""

    def build(**changes: object) -> Scalor:
        pyro.clear_param_store()
        torch.manual_seed(1)
        return Scalor(tiny(**changes))

    return build


@pytest.fixture
def scalor(make_scalor: Callable[..., Scalor]) -> Scalor:
    return make_scalor()


@pytest.fixture
def busy(scalor: Scalor) -> Scalor:
    """A model that sees opaque objects everywhere."""
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(2.0)
        scalor.decoder.bias[-1] = 2.0
    return scalor


@pytest.fixture
def videos() -> Tensor:
    """(2, 3, 3, 32, 48): a bright square that moves over a dark ramp."""
    ramp = torch.linspace(0.1, 0.4, 48).expand(2, 3, 3, 32, 48).clone()
    for b in range(2):
        for t in range(3):
            ramp[b, t, b, 8 + 3 * t : 18 + 3 * t, 5 + 12 * b : 15 + 12 * b] = 0.9
    return ramp


@pytest.fixture
def told_videos(videos: Tensor) -> Tensor:
    """(2, 3, 9, 32, 48): the same, told where the square is."""
    frames, there = (255 * videos).round().byte().numpy(), (videos == 0.9).any(2).numpy()
    boxes = [np.array([[(5 + 12 * b, 8 + 3 * t, 15 + 12 * b, 18 + 3 * t) for t in range(3)]]) for b in range(2)]
    told = with_objects(frames, np.where(there, 0, -1), boxes, [np.full((1, 3), 100)] * 2)
    return torch.cat((videos, torch.from_numpy(told[:, :, 3:]) / 255), 2)
