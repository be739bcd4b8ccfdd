"""Configuration: frozen dataclasses, checked when they are built.

A :class:`RunConfig` holds all that decides a run: the data, the model and the training. It is saved
with the run as JSON and read back with :func:`config_from_dict`. Presets that fill it in for each
setting of the paper are in :mod:`scalor_pyro.config.presets`.

Units: sizes and speeds in pixels (and frames) where they describe the data, because that is what a user
measures in a video; the model turns them into image coordinates in [-1, 1].
"""

from scalor_pyro.config.checks import ConfigError
from scalor_pyro.config.data import DataConfig
from scalor_pyro.config.model import ModelConfig
from scalor_pyro.config.plain import ConfigT, config_from_dict, config_to_dict
from scalor_pyro.config.reading import Crop, ReadOptions
from scalor_pyro.config.run import ClipRunConfig, RunConfig, VideoData, VideoRunConfig, check_run
from scalor_pyro.config.schedule import Schedule, constant
from scalor_pyro.config.train import ANYWHERE, SCHEDULED, Stage, TrainConfig

__all__ = [
    "ANYWHERE",
    "SCHEDULED",
    "ClipRunConfig",
    "ConfigError",
    "ConfigT",
    "Crop",
    "DataConfig",
    "ModelConfig",
    "ReadOptions",
    "RunConfig",
    "Schedule",
    "Stage",
    "TrainConfig",
    "VideoData",
    "VideoRunConfig",
    "check_run",
    "config_from_dict",
    "config_to_dict",
    "constant",
]
