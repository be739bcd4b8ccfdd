"""Which objects are missed, and where false alarms are: packaged weights on unseen videos, offline.

    python benchmarks/misses.py --settings sprites-md sprites-hd --out misses.json
    python benchmarks/misses.py --settings digits-vld --mnist mnist.npz --out misses.json

Each true object that counts belongs to the first of these that is true of it: another object lies within half a size,
or within one; it is cut off by the border; or none of these. It is found if it is matched within one size; objects that
do not count are matched, too. A reported object without a match is a second one of a true object within one size, or of
nothing.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from scalor_pyro.cli.errors import command
from scalor_pyro.data import GroundTruth, SyntheticVideos
from scalor_pyro.evaluation.metrics import CARE_SHARE
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.experiments.synthetic import TEST_SEED, evaluate
from scalor_pyro.experiments.ways import OFFLINE
from scalor_pyro.files import write_atomically
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.cards import synthetic_card_of, synthetic_names
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

OBJECTS = ("another within half a size", "another within one size", "at the border", "alone")
ALARMS = ("second of an object", "of nothing")
FAR = 1e3


def kinds(tracks: Tracks, truth: GroundTruth) -> Iterator[tuple[str, bool]]:
    """The kind of each true object that counts, with whether it was found; then that of each false alarm (False)."""
    for frame in np.unique(truth.frame):
        there = np.nonzero((truth.frame == frame) & (truth.share > 0))[0]
        here = np.nonzero(tracks.frame == frame)[0]
        place = np.stack([truth.x[there], truth.y[there]], 1)
        size, share = truth.size[there], truth.share[there]
        apart = np.linalg.norm(place[:, None] - place, axis=-1)
        np.fill_diagonal(apart, np.inf)
        nearest = apart.min(1, initial=np.inf) / size
        distance = np.linalg.norm(place[:, None] - np.stack([tracks.x[here], tracks.y[here]], 1), axis=-1)
        near = distance < size[:, None]
        true, reported = linear_sum_assignment(np.where(near, distance, FAR))
        matched = near[true, reported]
        found = np.isin(np.arange(len(there)), true[matched])
        for each in np.nonzero(share >= CARE_SHARE)[0]:
            conditions = (nearest[each] < 0.5, nearest[each] < 1, share[each] < 1, True)
            yield OBJECTS[conditions.index(True)], bool(found[each])
        for each in np.setdiff1d(np.arange(len(here)), reported[matched]):
            yield ALARMS[0 if near[:, each].any() else 1], False


def counted(name: str, mnist: Path | None, count: int) -> dict[str, float]:
    """Objects and misses of each kind, and false alarms of each kind."""
    config, _ = synthetic_card_of(name)
    data, numbers = config.evaluated, Counter[str]()
    videos = SyntheticVideos(data, TEST_SEED, "test", mnist if data.digits == "mnist" else None)
    with tempfile.TemporaryDirectory() as folder:
        evaluate(Scalor.from_pretrained(name), videos, count, tracks=Path(folder), way=OFFLINE)
        for index, truth in enumerate(videos.batch(0, count).truth):
            for kind, found in kinds(read_mot(Path(folder) / f"{index:05d}.txt"), truth):
                numbers[kind] += 1
                numbers[f"{kind}, missed"] += not found
    return dict(numbers)


def table(results: dict[str, dict[str, float]]) -> str:
    """A row for each setting: the share of each kind, and of how many of them are missed; false alarms per object."""
    rows = []
    for name, numbers in results.items():
        objects = sum(numbers.get(kind, 0) for kind in OBJECTS)
        cells = []
        for kind in OBJECTS:
            all_of, missed = (numbers.get(key, 0) for key in (kind, f"{kind}, missed"))
            cells.append(f"{100 * all_of / objects:.0f} %: {100 * missed / max(all_of, 1):.1f} %")
        alarms = [f"{100 * numbers.get(kind, 0) / objects:.2f} %" for kind in ALARMS]
        rows.append([name, *cells, *alarms])
    heads = ["", *(f"{kind}: missed" for kind in OBJECTS), *(f"false alarms: {kind}" for kind in ALARMS)]
    return markdown_table(heads, rows)


@command
def main(arguments: list[str] | None = None) -> int:
    """Track, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--settings", nargs="+", default=["sprites-md"], choices=synthetic_names())
    parser.add_argument("--mnist", type=Path, help="mnist.npz, in the layout of Keras")
    parser.add_argument("--videos", type=int, default=200)
    options = parser.parse_args(arguments)
    results = {name: counted(name, options.mnist, options.videos) for name in options.settings}
    print(table(results))
    made = provenance(MadeBy(command_line(__file__, arguments)), "cpu")
    write_atomically(options.out, json.dumps({"settings": results, "provenance": made}, indent=1).encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
