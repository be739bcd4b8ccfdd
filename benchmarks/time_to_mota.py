"""MOTA on held-out videos against minutes of training (paper Figure 8 d).

    python benchmarks/time_to_mota.py --out runs/time_to_mota --picture mota.png
    python benchmarks/time_to_mota.py --models scalor sqair --mnist mnist.npz --out runs/time_to_mota --json mota.json
    python benchmarks/time_to_mota.py --runs runs/demo runs/sqair --picture mota.png

Models are trained as in the examples and scored often. The time for scoring is not counted; the time for making videos
and writing checkpoints is. Each model leaves a run in the folder: finished runs are not trained again, interrupted ones
continue. Runs of other commands can be drawn too: their minutes include evaluations, and have no processor time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyro
import torch
from matplotlib.axes import Axes

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.colours import identity_colour
from scalor_pyro.config import DataConfig
from scalor_pyro.config.presets import COUNTS, preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.experiments.baselines import BASELINES, baseline
from scalor_pyro.experiments.synthetic import (
    TEST_SEED,
    TRACKING,
    VALIDATION_START,
    Experiment,
    ExperimentT,
    evaluate,
    with_known_digits,
)
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.style import INK, empty_figure
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.training.callbacks import TrainResult
from scalor_pyro.training.device import device_of
from scalor_pyro.training.loop import train

# The models that can be compared: SCALOR and the baselines that track.
MODELS: dict[str, Callable[[Any], Any]] = {
    "scalor": Scalor,
    **{name: known.build for name, known in BASELINES.items() if known.assessment is TRACKING},
}
# Values of MOTA whose first time is reported.
LEVELS = (0.80, 0.90, 0.93, 0.95)
# Steps between two looks at a training, and the number of videos.
EVERY, VIDEOS = 50, 32
# Keys of the clocks in the metrics of a run.
WALL, PROCESSOR = "training_minutes", "processor_minutes"


class Look(NamedTuple):
    """The result of one look at a training."""

    step: int
    mota: float
    minutes: float  # of training so far, wall time
    processor_minutes: float | None  # … of the processor; None where it was not measured


class Clock:
    """Minutes of a training, wall and processor, without its pauses.

    :param minutes: what was spent before, by the same two clocks.
    """

    def __init__(self, minutes: tuple[float, float] = (0.0, 0.0)) -> None:
        self._go_on_from(minutes)

    def _go_on_from(self, minutes: tuple[float, float]) -> None:
        wall, processor = minutes
        self._begun = time.perf_counter() - 60 * wall, time.process_time() - 60 * processor

    @contextmanager
    def stopped(self) -> Iterator[tuple[float, float]]:
        """Work inside is not counted; gives the minutes so far."""
        wall, processor = self._begun
        minutes = (time.perf_counter() - wall) / 60, (time.process_time() - processor) / 60
        yield minutes
        self._go_on_from(minutes)


def watched(
    config: Experiment, build: Callable[[Any], Any], folder: Path, device: torch.device, mnist: Path | None
) -> TrainResult:
    """Train, or go on with the training in the folder, and look at it as often as its config says.

    :raises ValueError: if the folder holds a training of another config, or cannot be written.
    """
    resume = RunFolder(folder).state.exists()
    pyro.clear_param_store()
    pyro.set_rng_seed(config.seed)
    program = build(config.model).to(device)
    videos = SyntheticVideos(config.data, config.seed, "train", mnist)
    unseen = SyntheticVideos(config.evaluated, TEST_SEED, "test", mnist)
    clock = Clock(spent(RunFolder.open(folder)) if resume else (0.0, 0.0))

    def look(step: int) -> dict[str, Any]:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        with clock.stopped() as (wall, processor):
            figures = evaluate(program, unseen, config.train.eval_videos, VALIDATION_START)
        print(f"step {step:5}  {wall:6.2f} minutes  MOTA {figures['mota']:.3f}", flush=True)
        return {**without_nan(figures), WALL: wall, PROCESSOR: processor}

    return train(program, videos, config, folder, evaluate=look, resume=resume, progress=False, tensorboard=False)


def spent(folder: RunFolder) -> tuple[float, float]:
    """Minutes of a training up to its checkpoint, wall and processor.

    Checkpoints are written just after a look, as long as both come every so many steps.
    """
    done = load_training_state(folder.state).step
    rows = [row for row in folder.rows() if row.get(WALL) is not None and row["step"] <= done]
    return (rows[-1][WALL], rows[-1][PROCESSOR]) if rows else (0.0, 0.0)


def looked_at_often(config: ExperimentT, mnist: Path | None) -> ExperimentT:
    """The config with a look, and a checkpoint, every few steps; without a file of MNIST, of the bundled digits."""
    train = replace(config.train, eval_every=EVERY, eval_videos=VIDEOS, checkpoint_every=EVERY)
    if config.data.objects == "digits" and mnist is None:
        config = replace(config, data=bundled(config.data), test_data=config.test_data and bundled(config.test_data))
    return replace(with_known_digits(config, mnist), train=train)


def bundled(data: DataConfig) -> DataConfig:
    """The same videos of the digits that need no network."""
    return replace(data, digits="uci")


def looks_of(folder: Path) -> list[Look]:
    """The results of a run at its evaluations.

    :raises ValueError: if the folder holds no run, or one without a MOTA.
    """
    rows = [row for row in RunFolder.open(folder).rows() if row.get("evaluation") and row.get("mota") is not None]
    if not rows:
        raise ValueError(f"{folder} is a run without any MOTA in its metrics, so there is nothing to draw.")
    return [Look(row["step"], row["mota"], row.get(WALL, row["minutes"]), row.get(PROCESSOR)) for row in rows]


def first(looks: Sequence[Look], mota: float) -> Look | None:
    """The first look at which a MOTA was reached; None where it never was."""
    return next((look for look in looks if look.mota >= mota), None)


def summary(looks: Sequence[Look]) -> dict[str, Any]:
    """A training in numbers: when each level was reached, the best, and all looks."""
    reached = {f"{level:.2f}": first(looks, level) for level in LEVELS}
    return {
        "reached": {level: look and look._asdict() for level, look in reached.items()},
        "best": max(looks, key=lambda look: look.mota)._asdict(),
        "looks": [look._asdict() for look in looks],
    }


def lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """A summary for people."""
    yield f"{name}: best MOTA {found['best']['mota']:.3f} at step {found['best']['step']}"
    for level, look in found["reached"].items():
        yield f"    {level}  " + ("not reached" if look is None else when(**look))


def when(step: int, mota: float, minutes: float, processor_minutes: float | None) -> str:
    """The time of a look, in words."""
    processor = "" if processor_minutes is None else f", {processor_minutes:.1f} of the processor"
    return f"after {minutes:.1f} minutes{processor} (step {step}: {mota:.3f})"


def draw(trainings: Mapping[str, Sequence[Look]], path: Path) -> None:
    """MOTA against minutes, of the wall clock and, where it was measured, of the processor."""
    measured = {name: looks for name, looks in trainings.items() if looks[0].processor_minutes is not None}
    panels = {"minutes": trainings, **({"processor_minutes": measured} if measured else {})}
    figure = empty_figure(4.4 * len(panels), 3.4)
    figure.set_layout_engine("constrained")
    for axes, (clock, shown) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, looks in shown.items():
            colour = identity_colour(list(trainings).index(name))
            minutes = [getattr(look, clock) for look in looks]
            axes.plot(minutes, [look.mota for look in looks], ".-", color=colour, linewidth=1.4, label=name)
        dress(axes, "minutes of training" if clock == "minutes" else "minutes of the processor")
    figure.axes[0].legend(fontsize=8, frameon=False, loc="lower right")
    figure.savefig(path, dpi=130, format="png")


def dress(axes: Axes, label: str) -> None:
    """Lines at the levels; what lies below 0 is cut off."""
    for level in LEVELS:
        axes.axhline(level, color="#d0d0d0", linewidth=0.8, zorder=0)
    axes.set_yticks([0, 0.5, *LEVELS])
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.tick_params(labelsize=8, colors=INK)
    axes.set_xlabel(label, fontsize=9, color=INK)
    axes.set_ylabel("MOTA", fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=[], metavar="MODEL", help="to be trained: "
                        f"{', '.join(MODELS)} (default: scalor; none where there are --runs)")  # fmt: skip
    parser.add_argument("--objects", choices=["digits", "sprites"], default="digits", help="default: digits")
    parser.add_argument("--density", choices=list(COUNTS), default="VLD", help="default: VLD")
    parser.add_argument("--steps", type=int, help="of each training (default: what the setting needs)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="a local mnist.npz; else the bundled digits")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("runs/time_to_mota"), help="default: %(default)s"
    )
    parser.add_argument("--runs", nargs="+", type=Path, default=[], metavar="RUN", help="folders of runs to draw, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw them there")
    return parser.parse_args(arguments)


def configure(model: str, options: argparse.Namespace) -> Any:
    """The run of a model that the options ask for."""
    known = preset if model == "scalor" else lambda *setting: baseline(model, *setting)
    config = looked_at_often(known(options.objects, options.density), options.mnist)
    steps = config.train.steps if options.steps is None else options.steps
    return replace(config, seed=options.seed, train=replace(config.train, steps=steps))


@command
def main(arguments: list[str] | None = None) -> int:
    """Train, print, draw."""
    options = parse(arguments)
    trainings: dict[str, list[Look]] = {}
    device = device_of(options.device)
    for model in options.models or ([] if options.runs else ["scalor"]):
        folder = options.out / f"{model}-{options.objects}-{options.density}-{options.seed}"
        if watched(configure(model, options), MODELS[model], folder, device, options.mnist).interrupted:
            print("Interrupted. Run the same command again to continue.")
            return INTERRUPTED
        trainings[model] = looks_of(folder)
    trainings.update({str(folder): looks_of(folder) for folder in options.runs})
    found = {name: summary(looks) for name, looks in trainings.items()}
    for name, each in found.items():
        print("\n".join(lines(name, each)))
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "trainings": found}, indent=1))
    if options.picture:
        draw(trainings, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
