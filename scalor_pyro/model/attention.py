"""Attention: what the guide sees of a frame where a propagated object is expected (paper §3.2)."""

import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.layers.networks import GlimpseEncoder
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import draw, extract, look_through

# The crop that is attended to, in boxes; without `object_attention`, half the view.
ATTENTION_ZOOM = 1.75
ATTENTION_VIEW = 0.5
# Side of the crop of the feature map, in points.
ATTENTION_POINTS = 4


class Attention(nn.Module):
    """Features and pixels of a frame around each object's expected place.

    Differs: with `object_attention`, it attends at the object's scale, to the feature map and to the pixels; with
    `explain_away`, it also sees what the other objects explain there and the object's own last appearance.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.boxes = config, Boxes(config)
        pixels_seen = config.channels + (2 * (config.channels + 1) if config.explain_away else 0)
        self.pixel_encoder = GlimpseEncoder(pixels_seen, config.glimpse_size, config.tracker_dim)
        self.feature_encoder = nn.Linear(config.feature_dim * ATTENTION_POINTS**2, config.tracker_dim)

    def forward(self, objects: Objects, frame: Tensor, feature_map: Tensor) -> Tensor:
        """What is seen of each object.

        :param objects: K objects, as they were in the last frame.
        :param frame: (B, C, H, W)
        :param feature_map: (B, F, H / 4, W / 4) of the frame.
        :return: (B, K, 2·R), R = ``config.tracker_dim``.
        """
        expected = self.boxes.expected(objects)
        if self.config.object_attention:
            region = torch.cat((ATTENTION_ZOOM * expected[..., :2], expected[..., 2:]), -1)
        else:
            half_view = expected.new_tensor([ATTENTION_VIEW / views for views in self.config.views[::-1]])
            region = torch.cat((half_view.expand_as(expected[..., :2]), expected[..., 2:]), -1)
        features = extract(feature_map, region, ATTENTION_POINTS).flatten(2)
        pixels = self._look(objects, expected, region, frame)
        return torch.cat((self.feature_encoder(features), self.pixel_encoder(pixels)), -1)

    @torch.no_grad()
    def _look(self, objects: Objects, expected: Tensor, region: Tensor, frame: Tensor) -> Tensor:
        """The pixels of each region; with `explain_away`, also the other objects there, and the object itself."""
        size = self.config.glimpse_size
        if not self.config.explain_away:
            return extract(frame, region, size)
        canvas = draw(
            objects.glimpse, expected, objects.presence, objects.depth, self.config.image_size, self.boxes.window
        )
        crops = extract(torch.cat((frame, canvas.colour, canvas.alpha), 1), region, size)
        channels = frame.shape[1]
        own = look_through(objects.glimpse, expected, region, size) * objects.presence[..., None, None, None]
        others = (crops[:, :, channels:] - own).clamp(min=0)
        return torch.cat((crops[:, :, :channels], others, own), 2)
