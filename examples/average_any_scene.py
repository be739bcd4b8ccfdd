"""Average the weights of several trainings for any scene that went on from the same weights.

    python examples/train_any_scene.py --out runs/one --start-from any-scene --taught --steps 4000
    python examples/train_any_scene.py --out runs/two --start-from any-scene --taught --steps 4000 --seed 1
    python examples/average_any_scene.py runs/one runs/two --out runs/mean

The mean may be better than each of them, and is as fast: compare the scores.
"""

import argparse
import sys
from pathlib import Path

from scalor_pyro.cli.errors import command
from scalor_pyro.evaluation.metrics import table
from scalor_pyro.experiments.made_up.averaging import average_any_scene
from scalor_pyro.experiments.stream_options import add_eval_videos, require_counts
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import add_device_option, device_of


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs, at least two")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the mean")
    add_eval_videos(parser, 200)
    add_device_option(parser)
    return parser.parse_args(arguments)


@command
def main(arguments: list[str] | None = None) -> int:
    """Average, score and print."""
    options = parse(arguments)
    require_counts(options, "eval_videos")
    results = average_any_scene(
        options.runs,
        options.out,
        device=device_of(options.device),
        final_videos=options.eval_videos,
        made_by=MadeBy(command_line(__file__, arguments)),
    )
    print(table(results))
    print(f"The weights and results.json are in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
