"""Objects that rest stay in the median of frames; here they are taken out of it.

Where an object came to, or left, the background was seen for some of the time, but not for most of it. What it looks
like is told by its surroundings, because it goes on there. So it is followed from where nothing ever moved into where
something did: frames that go on with the surroundings show it, and the others show an object.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn.functional import avg_pool2d

from scalor_pyro.video.background.median import MAD_TO_SIGMA, light_of, median_frame

# The most frames, and the most px of a frame, that are looked at: objects that rest are large. Of more frames some are
# taken, and more px are averaged over blocks.
ENOUGH_FRAMES, ENOUGH_PIXELS = 80, 32_000
# σ of the noise beyond which a frame shows something else than the median, and the least σ, of 255.
ELSE, LEAST_NOISE = 3.0, 1.0
# Something moved at a pixel if this part of the frames shows something else there; it blurs others up to this far, px.
MOVED, BLURRED = 0.1, 2
# Where nothing moved, there is background, in regions that reach the edge of the frame and are this part of it: others
# may be the middle of an object that turns.
LARGE_REGION = 0.05
# px, σ of the weights of surroundings.
REACH = 4.0
# The background differs from its surroundings by the texture of the scene. The median shows an object beyond this many
# times the texture. A frame shows the background within half of it, or within this part of how far the median is off.
OFF, NEAR = 4.0, 0.3
# This part of the frames must show it; a smaller one (MOVED) will do beside a pixel where that was so. What passes a
# place now and then, and happens to have the colour of its surroundings, does not count.
OFTEN = 0.3
# The background is followed first to pixels that have this part of their surroundings known, then this.
KNOWN = (0.3, 0.02)
# What it could not be followed into is an object, too, if an object was taken out of this part of its edge: its middle.
ENCLOSED = 0.25
# The median is kept where something that covers this part of the frame rested: it may be the background itself.
LARGEST = 0.25
# px around a region that are looked at with it.
MARGIN = math.ceil(3 * REACH)


def without_resting(frames: NDArray[np.uint8], median: NDArray[np.float32]) -> NDArray[np.float32]:
    """The background image without objects that rested for most of the time.

    What never moves is background. An object that turns in its place is replaced by what lies around it.

    :param frames: (n, C, H, W), from 0 to 255, in the order of the video.
    :param median: (C, H, W), theirs, with or without that of the light.
    :return: (C, H, W); the median itself where nothing rested.
    """
    if len(frames) == 1:
        return median
    frames = frames[:: math.ceil(len(frames) / ENOUGH_FRAMES)]
    side = math.ceil(math.sqrt(median[0].size / ENOUGH_PIXELS))
    blocks = np.stack([_blocks(frame, side) for frame in frames])
    light = light_of(blocks)
    light -= median_frame(light)
    blocks -= light
    usual = median_frame(blocks)
    steps = np.abs(np.diff(blocks[..., ::2, ::2], axis=0))
    noise = max(MAD_TO_SIGMA / math.sqrt(2) * float(np.median(steps)), LEAST_NOISE)
    moved = (np.abs(blocks - usual).mean(1) > ELSE * noise).mean(0)
    if (moved < OFTEN).all():
        return median
    found = _background_of(blocks, usual, moved, noise)
    taken_out = np.logical_or.reduce(found.shown)
    kept = _too_large(taken_out | found.replaced)
    image = median.copy()
    y, x = np.nonzero(_pixels(taken_out & ~kept, side, image))
    shown = found.shown[:, y // side, x // side]
    total = np.zeros((len(image), len(y)), np.float32)
    for frame, brighter, showing in zip(frames, light[..., 0], shown, strict=True):
        total += (frame[:, y, x] - brighter) * showing
    image[:, y, x] = total / shown.sum(0)
    y, x = np.nonzero(_pixels(found.replaced & ~kept, side, image))
    image[:, y, x] = found.image[:, y // side, x // side]
    return image


def _blocks(frame: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Means over squares of `side` px. (C, H, W) → (C, ⌈H / side⌉, ⌈W / side⌉)"""
    blocks: NDArray[np.float32] = avg_pool2d(torch.from_numpy(frame).float(), side, ceil_mode=True).numpy()
    return blocks


def _pixels(blocks: NDArray[np.bool_], side: int, image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The pixels of blocks. (⌈H / side⌉, ⌈W / side⌉) → (H, W)"""
    return blocks.repeat(side, 0).repeat(side, 1)[: image.shape[1], : image.shape[2]]


def _too_large(objects: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What of them is left in the median. (H, W)"""
    labels, _ = ndimage.label(objects)
    areas = np.bincount(labels.ravel())
    areas[0] = 0  # not an object
    too_large: NDArray[np.bool_] = (areas > LARGEST * objects.size)[labels]
    return too_large


class _Background(NamedTuple):
    """Where the median is not the background."""

    shown: NDArray[np.bool_]  # (n, H, W): these frames show it
    replaced: NDArray[np.bool_]  # (H, W): no frame shows it
    image: NDArray[np.float32]  # (C, H, W), what it looks like


def _background_of(
    blocks: NDArray[np.float32], usual: NDArray[np.float32], moved: NDArray[np.floating], noise: float
) -> _Background:
    """Follow the background into all regions where something rested.

    :param blocks: (n, C, H, W), the frames.
    :param usual: (C, H, W), their median.
    :param moved: (H, W), the part of the frames that shows something else.
    :param noise: σ of a pixel.
    """
    known = ~ndimage.binary_dilation(moved >= MOVED, iterations=BLURRED)
    labels, _ = ndimage.label(known)
    large = np.bincount(labels.ravel()) >= LARGE_REGION * known.size
    at_edge = (
        np.bincount(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]), minlength=len(large)) > 0
    )
    known &= (large & at_edge)[labels]
    found = _Background(np.zeros((len(blocks), *known.shape), np.bool_), np.zeros_like(known), usual.copy())
    if not known.any():
        return found
    deviation = np.abs(usual - _surroundings(usual, known)[0]).mean(0)[known]
    texture = max(MAD_TO_SIGMA * float(np.median(deviation)), noise / 2)
    labels, count = ndimage.label(~known)
    rested = ndimage.maximum(moved, labels, np.arange(1, count + 1)) >= OFTEN
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        if rested[label - 1]:
            rows, columns = (slice(max(0, side.start - MARGIN), side.stop + MARGIN) for side in place)
            window = (..., rows, columns)
            region = labels[window] == label
            there = _background_in(blocks[window], usual[window], region, known[window], texture)
            for whole, piece in zip(found, there, strict=True):
                whole[window][..., region] = piece[..., region]
    return found


def _background_in(
    blocks: NDArray[np.float32],
    usual: NDArray[np.float32],
    region: NDArray[np.bool_],
    known: NDArray[np.bool_],
    texture: float,
) -> _Background:
    """Follow the background into one region (H, W), from where it is known (H, W)."""
    image, known = usual.copy(), known.copy()
    shown, taken_out = np.zeros((len(blocks), *region.shape), np.bool_), np.zeros_like(region)
    for front, around in _fronts(image, known, region):
        far = np.abs(usual - around).mean(0)
        front_known = front & (far <= OFF * texture)
        y, x = np.nonzero(front & ~front_known)
        near = np.abs(blocks[:, :, y, x] - around[:, y, x]).mean(1) < np.maximum(OFF / 2 * texture, NEAR * far[y, x])
        beside = ndimage.binary_dilation(taken_out, iterations=BLURRED)[y, x]
        enough = near.mean(0) >= np.where(beside, MOVED, OFTEN)
        y, x, near = y[enough], x[enough], near[:, enough]
        shown[:, y, x], taken_out[y, x] = near, True
        image[:, y, x] = (blocks[:, :, y, x] * near[:, None]).sum(0) / near.sum(0)
        known |= front_known | taken_out
    replaced = np.zeros_like(region)
    for front, around in _fronts(image, known, _enclosed(region & ~known, taken_out)):
        wrong = front & (np.abs(image - around).mean(0) > OFF * texture)
        image[:, wrong] = around[:, wrong]
        replaced |= wrong
        known |= front
    return _Background(shown, replaced, image)


def _fronts(
    image: NDArray[np.float32], known: NDArray[np.bool_], into: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float32]]]:
    """The pixels next to those that are known (H, W), again and again, with the means of their surroundings (C, H, W).

    :param image: (C, H, W); it and `known` (H, W) are to be brought up to date between two steps.
    :param into: (H, W), where to go.
    """
    while True:
        around, weight = _surroundings(image, known)
        fronts = [into & (weight > least) for least in KNOWN]
        front = next((each for each in fronts if each.any()), None)
        if front is None:
            return
        into = into & ~front
        yield front, around


def _surroundings(
    image: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean of what is known around each pixel (C, H, W), and how much of it is known (H, W)."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), REACH)
    total = ndimage.gaussian_filter(image * known, (0, REACH, REACH))
    return total / np.maximum(weight, 1e-6), weight


def _enclosed(unknown: NDArray[np.bool_], taken_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of what is unknown at whose edge an object was taken out. (H, W)"""
    enclosed = np.zeros_like(unknown)
    labels, count = ndimage.label(unknown)
    for label in range(1, count + 1):
        part = labels == label
        edge = ndimage.binary_dilation(part, iterations=BLURRED) & ~part
        if edge.any() and taken_out[edge].mean() >= ENCLOSED:
            enclosed |= part
    return enclosed
