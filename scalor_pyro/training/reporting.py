"""Show a training while it runs: averages, metrics file, progress bar, TensorBoard."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from scalor_pyro.runs.folder import RunFolder

logger = logging.getLogger(__name__)

# What the progress bar shows: name in the metrics, short name.
SHOWN = {"loss": "loss", "objects_per_frame": "objects", "propagation_rate": "propagated", "videos_per_s": "videos/s"}


def tensorboard_writer(folder: RunFolder, step: int) -> Any:
    """A TensorBoard writer that goes on after a step, or None where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.debug("tensorboard is not installed: no event files are written.")
        return None
    return SummaryWriter(log_dir=str(folder.path / "tensorboard"), purge_step=step + 1)


class Report:
    """Where rows and pictures go; use as a context manager.

    :param folder: the run.
    :param step: steps done before.
    :param done: share of the budget spent before.
    :param progress: show a progress bar.
    :param tensorboard: write TensorBoard events where it is installed.
    """

    def __init__(self, folder: RunFolder, step: int, done: float, progress: bool, tensorboard: bool) -> None:
        self._folder = folder
        self._bar = tqdm(
            total=1.0,
            initial=done,
            disable=not progress,
            bar_format="{percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}",
        )
        self._writer = tensorboard_writer(folder, step) if tensorboard else None

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of the metrics, of training or of an evaluation (``evaluation`` true)."""
        self._folder.append(row)
        evaluation = bool(row.get("evaluation"))
        if not evaluation:
            shown = {short: row[name] for name, short in SHOWN.items() if row.get(name) is not None}
            self._bar.set_postfix({name: f"{value:.3g}" for name, value in shown.items()}, refresh=False)
        if self._writer is not None:
            group = "evaluation" if evaluation else "training"
            for name, value in row.items():
                if isinstance(value, int | float) and name not in ("step", "evaluation"):
                    self._writer.add_scalar(f"{group}/{name}", value, row["step"])

    def advance(self, progress: float) -> None:
        """Move the bar to a share of the budget."""
        self._bar.update(progress - self._bar.n)

    def pictures(self, step: int, draw: Callable[[int], Mapping[str, Tensor]]) -> None:
        """Pictures (C, H, W) in [0, 1], by name; drawn only where there is TensorBoard to show them."""
        if self._writer is not None:
            for name, image in draw(step).items():
                self._writer.add_image(name, image, step)


class Window:
    """Sums over the steps since the last row, kept on the device so that no step waits for it.

    :param device: where the losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.reset()

    def reset(self, sums: Mapping[str, Any] | None = None) -> None:
        """Start anew, or from saved sums."""
        sums = sums or {"loss": 0.0, "norm": 0.0, "steps": 0}
        self.loss = torch.tensor(sums["loss"], dtype=torch.float64, device=self._device)
        self.norm = torch.tensor(sums["norm"], dtype=torch.float64, device=self._device)
        self.steps: int = sums["steps"]
        self.videos = 0
        self.started, self.paused = time.perf_counter(), 0.0

    def add(self, loss: Tensor, norm: Tensor, videos: int) -> None:
        """Take in the loss and the gradient norm (scalars) of one step."""
        self.loss += loss
        self.norm += norm
        self.steps += 1
        self.videos += videos

    def finite(self) -> bool:
        """Whether every loss and gradient since the last row was finite."""
        return bool(torch.isfinite(self.loss + self.norm))

    def sums(self) -> dict[str, Any]:
        """What :meth:`reset` takes."""
        return {"loss": self.loss.item(), "norm": self.norm.item(), "steps": self.steps}

    def averages(self) -> dict[str, float]:
        """Loss per frame and gradient norm, each the mean over the steps."""
        return {"loss": self.loss.item() / self.steps, "gradient_norm": self.norm.item() / self.steps}

    def rates(self, waited: float, worked: float) -> dict[str, float]:
        """Videos per second, and what data cost as shares of the steps' time.

        :param waited: seconds the steps waited for videos.
        :param worked: processor seconds it took to make them.
        """
        seconds = max(time.perf_counter() - self.started - self.paused, 1e-9)
        return {"videos_per_s": self.videos / seconds, "data_share": waited / seconds, "data_cost": worked / seconds}

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Time that is not a step's."""
        start = time.perf_counter()
        yield
        self.paused += time.perf_counter() - start
