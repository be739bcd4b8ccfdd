"""``scalor generate``: forecasts of a video by a trained run, or videos sampled from its prior."""

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from scalor_pyro.cli.outputs import require_folder
from scalor_pyro.config import AnySceneRunConfig, ConfigError, VideoRunConfig
from scalor_pyro.config.kinds import sees_differences
from scalor_pyro.evaluation.forecasts import PictureErrors, picture_table
from scalor_pyro.experiments.videos import RESULTS, load_figures
from scalor_pyro.inference.generation import MOST, Generated, check_extent, forecast, imagine, set_seed
from scalor_pyro.inference.priors import MOTIONS, first_frame_presence, motion, no_discovery_from
from scalor_pyro.inference.swap_prior import swap_prior
from scalor_pyro.inference.trained import TrainedRun, load
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.generated_files import GenerationFiles
from scalor_pyro.runs.folder import CONFIG
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.tracks.opening import Options, frames_for, require_colour, scalor_for, video_for
from scalor_pyro.training.device import add_device_option, device_of
from scalor_pyro.video import Video

DESCRIPTION = """Forecast how a video continues, or, without a VIDEO, sample new videos of a run's scene.

A forecast observes the first frames, samples continuations, and compares them with the frames that follow. Frames have
the crop, size and stride that a run of `scalor train` was trained with; other runs take whole frames at full size. DIR
then holds film strips (forecast_0.png; a red line separates observed from predicted frames), player.html, the arrays
of all samples (forecast.npz) and the printed figures (forecast.json). For new videos the files are named imagine
instead of forecast, and there are no figures."""
EXAMPLES = """examples:
  scalor generate street.mp4 --weights runs/street --out forecast
  scalor generate street.mp4 --weights runs/street --out forecast --start 900 --observed 10 --frames 30
  scalor generate --weights runs/street --out dreams --samples 6"""
# Options for forecasts and for new videos, with their defaults.
FORECAST: dict[str, Any] = {"observed": 5, "start": 0, "discover": False}
IMAGINE: dict[str, Any] = {"first_presence": None}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "generate",
        help=summary,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("video", nargs="?", type=Path, metavar="VIDEO", help="video of the scene of RUN to forecast")
    add("--weights", metavar="RUN", required=True, help="run folder, or name of packaged weights (see scalor weights)")
    add("--out", type=Path, metavar="DIR", required=True, help="folder for the output")
    add("--overwrite", action="store_true", help="replace existing output")
    add_device_option(parser)
    add(
        "--frames",
        type=int,
        default=15,
        metavar="T",
        help="frames in total (default: %(default)s)",
    )
    add("--samples", type=int, default=10, metavar="S", help="number of samples (default: %(default)s)")
    add("--motion", choices=MOTIONS, default="learned", help="prior of the motion (default: %(default)s)")
    add("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    seeing = parser.add_argument_group("with a VIDEO")
    seeing.add_argument("--observed", type=int, metavar="N", help="number of observed frames (default: 5)")
    first = "first observed frame, counted from 0 in the file (default: 0)"
    seeing.add_argument("--start", type=int, metavar="N", help=first)
    new = "let new objects appear after the observed frames, as often as the trained prior does (default: none appear)"
    seeing.add_argument("--discover", action="store_true", default=None, help=new)
    without = parser.add_argument_group("without a VIDEO")
    cells = "probability that a cell of the first frame holds an object (default: gives about as many objects as in "
    without.add_argument("--first-presence", type=float, metavar="P", help=cells + "the videos of RUN)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Generate, write, and print the errors of a forecast.

    :raises ValueError: for what the user has to put right.
    """
    settle(options)
    require_folder("--out", options.out)
    trained = load(options.weights, device_of(options.device))
    set_seed(options.seed)
    if options.video is None:
        make_up(trained, options)
    else:
        print(f"{options.video.name}\n{picture_table(forecast_one(trained, options))}")
    print(f"\nPictures, player.html and arrays are in {options.out}.")
    return 0


def settle(options: argparse.Namespace) -> None:
    """Fill in the defaults of the options that apply.

    :raises ConfigError: for an option that does not apply, or more samples than a file should hold.
    """
    if options.samples > MOST:
        raise ConfigError(f"--samples: expected at most {MOST:,}, got {options.samples}.")
    used, unused = (IMAGINE, FORECAST) if options.video is None else (FORECAST, IMAGINE)
    for name in unused:
        if getattr(options, name) is not None:
            needed = "needs a VIDEO" if options.video is None else "applies only without a VIDEO"
            raise ConfigError(f"--{name.replace('_', '-')} {needed}.")
    for name, default in used.items():
        if getattr(options, name) is None:
            setattr(options, name, default)


def forecast_one(trained: TrainedRun, options: argparse.Namespace) -> dict[str, Any]:
    """Forecast the video, and compare with the frames that follow.

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
    """The samples, with a progress bar."""
    yield from tqdm(samples, total=options.samples, unit=" samples", leave=False)


def read(trained: TrainedRun, options: argparse.Namespace) -> tuple[Scalor, Tensor]:
    """The model, and the frames of the forecast, observed and later ones, (1, T, C, H, W) in [0, 1].

    :raises ValueError: if the video does not suit the run, or has too few frames.
    """
    config = trained.config
    if sees_differences(config):
        raise ConfigError(
            f"{options.weights}: expected weights that see frames as they are, to forecast a video, got those that see"
            " differences; train some with scalor train --from-scratch."
        )
    if isinstance(config, VideoRunConfig):
        reading = replace(config.video.options, start=options.start, stop=None)
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
            f"{video.path}: expected --frames {options.frames} frames from --start {options.start} on, to compare with,"
            f" got {available} at the run's stride of {video.options.stride}."
        )
    return scalor, frames_for(scalor, chunk)


def make_up(trained: TrainedRun, options: argparse.Namespace) -> None:
    """New videos over the background of the run."""
    files = GenerationFiles(options.out, "imagine", observed=0, overwrite=options.overwrite)
    presence = presence_seen(trained) if options.first_presence is None else options.first_presence
    priors = first_frame_presence(presence) | motion(trained.scalor.config, options.motion)
    samples = counted(imagine(trained.scalor, options.frames, options.samples), options)
    with files, swap_prior(priors):
        files.take(samples)


def presence_seen(trained: TrainedRun) -> float:
    """The probability that a cell holds an object in the training videos.

    :raises ConfigError: if the run does not record how many objects it saw, or saw none.
    """
    if isinstance(trained.config, VideoRunConfig):
        objects, told = load_figures(trained.folder).objects_per_frame, RESULTS
    elif isinstance(trained.config, AnySceneRunConfig):
        objects, told = trained.config.movers.most / 2, CONFIG
    else:
        objects, told = trained.config.data.mean_count, CONFIG
    if not objects > 0:
        raise ConfigError(
            f"The run found no objects ({trained.folder / told}); give --first-presence, the probability that a cell"
            " holds one."
        )
    return objects / trained.config.model.n_cells
