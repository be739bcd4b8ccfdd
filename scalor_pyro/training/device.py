"""Where and how to compute."""

import argparse
from typing import Any

import torch

from scalor_pyro.config import ConfigError


def device_of(name: str) -> torch.device:
    """The device that ``--device`` names: auto (a GPU if there is one), cpu or cuda.

    :raises ConfigError: if no CUDA device is available.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("No CUDA device is available; use --device auto or cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def add_computing_options(options: argparse._ActionsContainer) -> None:
    """The options of a command that trains: where, in what precision, and whether steps are recorded."""
    add = options.add_argument
    add(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="where to compute (default: auto, a GPU if there is one)",
    )
    precision = "of the networks (default: fp32); bf16 is less exact, and pays off on GPUs with large batches or images"
    add("--precision", choices=["fp32", "bf16"], help=precision)
    capture = "on a GPU, run a step kernel by kernel, not as one CUDA graph: slower, but errors show where they arise"
    add("--no-capture", dest="capture", action="store_false", default=None, help=capture)


def computing(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of :class:`~scalor_pyro.config.TrainConfig` that these options set; none for options not given."""
    asked = {"precision": options.precision, "capture": options.capture}
    return {name: value for name, value in asked.items() if value is not None}
