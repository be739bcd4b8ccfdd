"""Layers: the objects of a video, each on a transparent sheet; and what they show when they lie on each other."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.data.truth import GroundTruth

Pixels = NDArray[np.float32]
Numbers = NDArray[np.float64]
# (T, H, W) identity of the object that owns a pixel; -1: none
Masks = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class BoxTruth(GroundTruth):
    """The objects in view, with boxes that need not be square; their size is the square root of the box's area."""

    width: NDArray[np.float64]  # (R,), px
    height: NDArray[np.float64]  # (R,), px
    visible: NDArray[np.float64]  # (R,), share of the object's ink inside the view that no other object hides


class Layers(NamedTuple):
    """The objects of one video, from back to front."""

    identity: NDArray[np.int64]  # (N,), unique within a video
    opacity: Pixels  # (N, T, H, W) in [0, 1]
    colour: Pixels  # (N, 3) in [0, 1]
    box: Numbers  # (N, T, 4): centre x, centre y, width, height in px
    here: NDArray[np.bool_]  # (N, T): the object is in the view
    ink: Numbers  # (N, T) sum of the opacity that an object would have, were all of it inside the view
    behind: Pixels  # (3,) colour behind all objects
    adds: bool = False  # light of objects adds up, instead of hiding what is behind
    mask_above: float = 0.0  # visible opacity above which a pixel may belong to an object


class Composed(NamedTuple):
    """A video."""

    frames: NDArray[np.uint8]  # (T, 3, H, W)
    truth: BoxTruth
    masks: Masks


def composed(layers: Layers) -> Composed:
    """Lay the objects on each other.

    A pixel belongs to the object that shows most in it. Differs: in the benchmark of Weis et al., a pixel at the soft
    border between two objects belongs to both.
    """
    visible = _visible(layers)
    light = np.einsum("nthw,nc->tchw", visible, layers.colour, optimize=True)
    if not layers.adds:
        light += (1 - visible.sum(0))[:, None] * layers.behind[:, None, None]
    frames = np.rint(255 * light.clip(0, 1)).astype(np.uint8)
    masks = np.full(frames.shape[:1] + frames.shape[2:], -1, np.int16)
    if len(visible):
        owner = visible.argmax(0)
        masks = np.where(visible.max(0) > layers.mask_above, layers.identity[owner], -1).astype(np.int16)
    return Composed(frames, _truth(layers, visible), masks)


def joined(parts: Sequence[Composed]) -> Composed:
    """Parts of a video, one after the other, as one."""
    begins = np.cumsum([0, *(len(part.frames) for part in parts)])
    truths = [replace(part.truth, frame=part.truth.frame + begin) for part, begin in zip(parts, begins, strict=False)]
    columns = {each.name: np.concatenate([getattr(truth, each.name) for truth in truths]) for each in fields(BoxTruth)}
    frames, masks = (np.concatenate([part[index] for part in parts]) for index in (0, 2))
    return Composed(frames, BoxTruth(**columns), masks)


def _visible(layers: Layers) -> Pixels:
    """How much of each pixel shows an object. (N, T, H, W)"""
    if layers.adds:
        return layers.opacity
    visible = layers.opacity.copy()
    free = np.ones(visible.shape[1:], np.float32)
    for each in reversed(range(len(visible))):
        visible[each] *= free
        free *= 1 - layers.opacity[each]
    return visible


def _truth(layers: Layers, visible: Pixels) -> BoxTruth:
    frame, row = np.nonzero(layers.here.T)
    order = np.lexsort((layers.identity[row], frame))
    frame, row = frame[order], row[order]
    inside = layers.opacity.sum((2, 3), dtype=np.float64)  # (N, T)
    shown = visible.sum((2, 3), dtype=np.float64)
    x, y, width, height = layers.box[row, frame].T
    return BoxTruth(
        frame=frame,
        identity=layers.identity[row],
        x=x,
        y=y,
        size=np.sqrt(width * height),
        share=(inside / np.maximum(layers.ink, 1e-6)).clip(0, 1)[row, frame],
        width=width,
        height=height,
        visible=(shown / np.maximum(inside, 1e-6)).clip(0, 1)[row, frame],
    )
