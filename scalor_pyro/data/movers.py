"""Made-up movers over made-up scenes, to train a model for videos that nobody has trained on.

A stream of videos that is a pure function of (seed, split, index), with the truth. Frames are shown as differences
from the scene (:func:`differences`), so that scene, light and contrast of a user's video do not matter: grey is where
nothing moves. Bodies are round, long, jointed, limbed, soft, ringed and textured; they walk, turn, rest, go side by
side, cross and hide each other; cameras are noisy, blurred and shaken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config.movers import MoverConfig
from scalor_pyro.data.mover_bodies import BENDING, REACH, Body, body
from scalor_pyro.data.mover_paths import Paths, paths
from scalor_pyro.data.mover_scenes import Camera, light, posts, scene
from scalor_pyro.data.truth import GroundTruth
from scalor_pyro.data.worlds import SPLITS, Split, require_batch, require_stream

Pixels = NDArray[np.float32]
Numbers = NDArray[np.float64]

# What a frame shows where it is as the scene.
STILL = 0.5
# A typical object differs from the scene by this part of the range, after the gain.
SHOWN_CONTRAST = 0.7
# Opacity above which a pixel belongs to an object's mask.
MASK = 0.5
# How often videos of walkers alone show them from the side.
UPRIGHT = 0.7
# How often the scene is known only with traces of objects that stood in it for long, and how many at most.
TRACES, MOST_TRACES = 0.2, 3
# An object leaves a trace only if it moves by this many sizes: one that never does is part of the scene.
LEAVES_ITS_PLACE = 1.0


def differences(frames: Any, scene: Any, gain: float) -> Any:
    """Frames as differences from a scene: ½ + ½·clip(gain · (frame − scene)).

    :param frames: (…, C, H, W) in [0, 1], an array or a tensor.
    :param scene: (C, H, W) in [0, 1].
    :param gain: see :func:`gain_for`.
    :return: the same kind and shape, in [0, 1].
    """
    return STILL + (gain * (frames - scene)).clip(-1, 1) / 2


def gain_for(contrast: float) -> float:
    """The gain with which objects of a contrast show well.

    :param contrast: mean absolute difference of a typical object from the scene, of the range from black to white.
    """
    return SHOWN_CONTRAST / max(contrast, 0.01)


class MoverVideo(NamedTuple):
    """One video, with what :class:`MoverBatch` has of several."""

    frames: NDArray[np.uint8]  # (T, 3, H, W)
    truth: GroundTruth
    masks: NDArray[np.int16]  # (T, H, W)
    boxes: NDArray[np.int64]  # (n, T, 4)
    areas: NDArray[np.int64]  # (n, T)


class Recorded(NamedTuple):
    """One video as a camera records it, and as a model sees it."""

    frames: Pixels  # (T, C, H, W); 0 is black and 1 white, but nothing is cut off
    scene: Pixels  # (C, H, W), likewise
    gain: float  # with which differences are shown
    shown: MoverVideo


class Drawn(NamedTuple):
    """One object in every frame, in a window as large as it needs."""

    alpha: Pixels  # (T, P, P) opacity
    colour: Pixels  # (T, C, P, P) difference from the scene
    origin: NDArray[np.int64]  # (T, 2) y, x of the window's corner


@dataclass(frozen=True, eq=False)
class MoverBatch:
    """A batch of videos."""

    frames: NDArray[np.uint8]  # (B, T, 3, H, W)
    truth: list[GroundTruth]
    masks: NDArray[np.int16] = field(repr=False)  # (B, T, H, W) identity of the object in front, -1: none
    # Of all of each object's opaque part, also where others hide it and where it is out of view. Where its area is 0,
    # its box means nothing.
    boxes: list[NDArray[np.int64]] = field(repr=False)  # B × (n, T, 4) left, upper, right and lower end in px
    areas: list[NDArray[np.int64]] = field(repr=False)  # B × (n, T) px

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """The frames as float32 (B, T, 3, H, W) in [0, 1]."""
        return torch.from_numpy(self.frames).to(device).float() / 255


class MoverVideos:
    """An endless stream of videos of made-up movers.

    :param config: what they show.
    :param seed: from 0 to 2**64 - 1; each seed has its own videos.
    :param split: 'train' or 'test'.
    :raises ValueError: for an unknown split or a seed out of range.
    """

    def __init__(self, config: MoverConfig | None = None, seed: int = 0, split: Split = "train") -> None:
        require_stream(seed, split)
        self.config, self.seed, self.split = config or MoverConfig(), seed, split

    def batch(self, start: int, count: int, frames: int | None = None) -> MoverBatch:
        """The videos from start to start + count − 1.

        :param start: index of the first video, from 0.
        :param count: B, at least 1.
        :param frames: T, the first frames of the videos; None: all.
        :raises ValueError: for a number out of range.
        """
        frames = self.config.frames if frames is None else frames
        require_batch(start, count, frames, self.config.frames)
        videos = [self.video(index) for index in range(start, start + count)]
        return MoverBatch(
            np.stack([video.frames[:frames] for video in videos]),
            [_first(video.truth, frames) for video in videos],
            np.stack([video.masks[:frames] for video in videos]),
            [video.boxes[:, :frames] for video in videos],
            [video.areas[:, :frames] for video in videos],
        )

    def video(self, index: int) -> MoverVideo:
        """One video."""
        return self.recorded(index).shown

    def recorded(self, index: int) -> Recorded:
        """The same video, and what a camera has recorded of it."""
        config = self.config
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        height, width = config.image_size
        grey = rng.random() < 0.6
        still = scene(rng, 1 if grey else 3, config.image_size)
        contrast = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
        room = (width + 2 * config.object_size, height + 2 * config.object_size)
        share = height * width / (room[0] * room[1])
        count = 1 + int(rng.integers(0, config.most) / share * rng.uniform(0.6, 1))
        size = config.object_size * np.exp(rng.normal() * config.size_spread)
        bodies, sizes = _bodies(rng, count, size, 1 if grey else 3, config)
        people = all(each.kind == "walker" for each in bodies) and rng.random() < UPRIGHT
        where = paths(rng, count, config.frames, size, room, upright=people)
        colours = _colours(rng, bodies, still, contrast)
        drawn = _drawn(bodies, colours, sizes, where, config, rng)
        hidden = posts(rng, config.image_size, config.object_size)
        difference, masks = _composed(still, drawn, hidden, _shadow(rng, contrast))
        # Faults are measured by how objects really differ: over a textured or bright scene, that is not their contrast.
        covered = masks >= 0
        typical = float(np.abs(difference).mean(1)[covered].mean()) if covered.any() else contrast
        difference -= _traces(rng, still, drawn, where.centre, size)
        difference += light(rng, config.frames, config.image_size, typical)[:, None]
        difference = Camera(rng, still, typical).seen(difference)
        gain = gain_for(typical) * float(np.exp(rng.uniform(np.log(0.7), np.log(1.3))))
        recorded = still + difference
        shown_frames = np.rint(255 * differences(recorded, still, gain)).astype(np.uint8)
        frames = np.broadcast_to(shown_frames, (config.frames, 3, height, width)).copy()
        truth = _truth(where, sizes, drawn, config.image_size)
        boxes, areas = (np.stack(each) for each in zip(*map(_extents, drawn), strict=True))
        return Recorded(recorded, still, gain, MoverVideo(frames, truth, masks, boxes, areas))


def _first(truth: GroundTruth, frames: int) -> GroundTruth:
    rows = truth.frame < frames
    return GroundTruth(*(values[rows] for values in vars(truth).values()))


def _bodies(
    rng: np.random.Generator, count: int, size: float, channels: int, config: MoverConfig
) -> tuple[list[Body], Numbers]:
    """Bodies of one kind, or of all, with sizes in px: the square roots of their areas."""
    kind = str(rng.choice(config.bodies)) if rng.random() < 0.7 else None
    alike = body(rng, kind, channels) if kind is not None and rng.random() < 0.4 else None
    bodies = [alike or body(rng, kind or str(rng.choice(config.bodies)), channels) for _ in range(count)]
    return bodies, size * np.exp(rng.normal(size=count) * rng.choice([0.03, 0.1, config.size_spread]))


def _colours(rng: np.random.Generator, bodies: Sequence[Body], still: Pixels, contrast: float) -> Pixels:
    """How each object's colour differs from the scene's mean. (N, C)"""
    count, channels = len(bodies), still.shape[0]
    sign = rng.choice([-1.0, 1.0]) * (1 if rng.random() < 0.65 else rng.choice([-1, 1], count))
    amount = contrast * sign * np.exp(rng.normal(size=count) * rng.choice([0.05, 0.3]))
    tint = rng.normal(size=(1 if rng.random() < 0.5 else count, channels)) * (contrast * 0.6 if channels > 1 else 0)
    colours: Pixels = (amount[:, None] + tint).astype(np.float32)
    return colours


def _shadow(rng: np.random.Generator, contrast: float) -> tuple[float, int, int]:
    """How much darker the scene is beside an object, and where: px to the right and down."""
    if rng.random() < 0.8:
        return 0.0, 0, 0
    return -contrast * rng.uniform(0.05, 0.3), int(rng.integers(-3, 4)), int(rng.integers(-1, 4))


def _drawn(
    bodies: Sequence[Body],
    colours: Pixels,
    sizes: Numbers,
    where: Paths,
    config: MoverConfig,
    rng: np.random.Generator,
) -> list[Drawn]:
    """Every object in every frame."""
    unit = (sizes / np.sqrt([max(each.area, 0.2) for each in bodies]))[:, None] * where.scale  # px of a body's unit
    bend = np.where([each.kind in BENDING for each in bodies], rng.uniform(0, 0.3), 0)
    wobble = 1 + rng.uniform(0, 0.12) * np.sin(where.phase)
    middle = np.array(config.image_size[::-1]) / 2
    centre = where.centre + middle  # in px of the view, x and y
    objects = zip(bodies, colours, unit, bend, wobble, centre, where.angle, where.phase, strict=True)
    return [_object(*each) for each in objects]


def _object(
    seen: Body,
    own: Pixels,
    unit: Numbers,
    bend: float,
    wobble: Numbers,
    centre: Numbers,
    angle: Numbers,
    phase: Numbers,
) -> Drawn:
    """One object.

    :param own: (C,) how its colour differs from the scene's mean.
    :param unit: (T,) px of the body's unit.
    :param bend: how far it bends.
    :param wobble: (T,) by which it is longer, and narrower.
    :param centre: (T, 2) x, y in px of the view.
    """
    side = 2 * int(np.ceil((unit * wobble).max() * REACH)) + 2  # P
    corner = np.floor(centre - side / 2).astype(np.int64)
    offset = np.arange(side) + 0.5
    dx = (corner[:, :1] + offset - centre[:, :1])[:, None, :]  # (T, 1, P)
    dy = (corner[:, 1:] + offset - centre[:, 1:])[:, :, None]
    cos, sin, swing = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None], phase[:, None, None]
    along = (cos * dx + sin * dy) / (unit * wobble)[:, None, None]
    across = (cos * dy - sin * dx) / (unit / wobble)[:, None, None]
    across = across - bend * np.sin(swing + 2.5 * along) * (along + 1) / 2
    grid = torch.from_numpy(np.stack((along, across), -1) / REACH).float()  # (T, P, P, 2)
    pixels = _posed(seen, phase, grid)
    return Drawn(pixels[:, 0], own[:, None, None] + 2 * np.abs(own).mean() * pixels[:, 1:], corner[:, ::-1])


def _posed(seen: Body, phase: Numbers, grid: Tensor) -> Pixels:
    """Opacity and colour of a body in each frame, in the pose that its gait has come to. (T, 1 + C, P, P)"""
    pictures = torch.from_numpy(np.concatenate((seen.alpha[:, None], seen.colour), 1))
    poses = len(pictures)
    pose = np.floor(phase / (2 * np.pi) * poses).astype(np.int64) % poses
    return F.grid_sample(pictures[pose], grid, align_corners=False).numpy()


def _composed(
    still: Pixels, drawn: Sequence[Drawn], hidden: NDArray[np.bool_], shadow: tuple[float, int, int]
) -> tuple[Pixels, NDArray[np.int16]]:
    """Objects in their order, the last in front. → differences (T, C, H, W), masks (T, H, W)"""
    frames, (channels, height, width) = len(drawn[0].alpha), still.shape
    difference = np.zeros((frames, channels, height, width), np.float32)
    masks = np.full((frames, height, width), -1, np.int16)
    darker, right, down = shadow
    level = still.mean((1, 2), keepdims=True)
    for t in range(frames):
        for identity, each in enumerate(drawn):
            (y, x), side = each.origin[t], each.alpha.shape[-1]
            if darker:
                view, window = _overlap(y + down, x + right, side, height, width)
                difference[t][view] += darker * each.alpha[t][window] * (masks[t][view] < 0)
            view, window = _overlap(y, x, side, height, width)
            opaque = each.alpha[t][window]
            own = _own_difference(still[view], level, each.colour[t][window])
            difference[t][view] += opaque * (own - difference[t][view])
            masks[t][view][opaque > MASK] = identity
    difference[..., hidden] = 0
    masks[..., hidden] = -1
    return difference, masks


def _own_difference(still: Pixels, level: Pixels, colour: Pixels) -> Pixels:
    """How an object that covers the scene differs from it. (C, …)"""
    own: Pixels = np.clip(level + colour, 0, 1) - still
    return own


def _traces(rng: np.random.Generator, still: Pixels, drawn: Sequence[Drawn], centre: Numbers, size: float) -> Pixels:
    """What an estimate of the scene holds of objects that it was made from. (C, H, W)

    The median of a video's frames shows an object where it stood for half of them.
    """
    trace = np.zeros_like(still)
    moved = np.linalg.norm(centre[:, -1] - centre[:, 0], axis=-1) > LEAVES_ITS_PLACE * size
    left = np.nonzero(moved)[0]
    if len(left) == 0 or rng.random() > TRACES:
        return trace
    level = still.mean((1, 2), keepdims=True)
    for identity in rng.choice(left, min(len(left), int(rng.integers(1, MOST_TRACES + 1))), replace=False):
        each = drawn[identity]
        t = int(rng.integers(len(each.alpha)))
        (y, x), (height, width) = each.origin[t], still.shape[1:]
        view, window = _overlap(y, x, each.alpha.shape[-1], height, width)
        own = _own_difference(still[view], level, each.colour[t][window])
        strength = rng.uniform(0.2, 1)
        trace[view] += strength * each.alpha[t][window] * (own - trace[view])
    return trace


def _overlap(y: int, x: int, side: int, height: int, width: int) -> tuple[Any, Any]:
    """The part of a window that lies in the view, as an index of the last two axes: of the view, and of the window."""
    y0, y1, x0, x1 = max(y, 0), min(y + side, height), max(x, 0), min(x + side, width)
    y1, x1 = max(y0, y1), max(x0, x1)
    return (..., slice(y0, y1), slice(x0, x1)), (..., slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))


def _truth(where: Paths, sizes: Numbers, drawn: Sequence[Drawn], size: tuple[int, int]) -> GroundTruth:
    share = np.stack([_share_inside(each, size) for each in drawn])
    identity, frame = np.meshgrid(np.arange(len(drawn)), np.arange(share.shape[1]))
    rows = (identity.ravel(), frame.ravel())
    return GroundTruth(
        frame=rows[1],
        identity=rows[0],
        x=where.centre[rows][:, 0] + size[1] / 2,
        y=where.centre[rows][:, 1] + size[0] / 2,
        size=(sizes[:, None] * where.scale)[rows],
        share=share[rows].astype(np.float64),
    )


def _share_inside(drawn: Drawn, size: tuple[int, int]) -> Pixels:
    """How much of an object is inside the view. (T,)"""
    y, x = (drawn.origin[:, axis, None] + np.arange(drawn.alpha.shape[-1]) for axis in (0, 1))
    inside = ((y >= 0) & (y < size[0]))[:, :, None] & ((x >= 0) & (x < size[1]))[:, None, :]
    share: Pixels = (drawn.alpha * inside).sum((1, 2)) / np.maximum(drawn.alpha.sum((1, 2)), 1e-6)
    return share


def _extents(drawn: Drawn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The box (T, 4) around the opaque part of an object, and its area (T,)."""
    opaque, side = drawn.alpha > MASK, drawn.alpha.shape[-1]
    ends = []
    for axis in (1, 2):  # columns, rows
        there = np.any(opaque, axis)
        ends.append((there.argmax(1), side - there[:, ::-1].argmax(1)))
    (left, right), (top, bottom) = ends
    y, x = drawn.origin.T
    return np.stack((x + left, y + top, x + right, y + bottom), -1), opaque.sum((1, 2))
