"""A model, videos and configs so small that the training harness can be tested apart from SCALOR.

Run as a program, it reads names of folders, starts (or goes on with) a training in each, and prints its process id.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig, RunConfig, Schedule, Stage, TrainConfig
from scalor_pyro.training.callbacks import Callback, Training
from scalor_pyro.training.loop import train
from scalor_pyro.training.optimiser import make_optimiser


class Stop(Callback):
    """Ends a training after its first step."""

    def on_start(self, training: Training) -> None:
        self.training = training

    def on_step(self, step: int, loss: Tensor) -> None:
        self.training.stop()


class FakeScalor(nn.Module):
    """One Normal latent per video that explains the mean of each frame."""

    temperature: Tensor
    last_statistics: dict[str, Tensor]

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.config = ModelConfig()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.encode = nn.Linear(3, 2)
            self.decode = nn.Linear(1, 3)
        self.register_buffer("temperature", torch.tensor(1.0))
        self.last_statistics = {}

    def schedule(self, values: dict[str, float]) -> None:
        self.temperature.fill_(values["temperature"])

    def model(self, frames: Tensor) -> None:
        with pyro.plate("sequences", len(frames)):
            z = pyro.sample("z", dist.Normal(0.0, self.temperature.expand(len(frames))))
            means = self.decode(z[:, None])[:, None].expand(-1, frames.shape[1], -1)
            pyro.sample("x", dist.Normal(means, 0.2).to_event(2), obs=frames.mean((-1, -2)))

    def guide(self, frames: Tensor) -> None:
        loc, scale = self.encode(frames.mean((1, 3, 4))).unbind(-1)
        self.last_statistics = {
            "objects_per_frame": loc.detach().mean() + 3,
            "propagation_rate": scale.detach().mean().sigmoid(),
            "foreground_share": torch.tensor(0.1),
        }
        with pyro.plate("sequences", len(frames)):
            pyro.sample("z", dist.Normal(loc, scale.exp()))


class FakeBatch(NamedTuple):
    frames: np.ndarray

    def tensor(self, device: torch.device) -> Tensor:
        return torch.from_numpy(self.frames).to(device)


class FakeVideos:
    """Noise, one generator per index; remembers what was asked for."""

    def __init__(self, image: tuple[int, int, int] = (3, 4, 5)) -> None:
        self.image = image
        self.asked: list[tuple[int, int, int | None]] = []

    def batch(self, start: int, count: int, frames: int | None = None) -> FakeBatch:
        assert frames is not None
        self.asked.append((start, count, frames))
        shape = (frames, *self.image)
        videos = [np.random.default_rng(index).random(shape, dtype=np.float32) for index in range(start, start + count)]
        return FakeBatch(np.stack(videos))


def fake_config(**train_settings: Any) -> RunConfig:
    """Twelve steps, with schedules and a curriculum that change on the way."""
    settings = {
        "steps": 12,
        "curriculum": (Stage(0.25, 2, 5), Stage(1.0, 3, 2)),
        "temperature": Schedule(((0, 1.0), (10, 0.5))),
        "log_every": 2,
        "eval_every": 5,
        "checkpoint_every": 4,
        **train_settings,
    }
    return RunConfig(train=TrainConfig(**settings), seed=7)


def fake_train(
    folder: Path | None, scalor: FakeScalor | None = None, config: RunConfig | None = None, **options: Any
) -> Any:
    """Train a fake in a folder, quietly."""
    defaults = {"clips": FakeVideos(), "progress": False, "tensorboard": False}
    return train(scalor or FakeScalor(), config=config or fake_config(), folder=folder, **{**defaults, **options})


def fork_training(run: Path) -> int:
    """Train in a process of its own, as long as it lives; gives back its id."""
    child = os.fork()
    if child:
        return child
    settings = fake_config(steps=10**6, checkpoint_every=1, log_every=1)
    fake_train(run, config=settings, resume=(run / "training_state.pt").exists())
    os._exit(0)


if __name__ == "__main__":  # importing takes seconds, forking does not
    torch.set_num_threads(1)
    make_optimiser(list(FakeScalor().parameters()), TrainConfig())  # torch imports more when it makes the first
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        print(fork_training(Path(line.strip())), flush=True)
