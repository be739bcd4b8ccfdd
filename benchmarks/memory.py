"""Is memory flat while one process tracks many videos? And what do two processes do that want the same output?

    python benchmarks/memory.py --videos 200

Tracks videos of different sizes one after the other with weights of the package, and prints the memory in use and the
names in Pyro's parameter store; then starts `scalor track` twice at the same time on one output.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyro
from numpy.typing import NDArray

from scalor_pyro.tracks.text import read_csv
from scalor_pyro.tracks.tracker import load_for_tracking
from scalor_pyro.tracks.tracking import track

WEIGHTS = "digits-vld"
# H, W of the videos, in turn; a model is made for each.
SIZES = ((64, 64), (64, 96), (96, 64), (48, 128), (80, 80))
FRAMES, SIDE = 24, 14
# Frames of the video that two processes want, so that both are at work at the same time.
LONG = 1500


def squares(frames: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """(T, H, W, 3): three bright squares that move over black and come back at the other side."""
    generator = np.random.default_rng(seed)
    video = np.zeros((frames, *size, 3), np.uint8)
    start, step = generator.uniform(0, size, (3, 2)), generator.uniform(-2, 2, (3, 2))
    for t in range(frames):
        for y, x in ((start + t * step) % (np.array(size) - SIDE)).astype(int):
            video[t, y : y + SIDE, x : x + SIDE] = 255
    return video


def resident() -> float:
    """MB of memory that this process uses."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("Expected a system that reports memory in /proc.")


def memory(videos: int) -> Iterator[tuple[int, float, int]]:
    """After each video: how many were tracked, MB in use, and names in the parameter store."""
    run = load_for_tracking(WEIGHTS)
    for number in range(1, videos + 1):
        track(squares(FRAMES, SIZES[number % len(SIZES)], number), run)
        yield number, resident(), len(pyro.get_param_store())


def two_at_once(folder: Path) -> str:
    """What two processes say that track one video to one place, and whether the tracks are whole."""
    np.save(folder / "a.npy", squares(LONG, SIZES[0], 0))
    line = ["-m", "scalor_pyro", "track", "a.npy", "--weights", WEIGHTS, "--out", "out", "--no-report"]
    both = [
        subprocess.Popen([sys.executable, *line], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [(process.communicate(), process.returncode) for process in both]
    refused = [err.strip().splitlines()[-1] for (_, err), status in said if status == 2]
    statuses = sorted(status for _, status in said)
    tracks = read_csv(folder / "out" / "a.csv")
    frames = json.loads((folder / "out" / "a.json").read_text())["frames"]
    return (
        f"exit statuses {statuses}; the second says: {'; '.join(refused)}\n"
        f"{len(tracks)} whole rows, last frame {tracks.frame.max()}, {frames} frames in the summary"
    )


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=200, metavar="N", help="how many (default: 200)")
    options = parser.parse_args()
    print("| videos tracked | memory, MB | names in the parameter store |\n|---:|---:|---:|")
    shown = {1, *(round(options.videos * share) for share in (0.1, 0.25, 0.5, 0.75, 1))}
    for number, used, names in memory(options.videos):
        if number in shown:
            print(f"| {number} | {used:.0f} | {names} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(f"\n{two_at_once(Path(folder))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
