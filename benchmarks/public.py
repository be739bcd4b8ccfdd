"""Score weights on public benchmarks by their own protocols, whether or not they were trained on them.

python benchmarks/public.py sprites-md --videos 100 --sequence 1000
python benchmarks/public.py runs/sprites-mot --out sprites-mot.json
python benchmarks/public.py runs/mnist-mot --benchmark mnist-mot --mnist mnist.npz

Masks in videos of ten frames (Weis et al., JMLR 22:183), and boxes over one sequence of 10,000 frames (He et al., CVPR
2019); each online and with the frames that follow.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scalor_pyro.cli.errors import command
from scalor_pyro.config import PublicData
from scalor_pyro.config.options import add_option, given
from scalor_pyro.config.public import STREAM_FRAMES
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation.masks import mask_table
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.tables import lined_up, shown
from scalor_pyro.experiments.public import TEST_SEED, WAYS, scores, sequence_scores
from scalor_pyro.files import write_atomically
from scalor_pyro.tracks.tracker import load_for_tracking

COLUMNS = ("mota", "idf1", "motp", "false_alarms", "misses", "switches", "mostly_tracked", "mostly_lost", "identities")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("run", metavar="RUN", help="run folder, or name of packaged weights")
    for name in ("benchmark", "digits"):
        add_option(parser, PublicData, name)
    add("--mnist", type=Path, metavar="FILE", help="MNIST, for digits")
    add("--videos", type=int, default=1000, metavar="N", help="videos, 0 for none (default: %(default)s)")
    length = f"frames of the sequence, 0 for none (default: {STREAM_FRAMES})"
    add("--sequence", type=int, default=STREAM_FRAMES, metavar="T", help=length)
    add("--seed", type=int, default=TEST_SEED, help="of the videos (default: %(default)s)")
    add("--out", type=Path, metavar="FILE.json", help="keep the scores")
    return parser.parse_args(arguments)


def sequence_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores of boxes, a line for each result."""
    lines = [[name, *(shown(found[key]) for key in COLUMNS)] for name, found in results.items()]
    return lined_up([["", *COLUMNS], *lines])


@command
def main(arguments: list[str] | None = None) -> int:
    """Score, print and keep."""
    options = parse(arguments)
    torch.set_num_threads(1)
    run = load_for_tracking(options.run)
    videos = PublicVideos(PublicData(**given(options, PublicData)), options.seed, "test", options.mnist)
    kept: dict[str, Any] = {"run": options.run, "benchmark": videos.config.benchmark, "seed": options.seed}
    if options.videos:
        masks = {name: scores(run.scalor, videos, options.videos, way=way) for name, way in WAYS.items()}
        print(f"Masks, {options.videos} videos, in percent\n{mask_table(masks)}\n")
        kept["masks"] = {"videos": options.videos, **masks}
    if options.sequence:
        ways = {"online": True, "offline": False}
        boxes = {name: sequence_scores(run, videos, options.sequence, online) for name, online in ways.items()}
        print(f"Boxes, a sequence of {options.sequence} frames\n{sequence_table(boxes)}")
        kept["boxes"] = {"frames": options.sequence, **boxes}
    if options.out is not None:
        write_atomically(options.out, json.dumps(without_nan(kept), indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
