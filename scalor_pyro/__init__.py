"""SCALOR as a Pyro program: find, follow, describe and imagine many moving objects in unlabelled video.

The names below are what most programs need, and can be relied on; everything else is in the sub-packages. A module is
imported when one of its names is first used, so that ``import scalor_pyro`` costs nothing.

How the data flow, one file for each word: data → frame_encoder → propagation → discovery → rejection → background →
rendering → scalor (model and guide) → training → posterior → tracks → metrics → pictures.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalor_pyro.config import (
        ClipRunConfig,
        ConfigError,
        Crop,
        DataConfig,
        ModelConfig,
        ReadOptions,
        RunConfig,
        Schedule,
        Stage,
        TrainConfig,
        VideoData,
        VideoRunConfig,
    )
    from scalor_pyro.config.presets import PRESETS, paper, preset
    from scalor_pyro.data import GroundTruth, SyntheticVideos
    from scalor_pyro.evaluation.uncertainty import TrackUncertainty, uncertainty
    from scalor_pyro.inference.evidence import ByEvidence, Worth
    from scalor_pyro.inference.generation import Generated, forecast, imagine, reconstruct
    from scalor_pyro.inference.latents import Stacked, latents
    from scalor_pyro.inference.likelihood import Evidence, log_evidence, nll
    from scalor_pyro.inference.masks import BACKGROUND
    from scalor_pyro.inference.objects import object_table
    from scalor_pyro.inference.posterior import Inference, ModeMessenger, follow, infer
    from scalor_pyro.inference.priors import (
        constant_velocity,
        discovery_at_border,
        first_frame_presence,
        no_discovery_from,
    )
    from scalor_pyro.inference.swap_prior import swap_prior
    from scalor_pyro.inference.taught import Taught, with_objects
    from scalor_pyro.inference.trained import TrainedRun, load
    from scalor_pyro.model.parts import Parts
    from scalor_pyro.model.scalor import Scalor
    from scalor_pyro.model.shared import shared_work
    from scalor_pyro.runs.configs import CheckpointError
    from scalor_pyro.runs.loading import load_config, load_run
    from scalor_pyro.tracks.files import TrackFiles
    from scalor_pyro.tracks.filters import FilterOptions, filtered
    from scalor_pyro.tracks.linking import Linked, LinkOptions, link
    from scalor_pyro.tracks.linking.online import OnlineLinker
    from scalor_pyro.tracks.table import Tracks, from_dataframe, to_dataframe, to_napari, tracks_of
    from scalor_pyro.tracks.text import read_csv, read_mot, read_tracks, tracks_by_frame, write_mot
    from scalor_pyro.tracks.tracking import track
    from scalor_pyro.training.callbacks import Callback, TrainResult
    from scalor_pyro.training.elbo import ReparamELBO
    from scalor_pyro.training.loop import train
    from scalor_pyro.video import Video, VideoError

    __version__: str

# The module of each public name, below scalor_pyro.
_MODULES = {
    # Settings: sizes and switches of a model, its data and its training.
    "config": (
        "ClipRunConfig",
        "ConfigError",
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
    ),
    "config.presets": ("PRESETS", "paper", "preset"),
    # Data: synthetic videos, and files.
    "data": ("GroundTruth", "SyntheticVideos"),
    "video": ("Video", "VideoError"),
    # Models and training.
    "model.scalor": ("Scalor",),
    "model.parts": ("Parts",),
    "model.shared": ("shared_work",),
    "training.elbo": ("ReparamELBO",),
    "training.callbacks": ("Callback", "TrainResult"),
    "training.loop": ("train",),
    "inference.trained": ("TrainedRun", "load"),
    "runs.configs": ("CheckpointError",),
    "runs.loading": ("load_config", "load_run"),
    # Inference: what is in a video.
    "inference.posterior": ("Inference", "ModeMessenger", "follow", "infer"),
    "inference.masks": ("BACKGROUND",),
    "inference.objects": ("object_table",),
    "inference.latents": ("Stacked", "latents"),
    "inference.likelihood": ("Evidence", "log_evidence", "nll"),
    "evaluation.uncertainty": ("TrackUncertainty", "uncertainty"),
    # Generation, and the questions that priors ask.
    "inference.evidence": ("ByEvidence", "Worth"),
    "inference.taught": ("Taught", "with_objects"),
    "inference.generation": ("Generated", "forecast", "imagine", "reconstruct"),
    "inference.swap_prior": ("swap_prior",),
    "inference.priors": ("constant_velocity", "discovery_at_border", "first_frame_presence", "no_discovery_from"),
    # Tracks.
    "tracks.tracking": ("track",),
    "tracks.linking": ("LinkOptions", "Linked", "link"),
    "tracks.linking.online": ("OnlineLinker",),
    "tracks.filters": ("FilterOptions", "filtered"),
    "tracks.table": ("Tracks", "from_dataframe", "to_dataframe", "to_napari", "tracks_of"),
    "tracks.files": ("TrackFiles",),
    "tracks.text": ("read_csv", "read_mot", "read_tracks", "tracks_by_frame", "write_mot"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

# Sub-packages, each of which is imported when it is first used.
_PACKAGES = (
    "baselines",
    "cli",
    "config",
    "data",
    "evaluation",
    "experiments",
    "inference",
    "layers",
    "model",
    "napari",
    "plots",
    "runs",
    "tracks",
    "training",
    "video",
)

__all__ = [
    "BACKGROUND",
    "ByEvidence",
    "Callback",
    "CheckpointError",
    "ClipRunConfig",
    "ConfigError",
    "Crop",
    "DataConfig",
    "Evidence",
    "FilterOptions",
    "Generated",
    "GroundTruth",
    "Inference",
    "LinkOptions",
    "Linked",
    "ModeMessenger",
    "ModelConfig",
    "OnlineLinker",
    "PRESETS",
    "Parts",
    "ReadOptions",
    "ReparamELBO",
    "RunConfig",
    "Scalor",
    "Schedule",
    "Stacked",
    "Stage",
    "SyntheticVideos",
    "Taught",
    "TrackFiles",
    "TrackUncertainty",
    "Tracks",
    "TrainConfig",
    "TrainResult",
    "TrainedRun",
    "Video",
    "VideoData",
    "VideoError",
    "VideoRunConfig",
    "Worth",
    "__version__",
    "constant_velocity",
    "discovery_at_border",
    "filtered",
    "first_frame_presence",
    "follow",
    "forecast",
    "from_dataframe",
    "imagine",
    "infer",
    "latents",
    "link",
    "load",
    "load_config",
    "load_run",
    "log_evidence",
    "nll",
    "no_discovery_from",
    "object_table",
    "paper",
    "preset",
    "read_csv",
    "read_mot",
    "read_tracks",
    "reconstruct",
    "shared_work",
    "swap_prior",
    "to_dataframe",
    "to_napari",
    "track",
    "tracks_by_frame",
    "tracks_of",
    "train",
    "uncertainty",
    "with_objects",
    "write_mot",
]

if not TYPE_CHECKING:  # for a type checker, it would give every name there is a type

    def __getattr__(name: str) -> object:
        if name in _PACKAGES:
            return importlib.import_module(f"{__name__}.{name}")
        if name == "__version__":
            value: object = _version()
        elif name in _HOME:
            value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})


def _version() -> str:
    """The version of the installed package; "unknown" for a copy of the sources that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:
        return "unknown"
