"""``scalor evaluate``: how well tracks match a ground truth."""

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scalor_pyro.cli.evaluate_masks import run_masks
from scalor_pyro.cli.outputs import require_new_output
from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer
from scalor_pyro.evaluation.tables import lined_up, named_values, shown
from scalor_pyro.files import write_atomically
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import MOT_FIRST, read_mot, read_tracks

logger = logging.getLogger(__name__)

DESCRIPTION = """Score tracks against a ground truth, both in MOTChallenge text (frame, id, left, top, width, height,
flag, …; counted from 1).

TRACKS and --truth are two files or two folders. In folders, a sequence is a pair of files with the same name; the truth
may also be SEQUENCE/gt/gt.txt, as in the benchmark. Rows of the truth with flag 0 are ignored, and so are the reports
matched to them. Classes are ignored.

With --protocol masks, both are masks (0 background, else identity + 1): a folder of pictures as scalor track --masks
writes it, a folder of such folders, or an .npz with an array "masks" (videos, frames, height, width). They are scored
as in Weis et al., JMLR 22:183, 2021: IoU of at least 0.5, from the third frame on; no masks of at most 5 pixels."""
EXAMPLES = """examples:
  scalor evaluate out/street.txt --truth street-gt.txt
  scalor evaluate out --truth MOT17/train --hota --json scores.json
  scalor evaluate out/cells.csv --truth cells-gt.txt --match distance --threshold 5
  scalor evaluate found.npz --truth true.npz --protocol masks"""

# Where the benchmark keeps the truth of a sequence.
BENCHMARK_TRUTH = Path("gt") / "gt.txt"

# Rows of the table: key of the scores, and label; that of MOTP depends on the measure.
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


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "evaluate",
        help=summary,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    what = "file (.txt, or .csv of scalor track), or folder of .txt files; or masks"
    add("tracks", type=Path, metavar="TRACKS", help=what)
    add("--truth", type=Path, metavar="GT", required=True, help="ground truth: file or folder")
    add("--protocol", choices=["boxes", "masks"], default="boxes", help="what is compared (default: boxes)")
    measures = "match boxes by overlap, or centres by distance in px or in sizes of the true object"
    add("--match", choices=["iou", "distance", "sizes"], help=f"{measures} (default: iou)")
    least = "least IoU (default: 0.5), or largest distance (default: 0.5 sizes; no default in px)"
    add("--threshold", type=float, metavar="X", help=least)
    beyond = "last frame to score, from 1; without it, tracks beyond the last frame of the truth are refused"
    add("--last", type=int, metavar="FRAME", help=beyond)
    add("--hota", action="store_true", help="also compute HOTA; needs pip install 'scalor_pyro[hota]'")
    add("--json", type=Path, metavar="OUT.json", help="write all scores, also of each sequence")
    add("--overwrite", action="store_true", help="replace an existing OUT.json")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the scores, and write them.

    :raises ValueError: for what the user has to put right.
    """
    if options.json is not None:
        require_new_output("--json", options.json, ".json", options.overwrite)
    if options.protocol == "masks":
        return run_masks(options)
    if options.last is not None and options.last < MOT_FIRST:
        raise ConfigError(f"--last: expected a frame from {MOT_FIRST}, got {options.last}.")
    scorer = Scorer(matching_of(options), options.hota)
    for sequence in sequences_of(options.tracks, options.truth):
        scorer.add(sequence.name, *read(sequence, options.last))
    total, sequences = scorer.total(), scorer.sequences()
    if not total["objects"]:
        raise ConfigError(f"{options.truth}: expected at least one true object, got no row that counts.")
    if len(sequences) > 1:
        print(f"{by_sequence(sequences)}\n\nall {len(sequences)} sequences")
    print(named_values(rows(total, scorer.matching)))
    if options.json is not None:
        about = {"match": scorer.matching.by, "threshold": scorer.matching.threshold}
        figures = without_nan({**about, "all": total, "sequences": sequences})
        write_atomically(options.json, json.dumps(figures, indent=1).encode())
        print(f"\nAll scores are in {options.json}.")
    return 0


def matching_of(options: argparse.Namespace) -> Matching:
    """Which pairs may match.

    :raises ConfigError: for a threshold that is missing or out of its range.
    """
    if options.threshold is not None:
        return Matching(options.match or Matching.by, options.threshold)
    if options.match == "distance":
        raise ConfigError("--match distance needs --threshold, a distance in px.")
    return Matching(options.match or Matching.by)


def sequences_of(tracks: Path, truth: Path) -> list[Sequence]:
    """The sequences of two files, or of two folders.

    :raises ConfigError: where there are none, or a sequence of the truth has no tracks.
    """
    for path in (tracks, truth):
        if not path.exists():
            raise ConfigError(f"There is no file or folder {path}.")
    if tracks.is_dir() != truth.is_dir():
        folder, file = (tracks, truth) if tracks.is_dir() else (truth, tracks)
        raise ConfigError(f"Expected two files or two folders, got the folder {folder} and the file {file}.")
    if truth.is_file():
        return [Sequence(tracks.stem, tracks, truth)]
    truths = {path.stem: path for path in truth.glob("*.txt")}
    truths.update({path.parents[1].name: path for path in truth.glob(f"*/{BENCHMARK_TRUTH}")})
    if not truths:
        raise ConfigError(f"{truth}: expected files SEQUENCE.txt or SEQUENCE/{BENCHMARK_TRUTH}, got none.")
    found = {path.stem: path for path in tracks.glob("*.txt")}
    missing = sorted(truths.keys() - found.keys())
    if missing:
        raise ConfigError(
            f"{tracks}: expected a file for each sequence of {truth}, got no {'.txt, '.join(missing)}.txt."
        )
    extra = sorted(found.keys() - truths.keys())
    if extra:
        logger.warning("%s has no truth of %s, which are not scored.", truth, ", ".join(extra))
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
        raise ConfigError(f"{sequence.truth}: expected at least one true object, got no row that counts.")
    end, beyond = int(truth.frame.max()), int(tracks.frame.max(initial=0))
    if beyond > end:
        raise ConfigError(
            f"{sequence.tracks}: expected frames up to {end + MOT_FIRST}, where {sequence.truth} ends, got some up to"
            f" {beyond + MOT_FIRST}; --last says which frame to score last."
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
    return lined_up(lines)
