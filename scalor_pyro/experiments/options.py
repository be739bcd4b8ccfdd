"""Options of a command that trains on synthetic videos, and the config that they describe."""

import argparse
from dataclasses import replace
from pathlib import Path

from scalor_pyro.config import ConfigError, ConfigT, DataConfig, RunConfig, TrainConfig
from scalor_pyro.config.options import add_option
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


def add_run_options(
    parser: argparse.ArgumentParser, out: Path
) -> tuple[argparse._ArgumentGroup, argparse._ArgumentGroup]:
    """Add them to a command line.

    :param out: the default folder of the run.
    :return: the groups of options about the videos, and about the training.
    """
    what = parser.add_argument_group("what to train on")
    add_option(what, DataConfig, "objects")
    counts = ", ".join(f"{low}-{high}" for low, high in COUNTS.values())
    what.add_argument("--density", choices=list(COUNTS), help=f"number of objects: {counts} (default: VLD)")
    for name in ("background", "frames", "digits"):
        add_option(what, DataConfig, name)
    what.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    how = parser.add_argument_group("how to train")
    add_option(how, TrainConfig, "steps", default="depends on the setting")
    add_option(how, TrainConfig, "minutes")
    how.add_argument("--batch-size", type=int, metavar="B", help="videos per step of the last stage (default: 8)")
    add_option(how, RunConfig, "seed")
    add_option(how, TrainConfig, "start_from")
    add_computing_options(how)
    run = parser.add_argument_group("the run")
    run.add_argument("--out", type=Path, metavar="DIR", default=out, help="folder of the run (default: %(default)s)")
    run.add_argument("--resume", action="store_true", help="continue the run in the folder")
    run.add_argument(
        "--eval-videos", type=int, default=200, metavar="N", help="unseen videos to evaluate on (default: 200)"
    )
    return what, how


def described(options: argparse.Namespace, *further: str) -> bool:
    """Whether an option that describes a run, or one of `further`, was given."""
    return any(getattr(options, name) is not None for name in (*DESCRIBING, *further))


def config_of_run(folder: Path, kind: type[ConfigT]) -> ConfigT:
    """The config of the run to continue."""
    return load_config_to_resume(RunFolder.open(folder), kind)


def with_options(config: ExperimentT, options: argparse.Namespace) -> ExperimentT:
    """The config with the options that were given."""
    data, train = config.data, config.train
    if options.digits is not None:
        if data.objects != "digits":
            raise ConfigError(f"--digits {options.digits}: expected videos of digits, got --objects sprites.")
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
    """Refuse a count below 1."""
    if value < 1:
        raise ConfigError(f"{option}: expected at least 1, got {value}.")
