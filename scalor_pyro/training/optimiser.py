"""The optimiser that a config names: built, steered by the learning rate, and restored."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scalor_pyro.config import TrainConfig


def make_optimiser(parameters: list[nn.Parameter], train: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that a config names; on a GPU its learning rate is a tensor there, so that a graph can read it."""
    device = parameters[0].device
    on_gpu = device.type == "cuda"
    rate = torch.tensor(train.learning_rate, device=device) if on_gpu else train.learning_rate
    if train.optimiser == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, capturable=on_gpu)
    return torch.optim.Adam(parameters, lr=rate, fused=True, capturable=on_gpu)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters, in place where it is a tensor."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def load_optimiser(optimiser: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load a state that may come from another device; the optimiser keeps its own options."""
    optimiser.load_state_dict({"state": saved["state"], "param_groups": optimiser.state_dict()["param_groups"]})
