"""What a training measures of itself: the time it has taken, and averages since the last logged row."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Clock:
    """Wall and processor time of a run, including the time before a resume, in seconds."""

    def __init__(self) -> None:
        self.set(0.0, 0.0)

    def set(self, wall: float, processor: float) -> None:
        """Go on from here.

        :param wall: seconds so far.
        :param processor: seconds so far; NaN if they were not counted.
        """
        self._wall_before, self._started = wall, time.perf_counter()
        self._processor_before, self._processor_started = processor, time.process_time()

    @property
    def wall(self) -> float:
        """Wall time so far."""
        return self._wall_before + time.perf_counter() - self._started

    @property
    def processor(self) -> float:
        """Processor time so far, of all threads of this process."""
        return self._processor_before + time.process_time() - self._processor_started


class Window:
    """Sums over the steps since the last row, kept on the device so that no step waits for it.

    :param device: where the losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.reset()

    def reset(self, sums: Mapping[str, Any] | None = None) -> None:
        """Start from zero, or from saved sums."""
        sums = sums or {"loss": 0.0, "norm": 0.0, "steps": 0}
        self.loss = torch.tensor(sums["loss"], dtype=torch.float64, device=self._device)
        self.norm = torch.tensor(sums["norm"], dtype=torch.float64, device=self._device)
        self.steps: int = sums["steps"]
        self.videos = 0
        self.started, self.paused = time.perf_counter(), 0.0

    def add(self, loss: Tensor, norm: Tensor, videos: int) -> None:
        """Add the loss and the gradient norm (scalars) of one step."""
        self.loss += loss
        self.norm += norm
        self.steps += 1
        self.videos += videos

    def finite(self) -> bool:
        """Whether every loss and gradient since the last row was finite."""
        return bool(torch.isfinite(self.loss + self.norm))

    def sums(self) -> dict[str, Any]:
        """The sums as numbers, which :meth:`reset` takes."""
        return {"loss": self.loss.item(), "norm": self.norm.item(), "steps": self.steps}

    def averages(self) -> dict[str, float]:
        """Loss per frame and gradient norm, averaged over the steps."""
        return {"loss": self.loss.item() / self.steps, "gradient_norm": self.norm.item() / self.steps}

    def rates(self, waited: float, worked: float) -> dict[str, float]:
        """Videos per second, and the cost of data as shares of the steps' time.

        :param waited: seconds that steps waited for videos.
        :param worked: processor seconds spent on making videos.
        """
        seconds = max(time.perf_counter() - self.started - self.paused, 1e-9)
        return {"videos_per_s": self.videos / seconds, "data_share": waited / seconds, "data_cost": worked / seconds}

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Time within does not count as time of steps."""
        start = time.perf_counter()
        yield
        self.paused += time.perf_counter() - start
