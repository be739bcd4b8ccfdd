"""What rejection is for: without it, tracking turns into discovering everything anew in each frame (paper Figure 8).

    python benchmarks/rejection.py
    python benchmarks/rejection.py --steps 100 --json rejection.json

Trains the `ablation` preset (6–36 sprites) twice from one seed on one thread, with rejection and without, and prints
how the propagation rate (of the objects after the first frame, the share that was there before) and the discoveries
per video go. In the paper the propagation rate collapses without rejection; in short runs of this model it did not, and
accuracy broke instead (docs/results.md).
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyro
import torch

from scalor_pyro.config import RunConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.elbo import ReparamELBO
from scalor_pyro.experiment import TEST_SEED, evaluate
from scalor_pyro.presets import ablation
from scalor_pyro.run_folder import RunFolder
from scalor_pyro.scalor import Scalor
from scalor_pyro.training import train

# Rows of the table.
ROWS = 10
# Unseen videos at the end.
TEST_VIDEOS = 32


def configured(rejection: bool, steps: int, seed: int) -> RunConfig:
    """The ablation preset, with rejection as it stands or with none."""
    config = ablation()
    model = replace(config.model, rejection=rejection, reject_among_proposals=rejection)
    return replace(
        config, model=model, train=replace(config.train, steps=steps, log_every=max(1, steps // ROWS)), seed=seed
    )


def trained(config: RunConfig) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The rows of a training, and the figures at its end."""
    pyro.set_rng_seed(config.seed)
    scalor = Scalor(config.model)
    with tempfile.TemporaryDirectory() as folder:
        videos = SyntheticVideos(config.data, config.seed, "train")
        if train(scalor, ReparamELBO(), videos, config, folder, tensorboard=False).interrupted:
            raise SystemExit(130)
        rows = RunFolder(folder).rows()
    return rows, evaluate(scalor, SyntheticVideos(config.evaluated, TEST_SEED, "test"), TEST_VIDEOS)


def main() -> None:
    """Train twice and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=400, help="of each training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = {name: trained(configured(name == "with", options.steps, options.seed)) for name in ("with", "without")}
    print_table(runs)
    if options.json:
        figures = {name: {"training": rows, "end": end} for name, (rows, end) in runs.items()}
        options.json.write_text(json.dumps(figures, indent=1))


def print_table(runs: dict[str, tuple[list[dict[str, Any]], dict[str, float]]]) -> None:
    """The two trainings side by side."""
    print(f"{'':>10}  {'propagation rate':^18}  {'discoveries/video':^18}")
    print(f"{'step':>10}" + 2 * f"  {'with':>8}  {'without':>8}")
    (with_rows, with_end), (without_rows, without_end) = runs["with"], runs["without"]
    for one, other in zip(with_rows, without_rows, strict=True):
        print_line(str(one["step"]), one, other)
    print_line("unseen", with_end, without_end)


def print_line(name: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """A line of the table: with, then without."""
    columns = [f"{row[key]:8.2f}" for key in ("propagation_rate", "discoveries") for row in (one, other)]
    print("  ".join([f"{name:>10}", *columns]))


if __name__ == "__main__":
    main()
