"""Train one setting repeatedly with parts of the model switched off, and compare the results.

    python examples/ablate.py                        # rejection and attention (paper Figure 8 a, b)
    python examples/ablate.py --paper                # the same, all trained with the paper's settings
    python examples/ablate.py --table deviations     # each deviation from the paper, undone one at a time

Each cell of the table is a run folder, so the same command continues an interrupted table: finished cells are read, an
unfinished one is resumed. `table.md`, `table.json` and `curves.png` compare all cells.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import ConfigError, RunConfig, Stage
from scalor_pyro.config.presets import PRESETS, paper
from scalor_pyro.evaluation.metrics import markdown
from scalor_pyro.experiments.synthetic import run_experiment, with_known_digits
from scalor_pyro.files import write_atomically
from scalor_pyro.plots.curves import compare_curves
from scalor_pyro.runs.folder import CONFIG, RunFolder
from scalor_pyro.runs.loading import load_config

Change = Callable[[RunConfig], RunConfig]

# Logged steps of each training: enough for a curve.
LOGGED = 20
# Scores that the table leaves out.
LEFT_OUT = ("misses", "false_alarms", "count_mae", "mse", "steps")
CURVES = {"propagation_rate": "propagated share of drawn objects", "discoveries": "discoveries per video"}


def model(**fields: Any) -> Change:
    """Set fields of the model."""
    return lambda config: replace(config, model=replace(config.model, **fields))


def full_length(config: RunConfig) -> RunConfig:
    """No curriculum: full-length videos from the first step."""
    last = config.train.curriculum[-1]
    return replace(config, train=replace(config.train, curriculum=(Stage(1.0, last.frames, last.batch),)))


# The paper's Figure 8, and rejection among proposals on its own. Explaining away looks at the frame, too.
BLIND = {"attention": False, "explain_away": False}
REJECTION: dict[str, Change] = {
    "rejection and attention": model(),
    "no rejection among proposals": model(reject_among_proposals=False),
    "no attention": model(**BLIND),
    "no attention, none among proposals": model(**BLIND, reject_among_proposals=False),
    "no rejection": model(rejection=False),
    "no rejection, no attention": model(**BLIND, rejection=False),
}
# By the name of the switch, as in docs/deviations.md.
DEVIATIONS: dict[str, Change] = {
    "default": model(),
    "reject_among_proposals": model(reject_among_proposals=False),
    "reject_among_propagated": model(reject_among_propagated=False),
    "reject_by_colour": model(reject_by_colour=False),
    "constant_velocity": model(constant_velocity=False),
    "explain_away": model(explain_away=False),
    "object_attention": model(object_attention=False),
    "inertia": model(inertia=False),
    "tight boxes": model(size_range=0.5, aspect_range=0.5),
    "shortlist": model(first_shortlist=0, shortlist=0),
    "colour_start": model(colour_start=False),
    "contrast_input": model(contrast_input=False),
    "curriculum": full_length,
}
TABLES = {"rejection": REJECTION, "deviations": DEVIATIONS}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--table", choices=list(TABLES), default="rejection", help="which parts to switch (default: rejection)"
    )
    parser.add_argument(
        "--preset", choices=list(PRESETS), default="ablation", help="setting (default: ablation, 6-36 sprites)"
    )
    parser.add_argument("--paper", action="store_true", help="start from the paper's settings of the preset")
    parser.add_argument("--only", nargs="+", metavar="CELL", help="names of the cells to train (default: all)")
    parser.add_argument("--steps", type=int, default=400, help="steps of each training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    parser.add_argument("--eval-videos", type=int, default=64, metavar="N", help="unseen videos (default: %(default)s)")
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST, for presets with digits")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/ablation"), metavar="DIR", help="folder (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def cells(options: argparse.Namespace) -> dict[str, RunConfig]:
    """The config of each cell; a cell that changes nothing in this preset, or the same as another, is left out.

    :raises ConfigError: if --only names another cell than these, or for a budget below 1 step.
    """
    base = PRESETS[options.preset]()
    if options.paper:
        base = paper(base)
    train = replace(
        base.train, steps=options.steps, eval_every=options.steps, log_every=max(1, options.steps // LOGGED)
    )
    base = replace(base, seed=options.seed, train=train)
    configs: dict[str, RunConfig] = {}
    for name, change in TABLES[options.table].items():
        config = change(base)
        if config not in configs.values():
            configs[name] = config
    if unknown := set(options.only or ()) - set(configs):
        raise ConfigError(
            f"--only: expected cells among {', '.join(map(repr, configs))}, got {', '.join(sorted(unknown))}."
        )
    return {name: config for name, config in configs.items() if options.only is None or name in options.only}


def trained(config: RunConfig, folder: Path, options: argparse.Namespace) -> Mapping[str, Any] | None:
    """The results of a cell, read or trained; None if the training was interrupted.

    :raises ConfigError: if the folder holds the results of another training.
    """
    results = folder / "results.json"
    if results.exists():
        if load_config(folder, RunConfig) != with_known_digits(config, options.mnist):
            raise ConfigError(f"{folder} holds a training with other settings; use the same settings or another --out.")
        known: Mapping[str, Any] = json.loads(results.read_text())
        return known
    return run_experiment(
        config, folder, mnist=options.mnist, resume=(folder / CONFIG).exists(), final_videos=options.eval_videos
    )


@command
def main(arguments: list[str] | None = None) -> int:
    """Train the missing cells, and compare all."""
    options = parse(arguments)
    results, rows = {}, {}
    for name, config in cells(options).items():
        setting = f"{'paper-' * options.paper}{options.preset}-{options.seed}"
        folder = options.out / setting / name.replace(" ", "-").replace(",", "")
        figures = trained(config, folder, options)
        if figures is None:
            print("Interrupted. Run the same command again to continue.")
            return INTERRUPTED
        results[name], rows[name] = figures, RunFolder.open(folder).rows()
    png = io.BytesIO()
    compare_curves(rows, CURVES).savefig(png, format="png", dpi=120)
    write_atomically(options.out / "curves.png", png.getvalue())
    write_atomically(options.out / "table.json", json.dumps(results, indent=1).encode())
    table = markdown(results, LEFT_OUT)
    write_atomically(options.out / "table.md", table.encode())
    print(table, end="")
    print(f"The table, the curves and the run folders are in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
