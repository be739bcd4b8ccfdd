"""Convolutional networks from whole frames to features and back."""

import torch
from torch import Tensor, nn

from scalor_pyro.config.baselines import GROUPS, HALVINGS, FrameModelConfig


def _channels(config: FrameModelConfig) -> tuple[int, int, int]:
    """Channels after each halving."""
    return config.width, 2 * config.width, 2 * config.width


def _smallest(config: FrameModelConfig) -> tuple[int, int]:
    """Size of the map after all halvings, (vertical, horizontal)."""
    height, width = config.image_size
    return height // 2**HALVINGS, width // 2**HALVINGS


class ImageEncoder(nn.Module):
    """A frame to the features of a coarse map. (B, C, H, W) → (B, F)

    No narrow layer follows the map. With one, in particular a normalised one, autoencoders drew black frames for much
    longer, or for ever (docs/baselines.md).
    """

    features: int  # F

    def __init__(self, config: FrameModelConfig) -> None:
        super().__init__()
        channels, layers = config.channels, list[nn.Module]()
        for wider in _channels(config):
            layers += [nn.Conv2d(channels, wider, 4, 2, 1), nn.GroupNorm(GROUPS, wider), nn.CELU(inplace=True)]
            channels = wider
        height, width = _smallest(config)
        self.features = channels * height * width
        self.net = nn.Sequential(*layers, nn.Flatten())

    def forward(self, frames: Tensor) -> Tensor:
        features: Tensor = self.net(frames * 2 - 1)
        return features

    def of_videos(self, videos: Tensor) -> tuple[Tensor, ...]:
        """All frames at once. (B, T, C, H, W) → T of (B, F)"""
        return self(videos.flatten(0, 1)).unflatten(0, videos.shape[:2]).unbind(1)


class ImageDecoder(nn.Module):
    """A vector to a frame. (B, inputs) → (B, C, H, W) in [0, 1]"""

    def __init__(self, config: FrameModelConfig, inputs: int) -> None:
        super().__init__()
        *narrower, channels = _channels(config)
        height, width = _smallest(config)
        layers: list[nn.Module] = [
            nn.Linear(inputs, channels * height * width),
            nn.Unflatten(1, (channels, height, width)),
            nn.GroupNorm(GROUPS, channels),
            nn.CELU(inplace=True),
        ]
        for fewer in reversed(narrower):
            layers += [nn.Conv2d(channels, 4 * fewer, 3, padding=1), nn.PixelShuffle(2)]
            layers += [nn.GroupNorm(GROUPS, fewer), nn.CELU(inplace=True)]
            channels = fewer
        self.net = nn.Sequential(*layers, nn.Conv2d(channels, 4 * config.channels, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, code: Tensor) -> Tensor:
        return torch.sigmoid(self.net(code))
