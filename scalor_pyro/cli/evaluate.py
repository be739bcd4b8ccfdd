"""``scalor evaluate``: how well tracks match a ground truth."""

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scalor_pyro.cli.outputs import require_new_output
from scalor_pyro.cli.rows import table
from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.metrics import shown, without_nan
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer
from scalor_pyro.files import write_atomically
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import MOT_FIRST, read_mot, read_tracks

logger = logging.getLogger(__name__)

DESCRIPTION = """Score tracks against a ground truth, both in MOTChallenge text (frame, id, left, top, width, height,
flag, …; counted from 1).

TRACKS and --truth are two files, or two folders: then sequences are files of the same name, and a sequence of the
truth may also be SEQUENCE/gt/gt.txt, as the benchmark has it. Rows of the truth with flag 0 need not be found, and
what is found there is not counted; classes are not looked at."""
EXAMPLES = """examples:
  scalor evaluate out/street.txt --truth street-gt.txt
  scalor evaluate out --truth MOT17/train --hota --json scores.json
  scalor evaluate out/cells.csv --truth cells-gt.txt --match distance --threshold 5"""

# Where the benchmark has the truth of a sequence.
BENCHMARK_TRUTH = Path("gt") / "gt.txt"

# Rows of the table: key of the scores, and what it means; MOTP means something else for each measure.
_LABELS = (
    ("mota", "MOTA"),
    ("idf1", "IDF1"),
    ("motp", "MOTP"),
    ("hota", "HOTA"),
    ("deta", "  DetA, detection"),
    ("assa", "  AssA, association"),
    ("loca", "  LocA, localisation"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("switches", "identity switches"),
    ("misses", "misses"),
    ("false_alarms", "false alarms"),
    ("fragmentations", "fragmentations"),
    ("identities", "true objects"),
    ("mostly_tracked", "  mostly tracked"),
    ("partly_tracked", "  partly tracked"),
    ("mostly_lost", "  mostly lost"),
)
_MOTP = {
    "iou": "MOTP: mean IoU of matched boxes",
    "distance": "MOTP: mean distance of matched centres, px",
    "sizes": "MOTP: mean distance of matched centres, sizes",
}

# Columns of the table of several sequences.
_COLUMNS = {
    "mota": "MOTA",
    "idf1": "IDF1",
    "motp": "MOTP",
    "hota": "HOTA",
    "precision": "precision",
    "recall": "recall",
    "switches": "switches",
    "misses": "misses",
    "false_alarms": "false alarms",
}


class Sequence(NamedTuple):
    """A sequence to be scored."""

    name: str
    tracks: Path
    truth: Path


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "evaluate",
        help="score tracks against a ground truth",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("tracks", type=Path, metavar="TRACKS", help="a file (.txt, or .csv of scalor track), or a folder of them")
    add("--truth", type=Path, metavar="GT", required=True, help="the ground truth: a file, or a folder")
    measures = "what is matched: boxes that overlap, or centres that are near, in px or in sizes of the true object"
    add("--match", choices=["iou", "distance", "sizes"], default="iou", help=f"{measures} (default: iou)")
    least = "the least IoU (default: 0.5), or the largest distance (default: 0.5 sizes; px have to be given)"
    add("--threshold", type=float, metavar="X", help=least)
    beyond = "score frames up to this one, counted from 1; without it, tracks beyond the truth's last row are refused"
    add("--last", type=int, metavar="FRAME", help=beyond)
    add("--hota", action="store_true", help="HOTA, too; needs pip install 'scalor_pyro[hota]'")
    add("--json", type=Path, metavar="OUT.json", help="write all figures, those of each sequence, too")
    add("--overwrite", action="store_true", help="replace OUT.json if there is one")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the scores, and write them.

    :raises ValueError: for what the user has to put right.
    """
    if options.json is not None:
        require_new_output("--json", options.json, ".json", options.overwrite)
    if options.last is not None and options.last < MOT_FIRST:
        raise ConfigError(f"--last is {options.last}, but a frame from {MOT_FIRST} was expected.")
    scorer = Scorer(matching_of(options), options.hota)
    for sequence in sequences_of(options.tracks, options.truth):
        scorer.add(sequence.name, *read(sequence, options.last))
    total, sequences = scorer.total(), scorer.sequences()
    if not total["objects"]:
        raise ConfigError(f"{options.truth} has no row that counts, but at least one true object was expected.")
    if len(sequences) > 1:
        print(f"{by_sequence(sequences)}\n\nall {len(sequences)} sequences")
    print(table(rows(total, scorer.matching)))
    if options.json is not None:
        about = {"match": scorer.matching.by, "threshold": scorer.matching.threshold}
        figures = without_nan({**about, "all": total, "sequences": sequences})
        write_atomically(options.json, json.dumps(figures, indent=1).encode())
        print(f"\nThe figures are in {options.json}.")
    return 0


def matching_of(options: argparse.Namespace) -> Matching:
    """What may be matched.

    :raises ConfigError: for a threshold that is missing or out of its range.
    """
    if options.threshold is not None:
        return Matching(options.match, options.threshold)
    if options.match == "distance":
        raise ConfigError("--match distance has no --threshold, but a distance in px was expected.")
    return Matching(options.match)


def sequences_of(tracks: Path, truth: Path) -> list[Sequence]:
    """The sequences of two files, or of two folders.

    :raises ConfigError: where there are none, or a sequence of the truth has no tracks.
    """
    for path in (tracks, truth):
        if not path.exists():
            raise ConfigError(f"There is no file or folder {path}.")
    if tracks.is_dir() != truth.is_dir():
        folder, file = (tracks, truth) if tracks.is_dir() else (truth, tracks)
        raise ConfigError(f"{folder} is a folder and {file} a file, but two files, or two folders, were expected.")
    if truth.is_file():
        return [Sequence(tracks.stem, tracks, truth)]
    truths = {path.stem: path for path in truth.glob("*.txt")}
    truths.update({path.parents[1].name: path for path in truth.glob(f"*/{BENCHMARK_TRUTH}")})
    if not truths:
        raise ConfigError(
            f"{truth} holds no truth, but files SEQUENCE.txt or SEQUENCE/{BENCHMARK_TRUTH} were expected."
        )
    found = {path.stem: path for path in tracks.glob("*.txt")}
    missing = sorted(truths.keys() - found.keys())
    if missing:
        raise ConfigError(
            f"{tracks} has no {'.txt, '.join(missing)}.txt, but a file for each sequence of {truth} was expected."
        )
    extra = sorted(found.keys() - truths.keys())
    if extra:
        logger.warning("%s has no truth of %s: not scored.", truth, ", ".join(extra))
    return [Sequence(name, found[name], path) for name, path in sorted(truths.items())]


def read(sequence: Sequence, last: int | None) -> tuple[Tracks, Tracks]:
    """Tracks and truth of a sequence.

    :param last: the last frame that counts, from 1; None: that of the truth's last row.
    :raises ValueError: for a malformed line.
    :raises ConfigError: where the truth has no object, or the tracks go on after its end, and `last` is None.
    """
    tracks, truth = read_tracks(sequence.tracks), read_mot(sequence.truth)
    if last is not None:
        return tracks.rows(tracks.frame <= last - MOT_FIRST), truth.rows(truth.frame <= last - MOT_FIRST)
    if not truth.presence.any():
        raise ConfigError(f"{sequence.truth} has no row that counts, but at least one true object was expected.")
    end, beyond = int(truth.frame.max()), int(tracks.frame.max(initial=0))
    if beyond > end:
        raise ConfigError(
            f"{sequence.tracks} goes on to frame {beyond + MOT_FIRST}, but {sequence.truth} ends with frame"
            f" {end + MOT_FIRST}: --last, the last frame to be scored, was expected."
        )
    return tracks, truth


def rows(scores: Mapping[str, float], matching: Matching) -> list[tuple[str, str]]:
    """The scores in words."""
    labels = dict(_LABELS) | {"motp": _MOTP[matching.by]}
    return [(label, shown(scores[key])) for key, label in labels.items() if key in scores]


def by_sequence(sequences: Mapping[str, Mapping[str, float]]) -> str:
    """The most important scores, a line for each sequence."""
    keys = [key for key in _COLUMNS if key in next(iter(sequences.values()))]
    lines = [["", *(_COLUMNS[key] for key in keys)]]
    lines += [[name, *(shown(scores[key]) for key in keys)] for name, scores in sequences.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )
