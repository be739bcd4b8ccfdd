"""What is gained where tracks that stay together say that objects are held in parts, and larger ones are looked for?

    python benchmarks/parts.py --movers 3001 3002 --sprites 371 --out runs/parts

Each video is tracked with the weights for any scene, without an option, as if nothing had been noticed, and as
`scalor track` does it. Videos are those of benchmarks/alike.py. Scores are by centres within one size, not linked.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from adapting import made
from alike import sprites
from any_scene import Annotated, scored

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.any_scene import trials
from scalor_pyro.tracks.table import from_dataframe
from scalor_pyro.tracks.text import read_mot
from scalor_pyro.tracks.tracker import track

WAYS = {"unnoticed": 0, "noticed": trials.TIMES}
SHOWN = {"mota": "MOTA", "idf1": "IDF1", "hota": "HOTA", "precision": "precision", "recall": "recall"}


def compared(video: Annotated) -> dict[str, dict[str, float]]:
    """Scores in both ways."""
    truth, results = read_mot(video.truth), {}
    for way, times in WAYS.items():
        trials.TIMES = times
        results[way] = scored(from_dataframe(track(video.video, link=False)), truth)["centres"]
    return results


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A row for each video that is tracked in another way now; then what is gained over all of them."""
    changed = {name: ways for name, ways in results.items() if ways["unnoticed"] != ways["noticed"]}
    rows = [
        [name, *(" / ".join(f"{ways[way][key]:.3f}" for key in SHOWN) for way in WAYS)]
        for name, ways in changed.items()
    ]
    figures = " / ".join(SHOWN.values())
    lines = [markdown_table(["video", f"unnoticed: {figures}", "noticed"], rows)]
    lines.append(f"{len(results)} videos, {len(changed)} changed")
    for key in list(SHOWN)[:3] if len(results) > 1 else []:
        gains = [ways["noticed"][key] - ways["unnoticed"][key] for ways in results.values()]
        error = statistics.stdev(gains) / len(gains) ** 0.5
        worse = sum(gain < 0 for gain in gains)
        lines.append(f"{key}: {statistics.mean(gains):+.3f} ± {error:.3f} over all videos, lower in {worse}")
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movers", nargs="+", type=int, default=[], metavar="SEED", help="videos of made-up movers")
    parser.add_argument("--sprites", nargs="+", type=int, default=[], metavar="SEED", help="videos of sprites")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for videos and scores")
    options = parser.parse_args(arguments)
    if not options.movers and not options.sprites:
        raise ConfigError("expected --movers or --sprites, to know which videos to make, got neither.")
    return options


@command
def main(arguments: list[str] | None = None) -> int:
    """Make, track, score and print."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    results: dict[str, Any] = {}
    for make, seeds in ((made, options.movers), (sprites, options.sprites)):
        for seed in seeds:
            video = make(seed, options.out / f"{make.__name__}-{seed}")
            results[video.name] = compared(video)
    about = {"videos": results, "provenance": provenance(MadeBy(command_line(__file__, arguments)), "cpu")}
    write_atomically(options.out / "parts.json", json.dumps(without_nan(about), indent=1).encode())
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
