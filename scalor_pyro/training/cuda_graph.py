"""A training step as one CUDA graph: recorded once, replayed without Python and without a launch for each kernel."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

import pyro.distributions as dist
import torch
from pyro import infer, poutine
from torch import Tensor

logger = logging.getLogger(__name__)

# Steps that run before one is recorded, so that the optimiser's state and the libraries' workspaces exist.
WARM_UP = 3

ResultT = TypeVar("ResultT")


class CapturedStep(Generic[ResultT]):
    """Calls a step on its inputs; on a GPU, from the fourth call with one shape on, by replaying a recording of it.

    Every call does one step: the first ones on a side stream, as the recording will. Only the graph of the last shape
    is kept, since each holds the memory of a whole step. A step that cannot be recorded runs eagerly from then on, and
    the log says why in one line.

    :param step: frames → tensors, or tuples and dicts of them. It may change tensors in place, as an optimiser does; it
        must neither read a value back to the host nor depend on numbers of the host that change.
    :param enabled: whether to record at all; frames must then be on a GPU.
    """

    def __init__(self, step: Callable[[Tensor], ResultT], enabled: bool) -> None:
        self._step, self._enabled = step, enabled
        self.forget()

    def forget(self) -> None:
        """Record again: the step's tensors have been replaced, as when a checkpoint is loaded."""
        self._shape: torch.Size | None = None
        self._calls = 0
        self._replay: Callable[[Tensor], ResultT] | None = None

    def __call__(self, frames: Tensor) -> ResultT:
        """Do one step. The result holds until the next call, which may overwrite it."""
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
            logger.warning("The training step cannot be recorded as a CUDA graph and runs eagerly: %s", reason)
            self._enabled = False
            return self._step


def on_side_stream(step: Callable[[Tensor], ResultT], frames: Tensor) -> ResultT:
    """A step on a stream of its own, for which the current one waits."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        result = step(frames)
    torch.cuda.current_stream().wait_stream(side)
    return result


def record(step: Callable[[Tensor], ResultT], frames: Tensor) -> Callable[[Tensor], ResultT]:
    """Record a step without doing it; calling the result does it.

    Random numbers continue from replay to replay as they would from step to step.

    A failed recording leaves two things behind in torch. The state of the GPU's random generator stays marked as being
    recorded, and refuses the next draw ("Offset increment outside graph capture encountered unexpectedly"); it is
    replaced by a copy from before. The stream of the recording stays the current one; the earlier one is set again.
    That this is enough follows from torch's source (2.6 to 2.13), and a test goes through it with stand-ins for
    :mod:`torch.cuda`; a recording that fails on a GPU has not been tried.

    :raises RuntimeError: if the step does something that a graph cannot hold, or Pyro's validation is on; the next step
        can then run eagerly, with the random numbers that it would have had.
    """
    if poutine.is_validation_enabled() or infer.is_validation_enabled() or dist.is_validation_enabled():
        raise RuntimeError("Pyro's validation is on, and reads values; use pyro.validation_enabled(False).")
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    before = generator.clone_state()
    given = frames.clone()
    graph = torch.cuda.CUDAGraph()
    try:
        # The thread that makes videos may go on: only this one must not wait.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, capture_error_mode="thread_local"),
        ):
            result = step(given)
    except RuntimeError:
        generator.graphsafe_set_state(before)
        raise

    def replay(frames: Tensor) -> ResultT:
        given.copy_(frames, non_blocking=True)
        graph.replay()
        return result

    return replay
