"""Hindsight and evidence: score the weights that come with the package with and without them.

    python benchmarks/hindsight.py --mnist mnist.npz --videos 200 --out hindsight.json
    python benchmarks/hindsight.py --seed 4242 --split train --videos 48 --thresholds 0.4 0.08 0.4 0.04

Ways to infer the same videos: online or with a lookahead over the whole video, deciding by masks or by evidence, and
by evidence with depths as the guide has them. --thresholds compares rules of evidence instead, offline, on videos that
are not those of the tables. The error of a difference from the first way is a paired bootstrap over videos.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.metrics import Evaluation
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.experiments.synthetic import TEST_SEED
from scalor_pyro.experiments.ways import OFFLINE, ONLINE, Way
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.evidence import Worth, worth_for
from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.cards import synthetic_card_of, synthetic_names

BATCH = 16
RESAMPLES = 2000


# Offline, by the rule of `worth_for`, but with the depths that the guide infers.
GUIDE = "offline, evidence, depths of the guide"
PRINTED = ("mota", "mota_strict", "idf1", "precision", "recall", "count_mae", "mse")


def ways_for(scalor: Scalor, thresholds: Sequence[tuple[float, float]]) -> dict[str, Way]:
    """The ways to compare.

    :param thresholds: of discovering and of going on, in nats for each px of object_size²; none: all ways by the rule.
    """
    if thresholds:
        area = scalor.config.object_size**2
        rules = {f"{new:g}, {on:g}": Worth(new * area, on * area) for new, on in thresholds}
        return {"offline, masks": Way(None), **{name: Way(None, worth) for name, worth in rules.items()}}
    rule = worth_for(scalor)
    return {
        "online, masks": ONLINE,
        "online, evidence": Way(0, rule),
        "offline, masks": Way(None),
        "offline, evidence": OFFLINE,
        GUIDE: Way(None, replace(rule, order=False)),
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--mnist", type=Path, metavar="FILE", help="MNIST, for the weights trained on digits of it")
    add("--weights", nargs="+", choices=synthetic_names(), default=synthetic_names(), help="default: all")
    add("--videos", type=int, default=200, metavar="N", help="videos (default: %(default)s)")
    add("--seed", type=int, default=TEST_SEED, help="of the videos (default: that of the tables, %(default)s)")
    add("--split", choices=("train", "test"), default="test", help="of the videos (default: test)")
    add("--thresholds", type=float, nargs="+", default=[], metavar="T", help="pairs: of discovering, of going on")
    add("--out", type=Path, metavar="FILE.json", help="keep the scores")
    options = parser.parse_args(arguments)
    if len(options.thresholds) % 2:
        parser.error(f"--thresholds: expected pairs of numbers, got {len(options.thresholds)} numbers.")
    options.thresholds = list(zip(options.thresholds[::2], options.thresholds[1::2], strict=True))
    return options


def score(scalor: Scalor, stream: SyntheticVideos, count: int, way: Way) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """All figures; and for each video its errors and its objects, whose sums give MOTA at both distances. (N, 2, 2)"""
    together, errors, seconds = Evaluation(), [], 0.0
    for start in range(0, count, BATCH):
        batch = stream.batch(start, min(BATCH, count - start))
        frames, began = batch.tensor(), time.perf_counter()
        inference = infer(scalor, frames, lookahead=way.lookahead, evidence=way.evidence)
        seconds += time.perf_counter() - began
        together.add(inference, frames, batch.truth)
        for video, truth in enumerate(batch.truth):
            alone = Evaluation()
            only = type(inference)(*(part[video : video + 1] for part in inference))
            alone.add(only, frames[video : video + 1], [truth])
            found = alone.result()
            objects = sum(truth.share >= 0.5)
            errors.append([[(1 - found[name]) * objects, objects] for name in ("mota", "mota_strict")])
    return {**together.result(), "videos_per_second": count / seconds}, np.nan_to_num(np.array(errors))


def spread(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of the difference of MOTA at both distances, by resampling videos."""
    chosen = np.random.default_rng(0).integers(len(one), size=(RESAMPLES, len(one)))
    difference = [(each[chosen, :, 0].sum(1) / each[chosen, :, 1].sum(1)) for each in (one, other)]
    error: NDArray[np.float64] = (difference[0] - difference[1]).std(0)
    return error


def main(arguments: list[str] | None = None) -> int:
    """Score, print and keep."""
    options = parse(arguments)
    torch.set_num_threads(1)
    kept: dict[str, dict[str, Any]] = {}
    rows = []
    for name in options.weights:
        data, scalor = synthetic_card_of(name)[0].evaluated, Scalor.from_pretrained(name)
        stream = SyntheticVideos(data, options.seed, options.split, options.mnist if data.digits == "mnist" else None)
        first = None
        for title, way in ways_for(scalor, options.thresholds).items():
            figures, errors = score(scalor, stream, options.videos, way)
            gain = [""] * 2 if first is None else [f"± {error:.3f}" for error in spread(errors, first)]
            first = errors if first is None else first
            kept.setdefault(name, {})[title] = {**figures, "errors": spread(errors, first).tolist()}
            shown = {key: f"{figures[key]:.3f}" for key in PRINTED} | {"mse": f"{figures['mse']:.4f}"}
            shown["mota"], shown["mota_strict"] = f"{shown['mota']} {gain[0]}", f"{shown['mota_strict']} {gain[1]}"
            rows.append([name, title, *shown.values(), f"{figures['videos_per_second']:.1f}"])
            print(*rows[-1], flush=True)
    print(markdown_table(["weights", "inference", *PRINTED, "videos/s"], rows))
    if options.out is not None:
        write_atomically(options.out, json.dumps(kept, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
