"""The results of finished runs as a Markdown table, as in docs/results.md.

python benchmarks/table.py runs/demo runs/sprites
"""

import argparse
import json
from pathlib import Path

from scalor_pyro.checkpoint import load_config

# Heading → key of results.json and its format.
COLUMNS = {
    "MOTA 2×": ("mota", "{:.3f}"),
    "MOTA 0.5×": ("mota_strict", "{:.3f}"),
    "IDF1": ("idf1", "{:.3f}"),
    "precision": ("precision", "{:.3f}"),
    "recall": ("recall", "{:.3f}"),
    "misses": ("misses", "{}"),
    "false alarms": ("false_alarms", "{}"),
    "switches": ("switches", "{}"),
    "CountMAE": ("count_mae", "{:.3f}"),
    "MSE": ("mse", "{:.4f}"),
    "propagated": ("propagation_rate", "{:.3f}"),
    "steps": ("steps", "{}"),
    "minutes": ("training_minutes", "{:.1f}"),
}


def row(folder: Path) -> list[str]:
    """A run's name, what it was trained on, and its figures."""
    results = json.loads((folder / "results.json").read_text())
    data = load_config(folder).data
    shown = f"{data.objects}, {data.count_min}–{data.count_max}" + (", background" if data.background else "")
    digits = f" ({results['digits']})" if results["digits"] else ""
    figures = ["-" if results[key] is None else form.format(results[key]) for key, form in COLUMNS.values()]
    return [shown + digits, str(results["seed"]), *figures]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    rows = [["objects", "seed", *COLUMNS], *(row(folder) for folder in parser.parse_args().runs)]
    rows.insert(1, ["---"] * len(rows[0]))
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
