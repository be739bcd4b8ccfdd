"""Inspect a trained SCALOR: its sites, its objects with their uncertainty, and interventions on one of them.

python examples/inspect_latents.py runs/demo
python examples/inspect_latents.py runs/demo --video 3 --frames 6 --out inspection
"""

import argparse
import io
import math
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from pyro import poutine
from torch import Tensor

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError, RunConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.experiments.synthetic import TEST_SEED
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.interventions import Track, Values, hold_velocity, move, remove, swap_appearance, track
from scalor_pyro.inference.latents import frames_of
from scalor_pyro.inference.objects import boxes, reported
from scalor_pyro.inference.posterior import Inference, ModeMessenger, collect
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.pictures import draw_boxes, objects_picture, show, to_image
from scalor_pyro.runs.loading import load_config
from scalor_pyro.runs.pretrained import own_folder
from scalor_pyro.runs.sources import mnist_of
from scalor_pyro.tracks.spread import Spread, box_spread

# An object is moved towards the middle of the view by this share of the largest move in one frame, each way.
SHIFT = 0.7
# Later frames have the same sites as the second one.
SHOWN_FRAMES = 2
# Inches of a frame in a filmstrip.
PANEL = 1.15


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", metavar="RUN", help="run folder, or name of packaged weights")
    parser.add_argument("--video", type=int, default=0, metavar="I", help="index of the test video (default: 0)")
    parser.add_argument("--frames", type=int, metavar="T", help="number of its frames (default: all)")
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the pictures (default: inspection in the run, or in runs/NAME for packaged weights)",
    )
    return parser.parse_args(arguments)


def load(options: argparse.Namespace) -> tuple[Scalor, Tensor]:
    """The trained model, and a video (1, T, C, H, W) that it has not seen."""
    config, scalor = load_config(options.run, RunConfig), Scalor.from_pretrained(options.run)
    if options.video < 0:
        raise ValueError(f"--video: expected a number from 0, got {options.video}.")
    if options.frames is not None and not 1 <= options.frames <= config.evaluated.frames:
        raise ValueError(f"--frames: expected 1 to {config.evaluated.frames}, got {options.frames}.")
    mnist = mnist_of(options.run, config.evaluated, options.mnist)
    try:
        videos = SyntheticVideos(config.evaluated, TEST_SEED, "test", mnist)
    except ConnectionError as error:
        reason = str(error).removesuffix(".")
        raise ConfigError(f"{reason}; pass a local copy with --mnist FILE.") from error
    if mnist is not None:
        print(f"The digits are from {mnist}.\n")
    return scalor, videos.batch(options.video, 1, options.frames).tensor()


def traced(scalor: Scalor, video: Tensor) -> tuple[poutine.Trace, poutine.Trace]:
    """Traces of the guide at its mode, and of the model replayed with it."""
    with torch.no_grad(), ModeMessenger():
        guide = poutine.trace(scalor.guide).get_trace(video)
        model = poutine.trace(poutine.replay(scalor.model, trace=guide)).get_trace(video)
    return guide, model


def format_sites(trace: poutine.Trace) -> str:
    """The shapes of a trace's sites, without those of parameters."""
    lines = trace.format_shapes().partition("Sample Sites:")[2].splitlines()[1:]
    return textwrap.dedent("\n".join(line.rstrip() for line in lines))


def format_objects(found: Inference, spread: Spread, image_size: tuple[int, int]) -> str:
    """A row for each object in each frame, in pixels, with standard deviations."""
    if not (found.identity[0] >= 0).any():
        return "No object was found in this video."
    header = "identity frame presence      x ± sd         y ± sd       width ± sd     height ± sd    depth"
    rows = []
    where = boxes(found.where[0], image_size)  # (T, K, 4)
    for t, slot in (found.identity[0] >= 0).nonzero().tolist():
        pairs = zip(where[t, slot], spread.box[0, t, slot].tolist(), strict=True)
        box = "  ".join(f"{value:6.2f} ± {deviation:4.2f}" for value, deviation in pairs)
        identity, presence = int(found.identity[0, t, slot]), float(spread.presence[0, t, slot])
        rows.append((identity, t, f"{identity:8} {t:5} {presence:8.4f} {box}  {float(found.depth[0, t, slot]):6.2f}"))
    return "\n".join([header, *(row for _, _, row in sorted(rows))])


def what_if(scalor: Scalor, trace: poutine.Trace, found: Inference) -> dict[str, Callable[[], Values]]:
    """Interventions on the object with the longest track, by name; all but the swap begin in its middle."""
    known, seen = found.identity[0][reported(found)[0]].unique(return_counts=True)
    longest = known[seen.argsort(descending=True, stable=True)].tolist()
    if not longest:
        return {}
    subject = track(trace, longest[0])
    one, middle = subject.identity, (subject.first + subject.last + 1) // 2
    edits = {
        "removed": lambda: remove(scalor, trace, one, frame=middle),
        "moved": lambda: move(scalor, trace, one, inwards(scalor, subject, found), frame=middle),
        "holding velocity": lambda: hold_velocity(scalor, trace, one, max(middle, subject.first + 2)),
    }
    if len(longest) > 1:
        edits[f"with the appearance of {longest[1]}"] = lambda: swap_appearance(scalor, trace, one, longest[1])
    return {f"object {one} {name}": edit for name, edit in edits.items()}


def inwards(scalor: Scalor, subject: Track, found: Inference) -> tuple[float, float]:
    """A shift in pixels towards the middle of the view that is possible in one frame."""
    height, width = scalor.config.image_size
    x, y = found.where[0, subject.first, subject.slot, 2:].tolist()
    step = SHIFT * scalor.config.move_range / 2
    return -math.copysign(step * width, x), -math.copysign(step * height, y)


def comparison(original: Inference, edited: Inference, name: str) -> Figure:
    """A filmstrip of two reconstructions with their boxes, the edited one below."""
    length, _, height, width = original.reconstruction.shape[1:]
    figure = Figure((PANEL * length + 0.3, 2 * PANEL * height / width + 0.4), layout="constrained")
    panels = figure.subplots(2, length, squeeze=False)
    for row, inference in zip(panels, (original, edited), strict=True):
        for t, axes in enumerate(row):
            show(axes, to_image(inference.reconstruction[0, t]))
            draw_boxes(axes, inference, 0, t)
    for t, axes in enumerate(panels[0]):
        axes.set_title(f"t = {t}", fontsize=8)
    figure.suptitle(f"above: as inferred; below: {name}", fontsize=9)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    write_atomically(path, png.getvalue())


def inspect(scalor: Scalor, video: Tensor, out: Path) -> None:
    """Print the sites and the objects of a video; draw each object and each intervention."""
    out.mkdir(parents=True, exist_ok=True)
    for name, trace in zip(("guide", "model"), traced(scalor, video[:, :SHOWN_FRAMES]), strict=True):
        print(f"Sites of the {name} in its first frames:\n{format_sites(trace)}\n")
    guide, model = traced(scalor, video)
    found = collect(frames_of(model))
    print(format_objects(found, box_spread(scalor, guide), scalor.config.image_size))
    save(objects_picture(video, found), out / "objects.png")
    for name, edits_of in what_if(scalor, guide, found).items():
        try:
            edits = edits_of()
        except ValueError as error:  # the track is too short, or the shift too large
            print(f"\n{name}: no picture. {error}")
            continue
        with torch.no_grad():
            edited = poutine.replay(poutine.do(scalor.model, data=dict(edits)), trace=guide)(video)
        save(comparison(found, collect(edited), name), out / f"{name.replace(' ', '_')}.png")
        print(f"\n{name}: {', '.join(edits)}")


@command
def main(arguments: list[str] | None = None) -> int:
    """Inspect."""
    options = parse(arguments)
    out = own_folder(options.run) / "inspection" if options.out is None else options.out
    inspect(*load(options), out)
    print(f"\nThe pictures are in {out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
