"""What does a short training on the video itself add to the weights for any scene?

    python benchmarks/adapting.py FOLDER --out runs/adapting --only crowd_ld
    python benchmarks/adapting.py --movers 908 928 --out runs/adapting

Each video is tracked with the weights for any scene, then trained on as `scalor train` does without an option, and
tracked with the weights that training ended with, from those for any scene and from random ones, whether or not
`scalor train` keeps them. What follows `--` goes to
`scalor train`; a run that is there is continued, or, if it is done, compared again. FOLDER is one of annotated videos,
as benchmarks/any_scene.py takes it. --movers makes videos of made-up movers, larger, longer and more different in size
than those that the weights have seen, one for each seed. Scores are by centres within one size.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from any_scene import Annotated, annotated, scored, tracked, write_results

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError, MoverConfig
from scalor_pyro.config.movers import BODIES
from scalor_pyro.data import MoverVideos
from scalor_pyro.data.movers import MoverVideo
from scalor_pyro.evaluation.metrics import true_tracks
from scalor_pyro.evaluation.tables import markdown_table, shown
from scalor_pyro.experiments.videos import FRESH
from scalor_pyro.runs.checkpoint import export_weights, load_training_state
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot, write_mot

# Videos of made-up movers: as large as a small camera video, and with twice the spread of sizes.
MOVERS = MoverConfig(image_size=(160, 192), object_size=13.0, frames=120, most=26, size_spread=0.5)
SHOWN = {"mota": "MOTA", "idf1": "IDF1", "hota": "HOTA", "precision": "precision", "recall": "recall"}


def made(seed: int, folder: Path, bodies: tuple[str, ...] = BODIES) -> Annotated:
    """A video of made-up movers, and its truth, as files.

    :param bodies: of which kinds they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    video = MoverVideos(replace(MOVERS, bodies=bodies), seed).video(0)
    np.save(folder / "clip.npy", video.frames.transpose(0, 2, 3, 1))
    write_mot(folder / "gt.txt", whole(video))
    return Annotated(f"movers {seed}", folder / "clip.npy", folder / "gt.txt")


def recorded(seed: int, folder: Path) -> Annotated:
    """The same as a camera records it: the frames themselves, not how they differ from the scene."""
    folder.mkdir(parents=True, exist_ok=True)
    video = MoverVideos(MOVERS, seed).recorded(0)
    frames = np.rint(255 * video.frames.clip(0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    np.save(folder / "clip.npy", frames[..., 0] if frames.shape[-1] == 1 else frames)
    write_mot(folder / "gt.txt", whole(video.shown))
    return Annotated(f"recorded movers {seed}", folder / "clip.npy", folder / "gt.txt")


def whole(video: MoverVideo) -> Tracks:
    """The true tracks of one video, with the boxes around all of each object's opaque part."""
    truth = true_tracks(video.truth)
    rows = truth.identity, truth.frame
    left, top, right, bottom = video.boxes[rows].T.astype(np.float64)
    boxed = replace(truth, x=(left + right) / 2, y=(top + bottom) / 2, width=right - left, height=bottom - top)
    return boxed.rows(video.areas[rows] > 0)


def compared(video: Annotated, out: Path, training: Sequence[str]) -> dict[str, Any]:
    """Scores without and with training, and what the training says of itself."""
    truth, run = read_mot(video.truth), out / "run"
    before, _ = tracked(video.video, out / "any-scene", [])
    train(video.video, run, training)
    after, _ = tracked(video.video, out / "trained", ["--weights", str(at_the_end(run))])
    found = {"before": before, "after": after}
    if (run / FRESH).exists():
        found["fresh"], _ = tracked(video.video, out / FRESH, ["--weights", str(run / FRESH)])
    scores = {name: scored(tracks, truth)["centres"] for name, tracks in found.items()}
    return {**scores, "training": json.loads((run / "results.json").read_text())}


def at_the_end(run: Path) -> Path:
    """A copy of a run with the weights at the end of its training."""
    copy = run.parent / "end"
    shutil.copytree(run, copy, dirs_exist_ok=True)
    folder = RunFolder.open(copy)
    export_weights(folder, load_training_state(folder.state))
    return copy


def train(video: Path, run: Path, options: Sequence[str]) -> None:
    """Train on a video; continue a run that is there."""
    given = ["--resume"] if run.exists() else [str(video), *options]
    subprocess.run([sys.executable, "-m", "scalor_pyro", "train", "--out", str(run), *given], check=True)


def table(results: dict[str, dict[str, Any]]) -> str:
    """Two or three rows for each video."""
    rows = []
    for name, of in results.items():
        held_out = of["training"]["held_out"]
        ends = {"after": ("any scene", held_out), "fresh": ("random weights", held_out.get("fresh"))}
        rows.append([name, "no", *(shown(of["before"][key]) for key in SHOWN), "", "", "", held_out["kept"]])
        for key, (start, compared) in ends.items():
            if compared is not None:
                rows.append(["", start, *(shown(of[key][score]) for score in SHOWN), *gained(compared), ""])
    heads = [
        "",
        "trained from",
        *SHOWN.values(),
        "held-out ELBO, nats per frame",
        "followed",
        "propagated",
        "weights kept",
    ]
    return markdown_table(heads, rows)


def gained(compared: dict[str, dict[str, float]]) -> list[str]:
    """What a training has changed on held-out clips."""
    elbo, followed, share = (compared[name] for name in ("elbo", "followed", "propagated"))
    return [
        f"{elbo['end'] - elbo['start']:+.1f} ± {elbo['error']:.1f}",
        f"{followed['start']:.1f} → {followed['end']:.1f} ± {followed['error']:.1f}",
        f"{share['start']:.4f} → {share['end']:.4f} ± {share['error']:.4f}",
    ]


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what goes to `scalor train`."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    own, further = arguments[:place], arguments[place + 1 :]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("folder", type=Path, nargs="?", metavar="FOLDER", help="NAME/gt.txt and a video beside it, for each video")
    add("--movers", type=int, nargs="+", default=[], metavar="SEED", help="also make videos of these seeds")
    add("--only", nargs="+", default=[], metavar="NAME", help="these videos of FOLDER alone")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for tracks, runs and results.json")
    return parser.parse_args(own), further


@command
def main(arguments: list[str] | None = None) -> int:
    """Track, train, track again, score, and write the results."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options, training = parse(arguments)
    videos = [] if options.folder is None else annotated(options.folder, options.only)
    videos += [made(seed, options.out / f"movers-{seed}") for seed in options.movers]
    if not videos:
        raise ConfigError("FOLDER: expected annotated videos, or --movers, got neither.")
    results = {each.name: compared(each, options.out / each.name.replace(" ", "-"), training) for each in videos}
    write_results(options.out / "results.json", results, __file__, arguments)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
