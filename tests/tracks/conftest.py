"""What tests of tracking without training share."""

import pytest

from scalor_pyro.config import AnySceneRunConfig
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.tracker import load_for_tracking


@pytest.fixture(scope="session")
def run() -> TrainedRun:
    """The weights for any scene in the package."""
    return load_for_tracking(ANY_SCENE)


@pytest.fixture(scope="session")
def config(run: TrainedRun) -> AnySceneRunConfig:
    """The config that they were trained with."""
    assert isinstance(run.config, AnySceneRunConfig)
    return run.config
