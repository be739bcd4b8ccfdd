"""``scalor report``: make the report of a tracked video again, or that of another program's tracks."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from scalor_pyro.cli.outputs import require_new_output
from scalor_pyro.config import ConfigError, ReadOptions, config_from_dict
from scalor_pyro.config.options import add_option, given
from scalor_pyro.plots.report import ENDING, About, write_report
from scalor_pyro.tracks.finishing import EVENTS
from scalor_pyro.tracks.summary import SummaryError, printable, read_summary
from scalor_pyro.tracks.text import PART, read_tracks
from scalor_pyro.tracks.units import Units
from scalor_pyro.video import Video

DESCRIPTION = """Make a page to look at from tracks and their video: the video with boxes and trails, paths, speeds,
sizes, and what is worth checking. It is one file of at most 5 MB that needs no network; scalor track makes it, too.

TRACKS is a .csv of scalor track or scalor link, or MOTChallenge text (.txt) of any program. STEM.json beside it says
which video it is of, and which part of it was tracked; without it, name the video. STEM-events.csv, if it is there,
says which links are doubtful."""
EXAMPLES = """examples:
  scalor report tracks/street.csv
  scalor report sort.txt street.mp4 --out sort.html
  scalor report tracks/street.csv --start 5000 --out later.html      the film begins with frame 5000
  scalor report tracks/cells.csv --fps 0.5 --um-per-px 0.325"""
# Options that say which part of the video is shown.
PART_SHOWN = ("crop", "start", "stop", "stride")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "report",
        help=summary,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("tracks", type=Path, metavar="TRACKS", help="file (.csv of scalor track, or .txt of any program)")
    add("video", nargs="?", type=Path, metavar="VIDEO", help="the video (default: that of STEM.json)")
    add("--out", type=Path, metavar="PAGE.html", help=f"(default: STEM{ENDING} beside TRACKS)")
    add("--overwrite", action="store_true", help="replace PAGE.html if it exists")
    for name in ("fps", "um_per_px"):
        add_option(parser, Units, name, default="that of STEM.json, or of the video" if name == "fps" else None)
    part = parser.add_argument_group("part of the video that the film shows")
    for name in PART_SHOWN:
        add_option(part, ReadOptions, name, default="as it was tracked")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the report.

    :raises ValueError: for what the user has to put right.
    """
    if not options.tracks.is_file():
        raise ConfigError(f"There is no file {options.tracks}.")
    out = options.out or options.tracks.with_name(f"{stem_of(options.tracks)}{ENDING}")
    require_new_output("--out", out, ".html", options.overwrite)
    shown = given(options, ReadOptions, PART_SHOWN)
    report_from_files(options.tracks, options.video, out, Units(**given(options, Units)), shown)
    print(f"The report is {printable(out)}.")
    return 0


def report_from_files(
    path: Path, video: Path | None, out: Path, units: Units, shown: dict[str, Any] | None = None
) -> None:
    """Write the report of tracks that are in a file.

    :param path: of the tracks.
    :param video: None: that of the summary beside them.
    :param units: that were given; the summary and the file stand in for the others.
    :param shown: fields of the reading options that the film has instead of those of tracking.
    :raises ValueError: if something of this cannot be read or written.
    """
    about = summary_beside(path)
    if video is None:
        if "video" not in about:
            raise ConfigError(f"{path}: expected the name of the video, because there is no {stem_of(path)}.json.")
        video = Path(about["video"])
    tracked = config_from_dict(ReadOptions, about.get("reading", {}))
    reader = Video(video, replace(tracked, **(shown or {})))
    frames = (about["first_frame"], about["last_frame"]) if "first_frame" in about else None
    made_with = f"weights {about['weights']}" if "weights" in about else ""
    of = About(reader.path.name, made_with, path.name, frames)
    write_report(out, read_tracks(path), reader, of, events_beside(path), units_beside(path, units))


def stem_of(path: Path) -> str:
    """The name of a file of tracks without its endings."""
    return Path(path.name.removesuffix(PART)).stem


def summary_beside(path: Path) -> dict[str, Any]:
    """What the summary of tracks says; nothing, if there is none.

    Linked tracks lie beside the tracks that they are made from.
    """
    for stem in (stem_of(path), stem_of(path).removesuffix("-linked")):
        summary = path.with_name(f"{stem}.json")
        if summary.is_file():
            try:
                return read_summary(summary)
            except SummaryError:  # a file of something else that has this name
                continue
    return {}


def units_beside(path: Path, units: Units) -> Units:
    """The units that were given, and those of the summary for the others."""
    about = summary_beside(path)
    return Units(**{name: about.get(name) if value is None else value for name, value in asdict(units).items()})


def events_beside(path: Path) -> pd.DataFrame | None:
    """The events of linking beside tracks; None if there are none.

    :raises ConfigError: if the file cannot be read.
    """
    events = path.with_name(f"{stem_of(path)}{EVENTS}")
    if not events.is_file():
        return None
    columns = ["event", "frame", "particle", "other", "gap", "log_ratio"]
    try:
        return pd.read_csv(events)[columns].astype({name: float for name in ("gap", "log_ratio")})
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{events}: expected the events of scalor link, got damaged or other data.") from error
