"""People seen from a building: trained on 14 clips of UCSD Ped2, tracked on the other two, compared with a hand count.

The clips are not part of this project (research use only); the folder with Train001.mkv … Train016.mkv is given::

    python benchmarks/ped2.py CLIPS --out runs/ped2
    python benchmarks/ped2.py CLIPS --out runs/ped2-any-scene --weights any-scene

With ``--weights`` nothing is trained: the two clips are tracked with no option.

The hand count, of 20 frames of the two clips that are tracked, is in ``ped2_people.csv``: a row for each person, clip,
frame from 0, and the middle of the person in px, as read off enlarged frames (± 2 px).
"""

import argparse
import csv
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from records import without_folders
from scipy.optimize import linear_sum_assignment

from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

HELD_OUT = ("Train015", "Train016")
# px between a person and the middle of a box that counts as found: half of a person's height.
NEAR = 18.0
Points = NDArray[np.float64]  # (n, 2): x, y


def hand_count() -> dict[tuple[str, int], Points]:
    """The people of each frame that was counted, by clip and frame."""
    people: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    with open(Path(__file__).with_name("ped2_people.csv"), newline="") as file:
        for row in csv.DictReader(file):
            people[row["clip"], int(row["frame"])].append((float(row["x"]), float(row["y"])))
    return {key: np.array(points) for key, points in people.items()}


def found(people: Points, boxes: Points) -> int:
    """How many people have a box of their own near."""
    distance = np.linalg.norm(people[:, None] - boxes[None], axis=-1)
    rows, columns = linear_sum_assignment(np.minimum(distance, 2 * NEAR))
    return int((distance[rows, columns] <= NEAR).sum())


def compare(tracks: dict[str, Tracks]) -> dict[str, float]:
    """Boxes against people, in the tracked frame nearest to each frame that was counted."""
    people = boxes = matched = 0
    errors = []
    for (clip, frame), points in hand_count().items():
        track = tracks[clip]
        nearest = track.frame[np.abs(track.frame - frame).argmin()]
        here = track.frame == nearest
        centres = np.stack([track.x[here], track.y[here]], 1)
        people, boxes = people + len(points), boxes + len(centres)
        matched += found(points, centres)
        errors.append(abs(len(points) - len(centres)))
    frames = len(hand_count())
    return {
        "people_per_frame": people / frames,
        "boxes_per_frame": boxes / frames,
        "count_error": float(np.mean(errors)),
        "recall": matched / people,
        "precision": matched / max(1, boxes),
    }


def main() -> None:
    """Train, track, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder with Train001.mkv … Train016.mkv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", default="14", help="minutes of training (default: 14)")
    parser.add_argument("--weights", metavar="RUN", help="train nothing; run folder or name, as of scalor track")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the results there, too")
    options = parser.parse_args()
    clips = sorted(options.clips.glob("Train0*.mkv"))
    held_out = [str(clip) for clip in clips if clip.stem in HELD_OUT]
    training = [str(clip) for clip in clips if clip.stem not in HELD_OUT]
    scalor, run = [sys.executable, "-m", "scalor_pyro"], options.weights or str(options.out / "run")
    if options.weights is None and not Path(run, "results.json").exists():
        learn = ["train", "--from-scratch", *training, "--out", run, "--minutes", options.minutes]
        subprocess.run([*scalor, *learn], check=True)
    out = options.out / "tracks"
    tracking = ["track", *held_out, "--weights", run, "--out", str(out), "--overwrite", "--annotate"]
    subprocess.run([*scalor, *tracking], check=True)
    tracks = {stem: read_mot(out / f"{stem}.txt") for stem in HELD_OUT}
    figures = {stem: json.loads((out / f"{stem}.json").read_text()) for stem in HELD_OUT}
    made = provenance(MadeBy(without_folders(command_line(__file__, None))), "cpu")
    results = {**compare(tracks), "provenance": made}
    if options.record is not None:
        options.record.write_text(json.dumps(results, indent=1) + "\n")
    whole = json.dumps({**results, "clips": figures}, indent=1)
    (options.out / "results.json").write_text(whole + "\n")
    print(whole)


if __name__ == "__main__":
    main()
