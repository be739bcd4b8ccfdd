"""Generate the videos of the next steps while the current one trains."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

# Batches generated ahead: one in progress and one ready, so that an expensive batch does not delay a step.
AHEAD = 2


@dataclass(frozen=True)
class Request:
    """The videos of a step: indices ``start`` to ``start + count - 1``, with ``frames`` frames each."""

    start: int
    count: int
    frames: int


class Videos(Protocol):
    """A batch of videos."""

    def tensor(self, device: torch.device) -> Tensor: ...


class VideoStream(Protocol):
    """Endless videos that are a pure function of the index, like :class:`~scalor_pyro.data.SyntheticVideos`."""

    def batch(self, start: int, count: int, frames: int | None = None) -> Any: ...


def _use(device: torch.device) -> None:
    """Use a GPU in this thread. A new thread uses the first one, and would take memory of it to pin its own."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


class Prefetcher:
    """Batches in the order of a plan, made by one background thread; use as a context manager.

    :param videos: the stream; only the thread uses it.
    :param plan: the requests; read on the calling thread, at most ``AHEAD`` requests early.
    :param device: where the batches go.
    """

    def __init__(self, videos: VideoStream, plan: Iterator[Request], device: torch.device) -> None:
        self._videos, self._plan, self._device = videos, plan, device
        self._thread = ThreadPoolExecutor(1, "videos", initializer=_use, initargs=(device,))
        self._queue: deque[tuple[Request, Future[tuple[Tensor, float]]]] = deque()
        self._waited = self._worked = 0.0

    def __enter__(self) -> "Prefetcher":
        self._ask()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self) -> tuple[Request, Tensor]:
        """The next batch of the plan; frames (B, T, C, H, W) on the device.

        :raises Exception: that was raised while the batch was made.
        """
        request, future = self._queue.popleft()
        self._ask()
        start = time.perf_counter()
        frames, worked = future.result()
        self._waited += time.perf_counter() - start
        self._worked += worked
        return request, frames.to(self._device, non_blocking=True)

    def collect(self) -> tuple[float, float]:
        """Seconds that the caller waited, and processor seconds spent on its batches, since the last call."""
        seconds = self._waited, self._worked
        self._waited = self._worked = 0.0
        return seconds

    def _ask(self) -> None:
        while len(self._queue) < AHEAD:
            request = next(self._plan, None)
            if request is None:
                return
            self._queue.append((request, self._thread.submit(self._generate, request)))

    def _generate(self, request: Request) -> tuple[Tensor, float]:
        start = time.thread_time()
        batch: Videos = self._videos.batch(request.start, request.count, frames=request.frames)
        frames = batch.tensor(torch.device("cpu"))
        if self._device.type == "cuda":
            frames = frames.pin_memory()  # so that the copy does not stop the training thread
        return frames, time.thread_time() - start
