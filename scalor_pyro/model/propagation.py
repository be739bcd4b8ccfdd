"""Propagation: how objects go on from frame to frame, prior and posterior side by side (paper §3.1, §3.2)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.boxes import KEPT, Boxes
from scalor_pyro.layers.networks import GlimpseEncoder, bounded, mlp, positive
from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.layers.rendering import draw, extract, look_through
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import AppearanceEncoder
from scalor_pyro.model.distributions import RelaxedPresence, normal

# Presence of a propagated object leans this much towards going on, in the posterior and in the prior.
POSTERIOR_BIAS = 2.0
PRIOR_BIAS = 5.0
# The crop that the guide attends to, in boxes; without `object_attention`, half the view.
ATTENTION_ZOOM = 1.75
ATTENTION_VIEW = 0.5
# Brings velocities (image coordinates per frame) to the size of the other numbers that an RNN reads.
VELOCITY_GAIN = 10
# Side of the crop of the feature map, in points.
ATTENTION_POINTS = 4
# With `inertia`, the mean of a depth moves towards a place within ± this, where σ lies between 0.12 and 0.88. Farther
# out it hardly changes, and depths order nothing.
DEPTH_RANGE = 2.0
# Standard deviations before training: of the prior, and of the posterior.
PRIOR_SCALES = {"where": 0.3, "depth": 0.3, "what": 0.3}
POSTERIOR_SCALES = {"where": 0.1, "depth": 0.1, "what": 0.1}


class PropagationDistributions(NamedTuple):
    """How K objects go on: one distribution for each latent, in the order in which they are drawn."""

    presence: RelaxedPresence  # batch (B, K)
    where: TorchDistribution  # batch (B, K), event (4): deviation, see Boxes.propagated
    depth: TorchDistribution  # batch (B, K), event (1)
    what: Callable[[Tensor], TorchDistribution]  # z_where (B, K, 4) → batch (B, K), event (D)
    memory: Tensor  # (B, K, R) what the RNN remembers of each object


def describe(objects: Objects, config: ModelConfig) -> Tensor:
    """What an RNN reads of an object's last latents. (B, K, D + 10)"""
    where, velocity = in_view(objects.where, objects.velocity, config)
    return torch.cat(
        (
            objects.what,
            where,
            objects.shape,
            VELOCITY_GAIN * velocity,
            objects.depth,
            objects.presence[..., None],
        ),
        -1,
    )


def in_view(where: Tensor, velocity: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Boxes and velocities in units of the images trained on, where an image is larger.

    A centre's place is then how near it is to a border, as it was in training; far from all of them it is 0.
    """
    if config.view is None:
        return where, velocity
    views = where.new_tensor(config.views[::-1])  # (x, y)
    scale, centre = where[..., :2] * views, where[..., 2:]
    place = (views * (1 + centre)).clamp(max=1) - (views * (1 - centre)).clamp(max=1)
    return torch.cat((scale, place), -1), velocity * views


def description_size(config: ModelConfig) -> int:
    """Length of :func:`describe`'s last dimension."""
    return config.z_what_dim + 10


def remember(cell: nn.GRUCell, inputs: Tensor, memory: Tensor | None, slots: Slots) -> Tensor:
    """One step of each object's RNN; an object discovered in the last frame begins with an empty memory."""
    if memory is None:
        memory = inputs.new_zeros(*inputs.shape[:2], cell.hidden_size)
    fresh = slots.new[..., None]
    state: Tensor = cell(inputs.flatten(0, 1), memory.masked_fill(fresh, 0.0).flatten(0, 1))
    return state.unflatten(0, inputs.shape[:2])


def next_depth(depth: Tensor, raw: Tensor) -> Tensor:
    """The mean of an object's depth in the next frame, with `inertia`: a part of the way to where its RNN wants it.

    Depths matter by their differences alone, so nothing in a frame holds them all: added up freely, what an RNN says
    would lead every object nearer in each frame, until no depth is larger than another to a sigmoid.

    :param depth: (B, K, 1) in the last frame.
    :param raw: (B, K, 1) what the RNN says, any numbers.
    :return: (B, K, 1), within ± :data:`DEPTH_RANGE` or nearer to it than before.
    """
    return KEPT * depth + (1 - KEPT) * DEPTH_RANGE * torch.tanh(raw)


class PropagationPrior(nn.Module):
    """p(z_t^P | z_{<t}): a prior RNN reads the object's own past latents (paper eq. 3, 4).

    Differs: with `inertia`, appearance and depth are Normal round about the last ones rather than anywhere.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.rnn = nn.GRUCell(description_size(config), config.prior_dim)
        self.head = mlp(config.prior_dim, config.prior_dim, 1 + 8 + 2 + 2 * config.z_what_dim)

    def forward(self, slots: Slots, memory: Tensor | None, annealed: Annealed) -> PropagationDistributions:
        """The law of the next frame.

        :param Slots slots: the slots after the last frame.
        :param memory: (B, K, R) what the last call returned; None at the start.
        :param Annealed annealed: temperature and other scheduled quantities.
        """
        memory = remember(self.rnn, describe(slots.objects, self.config), memory, slots)
        pres, where, where_raw, depth, depth_raw, what, what_raw = self.head(memory).split(
            (1, 4, 4, 1, 1, self.config.z_what_dim, self.config.z_what_dim), -1
        )
        if self.config.inertia:
            depth, what = next_depth(slots.objects.depth, depth), slots.objects.what + what
        what_distribution = normal(what, positive(what_raw, PRIOR_SCALES["what"] if self.config.inertia else 1.0))
        return PropagationDistributions(
            presence=RelaxedPresence(annealed.temperature, bounded(pres[..., 0] + PRIOR_BIAS, self.config.logit_bound)),
            where=normal(where, positive(where_raw, PRIOR_SCALES["where"])),
            depth=normal(depth, positive(depth_raw, PRIOR_SCALES["depth"])),
            what=lambda _: what_distribution,
            memory=memory,
        )


class PropagationPosterior(nn.Module):
    """q(z_t^P | z_{<t}, x_{≤t}): a tracker RNN that attends to the frame where the object is expected (paper §3.2).

    Differs: with `object_attention`, it attends at the object's scale, to the feature map and to the pixels; with
    `explain_away`, it also sees what the other objects explain there and how the object looked.
    """

    def __init__(self, config: ModelConfig, boxes: Boxes, appearance: AppearanceEncoder) -> None:
        super().__init__()
        self.config, self.boxes, self.appearance = config, boxes, appearance
        width, what = config.tracker_dim, config.z_what_dim
        self.pixels_seen = config.channels + (2 * (config.channels + 1) if config.explain_away else 0)
        self.pixel_encoder = GlimpseEncoder(self.pixels_seen, config.glimpse_size, width)
        self.feature_encoder = nn.Linear(config.feature_dim * ATTENTION_POINTS**2, width)
        self.inputs = nn.Sequential(
            nn.Linear(2 * width + description_size(config), width), nn.LayerNorm(width), nn.CELU(inplace=True)
        )
        self.rnn = nn.GRUCell(width, width)
        self.head = mlp(width, width, 1 + 8 + 2 + what)
        self.what_head = mlp(width + AppearanceEncoder.FEATURES, width, 3 * what)

    def forward(
        self, slots: Slots, memory: Tensor | None, annealed: Annealed, frame: Tensor, feature_map: Tensor
    ) -> PropagationDistributions:
        """The law of this frame's propagated objects.

        :param Tensor frame: (B, C, H, W)
        :param Tensor feature_map: (B, F, H / 4, W / 4)
        """
        objects, config = slots.objects, self.config
        description = describe(objects, config)
        seen = self._attend(objects, frame, feature_map) if config.attention else self._see_nothing(description)
        memory = remember(self.rnn, self.inputs(torch.cat((seen, description), -1)), memory, slots)
        pres, where, where_raw, depth, depth_raw, what_recalled = self.head(memory).split(
            (1, 4, 4, 1, 1, config.z_what_dim), -1
        )
        if config.inertia:
            depth, what_recalled = next_depth(objects.depth, depth), objects.what + what_recalled
        recurrent = memory

        def what(z_where: Tensor) -> TorchDistribution:
            looks = self.appearance(frame, z_where)
            gate, shift, raw = self.what_head(torch.cat((recurrent, looks.features), -1)).chunk(3, -1)
            loc = what_recalled + gate.sigmoid() * (looks.loc - what_recalled) + shift
            return normal(loc, positive(raw, POSTERIOR_SCALES["what"]))

        return PropagationDistributions(
            presence=RelaxedPresence(
                annealed.temperature,
                bounded(POSTERIOR_BIAS + annealed.propagation_release * pres[..., 0], config.logit_bound),
            ),
            where=normal(where, positive(where_raw, POSTERIOR_SCALES["where"])),
            depth=normal(depth, positive(depth_raw, POSTERIOR_SCALES["depth"])),
            what=what,
            memory=memory,
        )

    def _see_nothing(self, like: Tensor) -> Tensor:
        return like.new_zeros(*like.shape[:2], 2 * self.config.tracker_dim)

    def _attend(self, objects: Objects, frame: Tensor, feature_map: Tensor) -> Tensor:
        """Features and pixels where each object is expected. (B, K, 2·R)"""
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
        """The pixels of each region; with `explain_away`, also what others explain there, and the own look."""
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
