"""The results of finished runs as a Markdown table, as in docs/results.md.

python benchmarks/table.py runs/demo runs/sprites
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalor_pyro.checkpoint import load_config
from scalor_pyro.metrics import markdown


def title(folder: Path, results: Mapping[str, Any]) -> str:
    """What a run was trained on, and its seed."""
    data = load_config(folder).data
    shown = f"{data.objects}, {data.count_min}–{data.count_max}" + (", background" if data.background else "")
    digits = f" ({results['digits']})" if results["digits"] else ""
    return f"{shown}{digits}, seed {results['seed']}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    results = {folder: json.loads((folder / "results.json").read_text()) for folder in parser.parse_args().runs}
    print(markdown({title(folder, figures): figures for folder, figures in results.items()}, ["discoveries"]), end="")


if __name__ == "__main__":
    main()
