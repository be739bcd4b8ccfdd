"""Stochastic variational inference: the loop, its budget, and what it writes on the way."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyro
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from scalor_pyro.config import TrainConfig
from scalor_pyro.runs.checkpoint import (
    TrainingState,
    config_to_json,
    copy_weights,
    export_weights,
    load_training_state,
    put_weights,
    random_state,
    require_same_config,
    save_checkpoint,
    set_random_state,
    start_from,
)
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.training import collapse as watch
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.collapse import CollapseWatch, NonFiniteError
from scalor_pyro.training.cuda_graph import CapturedStep
from scalor_pyro.training.distributed import ALONE, World
from scalor_pyro.training.interruption import StopRequest
from scalor_pyro.training.precision import networks_in_bfloat16
from scalor_pyro.training.prefetch import Prefetcher, Request, VideoStream
from scalor_pyro.training.reporting import Report, Window

logger = logging.getLogger(__name__)

Evaluate = Callable[[int], Mapping[str, Any]]
Draw = Callable[[int], Mapping[str, Tensor]]


class Trainable(Protocol):
    """What the loop needs of :class:`~scalor_pyro.model.scalor.Scalor`, besides being a module."""

    config: Any

    @property
    def last_statistics(self) -> Mapping[str, Tensor]:
        """Scalars of the last step, detached."""

    def model(self, frames: Tensor, /) -> Any: ...

    def guide(self, frames: Tensor, /) -> Any: ...

    def schedule(self, values: dict[str, float], /) -> Any: ...

    def children(self) -> Iterator[nn.Module]: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


class Run(Protocol):
    """What the loop needs of a config like :class:`~scalor_pyro.config.RunConfig`; all of it is saved."""

    @property
    def model(self) -> Any: ...

    @property
    def train(self) -> TrainConfig: ...

    @property
    def seed(self) -> int: ...


class Elbo(Protocol):
    """An objective like :class:`~scalor_pyro.training.elbo.ReparamELBO`."""

    def differentiable_loss(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any) -> Tensor: ...


class StepResult(NamedTuple):
    """What a step says of itself, on its device."""

    loss: Tensor  # () per frame
    norm: Tensor  # () of the gradient, before it is clipped
    statistics: Mapping[str, Tensor]  # the model's last_statistics


class TrainResult(NamedTuple):
    """How a training ended."""

    step: int  # steps done, those before a resume included
    minutes: float  # the same in wall time
    processor_minutes: float  # … of all threads of this process; NaN after a resume from where they were not counted
    interrupted: bool  # by SIGINT or SIGTERM, with budget left
    evaluation: Mapping[str, Any] | None  # at the end; None if interrupted, or nothing evaluates


def train(
    scalor: Trainable,
    elbo: Elbo,
    videos: VideoStream,
    config: Run,
    folder: str | Path,
    *,
    evaluate: Evaluate | None = None,
    draw: Draw | None = None,
    resume: bool = False,
    progress: bool = True,
    tensorboard: bool = True,
    world: World = ALONE,
) -> TrainResult:
    """Train a model until its budget is spent, and keep the run in a folder.

    Training happens where the parameters are. With a budget in steps a resumed run ends, on the CPU, with the very
    weights of an uninterrupted one: evaluation and pictures do not touch the random numbers of training.

    :param scalor: the model and guide.
    :param elbo: the objective.
    :param videos: the stream to train on, a pure function of the index.
    :param config: of the run; ``config.train`` rules the loop.
    :param folder: the run folder, see :mod:`scalor_pyro.runs.folder`.
    :param evaluate: figures at a step, for the metrics; called each ``eval_every`` steps and at the end.
    :param draw: pictures (C, H, W) in [0, 1] by name; called after each evaluation where TensorBoard shows them.
    :param resume: go on with the run in the folder.
    :param progress: show a progress bar.
    :param tensorboard: write TensorBoard events, where it is installed.
    :param world: the processes that train together; after a restart by torchrun they go on with the run in the folder.
    :raises ConfigError: if the processes cannot share each batch evenly.
    :raises RunFolderError: if the folder cannot be written, or holds another run (without ``resume``) or none (with).
    :raises CheckpointError: if the checkpoint to resume from, or the weights to start from, cannot be used.
    :raises NonFiniteError: if loss or gradient is not finite; the last checkpoint is kept.
    """
    keep_freed_memory()
    for stage in config.train.curriculum:
        world.require_shares(stage.batch)
    goes_on = world.on_rank_0(lambda: resume or (world.restarts > 0 and RunFolder(folder).state.exists()))
    start = config.train.start_from
    if start is not None and not goes_on:
        # In the lead alone: the trainer gives its parameters to the others.
        world.on_rank_0(lambda: start_from(start, dict(scalor.named_parameters())))
    trainer = _Trainer(scalor, elbo, videos, config, evaluate, draw, world)
    if goes_on:
        trainer.folder = world.on_rank_0(lambda: RunFolder.open(folder))
        trainer.restore()
    else:
        trainer.folder = world.on_rank_0(lambda: RunFolder.create(folder))
        pyro.set_rng_seed(config.seed)
        trainer.save()
    shown = progress and world.is_rank_0
    report = Report(trainer.folder, trainer.step, trainer.progress(), shown, tensorboard and world.is_rank_0)
    with StopRequest() as trainer.stop, report as trainer.report, pyro.validation_enabled(False):
        return trainer.run()


class _Loss(nn.Module):
    """The negative ELBO of frames (B, T, C, H, W), per frame: the module whose gradient is descended."""

    def __init__(self, scalor: Trainable, elbo: Elbo) -> None:
        super().__init__()
        self.scalor, self.elbo = scalor, elbo

    def forward(self, frames: Tensor) -> Tensor:
        loss = self.elbo.differentiable_loss(self.scalor.model, self.scalor.guide, frames)
        return loss / (frames.shape[0] * frames.shape[1])


class _Trainer:
    """The training in hand: counters, optimiser, and the loop over steps."""

    folder: RunFolder
    report: Report
    stop: StopRequest

    def __init__(
        self,
        scalor: Trainable,
        elbo: Elbo,
        videos: VideoStream,
        config: Run,
        evaluate: Evaluate | None,
        draw: Draw | None,
        world: World,
    ) -> None:
        self.scalor, self.videos, self.config, self.world = scalor, videos, config, world
        self.evaluate_model, self.draw = evaluate, draw
        self.budget = config.train
        self.parameters = list(scalor.parameters())
        self.device = self.parameters[0].device
        self.loss = world.wrap(_Loss(scalor, elbo), self.blank_videos())
        self.optimiser = make_optimiser(self.parameters, self.budget)
        self.watch = CollapseWatch(config.model)
        self.check_each_step = checks_each_step(self.device)
        capture = self.budget.capture and self.device.type == "cuda" and world.size == 1
        self.captured = CapturedStep(self.whole_step, enabled=capture)
        self.statistics: Mapping[str, Tensor] = {}
        self.step = 0  # steps done
        self.next_video = 0
        self.saved: int | None = None  # step of the last checkpoint
        self.evaluation: Mapping[str, Any] | None = None  # the last one
        self.seconds_before, self.started = 0.0, time.perf_counter()
        self.processor_before, self.processor_started = 0.0, time.process_time()
        self.stopped, self.elapsed = False, 0.0  # a stop is asked for, and the seconds so far: as agreed before a step
        self.window = Window(self.device)

    def run(self) -> TrainResult:
        """Train to the end of the budget or to a stop, and evaluate what came out."""
        try:
            self.loop()
        except NonFiniteError as error:
            if self.check_each_step:
                raise
            # A GPU is asked only now and then: the same steps again, asked each time, find the one that broke.
            logger.warning("%s Going back to step %d to find where it comes from.", error, self.saved)
            self.check_each_step = True
            self.restore()
            self.loop()
        if self.stopped and self.progress() < 1:
            return self.result(interrupted=True)
        if self.evaluation is None or self.evaluation["step"] != self.step:
            self.evaluate()
        return self.result(interrupted=False)

    def result(self, interrupted: bool) -> TrainResult:
        """How it ended."""
        minutes, processor_minutes = self.seconds() / 60, self.processor_seconds() / 60
        evaluation = None if interrupted else self.evaluation
        return TrainResult(self.step, minutes, processor_minutes, interrupted, evaluation)

    def loop(self) -> None:
        """Step after step, until the budget is spent or a stop is asked for; the end is saved."""
        train = self.budget
        with Prefetcher(self.world.share(self.videos), self.plan(), self.device) as feed:
            while self.goes_on():
                request, frames = feed.take()
                self.update(frames)
                self.step += 1
                self.next_video = request.start + request.count
                if self.step % train.log_every == 0:
                    self.log(request, feed)
                if self.step % train.eval_every == 0:
                    self.evaluate()
                if self.step % train.checkpoint_every == 0:
                    self.save()
                self.report.advance(self.progress())
        if self.saved != self.step:
            self.save()

    def goes_on(self) -> bool:
        """Whether there is another step: budget is left, and no process was asked to stop."""
        stop, self.elapsed = self.world.agree(self.stop.requested, self.seconds())
        self.stopped = bool(stop)
        return self.progress() < 1 and not self.stopped

    def update(self, frames: Tensor) -> None:
        """One step of the optimiser on frames (B, T, C, H, W)."""
        self.scalor.schedule(self.budget.scheduled(self.step))
        set_learning_rate(self.optimiser, self.budget.learning_rate_at(self.progress()))
        done = self.checked_step(frames) if self.check_each_step else self.captured(frames)
        self.statistics = done.statistics
        self.window.add(done.loss, done.norm, len(frames) * self.world.size)

    def settle(self) -> None:
        """Give scheduled quantities the values that the model is used with; the next step sets its own."""
        self.scalor.schedule(self.budget.settled(self.step))

    def whole_step(self, frames: Tensor) -> StepResult:
        """One step that neither waits for the device nor needs more of the host than to be queued."""
        loss, norm = self.gradients(frames)
        return self.descend(loss, norm)

    def checked_step(self, frames: Tensor) -> StepResult:
        """One step that looks whether loss and gradient are finite before it changes the parameters."""
        random = random_state()
        loss, norm = self.gradients(frames)
        if not bool(torch.isfinite(loss + norm)):
            raise self.diagnosis(loss, frames, random)
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
        """Where networks compute as the config says."""
        if self.budget.precision == "fp32":
            return nullcontext()
        return networks_in_bfloat16(self.scalor, self.device)

    def plan(self) -> Iterator[Request]:
        """The videos of each step to come."""
        step, start = self.step, self.next_video
        while self.progress(step) < 1:
            stage = self.budget.stage(self.progress(step))
            yield Request(start, stage.batch, stage.frames)
            step, start = step + 1, start + stage.batch

    def blank_videos(self) -> Iterator[Tensor]:
        """One black video of each length that a step can have."""
        channels, size = self.config.model.channels, self.config.model.image_size
        for stage in self.budget.curriculum:
            yield torch.zeros(1, stage.frames, channels, *size, device=self.device)

    def progress(self, step: int | None = None) -> float:
        """The share of the budget spent after so many steps (a budget in minutes knows only now)."""
        if self.budget.minutes is not None:
            return min(1.0, self.elapsed / 60 / self.budget.minutes)
        return min(1.0, (self.step if step is None else step) / self.budget.steps)

    def seconds(self) -> float:
        """Wall time of the run so far, that before a resume included."""
        return self.seconds_before + time.perf_counter() - self.started

    def processor_seconds(self) -> float:
        """The same in time of the processor, of all threads of this process."""
        return self.processor_before + time.process_time() - self.processor_started

    def log(self, request: Request, feed: Prefetcher) -> None:
        """Write a row of the metrics, and look whether training is well."""
        self.require_finite()
        statistics = {name: float(self.world.mean(value)) for name, value in self.statistics.items()}
        done = {"step": self.step, "progress": self.progress(), "minutes": self.seconds() / 60}
        row = {
            **done,
            **self.window.averages(),
            **statistics,
            **self.budget.scheduled(self.step - 1),
            "learning_rate": float(self.optimiser.param_groups[0]["lr"]),
            "batch": request.count,
            "frames": request.frames,
            **self.window.rates(*feed.collect()),
        }
        if self.world.is_rank_0:
            self.report.row(row)
            self.watch.look(row)
        self.window.reset()

    def evaluate(self) -> None:
        """Write an evaluation to the metrics; the random numbers of training go on as if it had not been."""
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
        """The row of an evaluation, which is written; pictures are, too."""
        figures = evaluate_model(self.step)
        done = {"step": self.step, "progress": self.progress(), "minutes": self.seconds() / 60}
        row = {**done, "evaluation": True, **figures}
        self.report.row(row)
        if self.draw is not None:
            self.report.pictures(self.step, self.draw)
        return row

    def save(self) -> None:
        """Write a checkpoint."""
        self.require_finite()
        self.settle()
        with self.window.pause():
            state = TrainingState(
                config=config_to_json(self.config),
                weights=copy_weights(self.scalor),
                optimiser=self.optimiser.state_dict(),
                step=self.step,
                next_video=self.next_video,
                seconds=self.seconds(),
                processor_seconds=self.processor_seconds(),
                window=self.window.sums(),
                random=random_state(),
            )
            self.world.on_rank_0(lambda: save_checkpoint(self.folder, state))
        self.saved = self.step

    def restore(self) -> None:
        """Go back to the checkpoint of the folder, metrics included."""
        state = self.world.on_rank_0(lambda: load_training_state(self.folder.state))
        require_same_config(self.folder.state, json.loads(state.config), self.config)
        put_weights(self.folder.state, state.weights, self.scalor)
        load_optimiser(self.optimiser, state.optimiser)
        self.captured.forget()
        set_random_state(state.random)
        self.step, self.next_video, self.saved = state.step, state.next_video, state.step
        self.seconds_before, self.started = state.seconds, time.perf_counter()
        self.processor_before, self.processor_started = state.processor_seconds, time.process_time()
        self.elapsed = state.seconds
        self.window.reset(state.window)
        self.world.on_rank_0(lambda: export_weights(self.folder, state))
        rows = self.world.on_rank_0(lambda: self.folder.keep_rows(state.step))
        self.watch.rows = [row for row in rows if not row.get("evaluation")][-watch.PATIENCE :]
        self.evaluation = next((row for row in reversed(rows) if row.get("evaluation")), None)

    def require_finite(self) -> None:
        """Refuse to go on from, or to save, steps whose loss or gradient was not finite."""
        if not self.window.finite():
            raise NonFiniteError(f"Loss or gradient became non-finite in the last steps before step {self.step}.")

    def diagnosis(self, loss: Tensor, frames: Tensor, random: Mapping[str, Any]) -> NonFiniteError:
        """The error that says what was not finite in a step, by running it again with the same random numbers."""
        where = f"at step {self.step}; training stopped, the checkpoint of step {self.saved} is kept."
        if bool(torch.isfinite(loss)):
            name = watch.non_finite_gradient(self.scalor.named_parameters())
            return NonFiniteError(f"The gradient of {name or 'all parameters together'} is not finite {where}")
        set_random_state(random)
        with self.world.noise():
            site = watch.non_finite_site(self.scalor.model, self.scalor.guide, frames)
        site = next(filter(None, self.world.gather(site)), None)
        return NonFiniteError(f"The loss is {loss.item()}, first in {site or 'the sum over all sites'}, {where}")


def make_optimiser(parameters: list[nn.Parameter], train: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that a config names; on a GPU its learning rate is a tensor there, so that a graph can read it."""
    device = parameters[0].device
    on_gpu = device.type == "cuda"
    rate = torch.tensor(train.learning_rate, device=device) if on_gpu else train.learning_rate
    if train.optimiser == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, capturable=on_gpu)
    return torch.optim.Adam(parameters, lr=rate, fused=True, capturable=on_gpu)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters a learning rate, in place where it is a tensor."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def load_optimiser(optimiser: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Take over the state of an optimiser, which may have been on another device; the options stay this one's."""
    optimiser.load_state_dict({"state": saved["state"], "param_groups": optimiser.state_dict()["param_groups"]})


def checks_each_step(device: torch.device) -> bool:
    """Whether reading the loss at each step is cheap: on a GPU it would stop the queue of work."""
    return device.type == "cpu"
