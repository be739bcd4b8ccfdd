"""Train SCALOR on videos of moving digits or sprites, and show how well it finds and tracks them.

    python examples/train_mnist.py
    python examples/train_mnist.py --objects sprites --density MD --background --out runs/sprites
    python examples/train_mnist.py --resume --out runs/sprites
    torchrun --nproc-per-node 2 examples/train_mnist.py --out runs/sprites

Without any option it trains on 2–4 moving digits over black, for about ten minutes on two cores.
"""

import argparse
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalor_pyro.checkpoint import load_training_state
from scalor_pyro.config import ConfigError, RunConfig, config_from_dict
from scalor_pyro.device import device_of
from scalor_pyro.distributed import join
from scalor_pyro.experiment import run_experiment
from scalor_pyro.metrics import table
from scalor_pyro.presets import COUNTS, PRESETS, paper, preset
from scalor_pyro.run_folder import RunFolder

# Options that describe the run; --resume takes them from the folder instead.
DESCRIBING = (
    "objects",
    "density",
    "background",
    "preset",
    "frames",
    "steps",
    "minutes",
    "batch_size",
    "seed",
    "digits",
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="The folder of the run then holds results.json, pictures/, player.html, tracks/ and the weights.",
    )
    what = parser.add_argument_group("what to train on")
    what.add_argument("--objects", choices=["digits", "sprites"], help="what moves (default: digits)")
    what.add_argument(
        "--density", choices=list(COUNTS), help="how many: 2-4, 8-11, 18-24, 50-64, 90-110 (default: VLD)"
    )
    what.add_argument("--background", action="store_true", default=None, help="a moving background instead of black")
    what.add_argument("--frames", type=int, help="length of a video in frames (default: 10)")
    what.add_argument("--digits", choices=["auto", "mnist", "uci"], help="where digits come from: MNIST, or "
                      "scikit-learn's bundled ones; auto: MNIST where it can be had (default)")  # fmt: skip
    what.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    what.add_argument("--preset", choices=["paper", *PRESETS], help="a setting by name instead of the options above; "
                      "'paper': the setting of these options, trained as in the paper")  # fmt: skip
    how = parser.add_argument_group("how to train")
    how.add_argument("--steps", type=int, help="budget in training steps (default: what the setting needs)")
    how.add_argument("--minutes", type=float, help="budget in minutes instead")
    how.add_argument("--batch-size", type=int, metavar="B", help="videos in a step of the longest videos (default: 8)")
    how.add_argument("--seed", type=int, help="of weights, noise and videos (default: 0)")
    how.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU where there is one")
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("runs/scalor"), help="folder (default: %(default)s)"
    )
    run.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    run.add_argument(
        "--eval-videos", type=int, default=200, metavar="N", help="unseen videos at the end (default: 200)"
    )
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> RunConfig:
    """The config that the options ask for."""
    if options.resume and all(getattr(options, name) is None for name in DESCRIBING):
        return config_of_run(options.out)
    if options.preset in (None, "paper"):
        config = preset(options.objects or "digits", options.density or "VLD", bool(options.background))
        config = paper(config) if options.preset == "paper" else config
    elif any(getattr(options, name) is not None for name in ("objects", "density", "background")):
        raise ConfigError(f"--preset {options.preset} says what to train on: no --objects, --density or --background.")
    else:
        config = PRESETS[options.preset]()
    return with_options(config, options)


def config_of_run(folder: Path) -> RunConfig:
    """The config of the run to go on with."""
    state = load_training_state(RunFolder.open(folder).state)
    return config_from_dict(RunConfig, json.loads(state.config))


def with_options(config: RunConfig, options: argparse.Namespace) -> RunConfig:
    """The config, changed by the options that were given."""
    data, train = config.data, config.train
    if options.digits is not None:
        if data.objects != "digits":
            raise ConfigError(f"--digits {options.digits} says where digits come from, but the videos show sprites.")
        data = replace(data, digits=options.digits)
    if options.frames is not None:
        at_least_1("--frames", options.frames)
        data = replace(data, frames=options.frames)
        stages = tuple(replace(stage, frames=min(stage.frames, options.frames)) for stage in train.curriculum)
        train = replace(train, curriculum=stages)
    if options.batch_size is not None:
        at_least_1("--batch-size", options.batch_size)
        share = options.batch_size / train.curriculum[-1].batch
        stages = tuple(replace(stage, batch=max(1, round(stage.batch * share))) for stage in train.curriculum)
        train = replace(train, curriculum=stages)
    if options.steps is not None:
        at_least_1("--steps", options.steps)
        train = replace(train, steps=options.steps)
    train = replace(train, minutes=options.minutes)
    return replace(config, data=data, train=train, seed=options.seed or 0)


def at_least_1(option: str, value: int) -> None:
    """Refuse a count of none."""
    if value < 1:
        raise ConfigError(f"{option} is {value}, but at least 1 was expected.")


def main(arguments: list[str] | None = None) -> int:
    """Train and report; 2 for what the user has to put right, 130 when interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = parse(arguments)
    try:
        with join() as world:
            results = run_experiment(
                world.lead(lambda: configure(options)),
                options.out,
                device=device_of(options.device),
                mnist=options.mnist,
                resume=options.resume,
                final_videos=options.eval_videos,
                world=world,
            )
            return announce(results, options.out)
    except ConnectionError as error:
        reason = str(error).removesuffix(".")
        print(f"error: {reason}: a file named by --mnist, or --digits uci, was expected.", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first step, or while the trained model is evaluated
        return announce(None, options.out)


def announce(results: dict[str, Any] | None, folder: Path) -> int:
    """Print how the training ended, and give its exit status."""
    if results is None:
        print(f"Interrupted; go on with: python examples/train_mnist.py --resume --out {folder}")
        return 130
    print(table(results))
    print(f"Pictures, player.html, tracks and weights are in {folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
