"""Train a model for any scene: SCALOR on made-up movers, seen as differences from their scene.

    python examples/train_any_scene.py --out runs/any-scene
    python examples/train_any_scene.py --out runs/any-scene --resume
    python examples/train_any_scene.py --out runs/longer --start-from runs/any-scene --steps 20000

No data are needed: the videos are made first and held in memory (0.2 MB each). On one core all of it takes about 80
minutes; an interrupted run continues with --resume.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import AnySceneRunConfig, TrainConfig
from scalor_pyro.config.checks import require
from scalor_pyro.config.movers import any_scene, further
from scalor_pyro.config.options import add_option, given
from scalor_pyro.evaluation.metrics import table
from scalor_pyro.experiments.any_scene import run_any_scene
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config_to_resume
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/any-scene"), metavar="DIR", help="run folder (default: %(default)s)")
    add("--resume", action="store_true", help="continue the run in the folder")
    for name in ("videos", "seed"):
        add_option(parser, AnySceneRunConfig, name)
    add_option(parser, TrainConfig, "steps", default=str(any_scene().train.steps))
    for name in ("minutes", "start_from"):
        add_option(parser, TrainConfig, name)
    add("--workers", type=int, default=1, metavar="N", help="processes that make videos (default: %(default)s)")
    add("--eval-videos", type=int, default=200, metavar="N", help="unseen videos to score (default: %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one (default)")
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> AnySceneRunConfig:
    """The config that the options describe."""
    for name in ("workers", "eval_videos"):
        value = getattr(options, name)
        require(value >= 1, f"--{name.replace('_', '-')}", value, "at least 1")
    of_training, of_run = given(options, TrainConfig), given(options, AnySceneRunConfig)
    if options.resume:
        settings = ", ".join({**of_training, **of_run})
        require(not settings, "--resume", settings, "no settings beside it, because those of the run apply")
        return load_config_to_resume(RunFolder.open(options.out), AnySceneRunConfig)
    config = any_scene()
    if options.start_from is not None:
        config, of_training = further(config), {**of_training, "start_from": recorded(options.start_from)}
    return replace(config, train=replace(config.train, **of_training), **of_run)


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
    if results is None:
        print(f"Interrupted. To continue: python examples/train_any_scene.py --resume --out {options.out}")
        return INTERRUPTED
    print(table(results))
    print(f"The weights and results.json are in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
