"""``scalor evaluate --protocol masks``: how well masks match true masks."""

import argparse
import json
import logging
from dataclasses import asdict

from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.mask_files import MaskVideos
from scalor_pyro.evaluation.masks import MaskProtocol, MaskScorer, MaskScores
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.tables import NOTHING, named_values
from scalor_pyro.files import write_atomically

logger = logging.getLogger(__name__)

# Options that have no meaning for masks.
OF_BOXES = ("match", "threshold", "last")

# Rows of the table: name of the score, and label. Shares are printed in percent, as published.
_LABELS = (
    ("mota", "MOTA, %"),
    ("motp", "MOTP: mean IoU of matched masks, %"),
    ("mostly_detected", "mostly detected, % of objects"),
    ("mostly_tracked", "mostly tracked, % of objects"),
    ("match", "matches, % of true masks"),
    ("miss", "misses, %"),
    ("switch", "identity switches, %"),
    ("false_alarm", "false alarms, %"),
)


def run_masks(options: argparse.Namespace) -> int:
    """Print the scores, and write them.

    :raises ConfigError: for what the user has to put right.
    """
    for name in OF_BOXES:
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} is for boxes; expected none beside --protocol masks.")
    if options.hota:
        raise ConfigError("--hota is for boxes; expected none beside --protocol masks.")
    protocol = MaskProtocol()
    reported, true, scorer = MaskVideos(options.tracks), MaskVideos(options.truth), MaskScorer(protocol)
    for name, true_name in _pairs(reported, true):
        found, expected = reported[name], true[true_name]
        if found.shape != expected.shape:
            where = f"{options.tracks}, video {name}: expected masks of shape (T, H, W) = {expected.shape}"
            raise ConfigError(f"{where}, as in the truth, got {found.shape}.")
        scorer.add(found, expected)
    scores = scorer.total()
    if not scores.objects:
        raise ConfigError(f"{options.truth}: expected a true mask from frame {protocol.first} on, got none.")
    print(named_values(_rows(scores)))
    if options.json is not None:
        figures = without_nan({"protocol": asdict(protocol), "all": asdict(scores)})
        write_atomically(options.json, json.dumps(figures, indent=1).encode())
        print(f"\nAll scores are in {options.json}.")
    return 0


def _pairs(reported: MaskVideos, true: MaskVideos) -> list[tuple[str, str]]:
    """The names of each video, as reported and in the truth; where both have only one, these are a pair.

    :raises ConfigError: where a video of the truth has no masks.
    """
    if len(reported.names) == len(true.names) == 1:
        return [(reported.names[0], true.names[0])]
    missing = [name for name in true.names if name not in reported.names]
    if missing:
        raise ConfigError(f"{reported.path}: expected masks of each video of {true.path}, got none of {missing[0]}.")
    extra = [name for name in reported.names if name not in true.names]
    if extra:
        logger.warning("%s has no truth of %s, which are not scored.", true.path, ", ".join(extra))
    return [(name, name) for name in true.names]


def _rows(scores: MaskScores) -> list[tuple[str, str]]:
    values = asdict(scores)
    rows = [
        (label, NOTHING if values[name] != values[name] else f"{100 * values[name]:.1f}") for name, label in _LABELS
    ]
    return [*rows, ("true masks", str(scores.objects)), ("true objects", str(scores.identities))]
