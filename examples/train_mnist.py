"""Train SCALOR on videos of moving digits or sprites, and score how well it finds and tracks them.

    python examples/train_mnist.py
    python examples/train_mnist.py --objects sprites --density MD --background --out runs/sprites
    python examples/train_mnist.py --resume --out runs/sprites
    torchrun --nproc-per-node 2 examples/train_mnist.py --out runs/sprites

Without options it trains on 2–4 moving digits over black; on two cores this takes about ten minutes.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import ConfigError, RunConfig, TrainConfig
from scalor_pyro.config.options import add_option, given
from scalor_pyro.config.presets import PRESETS, paper, preset, setting_of
from scalor_pyro.evaluation.metrics import table
from scalor_pyro.experiments.options import add_run_options, config_of_run, described, with_options
from scalor_pyro.experiments.synthetic import run_experiment
from scalor_pyro.runs.provenance import MadeBy, command_line
from scalor_pyro.training.device import device_of
from scalor_pyro.training.distributed import join


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="The run folder then holds results.json, pictures/, player.html, tracks/ and the weights.",
    )
    what, how = add_run_options(parser, Path("runs/scalor"))
    what.add_argument("--preset", choices=["paper", *PRESETS], help="setting by name, instead of the options above; "
                      "paper: the setting of these options, trained as in the paper")  # fmt: skip
    add_option(how, TrainConfig, "evidence", default="depends on the setting")
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> RunConfig:
    """The config that the options describe."""
    if options.resume and not described(options, "preset", "evidence"):
        return config_of_run(options.out, RunConfig)
    if options.preset in (None, "paper"):
        config = preset(options.objects or "digits", options.density or "VLD", bool(options.background))
        config = paper(config) if options.preset == "paper" else config
    elif any(getattr(options, name) is not None for name in ("objects", "density", "background")):
        raise ConfigError(f"--preset {options.preset} cannot be combined with --objects, --density or --background.")
    else:
        config = PRESETS[options.preset]()
    config = with_options(config, options)
    return replace(config, train=replace(config.train, **given(options, TrainConfig, ("evidence",))))


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    try:
        with join() as world:
            config = world.on_rank_0(lambda: configure(options))
            results = run_experiment(
                config,
                options.out,
                device=device_of(options.device),
                mnist=options.mnist,
                resume=options.resume,
                final_videos=options.eval_videos,
                world=world,
                made_by=MadeBy(command_line(__file__, arguments), setting_of(config)),
            )
            return announce(results, options.out)
    except ConnectionError as error:
        reason = str(error).removesuffix(".")
        raise ConfigError(f"{reason}; pass a local copy with --mnist FILE, or --digits uci.") from error
    except KeyboardInterrupt:  # before the first step, or while the trained model is evaluated
        return announce(None, options.out)


def announce(results: dict[str, Any] | None, folder: Path) -> int:
    """Print the results, or how to continue; returns the exit status."""
    if results is None:
        print(f"Interrupted. To continue: python examples/train_mnist.py --resume --out {folder}")
        return INTERRUPTED
    print(table(results))
    print(f"The pictures, player.html, tracks and weights are in {folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
