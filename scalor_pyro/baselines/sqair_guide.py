"""Posterior of SQAIR: RNNs over objects, each inferred after the one before (Kosiorek et al., 2018, §3.2)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config.baselines import GROUPS, SQAIRConfig
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.layers.networks import GlimpseEncoder, PatchConv2d, bounded, mlp, positive
from scalor_pyro.layers.objects import Slots
from scalor_pyro.layers.rendering import Canvas, extract
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import AppearanceEncoder
from scalor_pyro.model.attention import ATTENTION_ZOOM
from scalor_pyro.model.distributions import RelaxedPresence, normal
from scalor_pyro.model.propagation import (
    POSTERIOR_BIAS,
    POSTERIOR_SCALES,
    describe,
    description_size,
    remember,
)

# Added to the logit of a discovery's presence.
DISCOVERY_BIAS = 1.0
# Posterior standard deviation of z_where of a discovery before training; for its centre, in half-images.
DISCOVERY_WHERE = 0.05
# px of the image per point of the feature map in which discovery searches, each way.
STRIDE = 4
# Attention starts steeper by this factor: if it spread over two objects, its mean would lie between them.
ATTENTION_GAIN = 4.0
# A centre at the border of the image is moved to this part of the half-image, where artanh is still small.
REACH = 0.97


class ObjectDistributions(NamedTuple):
    """The distributions of one object, in the order in which they are drawn."""

    presence: RelaxedPresence  # batch (B, 1)
    where: TorchDistribution  # batch (B, 1), event (4)
    what: Callable[[Tensor], TorchDistribution]  # z_where (B, 1, 4) in image coordinates → batch (B, 1), event (D)


class Drawn(NamedTuple):
    """The latents of one object that others depend on."""

    presence: Tensor  # (B, 1) z_pres in [0, 1]
    where: Tensor  # (B, 1, 4) in image coordinates
    shape: Tensor  # (B, 1, 2) unbounded size and aspect, behind where
    velocity: Tensor  # (B, 1, 2)
    what: Tensor  # (B, 1, D)
    glimpse: Tensor  # (B, 1, C + 1, S, S) decoded


# The distributions of object n, given the one drawn before it in the same frame, and the canvas so far.
DistributionsOf = Callable[[int, Drawn | None, Canvas], ObjectDistributions]


def _told(before: Drawn | None, like: Tensor, what_dim: int) -> Tensor:
    """The object before, as RNNs read it. (B, D + 5)"""
    if before is None:
        return like.new_zeros(len(like), what_dim + 5)
    return torch.cat((before.what, before.where, before.presence[..., None]), -1)[:, 0]


def beside(frame: Tensor, explained: Canvas) -> Tensor:
    """A frame, its unexplained rest, and the opacity of the canvas; without gradients. (B, 2·C + 1, H, W)"""
    return torch.cat((frame, frame - explained.colour, explained.alpha), 1).detach()


class SQAIRPropagationPosterior(nn.Module):
    """q(z_t^P | z_{<t}, x_t): a temporal RNN for each object, and a relational one from object to object.

    Differs: attention is a crop of 1.75 boxes around the expected position, while the paper predicts its position; and
    it sees what earlier objects have drawn of this frame.
    """

    def __init__(self, config: SQAIRConfig, boxes: Boxes, appearance: AppearanceEncoder) -> None:
        super().__init__()
        self.config, self.boxes, self.appearance = config, boxes, appearance
        self.shared = config.of_objects()
        width, what = config.tracker_dim, config.z_what_dim
        self.temporal = nn.GRUCell(description_size(self.shared), width)
        self.glimpse_encoder = GlimpseEncoder(2 * config.channels + 1, config.glimpse_size, width)
        self.relational = nn.GRUCell(2 * width + what + 5, width)
        self.head = mlp(2 * width, width, 1 + 8 + what)
        self.what_head = mlp(2 * width + AppearanceEncoder.FEATURES, width, 3 * what)

    def forward(
        self, slots: Slots, memory: Tensor | None, annealed: Annealed, frame: Tensor
    ) -> tuple[DistributionsOf, Tensor]:
        """The distributions of each object in turn, and the memory (B, K, R) of the temporal RNNs.

        :param Tensor frame: (B, C, H, W)
        """
        objects, what_dim = slots.objects, self.config.z_what_dim
        memory = remember(self.temporal, describe(objects, self.shared), memory, slots)
        expected = self.boxes.expected(objects)
        region = torch.cat((ATTENTION_ZOOM * expected[..., :2], expected[..., 2:]), -1)
        relation: Tensor | None = None

        def distribution_of(n: int, before: Drawn | None, explained: Canvas) -> ObjectDistributions:
            nonlocal relation
            crop = extract(beside(frame, explained), region[:, n, None], self.config.glimpse_size)
            own = torch.cat((memory[:, n], self.glimpse_encoder(crop)[:, 0]), -1)  # (B, 2·R)
            relation = self.relational(torch.cat((own, _told(before, own, what_dim)), -1), relation)
            state = torch.cat((memory[:, n], relation), -1)[:, None]  # (B, 1, 2·R)
            pres, where, where_raw, recalled = self.head(state).split((1, 4, 4, what_dim), -1)

            def what(z_where: Tensor) -> TorchDistribution:
                appearance = self.appearance(frame, z_where)
                gate, shift, raw = self.what_head(torch.cat((state, appearance.features), -1)).chunk(3, -1)
                last = objects.what[:, n, None] + recalled
                loc = last + gate.sigmoid() * (appearance.loc - last) + shift
                return normal(loc, positive(raw, POSTERIOR_SCALES["what"]))

            logits = bounded(POSTERIOR_BIAS + pres[..., 0], self.config.logit_bound)
            return ObjectDistributions(
                RelaxedPresence(annealed.temperature, logits),
                normal(where, positive(where_raw, POSTERIOR_SCALES["where"])),
                what,
            )

        return distribution_of, memory


class Localiser(nn.Module):
    """Finds an object that is not drawn yet: attention over a feature map, whose mean is the position.

    Differs: the paper predicts a position from a vector that describes the whole frame.
    """

    places: Tensor

    def __init__(self, config: SQAIRConfig) -> None:
        super().__init__()
        width = config.width
        rows, columns = (size // STRIDE for size in config.image_size)
        y, x = ((torch.arange(n) * 2 + 1) / n - 1 for n in (rows, columns))
        places = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)))
        self.register_buffer("places", places, persistent=False)  # (2, H / 4, W / 4)
        self.net = nn.Sequential(
            PatchConv2d(2 * config.channels + 1, width, STRIDE),
            nn.GroupNorm(GROUPS, width),
            nn.CELU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(GROUPS, width),
            nn.CELU(inplace=True),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),  # sees 28 px: a whole object
            nn.GroupNorm(GROUPS, width),
            nn.CELU(inplace=True),
        )
        self.attention = nn.Conv2d(width + 2, 1, 1)  # the position is also an input, to prefer one of equal objects

    def forward(self, frame: Tensor, explained: Canvas) -> tuple[Tensor, Tensor]:
        """Features (B, width) and position (B, 2) in image coordinates.

        :param Tensor frame: (B, C, H, W)
        :param explained: the canvas so far.
        """
        features = self.net(beside(frame, explained))
        everywhere = torch.cat((features, self.places.expand(len(features), -1, -1, -1)), 1)
        weights = (ATTENTION_GAIN * self.attention(everywhere)).flatten(1).softmax(-1)  # (B, N)
        seen = torch.einsum("bfn,bn->bf", features.flatten(2), weights)
        return seen, weights @ self.places.flatten(1).T


class SQAIRDiscoveryPosterior(nn.Module):
    """q(z_t^D | z_t^P, x_t): an RNN over the steps of discovery, each of which looks for an object not drawn yet.

    Differs: propagated and already discovered objects enter as the canvas that they draw; in the paper, as a sum over
    encoded objects and as the RNN's memory.
    """

    def __init__(self, config: SQAIRConfig, appearance: AppearanceEncoder) -> None:
        super().__init__()
        self.config, self.appearance = config, appearance
        width, what = config.tracker_dim, config.z_what_dim
        self.localiser = Localiser(config)
        self.rnn = nn.GRUCell(config.width + 2 + what + 5, width)
        self.head = mlp(width, width, 1 + 8)

    def forward(self, annealed: Annealed, frame: Tensor) -> DistributionsOf:
        """The distributions of each step of discovery in turn.

        :param Tensor frame: (B, C, H, W)
        """
        memory: Tensor | None = None

        def what(z_where: Tensor) -> TorchDistribution:
            appearance = self.appearance(frame, z_where)
            return normal(appearance.loc, appearance.scale)

        def distribution_of(_: int, before: Drawn | None, explained: Canvas) -> ObjectDistributions:
            nonlocal memory
            seen, place = self.localiser(frame, explained)
            memory = self.rnn(torch.cat((seen, place, _told(before, seen, self.config.z_what_dim)), -1), memory)
            pres, shape, offset, where_raw = self.head(memory)[:, None].split((1, 2, 2, 4), -1)
            centre = torch.atanh(REACH * place)[:, None] + offset  # see Boxes.discovered; the cell is the image
            logits = bounded(DISCOVERY_BIAS + pres[..., 0], annealed.discovery_bound)
            return ObjectDistributions(
                RelaxedPresence(annealed.temperature, logits),
                normal(torch.cat((shape, centre), -1), positive(where_raw, DISCOVERY_WHERE)),
                what,
            )

        return distribution_of
