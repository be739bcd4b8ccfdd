"""``scalor link``: give the tracks of one object one identity, and filter them."""

import argparse
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scalor_pyro.cli.outputs import require_folder
from scalor_pyro.cli.report import units_beside
from scalor_pyro.config import ConfigError, Crop
from scalor_pyro.config.options import add_option, given
from scalor_pyro.evaluation.tables import named_values
from scalor_pyro.files import require_new
from scalor_pyro.tracks.appearance import ENDING as APPEARANCE
from scalor_pyro.tracks.appearance import read_appearance
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.filters import FilterOptions
from scalor_pyro.tracks.finishing import EVENTS, Finished, finish, write_events
from scalor_pyro.tracks.linking import LinkOptions
from scalor_pyro.tracks.summary import printable
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import PART, read_tracks
from scalor_pyro.tracks.units import Units

DESCRIPTION = """Give tracks that are of one object one identity: objects that were hidden, out of view or lost for some
frames, tracks that went over to another object, and two tracks of one object.

TRACKS is a .csv of scalor track, or MOTChallenge text (.txt) of any program. What objects look like is read from
STEM-appearance.npy beside it, which scalor track writes; without it, place and motion alone decide. scalor track links
by itself; scalor link is for other options, and for other programs' tracks.

Written are STEM-linked.csv and .txt, STEM-linked-events.csv (links, overlaps, cuts, splits, merges) and, with
appearances, STEM-linked-appearance.npy; with --out DIR, the same in DIR without -linked."""
EXAMPLES = """examples:
  scalor link out/street.csv --gap 200
  scalor link sort.txt --image-size 1920 1080 --out linked
  scalor link out/street.csv --gap 0 --min-length 10 --fill-gaps 5 --smooth     filters alone"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "link",
        help=summary,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("tracks", nargs="+", type=Path, metavar="TRACKS", help="file (.csv of scalor track, or .txt of any program)")
    add("--out", type=Path, metavar="DIR", help="folder to write to (default: that of TRACKS)")
    add("--overwrite", action="store_true", help="replace existing files")
    add("--appearance", type=Path, metavar="FILE.npy", help="what objects look like (default: STEM-appearance.npy)")
    size = "size of the video's frames in px (default: the smallest that holds all centres)"
    add("--image-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help=size)
    add_finishing_options(parser)
    for name in ("fps", "um_per_px"):
        add_option(parser, Units, name, default="those of STEM.json, which scalor track writes")
    parser.set_defaults(run=run)


def add_finishing_options(parser: argparse._ActionsContainer) -> None:
    """The options of linking and filters."""
    for name in ("gap", "cut", "returns"):
        add_option(parser, LinkOptions, name)
    for name in ("min_length", "min_presence", "fill_gaps", "smooth"):
        add_option(parser, FilterOptions, name)


def run(options: argparse.Namespace) -> int:
    """Link the tracks of one video after the other.

    :raises ValueError: for what the user has to put right.
    """
    linking, filters = LinkOptions(**given(options, LinkOptions)), FilterOptions(**given(options, FilterOptions))
    view = None
    if options.image_size is not None:
        if min(options.image_size) < 1:
            raise ConfigError(f"--image-size: expected at least 1 px, got {' '.join(map(str, options.image_size))}.")
        view = Crop(0, 0, *options.image_size)
    if options.appearance is not None and len(options.tracks) > 1:
        raise ConfigError(f"--appearance belongs to one file of tracks, got {len(options.tracks)}.")
    if options.out is not None:
        require_folder("--out", options.out)
    jobs = [job_of(path, options) for path in options.tracks]
    for job, other in combinations(jobs, 2):
        if job.events == other.events:
            raise ConfigError(f"{job.tracks} and {other.tracks} would both be written to {job.events}; use two calls.")
    for job in jobs:
        tracks = read_tracks(job.tracks)
        seen = tracks.rows(~tracks.predicted)  # gaps can be filled again
        looks = None if job.appearance is None else read_appearance(job.appearance, seen)
        appearance, within = (None, None) if looks is None else looks
        finished = finish(seen, appearance, view, linking, filters, within)
        write(finished, job.files, job.events)
        paths = printable(", ".join(map(str, (*job.files.paths.values(), job.events))))
        by = "place alone" if job.appearance is None else f"place and {printable(job.appearance)}"
        print(f"{printable(job.tracks)}\n{named_values([*rows(seen, finished), ('linked by', by), ('files', paths)])}")
    return 0


class Job(NamedTuple):
    """Tracks to link, and what is written of them."""

    tracks: Path
    appearance: Path | None
    files: TrackFiles
    events: Path


def job_of(path: Path, options: argparse.Namespace) -> Job:
    """What is to be done for a file of tracks.

    :raises ConfigError: if there is none.
    :raises OutputError: for an output that exists.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.")
    stem = Path(path.name.removesuffix(PART)).stem
    beside = path.with_name(f"{stem}{APPEARANCE}")
    appearance: Path | None = options.appearance or (beside if beside.exists() else None)
    name = f"{stem}-linked" if options.out is None else stem
    folder = path.parent if options.out is None else options.out
    events = folder / f"{name}{EVENTS}"
    require_new(events, options.overwrite)
    formats = ["mot", "csv", *([] if appearance is None else ["appearance"])]
    units = units_beside(path, Units(**given(options, Units)))
    return Job(path, appearance, TrackFiles(folder, name, formats, options.overwrite, units), events)


def write(finished: Finished, files: TrackFiles, events: Path) -> None:
    """Write the tracks, their appearances and the events.

    :raises OutputError: if that fails; what was there before is kept.
    """
    with files:
        files.add(finished.tracks, finished.appearance, finished.within)
    write_events(events, finished.linked.events)


def rows(tracks: Tracks, finished: Finished) -> list[tuple[str, str]]:
    """What became of the tracks, in words."""
    before, linked, after = (
        len(np.unique(each.identity)) for each in (tracks, finished.linked.tracks, finished.tracks)
    )
    found = finished.linked.events["event"].value_counts()
    links, overlaps, cuts = (int(found.get(each, 0)) for each in ("link", "overlap", "cut"))
    said = [("tracks", f"{before} became {linked}: {links} links, {overlaps} overlaps and {cuts} cuts")]
    if after < linked:
        said.append(("left out", f"{linked - after} tracks that are too short or too faint; {after} are left"))
    if finished.tracks.predicted.any():
        said.append(("predicted", f"{int(finished.tracks.predicted.sum())} of {len(finished.tracks)} rows"))
    return said
