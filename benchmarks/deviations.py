"""What each deviation from the paper buys: train the same preset with one of them undone at a time.

    python benchmarks/deviations.py --preset sprites-md --steps 250

Each training is a run folder of its own; what is finished is not trained again, and what was cut off goes on.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from scalor_pyro.config import RunConfig, Stage
from scalor_pyro.experiment import run_experiment
from scalor_pyro.presets import PRESETS
from scalor_pyro.run_folder import CONFIG

Change = Callable[[RunConfig], RunConfig]


def without(**fields: object) -> Change:
    """Set fields of the model as the paper has them."""
    return lambda config: replace(config, model=replace(config.model, **fields))  # type: ignore[arg-type]


def full_length(config: RunConfig) -> RunConfig:
    """No curriculum: videos of the last stage's length from the first step."""
    last = config.train.curriculum[-1]
    return replace(config, train=replace(config.train, curriculum=(Stage(1.0, last.frames, last.batch),)))


# By the name of the switch, as in docs/deviations.md.
CHANGES: dict[str, Change] = {
    "default": lambda config: config,
    "reject_among_proposals": without(reject_among_proposals=False),
    "reject_among_propagated": without(reject_among_propagated=False),
    "reject_by_colour": without(reject_by_colour=False),
    "constant_velocity": without(constant_velocity=False),
    "explain_away": without(explain_away=False),
    "object_attention": without(object_attention=False),
    "inertia": without(inertia=False),
    "tight boxes": without(size_range=0.5, aspect_range=0.5),
    "shortlist": without(first_shortlist=0, shortlist=0),
    "colour_start": without(colour_start=False),
    "contrast_input": without(contrast_input=False),
    "curriculum": full_length,
}


def main() -> None:
    """Train each cell and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", choices=list(PRESETS), default="sprites-md")
    parser.add_argument("--steps", type=int, default=250, help="budget of each training (default: 250)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=int, default=64, help="unseen videos to score on (default: 64)")
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), default=list(CHANGES), metavar="NAME")
    parser.add_argument("--mnist", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("runs/deviations"), metavar="DIR")
    options = parser.parse_args()
    base = PRESETS[options.preset]()
    base = replace(base, seed=options.seed, train=replace(base.train, steps=options.steps, eval_every=10**9))
    columns = ("mota", "mota_strict", "idf1", "switches", "propagation_rate", "discoveries", "training_minutes")
    print("undone", *columns, sep=" | ")
    for name in options.only:
        config = CHANGES[name](base)
        if name != "default" and config == base:
            continue  # the preset does not have this deviation
        folder = options.out / f"{options.preset}-{name.replace(' ', '_')}-{options.seed}"
        results = folder / "results.json"
        if not results.exists():
            run_experiment(
                config, folder, mnist=options.mnist, resume=(folder / CONFIG).exists(), final_videos=options.videos
            )
        figures = json.loads(results.read_text())
        # None: there was nothing to count, as when no object is found yet.
        shown = ("-" if figures[column] is None else f"{figures[column]:.3g}" for column in columns)
        print(name, *shown, sep=" | ", flush=True)


if __name__ == "__main__":
    main()
