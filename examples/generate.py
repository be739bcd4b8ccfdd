"""Generate with a trained model: forecasts, new videos, or reconstructions.

    python examples/generate.py runs/demo --what forecast --observed 5 --frames 10 --samples 20 --videos 100
    python examples/generate.py runs/demo --what imagine --frames 20
    python examples/generate.py runs/demo --what reconstruct
    python examples/generate.py digits-vld --what imagine --out dreams

Forecasts are also scored: position error and MSE by horizon, against holding the last frame and against constant
velocity.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError, RunConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.forecasts import ForecastEvaluation, table
from scalor_pyro.experiments.synthetic import EVALUATION_BATCH, TEST_SEED
from scalor_pyro.inference.generation import check_extent, forecast, imagine, reconstruct, set_seed
from scalor_pyro.inference.priors import MOTIONS, first_frame_presence, motion, no_discovery_from
from scalor_pyro.inference.swap_prior import swap_prior
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.generated_files import GenerationFiles
from scalor_pyro.runs.loading import load_config
from scalor_pyro.runs.pretrained import own_folder
from scalor_pyro.runs.sources import mnist_of

# Index of the first video in the stream of unseen ones: beyond those that runs are evaluated on.
START = 2_000_000
# Options that apply to some choices of --what only, with their defaults.
DEFAULTS: dict[str, dict[str, Any]] = {
    "forecast": {"observed": 5, "videos": 8, "motion": "learned", "mnist": None},
    "imagine": {"first_presence": 0.2, "motion": "learned"},
    "reconstruct": {"videos": 4, "mnist": None},
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", metavar="RUN", help="run folder, or name of packaged weights")
    parser.add_argument("--what", choices=list(DEFAULTS), default="forecast", help="(default: %(default)s)")
    parser.add_argument("--observed", type=int, metavar="N", help="forecast: number of observed frames (default: 5)")
    parser.add_argument(
        "--frames",
        type=int,
        metavar="T",
        default=10,
        help="frames in total (default: %(default)s)",
    )
    parser.add_argument("--samples", type=int, metavar="S", default=10, help="number of samples (default: %(default)s)")
    parser.add_argument("--videos", type=int, metavar="V", help="forecast, reconstruct: unseen videos (default: 8, 4)")
    parser.add_argument("--first-presence", type=float, metavar="P", help="imagine: probability that a cell of the "
                        "first frame holds an object (default: 0.2)")  # fmt: skip
    parser.add_argument("--motion", choices=MOTIONS, help="forecast, imagine: prior of the motion (default: learned)")
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="output folder (default: generated/WHAT in the run, or in runs/NAME for packaged weights)",
    )
    return parser.parse_args(arguments)


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options with the defaults for --what.

    :raises ConfigError: for an option that does not apply to --what, or a count below 1.
    """
    for name in sorted({name for defaults in DEFAULTS.values() for name in defaults}):
        value, defaults = getattr(options, name), DEFAULTS[options.what]
        if value is None:
            setattr(options, name, defaults.get(name))
        elif name not in defaults:
            used = " or ".join(what for what in DEFAULTS if name in DEFAULTS[what])
            raise ConfigError(f"--{name.replace('_', '-')} applies to --what {used}, not {options.what}.")
    for name in ("observed", "frames", "samples", "videos"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name}: expected at least 1, got {value}.")
    options.out = options.out or own_folder(options.run) / "generated" / options.what
    return options


def unseen(config: RunConfig, options: argparse.Namespace) -> SyntheticVideos:
    """Videos like those that the run is evaluated on, long enough for --frames.

    :raises ValueError: if no frame is left to forecast, or the digits are not available.
    """
    data = config.evaluated
    data = replace(data, frames=max(options.frames, data.frames))
    if options.what == "forecast":
        check_extent(options.observed, options.frames, data.frames)
    mnist = mnist_of(options.run, data, options.mnist)
    try:
        videos = SyntheticVideos(data, TEST_SEED, "test", mnist)
    except ConnectionError as error:
        reason = str(error).removesuffix(".")
        raise ConfigError(f"{reason}; pass a local copy with --mnist FILE.") from error
    if mnist is not None:
        print(f"The digits are from {mnist}.")
    return videos


def forecasts(scalor: Scalor, config: RunConfig, options: argparse.Namespace) -> None:
    """Sample the posterior on the first frames and the prior after them, and score the result."""
    videos = unseen(config, options)
    evaluation = ForecastEvaluation(options.observed, options.frames)
    priors = no_discovery_from(options.observed) | motion(scalor.config, options.motion)
    with GenerationFiles(options.out, "forecast", options.observed, overwrite=True) as files, swap_prior(priors):
        for start in range(0, options.videos, EVALUATION_BATCH):
            batch = videos.batch(START + start, min(EVALUATION_BATCH, options.videos - start), options.frames)
            x = batch.tensor(next(scalor.parameters()).device)
            samples = forecast(scalor, x, options.observed, options.frames, options.samples)
            evaluation.add(files.passing(samples, x), x, batch.truth)
        result = evaluation.result()
        about = {"samples": options.samples, "motion": options.motion, "seed": options.seed}
        files.add_figures(result | about)
    print(table(result))


def from_nothing(scalor: Scalor, config: RunConfig, options: argparse.Namespace) -> None:
    """Sample the prior alone, with objects in the first frame."""
    priors = first_frame_presence(options.first_presence) | motion(scalor.config, options.motion)
    with GenerationFiles(options.out, "imagine", observed=0, overwrite=True) as files, swap_prior(priors):
        files.take(imagine(scalor, options.frames, options.samples))


def reconstructions(scalor: Scalor, config: RunConfig, options: argparse.Namespace) -> None:
    """Sample the posterior alone."""
    batch = unseen(config, options).batch(START, options.videos, options.frames)
    x = batch.tensor(next(scalor.parameters()).device)
    with GenerationFiles(options.out, "reconstruct", options.frames, options.videos, overwrite=True) as files:
        files.take(reconstruct(scalor, x, options.samples), x)


@command
def main(arguments: list[str] | None = None) -> int:
    """Generate and write."""
    run(checked(parse(arguments)))
    return 0


def run(options: argparse.Namespace) -> None:
    """Generate with checked options.

    :raises ValueError: for anything that the user has to fix, in one sentence.
    """
    config, scalor = load_config(options.run, RunConfig), Scalor.from_pretrained(options.run)
    scalor.to("cuda" if torch.cuda.is_available() else "cpu")
    set_seed(options.seed)
    generate = {"forecast": forecasts, "imagine": from_nothing, "reconstruct": reconstructions}[options.what]
    generate(scalor, config, options)
    print(f"The pictures, player.html and the arrays are in {options.out}.")


if __name__ == "__main__":
    sys.exit(main())
