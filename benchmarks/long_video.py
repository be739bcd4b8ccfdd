"""A long video of many sprites, tracked from end to end: is memory flat, do identities last?

Makes two videos of one scene, 640 × 480 px at 10 frames a second, with 40 sprites that drift and bounce over a
textured background: two minutes to train on, twenty to track. Trains (``scalor train``), tracks (``scalor track``)
while it looks at the memory of that process, and scores the tracks against the truth::

    python benchmarks/long_video.py --out runs/long
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from scalor_pyro.config import DataConfig
from scalor_pyro.data.painting import paint
from scalor_pyro.data.scenes import Scenes, draw_scenes
from scalor_pyro.data.sprites import sprite_glyphs
from scalor_pyro.data.truth import GroundTruth, ground_truth
from scalor_pyro.metrics import Tally
from scalor_pyro.run_folder import written_whole
from scalor_pyro.track_text import read_mot
from scalor_pyro.tracks import Tracks

RATE = 10  # frames per second
SPRITES = DataConfig(
    objects="sprites", count_min=40, count_max=40, object_size=28.0, image_size=(480, 640), speed_min=1.0, speed_max=5.0
)
TRAINING = "train.mp4", 1, 2.0  # name, seed, minutes
LONG = "long.mp4", 0
# Frames painted at a time.
CHUNK = 50
# The scene: grey values of plane waves and of a fixed grain, and the noise of the camera; of 1.
GREY, WAVES, GRAIN, NOISE = 0.45, 0.12, 0.03, 0.01
# Frames before and after a line is crossed, between which an identity should be kept.
AROUND = 5
# Seconds between two looks at the memory; flat is judged after the first minute.
LOOK_EVERY, SETTLED = 5.0, 60.0


def scene_background() -> NDArray[np.float32]:
    """(1, 1, 3, H, W)"""
    height, width = SPRITES.image_size
    y, x = np.mgrid[:height, :width] / 100
    generator = np.random.default_rng(0)
    image = np.full((3, height, width), GREY)
    for _ in range(6):
        direction, phase = generator.normal(size=2) * 2, generator.uniform(0, 6.28)
        tint = generator.uniform(-1, 1, (3, 1, 1))
        image += WAVES / 2 * tint * np.sin(direction[0] * x + direction[1] * y + phase)
    image += generator.normal(0, GRAIN, (1, height, width))
    return image[None, None].astype(np.float32)


def chunks(scenes: Scenes, frames: int) -> Iterator[Scenes]:
    """The scenes of so many frames, a few at a time."""
    for start in range(0, frames, CHUNK):
        part = slice(start, min(frames, start + CHUNK))
        yield replace(scenes, centre=scenes.centre[:, :, part], alive=scenes.alive[:, :, part])


def make(path: Path, seed: int, frames: int) -> GroundTruth:
    """Write a video as H.264, if it is not there, and give its truth."""
    bank = sprite_glyphs(SPRITES.object_size)
    scenes = draw_scenes(SPRITES, seed, "test", range(1), len(bank), frames)
    if not path.exists():
        with written_whole(path) as temporary:
            write(temporary, scenes, bank, seed)
    (truth,) = ground_truth(scenes, bank, SPRITES.object_size, SPRITES.image_size)
    return truth


def write(path: Path, scenes: Scenes, bank: NDArray[np.uint8], seed: int) -> None:
    """Write the scenes as a video."""
    camera, behind = np.random.default_rng(seed), scene_background()
    height, width = SPRITES.image_size
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        for part in chunks(scenes, scenes.centre.shape[2]):
            length = part.centre.shape[2]
            video = paint(part, bank, SPRITES.image_size, np.repeat(behind, length, 1))[0]
            video += camera.normal(0, NOISE, video.shape).astype(np.float32)
            for image in (video.clip(0, 1) * 255).round().astype(np.uint8):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.moveaxis(image, 0, -1)), format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


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


def main() -> None:
    """Make, train, track, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20, help="length of the long video (default: 20)")
    parser.add_argument("--training", type=float, default=10, help="minutes of training (default: 10)")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    name, seed, minutes = TRAINING
    make(out / name, seed, round(minutes * 60 * RATE))
    frames = round(options.minutes * 60 * RATE)
    truth = make(out / LONG[0], LONG[1], frames)
    scalor = [sys.executable, "-m", "scalor_pyro"]
    if not (out / "run").exists():
        budget = ["--minutes", str(options.training)]
        subprocess.run([*scalor, "train", str(out / name), "--out", str(out / "run"), *budget], check=True)
    tracking = ["track", str(out / LONG[0]), "--weights", str(out / "run"), "--out", str(out / "tracks"), "--overwrite"]
    seconds, memory = watched([*scalor, *tracking, "--player", "0"])
    tally, tracks = Tally(), read_mot(out / "tracks" / "long.txt")
    tally.add(tracks, truth)
    window = json.loads((out / "run" / "config.json").read_text())["video"]["options"]["crop"]["width"]
    settled = [size for at, size in memory if at >= SETTLED]
    results = {
        "frames": frames,
        "seconds": seconds,
        "frames_per_second": frames / seconds,
        "memory_mb": {"least": min(settled, default=None), "most": max(settled, default=None), "all": memory},
        "kept_over_window_borders": kept_over(tracks, truth, window, window),
        "kept_over_other_lines": kept_over(tracks, truth, window, window // 2),
        "scores": asdict(tally.scores()),
    }
    (out / "results.json").write_text(json.dumps(results, indent=1))
    print(json.dumps({**results, "memory_mb": {**results["memory_mb"], "all": len(memory)}}, indent=1))


if __name__ == "__main__":
    main()
