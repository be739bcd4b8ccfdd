"""Colloids under a microscope: tracks compared with the particles that trackpy locates.

The video is trackpy's own example of a crowded field, ``bulk-water.mov``; it is given. trackpy is no part of this
project (``pip install trackpy``)::

    python benchmarks/colloids.py bulk-water.mov --out runs/colloids
    python benchmarks/colloids.py bulk-water.mov --out runs/colloids-any-scene --weights any-scene

With ``--weights`` nothing is trained, and no size is given.

trackpy looks for dark spots of 11 px with mass of at least 20, as its walkthrough does for this video. A particle is
found where the middle of a box is within half of that size of it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import trackpy
from records import without_folders
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.text import read_csv
from scalor_pyro.video import Crop, ReadOptions, Video

# px of the video: a part of the field; trackpy's size of a particle (odd), and the least mass of one.
CROP = Crop(256, 148, 128, 128)
SIZE, MASS = 11, 20
# trackpy leaves out a margin where it cannot measure; boxes there are not counted either.
MARGIN = SIZE // 2 + 1


def main() -> None:
    """Train, track, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="bulk-water.mov")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", default="10", help="minutes of training (default: 10)")
    parser.add_argument("--weights", metavar="RUN", help="train nothing; run folder or name, as of scalor track")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the results there, too")
    options = parser.parse_args()
    crop = [str(number) for number in (CROP.x, CROP.y, CROP.width, CROP.height)]
    scalor, out = [sys.executable, "-m", "scalor_pyro"], options.out / "tracks"
    run = options.weights or str(options.out / "run")
    if options.weights is None and not Path(run, "results.json").exists():
        training = ["train", str(options.video), "--out", run, "--minutes", options.minutes, "--crop", *crop]
        training.append("--from-scratch")
        subprocess.run([*scalor, *training], check=True)
    tracking = ["track", str(options.video), "--weights", run, "--out", str(out), "--overwrite", "--annotate"]
    subprocess.run([*scalor, *tracking, *(["--crop", *crop] if options.weights else [])], check=True)
    tracks = read_csv(out / f"{options.video.stem}.csv")
    trackpy.quiet()
    located = reported = matched = 0
    for frame in Video(options.video, ReadOptions(crop=CROP, grey=True)):
        if frame.number not in tracks.frame:
            continue  # left out by the stride
        spots = trackpy.locate(255 - frame.image[0], SIZE, minmass=MASS)
        particles = np.stack([spots.x, spots.y], 1) + 0.5  # trackpy's pixel centres are whole numbers
        here = tracks.frame == frame.number
        centres = np.stack([tracks.x[here] - CROP.x, tracks.y[here] - CROP.y], 1)
        inside = ((centres > MARGIN) & (centres < np.array([CROP.width, CROP.height]) - MARGIN)).all(1)
        distance = cdist(particles, centres)
        rows, columns = linear_sum_assignment(np.minimum(distance, SIZE))
        located, reported = located + len(particles), reported + int(inside.sum())
        matched += int((distance[rows, columns] <= SIZE / 2).sum())
    results = {
        "located_by_trackpy": located,
        "reported": reported,
        "found_share": matched / located,
        "precision": matched / max(1, reported),
        "provenance": provenance(MadeBy(without_folders(command_line(__file__, None))), "cpu"),
    }
    if options.record is not None:
        options.record.write_text(json.dumps(results, indent=1) + "\n")
    whole = json.dumps({**results, **json.loads((out / f"{options.video.stem}.json").read_text())}, indent=1)
    (options.out / "results.json").write_text(whole + "\n")
    print(whole)


if __name__ == "__main__":
    main()
