"""What is to be done for each video of a call, and whether it is done already."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch

from scalor_pyro.cli.errors import one_line, sentence_of
from scalor_pyro.config import ConfigError
from scalor_pyro.config.options import given
from scalor_pyro.files import require_new
from scalor_pyro.plots.report import ENDING as REPORT
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.tracks.annotate import ENDING as MOVIE
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.filters import FilterOptions
from scalor_pyro.tracks.finishing import EVENTS
from scalor_pyro.tracks.linking import LinkOptions
from scalor_pyro.tracks.masks import ENDING as MASKS
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.summary import Made, State, made_from, name_of, printable, state_of
from scalor_pyro.tracks.units import Units
from scalor_pyro.video import Video


class Job(NamedTuple):
    """A video to track, and what is written of it."""

    video: Path
    name: str  # of its files
    made: Made
    files: TrackFiles
    further: dict[str, Path]  # by option: masks, annotate, player, report, events
    summary: Path
    units: Units  # that were given

    @property
    def outputs(self) -> dict[str, Path]:
        """All files but the summary."""
        return self.files.paths | self.further


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


def how_to_track(options: argparse.Namespace) -> Options:
    """The options of tracking itself.

    :raises ConfigError: for values that no video can have.
    """
    return Options(**given(options, Options))


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
    wanted["report"] = f"{name}{REPORT}"
    further = {option: out / file for option, file in wanted.items() if getattr(options, option)}
    if ending.linking.gap:
        further["events"] = out / f"{name}{EVENTS}"
    formats = ["mot", "csv", "appearance", *(["napari"] if options.napari else [])]
    units = units_for(path, options)
    files = TrackFiles(out, name, formats, overwrite=True, units=units)  # is_done has checked
    further_options = asdict(ending.linking) | asdict(ending.filters) | asdict(units)
    made = made_from(path, recorded(options.weights), sha256, how, further_options)
    job = Job(path, name, made, files, further, out / f"{name}.json", units)
    for output in (*job.outputs.values(), job.summary):
        for video in options.videos:
            if output.exists() and video.exists() and output.samefile(video):
                raise ConfigError(f"{path}: its tracks would replace the video {video}; choose another --out.")
    return job


def units_for(path: Path, options: argparse.Namespace) -> Units:
    """The units that were given; where only the size of a pixel was, with the frame rate of the file.

    :raises ConfigError: for values out of their range.
    :raises VideoError: if the video cannot be read.
    """
    units = Units(**given(options, Units))
    return units.or_rate(Video(path).info.rate) if units else units


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
    # A report that is missing can be made from the other files.
    needed = {name: path for name, path in job.outputs.items() if name != "report"}
    state = state_of(job.summary, job.made, needed)
    there = [path for path in job.outputs.values() if path.exists()]
    if not quiet and state in (State.CHANGED, State.INCOMPLETE):
        print(f"{printable(job.video)}: {state.value}; tracked again.")
    elif not quiet and state is State.NEW and there:
        print(f"{printable(there[0])}: replaced, because {printable(job.summary.name)}, written last, is missing.")
    return state is State.DONE


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
