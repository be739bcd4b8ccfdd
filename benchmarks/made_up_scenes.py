"""Sixteen made-up scenes of kinds that the package's generators do not make, to report scores on: nobody tunes on them.

    python benchmarks/made_up_scenes.py runs/scenes
    python benchmarks/made_up_scenes.py runs/scenes --sheets runs/sheets --only ants bees
    python benchmarks/rivals.py runs/scenes --out runs/scene-scores --untuned

Each is a pure function of the seed, drawn by code of its own (the folder ``scenes``). A folder for each holds clip.mkv
and gt.txt in MOTChallenge text, with the box of the whole object as far as it is in the picture; an object of which
less than half is in view and not hidden has the flag 0 and need not be found.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw
from scenes.animals import ants, bees, birds, insects, starfish, worms
from scenes.basics import Generator, Scene
from scenes.loose_things import balls, drops, leaves, letters
from scenes.microscopy import bacteria, cells, spots
from scenes.painting import SEEN, Row, painted
from scenes.traffic import boats, cars, walkers
from scipy.ndimage import gaussian_filter

from scalor_pyro.cli.errors import command
from scalor_pyro.files import write_atomically

VIDEO, TRUTH = "clip.mkv", "gt.txt"
# Of JPEG: each frame is compressed as cameras do it. The video itself is lossless: encoders are not reproducible.
QUALITY = 88
SEED = 20
# Pictures of a contact sheet.
SHOWN = 6

SCENES: dict[str, Callable[[Generator], Scene]] = {
    "ants": ants, "bacteria": bacteria, "balls": balls, "bees": bees, "birds": birds, "boats": boats, "cars": cars,
    "cells": cells, "drops": drops, "insects": insects, "leaves": leaves, "letters": letters, "spots": spots,
    "starfish": starfish, "walkers": walkers, "worms": worms,
}  # fmt: skip


def drawn(name: str, seed: int = SEED) -> Iterator[tuple[Any, list[Row]]]:
    """The frames of a scene as a camera sees them, (H, W, 3) bytes, with their truth."""
    generator = np.random.default_rng([seed, sorted(SCENES).index(name)])
    scene = SCENES[name](generator)
    camera = np.random.default_rng([seed, len(SCENES) + sorted(SCENES).index(name)])
    for t, things in enumerate(scene.things):
        picture, rows = painted(scene.ground(t), things)
        picture = gaussian_filter(picture, (scene.blur, scene.blur, 0)) if scene.blur else picture
        if scene.grey:
            picture = np.repeat(picture.mean(-1, keepdims=True), 3, -1)
        channels = 1 if scene.grey else 3
        if scene.photons:
            bright = np.clip(picture[..., :channels], 0, None)
            picture = np.broadcast_to(camera.poisson(bright * scene.photons) / scene.photons, picture.shape)
        picture = picture + camera.normal(0, scene.noise, (*picture.shape[:2], channels))
        yield compressed(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)), rows


def compressed(picture: Any) -> Any:
    """A picture after JPEG."""
    with io.BytesIO() as file:
        Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
        return np.asarray(Image.open(file).convert("RGB"))


def mot_lines(frame: int, rows: Sequence[Row]) -> list[str]:
    """The truth of a frame (from 0), in MOTChallenge text; its numbers count from 1."""
    return [
        f"{frame + 1},{row.identity + 1},{row.box[0] + 1:g},{row.box[1] + 1:g},{row.box[2]:g},{row.box[3]:g},"
        f"{int(row.seen >= SEEN)},-1,-1,-1"
        for row in rows
    ]


def write(folder: Path, name: str, seed: int = SEED) -> list[tuple[Any, list[Row]]]:
    """Draw a scene into its folder; returns what was drawn."""
    frames = list(drawn(name, seed))
    (folder / name).mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / name / VIDEO), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, _ = frames[0][0].shape
        stream.pix_fmt = "bgr0"
        for picture, _ in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    text = [line for t, (_, rows) in enumerate(frames) for line in mot_lines(t, rows)]
    write_atomically(folder / name / TRUTH, ("\n".join(text) + "\n").encode())
    return frames


def sheet(frames: Sequence[tuple[Any, list[Row]]]) -> Image.Image:
    """Some frames beside each other, with the boxes of the truth: red where an object need not be found."""
    chosen = np.linspace(0, len(frames) - 1, SHOWN).astype(int)
    height, width, _ = frames[0][0].shape
    paper = Image.new("RGB", (3 * width, (SHOWN + 2) // 3 * height))
    for place, t in enumerate(chosen):
        picture = Image.fromarray(frames[t][0])
        pen = ImageDraw.Draw(picture)
        for row in frames[t][1] if place % 2 else []:
            left, top, wide, high = row.box
            colour = "yellow" if row.seen >= SEEN else "red"
            pen.rectangle((left, top, left + wide - 1, top + high - 1), outline=colour)
            pen.text((left, top), str(row.identity), fill=colour)
        paper.paste(picture, (place % 3 * width, place // 3 * height))
    return paper


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw the scenes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="FOLDER", help=f"for NAME/{VIDEO} and NAME/{TRUTH} of each scene")
    parser.add_argument("--only", nargs="+", default=list(SCENES), choices=list(SCENES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=SEED, help="(default: %(default)s)")
    parser.add_argument("--sheets", type=Path, metavar="DIR", help="also a picture of some frames of each")
    options = parser.parse_args(arguments)
    for name in options.only:
        frames = write(options.out, name, options.seed)
        if options.sheets is not None:
            options.sheets.mkdir(parents=True, exist_ok=True)
            sheet(frames).save(options.sheets / f"{name}.png")
        seen = sum(row.seen >= SEEN for _, rows in frames for row in rows) / len(frames)
        numbers = {row.identity for _, rows in frames for row in rows}
        print(f"{name}: {len(frames)} frames, {len(numbers)} objects, {seen:.1f} in a frame", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
