"""Stochastic variational inference: :func:`train`, and the loop over steps."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyro
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from scalor_pyro.config import ClipRunConfig, ConfigError, TrainConfig
from scalor_pyro.files import reserved
from scalor_pyro.inference.evidence import ByEvidence
from scalor_pyro.inference.taught import Taught
from scalor_pyro.model.background import OF_THE_VIEW
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import random_state, set_random_state
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import start_from
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.callbacks import Callback, CallbackError, Callbacks, TrainResult, standard_callbacks
from scalor_pyro.training.checkpointing import Checkpoints, last_evaluation, logged
from scalor_pyro.training.clips import Clips, ClipStream, as_stream, channels_of
from scalor_pyro.training.collapse import PATIENCE, CollapseWatch
from scalor_pyro.training.cuda_graph import CapturedStep
from scalor_pyro.training.diagnosis import NonFiniteError, diagnosis
from scalor_pyro.training.distributed import ALONE, World
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.interruption import StopRequest
from scalor_pyro.training.meters import Clock, Window
from scalor_pyro.training.optimiser import make_optimiser, set_learning_rate
from scalor_pyro.training.precision import networks_in_bfloat16
from scalor_pyro.training.prefetch import Prefetcher, Request, VideoStream

logger = logging.getLogger(__name__)

Evaluate = Callable[[int], Mapping[str, Any]]
Draw = Callable[[int], Mapping[str, Tensor]]


class Program(Protocol):
    """A model, and the guide that is trained with it."""

    def model(self, frames: Tensor, /) -> Any: ...

    def guide(self, frames: Tensor, /) -> Any: ...


class Trainable(Program, Protocol):
    """The parts of :class:`~scalor_pyro.model.scalor.Scalor` that the loop needs, besides being a module."""

    config: Any

    @property
    def last_statistics(self) -> Mapping[str, Tensor]:
        """Scalars of the last step, detached."""

    def schedule(self, values: dict[str, float], /) -> Any: ...

    def children(self) -> Iterator[nn.Module]: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


class Run(Protocol):
    """The parts of a run's config that the loop needs, as in :class:`~scalor_pyro.config.RunConfig`; all is saved."""

    @property
    def model(self) -> Any: ...

    @property
    def train(self) -> TrainConfig: ...

    @property
    def seed(self) -> int: ...


class Elbo(Protocol):
    """An objective like :class:`~scalor_pyro.training.elbo.ReparamELBO`, or an ELBO of Pyro."""

    def differentiable_loss(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any) -> Tensor: ...


class StepResult(NamedTuple):
    """The outcome of a step, on its device."""

    loss: Tensor  # () per frame
    norm: Tensor  # () of the gradient, before it is clipped
    statistics: Mapping[str, Tensor]  # the model's last_statistics


def train(
    scalor: Trainable,
    clips: Clips,
    config: TrainConfig | Run,
    folder: str | Path | None = None,
    *,
    seed: int | None = None,
    elbo: Elbo | None = None,
    callbacks: Iterable[Callback] = (),
    evaluate: Evaluate | None = None,
    draw: Draw | None = None,
    resume: bool = False,
    workers: int = 0,
    progress: bool = True,
    tensorboard: bool = True,
    world: World = ALONE,
) -> TrainResult:
    """Train a model until its budget is spent.

    ::

        result = train(scalor, clips, TrainConfig(steps=2000), folder="runs/mine", seed=0)
        scalor = Scalor.from_pretrained("runs/mine")

    Training runs on the device of the parameters. With a budget in steps, a resumed run ends on the CPU with exactly
    the weights of an uninterrupted one: evaluation, pictures and callbacks leave the random numbers of training alone.

    :param scalor: the model and guide.
    :param clips: (N, T, C, H, W), a tensor or an array, with T at least as long as the curriculum asks for; a map-style
        dataset of clips (T, C, H, W); or a stream that is a pure function of the index, such as
        :class:`~scalor_pyro.data.SyntheticVideos`. Pixels are floating point in [0, 1], or uint8, which is divided by
        255. Steps take random windows of clips, see :class:`~scalor_pyro.training.clips.ClipStream`.
    :param config: budget, curriculum and schedules; or the config of a whole run, such as
        :class:`~scalor_pyro.config.RunConfig`. It is saved as ``config.json``, in the first case as a
        :class:`~scalor_pyro.config.ClipRunConfig`.
    :param folder: the run folder, see :mod:`scalor_pyro.runs.folder`; None: write no files.
    :param seed: of the noise, and of the order of clips; default: that of the run's config, or 0.
    :param elbo: the objective; default: :class:`~scalor_pyro.training.elbo.ReparamELBO`. Any ELBO of Pyro with a
        ``differentiable_loss`` will do.
    :param callbacks: see :class:`~scalor_pyro.training.callbacks.Callback`.
    :param evaluate: called every ``eval_every`` steps and at the end with the step; its figures go to the metrics.
    :param draw: makes pictures (C, H, W) in [0, 1] by name; called after each evaluation if TensorBoard or another
        callback shows them.
    :param resume: go on with the run in the folder, given the same clips and config again.
    :param workers: processes that load clips of a dataset; 0: a thread.
    :param progress: show a progress bar.
    :param tensorboard: write TensorBoard events to the folder, if the tensorboard package is installed.
    :param world: the processes that train together; after a restart by torchrun they go on with the run in the folder.
    :raises ConfigError: if the processes cannot share each batch evenly, or the seed contradicts the run's config.
    :raises ValueError: for clips that do not suit the model or the curriculum.
    :raises OutputError: if the folder cannot be written, another process is training in it, or it holds another run
        (without ``resume``) or none (with).
    :raises CheckpointError: if the checkpoint to resume from, or the weights to start from, cannot be used.
    :raises NonFiniteError: if loss or gradient is not finite; the last checkpoint is kept.
    :raises CallbackError: if a callback raises; the last checkpoint is kept.
    """
    run = run_config(scalor, config, seed)
    if resume and folder is None:
        raise ConfigError("resume: expected the folder of the run to go on with, got none.")
    for stage in run.train.curriculum:
        world.require_shares(stage.batch)
    listening = Callbacks([*standard_callbacks(folder is not None, progress, tensorboard), *callbacks])
    keep_freed_memory()
    videos = as_stream(clips, run, workers)
    reservation = ExitStack()
    try:
        if folder is not None:
            world.on_rank_0(lambda: _reserve(reservation, Path(folder), resume))
        trainer = Trainer(
            scalor,
            videos,
            run,
            elbo,
            folder,
            resume=resume,
            callbacks=listening if world.is_rank_0 else Callbacks(()),
            evaluate=evaluate,
            draw=draw,
            world=world,
        )
        with trainer.stop_request, pyro.validation_enabled(False):
            return trainer.run()
    finally:
        reservation.close()
        if isinstance(videos, ClipStream):
            videos.close()


def _reserve(reservation: ExitStack, folder: Path, resume: bool) -> None:
    """Let no other process train in the folder.

    :raises OutputError: if one does.
    """
    if not (resume or folder.exists()):
        with suppress(OSError):  # which creating the run will say
            folder.mkdir(parents=True)
        reservation.callback(_remove_if_empty, folder)
    reservation.enter_context(reserved(folder, "training"))


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # it holds a run, or was never made
        folder.rmdir()


def parameters_to_start(scalor: Trainable) -> dict[str, nn.Parameter]:
    """The parameters that may come from another run: all but the background image, which belongs to the videos."""
    return {name: value for name, value in scalor.named_parameters() if name not in OF_THE_VIEW}


def run_config(scalor: Trainable, config: TrainConfig | Run, seed: int | None = None) -> Run:
    """The config of a whole run: as it is, or that of a model and its training.

    :raises ConfigError: if the seed is out of range, or not that of the run's config.
    """
    if isinstance(config, TrainConfig):
        return ClipRunConfig(scalor.config, config, seed or 0)
    if seed not in (None, config.seed):
        raise ConfigError(f"seed: expected {config.seed}, that of the run's config, or none, got {seed}.")
    return config


class Trainer:
    """A training at some step: the parts that change, and the loop over steps. Parameters are those of :func:`train`.

    A new run is saved when it is built; one to resume is restored.
    """

    def __init__(
        self,
        scalor: Trainable,
        videos: VideoStream,
        config: Run,
        elbo: Elbo | None = None,
        folder: str | Path | None = None,
        *,
        resume: bool = False,
        callbacks: Callbacks | None = None,
        evaluate: Evaluate | None = None,
        draw: Draw | None = None,
        world: World = ALONE,
    ) -> None:
        goes_on = world.on_rank_0(lambda: resume or _restarted(folder, world))
        start = config.train.start_from
        if start is not None and not goes_on:
            # On rank 0 alone: DistributedDataParallel gives its parameters to the others.
            world.on_rank_0(lambda: start_from(start, parameters_to_start(scalor)))
        self.scalor, self.videos, self.config, self.world = scalor, videos, config, world
        self.callbacks = callbacks or Callbacks(())
        self.evaluate_model, self.draw = evaluate, draw
        self.budget = config.train
        self.parameters = list(scalor.parameters())
        self.device = self.parameters[0].device
        objective = ReparamELBO(analytic_kl=self.budget.elbo == "analytic") if elbo is None else elbo
        self.program = _program(scalor, self.budget)
        self.loss = world.wrap(_Loss(scalor, self.program, objective), self.blank_videos())
        self.optimiser = make_optimiser(self.parameters, self.budget)
        self.watch = CollapseWatch(config.model)
        self.check_each_step = checks_each_step(self.device)
        # The host is asked which objects stay, or which they are.
        recordable = self.budget.capture and not (self.budget.evidence or self.budget.taught)
        capture = recordable and self.device.type == "cuda" and world.size == 1
        self.captured = CapturedStep(self.whole_step, enabled=capture)
        self.statistics: Mapping[str, Tensor] = {}
        self.step = 0  # steps done
        self.next_video = 0
        self.evaluation: Mapping[str, Any] | None = None  # the last one
        self.stop_request, self.stopped = StopRequest(), False
        self.clock, self.window = Clock(), Window(self.device)
        self.elapsed = 0.0  # seconds so far, as the processes agreed before the step
        find = RunFolder.open if goes_on else RunFolder.create
        kept = None if folder is None else world.on_rank_0(lambda: find(folder))
        self.checkpoints = Checkpoints(kept, config, scalor, self.optimiser, self.clock, self.window, world)
        if goes_on:
            self.restore()
        else:
            pyro.set_rng_seed(config.seed)
            self.save()

    # ------------------------------------------------------------------ as callbacks see it

    @property
    def folder(self) -> Path | None:
        """The run folder, or None if the run writes no files."""
        return None if self.checkpoints.folder is None else self.checkpoints.folder.path

    @property
    def progress(self) -> float:
        """Share of the budget spent, in [0, 1]."""
        return self.progress_at(self.step)

    def stop(self) -> None:
        """End the training after this step, as SIGINT does."""
        self.stop_request.requested = True

    # ------------------------------------------------------------------ the loop

    def run(self) -> TrainResult:
        """Train to the end of the budget or to a stop, and evaluate the trained model."""
        try:
            self.callbacks("on_start", self)
            if self.folder is not None and self.step == 0:
                self.callbacks("on_checkpoint", self.folder, 0)
            interrupted = self.train()
            result = self.result(interrupted)
            self.callbacks("on_end", result)
            return result
        except CallbackError as error:
            self.callbacks.failed(error)
            kept = "" if self.folder is None else f" The checkpoint of step {self.checkpoints.step} is kept."
            raise CallbackError(f"{error}{kept}") from error.__cause__
        except BaseException as error:
            self.callbacks.failed(error)
            raise

    def train(self) -> bool:
        """Train and evaluate; whether it was interrupted."""
        try:
            self.loop()
        except NonFiniteError as error:
            if self.check_each_step:
                raise
            # A GPU is asked only now and then: the same steps again, asked each time, find the one that broke.
            logger.warning("%s Going back to step %d to find where it comes from.", error, self.checkpoints.step)
            self.check_each_step = True
            self.restore()
            self.loop()
        if self.stopped and self.progress < 1:
            return True
        if self.evaluation is None or self.evaluation["step"] != self.step:
            self.evaluate()
        return False

    def result(self, interrupted: bool) -> TrainResult:
        """How it ended."""
        minutes, processor_minutes = self.clock.wall / 60, self.clock.processor / 60
        evaluation = None if interrupted else self.evaluation
        return TrainResult(self.step, minutes, processor_minutes, interrupted, evaluation)

    def loop(self) -> None:
        """Step after step, until the budget is spent or a stop is asked for; then save."""
        train = self.budget
        with Prefetcher(self.world.share(self.videos), self.plan(), self.device) as feed:
            while self.goes_on():
                request, frames = feed.take()
                loss = self.update(frames)
                self.step += 1
                self.next_video = request.start + request.count
                self.callbacks.step(self.step, loss)
                if self.step % train.log_every == 0:
                    self.log(request, feed)
                if self.step % train.eval_every == 0:
                    self.evaluate()
                if self.step % train.checkpoint_every == 0:
                    self.save()
        if self.checkpoints.step != self.step:
            self.save()

    def goes_on(self) -> bool:
        """Whether there is another step: budget is left, and no process was asked to stop."""
        stop, self.elapsed = self.world.agree(self.stop_request.requested, self.clock.wall)
        self.stopped = bool(stop)
        return self.progress < 1 and not self.stopped

    def plan(self) -> Iterator[Request]:
        """The videos of each step to come."""
        step, start = self.step, self.next_video
        while self.progress_at(step) < 1:
            stage = self.budget.stage(self.progress_at(step))
            yield Request(start, stage.batch, stage.frames)
            step, start = step + 1, start + stage.batch

    def progress_at(self, step: int) -> float:
        """The share of the budget spent after a number of steps; a budget in minutes only knows the present."""
        if self.budget.minutes is not None:
            return min(1.0, self.elapsed / 60 / self.budget.minutes)
        return min(1.0, step / self.budget.steps)

    def blank_videos(self) -> Iterator[Tensor]:
        """One black video of each length that a step can have."""
        channels, size = channels_of(self.config), self.config.model.image_size
        for stage in self.budget.curriculum:
            yield torch.zeros(1, stage.frames, channels, *size, device=self.device)

    # ------------------------------------------------------------------ a step

    def update(self, frames: Tensor) -> Tensor:
        """One step of the optimiser on frames (B, T, C, H, W); the loss per frame."""
        self.scalor.schedule(self.budget.scheduled(self.step))
        set_learning_rate(self.optimiser, self.budget.learning_rate_at(self.progress))
        done = self.checked_step(frames) if self.check_each_step else self.captured(frames)
        self.statistics = done.statistics
        self.window.add(done.loss, done.norm, len(frames) * self.world.size)
        return done.loss

    def whole_step(self, frames: Tensor) -> StepResult:
        """One step that neither waits for the device nor needs more of the host than to be queued."""
        loss, norm = self.gradients(frames)
        return self.descend(loss, norm)

    def checked_step(self, frames: Tensor) -> StepResult:
        """One step that checks that loss and gradient are finite before it changes the parameters."""
        random = random_state()
        loss, norm = self.gradients(frames)
        if not bool(torch.isfinite(loss + norm)):
            kept = "" if self.folder is None else f", the checkpoint of step {self.checkpoints.step} is kept"
            where = f"at step {self.step}; training stopped{kept}."
            raise diagnosis(self.program, self.scalor, loss, frames, random, self.world, where)
        return self.descend(loss, norm)

    def gradients(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The loss per frame, and the norm of its gradient, which the parameters then have."""
        self.optimiser.zero_grad(set_to_none=True)
        with self.precision(), self.world.noise():
            loss = self.loss(frames)
        loss.backward()
        norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        return self.world.mean(loss), norm

    def descend(self, loss: Tensor, norm: Tensor) -> StepResult:
        """Clip the gradient, and follow it."""
        clip_grads_with_norm_(self.parameters, self.budget.clip, norm)
        self.optimiser.step()
        return StepResult(loss, norm, self.scalor.last_statistics)

    def precision(self) -> AbstractContextManager[None]:
        """Within, networks compute as the config says."""
        if self.budget.precision == "fp32":
            return nullcontext()
        return networks_in_bfloat16(self.scalor, self.device)

    # ------------------------------------------------------------------ between steps

    def log(self, request: Request, feed: Prefetcher) -> None:
        """Write a row of the metrics, and look for collapse."""
        self.require_finite()
        statistics = {name: float(self.world.mean(value)) for name, value in self.statistics.items()}
        row = {
            **self.done(),
            **self.window.averages(),
            **statistics,
            **self.budget.scheduled(self.step - 1),
            "learning_rate": float(self.optimiser.param_groups[0]["lr"]),
            "batch": request.count,
            "frames": request.frames,
            **self.window.rates(*feed.collect()),
        }
        if self.world.is_rank_0:
            self.callbacks("on_row", row)
            self.watch.look(row)
        self.window.reset()

    def done(self) -> dict[str, Any]:
        """The first columns of each row of the metrics."""
        return {"step": self.step, "progress": self.progress, "minutes": self.clock.wall / 60}

    def evaluate(self) -> None:
        """Evaluate, on rank 0; the random numbers of training go on as if nothing had been evaluated."""
        self.evaluation = None
        if self.evaluate_model is None:
            return
        self.require_finite()
        self.settle()
        before = random_state()
        with self.window.pause():
            self.evaluation = self.world.on_rank_0(partial(self.evaluated, self.evaluate_model))
        set_random_state(before)

    def evaluated(self, evaluate_model: Evaluate) -> Mapping[str, Any]:
        """The row of an evaluation, given to the callbacks like its pictures."""
        figures = evaluate_model(self.step)
        row = {**self.done(), "evaluation": True, **figures}
        self.callbacks("on_evaluation", row)
        if self.draw is not None and self.callbacks.handles("on_pictures"):
            self.callbacks("on_pictures", self.step, self.draw(self.step))
        return row

    def settle(self) -> None:
        """Give scheduled quantities the values that the model is used with; the next step sets its own."""
        self.scalor.schedule(self.budget.settled(self.step))

    def save(self) -> None:
        """Save a checkpoint."""
        self.require_finite()
        self.settle()
        with self.window.pause():
            self.checkpoints.save(self.step, self.next_video)
            if self.folder is not None and self.step > 0:  # the first one is saved before callbacks are started
                self.callbacks("on_checkpoint", self.folder, self.step)

    def restore(self) -> None:
        """Go back to the last checkpoint, metrics included."""
        state, rows = self.checkpoints.restore(self.captured.forget)
        self.step, self.next_video, self.elapsed = state.step, state.next_video, state.seconds
        self.watch.rows = logged(rows)[-PATIENCE:]
        self.evaluation = last_evaluation(rows)

    def require_finite(self) -> None:
        """Refuse to go on from, or to save, steps whose loss or gradient was not finite."""
        if not self.window.finite():
            raise NonFiniteError(f"Loss or gradient became non-finite in the last steps before step {self.step}.")


class _Loss(nn.Module):
    """The negative ELBO of frames (B, T, C, H, W), per frame: the module whose gradient is descended."""

    def __init__(self, scalor: Trainable, program: Program, elbo: Elbo) -> None:
        super().__init__()
        self.scalor, self.program, self.elbo = scalor, program, elbo

    def forward(self, frames: Tensor) -> Tensor:
        loss = self.elbo.differentiable_loss(self.program.model, self.program.guide, frames)
        return loss / (frames.shape[0] * frames.shape[1])


def _program(scalor: Trainable, budget: TrainConfig) -> Program:
    """The model and guide that are trained: those of a model, or a pair that learns in another way."""
    for name, pair in (("evidence", ByEvidence), ("taught", Taught)):
        if getattr(budget, name):
            if not isinstance(scalor, Scalor):
                raise ConfigError(f"{name}: expected a Scalor to learn with it, got a {type(scalor).__name__}.")
            return pair(scalor)
    return scalor


def _restarted(folder: str | Path | None, world: World) -> bool:
    """Whether torchrun started these processes again, so that a run in the folder is their own."""
    return folder is not None and world.restarts > 0 and RunFolder(folder).state.exists()


def checks_each_step(device: torch.device) -> bool:
    """Whether reading the loss at each step is cheap: on a GPU the queue of work would stop."""
    return device.type == "cpu"
