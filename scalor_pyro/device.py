"""Where to compute."""

import torch

from scalor_pyro.config import ConfigError


def device_of(name: str) -> torch.device:
    """The device that ``--device`` names: auto (a GPU where there is one), cpu or cuda.

    :raises ConfigError: for a GPU that there is not.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device is cuda, but this machine has no CUDA device: auto or cpu was expected.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
