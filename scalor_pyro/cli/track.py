"""``scalor track``: follow the objects of videos of any length with a trained run."""

import argparse
import logging
import sys
from pathlib import Path

from scalor_pyro.cli.link import add_finishing_options
from scalor_pyro.cli.outputs import require_folder
from scalor_pyro.cli.report import report_from_files
from scalor_pyro.cli.tracking.following import track_one
from scalor_pyro.cli.tracking.jobs import Failures, distinct, ending_of, how_to_track, is_done, job_of
from scalor_pyro.config import ConfigError, VideoRunConfig
from scalor_pyro.config.options import add_option
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.runs.loading import located
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.annotate import require_encoder
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.summary import digest_of, printable
from scalor_pyro.tracks.tracker import load_for_tracking
from scalor_pyro.tracks.units import Units
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.device import device_of
from scalor_pyro.training.distributed import share_of
from scalor_pyro.video import Video, VideoError

DESCRIPTION = """Follow the objects of a video from its beginning to its end. Without --weights, nothing has to be
trained: the video says how large its objects are and what is behind them, if the camera stands still. With a run of
`scalor train`, or other weights of the package (`scalor weights` lists them), objects are those of the training.

For street.mp4, DIR then holds street.txt (MOTChallenge text: frame, id, box, presence; counted from 1), street.csv
(frame, particle, x, y and more; counted from 0), street.json (a summary) and street-report.html, to look at in a
browser: the video with boxes and trails, paths, speeds, sizes, and what is worth checking. Positions are in pixels
and frames of the video, even if it was cropped or resized; with --um-per-px, the CSV also has them in µm. While a
video is being tracked, its files end in .part; after Ctrl-C they hold the tracks up to that frame. At its end, tracks
of one object are linked: street-events.csv lists the links, and street-appearance.npy is for scalor link, which links
again."""
EXAMPLES = """examples:
  scalor track street.mp4 --out tracks
  scalor track street.mp4 --weights runs/street --out tracks
  scalor track day.mp4 --out tracks --processes 8
  scalor track day1.mp4 day2.mp4 --weights runs/street --out tracks --annotate
  scalor track street.mp4 --weights runs/street --out tracks --crop 0 0 640 480 --start 1000
  scalor track street.mp4 --out tracks --object-size 29 81
  scalor track digits.mp4 --weights digits-vld --out tracks --object-size 40
  scalor track cells.tif --out tracks --fps 0.5 --um-per-px 0.325      columns in seconds and µm, too
  torchrun --nproc-per-node 4 -m scalor_pyro track *.mp4 --weights runs/street --out tracks --resume
                                              four processes share the files; so do the tasks of a job array"""
logger = logging.getLogger(__name__)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "track",
        help=summary,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("videos", nargs="+", type=Path, metavar="VIDEO", help="video file, TIFF stack, folder of images, …")
    weights = "run folder, or name of weights (scalor weights lists them); default: %(default)s, for videos that nobody"
    add("--weights", metavar="RUN", default=ANY_SCENE, help=f"{weights} has trained on")
    add("--out", type=Path, metavar="DIR", required=True, help="folder for the tracks")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace existing tracks")
    resume = "skip videos already tracked with these weights and options; track the others from their beginning"
    again.add_argument("--resume", action="store_true", help=resume)
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one (default)")
    side_by_side = "track this many parts of a long video at the same time, each by a process of its own (default: 1)"
    add("--processes", type=int, default=1, metavar="N", help=side_by_side)
    add_option(parser, Options, "slots")
    add_option(parser, Options, "background_image", also="--scene")
    add_option(parser, Options, "object_size")
    add_option(parser, Options, "example")
    add_option(parser, Options, "sizes")
    also = parser.add_argument_group("further output, for street.mp4")
    also.add_argument("--annotate", action="store_true", help="street-tracks.mp4: video with boxes, numbers and trails")
    also.add_argument("--masks", action="store_true", help="street-masks/: which object each pixel belongs to")
    also.add_argument("--napari", action="store_true", help="street-napari.npy: for napari's add_tracks")
    player = "street.html: what the model sees in the first N frames, side by side (default: 0, none)"
    also.add_argument("--player", type=int, default=0, metavar="N", help=player)
    also.add_argument("--no-report", dest="report", action="store_false", help="leave out street-report.html")
    units = parser.add_argument_group("units of further columns in the CSV, and of the report")
    for name in ("fps", "um_per_px"):
        add_option(units, Units, name)
    part = parser.add_argument_group("part of the video")
    for name in ("crop", "start", "stop", "stride"):
        add_option(part, Options, name)
    inference = parser.add_argument_group("inference")
    for name in ("lookahead", "decide_by", "discover", "go_on", "boxes"):
        add_option(inference, Options, name)
    end = parser.add_argument_group("at the end of each video")
    unlinked = "leave tracks as they are: objects that return get a new identity; memory does not grow with the video"
    end.add_argument("--no-link", action="store_true", help=unlinked)
    add_finishing_options(end)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Track the videos one after the other; one that cannot be tracked does not stop the others.

    :return: 0; 2 if a video could not be tracked; 130 if interrupted.
    :raises ValueError: if none can be tracked with these options.
    """
    keep_freed_memory()
    if options.player < 0:
        raise ConfigError(f"--player: expected 0 or more frames, got {options.player}.")
    if options.processes < 1:
        raise ConfigError(f"--processes: expected at least 1, got {options.processes}.")
    require_folder("--out", options.out)
    how, ending = how_to_track(options), ending_of(options)
    everything = distinct(options.videos)
    videos = share_of(everything)
    if len(videos) < len(everything):
        print(f"this process's share: {printable(', '.join(map(str, videos))) or 'none'}")
    trained = load_for_tracking(options.weights, device_of(options.device))
    sha256 = digest_of(located(options.weights))
    if options.report:
        options.report = can_encode()
    failures, jobs, done = Failures(), [], 0
    for path in videos:  # all are checked before any work
        with failures.noted(path):
            Video(path)
            job = job_of(path, sha256, how, ending, options)
            if is_done(job, options):
                done += 1
                if "report" in job.further and not job.further["report"].exists():
                    report_from_files(job.files.paths["csv"], path, job.further["report"], job.units)
            else:
                jobs.append(job)
    if options.resume:
        print(f"{done} of {len(videos)} videos are tracked already.")
    if jobs:
        say_region(trained, how)
    for job in jobs:
        with failures.noted(job.video):
            if not track_one(trained, job, how, ending, options):
                return 130
    if failures.count and len(videos) > 1:
        print(f"{failures.count} of {len(videos)} videos could not be tracked (see the errors above).", file=sys.stderr)
    return 2 if failures.count else 0


def can_encode() -> bool:
    """Whether the film of a report can be made; if not, a warning says so."""
    try:
        require_encoder()
    except VideoError as error:
        logger.warning("%s No report is written.", error)
        return False
    return True


def say_region(trained: TrainedRun, how: Options) -> None:
    """Say that a --crop of the training also limits tracking."""
    region = trained.config.video.region if isinstance(trained.config, VideoRunConfig) else None
    if region is not None and how.crop is None:
        print(
            f"Only the region of the training is tracked (--crop {region.x} {region.y} {region.width} {region.height});"
            " use --crop for another one, or the whole frame."
        )
