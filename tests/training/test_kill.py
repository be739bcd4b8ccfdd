"""SIGKILL at any moment leaves a checkpoint that loads, and never one that is older than the last."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.loading import load_run, load_weights
from tests.fake_training import FakeScalor

HERE = Path(__file__).parents[1]


class Trainings:
    """Starts trainings in processes of their own, and kills them."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self.server = server

    def start(self, folder: Path) -> int:
        assert self.server.stdin is not None and self.server.stdout is not None
        print(folder, file=self.server.stdin, flush=True)
        return int(self.server.stdout.readline())

    @staticmethod
    def alive(process: int) -> bool:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self, process: int) -> None:
        os.kill(process, signal.SIGKILL)
        while self.alive(process):
            time.sleep(0.001)


@pytest.fixture
def trainings() -> Iterator[Trainings]:
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(HERE / "fake_training.py")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as server:
        yield Trainings(server)
        assert server.stdin is not None
        server.stdin.close()


def identity(path: Path) -> tuple[int, int] | None:
    """Changes whenever the file is replaced."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork and no SIGKILL")
def test_killed_at_random_moments(tmp_path: Path, trainings: Trainings) -> None:
    state, weights = tmp_path / "training_state.pt", tmp_path / "weights.safetensors"
    moments, last_step = random.Random(0), 0
    for _ in range(20):
        before = identity(weights)
        process = trainings.start(tmp_path)
        while identity(weights) == before and trainings.alive(process):
            time.sleep(0.001)  # until it writes: resuming, or training
        time.sleep(moments.uniform(0.0, 0.2))
        assert trainings.alive(process), "the training ended by itself"
        trainings.kill(process)
        saved = load_training_state(state)
        assert saved.step >= last_step
        last_step = saved.step
        assert all(torch.isfinite(value).all() for value in saved.weights.values())
        if (tmp_path / "config.json").exists():  # the last file of the first checkpoint
            load_run(tmp_path)
            load_weights(tmp_path, FakeScalor())
    assert last_step > 0  # kills fell into training, too, however slow the machine
