"""Do two objects that meet keep their identities? Of pairs that cross, the share that does.

    python benchmarks/crossings.py sprites-ld-0 occlusion-0 --mnist mnist.npz --out crossings.json

RUN is a run folder, or the name of packaged weights. Videos are those of the run's own setting, and those in which
sprites move towards each other (--meet); training saw none of them. Each is inferred online and offline, not linked.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError, RunConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.crossings import CrossingScorer, CrossingScores
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.tables import markdown_table, shown
from scalor_pyro.experiments.synthetic import TEST_SEED
from scalor_pyro.experiments.ways import WAYS, Way
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import infer
from scalor_pyro.inference.trained import load
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.table import tracks_of

BATCH = 16


def scores(scalor: Scalor, stream: SyntheticVideos, count: int, way: Way) -> CrossingScores:
    """Of the first videos of a stream."""
    scorer = CrossingScorer()
    for start in range(0, count, BATCH):
        batch = stream.batch(start, min(BATCH, count - start))
        frames = batch.tensor()
        inference = infer(scalor, frames, **way._asdict())
        height, width = frames.shape[-2:]
        for tracks, truth in zip(tracks_of(inference, (height, width)), batch.truth, strict=True):
            scorer.add(tracks, truth)
    return scorer.total()


@command
def main(arguments: list[str] | None = None) -> int:
    """Score, print and keep."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="run folders, or names of packaged weights")
    add("--meet", action="store_true", help="also videos in which objects move towards each other")
    add("--mnist", type=Path, metavar="FILE", help="MNIST, for weights trained on digits of it")
    add("--videos", type=int, default=200, metavar="N", help="videos (default: %(default)s)")
    add("--out", type=Path, metavar="FILE.json", help="keep the scores")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found: dict[str, dict[str, Any]] = {}
    rows = []
    for run in options.runs:
        trained = load(run)
        if not isinstance(trained.config, RunConfig):
            raise ConfigError(f"{run}: expected a run on synthetic digits or sprites, got another kind.")
        own = trained.config.evaluated
        for motion in {own.motion: None} | ({"meet": None} if options.meet else {}):
            data = replace(own, motion=motion)
            stream = SyntheticVideos(data, TEST_SEED, "test", options.mnist if data.digits == "mnist" else None)
            for name, way in WAYS.items():
                total = scores(trained.scalor, stream, options.videos, way)
                found.setdefault(Path(run).name, {})[f"{motion}, {name}"] = asdict(total)
                shares = (shown(each) for each in (total.followed, total.kept, total.swapped))
                rows.append([Path(run).name, motion, name, str(total.crossings), *shares])
                print(*rows[-1], flush=True)
    print(markdown_table(["weights", "motion", "inference", "crossings", "followed", "kept", "swapped"], rows))
    if options.out is not None:
        about = {"runs": without_nan(found), "provenance": provenance(MadeBy(command_line(__file__, arguments)), "cpu")}
        write_atomically(options.out, json.dumps(about, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
