"""Discovery: every cell of a grid proposes an object, prior and posterior side by side (paper §3.1, §3.2)."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.frame_encoder import STRIDE, cell_kernel, cell_size, window_norm
from scalor_pyro.layers.networks import bounded, mlp, positive
from scalor_pyro.layers.objects import gather
from scalor_pyro.layers.rendering import Canvas
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import AppearanceEncoder, AppearancePrior
from scalor_pyro.model.distributions import RelaxedPresence, normal, standard_normal

# Posterior standard deviations before training.
POSTERIOR_SCALES = {"where": 0.2, "depth": 0.2}
# Channels of the encoding of what is already explained.
EXPLAINED_DIM = 16


class DiscoveryDistributions(NamedTuple):
    """What may be discovered in a frame: presence in all N cells, the rest in the M shortlisted ones."""

    presence: RelaxedPresence  # batch (B, N)
    where: Callable[[Tensor], TorchDistribution]  # cells (B, M) → batch (B, M), event (4), see Boxes.discovered
    depth: Callable[[Tensor], TorchDistribution]  # cells (B, M) → batch (B, M), event (1)
    what: Callable[[Tensor], TorchDistribution]  # z_where (B, M, 4) → batch (B, M), event (D)


class Proposed(NamedTuple):
    """The distributions that M proposals were drawn from."""

    cells: Tensor  # (B, M) long
    z_where: Tensor  # (B, M, 4) their boxes
    where: TorchDistribution  # batch (B, M), event (4)
    depth: TorchDistribution  # batch (B, M), event (1)
    what: TorchDistribution  # batch (B, M), event (D)


class DiscoveryPrior(nn.Module):
    """p(z_t^D): presence with an annealed probability in each cell, the rest standard Normal (paper eq. 5, App. E).

    :param appearance: the prior of z_what.
    """

    def __init__(self, config: ModelConfig, appearance: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.appearance = appearance or AppearancePrior(config)

    def forward(self, t: int, batch: int, annealed: Annealed) -> DiscoveryDistributions:
        """The distribution of new objects in frame t, for a batch of sequences."""
        logit = torch.logit(annealed.discovery_prior)
        return DiscoveryDistributions(
            presence=RelaxedPresence(annealed.temperature, logit.expand(batch, self.config.n_cells)),
            where=lambda cells: standard_normal((*cells.shape, 4), logit),
            depth=lambda cells: standard_normal((*cells.shape, 1), logit),
            what=self.appearance,
        )


class DiscoveryPosterior(nn.Module):
    """q(z_t^D | z_t^P, x_{≤t}): from the frame's features and what the propagated objects explain (paper §3.2).

    Differs: with `explain_away`, it sees the unexplained rest of the frame beside the propagated mask.
    """

    def __init__(self, config: ModelConfig, appearance: AppearanceEncoder) -> None:
        super().__init__()
        self.config, self.appearance = config, appearance
        features = config.feature_dim
        kernel = cell_kernel(config)
        self.explained_encoder = nn.Sequential(
            nn.Conv2d(1 + (config.channels if config.explain_away else 0), EXPLAINED_DIM, STRIDE, stride=STRIDE),
            window_norm(config, EXPLAINED_DIM, (STRIDE, STRIDE)),
            nn.CELU(inplace=True),
            nn.Conv2d(EXPLAINED_DIM, 2 * EXPLAINED_DIM, kernel, stride=kernel),
            nn.CELU(inplace=True),
        )
        self.joint = nn.Sequential(
            nn.Conv2d(features + 2 * EXPLAINED_DIM, features, 3, padding=1),
            window_norm(config, features, cell_size(config)),
            nn.CELU(inplace=True),
        )
        self.presence_head = nn.Conv2d(features, 1, 1)
        self.head = mlp(features, 64, 8 + 2)

    def forward(
        self, frame: Tensor, cells: Tensor, explained: Canvas | None, annealed: Annealed
    ) -> DiscoveryDistributions:
        """The distribution of new objects in a frame.

        :param Tensor frame: (B, C, H, W)
        :param Tensor cells: (B, F, G_y, G_x) features of the frame.
        :param explained: the propagated objects, drawn; None in a first frame.
        """
        hidden = self.joint(torch.cat((cells, self.explained_encoder(self._rest(frame, explained))), 1))
        logits = bounded(self.presence_head(hidden).flatten(1), annealed.discovery_bound)
        by_cell = hidden.flatten(2).transpose(1, 2)  # (B, N, F)

        @cache  # where and depth are asked for at the same cells
        def parameters(chosen: Tensor) -> tuple[Tensor, ...]:
            split: tuple[Tensor, ...] = self.head(gather(by_cell, chosen)).split((4, 4, 1, 1), -1)
            return split

        def where(chosen: Tensor) -> TorchDistribution:
            loc, raw, _, _ = parameters(chosen)
            return normal(loc, positive(raw, POSTERIOR_SCALES["where"]))

        def depth(chosen: Tensor) -> TorchDistribution:
            _, _, loc, raw = parameters(chosen)
            return normal(loc, positive(raw, POSTERIOR_SCALES["depth"]))

        def what(z_where: Tensor) -> TorchDistribution:
            appearance = self.appearance(frame, z_where)
            return normal(appearance.loc, appearance.scale)

        return DiscoveryDistributions(RelaxedPresence(annealed.temperature, logits), where, depth, what)

    def _rest(self, frame: Tensor, explained: Canvas | None) -> Tensor:
        mask = torch.zeros_like(frame[:, :1]) if explained is None else explained.alpha
        if not self.config.explain_away:
            return mask
        rest = frame if explained is None else (1 - mask) * (frame - explained.colour)
        return torch.cat((mask, rest), 1)


def shortlist(logits: Tensor, proposals: int) -> Tensor:
    """The M cells with the highest presence. (B, N) → (B, M)

    Differs: the paper decodes and renders every cell, present or not.
    """
    return logits.topk(proposals, 1).indices
