"""Score weights on public benchmarks by their own protocols, whether or not they were trained on them.

python benchmarks/public.py sprites-md --videos 100 --sequence 1000 --false-alarms
python benchmarks/public.py runs/sprites-mot --out sprites-mot.json
python benchmarks/public.py runs/mnist-mot --benchmark mnist-mot --mnist mnist.npz

Masks in videos of ten frames (Weis et al., JMLR 22:183), and boxes over one sequence of 10,000 frames (He et al., CVPR
2019); each online and with the frames that follow.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalor_pyro.cli.errors import command
from scalor_pyro.config import PublicData
from scalor_pyro.config.options import add_option, given
from scalor_pyro.config.public import STREAM_FRAMES
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation.masks import MaskProtocol, mask_pairs, mask_table
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.tables import lined_up, shown
from scalor_pyro.experiments.public import BATCH, TEST_SEED, labels_of, scores, sequence_scores
from scalor_pyro.experiments.ways import OFFLINE, WAYS, Way
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.tracker import load_for_tracking

# Share of a false mask that lies on an object, for it to count as one more mask of that; and the share of it that lies
# where an object was in the frame before, which has moved by a quarter of its size since.
MOSTLY_ON, LEFT = 0.5, 0.3

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
    add("--false-alarms", action="store_true", help="also say what false masks lie on")
    add("--out", type=Path, metavar="FILE.json", help="keep the scores")
    return parser.parse_args(arguments)


def sequence_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores of boxes, a line for each result."""
    lines = [[name, *(shown(found[key]) for key in COLUMNS)] for name, found in results.items()]
    return lined_up([["", *COLUMNS], *lines])


def kinds_of_false_alarm(scalor: Scalor, videos: PublicVideos, count: int, way: Way) -> Counter[str]:
    """What false alarms of masks lie on.

    A mask that matches none lies mostly on a true object, where an object was in the frame before, or elsewhere.
    """
    kinds: Counter[str] = Counter()
    protocol = MaskProtocol()
    for start in range(0, count, BATCH):
        batch = videos.batch(start, min(BATCH, count - start))
        found = labels_of(infer(scalor, batch.tensor(), lookahead=way.lookahead, evidence=way.evidence))
        for reported, true in zip(found, batch.masks.astype(np.int64) + 1, strict=True):
            for t, pairs in enumerate(mask_pairs(reported, true, protocol), protocol.first):
                wrong = pairs.reported[np.isnan(pairs.distance).all(0)] if len(pairs.true) else pairs.reported
                kinds.update(_lies_on(reported[t] == identity + 1, true[t], true[t - 1]) for identity in wrong)
    return kinds


def _lies_on(mask: NDArray[np.bool_], true: NDArray[np.int64], before: NDArray[np.int64]) -> str:
    if (true[mask] > 0).mean() > MOSTLY_ON:
        return "on an object"
    return "where one has just left" if (before[mask] > 0).mean() > LEFT else "elsewhere"


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
    if options.videos and options.false_alarms:
        kept["false_alarms"] = kinds = kinds_of_false_alarm(run.scalor, videos, options.videos, OFFLINE)
        print(f"False alarms, offline: {', '.join(f'{number} {kind}' for kind, number in kinds.most_common())}\n")
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
