"""Boxes of masks and of glimpses against the true ones, and the shapes of masks, on made-up movers.

    python benchmarks/mask_boxes.py --videos 40 --seed 2 --out mask_boxes.json

Tracks unseen videos of `MoverVideos` with the weights for any scene, as `scalor track` does. The truth is exact: what
the generator draws of each object, also behind others and beyond the border. A true object must be found where at least
half of it is inside the view. Boxes of both kinds belong to the same rows, so they are compared object by object: those
whose centre, by its glimpse, is within half a size of a true one. Times are of one thread.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from scalor_pyro.config import MoverConfig, ReadOptions
from scalor_pyro.data import MoverVideos, movers
from scalor_pyro.evaluation.metrics import CARE_SHARE, without_nan
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.masks import owners
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.opening import BoxesOf, Options
from scalor_pyro.tracks.shape import Shapes, intensities, shapes_of, together
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.tracker import Tracked, Tracker, load_for_tracking
from scalor_pyro.video import Chunk
from scalor_pyro.video.geometry import Geometry

KINDS: tuple[BoxesOf, ...] = ("glimpse", "mask")
MATCHINGS = {"boxes": Matching("iou", 0.5), "centres": Matching("sizes", 1.0)}
# Pairs are compared up to this distance, in sizes of the true object.
SAME = 0.5
# A body is long if its length is at least this many times its breadth.
LONG = 2.0
# Degrees.
CLOSE_ANGLE = 15.0
# A shape is compared with the whole true one where at least this share of it is inside the view.
WHOLE = 0.99

Numbers = NDArray[np.float64]


class Compared(NamedTuple):
    """Objects that were found, with the true ones."""

    glimpse: Tracks  # R rows
    mask: Tracks  # the same objects
    truth: Tracks  # R rows; presence is the share inside the view


@contextmanager
def drawing_noted() -> Iterator[list[movers.Drawn]]:
    """Note what the generator draws of each object: its videos keep only what is in front."""
    noted: list[movers.Drawn] = []
    draw = movers._drawn

    def drawn(*args: Any) -> list[movers.Drawn]:
        noted[:] = draw(*args)
        return noted

    with patch.object(movers, "_drawn", drawn):
        yield noted


def _shapes(drawn: movers.Drawn) -> Shapes:
    """The true shapes of one object, in all frames."""
    frames, side, _ = drawn.alpha.shape
    windows = np.concatenate([drawn.origin[:, ::-1] + side / 2, np.full((frames, 2), side)], 1)
    return shapes_of(drawn.alpha, windows.astype(np.float64))


def video_of(stream: MoverVideos, index: int) -> tuple[NDArray[np.uint8], Tracks]:
    """Frames, and the whole true masks as tracks: all objects in all frames, with the share inside as presence."""
    with drawing_noted() as noted:
        frames, truth, *_ = stream.video(index)
    count, length = len(noted), len(frames)
    shapes = Shapes(*(np.concatenate(each) for each in zip(*map(_shapes, noted), strict=True)))
    share, unknown = np.zeros((count, length)), np.full(count * length, np.nan)
    share[truth.identity, truth.frame] = truth.share
    identity, frame = np.divmod(np.arange(count * length), length)
    x, y, width, height = np.nan_to_num(shapes.box.T)
    rows = Tracks(
        frame,
        identity,
        x,
        y,
        width,
        height,
        share.ravel(),
        unknown,
        area=shapes.area,
        length=shapes.length,
        breadth=shapes.breadth,
        angle=shapes.angle,
    )
    return frames, rows.rows(~np.isnan(rows.area) & (rows.presence > 0))


def tracked(run: TrainedRun, frames: NDArray[np.uint8], boxes: BoxesOf) -> tuple[Tracked, float]:
    """What the tracker finds, and its seconds."""
    options = Options(light_step=0)
    geometry = Geometry.of(frames.shape[2:], ReadOptions())
    tracker = Tracker(
        run.scalor,
        geometry,
        light_step=0,
        lookahead=options.lookahead,
        evidence=options.evidence(run.scalor),
        boxes=boxes,
    )
    start = time.perf_counter()
    found = tracker.advance(Chunk(np.arange(len(frames)), frames))
    return found, time.perf_counter() - start


def seconds_of_shapes(found: Tracked, frames: NDArray[np.uint8]) -> float:
    """How long shapes and intensities alone take, for what was tracked."""
    alpha = np.random.default_rng(0).random((len(found.tracks), 16, 16), np.float32)
    start = time.perf_counter()
    shapes_of(alpha, found.tracks.box)
    intensities(owners(together(found.latents)).numpy(), frames, found.tracks)
    return time.perf_counter() - start


def same(glimpse: Tracks, mask: Tracks, truth: Tracks) -> Compared:
    """The objects that are found, by the centres of glimpses."""
    rows, true_rows = [], []
    for t in np.unique(glimpse.frame):
        here, there = np.nonzero(glimpse.frame == t)[0], np.nonzero((truth.frame == t) & (truth.presence >= 0.5))[0]
        far = Matching("sizes", SAME).costs(truth.box[there], glimpse.box[here])
        one, other = linear_sum_assignment(np.minimum(far, 2 * SAME))
        close = far[one, other] <= SAME
        rows.append(here[other[close]])
        true_rows.append(there[one[close]])
    chosen, true = (np.concatenate(part) if part else np.zeros(0, np.int64) for part in (rows, true_rows))
    # An identity may be paired with different true ones.
    return Compared(glimpse.rows(chosen), mask.rows(chosen), truth.rows(true))


def overlap(one: Tracks, other: Tracks) -> Numbers:
    """IoU row by row. (R,)"""
    box, true = one.box, other.box
    upper = np.minimum(box[:, :2] + box[:, 2:] / 2, true[:, :2] + true[:, 2:] / 2)
    lower = np.maximum(box[:, :2] - box[:, 2:] / 2, true[:, :2] - true[:, 2:] / 2)
    both = np.maximum(0, upper - lower).prod(-1)
    shares: Numbers = both / (box[:, 2:].prod(-1) + true[:, 2:].prod(-1) - both)
    return shares


def figures_of(compared: list[Compared]) -> dict[str, Any]:
    """Overlaps and distances by kind of box, and how well shapes agree."""

    def all_of(part: str, name: str) -> Numbers:
        return np.concatenate([getattr(getattr(each, part), name) for each in compared])

    figures: dict[str, Any] = {"objects": sum(len(each.truth) for each in compared)}
    size = np.sqrt(all_of("truth", "area"))
    for kind in KINDS:
        shares = np.concatenate([overlap(getattr(each, kind), each.truth) for each in compared])
        apart = np.hypot(*(all_of(kind, axis) - all_of("truth", axis) for axis in "xy")) / size
        figures[kind] = {
            "mean_iou": float(shares.mean()),
            "iou_half": float((shares >= 0.5).mean()),
            "centre_distance": float(apart.mean()),
        }
    whole = all_of("truth", "presence") >= WHOLE
    for name in ("area", "length", "breadth"):
        ratio = (all_of("mask", name) / all_of("truth", name))[whole]
        figures[f"{name}_ratio"] = np.nanpercentile(ratio, (25, 50, 75)).tolist()
    long = whole & (all_of("truth", "length") >= LONG * all_of("truth", "breadth"))
    error = np.abs((all_of("mask", "angle") - all_of("truth", "angle") + 90) % 180 - 90)[long]
    if not long.any():
        return {**figures, "long": {"objects": 0}}
    figures["long"] = {
        "objects": int(long.sum()),
        "median_angle_error": float(np.nanmedian(error)),
        "close_angle": float((error <= CLOSE_ANGLE).mean()),
        "round": float(np.isnan(error).mean()),
    }
    return figures


def measured(run: TrainedRun, config: MoverConfig, seed: int, videos: int) -> dict[str, Any]:
    """All figures."""
    stream = MoverVideos(config, seed, "test")
    scorers = {(kind, by): Scorer(matching) for kind in KINDS for by, matching in MATCHINGS.items()}
    compared, seconds, shaping = [], 0.0, 0.0
    for index in range(videos):
        frames, truth = video_of(stream, index)
        found = {}
        for kind in KINDS:
            found[kind], took = tracked(run, frames, kind)
            for by in MATCHINGS:
                care = (truth.presence >= CARE_SHARE).astype(np.float64)
                columns = {name: getattr(truth, name) for name in ("frame", "identity", "x", "y", "width", "height")}
                scorers[kind, by].add(str(index), found[kind].tracks, Tracks(**columns, presence=care, depth=care))
        seconds, shaping = seconds + took, shaping + seconds_of_shapes(found["mask"], frames)
        compared.append(same(found["glimpse"].tracks, found["mask"].tracks, truth))
        print(f"{index + 1} of {videos}", end="\r", file=sys.stderr)
    figures = figures_of(compared)
    for (kind, by), scorer in scorers.items():
        figures[kind][f"mota_by_{by}"] = scorer.total()["mota"]
    return {**figures, "share_of_time": shaping / seconds}


def tables(figures: dict[str, Any]) -> str:
    """As the documentation shows them."""
    columns = {
        "mean_iou": "mean IoU",
        "iou_half": "IoU ≥ ½",
        "mota_by_boxes": "MOTA by IoU ≥ ½",
        "mota_by_centres": "MOTA by centres",
        "centre_distance": "distance of centres, sizes",
    }
    rows = [[f"boxes of {kind}s", *(f"{figures[kind][key]:.3f}" for key in columns)] for kind in KINDS]
    ratios = [
        [name, " / ".join(f"{each:.2f}" for each in figures[f"{name}_ratio"])] for name in ("area", "length", "breadth")
    ]
    long = figures["long"]
    angle = "no long bodies"
    if long["objects"]:
        angle = (
            f"angle of {long['objects']} long bodies: median error {long['median_angle_error']:.1f}°; within"
            f" {CLOSE_ANGLE:g}°: {long['close_angle']:.3f}; reported as round: {long['round']:.3f}"
        )
    return "\n\n".join(
        [
            f"{figures['objects']} objects in frames",
            markdown_table(["", *columns.values()], rows),
            markdown_table(["mask / truth", "quartiles"], ratios),
            angle,
            f"share of the tracker's time: {figures['share_of_time']:.3f}",
        ]
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--weights", default=ANY_SCENE, metavar="RUN", help="a run on made-up movers (default: %(default)s)")
    add("--videos", type=int, default=40, metavar="N", help="default: %(default)s")
    add("--seed", type=int, default=2, help="of the videos (default: %(default)s)")
    add("--out", type=Path, metavar="FILE.json", help="keep the figures")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and keep."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    torch.set_num_threads(1)
    run = load_for_tracking(options.weights)
    config = getattr(run.config, "movers", MoverConfig())
    figures = measured(run, config, options.seed, options.videos)
    print(tables(figures))
    if options.out is not None:
        about = {**figures, "provenance": provenance(MadeBy(command_line(__file__, arguments)), "cpu")}
        write_atomically(options.out, json.dumps(without_nan(about), indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
