"""What commands share that train on an endless stream of videos: their options, and what they say at the end."""

import argparse
from pathlib import Path
from typing import Any

from scalor_pyro.config import ConfigT, TrainConfig
from scalor_pyro.config.checks import require
from scalor_pyro.config.options import add_option, given
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config_to_resume
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.training.device import add_device_option


def add_stream_options(parser: argparse.ArgumentParser, kind: type, out: Path, steps: str, eval_videos: int) -> None:
    """Add them to a command line.

    :param kind: the config of the run, with fields ``videos`` and ``seed``.
    :param out: the default folder of the run.
    :param steps: what is shown as the default number of steps.
    :param eval_videos: the default number of unseen videos.
    """
    add = parser.add_argument
    add("--out", type=Path, default=out, metavar="DIR", help="run folder (default: %(default)s)")
    add("--resume", action="store_true", help="continue the run in the folder")
    for name in ("videos", "seed"):
        add_option(parser, kind, name)
    add_option(parser, TrainConfig, "steps", default=steps)
    for name in ("minutes", "start_from"):
        add_option(parser, TrainConfig, name)
    add_eval_videos(parser, eval_videos)
    add_device_option(parser)


def add_eval_videos(parser: argparse.ArgumentParser, default: int) -> None:
    """Add the option of how many videos are scored."""
    help_text = "unseen videos to score (default: %(default)s)"
    parser.add_argument("--eval-videos", type=int, default=default, metavar="N", help=help_text)


def require_counts(options: argparse.Namespace, *names: str) -> None:
    """Refuse counts below 1.

    :raises ConfigError: naming the option.
    """
    for name in names:
        value = getattr(options, name)
        require(value >= 1, f"--{name.replace('_', '-')}", value, "at least 1")


def config_to_resume(options: argparse.Namespace, kind: type[ConfigT], *parts: type) -> ConfigT:
    """The config of the run in the folder.

    :param parts: of the config, which options set.
    :raises ConfigError: for settings beside ``--resume``.
    :raises CheckpointError: if there is no such run.
    """
    settings = ", ".join(name for part in (*parts, TrainConfig, kind) for name in given(options, part))
    require(not settings, "--resume", settings, "no settings beside it, because those of the run apply")
    return load_config_to_resume(RunFolder.open(options.out), kind)


def training_given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of training that were given, weights to start from by the name that the run records."""
    found = given(options, TrainConfig)
    return found if options.start_from is None else {**found, "start_from": recorded(options.start_from)}


def ended(results: dict[str, Any] | None, script: str, out: Path) -> bool:
    """Say where the results are, or how to continue.

    :param results: of the run; None if it was interrupted.
    :param script: its ``__file__``.
    :return: whether there are results.
    """
    if results is None:
        print(f"Interrupted. To continue: python examples/{Path(script).name} --resume --out {out}")
        return False
    print(f"The weights and results.json are in {out}.")
    return True
