"""Several processes, on one machine or more: they train one model together, or each takes a share of some files.

Training is data-parallel. Each process computes the gradient of its rows of a step's batch, and
:class:`~torch.nn.parallel.DistributedDataParallel` averages the gradients before the optimiser steps. Weights,
optimiser, random numbers and the spent budget stay the same in all processes. Rank 0 reads and writes the files of the
run, and tells the others what they need.

Compared with one process and the whole batch, the videos of a step and the random numbers of each sequence are the
same. Loss, gradient and weights are the same up to the order of additions (1e-7 of a gradient; over many steps such
differences grow, as they do between two machines). Statistics in the metrics are means over the processes; for a ratio,
the propagation rate, that is not exactly the ratio over all sequences.
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from scalor_pyro.config import ConfigError
from scalor_pyro.training.prefetch import VideoStream

# How long the others wait while rank 0 evaluates and draws. A process that dies is noticed at once in another way.
PATIENCE = timedelta(hours=2)
# Seconds for one process to report an error before the others exit for the same reason: torchrun ends all processes
# at the first exit.
TO_SAY_IT = 1.0

ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


class RankZeroError(ValueError):
    """An exception of rank 0, raised in the other processes with the same message."""


class World:
    """The processes that train together; this class: a single process.

    :param restarts: how often torchrun has restarted the training after a process died.
    """

    rank, size = 0, 1

    def __init__(self, restarts: int = 0) -> None:
        self.restarts = restarts

    @property
    def is_rank_0(self) -> bool:
        """Whether this is the process that reads and writes the files of the run."""
        return self.rank == 0

    def require_shares(self, batch: int) -> None:
        """Refuse a batch that cannot be divided evenly among the processes.

        :raises ConfigError: if it cannot.
        """
        if batch % self.size:
            raise ConfigError(
                f"curriculum: expected batches that are a multiple of {self.size}, the number of processes,"
                f" got {batch}."
            )

    def share(self, videos: VideoStream) -> VideoStream:
        """The stream of this process's rows of each batch."""
        return videos

    def wrap(self, loss: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
        """A module whose backward leaves the mean gradient over the processes, for one whose forward is the loss.

        :param loss: takes a batch, gives a scalar.
        :param batches: one of each shape to come, to find out whether every batch uses all parameters.
        """
        return loss

    def noise(self) -> AbstractContextManager[Any]:
        """A handler that draws the random numbers that these rows would get in a single process."""
        return nullcontext()

    def on_rank_0(self, work: Callable[[], ResultT]) -> ResultT:
        """Work that rank 0 does while the others wait; all of them get the result.

        :raises RankZeroError: in the others, if rank 0 raises an exception.
        """
        return work()

    def agree(self, *values: float) -> tuple[float, ...]:
        """The largest of each value among the processes."""
        return values

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes, detached."""
        return value.detach()

    def gather(self, value: ResultT) -> list[ResultT]:
        """The values of all processes, by rank."""
        return [value]


ALONE = World()


class Processes(World):
    """Several processes that train together, connected by :mod:`torch.distributed`.

    :param rank: of this one.
    :param size: number of processes.
    :param restarts: see :class:`World`.
    """

    def __init__(self, rank: int, size: int, restarts: int = 0) -> None:
        super().__init__(restarts)
        self.rank, self.size = rank, size

    def share(self, videos: VideoStream) -> VideoStream:
        return _Share(videos, self.rank, self.size)

    def wrap(self, loss: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
        device = next(loss.parameters()).device
        if device.type == "cuda" and (here := _number(os.environ, "LOCAL_WORLD_SIZE", 1)) > torch.cuda.device_count():
            raise ConfigError(
                f"torchrun: expected at most one process per GPU of this machine ({torch.cuda.device_count()}), got"
                f" {here}."
            )
        return DistributedDataParallel(
            loss,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=not all(_uses_all_parameters(loss, batch) for batch in batches),
        )

    def noise(self) -> AbstractContextManager[Any]:
        return JointNoise(self.rank, self.size)

    def on_rank_0(self, work: Callable[[], ResultT]) -> ResultT:
        told: list[Any] = [None, None]  # the result, or the message of the exception
        failure: Exception | None = None
        if self.is_rank_0:
            try:
                told[0] = work()
            except Exception as error:  # raised again below, once the others know
                failure, told[1] = error, str(error)
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        if failure is not None:
            raise failure
        if told[1] is not None:
            raise RankZeroError(told[1])
        result: ResultT = told[0]
        return result

    def agree(self, *values: float) -> tuple[float, ...]:
        largest = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return tuple(largest.tolist())

    def mean(self, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def gather(self, value: ResultT) -> list[ResultT]:
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


def _uses_all_parameters(loss: nn.Module, batch: Tensor) -> bool:
    """Whether all parameters get a gradient; with one frame, for example, nothing is propagated."""
    trained = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss(batch), trained, allow_unused=True)
    return all(gradient is not None for gradient in gradients)


class _Share:
    """A process's share of a stream: its rows of each batch."""

    def __init__(self, videos: VideoStream, rank: int, size: int) -> None:
        self._videos, self._rank, self._size = videos, rank, size

    def batch(self, start: int, count: int, frames: int | None = None) -> Any:
        own = count // self._size
        return self._videos.batch(start + self._rank * own, own, frames=frames)


class JointNoise(Messenger):
    """Draws latents for the rows of all processes, and keeps those of this one.

    The random numbers of a sequence then do not depend on the number of processes, and the generators of all processes
    stay in the same state, so that one saved state serves any number of them. This draws ``size`` times as many
    numbers, which costs little next to the networks.

    Sites must be reparameterised, with rows as their leftmost dimension, as in the guide of
    :class:`~scalor_pyro.model.scalor.Scalor`.

    :param rank: of this process, from 0.
    :param size: number of processes, all with as many rows as this one.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self._rank, self._size = rank, size

    def _pyro_sample(self, msg: Any) -> None:
        if msg["done"] or msg["is_observed"] or site_is_subsample(msg) or not msg["fn"].has_rsample:
            return
        # (size, rows, …) has the numbers of (size * rows, …), in the same order.
        msg["value"] = msg["fn"].rsample((self._size,))[self._rank]
        msg["done"] = True


@contextmanager
def join() -> Iterator[World]:
    """The processes that torchrun started together with this one; without torchrun, this one alone.

    With GPUs, each uses the one of its local rank. Within, only rank 0 prints and warns. If several of them end with
    the same exception, one raises it, and the others exit with status 2.

    :raises ConfigError: if the variables of torchrun are damaged.
    """
    place, restarts = ranks(os.environ), _number(os.environ, "TORCHELASTIC_RESTART_COUNT", 0)
    if place.count == 1:
        yield World(restarts)
        return
    device = own_gpu(os.environ)
    store, rank, size = next(rendezvous("env://"))
    store = fresh_store(store, rank, size)
    # Objects and numbers of the host go by gloo, so that none of them is sent through a GPU.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE, device_id=device)
    world = Processes(rank, size, restarts)
    world.restarts = int(max(world.gather(restarts)))  # torchrun counts on each machine by itself
    try:
        with nullcontext() if world.is_rank_0 else _silence():
            yield world
    except (ValueError, OSError) as error:
        if store.add(f"said: {error}", 1) > 1:
            time.sleep(TO_SAY_IT)
            raise SystemExit(2) from error
        raise
    # Not after an exception: NCCL would wait for processes that may be gone.
    dist.destroy_process_group()


def own_gpu(environment: Mapping[str, str]) -> torch.device | None:
    """The GPU of this process, which becomes the current one; None if processes have to share GPUs, or there is none.

    NCCL is told which it is: otherwise it guesses from the rank, which is wrong where a machine has fewer GPUs than the
    first, and connects only at the first gradient. It refuses two processes of one GPU, which may train on the CPU.
    """
    if not torch.cuda.is_available():
        return None
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", _number(environment, "LOCAL_RANK", 0) % gpus)
    torch.cuda.set_device(device)
    return device if _number(environment, "LOCAL_WORLD_SIZE", 1) <= gpus else None


def fresh_store(store: Store, rank: int, size: int) -> Store:
    """A part of a store for these processes only, under a name that rank 0 makes and tells each of the others.

    torchrun keeps one store through all restarts; it still holds the addresses of processes that are gone, which the
    new ones would use. If a process dies here, torchrun ends the others.
    """
    name = uuid.uuid4().hex
    if rank > 0:
        store.set(f"here/{rank}", name)
        lead = store.get(f"lead/{name}").decode()  # waits for it
        store.set(f"{lead}/{rank}", "found")
        return PrefixStore(lead, store)
    missing = set(range(1, size))
    while missing := {other for other in missing if not store.check([f"{name}/{other}"])}:
        for key in (f"here/{other}" for other in missing):
            if store.check([key]):  # perhaps of an earlier process, which will not read the answer
                store.set(f"lead/{store.get(key).decode()}", name)
        time.sleep(0.01)
    return PrefixStore(name, store)


@contextmanager
def _silence() -> Iterator[None]:
    """Print nothing, and log only errors."""
    package = logging.getLogger("scalor_pyro")
    level = package.level
    package.setLevel(logging.ERROR)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        package.setLevel(level)


@dataclass(frozen=True)
class Place:
    """The place of this process, or task, among several."""

    index: int  # from 0
    count: int


def share_of(items: Sequence[ItemT], environment: Mapping[str, str] = os.environ) -> list[ItemT]:
    """This process's share of some files.

    Files are shared by the processes of torchrun, and by the tasks of a job array of SLURM or Grid Engine; with both,
    each task of the array is a torchrun. A process takes every n-th file, whether or not the others run at the same
    time. Without either, it takes all files.

    :param items: the files, in the same order for all processes.
    :param environment: variables that tell the place of this process.
    :raises ConfigError: if they are missing or damaged.
    """
    task, process = array_task(environment), ranks(environment)
    return list(items[task.index * process.count + process.index :: task.count * process.count])


def ranks(environment: Mapping[str, str]) -> Place:
    """The place among torchrun's processes, from ``RANK`` and ``WORLD_SIZE``.

    :raises ConfigError: if they are damaged.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return Place(0, 1)
    place = Place(_number(environment, "RANK"), _number(environment, "WORLD_SIZE"))
    if not 0 <= place.index < place.count:
        raise ConfigError(f"RANK: expected a number from 0 to WORLD_SIZE - 1 ({place.count - 1}), got {place.index}.")
    return place


class _ArrayVariables(NamedTuple):
    """The names of a scheduler's variables for a job array."""

    task: str
    first: str
    last: str
    step: str


ARRAYS = (
    _ArrayVariables(*(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "STEP"))),
    _ArrayVariables(*(f"SGE_TASK_{name}" for name in ("ID", "FIRST", "LAST", "STEPSIZE"))),
)


def array_task(environment: Mapping[str, str]) -> Place:
    """The place among the tasks of a job array, from the variables of SLURM or Grid Engine.

    :raises ConfigError: if they are damaged, or the array is of chosen ids (``--array=1,3,7``).
    """
    for names in ARRAYS:
        if environment.get(names.task, "undefined") == "undefined":  # as Grid Engine says that there is no array
            continue
        first, last = _number(environment, names.first), _number(environment, names.last)
        task, step = _number(environment, names.task), _number(environment, names.step, 1)
        ids = range(first, last + 1, max(1, step))
        tasks = _number(environment, "SLURM_ARRAY_TASK_COUNT", len(ids))
        if task not in ids or tasks != len(ids):
            raise ConfigError(
                f"{names.task}: expected a range of evenly spaced ids, got {task},"
                f" one of {tasks} from {first} to {last}."
            )
        return Place(ids.index(task), len(ids))
    return Place(0, 1)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    value = environment.get(name, default)
    if isinstance(value, int):
        return value
    if value is None or not value.lstrip("-").isdigit():
        raise ConfigError(f"The variable {name}: expected a whole number, got {value!r}.")
    return int(value)
