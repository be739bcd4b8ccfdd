"""``scalor track``: follow the objects of videos of any length with a trained run."""

import argparse
import json
import logging
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scalor_pyro.cli.rows import table
from scalor_pyro.config import ConfigError
from scalor_pyro.files import require_new, write_atomically
from scalor_pyro.inference.posterior import infer
from scalor_pyro.inference.trained import TrainedRun, load
from scalor_pyro.plots.player import write_player
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.tracks.annotate import ENDING as MOVIE
from scalor_pyro.tracks.annotate import annotate, require_encoder
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.masks import MaskFolder
from scalor_pyro.tracks.text import tracks_by_frame
from scalor_pyro.tracks.tracker import CHUNK, Options, Tracked, Tracker, frames_for, tracker_of
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.device import device_of
from scalor_pyro.training.distributed import share_of
from scalor_pyro.training.interruption import StopRequest
from scalor_pyro.video import Crop, Video
from scalor_pyro.video.camera import CameraWatch

DESCRIPTION = """Follow the objects of a video from its beginning to its end, with what `scalor train` has learned, or
with weights that come with the package (`scalor weights` lists them).

DIR then holds, for street.mp4, street.txt (MOTChallenge text: frame, id, box, presence; counted from 1), street.csv
(frame, particle, x, y and more; counted from 0), street.json (figures) and street.html, which plays the first frames.
Positions are in pixels and frames of the video, whatever was cropped or resized. While tracking goes on, files end in
.part; after Ctrl-C they hold all that was tracked until then."""
EXAMPLES = """examples:
  scalor track street.mp4 --weights runs/street --out tracks
  scalor track day1.mp4 day2.mp4 --weights runs/street --out tracks --annotate
  scalor track street.mp4 --weights runs/street --out tracks --crop 0 0 640 480 --start 1000
  scalor track digits.mp4 --weights digits-vld --out tracks --object-size 40
  torchrun --nproc-per-node 4 -m scalor_pyro track *.mp4 --weights runs/street --out tracks --resume
                                              four processes share the files; so do the tasks of a job array"""
# Frames in the player, unless told otherwise: it draws each of them four times.
PLAYED = 60

logger = logging.getLogger(__name__)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "track",
        help="follow the objects of videos of any length",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("videos", nargs="+", type=Path, metavar="VIDEO", help="video files, TIFF stacks, folders of images, …")
    add("--weights", metavar="RUN", required=True, help="folder of a run, or the name of weights (scalor weights)")
    add("--out", type=Path, metavar="DIR", required=True, help="folder for the tracks")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace tracks that are there")
    again.add_argument("--resume", action="store_true", help="pass over videos that are done; begin the others anew")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU where there is one")
    add("--slots", type=int, metavar="K", help="most objects that are followed at a time (default: as trained)")
    seen = "what the camera sees without objects: the picture in RUN, or the median of the video (default: the first "
    add(
        "--background-image",
        "--scene",
        dest="background_image",
        choices=["auto", "run", "video"],
        default="auto",
        help=seen + "where it fits)",
    )
    side = "side of an object in px of the video, which is then resized so that objects are as large as in training "
    add("--object-size", type=float, metavar="PX", help=side + "(default: its scale, for named weights 1)")
    also = parser.add_argument_group("also written")
    also.add_argument("--annotate", action="store_true", help="street-tracks.mp4: boxes, numbers and trails")
    also.add_argument("--masks", action="store_true", help="street-masks/, which object owns which pixel")
    also.add_argument("--napari", action="store_true", help="street-napari.npy, for napari's add_tracks")
    also.add_argument(
        "--player", type=int, default=PLAYED, metavar="N", help=f"frames in the player (default: {PLAYED})"
    )
    part = parser.add_argument_group("which part of the video (default: the region and stride of the training)")
    corner = "a rectangle in px, X and Y of its upper left corner"
    part.add_argument("--crop", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"), help=corner)
    part.add_argument("--start", type=int, default=0, metavar="N", help="first frame, counted from 0 (default: 0)")
    part.add_argument("--stop", type=int, metavar="N", help="frame before which to stop (default: the end)")
    part.add_argument("--stride", type=int, metavar="N", help="every N-th frame")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Track the videos one after the other.

    :raises ValueError: for what the user has to put right.
    """
    keep_freed_memory()
    if options.player < 0:
        raise ConfigError(f"player is {options.player}, but 0 or more frames were expected.")
    everything = distinct(options.videos)
    videos = share_of(everything)
    if len(videos) < len(everything):
        print(f"this process's share: {', '.join(map(str, videos)) or 'none'}")
    device = device_of(options.device)
    if options.resume:
        left = [path for path in videos if not summary_of(options.out, path).exists()]
        print(f"{len(videos) - len(left)} videos are done, {len(left)} are not.")
        videos = left
    for path in videos:  # all are looked at before any work
        Video(path)
        require_new(summary_of(options.out, path), options.overwrite)
    trained = load(options.weights, device)
    for path in videos:
        if not track_one(trained, path, options):
            return 130
    return 0


def distinct(videos: list[Path]) -> list[Path]:
    """The videos, whose tracks must not have one name.

    :raises ConfigError: if they would.
    """
    by_stem: dict[str, Path] = {}
    for path in videos:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise ConfigError(f"{other} and {path} would both be {path.stem}.txt, but other names were expected.")
    return videos


def summary_of(out: Path, video: Path) -> Path:
    """The file that is written last: where it is, a video is done."""
    return out / f"{video.stem}.json"


def track_one(trained: TrainedRun, path: Path, options: argparse.Namespace) -> bool:
    """Track one video, write all that is asked for, and say what was found; False if it was interrupted."""
    part = Options(
        crop=None if options.crop is None else Crop(*options.crop),
        start=options.start,
        stop=options.stop,
        stride=options.stride,
        slots=options.slots,
        object_size=options.object_size,
        background_image=options.background_image,
    )
    tracker, video = tracker_of(trained, path, part)
    formats = ["mot", "csv", *(["napari"] if options.napari else [])]
    replacing = options.overwrite or options.resume
    files = TrackFiles(options.out, path.stem, formats, replacing)
    masks = MaskFolder(options.out, path.stem, video.geometry, replacing) if options.masks else None
    movie = options.out / f"{path.stem}{MOVIE}"
    if options.annotate:
        require_encoder()
        require_new(movie, replacing)
    try:
        seen = follow_all(tracker, video, files, masks)
    except KeyboardInterrupt:
        print(f"\nInterrupted: what was tracked until then is in {files.parts['mot']} and beside it.")
        return False
    if options.annotate:
        annotate(path, tracks_by_frame(files.paths["mot"]), movie, video.options, replacing)
    if options.player:
        played = frames_for(tracker.scalor, next(video.chunks(options.player)))
        write_player(options.out / f"{path.stem}.html", played, infer(tracker.scalor, played), title=path.name)
    about = {"video": str(path.absolute()), "weights": recorded(options.weights), **seen.figures()}
    write_atomically(summary_of(options.out, path), json.dumps(about, indent=1).encode())
    print(f"{path.name}\n{table(seen.rows())}\n  tracks       {', '.join(str(file) for file in files.paths.values())}")
    return True


def follow_all(tracker: Tracker, video: Video, files: TrackFiles, masks: MaskFolder | None) -> "Seen":
    """Track a video to its end.

    :raises KeyboardInterrupt: when asked to stop, after the chunk in hand is written.
    """
    seen, camera, still = Seen(), CameraWatch(), tracker.scalor.background_image is not None
    with StopRequest() as stop, files, masks or nullcontext():
        with tqdm(total=video.expected_frames, desc=video.path.name, unit=" frames", leave=False) as bar:
            for chunk in video.chunks(CHUNK):
                found = tracker.advance(chunk)
                if still and camera.moves(chunk.frames[0], chunk.frames[-1]):
                    logger.warning("The camera of %s seems to move: what is scene cannot be told.", video.path)
                files.add(found.tracks)
                if masks is not None:
                    for number, owner in zip(found.numbers, found.segments(), strict=True):
                        masks.add(int(number), owner)
                seen.add(found)
                bar.update(len(chunk.numbers))
                bar.set_postfix(objects=f"{seen.objects_per_frame:.1f}", refresh=False)
                if stop.requested:
                    raise KeyboardInterrupt
    return seen


class Seen:
    """What was found in a video so far; holds a number for each track."""

    def __init__(self) -> None:
        self.frames = self.reported = self.propagated = self.discovered = 0
        self.foreground = 0.0  # summed over frames
        self.lengths: Counter[int] = Counter()  # frames in which each identity was reported
        self.seconds, self._started = 0.0, time.perf_counter()

    def add(self, found: Tracked) -> None:
        """Count a chunk."""
        self.frames += len(found.numbers)
        self.reported += len(found.tracks)
        self.propagated += found.propagated
        self.discovered += found.discovered
        self.foreground += found.foreground * len(found.numbers)
        self.lengths.update(found.tracks.identity.tolist())
        self.seconds = time.perf_counter() - self._started

    @property
    def objects_per_frame(self) -> float:
        """Reported objects, mean over frames."""
        return self.reported / self.frames

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return {
            "frames": self.frames,
            "seconds": self.seconds,
            "frames_per_second": self.frames / self.seconds,
            "objects_per_frame": self.objects_per_frame,
            "tracks": len(self.lengths),
            "median_track_frames": float(np.median(list(self.lengths.values()))) if self.lengths else 0.0,
            "foreground_share": self.foreground / self.frames,
            "propagation_rate": self.propagated / max(1, self.propagated + self.discovered),
        }

    def rows(self) -> list[tuple[str, str]]:
        """The figures, in words."""
        of = self.figures()
        return [
            ("frames", f"{of['frames']:.0f}, {of['frames_per_second']:.1f} in a second"),
            ("objects", f"{of['objects_per_frame']:.1f} in a frame"),
            ("identities", f"{of['tracks']:.0f}, half of them for {of['median_track_frames']:.0f} frames or longer"),
            (
                "propagated",
                f"{of['propagation_rate']:.3f} of the objects after the first frame; the others are found anew",
            ),
        ]
