"""Callbacks: what happens beside a training while it runs, such as a progress bar, files of metrics, TensorBoard.

A callback is a subclass of :class:`Callback` with the methods that it needs. A logger for Weights & Biases::

    class ToWandb(Callback):
        def on_start(self, training):
            self.run = wandb.init(project="scalor", config=config_to_dict(training.config))

        def on_row(self, row):
            self.run.log(row, step=row["step"])
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from tqdm import tqdm

from scalor_pyro.files import OutputError
from scalor_pyro.runs.checkpoint import random_state, set_random_state
from scalor_pyro.runs.folder import RunFolder

logger = logging.getLogger(__name__)

# The figures in the progress bar: name in the metrics, short name.
SHOWN = {"loss": "loss", "objects_per_frame": "objects", "propagation_rate": "propagated", "videos_per_s": "videos/s"}
# Figures of a row that are no curve of their own in TensorBoard.
NO_CURVES = ("step", "evaluation")


class CallbackError(ValueError):
    """A callback raised an exception; the message names the callback, its method and the exception."""


class TrainResult(NamedTuple):
    """How a training ended."""

    step: int  # steps done, including those before a resume
    minutes: float  # the same in wall time
    processor_minutes: float  # … of all threads of this process; NaN after a resume from a run that did not count them
    interrupted: bool  # by SIGINT, SIGTERM or a callback, with budget left
    evaluation: Mapping[str, Any] | None  # at the end; None if interrupted, or without `evaluate`


class Training(Protocol):
    """A training as callbacks see it; the values are always those of now."""

    @property
    def config(self) -> Any:
        """The config of the run, with ``model``, ``train`` and ``seed``."""

    @property
    def scalor(self) -> Any:
        """The model and guide."""

    @property
    def folder(self) -> Path | None:
        """The run folder, or None if the run writes no files."""

    @property
    def step(self) -> int:
        """Steps done, including those before a resume."""

    @property
    def progress(self) -> float:
        """Share of the budget spent, in [0, 1]."""

    def stop(self) -> None:
        """End the training after this step, as SIGINT does; it can be resumed."""


class Callback:
    """Base class of callbacks; every method does nothing unless it is overridden.

    With several processes, rank 0 alone calls them. An exception ends the training with a :class:`CallbackError`, and
    the last checkpoint is kept. Random numbers that a callback draws do not change the training, except those drawn in
    :meth:`on_step`.
    """

    def on_start(self, training: Training) -> None:
        """Before the first step; a callback that needs the model, the config or the folder keeps ``training``."""

    def on_step(self, step: int, loss: Tensor) -> None:
        """After each step.

        :param step: steps done.
        :param loss: () negative ELBO per frame, on the device of the training. Reading its value (``float(loss)``)
            makes a GPU wait at each step; the next step may overwrite it, so clone it to keep it.
        """

    def on_row(self, row: Mapping[str, Any]) -> None:
        """After each logged step (``log_every``).

        :param row: ``step``, ``loss``, ``gradient_norm``, the model's statistics, …: the row of ``metrics.jsonl``.
        """

    def on_evaluation(self, row: Mapping[str, Any]) -> None:
        """After each evaluation (``eval_every``, and the end).

        :param row: ``step``, ``progress``, ``minutes``, ``evaluation`` (true) and the figures of ``evaluate``.
        """

    def on_pictures(self, step: int, pictures: Mapping[str, Tensor]) -> None:
        """After each evaluation, if the training has a ``draw``; it draws only if a callback has this method.

        :param pictures: (C, H, W) in [0, 1] by name.
        """

    def on_checkpoint(self, folder: Path, step: int) -> None:
        """After a checkpoint was written (``checkpoint_every``, the start and the end); never without a folder."""

    def on_end(self, result: TrainResult) -> None:
        """Last, if the training ended with its budget or was interrupted."""

    def on_error(self, error: BaseException) -> None:
        """Last, if the training ended with an exception, which is raised afterwards: close what is open."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class Callbacks:
    """The callbacks of one training; an event that none of them handles costs nothing.

    :param callbacks: called in this order.
    :raises ValueError: if one is no :class:`Callback`, or has an ``on_…`` method that would never be called.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks = tuple(callbacks)
        for each in self._callbacks:
            _check(each)
        self._of = {hook: [each for each in self._callbacks if _handles(each, hook)] for hook in HOOKS}

    def handles(self, hook: str) -> bool:
        """Whether a callback has this method."""
        return bool(self._of[hook])

    def step(self, step: int, loss: Tensor) -> None:
        """Call ``on_step``; the state of the random numbers is not saved, since that takes longer than the call."""
        self._call("on_step", step, loss)

    def __call__(self, hook: str, *arguments: Any) -> None:
        """Call a method of all callbacks that have it.

        :raises CallbackError: if one of them raises.
        :raises OutputError: if a file of the run cannot be written.
        """
        if self._of[hook]:
            before = random_state()
            self._call(hook, *arguments)
            set_random_state(before)

    def _call(self, hook: str, *arguments: Any) -> None:
        for each in self._of[hook]:
            try:
                getattr(each, hook)(*arguments)
            except OutputError:
                raise
            except Exception as error:  # a callback is the user's code: it may raise anything
                what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                raise CallbackError(f"The callback {type(each).__name__} failed in {hook} ({what}).") from error

    def failed(self, error: BaseException) -> None:
        """Call ``on_error`` of all; a further exception is logged, so that the first one is not lost."""
        for each in self._of["on_error"]:
            try:
                each.on_error(error)
            except Exception:  # the user's code again; the error that is being handled comes first
                logger.warning("The callback %s failed in on_error.", type(each).__name__, exc_info=True)


def _check(callback: object) -> None:
    name = type(callback).__name__
    if not isinstance(callback, Callback):
        raise ValueError(f"callbacks: expected subclasses of Callback, got {name}.")
    unknown = [each for each in dir(callback) if each.startswith("on_") and each not in HOOKS]
    if unknown:
        raise ValueError(f"The callback {name}: expected methods among {', '.join(HOOKS)}, got {unknown[0]}.")


def _handles(callback: Callback, hook: str) -> bool:
    return getattr(type(callback), hook) is not getattr(Callback, hook) or hook in vars(callback)


class MetricsFile(Callback):
    """Writes all rows to ``metrics.jsonl`` in the run folder."""

    def on_start(self, training: Training) -> None:
        self._folder = None if training.folder is None else RunFolder(training.folder)

    def on_row(self, row: Mapping[str, Any]) -> None:
        if self._folder is not None:
            self._folder.append(row)

    def on_evaluation(self, row: Mapping[str, Any]) -> None:
        self.on_row(row)


class ProgressBar(Callback):
    """Shows the share of the budget spent and the latest figures, on stderr."""

    _bar: Any = None

    def on_start(self, training: Training) -> None:
        self._training = training
        form = "{percentage:3.0f}% |{bar}| {elapsed}<{remaining}{postfix}"
        self._bar = tqdm(total=1.0, initial=training.progress, bar_format=form)

    def on_step(self, step: int, loss: Tensor) -> None:
        self._bar.update(self._training.progress - self._bar.n)

    def on_row(self, row: Mapping[str, Any]) -> None:
        shown = {short: row[name] for name, short in SHOWN.items() if row.get(name) is not None}
        self._bar.set_postfix({name: f"{value:.3g}" for name, value in shown.items()}, refresh=False)

    def on_end(self, result: TrainResult) -> None:
        self._bar.close()

    def on_error(self, error: BaseException) -> None:
        if self._bar is not None:
            self._bar.close()


class TensorBoard(Callback):
    """Writes scalars and pictures for TensorBoard.

    :param folder: for the event files; default: ``tensorboard/`` in the run folder.
    :raises ImportError: if the tensorboard package is not installed.
    """

    _writer: Any = None

    def __init__(self, folder: str | Path | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._make_writer, self._to = SummaryWriter, folder

    def on_start(self, training: Training) -> None:
        folder = self._to or (training.folder and training.folder / "tensorboard")
        if folder is None:
            raise ValueError("expected a folder, TensorBoard(folder), since the run has none")
        self._writer = self._make_writer(log_dir=str(folder), purge_step=training.step + 1)

    def on_row(self, row: Mapping[str, Any]) -> None:
        self._add("training", row)

    def on_evaluation(self, row: Mapping[str, Any]) -> None:
        self._add("evaluation", row)

    def _add(self, group: str, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name not in NO_CURVES:
                self._writer.add_scalar(f"{group}/{name}", value, row["step"])

    def on_pictures(self, step: int, pictures: Mapping[str, Tensor]) -> None:
        for name, image in pictures.items():
            self._writer.add_image(name, image, step)

    def on_end(self, result: TrainResult) -> None:
        self._writer.close()

    def on_error(self, error: BaseException) -> None:
        if self._writer is not None:
            self._writer.close()


def standard_callbacks(folder: bool, progress: bool, tensorboard: bool) -> Sequence[Callback]:
    """The callbacks of the package.

    :param folder: whether the run has a folder; without one, nothing is written.
    :param progress: show a progress bar.
    :param tensorboard: write TensorBoard events if the tensorboard package is installed.
    """
    callbacks: list[Callback] = [ProgressBar()] if progress else []
    if folder:
        callbacks.append(MetricsFile())
        if tensorboard:
            try:
                callbacks.append(TensorBoard())
            except ImportError:
                logger.debug("tensorboard is not installed: no event files are written.")
    return callbacks
