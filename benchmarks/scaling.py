"""How cost grows with the batch, the length, the objects and the pixels; and with objects inferred one after the other.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --only objects pixels --json scaling.json --picture scaling.png

The series (paper Figure 8 c): a training step against the batch, the frames, the slots (up to 1,024, on 512 × 512 px)
and the side of the image; and inference with 64 slots against the objects that are there, beside SQAIR with as many
slots as objects, and beside SCALOR's networks used as SQAIR uses its own, one object after the other. Each point is
measured in a process of its own, on one thread; processor time, because it does not count what other programs take.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyro
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from step import Measured, median_times
from torch import Tensor

from scalor_pyro.baselines.sqair import SQAIR
from scalor_pyro.config import DataConfig, ModelConfig, TrainConfig
from scalor_pyro.config.baselines import SQAIRConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.inference.posterior import ModeMessenger, follow
from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.layers.rendering import drawn
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.optimiser import make_optimiser

# Side of a cell in px, of an object, and of the images of the series that do not vary it.
CELL, OBJECT, SIDE = 8, 10.0, 64
SLOTS, VIDEOS, FRAMES = 16, 4, 4
# Slots of the series of inference; images hold the most objects that it looks at.
INFERENCE_SLOTS, INFERENCE_SIDE = 64, 128


def model(side: int = SIDE, slots: int = SLOTS) -> ModelConfig:
    """A model with K = M."""
    cells = side // CELL, side // CELL
    small = ModelConfig(image_size=(side, side), cells=cells, object_size=OBJECT, first_shortlist=0, shortlist=0)
    return replace(small, slots=slots, first_shortlist=slots, shortlist=slots)


def sprites(side: int, count: int, videos: int, frames: int) -> Tensor:
    """(B, T, 3, side, side) with a number of sprites in each video."""
    data = DataConfig(objects="sprites", count_min=count, count_max=count, object_size=OBJECT, frames=frames)
    return SyntheticVideos(replace(data, image_size=(side, side)), 0, "train").batch(0, videos, frames).tensor()


def step(config: ModelConfig, frames: Tensor, repeats: int) -> Measured:
    """A training step."""
    train = TrainConfig()
    module, elbo = Scalor(config), ReparamELBO()
    module.schedule(train.scheduled(0))
    optimiser = make_optimiser(list(module.parameters()), train)

    def once() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss = elbo.differentiable_loss(module.model, module.guide, frames) / frames[:, :, 0, 0, 0].numel()
        loss.backward()
        optimiser.step()

    return median_times(once, repeats)


def together(objects: int, repeats: int) -> Measured:
    """Inference of a video with so many objects, all slots at once; untrained, so that all that it finds is forced."""
    module = Scalor(model(INFERENCE_SIDE, INFERENCE_SLOTS))
    frames = sprites(INFERENCE_SIDE, objects, 1, FRAMES)
    return median_times(lambda: follow(module, frames), repeats)


def in_turn(objects: int, repeats: int) -> Measured:
    """Inference with the same networks, one object after the other.

    In the first frame each object is discovered in view of what those before it explain; later, each is propagated in
    its turn, and one more is looked for. An encoder of the frame is run once for all.
    """
    module = Scalor(model(INFERENCE_SIDE, 1))
    frames = sprites(INFERENCE_SIDE, objects, 1, FRAMES)

    @torch.no_grad()
    def once() -> None:
        features = module.frame_encoder(frames)
        all_slots: list[Slots] = []
        memories: list[Tensor | None] = [None] * objects
        for t in range(FRAMES):
            shown: Objects | None = None
            settled: list[Slots] = []
            for turn in range(objects + (t > 0)):
                propagated = None
                if turn < len(all_slots):
                    distribution = module.propagation_posterior(
                        all_slots[turn], memories[turn], module.annealed, frames[:, t], features.maps[:, t]
                    )
                    memories[turn] = distribution.memory
                    where, shape, velocity = module.boxes.propagated(all_slots[turn].objects, distribution.where.mean)
                    what = distribution.what(where).mean
                    presence = torch.ones_like(where[..., 0])
                    glimpse = module.decoder(what)
                    propagated = Objects(presence, where, shape, velocity, distribution.depth.mean, what, glimpse)
                    shown = propagated if shown is None else shown.joined(propagated)
                    settled.append(all_slots[turn]._replace(objects=propagated))
                    continue
                seen = None if shown is None else drawn(module._patches(shown), module.config.image_size)
                found = module.discovery_posterior(frames[:, t], features.cells[:, t], seen, module.annealed)
                cells = found.presence.logits.topk(1, 1).indices
                where, shape, velocity = module.boxes.discovered(found.where(cells).mean, cells)
                what = found.what(where).mean
                new = Objects(
                    torch.ones_like(where[..., 0]),
                    where,
                    shape,
                    velocity,
                    found.depth(cells).mean,
                    what,
                    module.decoder(what),
                )
                shown = new if shown is None else shown.joined(new)
                there = torch.ones(1, 1, dtype=torch.bool)
                settled.append(Slots(new, there, there, torch.zeros(1, 1).long(), cells, torch.ones(1, 1).long()))
            all_slots = settled[:objects]

    with ModeMessenger():
        return median_times(once, repeats)


def sqair(objects: int, repeats: int) -> Measured:
    """Inference by SQAIR with a slot for each object, so that its steps are as many as the objects need."""
    sides = (INFERENCE_SIDE, INFERENCE_SIDE)
    program = SQAIR(SQAIRConfig(image_size=sides, slots=objects, object_size=OBJECT))
    frames = sprites(INFERENCE_SIDE, objects, 1, FRAMES)
    with torch.no_grad(), ModeMessenger():
        return median_times(lambda: program.guide(frames), repeats)


# Series → the quantity that varies, its values, and the measurement with repeats.
SERIES: dict[str, tuple[str, tuple[int, ...], Callable[[int, int], Measured]]] = {
    "batch": (
        "videos in a step",
        (1, 4, 16, 64),
        lambda n, repeats: step(model(), sprites(SIDE, 10, n, FRAMES), repeats),
    ),
    "frames": (
        "frames in a step",
        (2, 5, 10, 20),
        lambda n, repeats: step(model(), sprites(SIDE, 10, VIDEOS, n), repeats),
    ),
    "slots": (
        "slots, 64 × 64 px",
        (4, 16, 64),
        lambda n, repeats: step(model(SIDE, n), sprites(SIDE, 10, VIDEOS, FRAMES), repeats),
    ),
    "objects": (
        "slots, 512 × 512 px",
        (64, 256, 1024),
        lambda n, repeats: step(model(512, n), sprites(512, n, 1, 2), repeats),
    ),
    "pixels": (
        "px of a side, 16 slots",
        (64, 128, 256, 512),
        lambda n, repeats: step(model(n), sprites(n, 10, 1, FRAMES), repeats),
    ),
    "together": ("objects, 64 slots at once: inference", (4, 16, 64), together),
    "in_turn": ("objects, one after the other: inference", (4, 16, 64), in_turn),
    "sqair": ("objects, one after the other by SQAIR: inference", (4, 16, 64), sqair),
}
# Series that share the panel of "together", and how its legend calls them.
INFERENCE = {"together": "all at once", "in_turn": "one after the other", "sqair": "SQAIR"}


def measure(series: str, value: int, repeats: int) -> Measured:
    """One point, in this process."""
    torch.set_num_threads(1)
    keep_freed_memory()
    pyro.set_rng_seed(0)
    with pyro.validation_enabled(False):
        figures = SERIES[series][2](value, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    return {**figures, "peak_gb": peak}


def measure_apart(series: str, value: int, repeats: int) -> Measured:
    """One point, in a process of its own."""
    command = [sys.executable, __file__, "--measure", series, str(value), "--repeats", str(repeats)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: Measured = json.loads(done.stdout)
    return figures


def draw(found: dict[str, dict[int, Measured]], path: Path) -> None:
    """Seconds against what varies, a panel for each series; all ways of inference share one."""
    ways = {name: label for name, label in INFERENCE.items() if name in found}
    panels = [name for name in found if name not in ways or name == next(iter(ways))]
    figure = Figure(figsize=(3.2 * len(panels), 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for series in ways if name in ways else (name,):
            points = found[series]
            axes.loglog(list(points), [each["processor_seconds"] for each in points.values()], "o-", label=series)
        values = list(found[name])
        axes.set_xticks(values, [str(value) for value in values])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("objects" if name in ways else SERIES[name][0])
        axes.set_title("inference" if name in ways else "training step", fontsize=10)
        if name in ways:
            axes.legend(list(ways.values()))
    figure.supylabel("processor seconds", fontsize=10)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SERIES), metavar="SERIES", help=", ".join(SERIES))
    parser.add_argument("--repeats", type=int, default=3, help="of each point (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw them there")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        series, value = options.measure
        print(json.dumps(measure(series, int(value), options.repeats)))
        return
    found: dict[str, dict[int, Measured]] = {}
    for series in options.only or SERIES:
        varies, values, _ = SERIES[series]
        print(f"{varies}: seconds of the processor, peak GB")
        found[series] = {}
        for value in values:
            row = found[series][value] = measure_apart(series, value, options.repeats)
            print(f"  {value:>6}  {row['processor_seconds']:8.3f}  {row['peak_gb']:6.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "series": found}, indent=1))
    if options.picture:
        draw(found, options.picture)


if __name__ == "__main__":
    main()
