"""Propagation: how objects continue from frame to frame, prior and posterior side by side (paper §3.1, §3.2)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.networks import bounded, gru, mlp, positive
from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import AppearanceEncoder
from scalor_pyro.model.attention import Attention
from scalor_pyro.model.distributions import RelaxedPresence, normal
from scalor_pyro.model.parts import require_shape

# Added to the logit of a propagated object's presence, in the posterior and in the prior: objects tend to stay.
POSTERIOR_BIAS = 2.0
PRIOR_BIAS = 5.0
# Brings velocities (image coordinates per frame) to the size of the other numbers that an RNN reads.
VELOCITY_GAIN = 10
# Standard deviations before training: of the prior, and of the posterior.
PRIOR_SCALES = {"where": 0.3, "depth": 0.3, "what": 0.3}
POSTERIOR_SCALES = {"where": 0.1, "depth": 0.1, "what": 0.1}


class PropagationDistributions(NamedTuple):
    """How K objects continue: one distribution for each latent, in the order in which they are drawn."""

    presence: RelaxedPresence  # batch (B, K)
    where: TorchDistribution  # batch (B, K), event (4): deviation, see Boxes.propagated
    depth: TorchDistribution  # batch (B, K), event (1)
    what: Callable[[Tensor], TorchDistribution]  # z_where (B, K, 4) → batch (B, K), event (D)
    memory: Tensor  # (B, K, R) state of each object's RNN


def describe(objects: Objects, config: ModelConfig) -> Tensor:
    """The last latents of each object, as RNNs read them. (B, K, D + 10)"""
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
    """Boxes and velocities in units of the images trained on, if an image is larger.

    The position of a centre is then its distance from a border, as in training; far from all borders it is 0.
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
    """One step of each object's RNN; an object discovered in the last frame starts from zeros."""
    if memory is None:
        memory = inputs.new_zeros(*inputs.shape[:2], cell.hidden_size)
    fresh = slots.new[..., None]
    return gru(cell, inputs, memory.masked_fill(fresh, 0.0))


def next_depth(depth: Tensor, raw: Tensor, config: ModelConfig) -> Tensor:
    """The mean of an object's depth in the next frame, with `inertia`: one step towards the value its RNN asks for.

    Only differences of depths matter, so no frame keeps them in a range. If outputs of the RNN were simply added up,
    every object would come nearer in each frame, until a sigmoid cannot distinguish their depths. Which of two objects
    is in front shows only once they meet, so where objects hide each other, a step should be large enough to change it
    within a frame or two.

    :param depth: (B, K, 1) in the last frame.
    :param raw: (B, K, 1) the RNN's output, unbounded.
    :param config: `depth_step` is the share of the way that is gone, `depth_range` bounds the value asked for.
    :return: (B, K, 1), within ± `depth_range`, or closer to that range than before.
    """
    asked_for = torch.tanh(raw)
    return torch.add((1 - config.depth_step) * depth, asked_for, alpha=config.depth_step * config.depth_range)


class PropagationPrior(nn.Module):
    """p(z_t^P | z_{<t}): a prior RNN reads the object's own past latents (paper eq. 3, 4).

    Differs: with `inertia`, appearance and depth are Normal around the last ones.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.rnn = nn.GRUCell(description_size(config), config.prior_dim)
        self.head = mlp(config.prior_dim, config.prior_dim, 1 + 8 + 2 + 2 * config.z_what_dim)

    def forward(self, slots: Slots, memory: Tensor | None, annealed: Annealed) -> PropagationDistributions:
        """The distribution of the objects in the next frame.

        :param slots: the slots after the last frame.
        :param memory: (B, K, R) from the last call; None in the first.
        :param annealed: temperature and other scheduled quantities.
        """
        memory = remember(self.rnn, describe(slots.objects, self.config), memory, slots)
        pres, where, where_raw, depth, depth_raw, what, what_raw = self.head(memory).split(
            (1, 4, 4, 1, 1, self.config.z_what_dim, self.config.z_what_dim), -1
        )
        if self.config.inertia:
            depth, what = next_depth(slots.objects.depth, depth, self.config), slots.objects.what + what
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

    :param appearance: reads the appearance of an object off the frame.
    :param attention: looks at the frame where an object is expected.
    """

    def __init__(self, config: ModelConfig, appearance: AppearanceEncoder, attention: Attention) -> None:
        super().__init__()
        self.config, self.appearance, self.attention = config, appearance, attention
        width, what = config.tracker_dim, config.z_what_dim
        self.inputs = nn.Sequential(
            nn.Linear(2 * width + description_size(config), width), nn.LayerNorm(width), nn.CELU(inplace=True)
        )
        self.rnn = nn.GRUCell(width, width)
        self.head = mlp(width, width, 1 + 8 + 2 + what)
        self.what_head = mlp(width + appearance.FEATURES, width, 3 * what)

    def forward(
        self, slots: Slots, memory: Tensor | None, annealed: Annealed, frame: Tensor, feature_map: Tensor
    ) -> PropagationDistributions:
        """The distribution of this frame's propagated objects.

        :param Tensor frame: (B, C, H, W)
        :param Tensor feature_map: (B, F, H / 4, W / 4)
        """
        objects, config = slots.objects, self.config
        description = describe(objects, config)
        seen = self._seen(objects, frame, feature_map)
        memory = remember(self.rnn, self.inputs(torch.cat((seen, description), -1)), memory, slots)
        pres, where, where_raw, depth, depth_raw, what_recalled = self.head(memory).split(
            (1, 4, 4, 1, 1, config.z_what_dim), -1
        )
        if config.inertia:
            depth, what_recalled = next_depth(objects.depth, depth, config), objects.what + what_recalled
        recurrent = memory

        def what(z_where: Tensor) -> TorchDistribution:
            appearance = self.appearance(frame, z_where)
            gate, shift, raw = self.what_head(torch.cat((recurrent, appearance.features), -1)).chunk(3, -1)
            loc = torch.lerp(what_recalled, appearance.loc, gate.sigmoid()) + shift
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

    def _seen(self, objects: Objects, frame: Tensor, feature_map: Tensor) -> Tensor:
        """What attention sees; without `attention`, zeros. (B, K, 2·R)"""
        shape = (*objects.presence.shape, 2 * self.config.tracker_dim)
        if not self.config.attention:
            return frame.new_zeros(shape)
        seen: Tensor = self.attention(objects, frame, feature_map)
        require_shape("attention", seen, shape)
        return seen
