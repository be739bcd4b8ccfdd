"""Where and how to compute."""

import argparse
from typing import Any

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


def add_computing_options(options: argparse._ActionsContainer) -> None:
    """The options of a command that trains: where, in what precision, and whether steps are recorded."""
    add = options.add_argument
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU where there is one")
    precision = (
        "of what the networks compute (default: fp32); bf16 is less exact, and meant for GPUs with large batches"
    )
    add("--precision", choices=["fp32", "bf16"], help=f"{precision} or images: on a CPU it is hardly faster")
    capture = "queue a step kernel by kernel, not as one CUDA graph: slower, but shows where an error arises; no effect"
    graphless = "on a CPU, which has no graphs, and with several processes, which record none"
    add("--no-capture", dest="capture", action="store_false", default=None, help=f"{capture} {graphless}")


def computing(options: argparse.Namespace) -> dict[str, Any]:
    """What of :class:`~scalor_pyro.config.TrainConfig` these options ask for, as far as they were given."""
    asked = {"precision": options.precision, "capture": options.capture}
    return {name: value for name, value in asked.items() if value is not None}
