"""How much of its box an object covers: the factor from a box to the side of the square with the object's area.

    python benchmarks/object_sizes.py
    python benchmarks/object_sizes.py --videos 200 --seed 3

Made-up movers of several sizes, whose areas are known, are surveyed as a user's video is. The factors are those by
which the boxes of the survey, and the boxes around the true masks, have to be multiplied: medians over videos and over
masks, with the quartiles. `scalor_pyro.config.sizes.SIDE_OF_BOX` is the second, rounded.
"""

import argparse
import sys

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.cli.errors import command
from scalor_pyro.config import MoverConfig
from scalor_pyro.data import MoverVideos
from scalor_pyro.data.truth import GroundTruth
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.video import Video, VideoError, survey

# px: sizes of objects, and sides of frames and the most objects with which they have some room.
SIZES = ((5, 64, 10), (10, 96, 10), (20, 160, 10), (40, 256, 8))
FRAMES = 24
# Frames between those whose masks are measured; an object counts if this share of it is in view and not covered.
EVERY, IN_VIEW, FREE = 8, 0.95, 0.8


def boxes_of_masks(masks: NDArray[np.int16], truth: GroundTruth) -> list[float]:
    """True sides / those of the box around the mask, of objects that are in view and not covered."""
    found = []
    for row in np.nonzero((truth.frame % EVERY == 0) & (truth.share > IN_VIEW))[0]:
        y, x = np.nonzero(masks[truth.frame[row]] == truth.identity[row])
        if len(y) >= FREE * truth.size[row] ** 2:
            found.append(float(truth.size[row] / np.sqrt((np.ptp(y) + 1) * (np.ptp(x) + 1))))
    return found


def factors(size: int, side: int, most: int, videos: int, seed: int) -> tuple[list[float], list[float], int]:
    """Factors of the surveys and of the masks, and the videos in which nothing was seen to move."""
    stream = MoverVideos(MoverConfig((side, side), float(size), FRAMES, most), seed)
    surveyed, masked, unseen = [], [], 0
    for index in range(videos):
        frames, truth, masks, *_ = stream.video(index)
        sizes = truth.size[truth.share > IN_VIEW]
        if len(sizes) == 0:
            continue
        masked += boxes_of_masks(masks, truth)
        try:
            seen = survey(Video(np.moveaxis(frames, 1, -1)))
        except VideoError:
            unseen += 1
            continue
        surveyed.append(float(np.median(sizes) / np.sqrt(seen.height * seen.width)))
    return surveyed, masked, unseen


def quartiles(values: list[float]) -> str:
    """The median, and the quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


@command
def main(arguments: list[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--videos", type=int, default=60, metavar="N", help="of each size (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=77, help="of the videos (default: %(default)s)")
    options = parser.parse_args(arguments)
    rows = []
    for size, side, most in SIZES:
        surveyed, masked, unseen = factors(size, side, most, options.videos, options.seed)
        rows.append([f"{size} px", quartiles(surveyed), quartiles(masked), str(unseen)])
    print(markdown_table(["objects", "by the survey", "by masks", "nothing seen"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
