"""Train the weights for any scene: SCALOR on made-up movers, seen as differences from their scene.

    python examples/train_any_scene.py --out runs/any-scene
    python examples/train_any_scene.py --out runs/any-scene --resume
    python examples/train_any_scene.py --out runs/longer --start-from runs/any-scene --steps 20000

No data are needed: the videos are made first and held in memory. On one core it takes about 80 minutes. The run folder
is what `scalor track --weights` takes.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import pyro

from scalor_pyro.cli.errors import command
from scalor_pyro.config import AnySceneRunConfig, TrainConfig
from scalor_pyro.config.movers import any_scene
from scalor_pyro.config.options import add_option, given
from scalor_pyro.evaluation.metrics import table
from scalor_pyro.experiments.any_scene import train_on_movers
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.loading import load_config
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/any-scene"), metavar="DIR", help="run folder (default: %(default)s)")
    add("--resume", action="store_true", help="go on with the run in DIR")
    add("--videos", type=int, default=4000, metavar="N", help="made-up videos to train on (default: %(default)s)")
    add("--workers", type=int, default=1, metavar="N", help="processes that make videos (default: %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one (default)")
    add_option(parser, AnySceneRunConfig, "seed")
    for name in ("steps", "minutes", "start_from"):
        add_option(parser, TrainConfig, name)
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> AnySceneRunConfig:
    """The config that the options describe."""
    if options.resume:
        found: AnySceneRunConfig = load_config(options.out, AnySceneRunConfig)
        return found
    config = any_scene()
    seed = config.seed if options.seed is None else options.seed
    return replace(config, seed=seed, train=replace(config.train, **given(options, TrainConfig)))


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    config = configure(options)
    pyro.set_rng_seed(config.seed)
    scalor = Scalor(config.model).to(device_of(options.device))
    results = train_on_movers(
        scalor,
        config,
        options.out,
        videos=options.videos,
        workers=options.workers,
        resume=options.resume,
        made_by=MadeBy(command_line(__file__, arguments)),
    )
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
