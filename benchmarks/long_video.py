"""A long video of many sprites, tracked from end to end and linked: is memory flat, do identities last?

Makes two videos of one scene, 640 × 480 px at 10 frames a second, with 40 sprites that drift and bounce over a
textured background: two minutes to train on, twenty to track. Trains (``scalor train``), tracks (``scalor track``)
while it looks at the memory of that process, links (``scalor link``), and scores the tracks against the truth: as
tracked, linked, and with identities by the truth::

    python benchmarks/long_video.py --out runs/long
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from linking import Tracked, by_truth
from scipy.optimize import linear_sum_assignment
from sprite_video import RATE, make, textured_scene

from scalor_pyro.config import DataConfig
from scalor_pyro.data import GroundTruth
from scalor_pyro.evaluation.metrics import hota, score
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

SPRITES = DataConfig(
    objects="sprites", count_min=40, count_max=40, object_size=28.0, image_size=(480, 640), speed_min=1.0, speed_max=5.0
)
TRAINING = "train.mp4", 1, 2.0  # name, seed, minutes
LONG = "long.mp4", 0
# px, see textured_scene.
SCALE = 100
# Frames before and after a line is crossed, between which an identity should be kept.
AROUND = 5
# Seconds between two looks at the memory; flat is judged after the first minute.
LOOK_EVERY, SETTLED = 5.0, 60.0


def watched(command: list[str]) -> tuple[float, list[tuple[float, float]]]:
    """Run a command; the seconds it took, and (seconds, MB in memory) on the way (Linux)."""
    memory: list[tuple[float, float]] = []
    started = looked = time.monotonic()
    process = subprocess.Popen(command)
    page = 4096
    while process.poll() is None:
        time.sleep(0.2)
        now = time.monotonic()
        if now - looked >= LOOK_EVERY:
            looked = now
            resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * page
            memory.append((round(now - started, 1), round(resident / 1e6, 1)))
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")
    return time.monotonic() - started, memory


def kept_over(tracks: Tracks, truth: GroundTruth, every: int, offset: int) -> float:
    """Of the sprites that cross a line, the share that has the same identity some frames before and after.

    :param every: px between the lines, of either direction.
    :param offset: px, of the first line.
    """
    frames = int(truth.frame.max()) + 1
    known = np.full((frames, SPRITES.count_max), -1)  # reported identity of each sprite
    place = np.full((frames, SPRITES.count_max, 2), np.nan)
    place[truth.frame, truth.identity] = np.stack([truth.x, truth.y], 1)
    starts = np.searchsorted(tracks.frame, np.arange(frames + 1))
    for t in range(frames):
        rows = slice(starts[t], starts[t + 1])
        centres = np.stack([tracks.x[rows], tracks.y[rows]], 1)
        distance = np.linalg.norm(place[t][:, None] - centres[None], axis=-1)
        true, reported = linear_sum_assignment(np.minimum(distance, SPRITES.object_size))
        near = distance[true, reported] < SPRITES.object_size / 2
        known[t, true[near]] = tracks.identity[rows][reported[near]]
    cell = np.floor((place - offset) / every)
    crossing = (cell[AROUND + 1 : -AROUND] != cell[AROUND : -AROUND - 1]).any(-1)  # (T - 2·AROUND - 1, N)
    before, after = known[: -2 * AROUND - 1][crossing], known[2 * AROUND + 1 :][crossing]
    both = (before >= 0) & (after >= 0)
    return float((before == after)[both].mean())


def scored(tracks: Tracks, truth: GroundTruth) -> dict[str, float]:
    """Scores of the whole video, and how many identities there are."""
    scores = asdict(score([tracks], [truth]))
    return {**scores, "hota": hota([tracks], [truth]).hota, "identities": len(np.unique(tracks.identity))}


def table(scores: dict[str, dict[str, float]]) -> str:
    """A row for each way."""
    rows = []
    for way, each in scores.items():
        shares = [f"{each[key]:.3f}" for key in ("mota", "mota_strict", "idf1", "hota", "precision", "recall")]
        rows.append([way, *shares, f"{each['switches']:.0f}", f"{each['identities']:.0f}"])
    heads = ["", "MOTA 2×", "MOTA 0.5×", "IDF1", "HOTA", "precision", "recall", "switches", "identities"]
    return markdown_table(heads, rows)


def main() -> None:
    """Make, train, track, link, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20, help="length of the long video (default: 20)")
    parser.add_argument("--training", type=float, default=10, help="minutes of training (default: 10)")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    name, seed, minutes = TRAINING
    scene = textured_scene(SPRITES.image_size, SCALE)
    make(out / name, SPRITES, seed, round(minutes * 60 * RATE), scene)
    frames = round(options.minutes * 60 * RATE)
    truth = make(out / LONG[0], SPRITES, LONG[1], frames, scene)
    scalor = [sys.executable, "-m", "scalor_pyro"]
    if not (out / "run").exists():
        budget = ["--from-scratch", "--minutes", str(options.training)]
        subprocess.run([*scalor, "train", str(out / name), "--out", str(out / "run"), *budget], check=True)
    tracking = ["track", str(out / LONG[0]), "--weights", str(out / "run"), "--out", str(out / "tracks"), "--overwrite"]
    seconds, memory = watched([*scalor, *tracking, "--no-report", "--no-link"])
    linking = ["link", str(out / "tracks" / "long.csv"), "--out", str(out / "linked"), "--overwrite"]
    to_link, memory_of_linking = watched([*scalor, *linking])
    tracks = read_mot(out / "tracks" / "long.txt")
    ways = {
        "as tracked": tracks,
        "linked": read_mot(out / "linked" / "long.txt"),
        "identities by the truth": by_truth(Tracked(tracks, np.zeros((len(tracks), 0)), truth, SPRITES.image_size)),
    }
    scores = {way: scored(each, truth) for way, each in ways.items()}
    window = json.loads((out / "run" / "config.json").read_text())["video"]["options"]["crop"]["width"]
    settled = [size for at, size in memory if at >= SETTLED]
    results = {
        "frames": frames,
        "seconds": seconds,
        "frames_per_second": frames / seconds,
        "seconds_to_link": to_link,
        "memory_mb": {"least": min(settled, default=None), "most": max(settled, default=None), "all": memory},
        "memory_mb_to_link": max((size for _, size in memory_of_linking), default=None),
        "kept_over_window_borders": kept_over(tracks, truth, window, window),
        "kept_over_other_lines": kept_over(tracks, truth, window, window // 2),
        "kept_over_window_borders_linked": kept_over(ways["linked"], truth, window, window),
        "scores": scores,
        "provenance": provenance(MadeBy(command_line(__file__, None)), "cpu"),
    }
    (out / "results.json").write_text(json.dumps(results, indent=1))
    print(json.dumps({**results, "memory_mb": {**results["memory_mb"], "all": len(memory)}, "scores": None}, indent=1))
    print(table(scores))


if __name__ == "__main__":
    main()
