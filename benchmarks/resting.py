"""What do objects that rest cost, and how much of it is won by taking them out of the background image?

    python benchmarks/resting.py --movers 3201 3202 3203 --out runs/resting

Videos of made-up movers, one for each seed, whose empty scene is grey, are tracked with the weights for any scene over
three background images: the median of the frames, that median without what rested in it (as `scalor track` does by
itself), and the empty scene. The two others are given with --background-image. A video that is refused counts as MOTA
0, and one with MOTA below -1 as -1. Scores are by centres within one size.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from adapting import made
from any_scene import scored, tracked, write_results
from PIL import Image

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError
from scalor_pyro.data.movers import STILL
from scalor_pyro.evaluation.tables import markdown_table, shown
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

# Lower scores count as this one, lest one video rules the mean.
WORST = -1.0
IMAGES = {"median": "median", "found": "median without what rested", "empty": "empty scene"}


def measured(seed: int, folder: Path) -> dict[str, float]:
    """MOTA by background image."""
    video = made(seed, folder)
    truth = read_mot(video.truth)
    frames = np.load(video.video)
    images = {
        "median": np.median(frames, axis=0).astype(np.uint8),
        "empty": np.full(frames.shape[1:], round(255 * STILL), np.uint8),
    }
    found = {"found": mota(video.video, folder / "found", [], truth)}
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
        given = ["--background-image", str(folder / f"{name}.png")]
        found[name] = mota(video.video, folder / name, given, truth)
    return found


def mota(video: Path, out: Path, options: list[str], truth: Tracks) -> float:
    """Of the tracks over a background image."""
    try:
        found, _ = tracked(video, out, ["--no-report", *options])
    except subprocess.CalledProcessError:  # the command has said why
        return 0.0
    return max(WORST, scored(found, truth)["centres"]["mota"])


def table(results: dict[str, dict[str, float]]) -> str:
    """A row for each video, the means, and what is won in the mean, with its standard error."""
    scores = np.array([[each[name] for name in IMAGES] for each in results.values()])
    rows = [[seed, *(shown(each[name]) for name in IMAGES)] for seed, each in results.items()]
    rows.append(["mean", *(shown(score) for score in scores.mean(0))])
    won = scores - scores[:, :1]
    error = won.std(0, ddof=1) / len(won) ** 0.5
    rows.append(["won", "", *(f"{mean:+.3f} ± {by:.3f}" for mean, by in zip(won.mean(0)[1:], error[1:], strict=True))])
    return markdown_table(["seed", *(f"MOTA over the {text}" for text in IMAGES.values())], rows)


@command
def main(arguments: list[str] | None = None) -> int:
    """Track, score, and write the results."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--movers", type=int, nargs="+", required=True, metavar="SEED", help="a video for each seed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for videos and results.json")
    options = parser.parse_args(arguments)
    if len(options.movers) < 2:
        raise ConfigError(f"--movers: expected at least 2 seeds, to tell the spread, got {len(options.movers)}.")
    results = {str(seed): measured(seed, options.out / str(seed)) for seed in options.movers}
    write_results(options.out / "results.json", results, __file__, arguments)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
