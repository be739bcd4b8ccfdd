"""Train the network that tells objects apart, for linking in any scene, on made-up movers.

    python examples/train_embedding.py --out runs/embedding
    python examples/train_embedding.py --out runs/embedding --resume

No data are needed: made-up videos are tracked first with the weights for any scene, and glimpses of their objects held
in memory (0.39 MB for each video). On one core that takes 25 minutes, and training 35. An interrupted run
continues with --resume, which makes the same glimpses again.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import EmbeddingRunConfig
from scalor_pyro.config.movers import embedding
from scalor_pyro.config.options import given
from scalor_pyro.evaluation.tables import named_values
from scalor_pyro.experiments.made_up.embedding import run_embedding
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
SHOWN = ("right", "chance")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_stream_options(
        parser, EmbeddingRunConfig, Path("runs/embedding"), str(embedding().train.steps), eval_videos=200
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that make videos (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> EmbeddingRunConfig:
    """The config that the options describe."""
    require_counts(options, "workers", "eval_videos")
    if options.resume:
        return config_to_resume(options, EmbeddingRunConfig)
    train = replace(embedding().train, **training_given(options))
    return replace(embedding(), train=train, **given(options, EmbeddingRunConfig))


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    results = run_embedding(
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
