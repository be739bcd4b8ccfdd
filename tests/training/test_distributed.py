"""Several processes: they train as one with the whole batch does, decide alike, survive a kill, and share files."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro import poutine
from torch import Tensor
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from scalor_pyro.config import ConfigError, ModelConfig
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.training.distributed import ALONE, JointNoise, Processes, World, fresh_store, join, own_gpu, share_of
from scalor_pyro.training.prefetch import Prefetcher, Request
from tests import shared_training
from tests.fake_training import FakeScalor, FakeVideos
from tests.shared_training import Numbers

ROOT = Path(__file__).parents[2]
# What the processes import: it takes seconds, so that it is done once and they are forked. Optimisers load the last.
PRELOADED = ["scalor_pyro.training.loop", "scalor_pyro.model.scalor", "scalor_pyro.data", "torch._dynamo"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork and no SIGKILL")


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signal handlers of before: torchrun's agent leaves its own behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def context() -> ForkServerContext:
    """Makes processes quickly, and without the threads of this one."""
    forking = get_context("forkserver")
    forking.set_forkserver_preload(PRELOADED)
    return forking


def launch(function: Callable[..., Any], size: int, *arguments: Any, restarts: int = 0) -> list[Any]:
    """Call a function in several processes, started as torchrun does; what it gives in each."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=size,
        run_id="tests",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method="forkserver",
        max_restarts=restarts,
        monitor_interval=0.05,
    )
    context()
    given_back = elastic_launch(config, function)(*arguments)
    return [given_back[rank] for rank in range(size)]


def require_same(found: Numbers, expected: Numbers, tolerance: float = 0.0) -> None:
    """Arrays agree by name, None with None."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        other = found[name]
        if value is None or other is None:
            assert value is other, name
        else:
            np.testing.assert_allclose(other, value, rtol=0, atol=tolerance, err_msg=name)


# ------------------------------------------------------------------ as one process with the whole batch


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("size", [2, 4])
def test_gradients_are_those_of_one_process(tmp_path: Path, tiny: Callable[..., ModelConfig], size: int) -> None:
    of_each = launch(shared_training.joined_gradients, size, tmp_path / "shared", tiny())
    one_frame, three_frames = shared_training.both_gradients(tmp_path / "alone", tiny())
    assert any(value is None for value in one_frame.values()), "nothing is propagated to a second frame"
    assert all(value is not None for value in three_frames.values())
    for found in of_each:
        require_same(found[0], one_frame, 1e-6)
        require_same(found[1], three_frames, 1e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_noise_does_not_depend_on_how_many_share_it(scalor: Scalor, videos: Tensor, size: int) -> None:
    batch = videos[:1].expand(6, -1, -1, -1, -1)  # equal videos, so that what differs is noise

    def draw(frames: Tensor, rank: int, of: int) -> poutine.Trace:
        torch.manual_seed(5)
        with JointNoise(rank, of):
            return poutine.trace(scalor.guide).get_trace(frames)

    whole, rows = draw(batch, 0, 1), 6 // size
    after = torch.rand(1)
    for rank in range(size):
        part = draw(batch[:rows], rank, size)
        assert torch.equal(torch.rand(1), after), "the generators stay alike"
        for name in (name for name in part.stochastic_nodes if name.startswith("z_")):
            own = whole.nodes[name]["value"][rank * rows : (rank + 1) * rows]
            torch.testing.assert_close(part.nodes[name]["value"], own, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ a run and its folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A folder with a run of two processes, and what each gave."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, launch(shared_training.whole_run, 2, folder / "run")


@pytest.mark.usefixtures("handlers")
def test_processes_end_with_one_model_and_rank_0_alone_writes(whole: tuple[Path, list[Any]]) -> None:
    folder, ((rank_0, evaluated), (other, nothing)) = whole
    require_same(other, rank_0)
    saved = load_training_state(folder / "run" / "training_state.pt").weights
    assert all(np.array_equal(saved[name].numpy(), value) for name, value in rank_0.items())
    assert (evaluated, nothing) == ([5, 10, 12], [])
    assert [path.name for path in folder.iterdir()] == ["run"]
    rows = RunFolder(folder / "run").rows()
    assert [row["step"] for row in rows if not row.get("evaluation")] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in rows if row.get("evaluation")] == [5, 10, 12]


@pytest.mark.usefixtures("handlers")
def test_metrics_are_those_of_one_process(whole: tuple[Path, list[Any]], tmp_path: Path) -> None:
    (rank_0, _), *_ = whole[1]
    weights, _ = shared_training.whole_run(tmp_path / "run")
    require_same(rank_0, weights, 1e-4)
    times = {"minutes", "data_share", "data_cost", "videos_per_s"}
    for row, expected in zip(*(RunFolder(folder / "run").rows() for folder in (whole[0], tmp_path)), strict=True):
        assert {name: row[name] for name in row.keys() - times} == pytest.approx(
            {name: expected[name] for name in expected.keys() - times}, rel=1e-4
        )


@pytest.mark.usefixtures("handlers")
def test_killed_process_is_started_again_from_the_last_checkpoint(
    whole: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    (rank_0, evaluated), (other, _) = launch(shared_training.whole_run, 2, tmp_path / "run", 7, restarts=1)
    require_same(rank_0, whole[1][0][0])
    require_same(other, rank_0)
    assert evaluated == [5, 10, 12], "it went on after step 4: before, the processes had not come to step 5 alive"
    weights = [(folder / "run" / "weights.safetensors").read_bytes() for folder in (tmp_path, whole[0])]
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("handlers")
def test_decisions_are_alike(tmp_path: Path) -> None:
    rank_0, other = launch(shared_training.decisions, 2, tmp_path)
    require_same(other[0], rank_0[0])
    assert rank_0[1] == other[1] == (7, True)
    assert load_training_state(tmp_path / "stopped" / "training_state.pt").step == 7
    assert rank_0[2:] == other[2:]
    assert "value of site z of the guide, at step 5" in rank_0[2] and "holds another run" in rank_0[3]
    assert {path.name for path in tmp_path.iterdir()} == {"timed", "stopped", "nan"}


@pytest.mark.usefixtures("handlers")
def test_sigterm_saves_and_ends_all(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    agent = context().Process(target=launch, args=(shared_training.endless_run, 2, tmp_path), kwargs={"restarts": 3})
    agent.start()
    while len(folder.rows()) < 3:
        assert agent.is_alive()
        time.sleep(0.01)
    agent.terminate()
    agent.join()
    said = [path.read_text() for path in sorted(tmp_path.glob("said-*"))]
    assert said == ["SIGTERM: saving after this step, then stopping.", ""]
    assert load_training_state(folder.state).step == folder.rows()[-1]["step"] >= 3
    for process in tmp_path.glob("process-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(process.name.partition("-")[2]), 0)


def test_a_store_that_was_used_before_is_fresh() -> None:
    store, size = torch.distributed.HashStore(), 3
    for attempt in range(3):
        with ThreadPoolExecutor(size) as pool:
            parts = list(pool.map(lambda rank: fresh_store(store, rank, size), range(size)))
        assert [part.check(["address"]) for part in parts] == [False] * size
        parts[attempt].set("address", str(attempt))
        assert [part.get("address") for part in parts] == [str(attempt).encode()] * size


# ------------------------------------------------------------------ torchrun itself


def environment() -> dict[str, str]:
    """Of a torchrun whose processes have one thread each, and find the tests."""
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def test_batch_that_cannot_be_shared_is_said_once(tmp_path: Path) -> None:
    script = str(ROOT / "examples" / "train_mnist.py")
    options = ["--digits", "uci", "--batch-size", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    ended = subprocess.run([*TORCHRUN, script, *options], env=environment(), capture_output=True, text=True)
    said = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert said == ["error: curriculum: expected batches that are a multiple of 2, the number of processes, got 1."]
    assert ended.returncode != 0 and "exitcode  : 2" in ended.stderr.partition("Root Cause")[2] and ended.stdout == ""
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ files, shared


def torchrun(rank: int, size: int) -> dict[str, str]:
    return {"RANK": str(rank), "WORLD_SIZE": str(size)}


def slurm(task: int, first: int, last: int, step: int = 1, **more: str) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": (last - first) // step + 1}
    return {**{f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}, **more}


def grid_engine(task: int, first: int, last: int, step: int = 1) -> dict[str, str]:
    values = {"ID": task, "FIRST": first, "LAST": last, "STEPSIZE": step}
    return {f"SGE_TASK_{name}": str(value) for name, value in values.items()}


@given(
    files=st.integers(0, 20),
    size=st.integers(1, 4),
    tasks=st.integers(1, 4),
    first=st.integers(0, 3),
    step=st.integers(1, 3),
    scheduler=st.sampled_from([slurm, grid_engine]),
)
def test_each_file_falls_to_one(
    files: int, size: int, tasks: int, first: int, step: int, scheduler: Callable[..., dict[str, str]]
) -> None:
    paths = [f"{number}.mp4" for number in range(files)]
    last = first + (tasks - 1) * step
    shares = [
        share_of(paths, {**scheduler(task, first, last, step), **torchrun(rank, size)})
        for task in range(first, last + 1, step)
        for rank in range(size)
    ]
    assert sorted(path for share in shares for path in share) == sorted(paths)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shares_by_either_or_neither() -> None:
    paths = list("abcde")
    assert share_of(paths, {}) == paths
    assert share_of(paths, {"SGE_TASK_ID": "undefined", "SGE_TASK_FIRST": "undefined"}) == paths
    assert share_of(paths, torchrun(1, 2)) == ["b", "d"]
    assert share_of(paths, slurm(2, 0, 2)) == ["c"]


@pytest.mark.parametrize(
    "variables, message",
    [
        (torchrun(2, 2), "RANK: expected a number from 0 to WORLD_SIZE - 1 .1., got 2"),
        ({"RANK": "first", "WORLD_SIZE": "2"}, "RANK: expected a whole number, got 'first'"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_MIN: expected a whole number, got None"),
        (
            slurm(3, 1, 7, SLURM_ARRAY_TASK_COUNT="3"),
            "expected a range of evenly spaced ids, got 3, one of 3 from 1 to 7",
        ),
        (slurm(2, 1, 7, 3), "SLURM_ARRAY_TASK_ID: expected .*, got 2"),
        (grid_engine(9, 1, 7), "SGE_TASK_ID: expected .*, got 9, one of 7"),
    ],
)
def test_variables_that_say_nothing_are_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        share_of(["a"], variables)


# ------------------------------------------------------------------ one process


def test_one_process_needs_no_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    with join() as world:
        assert (world.rank, world.size, world.is_rank_0, world.restarts) == (0, 1, True, 0)
    for name, value in {**torchrun(0, 1), "TORCHELASTIC_RESTART_COUNT": "2"}.items():
        monkeypatch.setenv(name, value)
    with join() as world:
        assert (world.size, world.restarts) == (1, 2)
        assert not torch.distributed.is_initialized()


def test_batches_are_shared_evenly_or_not_at_all() -> None:
    Processes(1, 3).require_shares(6)
    ALONE.require_shares(1)
    with pytest.raises(ConfigError, match="expected batches that are a multiple of 3, the number of processes, got 8"):
        Processes(1, 3).require_shares(8)


def test_one_process_goes_on_after_a_restart(tmp_path: Path) -> None:
    first, again = FakeScalor(), FakeScalor(seed=1)
    shared_training.fake_train(tmp_path, first)
    assert shared_training.fake_train(tmp_path, again, world=World(restarts=1)).step == 12
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    pyro.clear_param_store()


@pytest.mark.parametrize(("local", "here", "gpus", "told"), [(1, 2, 2, "cuda:1"), (1, 2, 4, "cuda:1"), (3, 4, 2, None)])
def test_nccl_is_told_the_gpu_of_each_process(
    monkeypatch: pytest.MonkeyPatch, local: int, here: int, gpus: int, told: str | None
) -> None:
    used: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    device = own_gpu({"LOCAL_RANK": str(local), "LOCAL_WORLD_SIZE": str(here)})
    assert device == (None if told is None else torch.device(told))
    assert used == [torch.device("cuda", local % gpus)]


def test_without_a_gpu_nccl_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert own_gpu({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}) is None


def test_videos_are_made_next_to_the_gpu_of_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(Tensor, "pin_memory", lambda frames: frames)
    device = torch.device("cuda", 1)
    with Prefetcher(FakeVideos(), iter([Request(0, 2, 2)]), device) as feed:
        feed._queue[0][1].result()
    assert used == [device]
