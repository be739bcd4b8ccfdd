"""Score the weights that come with the package on their own test videos, to the last digit.

python benchmarks/score_weights.py --mnist mnist.npz --out after.json --compare before.json

A change that should not change behaviour must leave every figure as it was: run this before and after it, on one
machine with one thread. The exit code is 1 if a figure differs.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from scalor_pyro.data import SyntheticVideos
from scalor_pyro.experiments.synthetic import TEST_SEED, evaluate
from scalor_pyro.files import write_atomically
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.cards import synthetic_card_of, synthetic_names

# Figures that are printed; all of them are compared.
PRINTED = ("mota", "mota_strict", "idf1", "count_mae", "mse")

Scores = dict[str, dict[str, float]]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST, for the weights trained on digits of it")
    parser.add_argument("--videos", type=int, default=200, metavar="N", help="test videos (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep the scores")
    parser.add_argument("--compare", type=Path, metavar="FILE.json", help="scores kept before")
    return parser.parse_args(arguments)


def score(name: str, videos: int, mnist: Path | None) -> dict[str, float]:
    """All figures of one set of weights."""
    data = synthetic_card_of(name)[0].evaluated
    stream = SyntheticVideos(data, TEST_SEED, "test", mnist if data.digits == "mnist" else None)
    return evaluate(Scalor.from_pretrained(name), stream, videos)


def table(before: Scores | None, after: Scores) -> str:
    """Markdown: for each weights a row of figures, and one of the figures before."""
    lines = [f"| weights | | {' | '.join(PRINTED)} |", "| --- " * (len(PRINTED) + 2) + "|"]
    for name, figures in after.items():
        for when, of in (("before", (before or {}).get(name)), ("after", figures)):
            if of is not None:
                lines.append(f"| {name} | {when} | {' | '.join(repr(of[key]) for key in PRINTED)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Score, print, keep and compare."""
    options = parse(arguments)
    torch.set_num_threads(1)
    before: Scores | None = json.loads(options.compare.read_text()) if options.compare else None
    after = {name: score(name, options.videos, options.mnist) for name in synthetic_names()}
    print(table(before, after))
    if options.out is not None:
        write_atomically(options.out, json.dumps(after, indent=1).encode())
    changed = [name for name in after if before is not None and before.get(name) != after[name]]
    if before is not None:
        print(f"changed: {', '.join(changed)}" if changed else "Every figure is as before, to the last digit.")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
