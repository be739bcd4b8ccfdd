"""Save a training and restore it: in a run folder, or, if the run writes no files, in memory."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from scalor_pyro.runs.checkpoint import (
    TrainingState,
    export_weights,
    load_training_state,
    random_state,
    save_checkpoint,
    set_random_state,
)
from scalor_pyro.runs.configs import config_to_json, require_same_config
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.weights import Weighted, copy_weights, own_parts, put_weights, require_parts
from scalor_pyro.training.distributed import World
from scalor_pyro.training.meters import Clock, Window
from scalor_pyro.training.optimiser import load_optimiser


class Checkpoints:
    """The checkpoints of a training; rank 0 writes and reads them for all processes.

    :param folder: where they are kept; None: in memory.
    :param config: of the run; it is saved, and a checkpoint to restore must have the same.
    :param scalor: whose weights are saved.
    :param optimiser: of its parameters.
    :param clock: of the run.
    :param window: sums since the last logged row.
    :param world: the processes that train together.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        config: Any,
        scalor: Weighted,
        optimiser: torch.optim.Optimizer,
        clock: Clock,
        window: Window,
        world: World,
    ) -> None:
        self.folder, self._config, self._scalor, self._optimiser = folder, config, scalor, optimiser
        self._clock, self._window, self._world = clock, window, world
        self._in_memory: TrainingState | None = None
        self.step: int | None = None  # of the last one

    def save(self, step: int, next_video: int) -> None:
        """Save the training as it is.

        :param step: steps done.
        :param next_video: index of the first video that no step has used.
        :raises CheckpointError: if a weight is not finite.
        :raises OutputError: if the folder cannot be written; the last checkpoint is kept.
        """
        state = TrainingState(
            config=config_to_json(self._config),
            weights=copy_weights(self._scalor),
            optimiser=self._optimiser.state_dict(),
            step=step,
            next_video=next_video,
            seconds=self._clock.wall,
            processor_seconds=self._clock.processor,
            window=self._window.sums(),
            random=random_state(),
            parts=own_parts(self._scalor),
        )
        self._world.on_rank_0(lambda: self._keep(state))
        self.step = step

    def _keep(self, state: TrainingState) -> None:
        if self.folder is not None:
            save_checkpoint(self.folder, state)
        else:
            state.optimiser = copy.deepcopy(state.optimiser)  # the optimiser goes on changing its own
            self._in_memory = state

    def restore(self, replaced: Callable[[], None]) -> tuple[TrainingState, list[dict[str, Any]]]:
        """Go back to the last checkpoint, and drop later rows of the metrics.

        :param replaced: called when weights and optimiser have new tensors.
        :return: the checkpoint, and the rows of the metrics up to it.
        :raises CheckpointError: if it is damaged, or belongs to another config.
        """
        state = self._world.on_rank_0(self._last)
        path = Path("checkpoint") if self.folder is None else self.folder.state
        require_same_config(path, json.loads(state.config), self._config)
        require_parts(path, state.parts, own_parts(self._scalor))
        put_weights(path, state.weights, self._scalor)
        load_optimiser(self._optimiser, state.optimiser)
        replaced()
        set_random_state(state.random)
        self._clock.set(state.seconds, state.processor_seconds)
        self._window.reset(state.window)
        self.step = state.step
        return state, self._world.on_rank_0(lambda: self._rows(state))

    def _last(self) -> TrainingState:
        if self.folder is not None:
            return load_training_state(self.folder.state)
        if self._in_memory is None:
            raise RuntimeError("No checkpoint was saved yet.")
        return replace(self._in_memory, optimiser=copy.deepcopy(self._in_memory.optimiser))  # which takes it over

    def _rows(self, state: TrainingState) -> list[dict[str, Any]]:
        if self.folder is None:
            return []
        export_weights(self.folder, state)
        return self.folder.keep_rows(state.step)


def logged(rows: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of training among all rows of the metrics."""
    return [row for row in rows if not row.get("evaluation")]


def last_evaluation(rows: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """The last row of an evaluation among all rows of the metrics."""
    return next((row for row in reversed(rows) if row.get("evaluation")), None)
