"""Appearance: its decoder, the prior of z_what of a new object, and what the guide reads off a glimpse."""

from typing import NamedTuple

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.constants import made_once
from scalor_pyro.layers.networks import GlimpseDecoder, GlimpseEncoder, mlp, positive
from scalor_pyro.layers.rendering import extract
from scalor_pyro.model.distributions import standard_normal

# With `colour_start`, the first C numbers of z_what times this are added to the decoder's colour logits.
COLOUR_GAIN = 3.0
# Width, in glimpse half-sides, of the Gaussian around the centre over which the start colour is averaged.
COLOUR_WIDTH = 0.5
# Posterior standard deviation of z_what before training.
START_SCALE = 0.3


class Appearance(NamedTuple):
    """Parameters of a Normal over z_what, and the features behind them."""

    loc: Tensor  # (B, n, D)
    scale: Tensor  # (B, n, D)
    features: Tensor  # (B, n, 128)


def make_decoder(config: ModelConfig) -> GlimpseDecoder:
    """The standard decoder of z_what."""
    gain = COLOUR_GAIN if config.colour_start else 0.0
    return GlimpseDecoder(config.channels, config.glimpse_size, config.z_what_dim, gain)


class AppearancePrior(nn.Module):
    """p(z_what) of a discovered object: standard Normal (paper eq. 5)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, where: Tensor) -> TorchDistribution:
        """The distribution of z_what at z_where (B, M, 4): batch (B, M), event (D)."""
        return standard_normal((*where.shape[:-1], self.config.z_what_dim), where)


class AppearanceEncoder(nn.Module):
    """Cut glimpses from a frame and encode them; discovery and propagation share it.

    Differs: with `colour_start`, the glimpse's mean colour is added to the mean of the first C numbers of z_what, which
    the decoder adds to its colour: an object has about the right colour before anything is learned.
    """

    FEATURES = 128

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = GlimpseEncoder(config.channels, config.glimpse_size, self.FEATURES)
        self.head = mlp(self.FEATURES, 128, 2 * config.z_what_dim)

    def forward(self, frame: Tensor, where: Tensor) -> Appearance:
        """frame (B, C, H, W), where (B, n, 4)"""
        glimpses = extract(frame, where, self.config.glimpse_size)  # (B, n, C, S, S)
        features = self.encoder(glimpses)
        loc, raw = self.head(features).chunk(2, -1)
        if self.config.colour_start:
            loc = torch.cat((loc[..., : frame.shape[1]] + self._colour(glimpses), loc[..., frame.shape[1] :]), -1)
        return Appearance(loc, positive(raw, START_SCALE), features)

    def _colour(self, glimpses: Tensor) -> Tensor:
        size = self.config.glimpse_size
        weight = _colour_weight(glimpses.device, size, glimpses.dtype)
        return 2 * (glimpses.flatten(-2) @ weight) - 1


@made_once
def _colour_weight(device: torch.device, glimpse_size: int, dtype: torch.dtype) -> Tensor:
    """A Gaussian around the centre of a glimpse, of sum 1. (S²,)"""
    last = 1 - 1 / glimpse_size
    centres = torch.linspace(-last, last, glimpse_size, dtype=dtype, device=device)
    weight = torch.exp(-((centres / COLOUR_WIDTH) ** 2) / 2)
    weight = weight / weight.sum()
    return (weight[:, None] * weight).flatten()
