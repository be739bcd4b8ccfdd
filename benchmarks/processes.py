"""The cost of sharing a training step among processes.

    torchrun --nproc-per-node 2 benchmarks/processes.py
    python benchmarks/processes.py --videos 4
    torchrun --nproc-per-node 2 benchmarks/processes.py --videos 32 --device cuda

The second is what each process of the first has to do, done alone: the difference is the cost of sharing. On a CPU,
processor time is measured, because processes on one machine take the cores from each other; on GPUs, time by the clock.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor

from scalor_pyro.config import Stage
from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.device import device_of
from scalor_pyro.training.distributed import join
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.loop import train

FRAMES = 8
# Warm-up steps.
WARMUP = 3


class Clocked(ReparamELBO):
    """An ELBO that notes the time at which each step begins: of the processor, or on a GPU by the clock."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.begun = device, list[float]()

    def now(self) -> float:
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        self.begun.append(self.now())
        return super().differentiable_loss(model, guide, *args, **kwargs)


def main() -> None:
    """Train for some steps, and print the mean of each process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--videos", type=int, default=8, help="videos per step, over all processes (default: 8)")
    parser.add_argument("--steps", type=int, default=10, help="steps to measure (default: 10)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: %(default)s")
    options = parser.parse_args()
    vld = preset("digits", "VLD")
    stages = (Stage(1.0, FRAMES, options.videos),)
    config = replace(
        vld,
        data=replace(vld.data, digits="uci"),
        train=replace(vld.train, steps=WARMUP + options.steps + 1, curriculum=stages, checkpoint_every=10**6),
    )
    with join() as world, tempfile.TemporaryDirectory() as folder:
        device = device_of(options.device)
        elbo = Clocked(device)
        pyro.set_rng_seed(config.seed)
        videos = SyntheticVideos(config.data, config.seed, "train")
        run = Path(folder) / "run"
        scalor = Scalor(config.model).to(device)
        train(scalor, videos, config, run, elbo=elbo, progress=False, tensorboard=False, world=world)
        measured = elbo.begun[-options.steps - 1 :]
        seconds = world.gather((measured[-1] - measured[0]) / options.steps)
        print(f"{world.size} processes, {options.videos} videos of {FRAMES} frames in a step")
        print(
            f"{'processor ' if device.type == 'cpu' else ''}seconds of a step, by process: "
            + ", ".join(f"{value:.3f}" for value in seconds)
        )


if __name__ == "__main__":
    main()
