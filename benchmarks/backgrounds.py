"""Backgrounds that are not quite still: does drifting light or rippling water become objects?

Makes two small videos, 96 × 96 px with 12 sprites of 13 px, for each kind of background: still, drifting light, a lower
part that ripples, the same with faint sprites, and a swell. Trains on one video as ``scalor train`` does, for a fixed
number of steps, tracks the other, and scores the tracks: by default, and once for each safeguard removed or added::

    python benchmarks/backgrounds.py --out runs/backgrounds
    python benchmarks/backgrounds.py --out runs/backgrounds --kinds ripples --variants default grey_start

Each cell leaves a file, so an interrupted table continues where it stopped.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from sprite_video import Pixels, make, textured_scene

from scalor_pyro.cli.tracking.figures import Seen
from scalor_pyro.config import DataConfig, Stage, TrainConfig, VideoRunConfig
from scalor_pyro.data import GroundTruth
from scalor_pyro.evaluation.metrics import CARE_SHARE, Tally, markdown, without_nan
from scalor_pyro.experiments.video_configs import proposed_run
from scalor_pyro.experiments.videos import run_on_videos
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.trained import load
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.folder import CONFIG
from scalor_pyro.tracks.table import concatenate
from scalor_pyro.tracks.tracker import CHUNK, tracker_of
from scalor_pyro.video import ReadOptions, Video, propose, survey

Times = NDArray[np.int64]  # (n,) frames
Waves = tuple[tuple[float, float, float], ...]

SPRITES = DataConfig(
    objects="sprites", count_min=12, count_max=12, object_size=13.0, image_size=(96, 96), speed_min=0.5, speed_max=2.0
)
SCALE = 46  # px, see textured_scene
TRAINING, TRACKING = (1, 400), (0, 300)  # seed, frames
# Three eighths of the usual frames in a step.
CURRICULUM = (Stage(0.1, 2, 12), Stage(0.6, 4, 6), Stage(1.0, 8, 3))
# Light: up and down by this part in so many frames, and by this part from left to right in the same time.
GAIN, GRADIENT, DRIFT = 0.18, 0.15, 300
# Water: below this part of the height, waves of this height (of the range from black to white) and flicker.
SHORE, RIPPLE, FLICKER = 0.6, 0.1, 0.03
# …: px between crests, along x and y, and radians a frame; crests smaller than a sprite, and as large.
RIPPLES = ((9.0, 14.0, 0.5), (-17.0, 11.0, 0.8))
SWELL = ((28.0, 45.0, 0.3), (-40.0, 26.0, 0.4))
# Faint sprites have this share of their colour, and differ from the background hardly more than a wave does.
FAINT = 0.4
HEIGHT, WIDTH = SPRITES.image_size


def steady(times: Times) -> float:
    """Light that does not change."""
    return 1.0


def drifting(times: Times) -> Pixels:
    """Light that becomes more and less, and comes more from the left and more from the right. (n, 1, 1, W)"""
    phase = (2 * np.pi * times / DRIFT)[:, None, None, None]
    across = np.linspace(-1, 1, WIDTH)
    light: Pixels = ((1 + GAIN * np.sin(phase)) * (1 + GRADIENT * np.cos(phase) * across)).astype(np.float32)
    return light


def still(times: Times) -> float:
    """A scene that does not move."""
    return 0.0


def water(times: Times, waves: Waves = RIPPLES) -> Pixels:
    """Waves that travel over the lower part of the scene, and flicker there. (n, 1, H, W)"""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    time = times[:, None, None]
    height = sum(np.sin(2 * np.pi * (x / a + y / b) + speed * time) for a, b, speed in waves)
    flicker = np.random.default_rng(int(times[0])).normal(0, FLICKER, (len(times), HEIGHT, WIDTH))
    moved: Pixels = ((RIPPLE * height + flicker) * (y >= SHORE * HEIGHT))[:, None].astype(np.float32)
    return moved


class Kind(NamedTuple):
    """The background, the light and the sprites of a kind."""

    ripple: Callable[[Times], Pixels | float] = still
    light: Callable[[Times], Pixels | float] = steady
    contrast: float = 1.0


KINDS = {
    "still": Kind(),
    "light": Kind(light=drifting),
    "ripples": Kind(ripple=water),
    "faint": Kind(ripple=water, contrast=FAINT),
    "swell": Kind(ripple=partial(water, waves=SWELL), contrast=FAINT),
}


class Variant(NamedTuple):
    """The differences from the default."""

    model: Mapping[str, Any] = {}
    train: Mapping[str, Any] = {}
    scene: bool = True  # whether training is shown the scene
    start: str | None = None  # the kind whose default training it begins with
    sigma: float = 1.0  # so many times what is proposed


# The remedies of presets.HELD_AT_FIRST, undone.
NOT_HELD = {name: getattr(TrainConfig(), name) for name in ("discovery_bound", "propagation_release")}
VARIANTS = {
    "default": Variant(),
    "no_colour_start": Variant(model={"colour_start": False}),
    "not_held": Variant(train=NOT_HELD),
    "no_difference": Variant(model={"difference_input": False}),
    "grey_start": Variant(scene=False),
    "sigma_2": Variant(sigma=2.0),
    "sigma_3": Variant(sigma=3.0),
    "flicker_2": Variant(model={"flicker": 2.0}),
    "flicker_3": Variant(model={"flicker": 3.0}),
    "started": Variant(start="still"),
}


def blind(scene: bool) -> AbstractContextManager[Any]:
    """Without a background image, training cannot set one."""
    return nullcontext() if scene else patch.object(Scalor, "set_background_image", lambda self, images: None)


def configured(video: Path, variant: Variant, steps: int) -> VideoRunConfig:
    """The run that ``scalor train`` would make, with a number of steps."""
    config = proposed_run((str(video),), ReadOptions(), propose(survey(Video(video))))
    model = replace(config.model, sigma=variant.sigma * config.model.sigma, **variant.model)
    train = replace(config.train, **{"steps": steps, "curriculum": CURRICULUM, **variant.train})
    return replace(config, model=model, train=train)


def tracked(folder: Path, video: Path, truth: GroundTruth, scene: bool) -> dict[str, float]:
    """Track a video with a trained run, and score it."""
    run = load(folder)
    tracker, reader = tracker_of(run, video)
    if not scene:
        tracker.scalor.load_state_dict(run.scalor.state_dict())
    seen, parts = Seen(), []
    for chunk in reader.chunks(CHUNK):
        found = tracker.advance(chunk)
        parts.append(found.tracks)
        seen.add(found)
    tally = Tally()
    tally.add(concatenate(parts), truth)
    return {**asdict(tally.scores()), **seen.figures()}


def cell(out: Path, kind: str, name: str, steps: int, truth: GroundTruth) -> dict[str, Any]:
    """The figures of a kind and a variant: read, or trained for."""
    folder, variant = out / f"{kind}-{name}", VARIANTS[name]
    results = folder / "cell.json"
    if not results.exists():
        config = configured(out / f"{kind}-train.mp4", variant, steps)
        if variant.start is not None:
            start = str(out / f"{variant.start}-default")
            config = replace(config, train=replace(config.train, start_from=start))
        with blind(variant.scene):
            run_on_videos(config, folder, resume=(folder / CONFIG).exists())
        figures = without_nan(tracked(folder, out / f"{kind}-test.mp4", truth, variant.scene))
        write_atomically(results, json.dumps({**figures, "steps": steps}, indent=1).encode())
    known: dict[str, Any] = json.loads(results.read_text())
    return known


def main() -> None:
    """Make, train, track, score; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=200, help="of each training (default: 200)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    scene = textured_scene(SPRITES.image_size, SCALE)
    results: dict[str, Mapping[str, Any]] = {}
    for kind in options.kinds:
        make(options.out / f"{kind}-train.mp4", SPRITES, *TRAINING, scene, *KINDS[kind])
        truth = make(options.out / f"{kind}-test.mp4", SPRITES, *TRACKING, scene, *KINDS[kind])
        visible = int((truth.share >= CARE_SHARE).sum())
        results[f"{kind}: truth"] = {"objects_per_frame": visible / TRACKING[1]}
        for name in options.variants:
            results[f"{kind}: {name}"] = cell(options.out, kind, name, options.steps, truth)
            print(markdown(results, ["misses", "false_alarms", "count_mae", "steps"]), flush=True)


if __name__ == "__main__":
    main()
