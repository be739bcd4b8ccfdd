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
from scalor_pyro.config.checks import require
from scalor_pyro.config.options import add_option, default_of, given
from scalor_pyro.config.public import public_preset
from scalor_pyro.evaluation.masks import mask_table
from scalor_pyro.experiments.public import run_public
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config_to_resume
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/public"), metavar="DIR", help="run folder (default: %(default)s)")
    add("--resume", action="store_true", help="continue the run in the folder")
    for name in ("benchmark", "digits"):
        add_option(parser, PublicData, name)
    add("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    for name in ("videos", "seed"):
        add_option(parser, PublicRunConfig, name)
    add_option(parser, TrainConfig, "steps", default="depends on the benchmark")
    for name in ("minutes", "start_from"):
        add_option(parser, TrainConfig, name)
    add("--eval-videos", type=int, default=1000, metavar="N", help="unseen videos to score (default: %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one (default)")
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> PublicRunConfig:
    """The config that the options describe."""
    require(options.eval_videos >= 1, "--eval-videos", options.eval_videos, "at least 1")
    of_data, of_training, of_run = (given(options, kind) for kind in (PublicData, TrainConfig, PublicRunConfig))
    if options.resume:
        settings = ", ".join({**of_data, **of_training, **of_run})
        require(not settings, "--resume", settings, "no settings beside it, because those of the run apply")
        return load_config_to_resume(RunFolder.open(options.out), PublicRunConfig)
    config = public_preset(of_data.get("benchmark", default_of(PublicData, "benchmark")))
    if options.start_from is not None:
        of_training["start_from"] = recorded(options.start_from)
    return replace(config, data=replace(config.data, **of_data), train=replace(config.train, **of_training), **of_run)


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
    if results is None:
        print(f"Interrupted. To continue: python examples/train_public.py --resume --out {options.out}")
        return INTERRUPTED
    print(mask_table({name: results[name] for name in ("online", "offline")}))
    print(f"The weights and results.json are in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
