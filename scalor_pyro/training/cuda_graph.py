"""A training step as one CUDA graph: recorded once, replayed without Python and without a launch for each kernel."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

# Steps that run before one is recorded, so that the optimiser's state and the libraries' workspaces exist.
WARM_UP = 3

ResultT = TypeVar("ResultT")


class CapturedStep(Generic[ResultT]):
    """Calls a step on its inputs; on a GPU, from the fourth call with one shape on, by replaying a recording of it.

    Every call does one step: the first ones on a side stream, as the recording will be. The last shape's graph alone is
    kept, for each holds the memory of a whole step. Where a step cannot be recorded it goes on as it is, and the log
    says so in one line.

    :param step: frames → tensors, or tuples and dicts of them. It may change tensors in place, like an optimiser does;
        it may neither read a value back to the host nor depend on numbers of the host that change.
    :param enabled: whether to record at all; frames are then on a GPU.
    """

    def __init__(self, step: Callable[[Tensor], ResultT], enabled: bool) -> None:
        self._step, self._enabled = step, enabled
        self.forget()

    def forget(self) -> None:
        """Record anew: the step's tensors have been replaced by others, as when a checkpoint is loaded."""
        self._shape: torch.Size | None = None
        self._calls = 0
        self._replay: Callable[[Tensor], ResultT] | None = None

    def __call__(self, frames: Tensor) -> ResultT:
        """Do one step. The result holds until the next call, which may write over it."""
        if not self._enabled:
            return self._step(frames)
        if frames.shape != self._shape:
            self.forget()
            self._shape = frames.shape
        self._calls += 1
        if self._calls <= WARM_UP:
            return on_side_stream(self._step, frames)
        if self._replay is None:
            self._replay = self._record(frames)
        return self._replay(frames)

    def _record(self, frames: Tensor) -> Callable[[Tensor], ResultT]:
        try:
            return record(self._step, frames)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            logger.warning("The training step is not captured in a CUDA graph, but run as it is: %s", reason)
            self._enabled = False
            return self._step


def on_side_stream(step: Callable[[Tensor], ResultT], frames: Tensor) -> ResultT:
    """A step on a stream of its own, which the current one waits for."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        result = step(frames)
    torch.cuda.current_stream().wait_stream(side)
    return result


def record(step: Callable[[Tensor], ResultT], frames: Tensor) -> Callable[[Tensor], ResultT]:
    """Record a step without doing it; calling what comes back does it.

    Random numbers go on from replay to replay as they would from step to step.

    :raises RuntimeError: if the step does what a graph cannot hold; random numbers are then as before.
    """
    random = torch.cuda.get_rng_state()
    given = frames.clone()
    graph = torch.cuda.CUDAGraph()
    try:
        # The thread that makes videos may go on: it is this one alone that must not wait.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = step(given)
    except RuntimeError:
        torch.cuda.set_rng_state(random)
        raise

    def replay(frames: Tensor) -> ResultT:
        given.copy_(frames, non_blocking=True)
        graph.replay()
        return result

    return replay
