"""Train the weights for any scene: SCALOR on made-up movers, seen as differences from their scene.

    python examples/train_any_scene.py --out runs/any-scene
    python examples/train_any_scene.py --out runs/any-scene --resume
    python examples/train_any_scene.py --out runs/longer --start-from runs/any-scene --steps 20000

No data are needed: the videos are made first and held in memory. On one core it takes about 80 minutes. The run folder
is what `scalor track --weights` takes.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyro
from numpy.typing import NDArray
from tqdm import tqdm

from scalor_pyro.cli.errors import command
from scalor_pyro.config import AnySceneRunConfig, MoverConfig, TrainConfig
from scalor_pyro.config.movers import any_scene
from scalor_pyro.config.options import add_option, given
from scalor_pyro.data.movers import MoverVideos
from scalor_pyro.evaluation.metrics import Evaluation
from scalor_pyro.evaluation.tables import named_values
from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.loading import load_config
from scalor_pyro.training.device import device_of
from scalor_pyro.training.loop import train

# Videos made at a time.
PART = 50


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/any-scene"), metavar="DIR", help="run folder (default: %(default)s)")
    add("--resume", action="store_true", help="go on with the run in DIR")
    add("--videos", type=int, default=4000, metavar="N", help="made-up videos to train on (default: %(default)s)")
    add("--workers", type=int, default=1, metavar="N", help="processes that make videos (default: %(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one (default)")
    add_option(parser, AnySceneRunConfig, "seed")
    for name in ("steps", "minutes", "start_from"):
        add_option(parser, TrainConfig, name)
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> AnySceneRunConfig:
    """The config that the options describe."""
    if options.resume:
        found: AnySceneRunConfig = load_config(options.out, AnySceneRunConfig)
        return found
    config = any_scene()
    seed = config.seed if options.seed is None else options.seed
    return replace(config, seed=seed, train=replace(config.train, **given(options, TrainConfig)))


def made(config: MoverConfig, seed: int, count: int, workers: int) -> NDArray[np.uint8]:
    """Videos to train on. (N, T, 3, H, W)"""
    frames = np.empty((count, config.frames, 3, *config.image_size), np.uint8)
    starts = range(0, count, PART)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_part, config, seed, start, min(PART, count - start)) for start in starts]
        for start, job in zip(tqdm(starts, desc="making videos", leave=False), jobs, strict=True):
            frames[start : start + PART] = job.result()
    return frames


def _part(config: MoverConfig, seed: int, start: int, count: int) -> NDArray[np.uint8]:
    return MoverVideos(config, seed).batch(start, count).frames


def scores(scalor: Scalor, config: AnySceneRunConfig, count: int) -> dict[str, float]:
    """Online tracking of made-up videos that training never sees."""
    videos, evaluation = MoverVideos(config.movers, config.seed, "test"), Evaluation()
    device = next(scalor.parameters()).device
    for start in range(0, count, 16):
        batch = videos.batch(start, min(16, count - start))
        evaluation.add(infer(scalor, batch.tensor(device)), batch.tensor(), batch.truth)
    return evaluation.result()


@command
def main(arguments: list[str] | None = None) -> int:
    """Train and report."""
    options = parse(arguments)
    config = configure(options)
    pyro.set_rng_seed(config.seed)
    scalor = Scalor(config.model).to(device_of(options.device))
    clips = made(config.movers, config.seed, options.videos, options.workers)
    train(
        scalor,
        clips,
        config,
        options.out,
        evaluate=lambda _: scores(scalor, config, config.train.eval_videos),
        resume=options.resume,
    )
    found: dict[str, Any] = scores(scalor.eval(), config, 200)
    print(named_values([(name, f"{value:.4g}") for name, value in found.items()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
