"""Posterior of SQAIR: RNNs over objects, each inferred after the one before (Kosiorek et al., 2018, §3.2)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.annealed import Annealed
from scalor_pyro.appearance import AppearanceEncoder
from scalor_pyro.baselines.config import SQAIRConfig
from scalor_pyro.boxes import Boxes
from scalor_pyro.distributions import RelaxedPresence, normal
from scalor_pyro.networks import GlimpseEncoder, bounded, mlp, positive
from scalor_pyro.objects import Objects, Scene
from scalor_pyro.propagation import (
    ATTENTION_ZOOM,
    POSTERIOR_BIAS,
    POSTERIOR_SCALES,
    describe,
    description_size,
    remember,
)
from scalor_pyro.rendering import extract

# Presence of a discovery leans this much towards an object before training.
DISCOVERY_BIAS = 1.0
# Posterior standard deviation of where a discovery is, before training.
DISCOVERY_WHERE = 0.2


class ObjectLaw(NamedTuple):
    """What may become of one object: its distributions, in the order in which they are drawn."""

    presence: RelaxedPresence  # batch (B, 1)
    where: TorchDistribution  # batch (B, 1), event (4)
    what: Callable[[Tensor], TorchDistribution]  # z_where (B, 1, 4) in image coordinates → batch (B, 1), event (D)


class Drawn(NamedTuple):
    """The latents of one object, as far as others look at them."""

    presence: Tensor  # (B, 1) z_pres in [0, 1]
    where: Tensor  # (B, 1, 4) in image coordinates
    shape: Tensor  # (B, 1, 2) unbounded size and aspect, behind where
    velocity: Tensor  # (B, 1, 2)
    what: Tensor  # (B, 1, D)


# The law of object n, given the one that was drawn before it in the same frame.
LawOf = Callable[[int, Drawn | None], ObjectLaw]


def _told(before: Drawn | None, like: Tensor, what_dim: int) -> Tensor:
    """What an RNN reads of the object before. (B, D + 5)"""
    if before is None:
        return like.new_zeros(len(like), what_dim + 5)
    return torch.cat((before.what, before.where, before.presence[..., None]), -1)[:, 0]


class SQAIRPropagationPosterior(nn.Module):
    """q(z_t^P | z_{<t}, x_t): a temporal RNN for each object, and a relational one from object to object.

    Differs: the attention is a crop round the last place, of 1.75 boxes, where the paper predicts its place.
    """

    def __init__(self, config: SQAIRConfig, boxes: Boxes, appearance: AppearanceEncoder) -> None:
        super().__init__()
        self.config, self.boxes, self.appearance = config, boxes, appearance
        self.shared = config.of_objects()
        width, what = config.tracker_dim, config.z_what_dim
        self.temporal = nn.GRUCell(description_size(self.shared), width)
        self.glimpse_encoder = GlimpseEncoder(config.channels, config.glimpse_size, width)
        self.relational = nn.GRUCell(2 * width + what + 5, width)
        self.head = mlp(2 * width, width, 1 + 8 + what)
        self.what_head = mlp(2 * width + AppearanceEncoder.FEATURES, width, 3 * what)

    def forward(self, scene: Scene, memory: Tensor | None, annealed: Annealed, frame: Tensor) -> tuple[LawOf, Tensor]:
        """The law of each object in turn, and the memory (B, K, R) of the temporal RNNs.

        :param Tensor frame: (B, C, H, W)
        """
        objects, what_dim = scene.objects, self.config.z_what_dim
        memory = remember(self.temporal, describe(objects, self.shared), memory, scene)
        expected = self.boxes.expected(objects)
        region = torch.cat((ATTENTION_ZOOM * expected[..., :2], expected[..., 2:]), -1)
        seen = self.glimpse_encoder(extract(frame, region, self.config.glimpse_size))
        of_each = torch.cat((memory, seen), -1)  # (B, K, 2·R)
        relation: Tensor | None = None

        def law_of(n: int, before: Drawn | None) -> ObjectLaw:
            nonlocal relation
            own = of_each[:, n]
            relation = self.relational(torch.cat((own, _told(before, own, what_dim)), -1), relation)
            state = torch.cat((memory[:, n], relation), -1)[:, None]  # (B, 1, 2·R)
            pres, where, where_raw, recalled = self.head(state).split((1, 4, 4, what_dim), -1)

            def what(z_where: Tensor) -> TorchDistribution:
                looks = self.appearance(frame, z_where)
                gate, shift, raw = self.what_head(torch.cat((state, looks.features), -1)).chunk(3, -1)
                last = objects.what[:, n, None] + recalled
                loc = last + gate.sigmoid() * (looks.loc - last) + shift
                return normal(loc, positive(raw, POSTERIOR_SCALES["what"]))

            logits = bounded(POSTERIOR_BIAS + pres[..., 0], self.config.logit_bound)
            return ObjectLaw(
                RelaxedPresence(annealed.temperature, logits),
                normal(where, positive(where_raw, POSTERIOR_SCALES["where"])),
                what,
            )

        return law_of, memory


class SQAIRDiscoveryPosterior(nn.Module):
    """q(z_t^D | z_t^P, x_t): an RNN looks at the whole frame, and says where an object is that it has not named yet.

    What was propagated enters as a sum over objects, so that their order does not matter.
    """

    def __init__(self, config: SQAIRConfig, appearance: AppearanceEncoder) -> None:
        super().__init__()
        self.config, self.appearance = config, appearance
        width, what = config.tracker_dim, config.z_what_dim
        self.set_encoder = nn.Sequential(nn.Linear(what + 4, width), nn.CELU(inplace=True), nn.Linear(width, width))
        self.rnn = nn.GRUCell(config.feature_dim + width + what + 5, width)
        self.head = mlp(width, width, 1 + 8)

    def forward(self, propagated: Objects | None, annealed: Annealed, frame: Tensor, features: Tensor) -> LawOf:
        """The law of each step of discovery in turn.

        :param propagated: what goes on in this frame; None in the first.
        :param Tensor frame: (B, C, H, W)
        :param Tensor features: (B, F) of the frame.
        """
        explained = self._sum(propagated, features)
        memory: Tensor | None = None

        def what(z_where: Tensor) -> TorchDistribution:
            looks = self.appearance(frame, z_where)
            return normal(looks.loc, looks.scale)

        def law_of(_: int, before: Drawn | None) -> ObjectLaw:
            nonlocal memory
            inputs = torch.cat((features, explained, _told(before, features, self.config.z_what_dim)), -1)
            memory = self.rnn(inputs, memory)
            pres, where, where_raw = self.head(memory)[:, None].split((1, 4, 4), -1)
            logits = bounded(DISCOVERY_BIAS + pres[..., 0], self.config.logit_bound)
            return ObjectLaw(
                RelaxedPresence(annealed.temperature, logits), normal(where, positive(where_raw, DISCOVERY_WHERE)), what
            )

        return law_of

    def _sum(self, propagated: Objects | None, features: Tensor) -> Tensor:
        """What is there already. (B, R)"""
        if propagated is None:
            return features.new_zeros(len(features), self.config.tracker_dim)
        each = self.set_encoder(torch.cat((propagated.what, propagated.where), -1))  # (B, K, R)
        return (each * propagated.presence[..., None]).sum(1)
