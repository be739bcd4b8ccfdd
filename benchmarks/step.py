"""The cost of training, tracking and making data on one thread.

    python benchmarks/step.py
    python benchmarks/step.py --only step tracking --json step.json

Each variant runs in its own process, one after the other, so that its peak memory is its own. Times are the median over
repeats after a warm-up; the processor time beside them does not count what other programs take from the core.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pyro
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from scalor_pyro.config import DataConfig, ModelConfig, TrainConfig
from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.experiments.baselines import BASELINES, baseline
from scalor_pyro.inference.posterior import follow
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import EPSILON, Canvas
from scalor_pyro.model import attention, scalor
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.optimiser import make_optimiser

# B and T of every measurement.
VIDEOS, FRAMES = 16, 10
# The model of the step: 64×64 px, 8×8 cells, K = M = 16, over a moving background.
STEP = ModelConfig(background="moving", colour_start=True, contrast_input=True)
# The same drawing all 64 cells, as the paper does.
ALL_CELLS = replace(STEP, shortlist=0, first_shortlist=0)
# K = M = 6.
VLD = preset("digits", "VLD")
# The bundled digits need no network.
VLD_VIDEOS = replace(VLD.data, digits="uci")
MD_VIDEOS = preset("sprites", "MD", background=True).data

Measured = dict[str, float]


def median_times(work: Callable[[], object], repeats: int) -> Measured:
    """The median of wall and processor time in seconds, after one call to warm up."""
    work()
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return {"seconds": statistics.median(walls), "processor_seconds": statistics.median(processors)}


def video_frames(config: DataConfig) -> Tensor:
    """(B, T, C, H, W)"""
    return SyntheticVideos(config, 0, "train").batch(0, VIDEOS, FRAMES).tensor()


def step(module: Any, videos: DataConfig, repeats: int) -> Measured:
    """A training step: loss, backward, clip, fused Adam."""
    config = TrainConfig()
    elbo, frames = ReparamELBO(), video_frames(videos)
    module.schedule(config.scheduled(0))
    optimiser = make_optimiser(list(module.parameters()), config)

    def train() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss = elbo.differentiable_loss(module.model, module.guide, frames) / (VIDEOS * FRAMES)
        loss.backward()
        clip_grad_norm_(module.parameters(), config.clip)
        optimiser.step()

    return median_times(train, repeats)


def baseline_step(name: str, repeats: int) -> Measured:
    """A training step of a baseline on VLD videos."""
    return step(BASELINES[name].build(baseline(name).model), VLD_VIDEOS, repeats)


def step_without_savings(repeats: int) -> Measured:
    """A step that draws every cell, each over the whole image."""
    with whole_images():
        return step(Scalor(ALL_CELLS), MD_VIDEOS, repeats)


@contextmanager
def whole_images() -> Iterator[None]:
    """Within, each object is drawn over the whole image instead of in its window."""
    with (  # patching refuses a name that is not there
        patch.object(Scalor, "_patches", lambda _, *groups: reduce(Objects.joined, groups)),
        patch.object(scalor, "Sum", Everywhere),
        patch.object(scalor, "drawn", lambda *drawn: Everywhere.of(*drawn).drawn()),
        patch.object(attention, "draw", draw_everywhere),
    ):
        yield


class Everywhere(NamedTuple):
    """Objects in place of the sum of their patches."""

    objects: Objects
    image_size: tuple[int, int]

    @classmethod
    def of(cls, objects: Objects, image_size: tuple[int, int]) -> "Everywhere":
        """All of some objects."""
        return cls(objects, image_size)

    def drawn(self) -> Canvas:
        """The frame that they draw."""
        some = self.objects
        return draw_everywhere(some.glimpse, some.where, some.presence, some.depth, self.image_size)


def draw_everywhere(
    glimpses: Tensor,
    where: Tensor,
    presence: Tensor,
    depth: Tensor,
    image_size: tuple[int, int],
    window: tuple[int, int] | None = None,
) -> Canvas:
    """What :func:`~scalor_pyro.layers.rendering.draw` draws, by one grid_sample over the image for every object."""
    batch, n, channels = glimpses.shape[:3]
    scale, centre = where.flatten(0, 1).chunk(2, -1)  # (B·n, 2)
    to_glimpse = torch.cat((torch.diag_embed(1 / scale), (-centre / scale)[..., None]), -1)  # (B·n, 2, 3)
    grid = F.affine_grid(to_glimpse, [batch * n, channels, *image_size], align_corners=False)
    layers = F.grid_sample(glimpses.flatten(0, 1), grid, align_corners=False).unflatten(0, (batch, n))
    present = layers * presence[..., None, None, None]
    importance = present[:, :, -1:] * torch.sigmoid(-depth)[..., None, None]
    normalised = (present * importance).sum(1) / (importance.sum(1) + EPSILON)
    return Canvas(normalised[:, :-1], normalised[:, -1:])


def tracking(repeats: int) -> Measured:
    """Following the objects of a batch of VLD videos, without gradients."""
    module, frames = Scalor(VLD.model), video_frames(VLD_VIDEOS)
    return median_times(lambda: follow(module, frames), repeats)


def data(config: DataConfig, repeats: int) -> Measured:
    """Making a batch of videos."""
    videos = SyntheticVideos(config, 0, "train")
    starts = iter(range(0, VIDEOS * (repeats + 1), VIDEOS))
    return median_times(lambda: videos.batch(next(starts), VIDEOS, FRAMES).tensor(), repeats)


# Name → description, how to measure it, and repeats.
VARIANTS: dict[str, tuple[str, Callable[[int], Measured], int]] = {
    "step": (
        "training step: 64x64, 8x8 cells, K=M=16, background",
        lambda repeats: step(Scalor(STEP), MD_VIDEOS, repeats),
        5,
    ),
    "step_full": ("the same, all 64 cells and full-resolution renderer", step_without_savings, 3),
    "step_vld": ("training step: VLD preset, K=M=6", lambda repeats: step(Scalor(VLD.model), VLD_VIDEOS, repeats), 5),
    "step_sqair": ("training step: SQAIR on VLD, K=4", lambda repeats: baseline_step("sqair", repeats), 5),
    "step_vrnn": ("training step: VRNN", lambda repeats: baseline_step("vrnn", repeats), 5),
    "step_vae": ("training step: sequential VAE", lambda repeats: baseline_step("sequential-vae", repeats), 5),
    "tracking": ("tracking: VLD preset, no gradients", tracking, 9),
    "data_vld": ("data: digits VLD over black", lambda repeats: data(VLD_VIDEOS, repeats), 20),
    "data_md": ("data: sprites MD over a moving background", lambda repeats: data(MD_VIDEOS, repeats), 20),
}


def measure(name: str, repeats: int | None) -> Measured:
    """Measure one variant in this process."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    pyro.set_rng_seed(0)
    _, work, usual = VARIANTS[name]
    with pyro.validation_enabled(False):
        figures = work(repeats or usual)
    # In KiB but on macOS, where it is in bytes. A new process inherits the peak of the one that started it, which
    # matters not because that one has only imported what this one has.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    return {**figures, "peak_gb": peak}


def measure_apart(name: str, repeats: int | None) -> Measured:
    """Measure one variant in a process of its own, on one thread."""
    command = [sys.executable, __file__, "--measure", name]
    command += ["--repeats", str(repeats)] if repeats else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: Measured = json.loads(done.stdout)
    return figures


def ratios(measured: dict[str, Measured]) -> dict[str, float]:
    """Ratios of the figures, by processor time, which other programs disturb least."""

    def seconds(name: str) -> float:
        return measured[name]["processor_seconds"]

    found = {}
    if {"step", "step_full"} <= measured.keys():
        found["step_full / step, time"] = seconds("step_full") / seconds("step")
        found["step_full / step, memory"] = measured["step_full"]["peak_gb"] / measured["step"]["peak_gb"]
    if "tracking" in measured:
        found["tracking, frames per second"] = VIDEOS * FRAMES / seconds("tracking")
    for made, used in (("data_vld", "step_vld"), ("data_md", "step")):
        if {made, used} <= measured.keys():
            found[f"{made} / {used} (expected: below 0.1)"] = seconds(made) / seconds(used)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--repeats", type=int, help="of each variant (default: 3 to 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--measure", choices=list(VARIANTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.repeats)))
        return
    print(f"{VIDEOS} videos of {FRAMES} frames, one thread, torch {torch.__version__}")
    print(f"{'':55}  {'seconds':>8}  {'processor':>9}  {' peak GB':>8}")
    measured = {}
    for name in options.only or VARIANTS:
        measured[name] = row = measure_apart(name, options.repeats)
        print(
            f"{VARIANTS[name][0]:55}  {row['seconds']:8.3f}  {row['processor_seconds']:9.3f}  {row['peak_gb']:8.2f}",
            flush=True,
        )
    found = ratios(measured)
    for name, value in found.items():
        print(f"{name:55}  {value:8.3g}")
    if options.json:
        options.json.write_text(
            json.dumps({"torch": torch.__version__, "measured": measured, "ratios": found}, indent=1)
        )


if __name__ == "__main__":
    main()
