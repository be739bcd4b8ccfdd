"""How fast is the whole of `scalor track`, on one core?

    python benchmarks/track_speed.py --out runs/track-speed

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
from scalor_pyro.config import MoverConfig
from scalor_pyro.data import MoverVideos
from scalor_pyro.evaluation.metrics import true_tracks
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.annotate import Encoder
from scalor_pyro.tracks.text import write_mot

SIZE, OBJECT_SIZE, OBJECTS, SEED = (240, 320), 20.0, 25, 5
FRAMES, RATE = (100, 400), 25.0


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


@command
def main(arguments: list[str] | None = None) -> int:
    """Make, track, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for videos and tracks")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    results, rows = {}, []
    for name, further in {
        "all": [],
        "--no-report": ["--no-report"],
        "--no-report --no-link": ["--no-report", "--no-link"],
    }.items():
        seconds = []
        for frames in FRAMES:
            video = options.out / f"{frames}.mp4"
            if not video.exists():
                make(video, frames)
            took, objects = tracked(video, options.out, further)
            seconds.append(took)
        each = (seconds[1] - seconds[0]) / (FRAMES[1] - FRAMES[0])
        results[name] = {"seconds": seconds, "frames": FRAMES, "objects": objects, "ms_per_further_frame": 1000 * each}
        whole = [f"{frames / took:.0f}" for frames, took in zip(FRAMES, seconds, strict=True)]
        rows.append([name, f"{objects:.1f}", *whole, f"{1 / each:.0f}"])
    heads = ["", "objects per frame", *(f"frames/s, {frames} frames" for frames in FRAMES), "further frames/s"]
    print(markdown_table(heads, rows))
    results["provenance"] = provenance(MadeBy(command_line(__file__, arguments)), "cpu")
    write_atomically(options.out / "results.json", json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
