"""Quantities that a schedule changes during training: buffers, so that they are saved and moved with the weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scalor_pyro.config import SCHEDULED, TrainConfig


class Annealed(nn.Module):
    """The scheduled quantities of :class:`scalor_pyro.config.TrainConfig`, each a scalar tensor.

    They start at the final values of the default schedules.
    """

    temperature: Tensor  # of the relaxed Bernoulli
    discovery_prior: Tensor  # prior probability that a cell discovers an object
    reject_propagated: Tensor  # overlap with a propagated object above which a proposal is rejected
    reject_within: Tensor  # … if its centre is in that object's box, enlarged by this factor
    reject_proposals: Tensor  # overlap with a stronger proposal above which a proposal is rejected
    discovery_bound: Tensor  # bound of the posterior's discovery logits
    propagation_release: Tensor  # factor of the learned propagation logit

    def __init__(self) -> None:
        super().__init__()
        defaults = TrainConfig()
        for name in SCHEDULED:
            self.register_buffer(name, torch.tensor(getattr(defaults, name).points[-1][1]))

    def set(self, values: Mapping[str, float]) -> None:
        """Set values by name.

        :raises ValueError: for a name that is not scheduled.
        """
        for name, value in values.items():
            if name not in SCHEDULED:
                raise ValueError(f"schedule: expected one of {', '.join(SCHEDULED)}, got {name!r}.")
            self.get_buffer(name).fill_(value)
