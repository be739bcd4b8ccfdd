"""Which boxes hold two objects? How well each cue says so, and what dividing those boxes would gain.

    python benchmarks/pairs.py --out pairs.json
    python benchmarks/pairs.py --size-spread 0.05
    python benchmarks/pairs.py --weights runs/sprites-mot
    python benchmarks/pairs.py --scenes FOLDER --only walkers bacteria

Tracks made-up movers, or with a run on a public benchmark its training videos, with hindsight and evidence. In every
few frames, each box that is wholly in view is divided: its mask in two along its longest axis, each half with a box of
its own size, encoded and drawn by the model. The truth then says whether that box holds two objects (they are nearer to
it than to any other box, and within one size), and whether the two boxes match one object more than the one did (by
centres within one size): if so, dividing gains one match, and if not, it costs one false alarm.

For the FOLDER of --scenes see ``any_scene.py``; only what a fixed rule would gain is printed then, nothing is chosen.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from any_scene import annotated
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from scalor_pyro.config import AnySceneRunConfig, PublicRunConfig, ReadOptions
from scalor_pyro.data import MoverVideos
from scalor_pyro.data.movers import STILL
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.evidence import DISCOVER
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.inference.weighing import View
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import Patches, Sum, glimpse_centres, weighted_patches
from scalor_pyro.model.discovery import shortlist
from scalor_pyro.model.distributions import standard_normal
from scalor_pyro.model.frame import FrameLatents
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.opening import Options, frames_for
from scalor_pyro.tracks.text import read_mot
from scalor_pyro.tracks.tracker import CHUNK, Tracker, chunk_of, load_for_tracking, tracker_of
from scalor_pyro.video import Chunk
from scalor_pyro.video.geometry import Geometry

# Boxes are measured in every EVERY-th frame; an object counts if this share of it is in view.
EVERY, IN_VIEW = 4, 0.5
# A box is wholly in view if this part of its sides is.
WHOLLY = 0.6
# Alpha above which a pixel of a glimpse belongs to the mask.
MASK = 0.3
# Rounds of two-means; standard deviations of a half to the side of its box (4 for a disk, and for a bar nearly so).
ROUNDS, SIDES = 5, 4.0
# The typical object counts as much as this many tracks, before any are known; so does the standard deviation of its log
# width and height, which is that of made-up movers.
PRIOR_TRACKS, PRIOR_SPREAD = 3, 0.35
# Proposals of a fresh look that are compared, at most.
FRESH = 40
# Index of the first training video of a public benchmark: far from those that training has seen.
UNSEEN = 500_000
# The cues, and what a large value means. `all`: a linear combination of them, fitted on other videos.
CUES = {
    "area": "the mask is large for objects of this scale",
    "relative": "the mask is large for this video so far",
    "shape": "width and height of the halves are likelier in this video than those of the whole",
    "long": "the mask is long for its breadth",
    "gap": "the mask is narrow between its halves",
    "cost": "KL of its z_what",
    "cheaper": "KL of its z_what minus those of the halves",
    "gain": "log-likelihood of the halves minus that of one box, encoded alike",
    "fresh": "presence of the second proposal in the box, with nothing drawn",
}
# Rules: log of the area relative to the video's, and gain in τ, from which on a box is divided.
AREAS, GAINS = (0.2, 0.4, 0.6), (0.0, 1.0, 2.0)
# … and the one that is applied to scenes.
RULE = 0.4, 2.0

Numbers = NDArray[np.float64]


class Seen(NamedTuple):
    """A frame of one video, as the model sees it and with what it found, and the true objects."""

    frame: Tensor  # (1, C, H, W)
    cells: Tensor | None  # (1, F, G_y, G_x)
    latents: FrameLatents
    geometry: Geometry
    truth: Numbers  # (R, 3) x, y, size, px of the file
    number: int


def halves(scalor: Scalor, objects: Objects) -> tuple[Tensor, dict[str, Tensor]]:
    """The boxes of both halves of each object, and the shape of its mask.

    :return: z_where (1, K, 2, 4), and (K,) area in px, elongation, and depth of the gap.
    """
    config, where = scalor.config, objects.where[0]  # (K, 4)
    half = where.new_tensor(config.image_size[::-1]) / 2
    alpha = objects.glimpse[0, :, -1]
    weight = (alpha * (alpha > MASK)).flatten(1)  # (K, S²)
    steps = glimpse_centres(config.glimpse_size, where)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).flatten(0, 1)  # (S², 2)
    place = grid * (where[:, None, :2] * half)  # px from the centre
    total = weight.sum(1, keepdim=True).clamp(min=1e-3)
    from_mean = place - (place * weight[..., None]).sum(1, keepdim=True) / total[..., None]
    covariance = (from_mean * weight[..., None]).mT @ from_mean / total[..., None]
    variance, axes = torch.linalg.eigh(covariance)
    along = (from_mean * axes[:, None, :, 1]).sum(-1)
    first = _first_half(along, weight)
    parts = (first, 1 - first)
    boxes = torch.stack([_box(scalor, place, weight * side, where, half) for side in parts], 1)
    extents = torch.stack([_extent(place, weight * side) for side in (*parts, torch.ones_like(first))], 1)
    shape = {
        "area": total[:, 0] * (where[:, :2] * half).prod(1) * (2 / config.glimpse_size) ** 2,
        "long": (variance[:, 1] / variance[:, 0].clamp(min=1e-2)).sqrt(),
        "gap": -_narrowest(along, weight),
        "extents": extents,  # (K, 3, 2) of the halves and of the whole
    }
    return boxes[None], shape


def _first_half(along: Tensor, weight: Tensor) -> Tensor:
    """Two-means along an axis. (K, S²) → 1 for one half"""
    cut = torch.zeros_like(along[:, :1])
    for _ in range(ROUNDS):
        sides = [weight * (along <= cut), weight * (along > cut)]
        means = [(along * side).sum(1, keepdim=True) / side.sum(1, keepdim=True).clamp(min=1e-3) for side in sides]
        cut = (means[0] + means[1]) / 2
    return (along <= cut).to(weight.dtype)


def _box(scalor: Scalor, place: Tensor, weight: Tensor, where: Tensor, half: Tensor) -> Tensor:
    """The box of a part of each mask, within the bounds of the model. (K, 4)"""
    total = weight.sum(1, keepdim=True).clamp(min=1e-3)
    mean = (place * weight[..., None]).sum(1) / total
    variance = ((place - mean[:, None]).square() * weight[..., None]).sum(1) / total
    sides = SIDES * variance.clamp(min=1e-2).sqrt() * scalor.config.box_margin / 2 / half
    ratio = sides / scalor.boxes.base
    size = (ratio.prod(1).sqrt() - 1) / scalor.config.size_range
    aspect = (ratio[:, 0] / ratio[:, 1]).log() / scalor.config.aspect_range
    shape = torch.stack((size, aspect), -1).clamp(-0.98, 0.98).atanh()
    return torch.cat((scalor.boxes.sides(shape), where[:, 2:] + mean / half), -1)


def _extent(place: Tensor, weight: Tensor) -> Tensor:
    """Log of the width and height of a part of each mask, in px. (K, 2)"""
    total = weight.sum(1, keepdim=True).clamp(min=1e-3)
    mean = (place * weight[..., None]).sum(1) / total
    variance = ((place - mean[:, None]).square() * weight[..., None]).sum(1) / total
    return (SIDES**2 * variance.clamp(min=0.05)).log() / 2


def _narrowest(along: Tensor, weight: Tensor, bins: int = 16) -> Tensor:
    """Weight of the emptiest slice in the middle half of each mask, relative to its fullest slice. (K,)"""
    spread = (along.square() * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-3)
    slices = ((along / (4 * spread.sqrt().clamp(min=1e-3)) + 0.5) * bins).long().clamp(0, bins - 1)
    profile = torch.zeros(len(along), bins).scatter_add_(1, slices, weight)
    return profile[:, bins // 4 : -bins // 4].amin(1) / profile.amax(1).clamp(min=1e-3)


def encoded(scalor: Scalor, frame: Tensor, where: Tensor, like: Objects) -> tuple[Patches, Tensor]:
    """What boxes draw when their appearance is read off the frame, and its KL. like: n objects → (1, n)"""
    seen = scalor.discovery_posterior.appearance(frame, where)
    look: Distribution = torch.distributions.Independent(torch.distributions.Normal(seen.loc, seen.scale), 1)
    prior = standard_normal(tuple(seen.loc.shape), seen.loc)
    parts = (scalor.decoder(seen.loc), where, like.presence, like.depth)
    return weighted_patches(*parts, scalor.config.image_size, scalor.boxes.window), kl_divergence(look, prior)


def some(patches: Patches, which: slice) -> Patches:
    """The patches of some of the objects."""
    return Patches(patches.summed[:, :, which], patches.importance[:, :, which], patches.pixel[:, which])


def cues(scalor: Scalor, seen: Seen, behind: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The halves' boxes (1, K, 2, 4), and what is measured of each slot. (K, …)"""
    objects, frame, slots = seen.latents.slots.objects, seen.frame, seen.latents.slots
    boxes, found = halves(scalor, objects)
    view = View.of(scalor, frame, behind)
    alive = slots.alive.to(frame.dtype)
    drawn = view.drawn_by(objects)
    canvas = view.empty().plus(drawn, alive)
    both = objects.take(torch.arange(alive.shape[1]).repeat_interleave(2)[None])
    one, cost = encoded(scalor, frame, objects.where, objects)
    two, costs = encoded(scalor, frame, boxes.flatten(1, 2), both)

    def likelihood(shown: Sum) -> float:
        return -float(((frame - shown.drawn().over(behind)) / view.sigma).square().sum() / 2)

    gain = torch.zeros_like(alive[0])
    for k in slots.alive[0].nonzero()[:, 0].tolist():
        without = canvas.plus(some(drawn, slice(k, k + 1)), -alive[:, k : k + 1])
        without = without._replace(importance=without.importance.clamp(min=0))
        as_two = without.plus(some(two, slice(2 * k, 2 * k + 2)), torch.ones(1, 2))
        gain[k] = likelihood(as_two) - likelihood(without.plus(some(one, slice(k, k + 1)), torch.ones(1, 1)))
    found |= {"cost": cost[0], "cheaper": (cost - costs.unflatten(1, (-1, 2)).sum(-1))[0], "gain": gain}
    return boxes, found | {"fresh": _fresh(scalor, seen, objects)}


def _fresh(scalor: Scalor, seen: Seen, objects: Objects) -> Tensor:
    """Presence of the second proposal whose centre lies in each box, when discovery sees nothing drawn. (K,)"""
    if seen.cells is None:
        return torch.zeros_like(objects.presence[0])
    distribution = scalor.discovery_posterior(seen.frame, seen.cells, None, scalor.annealed)
    logits = distribution.presence.mode_logit
    cells = shortlist(logits, min(FRESH, logits.shape[1]))
    where, _, _ = scalor.boxes.discovered(distribution.where(cells).mean, cells)
    apart = (where[0, None, :, 2:] - objects.where[0, :, None, 2:]).abs()  # (K, M, 2)
    inside = (apart < objects.where[0, :, None, :2]).all(-1)
    return (logits.gather(1, cells).sigmoid() * inside).topk(2, 1).values[:, 1]


class Typical:
    """What objects of a video measure, by the median of each of its tracks so far, in logs of px."""

    def __init__(self, side: float) -> None:
        self.expected = np.log([side * side, side, side])  # area, width, height
        self._tracks = dict[int, list[Numbers]]()

    def add(self, identity: int, area: float, extent: Numbers) -> None:
        """Note a track in a frame.

        :param extent: logs of width and height.
        """
        self._tracks.setdefault(identity, []).append(np.array([np.log(max(area, 1)), *extent]))

    def _medians(self) -> Numbers:
        return np.array([np.median(noted, 0) for noted in self._tracks.values()]).reshape(-1, 3)

    def mean(self) -> Numbers:
        """Starts from what is expected at this scale. (3,)"""
        medians = self._medians()
        mean: Numbers = (PRIOR_TRACKS * self.expected + medians.sum(0)) / (PRIOR_TRACKS + len(medians))
        return mean

    def favours_halves(self, extents: Numbers) -> float:
        """Nats by which the extents of two halves are likelier than that of the whole. (3, 2) → a number"""
        medians = self._medians()[:, 1:]
        mean = self.mean()[1:]
        apart = medians - mean
        spread = (PRIOR_TRACKS * PRIOR_SPREAD**2 * np.eye(2) + apart.T @ apart) / (PRIOR_TRACKS + len(medians))
        off = extents - mean
        nats = -((off @ np.linalg.inv(spread)) * off).sum(1) / 2 - np.log(2 * np.pi) - np.linalg.slogdet(spread)[1] / 2
        return float(nats[0] + nats[1] - nats[2])


def rows_of(scalor: Scalor, frames: Iterator[Seen], video: int) -> tuple[list[dict[str, float]], int]:
    """A row for each box of a video that is wholly in view, and the number of true objects."""
    typical, rows, true = Typical(scalor.config.object_size), [], 0
    behind = scalor.background_image
    for seen in frames:
        frame_behind = torch.zeros_like(seen.frame) if behind is None else behind.expand_as(seen.frame)
        boxes, found = cues(scalor, seen, frame_behind)
        extents = found.pop("extents").double().numpy()
        slots, true = seen.latents.slots, true + len(seen.truth)
        alive = slots.alive[0].nonzero()[:, 0].tolist()
        where = slots.objects.where[0]
        whole = [k for k in alive if bool((where[k, 2:].abs() + WHOLLY * where[k, :2] < 1).all())]
        for k in whole:
            typical.add(int(slots.identity[0, k]), float(found["area"][k]), extents[k, 2])
        centres = _centres(where[:, 2:], scalor, seen.geometry)
        divided = _centres(boxes[0, :, :, 2:], scalor, seen.geometry)
        before, holds = matches(seen.truth, centres[alive]), held(seen.truth, centres[alive])
        for k in whole:
            others = centres[[other for other in alive if other != k]]
            values = {name: float(values[k]) for name, values in found.items()}
            log_area = float(np.log(max(values["area"], 1)))
            values |= {"area": log_area, "relative": log_area - float(typical.mean()[0])}
            values |= {"shape": typical.favours_halves(extents[k])}
            more = matches(seen.truth, np.concatenate((others, divided[k]))) - before
            rows.append({**values, "two": holds[alive.index(k)] >= 2, "helps": more > 0, "video": video})
    return rows, true


def _centres(places: Tensor, scalor: Scalor, geometry: Geometry) -> Numbers:
    """Centres in px of the file. (…, 2) → (…, 2)"""
    pixels = ((places.double() + 1) / 2 * torch.tensor(scalor.config.image_size[::-1])).numpy()
    return np.stack(geometry.to_source(pixels[..., 0], pixels[..., 1]), -1)


def apart(truth: Numbers, centres: Numbers) -> Numbers:
    """Distances in sizes of the true objects. (R, n)"""
    distance: Numbers = np.linalg.norm(truth[:, None, :2] - centres[None], axis=-1) / truth[:, 2:]
    return distance


def matches(truth: Numbers, centres: Numbers) -> int:
    """How many true objects have a box of their own within one size."""
    distance = apart(truth, centres)
    rows, columns = linear_sum_assignment(np.where(distance <= 1, distance, 1e3))
    return int((distance[rows, columns] <= 1).sum())


def held(truth: Numbers, centres: Numbers) -> NDArray[np.int64]:
    """How many true objects each box holds: they are nearest to it, and within one size. (n,)"""
    distance = apart(truth, centres)
    if not distance.size:
        return np.zeros(len(centres), np.int64)
    return np.bincount(distance.argmin(1)[distance.min(1) <= 1], minlength=len(centres))


# ------------------------------------------------------------------ videos


def of_movers(run: TrainedRun, config: AnySceneRunConfig, seed: int, videos: int) -> Iterator[Iterator[Seen]]:
    """Made-up movers, or other ones of the same kind, of the stream for training."""
    stream, size = MoverVideos(config.movers, seed), config.movers.image_size
    run.scalor.set_background_image(torch.full((1, run.scalor.config.channels, *size), STILL))
    for index in range(videos):
        frames, truth, *_ = stream.video(index)
        rows: Numbers = np.stack((truth.x, truth.y, truth.size, truth.share, truth.frame), 1).astype(np.float64)
        yield _short(run.scalor, frames, rows)


def of_benchmark(run: TrainedRun, config: PublicRunConfig, videos: int) -> Iterator[Iterator[Seen]]:
    """Training videos of a public benchmark that the run has not seen."""
    stream = PublicVideos(config.data, config.seed, "train")
    for index in range(videos):
        video = stream.video(UNSEEN + index, config.data.frames)
        truth = video.truth
        size, share = np.sqrt(truth.width * truth.height), truth.share
        yield _short(run.scalor, video.frames, np.stack((truth.x, truth.y, size, share, truth.frame), 1))


def _short(scalor: Scalor, frames: NDArray[np.uint8], truth: Numbers) -> Iterator[Seen]:
    options, geometry = Options(), Geometry.of(frames.shape[2:], ReadOptions())
    tracker = Tracker(
        scalor, geometry, light_step=0, lookahead=options.lookahead, evidence=options.evidence(scalor), spread=False
    )
    yield from measured_frames(tracker, Chunk(np.arange(len(frames)), frames), truth)


def of_scene(run: TrainedRun, video: Path, truth: Path, stop: int | None) -> tuple[Scalor, Iterator[Seen]]:
    """A video file with its truth; objects that do not count are left out."""
    tracker, reader = tracker_of(run, video, Options(stop=stop))
    true = read_mot(truth)
    rows = np.stack((true.x, true.y, np.sqrt(true.width * true.height), true.presence > 0, true.frame), 1)

    def frames() -> Iterator[Seen]:
        for chunk in reader.chunks(chunk_of(tracker, CHUNK)):
            yield from measured_frames(tracker, chunk, rows)

    return tracker.scalor, frames()


def measured_frames(tracker: Tracker, chunk: Chunk, truth: Numbers) -> Iterator[Seen]:
    """Every few frames of a chunk.

    :param truth: (R, 5) x, y, size, share in view, frame.
    """
    scalor, geometry = tracker.scalor, tracker.geometry
    x = frames_for(scalor, chunk)
    x = x if tracker.differences is None else tracker.differences.to_model(x)
    cells = None
    if scalor.background_image is not None and not scalor.config.difference_input:
        cells = scalor._features(x, x - scalor.background_image, None).cells
    found = tracker.advance(chunk)
    for t in range(EVERY - 1, len(found.latents), EVERY):
        number = int(chunk.numbers[t])
        true = truth[(truth[:, 4] == number) & (truth[:, 3] >= IN_VIEW), :3]
        yield Seen(x[:, t], None if cells is None else cells[:, t], found.latents[t], geometry, true, number)


# ------------------------------------------------------------------ figures


class Boxes(NamedTuple):
    """All boxes that were measured."""

    values: dict[str, Numbers]  # of cues, of what is true (two, helps), and the video: (n,)
    true: int  # objects in these frames

    @classmethod
    def of(cls, rows: Sequence[dict[str, float]], true: int) -> "Boxes":
        """From rows; adds the combination of all cues."""
        values = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
        parts = np.stack([values[name] for name in CUES], 1)
        parts = np.clip((parts - parts.mean(0)) / (parts.std(0) + 1e-6), -3, 3)
        parts = np.concatenate((parts, np.ones((len(parts), 1))), 1)
        return cls({**values, "all": _fitted(parts, values["two"], values["video"])}, true)


def _fitted(parts: Numbers, label: Numbers, video: Numbers, folds: int = 5, ridge: float = 10.0) -> Numbers:
    """Linear regression, each fifth of the videos by the others."""
    fitted = np.zeros(len(parts))
    for fold in range(folds):
        own = video % folds == fold
        others = parts[~own]
        solved = np.linalg.solve(others.T @ others + ridge * np.eye(parts.shape[1]), others.T @ label[~own])
        fitted[own] = parts[own] @ solved
    return fitted


def area_under_curve(score: Numbers, label: NDArray[np.bool_]) -> float:
    """The probability that a box with the label scores higher than one without."""
    order = np.unique(score, return_inverse=True)[1]
    counts = np.bincount(order)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[order]  # mean rank of ties, from 1
    yes, no = int(label.sum()), int((~label).sum())
    return float((ranks[label].sum() - yes * (yes + 1) / 2) / max(1, yes * no))


def precision_at(score: Numbers, label: NDArray[np.bool_], recall: float) -> float:
    """The share of right ones among the highest scores that find this share of the label."""
    order = np.argsort(-score, kind="stable")
    right = np.cumsum(label[order])
    last = int(np.searchsorted(right, recall * right[-1]))
    return float(right[last] / (last + 1))


def by_cue(boxes: Boxes) -> list[dict[str, Any]]:
    """How well each cue finds boxes that hold two objects, and boxes that are better divided."""
    rows = []
    for name in (*CUES, "all"):
        score = boxes.values[name]
        row: dict[str, Any] = {"cue": name}
        for label in ("two", "helps"):
            yes = boxes.values[label] > 0
            row |= {f"{label}_auc": area_under_curve(score, yes)}
            row |= {f"{label}_precision_{recall}": precision_at(score, yes, recall) for recall in (0.1, 0.3, 0.5)}
        rows.append(row)
    return rows


def by_rule(boxes: Boxes, tau: float, area: float, gain: float) -> dict[str, float]:
    """What dividing every box gains that is large for its video, and is worth it by evidence.

    :param tau: nats.
    """
    chosen = (boxes.values["relative"] > area) & (boxes.values["gain"] > gain * tau)
    helps, video = boxes.values["helps"][chosen], boxes.values["video"]
    net = np.bincount(video[chosen].astype(int), 2 * helps - 1, int(video.max()) + 1)
    error = float(np.sqrt(np.square(net - net.mean()).sum()))  # of the sum over videos
    share = float(helps.mean()) if len(helps) else float("nan")
    scale = 100 / max(1, boxes.true)
    return {
        "area": area,
        "gain": gain,
        "boxes": int(chosen.sum()),
        "helps": share,
        "net": scale * net.sum(),
        "error": scale * error,
    }


def figures_of(boxes: Boxes, tau: float) -> dict[str, Any]:
    """All figures of one kind of videos."""
    two, helps = boxes.values["two"] > 0, boxes.values["helps"] > 0
    oracle = 2 * helps[two].sum() - two.sum()
    return {
        "boxes": len(two),
        "objects": boxes.true,
        "two": float(two.mean()),
        "helps": float(helps.mean()),
        "helps_of_two": float(helps[two].mean()),
        "oracle": float(100 * oracle / max(1, boxes.true)),
        "cues": by_cue(boxes),
        "rules": [by_rule(boxes, tau, area, gain) for area in AREAS for gain in GAINS],
    }


def tables(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    recalls = (0.1, 0.3, 0.5)
    heads = ["cue", *(f"{what} {part}" for what in ("two:", "helps:") for part in ("AUC", *map(str, recalls)))]
    rows = []
    for row in figures["cues"]:
        parts = [
            f"{label}_{part}" for label in ("two", "helps") for part in ("auc", *(f"precision_{r}" for r in recalls))
        ]
        rows.append([row["cue"], *(f"{row[part]:.2f}" for part in parts)])
    rules = [rule_row(rule) for rule in figures["rules"]]
    about = (
        f"{figures['boxes']} boxes wholly in view, {figures['objects']} objects; {figures['two']:.3f} of the boxes hold"
        f" two, halves help {figures['helps']:.3f} of all and {figures['helps_of_two']:.3f} of those that hold two"
        f" (dividing exactly these: {figures['oracle']:+.1f} points of MOTA)"
    )
    return "\n\n".join([about, markdown_table(heads, rows), markdown_table(RULE_HEADS, rules)])


RULE_HEADS = ["log area above", "gain above, τ", "boxes", "helps", "net points of MOTA"]


def rule_row(rule: dict[str, float]) -> list[str]:
    """A row of the table of rules."""
    net = f"{rule['net']:+.1f} ± {rule['error']:.1f}"
    return [f"{rule['area']}", f"{rule['gain']}", f"{rule['boxes']:.0f}", f"{rule['helps']:.2f}", net]


# ------------------------------------------------------------------ the command


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--weights", default=ANY_SCENE, metavar="RUN", help="on movers or a public benchmark (default: %(default)s)")
    add("--videos", type=int, default=200, metavar="N", help="default: %(default)s")
    add("--seed", type=int, default=123, help="of the movers (default: %(default)s)")
    add("--size-spread", type=float, metavar="S", help="of the movers (default: as in training)")
    add("--scenes", type=Path, metavar="FOLDER", help="apply the rule to these videos instead")
    add("--only", nargs="+", default=[], metavar="NAME", help="of the scenes")
    add("--stop", type=int, metavar="FRAME", help="of the scenes: end before this frame")
    add("--out", type=Path, metavar="FILE.json", help="keep the figures")
    return parser.parse_args(arguments)


def collected(run: TrainedRun, options: argparse.Namespace) -> Boxes:
    """All boxes of the run's own kind of videos."""
    config = run.config
    if isinstance(config, PublicRunConfig):
        videos = of_benchmark(run, config, options.videos)
    else:
        assert isinstance(config, AnySceneRunConfig)
        if options.size_spread is not None:
            config = replace(config, movers=replace(config.movers, size_spread=options.size_spread))
        videos = of_movers(run, config, options.seed, options.videos)
    rows: list[dict[str, float]] = []
    true = 0
    for video, frames in enumerate(videos):
        more, objects = rows_of(run.scalor, frames, video)
        rows, true = rows + more, true + objects
    return Boxes.of(rows, true)


def scenes(run: TrainedRun, options: argparse.Namespace) -> dict[str, Any]:
    """What the rule would gain on each scene."""
    found = {}
    for each in annotated(options.scenes, options.only):
        scalor, frames = of_scene(run, each.video, each.truth, options.stop)
        rows, true = rows_of(scalor, frames, 0)
        boxes = Boxes({name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}, true)
        two, helps = boxes.values["two"].mean(), boxes.values["helps"].mean()
        rule = by_rule(boxes, DISCOVER * scalor.config.object_size**2, *RULE)
        found[each.name] = {**rule, "two": two, "any": helps, "of": len(rows), "objects": true}
    return found


@torch.inference_mode()
def main(arguments: list[str] | None = None) -> int:
    """Measure, print and keep."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    torch.set_num_threads(1)
    run = load_for_tracking(options.weights)
    if options.scenes is not None:
        figures = scenes(run, options)
        heads = ["scene", "objects", "boxes", "hold two", "divided", "helps", "net points of MOTA"]
        rows = [
            [name, str(one["objects"]), str(one["of"]), f"{one['two']:.2f}", *rule_row(one)[2:4], f"{one['net']:+.1f}"]
            for name, one in figures.items()
        ]
        print(markdown_table(heads, rows))
    else:
        figures = figures_of(collected(run, options), DISCOVER * run.scalor.config.object_size**2)
        print(tables(figures))
    if options.out is not None:
        about = {**figures, "provenance": provenance(MadeBy(command_line(__file__, arguments)), "cpu")}
        write_atomically(options.out, json.dumps(about, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
