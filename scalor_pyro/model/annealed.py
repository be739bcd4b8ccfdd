"""Quantities that a schedule changes during training, kept as buffers: they go with the weights and to the device."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scalor_pyro.config import SCHEDULED, TrainConfig


class Annealed(nn.Module):
    """The scheduled quantities of :class:`scalor_pyro.config.TrainConfig`, each a scalar tensor.

    They start at the values that the default schedules end with.
    """

    temperature: Tensor  # of the relaxed Bernoulli
    discovery_prior: Tensor  # prior probability that a cell discovers an object
    reject_propagated: Tensor  # overlap with a propagated object above which a proposal is rejected
    reject_within: Tensor  # …, if its centre is in that one's box, so many times as large
    reject_proposals: Tensor  # overlap with a stronger proposal above which one is rejected
    discovery_bound: Tensor  # bound of the posterior's discovery logits
    propagation_release: Tensor  # share of the learned propagation logit that counts

    def __init__(self) -> None:
        super().__init__()
        defaults = TrainConfig()
        for name in SCHEDULED:
            self.register_buffer(name, torch.tensor(getattr(defaults, name).points[-1][1]))

    def set(self, values: Mapping[str, float]) -> None:
        """Take new values by name.

        :raises ValueError: for a name that is not scheduled.
        """
        for name, value in values.items():
            if name not in SCHEDULED:
                raise ValueError(f"{name!r} is not a scheduled quantity; {', '.join(SCHEDULED)} were expected.")
            self.get_buffer(name).fill_(value)
