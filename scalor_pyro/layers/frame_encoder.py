"""Features of every frame, given the frames before it (paper §3.2, the inference's image encoder).

Differs: a light convolutional minGRU, whose gates depend only on the input, instead of the paper's ConvLSTM. It costs a
quarter, and all frames pass through the convolutions at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.constants import made_once
from scalor_pyro.layers.networks import PointwiseConv2d, WindowNorm

# Side of the neighbourhood, in pixels, against which local contrast is measured.
CONTRAST_SIZE = 21
CONTRAST_GAIN = 2.0
# Factor of a frame's difference from the background image: some objects show only as small differences.
DIFFERENCE_GAIN = 2.0
# px of the image per point of a feature map, each way.
STRIDE = 4
# Channels are normalised in this many groups.
GROUPS = 4


def cell_size(config: ModelConfig) -> tuple[int, int]:
    """Sides of a cell in px, (vertical, horizontal)."""
    (height, width), (rows, columns) = config.image_size, config.cells
    return height // rows, width // columns


def cell_kernel(config: ModelConfig) -> tuple[int, int]:
    """Sides of a cell in points of a feature map, (vertical, horizontal)."""
    height, width = cell_size(config)
    return height // STRIDE, width // STRIDE


def window_norm(config: ModelConfig, channels: int, stride: tuple[int, int]) -> WindowNorm:
    """Group normalisation for a feature map with one point per `stride` (vertical, horizontal) px of the image."""
    height, width = config.view or config.image_size
    return WindowNorm(GROUPS, channels, (height // stride[0], width // stride[1]))


class Features(NamedTuple):
    """Features of a video."""

    maps: Tensor  # (B, T, F, H / 4, W / 4), for attention
    cells: Tensor  # (B, T, F, G_y, G_x), for discovery
    memories: Tensor  # (B, T, F, H / 4, W / 4) state of the RNN after each frame


class FrameEncoder(nn.Module):
    """(B, T, C, H, W) → :class:`Features`; over a static background also from the frames' difference from it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.contrast = config.contrast_input
        self.difference = config.difference_input and config.has_background_image
        inputs = config.channels * (1 + self.contrast + self.difference)
        features, half = config.feature_dim, config.feature_dim // 2
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, half, 4, stride=2, padding=1),
            window_norm(config, half, (2, 2)),
            nn.CELU(inplace=True),
            nn.Conv2d(half, features, 4, stride=2, padding=1),
            window_norm(config, features, (STRIDE, STRIDE)),
            nn.CELU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
            window_norm(config, features, (STRIDE, STRIDE)),
            nn.CELU(inplace=True),
        )
        self.recurrent = PointwiseConv2d(features, 2 * features)
        kernel = cell_kernel(config)
        self.to_cells = nn.Sequential(
            nn.Conv2d(features, features, kernel, stride=kernel),
            window_norm(config, features, cell_size(config)),
            nn.CELU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
            window_norm(config, features, cell_size(config)),
            nn.CELU(inplace=True),
        )

    def forward(self, frames: Tensor, difference: Tensor | None = None, memory: Tensor | None = None) -> Features:
        """Features of consecutive frames.

        :param difference: (B, T, C, H, W) frames minus background image, in [-1, 1]; None without a background image.
        :param memory: (B, F, H / 4, W / 4) state of the RNN after the previous frame; None at the beginning.
        """
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
        memory = torch.zeros_like(candidate[:, 0]) if memory is None else memory
        remembered = []
        # Unbound at once: the gradient of indexing is as large as the whole tensor, and there would be one per frame.
        for gate_t, candidate_t in zip(gate.unbind(1), candidate.unbind(1), strict=True):
            memory = torch.lerp(memory, candidate_t, gate_t)
            remembered.append(memory)
        memories = torch.stack(remembered, 1)
        maps = memories + still.unflatten(0, batch)
        return Features(maps, self.to_cells(maps.flatten(0, 1)).unflatten(0, batch), memories)


def _local_mean(images: Tensor) -> Tensor:
    """Mean over a neighbourhood, cut off at the border; one matrix product per axis is the cheapest way."""
    rows, columns = (_averaging(images.device, size, images.dtype) for size in images.shape[-2:])
    return rows @ images @ columns.mT


@made_once
def _averaging(device: torch.device, size: int, dtype: torch.dtype) -> Tensor:
    """The matrix that averages each point of an axis with its neighbours. (size, size)"""
    place = torch.arange(size, device=device)
    near = ((place[:, None] - place).abs() <= CONTRAST_SIZE // 2).to(dtype)
    return near / near.sum(1, keepdim=True)
