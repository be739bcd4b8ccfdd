"""Score trained runs on any setting: longer videos, more objects, unseen digits, occlusion (paper App. C).

python examples/evaluate.py runs/sprites-md --on trained lg
python examples/evaluate.py runs/unseen-digits --on trained test
python examples/evaluate.py runs/demo --on trained --frames 20
python examples/evaluate.py digits-vld --mnist mnist.npz
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyro

from scalor_pyro import Scalor
from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError, DataConfig, ModelConfig, RunConfig
from scalor_pyro.config.presets import PRESETS, test_videos
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.metrics import markdown, without_nan
from scalor_pyro.experiments.synthetic import TEST_SEED, evaluate, mean_nll, with_known_digits
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.loading import load_config, load_weights
from scalor_pyro.runs.sources import mnist_of

# Settings beside the presets.
OWN = ("trained", "test")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, or names of packaged weights")
    parser.add_argument("--on", nargs="+", default=["test"], choices=[*OWN, *PRESETS], metavar="SETTING",
                        help="videos to score on. trained: as in training; test: as in the run's own evaluation "
                        f"(default); or those of a preset: {', '.join(PRESETS)}")  # fmt: skip
    parser.add_argument("--frames", type=int, help="length of the videos")
    parser.add_argument("--count", type=int, nargs=2, metavar=("MIN", "MAX"), help="number of objects")
    parser.add_argument("--slots", type=int, metavar="K", help="number of slots, and of proposals in the first frame "
                        "(default: as trained)")  # fmt: skip
    parser.add_argument("--eval-videos", type=int, default=200, metavar="N", help="videos (default: %(default)s)")
    parser.add_argument("--nll", type=int, metavar="N", help="also measure the negative log-likelihood in nats per "
                        "pixel, with N importance samples per video")  # fmt: skip
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST, for runs with digits")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/evaluation"), metavar="DIR", help="output folder (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def setting(config: RunConfig, name: str, options: argparse.Namespace) -> DataConfig:
    """The videos to score a run on."""
    data = {"trained": config.data, "test": config.evaluated}.get(name) or test_videos(name, config.data)
    if options.frames is not None:
        data = replace(data, frames=options.frames)
    if options.count is not None:
        data = replace(data, count_min=options.count[0], count_max=options.count[1])
    return data


def with_capacity(model: ModelConfig, slots: int | None) -> ModelConfig:
    """The model with another number of slots; no weight depends on it."""
    return model if slots is None else replace(model, slots=slots, first_shortlist=min(slots, model.n_cells))


def scored(run: str, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The scores of a run in each setting, by the name of their row."""
    config = load_config(run, RunConfig)
    mnist = mnist_of(run, config.data, options.mnist if config.data.objects == "digits" else None)
    config = with_known_digits(config, mnist)
    if mnist is not None:
        print(f"The digits of {run} are from {mnist}.")
    scalor = Scalor(with_capacity(config.model, options.slots))
    load_weights(run, scalor, same_config=False)
    figures = {}
    for name in options.on:
        data = setting(config, name, options)
        if data.image_size != config.model.image_size:
            trained, got = (f"{width} × {height}" for height, width in (config.model.image_size, data.image_size))
            raise ConfigError(f"--on {name}: expected {trained} px, as {run} was trained on, got {got} px.")
        videos = SyntheticVideos(data, TEST_SEED, "test", mnist if data.objects == "digits" else None)
        row = without_nan(evaluate(scalor, videos, options.eval_videos))
        if options.nll is not None:
            row["nll"] = mean_nll(scalor, videos, options.eval_videos, options.nll)
        figures[f"{Path(run).name} on {name}"] = row
    return figures


@command
def main(arguments: list[str] | None = None) -> int:
    """Score and print."""
    options = parse(arguments)
    results: dict[str, dict[str, Any]] = {}
    pyro.set_rng_seed(0)  # of the importance samples
    for run in options.runs:
        results |= scored(run, options)
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "evaluation.json", json.dumps(results, indent=1).encode())
    write_atomically(options.out / "evaluation.md", markdown(results).encode())
    print(markdown(results), end="")
    print(f"The table is in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
