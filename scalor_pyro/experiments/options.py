"""The options of a command that trains on synthetic videos, and the config that they ask for."""

import argparse
from dataclasses import replace
from pathlib import Path

from scalor_pyro.config import ConfigError, ConfigT
from scalor_pyro.config.presets import COUNTS
from scalor_pyro.experiments.synthetic import ExperimentT
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config_to_resume
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.training.device import add_computing_options, computing

# Options that describe the run; --resume takes them from the folder instead.
DESCRIBING = (
    *("objects", "density", "background", "frames", "steps", "minutes", "batch_size", "seed", "digits"),
    *("start_from", "precision", "capture"),
)


def add_run_options(parser: argparse.ArgumentParser, out: Path) -> argparse._ArgumentGroup:
    """Add them to a command line.

    :param out: the folder of the run where none is given.
    :return: the group of options that say what to train on.
    """
    what = parser.add_argument_group("what to train on")
    what.add_argument("--objects", choices=["digits", "sprites"], help="what moves (default: digits)")
    what.add_argument(
        "--density", choices=list(COUNTS), help="how many: 2-4, 8-11, 18-24, 50-64, 90-110 (default: VLD)"
    )
    what.add_argument("--background", action="store_true", default=None, help="a moving background instead of black")
    what.add_argument("--frames", type=int, help="length of a video in frames (default: 10)")
    what.add_argument("--digits", choices=["auto", "mnist", "uci"], help="where digits come from: MNIST, or "
                      "scikit-learn's bundled ones; auto: MNIST where it can be had (default)")  # fmt: skip
    what.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    how = parser.add_argument_group("how to train")
    how.add_argument("--steps", type=int, help="budget in training steps (default: what the setting needs)")
    how.add_argument("--minutes", type=float, help="budget in minutes instead")
    how.add_argument("--batch-size", type=int, metavar="B", help="videos in a step of the longest videos (default: 8)")
    how.add_argument("--seed", type=int, help="of weights, noise and videos (default: 0)")
    how.add_argument("--start-from", metavar="RUN", help="begin with the weights of a run, or of that name, instead of "
                     "random ones, as far as they fit")  # fmt: skip
    add_computing_options(how)
    run = parser.add_argument_group("the run")
    run.add_argument("--out", type=Path, metavar="DIR", default=out, help="folder (default: %(default)s)")
    run.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    run.add_argument(
        "--eval-videos", type=int, default=200, metavar="N", help="unseen videos at the end (default: 200)"
    )
    return what


def described(options: argparse.Namespace, *further: str) -> bool:
    """Whether one of the options that describe a run, or of further ones, was given."""
    return any(getattr(options, name) is not None for name in (*DESCRIBING, *further))


def config_of_run(folder: Path, kind: type[ConfigT]) -> ConfigT:
    """The config of the run to go on with."""
    return load_config_to_resume(RunFolder.open(folder), kind)


def with_options(config: ExperimentT, options: argparse.Namespace) -> ExperimentT:
    """The config, changed by the options that were given."""
    data, train = config.data, config.train
    if options.digits is not None:
        if data.objects != "digits":
            raise ConfigError(f"--digits {options.digits} says where digits come from, but the videos show sprites.")
        data = replace(data, digits=options.digits)
    if options.frames is not None:
        _at_least_1("--frames", options.frames)
        data = replace(data, frames=options.frames)
        stages = tuple(replace(stage, frames=min(stage.frames, options.frames)) for stage in train.curriculum)
        train = replace(train, curriculum=stages)
    if options.batch_size is not None:
        _at_least_1("--batch-size", options.batch_size)
        share = options.batch_size / train.curriculum[-1].batch
        stages = tuple(replace(stage, batch=max(1, round(stage.batch * share))) for stage in train.curriculum)
        train = replace(train, curriculum=stages)
    if options.steps is not None:
        _at_least_1("--steps", options.steps)
        train = replace(train, steps=options.steps)
    if options.start_from is not None:
        train = replace(train, start_from=recorded(options.start_from))
    train = replace(train, minutes=options.minutes, **computing(options))
    return replace(config, data=data, train=train, seed=options.seed or 0)


def _at_least_1(option: str, value: int) -> None:
    """Refuse a count of none."""
    if value < 1:
        raise ConfigError(f"{option} is {value}, but at least 1 was expected.")
