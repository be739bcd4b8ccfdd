"""Features of every frame, aware of the frames before it (paper §3.2, the inference's image encoder).

Differs: a light convolutional minGRU, whose gates read the input alone, where the paper has a ConvLSTM: at a quarter of
the cost, and all frames pass through the convolutions at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig

# Side of the neighbourhood, in pixels, against which local contrast is measured.
CONTRAST_SIZE = 21
CONTRAST_GAIN = 2.0
# What a frame's difference from the scene is multiplied by: small differences are all there is to see of some objects.
DIFFERENCE_GAIN = 2.0
# A feature map has a quarter of the image's resolution.
STRIDE = 4


def cell_kernel(config: ModelConfig) -> tuple[int, int]:
    """How many points of a feature map make a cell, (vertical, horizontal)."""
    (height, width), (rows, columns) = config.image_size, config.cells
    return height // STRIDE // rows, width // STRIDE // columns


class Features(NamedTuple):
    """What the frame encoder says of a video."""

    maps: Tensor  # (B, T, F, H / 4, W / 4), for attention
    cells: Tensor  # (B, T, F, G_y, G_x), for discovery


class FrameEncoder(nn.Module):
    """(B, T, C, H, W) → :class:`Features`; over a static background it also sees what differs from the scene."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.contrast = config.contrast_input
        self.difference = config.difference_input and config.background == "static"
        inputs = config.channels * (1 + self.contrast + self.difference)
        features, half = config.feature_dim, config.feature_dim // 2
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, half, 4, stride=2, padding=1),
            nn.GroupNorm(4, half),
            nn.CELU(inplace=True),
            nn.Conv2d(half, features, 4, stride=2, padding=1),
            nn.GroupNorm(4, features),
            nn.CELU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
            nn.GroupNorm(4, features),
            nn.CELU(inplace=True),
        )
        self.recurrent = nn.Conv2d(features, 2 * features, 1)
        kernel = cell_kernel(config)
        self.to_cells = nn.Sequential(
            nn.Conv2d(features, features, kernel, stride=kernel),
            nn.GroupNorm(4, features),
            nn.CELU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
            nn.GroupNorm(4, features),
            nn.CELU(inplace=True),
        )

    def forward(self, frames: Tensor, difference: Tensor | None = None) -> Features:
        """:param difference: (B, T, C, H, W) the frames' from the scene, in [-1, 1], where the background is static."""
        batch = frames.shape[:2]
        images = (frames * 2 - 1).flatten(0, 1)
        inputs = [images]
        if self.contrast:
            inputs.append(CONTRAST_GAIN * (images - _local_mean(images)))
        if self.difference and difference is not None:
            inputs.append(DIFFERENCE_GAIN * difference.flatten(0, 1))
        still = self.convolutions(torch.cat(inputs, 1))  # (B·T, F, H/4, W/4)
        gate, candidate = self.recurrent(still).unflatten(0, batch).chunk(2, 2)
        gate = gate.sigmoid()
        memory = torch.zeros_like(candidate[:, 0])
        maps = []
        # Unbound at once: the gradient of an index is as large as the whole, and there would be one for each frame.
        for gate_t, candidate_t in zip(gate.unbind(1), candidate.unbind(1), strict=True):
            memory = torch.lerp(memory, candidate_t, gate_t)
            maps.append(memory)
        moving = torch.stack(maps, 1) + still.unflatten(0, batch)
        return Features(moving, self.to_cells(moving.flatten(0, 1)).unflatten(0, batch))


def _local_mean(images: Tensor) -> Tensor:
    """Mean over a neighbourhood, cut off at the border; a product for each axis, because that is far cheaper."""
    rows, columns = (_averaging(size, images) for size in images.shape[-2:])
    return rows @ images @ columns.mT


def _averaging(size: int, like: Tensor) -> Tensor:
    """The matrix that averages each place of an axis with its neighbours. (size, size)"""
    place = torch.arange(size, device=like.device)
    near = ((place[:, None] - place).abs() <= CONTRAST_SIZE // 2).to(like.dtype)
    return near / near.sum(1, keepdim=True)
