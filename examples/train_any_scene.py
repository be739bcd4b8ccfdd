"""Train a model for any scene: SCALOR on made-up movers, seen as differences from their scene.

    python examples/train_any_scene.py --out runs/any-scene
    python examples/train_any_scene.py --out runs/any-scene --resume
    python examples/train_any_scene.py --out runs/longer --start-from runs/any-scene --steps 20000
    python examples/train_any_scene.py --out runs/taught --start-from any-scene --taught --steps 4000

No data are needed: the videos are made first and held in memory (0.2 MB each). On one core all of it takes about 80
minutes; an interrupted run continues with --resume.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import AnySceneRunConfig, TrainConfig
from scalor_pyro.config.movers import any_scene, further, taught
from scalor_pyro.config.options import add_option, given
from scalor_pyro.evaluation.metrics import table
from scalor_pyro.experiments.made_up.any_scene import run_any_scene
from scalor_pyro.experiments.stream_options import (
    add_stream_options,
    config_to_resume,
    ended,
    require_counts,
    training_given,
)
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_stream_options(parser, AnySceneRunConfig, Path("runs/any-scene"), str(any_scene().train.steps), eval_videos=200)
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that make videos (default: %(default)s)"
    )
    help_text = "learn also from the truth: where the objects of the made-up videos are"
    add_option(parser, TrainConfig, "taught", help=help_text)
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> AnySceneRunConfig:
    """The config that the options describe."""
    require_counts(options, "workers", "eval_videos")
    if options.resume:
        return config_to_resume(options, AnySceneRunConfig)
    config = any_scene() if options.start_from is None else further(any_scene())
    config = taught(config) if options.taught else config
    train = replace(config.train, **training_given(options))
    return replace(config, train=train, **given(options, AnySceneRunConfig))


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    results = run_any_scene(
        configure(options),
        options.out,
        device=device_of(options.device),
        resume=options.resume,
        workers=options.workers,
        final_videos=options.eval_videos,
        made_by=MadeBy(command_line(__file__, arguments)),
    )
    if results is not None:
        print(table(results))
    return 0 if ended(results, __file__, options.out) else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
