"""What the processes of tests/test_distributed.py do: each function is one process's part of a small training."""

import itertools
import logging
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scalor_pyro.config import DataConfig, ModelConfig, RunConfig, Stage, TrainConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training import loop as training
from scalor_pyro.training import meters
from scalor_pyro.training.distributed import ALONE, World, join
from scalor_pyro.training.elbo import ReparamELBO
from tests.fake_training import FakeBatch, FakeScalor, FakeVideos, fake_config, fake_train

BATCH = 4
STAGES = (Stage(0.25, 2, BATCH), Stage(1.0, 3, BATCH))
Numbers = dict[str, NDArray[Any] | None]


def shared_config(**settings: Any) -> RunConfig:
    """Of the fake's training, with batches that four processes can share."""
    return fake_config(**{"curriculum": STAGES, **settings})


def numbers(module: nn.Module) -> Numbers:
    """The parameters."""
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def folder_of(folder: Path, world: World) -> Path:
    """Where a process writes, if it writes: not where rank 0 does."""
    return folder if world.is_rank_0 else folder.with_name(f"{folder.name}-of-{world.rank}")


def gradients(folder: Path, model: ModelConfig, frames: int, world: World = ALONE) -> Numbers:
    """Of a step of SCALOR, clipped to norm 1."""
    data = DataConfig(objects="sprites", object_size=10.0, image_size=model.image_size, frames=frames)
    train = TrainConfig(steps=1, curriculum=(Stage(1.0, frames, BATCH),), clip=1.0)
    torch.manual_seed(1)
    scalor = Scalor(model)
    videos = SyntheticVideos(data, 0, "train")
    config = RunConfig(data=data, model=model, train=train)
    options = {"progress": False, "tensorboard": False, "world": world}
    training.train(scalor, videos, config, folder_of(folder, world), **options)  # type: ignore[arg-type]
    stored = {name.partition("$$$")[2] for name in pyro.get_param_store()}
    assert stored == dict(scalor.named_parameters()).keys(), "the parameters are known by their own names, once"
    return {name: None if p.grad is None else p.grad.numpy() for name, p in scalor.named_parameters()}


def both_gradients(folder: Path, model: ModelConfig, world: World = ALONE) -> list[Numbers]:
    """With one frame, where nothing is propagated, and with three."""
    found = []
    for frames in (1, 3):
        pyro.clear_param_store()
        found.append(gradients(folder / f"of-{frames}", model, frames, world))
    return found


def joined_gradients(folder: Path, model: ModelConfig) -> list[Numbers]:
    """The same, by one of several processes."""
    with join() as world:
        return both_gradients(folder, model, world)


def whole_run(folder: Path, die_at: int | None = None) -> tuple[Numbers, list[int]]:
    """A training of the fake; gives the weights, and the steps at which this process was asked to evaluate.

    :param die_at: the step at which the second process is killed, unless it has been before.
    """
    evaluated: list[int] = []

    def evaluate(step: int) -> dict[str, float]:
        evaluated.append(step)
        torch.rand(step)
        return {"mota": step / 10}

    with join() as world:
        scalor = FakeScalor(seed=world.rank)  # those of rank 0 count
        elbo = ReparamELBO() if die_at is None or world.is_rank_0 or world.restarts else Doing(die_at, killed)
        where = folder_of(folder, world)
        fake_train(where, scalor, shared_config(), elbo=elbo, evaluate=evaluate, world=world)
    return numbers(scalor), evaluated


class Doing:
    """An ELBO that does something at a call, beginning with 0 at the first step."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action
        self.calls = itertools.count(-len(STAGES))  # before the first step, it is looked at what each stage uses

    def differentiable_loss(self, model: Any, guide: Any, frames: Tensor) -> Tensor:
        if next(self.calls) == self.step:
            self.action()
        return ReparamELBO().differentiable_loss(model, guide, frames)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stopped() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class BadFrom(FakeVideos):
    """Videos with NaN pixels in one place of the stream."""

    def batch(self, start: int, count: int, frames: int | None = None) -> FakeBatch:
        batch = super().batch(start, count, frames)
        if start <= 23 < start + count:
            batch.frames[23 - start, 0, 0, 0, 0] = np.nan
        return batch


def decisions(folder: Path) -> list[Any]:
    """What each process decides: when the minutes are over, after a stop asked of one, at a NaN that one sees."""
    with join() as world:
        ticks = itertools.count(step=1 + world.rank)  # clocks differ
        clock, processor = meters.time, meters.time.process_time  # type: ignore[attr-defined]
        meters.time = SimpleNamespace(perf_counter=lambda: float(next(ticks)), process_time=processor)  # type: ignore
        timed = FakeScalor()
        fake_train(folder_of(folder / "timed", world), timed, shared_config(minutes=2.0), world=world)
        meters.time = clock  # type: ignore[attr-defined]

        elbo = ReparamELBO() if world.is_rank_0 else Doing(6, stopped)
        ended = fake_train(folder_of(folder / "stopped", world), config=shared_config(), elbo=elbo, world=world)

        said = []
        for where, videos in (("nan", BadFrom()), ("stopped", FakeVideos())):
            try:
                fake_train(folder_of(folder / where, world), config=shared_config(), clips=videos, world=world)
            except ValueError as error:
                said.append(str(error))
    return [numbers(timed), (ended.step, ended.interrupted), *said]


def endless_run(folder: Path) -> None:
    """Train until stopped; says in files which process this is, and what it logs."""
    (folder / f"process-{os.getpid()}").touch()
    with join() as world:
        said = logging.FileHandler(folder / f"said-{world.rank}")
        said.terminator = ""
        logging.getLogger("scalor_pyro").addHandler(said)
        config = shared_config(steps=10**6, log_every=1, checkpoint_every=10**6)
        fake_train(folder / "run", config=config, world=world)
    sys.exit(130)  # as a command would
