"""Train a baseline of the paper on the videos that SCALOR is trained on, and score it.

    python examples/baselines.py --model vrnn
    python examples/baselines.py --model sqair --objects sprites --density VLD --out runs/sqair-sprites
    python examples/baselines.py --model sqair --resume --out runs/sqair-sprites

Besides SCALOR's scores (tracking scores only for models with tracks), it measures the likelihood; for SCALOR,
``examples/evaluate.py --nll`` does.
"""

import argparse
import sys
from pathlib import Path

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config.baselines import BaselineRun
from scalor_pyro.evaluation.metrics import table
from scalor_pyro.experiments.baselines import BASELINES, baseline, setting_of
from scalor_pyro.experiments.options import add_run_options, config_of_run, described, with_options
from scalor_pyro.experiments.synthetic import Likelihood, run_experiment
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="The run folder then holds results.json, pictures/ and the weights; for SQAIR also tracks/ and "
        "player.html.",
    )
    parser.add_argument("--model", required=True, choices=list(BASELINES), help="the baseline")
    add_run_options(parser, Path("runs/baseline"))
    likelihood = parser.add_argument_group("likelihood")
    likelihood.add_argument("--nll", type=int, default=10, metavar="N", help="samples per video (default: 10)")
    likelihood.add_argument(
        "--nll-videos", type=int, default=8, metavar="N", help="unseen videos to measure it on (default: 8)"
    )
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> BaselineRun:
    """The config that the options describe."""
    if options.resume and not described(options):
        return config_of_run(options.out, BASELINES[options.model].run)
    objects, density = options.objects or "digits", options.density or "VLD"
    return with_options(baseline(options.model, objects, density, bool(options.background)), options)


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    chosen = BASELINES[options.model]
    try:
        config = configure(options)
        results = run_experiment(
            config,
            options.out,
            build=chosen.build,
            assessment=chosen.assessment,
            likelihood=Likelihood(options.nll, options.nll_videos),
            device=device_of(options.device),
            mnist=options.mnist,
            resume=options.resume,
            final_videos=options.eval_videos,
            made_by=MadeBy(command_line(__file__, arguments), setting_of(config)),
        )
    except KeyboardInterrupt:
        results = None
    if results is None:
        again = f"--model {options.model} --resume --out {options.out}"
        print(f"Interrupted. To continue: python examples/baselines.py {again}")
        return INTERRUPTED
    print(table(results))
    print(f"The pictures and weights are in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
