"""Train on a public benchmark (Sprites-MOT, MNIST-MOT, …) and score by its protocol.

    python examples/train_public.py --out runs/sprites-mot
    python examples/train_public.py --out runs/sprites-mot --resume
    python examples/train_public.py --benchmark mnist-mot --mnist mnist.npz --out runs/mnist-mot

Sprites need no data: videos are made while the model learns. An interrupted run continues with --resume.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import PublicData, PublicRunConfig, TrainConfig
from scalor_pyro.config.options import add_option, default_of, given
from scalor_pyro.config.public import public_preset
from scalor_pyro.evaluation.masks import mask_table
from scalor_pyro.experiments.public import run_public
from scalor_pyro.experiments.stream_options import (
    add_stream_options,
    config_to_resume,
    ended,
    require_counts,
    training_given,
)
from scalor_pyro.experiments.ways import WAYS
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("benchmark", "digits"):
        add_option(parser, PublicData, name)
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    add_stream_options(parser, PublicRunConfig, Path("runs/public"), "depends on the benchmark", eval_videos=1000)
    add_option(parser, TrainConfig, "evidence", default="depends on the benchmark")
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> PublicRunConfig:
    """The config that the options describe."""
    require_counts(options, "eval_videos")
    if options.resume:
        return config_to_resume(options, PublicRunConfig, PublicData)
    data, run = given(options, PublicData), given(options, PublicRunConfig)
    config = public_preset(data.get("benchmark", default_of(PublicData, "benchmark")))
    train = replace(config.train, **training_given(options))
    return replace(config, data=replace(config.data, **data), train=train, **run)


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    results = run_public(
        configure(options),
        options.out,
        device=device_of(options.device),
        mnist=options.mnist,
        resume=options.resume,
        final_videos=options.eval_videos,
        made_by=MadeBy(command_line(__file__, arguments)),
    )
    if results is not None:
        print(mask_table({name: results[name] for name in WAYS}))
    return 0 if ended(results, __file__, options.out) else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
