"""What the models of whole frames share apart from networks: no objects, one observed site per frame."""

import math
from collections.abc import Mapping

import pyro
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config.baselines import FrameModelConfig
from scalor_pyro.layers.networks import positive
from scalor_pyro.model import sites
from scalor_pyro.model.distributions import normal
from scalor_pyro.model.inputs import extent
from scalor_pyro.model.program import StoredModule, require_one_particle

# Standard deviations of z before training, in the posterior and in the prior.
POSTERIOR_SCALE, PRIOR_SCALE = 0.1, 1.0
# Standard deviation of the posterior's mean before training, for features of size 1: that of the prior.
POSTERIOR_GAIN = 1.0

Memory = tuple[Tensor, Tensor]  # output and cell of an LSTM, each (B, R)


class FrameProgram(StoredModule):
    """A model of frames without objects.

    :param FrameModelConfig config: sizes.
    """

    def __init__(self, config: FrameModelConfig) -> None:
        super().__init__()
        self.config = config
        self.last_statistics: dict[str, Tensor] = {}  # of objects; these models have none

    def schedule(self, values: Mapping[str, float]) -> None:
        """Does nothing: these models have no scheduled quantities."""

    def _begin(self, x: Tensor | None, frames: int | None, sequences: int) -> tuple[int, int, pyro.plate]:
        """The number of observed frames, of all frames, and the plate of the sequences.

        :raises ValueError: if x is not a batch of videos of the config's size.
        """
        weight = next(self.parameters())
        observed, frames, sequences = extent(x, frames, sequences, self.config, weight.dtype)
        self.store_name.register(self)
        return observed, frames, pyro.plate("sequences", sequences, dim=-2, device=str(weight.device))

    def _empty(self, sequences: int) -> Memory:
        """The state before the first frame."""
        zeros = next(self.parameters()).new_zeros(sequences, self.config.memory_dim)
        return zeros, zeros

    def _show(self, t: int, y: Tensor, x: Tensor | None) -> None:
        """Draw or observe the frame.

        :param Tensor y: (B, C, H, W) without noise.
        """
        pyro.deterministic(sites.y(t), y[:, None], event_dim=3)
        seen = x[:, t, None] if x is not None and t < x.shape[1] else None
        pyro.sample(sites.x(t), normal(y[:, None], y.new_full((), self.config.sigma), event_dims=3), obs=seen)


def posterior_head(inputs: int, latent_dim: int) -> nn.Linear:
    """A layer for :func:`distribution_of_z`: before training, the mean depends on the input, the scale does not."""
    head = nn.Linear(inputs, 2 * latent_dim)
    loc, raw = head.weight.data.split(latent_dim)
    nn.init.normal_(loc, std=POSTERIOR_GAIN / math.sqrt(inputs))
    nn.init.zeros_(raw)
    nn.init.zeros_(head.bias)
    return head


def distribution_of_z(parameters: Tensor, start: float) -> TorchDistribution:
    """Normal, batch (B, 1), event (D), from (B, 2·D) numbers; ``start`` is its standard deviation before training."""
    loc, raw = parameters[:, None].chunk(2, -1)
    return normal(loc, positive(raw, start))


def draw_z(of: nn.Module, t: int, distribution: TorchDistribution) -> Tensor:
    """The latent of frame t of a program. (B, D)"""
    z: Tensor = pyro.sample(sites.z(t), distribution)
    require_one_particle(z, 3, of)
    return z.squeeze(1)
