"""Small building blocks that several parts share."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalor_pyro.layers.constants import made_once

# Standard deviations never fall below this, so that a KL stays finite.
SMALLEST_SCALE = 1e-2


def positive(raw: Tensor, start: float) -> Tensor:
    """A standard deviation from an unbounded number; 0 becomes ``start``."""
    return SMALLEST_SCALE + F.softplus(raw + math.log(math.expm1(start - SMALLEST_SCALE)))


def bounded(logits: Tensor, bound: float | Tensor) -> Tensor:
    """Logits held within ± bound by a tanh."""
    return bound * torch.tanh(logits / bound)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """One hidden layer; the output starts near zero, so that distributions start at their biases."""
    last = nn.Linear(hidden, outputs)
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.CELU(inplace=True), last)


def gru(cell: nn.GRUCell, inputs: Tensor, memory: Tensor) -> Tensor:
    """One step of a GRU. (…, D), (…, R) → (…, R)

    On a GPU, PyTorch fuses all between the two products. On a CPU it takes seventeen operations, here seven.
    """
    if inputs.is_cuda:
        state: Tensor = cell(inputs.flatten(0, -2), memory.flatten(0, -2))
        return state.view_as(memory)
    size = cell.hidden_size
    of_inputs = F.linear(inputs, cell.weight_ih, cell.bias_ih)
    of_memory = F.linear(memory, cell.weight_hh, cell.bias_hh)
    (gates_i, new_i), (gates_m, new_m) = (part.split((2 * size, size), -1) for part in (of_inputs, of_memory))
    reset, keep = (gates_i + gates_m).sigmoid().chunk(2, -1)
    return torch.lerp(torch.addcmul(new_i, reset, new_m).tanh(), memory, keep)


class WindowNorm(nn.GroupNorm):
    """Group normalisation with the statistics of a window around each point, moved to lie inside the image.

    For an image of the window's size it is plain group normalisation. In a larger one, each point is normalised as in
    an image of that size around it, so that trained weights still apply.

    :param window: (vertical, horizontal) in points of the feature map.
    """

    def __init__(self, groups: int, channels: int, window: tuple[int, int]) -> None:
        super().__init__(groups, channels)
        self.window = window

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)"""
        height, width = features.shape[-2:]
        if height <= self.window[0] and width <= self.window[1]:
            return super().forward(features)
        with torch.autocast(features.device.type, enabled=False):  # differences of squares, which bfloat16 would lose
            return self._within_windows(features.float() if features.element_size() < 4 else features)

    def _within_windows(self, features: Tensor) -> Tensor:
        grouped = features.unflatten(1, (self.num_groups, -1))
        moments = torch.stack((grouped.mean(2), grouped.square().mean(2)))  # (2, B, groups, h, w)
        # One matrix product per axis: pooling over windows as large as these takes several times as long.
        like = features.device, features.dtype
        rows, columns = (
            _window_average(*like, size, side) for size, side in zip(features.shape[-2:], self.window, strict=True)
        )
        mean, square = rows @ moments @ columns.mT
        scale = (square - mean.square()).clamp(min=0).add(self.eps).rsqrt()
        normal = torch.addcmul((-mean * scale)[:, :, None], grouped, scale[:, :, None]).flatten(1, 2)
        return torch.addcmul(self.bias[:, None, None], normal, self.weight[:, None, None])


@made_once
def _window_average(device: torch.device, dtype: torch.dtype, size: int, window: int) -> Tensor:
    """The matrix that averages the window around each point of an axis, moved to lie inside it. (size, size)"""
    window, place = min(window, size), torch.arange(size, device=device)
    first = (place - (window - 1) // 2).clamp(0, size - window)[:, None]
    return ((place >= first) & (place < first + window)).to(dtype) / window


def enlarged(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images by bilinear interpolation of smaller ones. (…, h, w) → (…, H, W)

    It equals ``F.interpolate(mode="bilinear")``, but takes a product for each axis, and on a CPU a fifth to a tenth of
    the time.
    """
    rows, columns = (_between(images.device, images.dtype, *each) for each in zip(images.shape[-2:], size, strict=True))
    return rows @ images @ columns.mT


@made_once
def _between(device: torch.device, dtype: torch.dtype, points: int, size: int) -> Tensor:
    """The matrix that interpolates between the points of an axis. (size, points)"""
    each = torch.eye(points, dtype=dtype, device=device)
    return F.interpolate(each[None], size, mode="linear")[0].mT.contiguous()


class PatchConv2d(nn.Conv2d):
    """A convolution over patches that do not overlap: kernel and stride are the same.

    It is a single matrix product, which for glimpses costs half as much as a convolution.
    """

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__(inputs, outputs, side, stride=side)

    def forward(self, images: Tensor) -> Tensor:
        side = self.kernel_size[0]
        rows, columns = (size // side for size in images.shape[-2:])
        patches = images.unflatten(3, (columns, side)).unflatten(2, (rows, side))  # (n, C, y, S, x, S)
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (n, y·x, C·S²)
        return F.linear(patches, self.weight.flatten(1), self.bias).mT.unflatten(2, (rows, columns))


class PointwiseConv2d(nn.Conv2d):
    """A 1 × 1 convolution, computed as one matrix product per image at half the cost.

    (B, C_in, h, w) → (B, C_out, h, w)
    """

    bias: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        weight = self.weight.flatten(1).expand(images.shape[0], -1, -1)
        return torch.baddbmm(self.bias[:, None], weight, images.flatten(2)).unflatten(2, images.shape[-2:])


class GlimpseEncoder(nn.Module):
    """A glimpse to a feature vector; patches of 4 × 4 pixels, because glimpses are small.

    (…, C_in, S, S) → (…, D)
    """

    def __init__(self, channels: int, glimpse_size: int, outputs: int) -> None:
        super().__init__()
        patches = (glimpse_size // 4) ** 2
        self.net = nn.Sequential(
            PatchConv2d(channels, 32, 4),
            nn.GroupNorm(4, 32),
            nn.CELU(inplace=True),
            nn.Flatten(),
            nn.Linear(32 * patches, outputs),
            nn.LayerNorm(outputs),
            nn.CELU(inplace=True),
        )

    def forward(self, glimpses: Tensor) -> Tensor:
        features: Tensor = self.net(glimpses.flatten(0, -4))
        return features.unflatten(0, glimpses.shape[:-3])


class GlimpseDecoder(nn.Module):
    """z_what to a glimpse: colour times alpha, then alpha. (…, D) → (…, C + 1, S, S)

    :param float colour_gain: the first C numbers of z_what, times this, are added to the colour logits; 0 for none.
    """

    ALPHA_BIAS = -1.0  # objects start half transparent: neither everything nor nothing
    COLOUR_BIAS = 1.0  # … and bright

    def __init__(self, channels: int, glimpse_size: int, z_what_dim: int, colour_gain: float) -> None:
        super().__init__()
        self.channels, self.colour_gain = channels, colour_gain
        half = glimpse_size // 2
        self.net = nn.Sequential(
            nn.Linear(z_what_dim, 128),
            nn.LayerNorm(128),
            nn.CELU(inplace=True),
            nn.Linear(128, 16 * half * half),
            nn.Unflatten(1, (16, half, half)),
            nn.GroupNorm(4, 16),
            nn.CELU(inplace=True),
            nn.Conv2d(16, 4 * (channels + 1), 3, padding=1),
            nn.PixelShuffle(2),
        )
        bias = torch.full((channels + 1,), 0.0 if colour_gain else self.COLOUR_BIAS)
        bias[-1] = self.ALPHA_BIAS
        self.bias = nn.Parameter(bias)

    def forward(self, z_what: Tensor) -> Tensor:
        flat = z_what.flatten(0, -2)
        logits = self.net(flat) + self.bias[:, None, None]
        colour, alpha = logits.split((self.channels, 1), 1)
        if self.colour_gain:
            colour = colour + self.colour_gain * flat[:, : self.channels, None, None]
        alpha = alpha.sigmoid()
        return torch.cat((colour.sigmoid() * alpha, alpha), 1).unflatten(0, z_what.shape[:-1])
