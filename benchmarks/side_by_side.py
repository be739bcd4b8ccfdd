"""What is lost, and won, where parts of a video are tracked by processes of their own?

    python benchmarks/side_by_side.py --movers 8101 8102 8103 --processes 1 2 4 8 --out runs/side-by-side

Videos of made-up movers, one for each seed, are tracked with the weights for any scene by so many processes, linked and
not; scores are by centres within one size. Seconds are by the clock: they say something only on a machine with as many
quiet processors. With one thread for each process (OMP_NUM_THREADS=1), only --processes makes a difference.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from any_scene import scored, tracked, write_results
from track_speed import make

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.tracks.text import read_mot

SCORES = ("mota", "idf1", "hota")
# What follows `scalor track`, by name.
WAYS = {"linked": [], "not linked": ["--no-link"]}


def measured(seed: int, frames: int, processes: list[int], out: Path) -> dict[str, Any]:
    """Scores and seconds of a video, by way and number of processes."""
    video, truth = out / f"{seed}.mp4", out / f"{seed}.gt.txt"
    if not video.exists():
        make(video, frames, seed=seed, truth=truth)
    found: dict[str, Any] = {}
    for way, options in WAYS.items():
        for count in processes:
            folder = out / f"{way.replace(' ', '-')}-{count}"
            tracks, seconds = tracked(video, folder, ["--no-report", "--processes", str(count), *options])
            said = json.loads((folder / f"{seed}.json").read_text())
            scores = scored(tracks, read_mot(truth))["centres"]
            found.setdefault(way, {})[str(count)] = {
                **{name: scores[name] for name in SCORES},
                "seconds": seconds,
                "tracking_seconds": said["seconds"],
                "processes": said["processes"],
            }
    return found


def table(results: dict[str, dict[str, Any]], processes: list[int]) -> str:
    """A row for each way and number of processes: means, and differences from the first with their standard errors."""
    rows, videos = [], list(results.values())
    for way in WAYS:
        scores = np.array([[[each[way][str(n)][name] for name in SCORES] for n in processes] for each in videos])
        clock = np.array([[each[way][str(n)]["seconds"] for n in processes] for each in videos]).mean(0)
        for place, count in enumerate(processes):
            change = scores[:, place] - scores[:, 0]
            error = change.std(0, ddof=1) / len(videos) ** 0.5
            cells = [f"{mean:.3f}" for mean in scores[:, place].mean(0)]
            if place:
                cells = [
                    f"{cell} ({by:+.3f} ± {to:.3f})" for cell, by, to in zip(cells, change.mean(0), error, strict=True)
                ]
            rows.append([way, str(count), *cells, f"{clock[place]:.1f}"])
    return markdown_table(["", "processes", "MOTA", "IDF1", "HOTA", "seconds by the clock"], rows)


@command
def main(arguments: list[str] | None = None) -> int:
    """Make, track, score, and write the results."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--movers", type=int, nargs="+", required=True, metavar="SEED", help="a video for each seed")
    parser.add_argument("--frames", type=int, default=800, metavar="N", help="of a video (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N", help="numbers to compare"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for videos and results.json")
    options = parser.parse_args(arguments)
    if len(options.movers) < 2:
        raise ConfigError(f"--movers: expected at least 2 seeds, to tell the spread, got {len(options.movers)}.")
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for seed in options.movers:
        results[str(seed)] = measured(seed, options.frames, options.processes, options.out)
        print(
            seed, {way: {n: round(each["mota"], 3) for n, each in by.items()} for way, by in results[str(seed)].items()}
        )
    write_results(options.out / "results.json", results, __file__, arguments)
    print(table(results, options.processes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
