"""A convolutional network that looks at frames at several scales, and says two numbers for every place."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What is said is said at the third of the scales, 1/4: for squares of 4 × 4 px.
SAID_AT, CELL = 2, 4


class SizeNetwork(nn.Module):
    """Down to a small scale of the frame and up again to a quarter (a U-net).

    Features are normalised at each place by itself, so that it does not matter how much of a frame is empty. On the way
    up, at an eighth of the scale, every place learns what the objects of the frame have in common: where all come in
    pairs, pairs are objects.

    :param inputs: channels of the frames.
    :param widths: channels of the features at the scales 1, 1/2, 1/4, …
    """

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(zip(widths, widths[1:], strict=False))
        self.stem = _layer(inputs, widths[0], 1)
        self.down = nn.ModuleList(nn.Sequential(_layer(i, o, 2), _layer(o, o, 1)) for i, o in pairs)
        self.up = nn.ModuleList(nn.Conv2d(o, i, 1) for i, o in pairs[SAID_AT:])
        self.mix = nn.ModuleList(_layer(i, i, 1) for i, _ in pairs[SAID_AT:])
        self.common = _InCommon(widths[SAID_AT + 1])
        self.said = nn.Conv2d(widths[SAID_AT], 2, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) → (B, 2, ⌈H / 4⌉, ⌈W / 4⌉)"""
        features, finer = self.stem(frames), []
        for down in self.down:
            features = down(features)
            finer.append(features)
        for own, up, mix in zip(finer[-2::-1], self.up[::-1], self.mix[::-1], strict=False):
            larger = F.interpolate(up(features), size=own.shape[-2:], mode="bilinear", align_corners=False)
            features = mix(own + larger)
            if mix is self.mix[1]:
                features = features + self.common(features)
        said: Tensor = self.said(features)
        return said


class _InCommon(nn.Module):
    """What the places of a frame have in common: averages over them, weighted by what they show.

    (B, C, h, w) → (B, C, 1, 1)
    """

    HEADS = 8

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scores, self.values = nn.Conv2d(channels, self.HEADS, 1), nn.Conv2d(channels, channels, 1)
        self.shared = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        weights = self.scores(features).flatten(2).softmax(-1)  # (B, heads, h · w)
        values = self.values(features).flatten(2).unflatten(1, (self.HEADS, -1))  # (B, heads, C / heads, h · w)
        averages = (values @ weights[..., None]).flatten(1)
        shared: Tensor = self.shared(F.silu(averages))[..., None, None]
        return shared


class _PlaceNorm(nn.Module):
    """Normalises the features of each place by their root mean square. (B, C, h, w) → the same"""

    # Added to the mean square, so that places where nothing differs are not made loud.
    QUIET = 1e-2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        loudness = features.square().mean(1, keepdim=True)
        return torch.addcmul(self.bias, features * (loudness + self.QUIET).rsqrt(), self.weight)


def _layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), _PlaceNorm(outputs), nn.SiLU())
