"""The device and the precision to compute with."""

import argparse
from typing import Any

import torch

from scalor_pyro.config import ConfigError, TrainConfig
from scalor_pyro.config.checks import shown
from scalor_pyro.config.options import add_option, given

# Options of the command line that say how to compute.
COMPUTING = ("precision", "capture")


def device_of(name: str) -> torch.device:
    """The device that ``--device`` names: auto (the GPU, if there is one), cpu or cuda; or any other of torch's.

    :raises ConfigError: for cuda, if no CUDA device is available, and for a name that torch does not know.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device: expected auto, cpu or cuda, got {shown(name)}.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("No CUDA device is available; use --device auto or cpu.")
    return device


def add_computing_options(options: argparse._ActionsContainer) -> None:
    """The options of a command that trains: the device, the precision, and whether steps are recorded."""
    add_device_option(options)
    for name in COMPUTING:
        add_option(options, TrainConfig, name)


def add_device_option(options: argparse._ActionsContainer) -> None:
    """``--device``."""
    devices = ["auto", "cpu", "cuda"]
    options.add_argument(
        "--device", choices=devices, default="auto", help="auto: the GPU, if there is one (default: auto)"
    )


def computing(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of :class:`~scalor_pyro.config.TrainConfig` that these options set."""
    return given(options, TrainConfig, COMPUTING)
