"""``scalor track``: follow the objects of videos of any length with a trained run."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from scalor_pyro.cli.errors import one_line, sentence_of
from scalor_pyro.cli.link import add_finishing_options
from scalor_pyro.cli.outputs import require_folder
from scalor_pyro.config import ConfigError, VideoRunConfig
from scalor_pyro.config.options import add_option, given
from scalor_pyro.evaluation.tables import named_values, ordinal
from scalor_pyro.files import require_new
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.plots.player import write_player
from scalor_pyro.runs.loading import located
from scalor_pyro.runs.pretrained import ANY_SCENE, recorded
from scalor_pyro.tracks.annotate import ENDING as MOVIE
from scalor_pyro.tracks.annotate import AnnotatedVideo, annotate, rows_of_frames
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.filters import FilterOptions
from scalor_pyro.tracks.finishing import EVENTS, Finished, finish, frame_by_frame, renamed, write_events
from scalor_pyro.tracks.linking import LinkOptions
from scalor_pyro.tracks.masks import ENDING as MASKS
from scalor_pyro.tracks.masks import MaskFolder, rename_masks
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.summary import (
    Made,
    State,
    digest_of,
    locked,
    made_from,
    name_of,
    printable,
    state_of,
    write_summary,
)
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.tracker import Tracked, Tracker, chunk_of, load_for_tracking, tracker_of
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.device import device_of
from scalor_pyro.training.distributed import share_of
from scalor_pyro.training.interruption import StopRequest
from scalor_pyro.video import Chunk, Video

DESCRIPTION = """Follow the objects of a video from its beginning to its end. Without --weights, nothing has to be
trained: the video says how large its objects are and what is behind them, if the camera stands still. With a run of
`scalor train`, or other weights of the package (`scalor weights` lists them), objects are those of the training.

For street.mp4, DIR then holds street.txt (MOTChallenge text: frame, id, box, presence; counted from 1), street.csv
(frame, particle, x, y and more; counted from 0), street.json (a summary) and street.html, which plays the first frames.
Positions are in pixels and frames of the video, even if it was cropped or resized. While a video is being tracked, its
files end in .part; after Ctrl-C they hold the tracks up to that frame. At its end, tracks of one object are linked:
street-events.csv lists the links, and street-appearance.npy is for scalor link, which links again."""
EXAMPLES = """examples:
  scalor track street.mp4 --out tracks
  scalor track street.mp4 --weights runs/street --out tracks
  scalor track day1.mp4 day2.mp4 --weights runs/street --out tracks --annotate
  scalor track street.mp4 --weights runs/street --out tracks --crop 0 0 640 480 --start 1000
  scalor track digits.mp4 --weights digits-vld --out tracks --object-size 40
  torchrun --nproc-per-node 4 -m scalor_pyro track *.mp4 --weights runs/street --out tracks --resume
                                              four processes share the files; so do the tasks of a job array"""
# Frames in the player: each is drawn four times.
PLAYED = 60


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
    add("videos", nargs="+", type=Path, metavar="VIDEO", help="video file, TIFF stack, folder of images, …")
    weights = "run folder, or name of weights (scalor weights lists them); default: %(default)s, for videos that nobody"
    add("--weights", metavar="RUN", default=ANY_SCENE, help=f"{weights} has trained on")
    add("--out", type=Path, metavar="DIR", required=True, help="folder for the tracks")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace existing tracks")
    resume = "skip videos already tracked with these weights and options; track the others from their beginning"
    again.add_argument("--resume", action="store_true", help=resume)
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one (default)")
    add_option(parser, Options, "slots")
    add_option(parser, Options, "background_image", also="--scene")
    add_option(parser, Options, "object_size")
    also = parser.add_argument_group("further output, for street.mp4")
    also.add_argument("--annotate", action="store_true", help="street-tracks.mp4: video with boxes, numbers and trails")
    also.add_argument("--masks", action="store_true", help="street-masks/: which object each pixel belongs to")
    also.add_argument("--napari", action="store_true", help="street-napari.npy: for napari's add_tracks")
    also.add_argument(
        "--player", type=int, default=PLAYED, metavar="N", help="frames in street.html; 0: none (default: %(default)s)"
    )
    part = parser.add_argument_group("part of the video")
    for name in ("crop", "start", "stop", "stride"):
        add_option(part, Options, name)
    inference = parser.add_argument_group("inference")
    for name in ("lookahead", "decide_by", "discover", "go_on"):
        add_option(inference, Options, name)
    end = parser.add_argument_group("at the end of each video")
    unlinked = "leave tracks as they are: objects that return get a new identity; memory does not grow with the video"
    end.add_argument("--no-link", action="store_true", help=unlinked)
    add_finishing_options(end)
    parser.set_defaults(run=run)


class Job(NamedTuple):
    """A video to track, and what is written of it."""

    video: Path
    name: str  # of its files
    made: Made
    files: TrackFiles
    further: dict[str, Path]  # by option: masks, annotate, player, events
    summary: Path

    @property
    def outputs(self) -> dict[str, Path]:
        """All files but the summary."""
        return self.files.paths | self.further


class Failures:
    """Errors of single videos: each is printed, and the other videos go on."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def noted(self, video: Path) -> Iterator[None]:
        """Print what the user has to put right; of a lack of memory, say what helps."""
        try:
            yield
        except (MemoryError, torch.OutOfMemoryError):
            self._note(f"{video}: not enough memory; use --crop, or a larger --object-size, which reduces frames more.")
        except (ValueError, OSError) as error:
            self._note(sentence_of(error) or str(error))

    def _note(self, sentence: str) -> None:
        self.count += 1
        print(f"error: {one_line(printable(sentence))}", file=sys.stderr)


def run(options: argparse.Namespace) -> int:
    """Track the videos one after the other; one that cannot be tracked does not stop the others.

    :return: 0; 2 if a video could not be tracked; 130 if interrupted.
    :raises ValueError: if none can be tracked with these options.
    """
    keep_freed_memory()
    if options.player < 0:
        raise ConfigError(f"--player: expected 0 or more frames, got {options.player}.")
    require_folder("--out", options.out)
    how, ending = how_to_track(options), ending_of(options)
    everything = distinct(options.videos)
    videos = share_of(everything)
    if len(videos) < len(everything):
        print(f"this process's share: {printable(', '.join(map(str, videos))) or 'none'}")
    trained = load_for_tracking(options.weights, device_of(options.device))
    sha256 = digest_of(located(options.weights))
    failures, jobs, done = Failures(), [], 0
    for path in videos:  # all are checked before any work
        with failures.noted(path):
            Video(path)
            job = job_of(path, sha256, how, ending, options)
            if is_done(job, options):
                done += 1
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


def how_to_track(options: argparse.Namespace) -> Options:
    """The options of tracking itself.

    :raises ConfigError: for values that no video can have.
    """
    return Options(**given(options, Options))


class Ending(NamedTuple):
    """What is done when a video is tracked to its end."""

    linking: LinkOptions
    filters: FilterOptions

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return self != Ending(LinkOptions(gap=0), FilterOptions())


def ending_of(options: argparse.Namespace) -> Ending:
    """What is to be done at the end of each video.

    :raises ConfigError: for values out of their range, and for options of linking beside --no-link.
    """
    by_hand = given(options, LinkOptions)
    if options.no_link and by_hand:
        raise ConfigError(f"--{next(iter(by_hand))} cannot be combined with --no-link.")
    linking = LinkOptions(gap=0) if options.no_link else LinkOptions(**by_hand)
    if linking.gap == 0:
        linking = LinkOptions(gap=0)
    return Ending(linking, FilterOptions(**given(options, FilterOptions)))


def distinct(videos: list[Path]) -> list[Path]:
    """The videos, whose tracks must have different names.

    :raises ConfigError: if two have the same.
    """
    by_name: dict[str, Path] = {}
    for path in videos:
        name = name_of(path)
        other = by_name.setdefault(name, path)
        if other is not path:
            raise ConfigError(
                f"{other} and {path} would both be written to {name}.txt; track them in two calls with another --out."
            )
    return videos


def job_of(path: Path, sha256: str, how: Options, ending: Ending, options: argparse.Namespace) -> Job:
    """What is to be done for a video.

    :raises ConfigError: if an output would be one of the videos.
    """
    name, out = name_of(path), options.out
    wanted = {"masks": f"{name}{MASKS}", "annotate": f"{name}{MOVIE}", "player": f"{name}.html"}
    further = {option: out / file for option, file in wanted.items() if getattr(options, option)}
    if ending.linking.gap:
        further["events"] = out / f"{name}{EVENTS}"
    formats = ["mot", "csv", "appearance", *(["napari"] if options.napari else [])]
    files = TrackFiles(out, name, formats, overwrite=True)  # is_done has checked
    made = made_from(path, recorded(options.weights), sha256, how, asdict(ending.linking) | asdict(ending.filters))
    job = Job(path, name, made, files, further, out / f"{name}.json")
    for output in (*job.outputs.values(), job.summary):
        for video in options.videos:
            if output.exists() and video.exists() and output.samefile(video):
                raise ConfigError(f"{path}: its tracks would replace the video {video}; choose another --out.")
    return job


def is_done(job: Job, options: argparse.Namespace, quiet: bool = False) -> bool:
    """Whether a video is tracked already; what will be replaced is said.

    :raises ValueError: if there are tracks that must not be replaced.
    """
    if options.overwrite:
        return False
    if not options.resume:
        for path in (job.summary, *job.outputs.values()):
            require_new(path, overwrite=False)
        return False
    state = state_of(job.summary, job.made, job.outputs)
    there = [path for path in job.outputs.values() if path.exists()]
    if not quiet and state in (State.CHANGED, State.INCOMPLETE):
        print(f"{printable(job.video)}: {state.value}; tracked again.")
    elif not quiet and state is State.NEW and there:
        print(f"{printable(there[0])}: replaced, because {printable(job.summary.name)}, written last, is missing.")
    return state is State.DONE


def say_region(trained: TrainedRun, how: Options) -> None:
    """Say that a --crop of the training also limits tracking."""
    region = trained.config.video.region if isinstance(trained.config, VideoRunConfig) else None
    if region is not None and how.crop is None:
        print(
            f"Only the region of the training is tracked (--crop {region.x} {region.y} {region.width} {region.height});"
            " use --crop for another one, or the whole frame."
        )


def track_one(trained: TrainedRun, job: Job, how: Options, ending: Ending, options: argparse.Namespace) -> bool:
    """Track one video, write all that is asked for, and print a summary; False if it was interrupted."""
    with locked(options.out, job.name):
        if is_done(job, options, quiet=True):
            print(f"{printable(job.video)}: tracked by another process in the meantime.")
            return True
        tracker, video = tracker_of(trained, job.video, how, pictured=options.player)
        try:
            seen = follow_all(tracker, video, job, ending)
        except KeyboardInterrupt:
            print(f"\nInterrupted: the tracks up to then are in {printable(job.files.parts['mot'])} and beside it.")
            return False
        pictured = tracker.pictured
        if ending.any:
            finished = finish(*seen.everything(), video.geometry.crop, *ending)
            rewrite(finished, video, job)
            seen.count_finished(finished)
            pictured = None if pictured is None else renamed(pictured, finished.renaming)
        if pictured is not None:
            numbers, frames, inference = pictured
            title = printable(job.video.name)
            write_player(job.further["player"], frames, inference, title=title, numbers=numbers.tolist())
        write_summary(job.summary, job.made, {"stride": video.options.stride, **seen.figures()})
    rows = [*seen.rows(), *stride_rows(video.options.stride)]
    written = printable(", ".join(map(str, (*job.outputs.values(), job.summary))))
    print(f"{printable(job.video.name)}\n{named_values([*rows, ('files', written)])}")
    return True


def stride_rows(stride: int) -> list[tuple[str, str]]:
    """That some frames have no tracks."""
    return [] if stride == 1 else [("stride", f"every {ordinal(stride)} frame was tracked; --stride 1 tracks all")]


def rewrite(finished: Finished, video: Video, job: Job) -> None:
    """Put the finished tracks in place of those that were written while the video was tracked.

    :raises OutputError: if that fails.
    """
    with job.files as files:
        files.add(finished.tracks, finished.appearance)
    if "events" in job.further:
        write_events(job.further["events"], finished.linked.events)
    if "masks" in job.further:
        rename_masks(job.further["masks"], finished.renaming.of)
    if "annotate" in job.further:
        annotate(video.path, frame_by_frame(finished.tracks), job.further["annotate"], video.options, overwrite=True)


def follow_all(tracker: Tracker, video: Video, job: Job, ending: Ending) -> "Seen":
    """Track a video to its end, and write what is found; the video is decoded once, and once more for --annotate if
    tracks are linked or filtered in the end.

    :raises KeyboardInterrupt: when asked to stop, after the current chunk is written.
    """
    seen = Seen(keep=ending.any)
    with StopRequest() as stop, ExitStack() as writers:
        masks = movie = last = None
        if "annotate" in job.further and not ending.any:
            movie = writers.enter_context(AnnotatedVideo(job.further["annotate"], video, overwrite=True))
        files = writers.enter_context(job.files)
        if "masks" in job.further:
            masks = writers.enter_context(MaskFolder(job.files.folder, job.name, video.geometry, overwrite=True))
        name = printable(video.path.name)
        with tqdm(total=video.expected_frames, desc=name, unit=" frames", leave=False) as bar:
            for chunk in video.chunks(chunk_of(tracker), whole=movie is not None):
                found = tracker.advance(chunk)
                files.add(found.tracks, found.appearance)
                if masks is not None:
                    for number, owner in zip(found.numbers, found.segments(), strict=True):
                        masks.add(int(number), owner)
                if movie is not None:
                    last = add_frames(movie, chunk, found, last)
                seen.add(found)
                bar.update(len(chunk.numbers))
                bar.set_postfix(objects=f"{seen.objects_per_frame:.1f}", refresh=False)
                if stop.requested:
                    raise KeyboardInterrupt
        job.summary.unlink(missing_ok=True)  # an old one must not vouch for the new files
    return seen


def add_frames(movie: AnnotatedVideo, chunk: Chunk, found: Tracked, last: Tracks | None) -> Tracks | None:
    """Annotate the frames of a chunk.

    :param last: rows of the last frame of the chunk before.
    :return: those of this chunk's last frame.
    """
    for frame, rows in zip(chunk.whole, rows_of_frames(found.numbers.tolist(), found.tracks, last), strict=True):
        movie.add(frame, rows)
        last = rows
    return last


class Seen:
    """Figures of a video so far; memory: one number for each track.

    :param keep: keep all tracks and appearances, too.
    """

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self._parts: list[tuple[Tracks, NDArray[np.float32]]] = []
        self.unlinked: int | None = None  # tracks before they were linked
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
        if self._keep and len(found.tracks):
            self._parts.append((found.tracks, found.appearance))
        self.seconds = time.perf_counter() - self._started

    def everything(self) -> tuple[Tracks, NDArray[np.float32]]:
        """All tracks that were kept, and their appearances."""
        tracks, appearances = [part[0] for part in self._parts], [part[1] for part in self._parts]
        return concatenate(tracks), np.concatenate(appearances) if appearances else np.zeros((0, 0), np.float32)

    def count_finished(self, finished: Finished) -> None:
        """From now on, the figures are those of the finished tracks."""
        self._parts, self.unlinked = [], len(self.lengths)
        self.reported, self.lengths = len(finished.tracks), Counter(finished.tracks.identity.tolist())
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
            "tracks_before_linking": len(self.lengths) if self.unlinked is None else self.unlinked,
            "median_track_frames": float(np.median(list(self.lengths.values()))) if self.lengths else 0.0,
            "foreground_share": self.foreground / self.frames,
            "propagation_rate": self.propagated / max(1, self.propagated + self.discovered),
        }

    def rows(self) -> list[tuple[str, str]]:
        """The figures in words."""
        of = self.figures()
        linked = "" if self.unlinked in (None, len(self.lengths)) else f", from {self.unlinked} tracks"
        return [
            ("frames", f"{of['frames']:.0f}, {of['frames_per_second']:.1f} per second"),
            ("objects", f"{of['objects_per_frame']:.1f} per frame"),
            ("identities", f"{of['tracks']:.0f}{linked}; the median track has {of['median_track_frames']:.0f} frames"),
            (
                "propagated",
                f"{of['propagation_rate']:.3f} of the objects after the first frame; the rest are new",
            ),
        ]
