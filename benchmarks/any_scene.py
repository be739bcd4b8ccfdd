"""Videos that nobody trained on: tracked with the weights for any scene, and scored against their truth.

    python benchmarks/any_scene.py FOLDER --out runs/any-scene-scores
    python benchmarks/any_scene.py FOLDER --out runs/given-size --object-size pets=50 zfish=30
    python benchmarks/any_scene.py FOLDER --out runs/mine --weights runs/any-scene --only pets -- --min-length 5

FOLDER holds a folder for each video: one video file, and gt.txt in MOTChallenge text. What follows `--` goes to
`scalor track`, the same for all videos; without it, everything is as a user has it who gives no option. Scores are by
centres within one size of the true object (the square root of its box's area), and by boxes that overlap by half.
Frames a second count all of `scalor track`: start, survey, tracking, linking and files.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer
from scalor_pyro.evaluation.tables import markdown_table, shown
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

TRUTH = "gt.txt"
# By the name that the results give them.
MATCHINGS = {"centres": Matching("sizes", 1.0), "boxes": Matching("iou", 0.5)}
# Columns of the table: of the scores by centres, unless they say otherwise.
SHOWN = {
    "mota": "MOTA",
    "idf1": "IDF1",
    "hota": "HOTA",
    "precision": "precision",
    "recall": "recall",
    "switches": "switches",
    "identities": "true objects",
}


class Annotated(NamedTuple):
    """A video with its truth."""

    name: str
    video: Path
    truth: Path


def annotated(folder: Path, only: Sequence[str] = ()) -> list[Annotated]:
    """The videos of a folder.

    :param only: their names; empty: all.
    :raises ConfigError: if there are none, or one has no video file, or several.
    """
    found = []
    for truth in sorted(folder.glob(f"*/{TRUTH}")):
        if only and truth.parent.name not in only:
            continue
        videos = [path for path in truth.parent.iterdir() if path.name != TRUTH]
        if len(videos) != 1:
            raise ConfigError(f"{truth.parent}: expected one video beside {TRUTH}, got {len(videos)}.")
        found.append(Annotated(truth.parent.name, videos[0], truth))
    missing = sorted(set(only) - {each.name for each in found})
    if not found or missing:
        raise ConfigError(f"{folder}: expected NAME/{TRUTH} of {', '.join(missing) or 'at least one video'}, got none.")
    return found


def sizes_by_name(given: Sequence[str]) -> dict[str, str]:
    """The sizes of `--object-size NAME=PX …`.

    :raises ConfigError: for anything else.
    """
    pairs = [each.partition("=") for each in given]
    for name, equals, size in pairs:
        if not (name and equals and size):
            raise ConfigError(f"--object-size: expected NAME=PX, got {name}{equals}{size}.")
    return {name: size for name, _, size in pairs}


def tracked(video: Path, out: Path, options: Sequence[str]) -> tuple[Tracks, float]:
    """The tracks of a video, and the seconds that `scalor track` took."""
    start = time.perf_counter()
    whole = [sys.executable, "-m", "scalor_pyro", "track", str(video), "--out", str(out), "--overwrite", *options]
    subprocess.run(whole, check=True)
    return read_mot(out / f"{video.stem}.txt"), time.perf_counter() - start


def scored(tracks: Tracks, truth: Tracks) -> dict[str, dict[str, float]]:
    """All scores by each way of matching; frames after the last one of the truth do not count."""
    within = tracks.rows(tracks.frame <= truth.frame.max())
    scores = {}
    for name, matching in MATCHINGS.items():
        scorer = Scorer(matching, hota=True)
        scorer.add("video", within, truth)
        scores[name] = scorer.total()
    return scores


def write_results(path: Path, results: Mapping[str, Any], script: str, arguments: Sequence[str]) -> None:
    """Keep the figures of some videos, and the command that measured them.

    :param script: the benchmark's `__file__`.
    """
    about = {"videos": results, "provenance": provenance(MadeBy(command_line(script, arguments)), "cpu")}
    write_atomically(path, json.dumps(without_nan(about), indent=1).encode())


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each video."""
    heads = ["", *SHOWN.values(), "identities", "MOTA by boxes", "frames/s"]
    rows = []
    for name, figures in results.items():
        cells = [shown(figures["centres"][key]) for key in SHOWN]
        further = [str(figures["identities"]), shown(figures["boxes"]["mota"]), f"{figures['frames_per_s']:.0f}"]
        rows.append([name, *cells, *further])
    return markdown_table(heads, rows)


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what goes to `scalor track`."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    own, further = arguments[:place], arguments[place + 1 :]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help=f"NAME/{TRUTH} and a video beside it, for each video")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for tracks and results.json")
    add("--weights", metavar="RUN", help="run folder or name (default: those of scalor track)")
    add("--only", nargs="+", default=[], metavar="NAME", help="score these videos alone")
    add("--object-size", nargs="+", default=[], metavar="NAME=PX", help="say the size of objects of some videos")
    return parser.parse_args(own), further


@command
def main(arguments: list[str] | None = None) -> int:
    """Track, score, and write the results."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options, further = parse(arguments)
    sizes = sizes_by_name(options.object_size)
    weights = [] if options.weights is None else ["--weights", options.weights]
    results: dict[str, dict[str, Any]] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, video, truth_file in annotated(options.folder, options.only):
        size = ["--object-size", sizes[name]] if name in sizes else []
        tracks, seconds = tracked(video, options.out / name, [*weights, *size, *further])
        truth = read_mot(truth_file)
        results[name] = {
            **scored(tracks, truth),
            "identities": len(set(tracks.identity.tolist())),
            "seconds": seconds,
            "frames_per_s": (int(tracks.frame.max(initial=0)) + 1) / seconds,
        }
    write_results(options.out / "results.json", results, __file__, arguments)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
