"""Train the network that tells how large the objects of a video are, on made-up movers.

    python examples/train_sizes.py --out runs/sizes
    python examples/train_sizes.py --out runs/sizes --resume

It brings videos to the scale of the weights for any scene. No data are needed: the videos are made first and held in
memory (0.11 MB each). On one core all of it takes about 30 minutes; an interrupted run continues with --resume.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import SizesRunConfig
from scalor_pyro.config.movers import sizes
from scalor_pyro.config.options import given
from scalor_pyro.evaluation.tables import named_values
from scalor_pyro.experiments.made_up.sizes import run_sizes
from scalor_pyro.experiments.stream_options import (
    add_stream_options,
    config_to_resume,
    ended,
    require_counts,
    training_given,
)
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of

# The scores that are printed.
SHOWN = ("place_error", "side_error", "median_side_error", "bias", "covered")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_stream_options(parser, SizesRunConfig, Path("runs/sizes"), str(sizes().train.steps), eval_videos=400)
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that make videos (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> SizesRunConfig:
    """The config that the options describe."""
    require_counts(options, "workers", "eval_videos")
    if options.resume:
        return config_to_resume(options, SizesRunConfig)
    train = replace(sizes().train, **training_given(options))
    return replace(sizes(), train=train, **given(options, SizesRunConfig))


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    results = run_sizes(
        configure(options),
        options.out,
        device=device_of(options.device),
        resume=options.resume,
        workers=options.workers,
        final_videos=options.eval_videos,
        made_by=MadeBy(command_line(__file__, arguments)),
    )
    if results is not None:
        print(named_values([(name, f"{results[name]:.3f}") for name in SHOWN]))
    return 0 if ended(results, __file__, options.out) else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
