"""``scalor generate``: what a trained run expects of a video, or makes up from nothing."""

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from scalor_pyro.config import ConfigError, VideoRunConfig
from scalor_pyro.evaluation.forecasts import PictureErrors, picture_table
from scalor_pyro.experiments.videos import RESULTS, load_figures
from scalor_pyro.inference.generation import Generated, check_extent, forecast, imagine, set_seed
from scalor_pyro.inference.priors import MOTIONS, first_frame_presence, motion, no_discovery_from
from scalor_pyro.inference.swap_prior import swap_prior
from scalor_pyro.inference.trained import TrainedRun, load
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.generated_files import GenerationFiles
from scalor_pyro.runs.folder import CONFIG
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.tracks.tracker import Options, frames_for, require_colour, scalor_for, video_for
from scalor_pyro.training.device import device_of
from scalor_pyro.video import Video

DESCRIPTION = """Forecast how a video goes on, or, without one, make up videos of the scene of a run.

A forecast sees the first frames and draws samples of what may come; they are compared with what came. A frame is one
as a run of `scalor train` was trained on: its crop, its size, its stride; for other runs, all of it as it is. DIR then
holds film strips (forecast_0.png; a red line parts what was seen from what was not), player.html, the arrays of all
samples (forecast.npz) and, of a forecast, the figures that are printed (forecast.json). Videos from nothing are called
imagine instead of forecast."""
EXAMPLES = """examples:
  scalor generate street.mp4 --weights runs/street --out forecast
  scalor generate street.mp4 --weights runs/street --out forecast --start 900 --observed 10 --frames 30
  scalor generate --weights runs/street --out dreams --samples 6"""
# Options of forecasts, and of videos from nothing, with their defaults.
FORECAST: dict[str, Any] = {"observed": 5, "start": 0, "discover": False}
IMAGINE: dict[str, Any] = {"first_presence": None}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "generate",
        help="forecast how a video goes on, or make up videos",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("video", nargs="?", type=Path, metavar="VIDEO", help="a video of the scene of RUN, to be forecast")
    add("--weights", metavar="RUN", required=True, help="folder of a run, or the name of weights (scalor weights)")
    add("--out", type=Path, metavar="DIR", required=True, help="folder for what is generated")
    add("--overwrite", action="store_true", help="replace what is there")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU where there is one")
    add("--frames", type=int, default=15, metavar="T", help="frames in all (default: %(default)s)")
    add("--samples", type=int, default=10, metavar="S", help="how many (default: %(default)s)")
    add("--motion", choices=MOTIONS, default="learned", help="prior of motion (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    seeing = parser.add_argument_group("with a VIDEO")
    seeing.add_argument("--observed", type=int, metavar="N", help="frames that are seen (default: 5)")
    first = "the first of them, counted in frames of the file from 0 (default: 0)"
    seeing.add_argument("--start", type=int, metavar="N", help=first)
    new = "let objects appear after the frames that are seen, as often as the trained prior has it (default: none do)"
    seeing.add_argument("--discover", action="store_true", default=None, help=new)
    without = parser.add_argument_group("without")
    cells = "probability with which a cell of the first frame holds an object (default: so that there are about as "
    without.add_argument("--first-presence", type=float, metavar="P", help=cells + "many as in the videos of RUN)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Generate, write, and print how good a forecast is.

    :raises ValueError: for what the user has to put right.
    """
    settle(options)
    trained = load(options.weights, device_of(options.device))
    set_seed(options.seed)
    if options.video is None:
        make_up(trained, options)
    else:
        print(f"{options.video.name}\n{picture_table(forecast_one(trained, options))}")
    print(f"\nPictures, player.html and arrays are in {options.out}.")
    return 0


def settle(options: argparse.Namespace) -> None:
    """Put in the defaults of the options that there is a use for.

    :raises ConfigError: for an option that there is no use for.
    """
    used, unused = (IMAGINE, FORECAST) if options.video is None else (FORECAST, IMAGINE)
    for name in unused:
        if getattr(options, name) is not None:
            given, expected = ("without", "one") if options.video is None else ("with", "none")
            raise ConfigError(f"--{name.replace('_', '-')} was given {given} a VIDEO, but {expected} was expected.")
    for name, default in used.items():
        if getattr(options, name) is None:
            setattr(options, name, default)


def forecast_one(trained: TrainedRun, options: argparse.Namespace) -> dict[str, Any]:
    """Forecast the video, and compare with what came.

    :return: the figures, by horizon.
    """
    observed = options.observed
    files = GenerationFiles(options.out, "forecast", observed, overwrite=options.overwrite)
    scalor, x = read(trained, options)
    samples = counted(forecast(scalor, x, observed, options.frames, options.samples), options)
    errors = PictureErrors(observed, options.frames, scalor.background_image)
    priors = motion(scalor.config, options.motion) | ({} if options.discover else no_discovery_from(observed))
    with files, swap_prior(priors) if priors else nullcontext():
        files.take(errors.passing(samples, x), x)
        asked = ("start", "samples", "motion", "discover", "seed")
        about = {"video": str(options.video.absolute()), "weights": recorded(options.weights)}
        about |= {name: getattr(options, name) for name in asked}
        files.add_figures({**about, **errors.result()})
    return errors.result()


def counted(samples: Iterator[Generated], options: argparse.Namespace) -> Iterator[Generated]:
    """The samples, and a bar that says how many have come."""
    yield from tqdm(samples, total=options.samples, unit=" samples", leave=False)


def read(trained: TrainedRun, options: argparse.Namespace) -> tuple[Scalor, Tensor]:
    """The frames that are to be forecast, seen or not, (1, T, C, H, W) in [0, 1]; and the model for them.

    :raises ValueError: if the video is another than the run was trained for, or has too few of them.
    """
    if isinstance(trained.config, VideoRunConfig):
        reading = replace(trained.config.video.options, start=options.start, stop=None)
        scalor, video = trained.scalor, Video(options.video, reading)
        require_colour(trained, video)
    else:
        part = Options(start=options.start)
        video = video_for(trained, options.video, part)
        scalor = scalor_for(trained, video, part)
    chunk = next(video.chunks(max(1, options.observed, options.frames)))
    available = len(chunk.numbers)
    check_extent(options.observed, options.frames, available)
    if available < options.frames:
        raise ConfigError(
            f"{video.path} has {available} frames from {options.start} on, at the stride of the run"
            f" ({video.options.stride}), but the {options.frames} of --frames were expected, to compare with."
        )
    return scalor, frames_for(scalor, chunk)


def make_up(trained: TrainedRun, options: argparse.Namespace) -> None:
    """Videos from nothing, over the scene of the run."""
    files = GenerationFiles(options.out, "imagine", observed=0, overwrite=options.overwrite)
    presence = presence_seen(trained) if options.first_presence is None else options.first_presence
    priors = first_frame_presence(presence) | motion(trained.scalor.config, options.motion)
    samples = counted(imagine(trained.scalor, options.frames, options.samples), options)
    with files, swap_prior(priors):
        files.take(samples)


def presence_seen(trained: TrainedRun) -> float:
    """The probability with which a cell holds an object, in the videos that the run was trained on.

    :raises ConfigError: if the run does not say how many objects it saw, or saw none.
    """
    if isinstance(trained.config, VideoRunConfig):
        objects, told = load_figures(trained.folder).objects_per_frame, RESULTS
    else:
        objects, told = (trained.config.data.count_min + trained.config.data.count_max) / 2, CONFIG
    if not objects > 0:
        raise ConfigError(
            f"The run saw no object ({trained.folder / told}), so that --first-presence, how likely a cell shall"
            " hold one, was expected."
        )
    return objects / trained.config.model.n_cells
