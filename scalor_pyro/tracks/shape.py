"""The shape of each object: the box, area, axes and direction of its mask, and how bright the frame is there.

The mask is where the own alpha of the object, as decoded from z_what, is above ½: also behind other objects, and beyond
the border of the image. It is known on the grid of the glimpse, S × S numbers whatever the size of the object, and is
linear between them; so its border lies between pixels, and the cost does not depend on the size of the image. Lengths
are in px of the file, also where it was resized by different factors along x and y.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.layers.rendering import Canvas
from scalor_pyro.model.frame import FrameLatents
from scalor_pyro.tracks.table import Tracks

Numbers = NDArray[np.float64]

# Alpha above which a point belongs to the mask.
INSIDE = 0.5
# Points along each side of a glimpse's pixel at which areas and axes are computed. With 3, those of an ellipse that
# fills half of a glimpse are right within 3 %.
FINER = 3
# A mask whose length is less than this many times its breadth is round: it has no direction.
LEAST_ELONGATION = 1.1


class Shapes(NamedTuple):
    """The masks of n objects; NaN where an object has no point above ½."""

    box: Numbers  # (n, 4) centre x, centre y, width, height in px: the smallest box around the mask
    area: Numbers  # (n,) px²
    length: Numbers  # (n,) px: the longer axis, whole, of the ellipse with the same second moments
    breadth: Numbers  # (n,) px: the shorter one
    angle: Numbers  # (n,) degrees from the x axis (right) towards the y axis (down), in (−90, 90]; NaN where round


def shapes_of(alpha: NDArray[np.floating], box: Numbers) -> Shapes:
    """The shapes of masks.

    :param alpha: (n, S, S) alpha of each glimpse, in [0, 1].
    :param box: (n, 4) the glimpse's centre x, centre y, width and height, in px.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # no point above ½: 0 / 0
        return Shapes(_box_of(alpha, box), *_axes_of(alpha, box[:, 2:]))


def _box_of(alpha: NDArray[np.floating], box: Numbers) -> Numbers:
    """The box of each mask. (n, 4)"""
    sides = [_extent(alpha.max(axis)) for axis in (1, 2)]  # of x, and of y
    first, last = (np.stack([side[end] for side in sides], 1) for end in (0, 1))
    return np.concatenate([box[:, :2] + box[:, 2:] * (first + last) / 2, box[:, 2:] * (last - first)], 1)


def _extent(profile: NDArray[np.floating]) -> tuple[Numbers, Numbers]:
    """Where profiles first rise above ½, and where they last fall below, as shares of the glimpse from its middle.

    :param profile: (n, S) at the centres of the glimpse's pixels; linear between them, and to 0 outside.
    :return: twice (n,), in [−½, ½]; NaN where it never does.
    """
    count, size = profile.shape
    around = np.zeros((count, size + 2))
    around[:, 1:-1] = profile
    above = around > INSIDE
    row = np.arange(count)
    first, last = above.argmax(1), size + 1 - above[:, ::-1].argmax(1)
    ends = []
    for inner, outer in ((first, np.maximum(first - 1, 0)), (last, np.minimum(last + 1, size + 1))):
        high, low = around[row, inner], around[row, outer]
        crossing = inner + (outer - inner) * (high - INSIDE) / (high - low)
        ends.append(np.where(above.any(1), (crossing - 0.5) / size - 0.5, np.nan))
    return ends[0], ends[1]


def _axes_of(alpha: NDArray[np.floating], side: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Area, length, breadth and angle, from the moments of the mask on a finer grid.

    :param side: (n, 2) width and height of the glimpse in px.
    """
    size = alpha.shape[-1]
    points = size * FINER
    weights = _between(size)
    mask = (weights @ alpha.astype(np.float32) @ weights.T > INSIDE).astype(np.float32)  # (n, P, P)
    place = (np.arange(points, dtype=np.float32) + 0.5) / points - 0.5
    powers = np.stack([np.ones_like(place), place, place**2])  # (3, P)
    moments = (powers @ mask @ powers.T).astype(np.float64)  # (n, 3, 3) of powers of y and x
    count = moments[:, 0, 0]
    mean_x, mean_y = moments[:, 0, 1] / count, moments[:, 1, 0] / count
    own = 1 / (12 * points**2)  # variance within the square that a point stands for
    width, height = side.T
    var_x = (moments[:, 0, 2] / count - mean_x**2 + own) * width**2
    var_y = (moments[:, 2, 0] / count - mean_y**2 + own) * height**2
    both = (moments[:, 1, 1] / count - mean_x * mean_y) * width * height
    middle, half = (var_x + var_y) / 2, np.hypot(var_x - var_y, 2 * both) / 2
    # The variance along an axis of a full ellipse is a sixteenth of the squared axis.
    length, breadth = 4 * np.sqrt(middle + half), 4 * np.sqrt(np.maximum(middle - half, 0))
    known = count > 0
    area = np.where(known, count * width * height / points**2, np.nan)
    return area, length, breadth, np.where(length < LEAST_ELONGATION * breadth, np.nan, _direction(var_x, var_y, both))


def _between(size: int) -> NDArray[np.float32]:
    """Weights that give a glimpse at FINER points in each of its pixels, linear between their centres. (P, S)"""
    place = (np.arange(size * FINER) + 0.5) / FINER - 0.5
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size))).astype(np.float32)


def _direction(var_x: Numbers, var_y: Numbers, both: Numbers) -> Numbers:
    """The angle of the longer axis in degrees, in (−90, 90]."""
    angle: Numbers = np.degrees(np.arctan2(2 * both, var_x - var_y)) / 2
    return np.where(angle <= -90, 90.0, angle)


def with_shapes(tracks: Tracks, alpha: NDArray[np.floating], intensity: Numbers, fit: bool) -> Tracks:
    """Tracks with the shapes of their masks.

    :param tracks: R rows, in px of the file, with the boxes of glimpses.
    :param alpha: (R, S, S) of each row's glimpse.
    :param intensity: (R,)
    :param fit: also make boxes, and their standard deviations, those of the masks; a row without a mask keeps the box
        of the glimpse.
    """
    shapes = shapes_of(alpha, tracks.box)
    with_columns = replace(
        tracks,
        area=shapes.area,
        length=shapes.length,
        breadth=shapes.breadth,
        angle=shapes.angle,
        intensity=intensity,
    )
    return _fitted(with_columns, shapes.box) if fit else with_columns


def _fitted(tracks: Tracks, box: Numbers) -> Tracks:
    """Tracks with the boxes of masks, where there are some.

    A mask lies in its glimpse where it lies, however large and wherever that is: so the box of the mask is as uncertain
    as this makes it, with centre and size of the glimpse independent of each other.
    """
    box = np.where(np.isnan(box), tracks.box, box)
    (x, y, width, height), (shift_x, shift_y) = box.T, (box - tracks.box)[:, :2].T
    return replace(
        tracks,
        x=x,
        y=y,
        width=width,
        height=height,
        x_sd=np.hypot(tracks.x_sd, shift_x / tracks.width * tracks.width_sd),
        y_sd=np.hypot(tracks.y_sd, shift_y / tracks.height * tracks.height_sd),
        width_sd=width / tracks.width * tracks.width_sd,
        height_sd=height / tracks.height * tracks.height_sd,
    )


def corners(tracks: Tracks) -> Numbers:
    """Oriented boxes: the rectangle around the ellipse of each mask, with the centre of the box.

    A row without a shape has its upright box, as has a round one a box of its own sides.

    :return: (R, 4, 2) x, y in px of the corners, one after the other around the box, clockwise as the image is seen.
    """
    turned = ~np.isnan(tracks.angle)
    angle = np.radians(np.where(turned, tracks.angle, 0))
    along = np.stack([np.cos(angle), np.sin(angle)], 1)  # (R, 2)
    across = np.stack([-np.sin(angle), np.cos(angle)], 1)
    length = np.where(turned, tracks.length, tracks.width)[:, None]
    breadth = np.where(turned, tracks.breadth, tracks.height)[:, None]
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2  # along, across
    steps = signs[:, :1, None] * (length * along)[None] + signs[:, 1:, None] * (breadth * across)[None]  # (4, R, 2)
    found: Numbers = tracks.box[:, None, :2] + steps.transpose(1, 0, 2)
    return found


def intensities(owner: NDArray[np.int64], images: NDArray[np.uint8], rows: Tracks) -> Numbers:
    """The mean of the frames over the pixels that each object owns, so without those where another object is in front,
    and over channels.

    :param owner: (n, H, W) see :func:`~scalor_pyro.inference.masks.owners`.
    :param images: (n, C, H, W) the frames.
    :param rows: R objects; their frames count from the first of these.
    :return: (R,) in the unit of the frames; NaN where an object owns no pixel.
    """
    owner = owner.reshape(len(owner), -1)
    t, pixel = np.nonzero(owner >= 0)
    level = images.reshape(*images.shape[:2], -1)[t, :, pixel].mean(1)
    if not len(t):
        return np.full(len(rows), np.nan)
    whose = owner[t, pixel]
    first, names = whose.min(), int(np.ptp(whose)) + 1  # identities of these frames lie close together
    key = t * names + whose - first
    count, total = (np.bincount(key, weights, len(owner) * names) for weights in (None, level))
    owned = (rows.identity >= first) & (rows.identity < first + names)
    mine = np.where(owned, rows.frame * names + rows.identity - first, 0)
    with np.errstate(invalid="ignore"):
        return np.where(owned, total[mine] / count[mine], np.nan)


def together(latents: Sequence[FrameLatents]) -> FrameLatents:
    """Frames of one video as a batch, for :func:`~scalor_pyro.inference.masks.owners`: one large operation is faster
    than many small ones."""

    def joined(parts: Iterable[Sequence[Tensor]]) -> list[Tensor]:
        return [torch.cat(list(part)) for part in zip(*parts, strict=True)]

    objects = Objects(*joined(frame.slots.objects for frame in latents))
    slots = Slots(objects, *joined(frame.slots[1:] for frame in latents))
    canvas = Canvas(*joined(frame.canvas for frame in latents))
    return FrameLatents(slots, None, objects, canvas)
