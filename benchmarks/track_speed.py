"""How fast is the whole of `scalor track`, on one core?

    python benchmarks/track_speed.py --out runs/track-speed --runs 5

Makes two lossless videos of made-up movers, one four times as long as the other, and tracks them with no option: start
of Python, survey, tracking, linking, files and report. Seconds are of the processor, with one thread. The difference
between both is what a further frame costs, whatever the start takes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError, MoverConfig
from scalor_pyro.data import MoverVideos
from scalor_pyro.evaluation.metrics import true_tracks
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.annotate import Encoder
from scalor_pyro.tracks.text import write_mot

SIZE, OBJECT_SIZE, OBJECTS, SEED = (240, 320), 20.0, 25, 5
FRAMES, RATE = (100, 400), 25.0
# What follows `scalor track`, by name.
WAYS: dict[str, list[str]] = {
    "all": [],
    "--no-report": ["--no-report"],
    "--no-report --no-link": ["--no-report", "--no-link"],
}


def make(path: Path, frames: int, size: tuple[int, int] = SIZE, seed: int = SEED, truth: Path | None = None) -> None:
    """A video of movers, compressed a little.

    :param truth: where to write the true tracks.
    """
    config = MoverConfig(image_size=size, object_size=OBJECT_SIZE, frames=frames, most=OBJECTS)
    batch = MoverVideos(config, seed).batch(0, 1)
    images = batch.frames[0]
    if truth is not None:
        write_mot(truth, true_tracks(batch.truth[0]))
    with Encoder(str(path), path, RATE, {"crf": "15"}) as encoder:
        for number, image in enumerate(images):
            encoder.add(np.ascontiguousarray(image.transpose(1, 2, 0)), number / RATE)


def tracked(video: Path, out: Path, further: list[str]) -> tuple[float, float]:
    """Seconds of the processor that `scalor track` takes, and objects per frame."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    track = [sys.executable, "-m", "scalor_pyro", "track", str(video), "--out", str(out), "--overwrite", *further]
    subprocess.run(track, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, float(json.loads((out / f"{video.stem}.json").read_text())["objects_per_frame"])


def row(name: str, runs: list[list[float]], objects: float) -> list[str]:
    """What the runs of one way took: medians, and of the further frames also the range.

    :param runs: seconds of the videos of FRAMES, for each run.
    """
    seconds = np.array(runs)
    whole = [f"{frames / took:.0f}" for frames, took in zip(FRAMES, np.median(seconds, 0), strict=True)]
    further = np.sort((FRAMES[1] - FRAMES[0]) / (seconds[:, 1] - seconds[:, 0]))
    spread = "" if len(runs) == 1 else f" ({further[0]:.0f} to {further[-1]:.0f})"
    return [name, f"{objects:.1f}", *whole, f"{np.median(further):.0f}{spread}"]


@command
def main(arguments: list[str] | None = None) -> int:
    """Make, track, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for videos and tracks")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="of each way, in turn (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        raise ConfigError(f"--runs: expected at least 1, got {options.runs}.")
    options.out.mkdir(parents=True, exist_ok=True)
    videos = [options.out / f"{frames}.mp4" for frames in FRAMES]
    for video, frames in zip(videos, FRAMES, strict=True):
        if not video.exists():
            make(video, frames)
    runs: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    objects = dict.fromkeys(WAYS, 0.0)
    for _ in range(options.runs):
        for name, further in WAYS.items():
            took = []
            for video in videos:
                seconds, objects[name] = tracked(video, options.out, further)
                took.append(seconds)
            runs[name].append(took)
    heads = ["", "objects per frame", *(f"frames/s, {frames} frames" for frames in FRAMES), "further frames/s"]
    print(markdown_table(heads, [row(name, runs[name], objects[name]) for name in WAYS]))
    made = provenance(MadeBy(command_line(__file__, arguments)), "cpu")
    results = {"seconds": runs, "frames": FRAMES, "objects": objects, "provenance": made}
    write_atomically(options.out / "results.json", json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
