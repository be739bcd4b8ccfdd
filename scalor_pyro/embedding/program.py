"""Which glimpses are of one object? A Pyro program without latents, which embeds them."""

from collections.abc import Mapping

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from scalor_pyro.config import EmbeddingModelConfig
from scalor_pyro.embedding.glimpses import CHANNELS
from scalor_pyro.embedding.network import EmbeddingNetwork
from scalor_pyro.model.program import StoredModule

# Logit of objects that a glimpse cannot be of.
NEVER = -1e9
# Standard deviation of the log factor by which the glimpses of a video are multiplied in training.
STRONGER = 0.25


class GlimpseEmbedding(StoredModule):
    """p(object | glimpse): which of the objects of a video a glimpse shows.

    Embeddings f(x) of one object o are Normal(c_o, ½ I), with c_o the mean of those that are known, so that

        p(o | x) ∝ exp(-|f(x) - c_o|²),

    as in prototypical networks (Snell, Swersky and Zemel, NeurIPS 2017). Nothing is latent, so the guide is empty, and
    inference is maximum likelihood.

    Not part of the paper.

    :param config: of the network.
    """

    def __init__(self, config: EmbeddingModelConfig) -> None:
        super().__init__()
        self.config = config
        self.network = EmbeddingNetwork(CHANNELS, config.widths, config.features)
        self.last_statistics: dict[str, Tensor] = {}

    def schedule(self, values: Mapping[str, float]) -> None:
        """Does nothing: there are no scheduled quantities."""

    def forward(self, glimpses: Tensor) -> Tensor:
        """Embed glimpses. (n, 7, 24, 24) in [-1, 1] → (n, features)"""
        features: Tensor = self.network(glimpses)
        return features

    def model(self, clips: Tensor) -> None:
        """Observe which object each of some glimpses shows, given others.

        :param clips: (B, K · J, 7, 24, 24) in [0, 1], J glimpses of each of K objects of a video; all 0 where there is
            none, see :class:`~scalor_pyro.experiments.made_up.glimpses.TrackedGlimpses`.
        """
        self.store_name.register(self)
        logits, asked, which = self.asked(clips)
        with pyro.plate("videos", len(clips), device=str(clips.device)):
            # Every video counts alike, however many glimpses it has.
            with pyro.poutine.scale(scale=1 / asked.sum((1, 2)).clamp(min=1)):
                pyro.sample("object", dist.Categorical(logits=logits).mask(asked).to_event(2), obs=which)

    def asked(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the objects for each glimpse (B, K, J, K), which are asked about, and the objects; (B, K, J)."""
        glimpses = clips.unflatten(1, (-1, self.config.per_object))
        there = glimpses.flatten(3).any(-1)  # (B, K, J)
        glimpses = 2 * glimpses - 1
        glimpses = _augmented(glimpses) if self.training else glimpses
        features = self(glimpses.flatten(0, 2)).unflatten(0, glimpses.shape[:3])
        known = _half_of(there, self.training)
        whole = known.any(2) & (there & ~known).any(2)  # (B, K): objects of which there are glimpses of both kinds
        share = known / known.sum(2, keepdim=True).clamp(min=1)
        centre = (share[..., None] * features).sum(2)  # (B, K, D)
        distance = torch.cdist(features.flatten(1, 2), centre).square()  # (B, K · J, K)
        distance = distance.unflatten(1, glimpses.shape[1:3])
        logits = (-distance).masked_fill(~whole[:, None, None], NEVER)
        which = torch.arange(glimpses.shape[1], device=glimpses.device)[None, :, None].expand(there.shape)
        return logits, there & ~known & whole[..., None], which

    def guide(self, clips: Tensor) -> None:
        """Nothing is latent."""


def told_apart(program: GlimpseEmbedding, clips: Tensor) -> Tensor:
    """For each video, the share of later glimpses whose object is told rightly, and what chance would give. (B, 2)

    NaN where there are no two objects with several glimpses.
    """
    logits, asked, which = program.asked(clips)
    right = ((logits.argmax(-1) == which) & asked).sum((1, 2)) / asked.sum((1, 2))
    objects = asked.any(2).sum(1)
    found = torch.stack((right, 1 / objects), 1)
    return torch.where((objects > 1)[:, None], found, torch.nan)


def _half_of(there: Tensor, random: bool) -> Tensor:
    """Half of the glimpses of each object: the first, or any. (B, K, J)

    :param there: (B, K, J) which glimpses there are.
    """
    order = torch.rand(there.shape, device=there.device) if random else there.cumsum(-1).to(torch.float32)
    order = order.masked_fill(~there, torch.inf).argsort(-1).argsort(-1)
    return there & (2 * order < there.sum(-1, keepdim=True))


def _augmented(glimpses: Tensor) -> Tensor:
    """All glimpses of a video flipped, transposed, in other colours, light for dark, stronger or fainter, or not.

    (B, K, J, C, 24, 24)
    """
    shape = (len(glimpses), 1, 1, 1, 1, 1)

    def half() -> Tensor:
        return torch.rand(shape, device=glimpses.device) < 0.5

    for axis in (-1, -2):
        glimpses = torch.where(half(), glimpses.flip(axis), glimpses)
    glimpses = torch.where(half(), glimpses.mT, glimpses)
    seen, whose = glimpses.split((CHANNELS - 1, 1), 3)
    colours = torch.randperm(3, device=glimpses.device)
    seen = seen[:, :, :, torch.cat((colours, 3 + colours))]
    stronger = (STRONGER * torch.randn(shape, device=glimpses.device)).exp()
    seen = (torch.where(half(), -seen, seen) * stronger).clamp(-1, 1)
    return torch.cat((seen, whose), 3)
