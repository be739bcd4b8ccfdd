"""What do objects that rest cost, and how much of it is won back by taking them out of the background image?

    python benchmarks/resting.py --movers 3201 3202 3203 --out runs/resting

Videos of made-up movers, one for each seed, whose empty scene is grey, are tracked with the weights for any scene over
three background images: the median of the frames, that median without what rested in it (as `scalor track` does by
itself), and the empty scene. The two others are given with --background-image. A video that is refused counts as MOTA
0, and one with MOTA below -1 as -1. Scores are by centres within one size.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from adapting import made
from any_scene import scored, tracked
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.cli.errors import command
from scalor_pyro.data.movers import STILL
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.tables import markdown_table, shown
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot
from scalor_pyro.video import Video
from scalor_pyro.video.background.image import estimate_background_image

# Of 255: a pixel of a background image that is farther from the empty scene shows an object.
WRONG = 8
# Lower scores count as this one, lest one video rules the mean.
WORST = -1.0
IMAGES = {"median": "median", "found": "without what rested", "empty": "empty scene"}


def measured(seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """MOTA, and the part of the pixels that show an object, by background image."""
    video = made(seed, folder)
    truth = read_mot(video.truth)
    frames = np.load(video.video)
    empty = np.full(frames.shape[1:], round(255 * STILL), np.uint8)
    images = {
        "median": np.median(frames, axis=0).astype(np.uint8),
        "found": np.moveaxis(estimate_background_image([Video(video.video)]).image, 0, -1),
        "empty": empty,
    }
    found = {}
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
        given = [] if name == "found" else ["--background-image", str(folder / f"{name}.png")]
        found[name] = {
            "mota": mota(video.video, folder / name, given, truth),
            "wrong": wrong(image, empty),
        }
    return found


def wrong(image: NDArray[np.uint8], empty: NDArray[np.uint8]) -> float:
    """The part of the pixels of a background image that show an object. (H, W, C)"""
    return float((np.abs(image.astype(np.float32) - empty).mean(-1) > WRONG).mean())


def mota(video: Path, out: Path, options: list[str], truth: Tracks) -> float:
    """Of the tracks over a background image."""
    try:
        found, _ = tracked(video, out, ["--no-report", *options])
    except subprocess.CalledProcessError:  # the command has said why
        return 0.0
    return scored(found, truth)["centres"]["mota"]


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A row for each video, and the means."""
    means = {
        name: {
            "mota": float(np.mean([max(WORST, each[name]["mota"]) for each in results.values()])),
            "wrong": float(np.mean([each[name]["wrong"] for each in results.values()])),
        }
        for name in IMAGES
    }
    rows = [
        [
            seed,
            *(shown(of[name]["mota"]) for name in IMAGES),
            *(f"{of[name]['wrong']:.1%}" for name in ("median", "found")),
        ]
        for seed, of in {**results, "mean": means}.items()
    ]
    heads = ["seed", *(f"MOTA, {text}" for text in IMAGES.values()), "wrong pixels, median", "without what rested"]
    return markdown_table(heads, rows)


@command
def main(arguments: list[str] | None = None) -> int:
    """Track, score, and write the results."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--movers", type=int, nargs="+", required=True, metavar="SEED", help="a video for each seed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for videos and results.json")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    for seed in options.movers:
        results[str(seed)] = measured(seed, options.out / str(seed))
    about = {"videos": results, "provenance": provenance(MadeBy(command_line(__file__, arguments)), "cpu")}
    write_atomically(options.out / "results.json", json.dumps(without_nan(about), indent=1).encode())
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
