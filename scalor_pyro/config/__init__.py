"""Configuration: frozen dataclasses, checked when they are built.

A :class:`RunConfig` holds all settings of a run: its data, model and training. It is saved with the run as JSON, and
read back with :func:`config_from_dict`. :mod:`scalor_pyro.config.kinds` lists the configs of other kinds of runs;
:mod:`scalor_pyro.config.presets` has one for each setting of the paper.

Units: sizes are in px and speeds in px per frame, as a user measures them in a video; the model converts them to image
coordinates in [-1, 1].
"""

from scalor_pyro.config.checks import ConfigError
from scalor_pyro.config.data import DataConfig
from scalor_pyro.config.model import BoxRanges, ModelConfig
from scalor_pyro.config.movers import (
    AnySceneRunConfig,
    EmbeddingModelConfig,
    EmbeddingRunConfig,
    MoverConfig,
    SizeModelConfig,
    SizesRunConfig,
)
from scalor_pyro.config.plain import ConfigT, config_from_dict, config_to_dict
from scalor_pyro.config.public import PublicData, PublicRunConfig
from scalor_pyro.config.reading import Crop, ReadOptions
from scalor_pyro.config.run import ClipRunConfig, FreshConfig, RunConfig, VideoData, VideoRunConfig, check_run
from scalor_pyro.config.schedule import Schedule, constant
from scalor_pyro.config.train import ANYWHERE, SCHEDULED, Stage, TrainConfig

__all__ = [
    "ANYWHERE",
    "SCHEDULED",
    "AnySceneRunConfig",
    "BoxRanges",
    "ClipRunConfig",
    "ConfigError",
    "ConfigT",
    "Crop",
    "DataConfig",
    "EmbeddingModelConfig",
    "EmbeddingRunConfig",
    "FreshConfig",
    "ModelConfig",
    "MoverConfig",
    "PublicData",
    "PublicRunConfig",
    "ReadOptions",
    "RunConfig",
    "Schedule",
    "SizeModelConfig",
    "SizesRunConfig",
    "Stage",
    "TrainConfig",
    "VideoData",
    "VideoRunConfig",
    "check_run",
    "config_from_dict",
    "config_to_dict",
    "constant",
]
