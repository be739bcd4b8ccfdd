"""A convolutional network that embeds glimpses of objects."""

import torch
from torch import Tensor, nn

# Groups of channels that are normalised together, and width of the layer before the last.
GROUPS, HIDDEN = 8, 128
# Strides of the four layers, sides of their kernels, and the layer whose features are also averaged, but for the edges.
STRIDES, KERNELS, EARLY, MARGIN = (2, 1, 2, 2), (5, 3, 3, 3), 1, 2


class EmbeddingNetwork(nn.Module):
    """(n, C, 24, 24) → (n, features)

    :param inputs: C, channels of glimpses.
    :param widths: channels of the four layers.
    :param features: numbers in an embedding.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int], features: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, kernel, stride, kernel // 2), nn.GroupNorm(GROUPS, o), nn.ReLU())
            for i, o, kernel, stride in zip((inputs, *widths), widths, KERNELS, STRIDES, strict=False)
        )
        self.embedding = nn.Sequential(
            nn.Linear(widths[EARLY] + 2 * widths[-1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, features)
        )

    def forward(self, glimpses: Tensor) -> Tensor:
        """Embed glimpses."""
        hidden = glimpses
        pooled, middle = [], slice(MARGIN, -MARGIN)
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden)
            if number == EARLY:
                pooled.append(hidden[..., middle, middle].mean((-1, -2)))
        embedded: Tensor = self.embedding(torch.cat((*pooled, hidden.mean((-1, -2)), hidden.amax((-1, -2))), 1))
        return embedded
