"""``scalor weights``: the trained models that come with the package."""

import argparse

from scalor_pyro.evaluation.tables import named_values, shown
from scalor_pyro.runs.cards import card_of, data_of, shown_data
from scalor_pyro.runs.pretrained import names

DESCRIPTION = """List the trained models in the package: their training data, and MOTA on unseen videos of that kind
(matching within 2 object sizes / within 0.5). `scalor track`, `scalor generate` and Scalor.from_pretrained take such a
name instead of a run folder; without a name, `scalor track` uses any-scene. For details see docs/weights.md."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser("weights", help=summary, description=DESCRIPTION)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the list."""
    rows = []
    for name in names():
        config, card = card_of(name)
        scores = f"MOTA {shown(card['mota'])} / {shown(card['mota_strict'])}"
        rows.append(
            (
                name,
                f"{shown_data(data_of(config))}: {scores}",
            )
        )
    print(named_values(rows))
    return 0
