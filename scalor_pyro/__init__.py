"""SCALOR as a Pyro program: find, follow, describe and imagine many moving objects in unlabelled video.

The way of the data, one file for each word: data → frame_encoder → propagation → discovery → rejection → background →
rendering → scalor (model and guide) → training → posterior → tracks → metrics → pictures.
"""

from scalor_pyro.config import ModelConfig, RunConfig, TrainConfig
from scalor_pyro.config.presets import PRESETS, paper, preset
from scalor_pyro.inference.posterior import Inference, follow, infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.loop import train

__all__ = [
    "PRESETS",
    "Inference",
    "ModelConfig",
    "ReparamELBO",
    "RunConfig",
    "Scalor",
    "TrainConfig",
    "follow",
    "infer",
    "paper",
    "preset",
    "train",
]
