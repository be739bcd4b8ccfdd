"""Blobs: regions that differ from a static background, found by classical means; nothing is learned."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scalor_pyro.video.background.median import MAD_TO_SIGMA, median_frame
from scalor_pyro.video.pixels import thinned

# px, σ of the smoothing of the difference: noise of neighbouring pixels cancels, objects of 3 px and more stay.
SMOOTHING = 1.0
# A blob differs by more than this many σ of the noise, and by this part of what objects differ at their peaks: lower,
# and shadows join objects; higher, and dark legs on dark ground are cut off.
LEAST_SIGNAL, EDGE = 6.0, 0.25
# px, side of the neighbourhood in which a peak is the highest.
PEAK_SIZE = 7
# Noise is at least this part of the range, about one level of 8 bits: without noise everything would be a blob.
LEAST_NOISE = 1 / 255
# Fewer pixels than this are a speck.
LEAST_AREA = 9
# A blob smaller than this part of the one that halves all area is a speck, too.
SPECK = 0.33
# This quantile of the other blobs' areas is the area of a single object.
SINGLE_QUANTILE = 0.25
# Objects are sorted by their place from top to bottom into this many parts of equal number, with at least so many each.
PARTS, LEAST_IN_PART = 5, 12
# The size depends on the place if the medians of these parts lie on a line, with this correlation, and the lowest
# objects are this many times as large as the topmost, or the reverse.
ON_A_LINE, LEAST_PERSPECTIVE = 0.9, 1.35
# A side grows by less than this part of itself over its own length: on the ground it is in proportion to the distance
# from the horizon, which lies above the objects if the camera does.
STEEPEST = 1.0


class Blobs(NamedTuple):
    """The blobs of one frame, in px; all arrays have the length n."""

    x: NDArray[np.float64]  # centre of mass
    y: NDArray[np.float64]
    width: NDArray[np.float64]  # of the box around it
    height: NDArray[np.float64]
    area: NDArray[np.float64]
    contrast: NDArray[np.float64]  # mean difference to the background, in [0, 1]
    whole: NDArray[np.bool_]  # does not touch the border of the frame

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Blobs":
        """Some of the blobs."""
        return Blobs(**{name: values[which] for name, values in self._asdict().items()})


def difference(frame: NDArray[np.uint8], background: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a frame differs from the background, in [0, 1], of all channels the most. (C, H, W) → (H, W)

    A change that all pixels share, or that grows evenly from side to side, is a change of light, and is left out.
    """
    signed: NDArray[np.float32] = ((frame - background) / 255).astype(np.float32)
    signed -= _light(signed)
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(signed, (0, SMOOTHING, SMOOTHING))
    return np.abs(smooth).max(0)


def _light(signed: NDArray[np.float32]) -> NDArray[np.float32]:
    """A plane through differences, by the medians of the whole and of its halves. (C, H, W) → (C, H, W)"""
    height, width = signed.shape[1:]
    signed = thinned(signed)
    rows, columns = signed.shape[1:]
    halves = [
        (signed[:, : rows // 2], signed[:, rows // 2 :]),
        (signed[..., : columns // 2], signed[..., columns // 2 :]),
    ]
    down, right = (2 * (_median(after) - _median(before)) for before, after in halves)
    y, x = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None], np.linspace(-0.5, 0.5, width, dtype=np.float32)
    plane: NDArray[np.float32] = _median(signed) + down * y + right * x
    return plane


def _median(signed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each channel. (C, H, W) → (C, 1, 1)"""
    median: NDArray[np.float32] = np.median(signed, axis=(1, 2), keepdims=True)
    return median


def noise_of(changes: NDArray[np.float32], flicker: bool = True) -> NDArray[np.float32]:
    """σ of each pixel of the background: that of all pixels, or its own where it flickers.

    Differences between consecutive frames hold the noise, but little of slow objects, however many there are.

    :param changes: (n, H, W) differences of consecutive frames, as :func:`difference` has them.
    :param flicker: False where all may change because the camera moves: then the least noise there is.
    :return: (H, W)
    """
    if not flicker:
        return np.full(changes.shape[1:], LEAST_NOISE, np.float32)
    to_sigma = MAD_TO_SIGMA / np.sqrt(2)  # a difference of two frames has the noise of both
    own = median_frame(changes)
    everywhere = max(float(np.median(changes)) * to_sigma, LEAST_NOISE)
    return np.maximum(own * to_sigma, everywhere).astype(np.float32)


def contrast_of(differences: NDArray[np.float32], noise: NDArray[np.float32]) -> float | None:
    """How much objects differ from the background at their peaks, typically; None where nothing does.

    The median of the peaks, each with its square as its weight: faint peaks, as of leaves, shadows and compression, can
    be ten times as many as objects, and do not count for more.

    :param differences: (n, H, W).
    :param noise: (H, W) σ.
    """
    peak = ndimage.maximum_filter(differences, (0, PEAK_SIZE, PEAK_SIZE)) == differences
    values = np.sort(differences[peak & (differences > LEAST_SIGNAL * noise)])
    if len(values) == 0:
        return None
    weight = np.cumsum(values.astype(np.float64) ** 2)
    return float(values[np.searchsorted(weight, weight[-1] / 2)])


def find_blobs(differing: NDArray[np.float32], threshold: NDArray[np.float32], gap: int = 0) -> Blobs:
    """The connected regions in which a frame differs from the background.

    :param differing: (H, W), see :func:`difference`.
    :param threshold: (H, W), above which a pixel belongs to a blob.
    :param gap: px; parts that are no farther from each other belong together.
    """
    reach = differing > threshold
    if gap > 0:
        padded = np.pad(reach, gap + 1).astype(np.uint8)  # closing eats at the border otherwise
        for axis in (1, 0):  # a closing by a line: ten times as fast as ndimage.binary_closing
            padded = ndimage.maximum_filter1d(padded, gap + 1, axis)
            padded = ndimage.minimum_filter1d(padded, gap + 1, axis, origin=-(gap % 2))
        reach = padded[gap + 1 : -gap - 1, gap + 1 : -gap - 1] > 0
    labels, count = ndimage.label(reach, np.ones((3, 3)))
    y, x = np.nonzero(labels)
    label = labels[y, x] - 1
    area = np.bincount(label, minlength=count).astype(np.float64)
    per_pixel = 1 / np.maximum(area, 1)
    corners = [(box[0].start, box[0].stop, box[1].start, box[1].stop) for box in ndimage.find_objects(labels)]
    top, bottom, left, right = np.array(corners, np.float64).reshape(-1, 4).T
    height, width = differing.shape
    blobs = Blobs(
        x=np.bincount(label, x + 0.5, count) * per_pixel,
        y=np.bincount(label, y + 0.5, count) * per_pixel,
        width=right - left,
        height=bottom - top,
        area=area,
        contrast=np.bincount(label, differing[y, x], count) * per_pixel,
        whole=(top > 0) & (left > 0) & (bottom < height) & (right < width),
    )
    return blobs.chosen(area >= LEAST_AREA)


def halving_area(blobs: Blobs) -> float:
    """The area above which blobs hold half of the total area, however many specks there are. px²"""
    area = np.sort(blobs.area)
    total = np.cumsum(area)
    return float(area[np.searchsorted(total, total[-1] / 2)])


def typical_area(blobs: Blobs) -> float:
    """The area of one object, among specks (many, small) and objects that touch (fewer, large). px²

    Blobs far smaller than :func:`halving_area` are specks. Of the others a low quantile is taken: objects that touch
    make blobs too large, and nothing makes them too small.
    """
    return float(np.quantile(blobs.area[blobs.area >= SPECK * halving_area(blobs)], SINGLE_QUANTILE))


class Trend(NamedTuple):
    """How the size of objects depends on their place: exp(slope · (y − middle)) times that at the middle."""

    middle: float  # px
    slope: float  # of the log side, per px; 0: it does not depend on it
    ends: tuple[float, float] | None = None  # side of a box where the topmost and the lowest objects are, px

    def area(self, y: NDArray[np.float64], area: float) -> NDArray[np.float64]:
        """The area of an object at each place, if that at the middle is `area`."""
        scale: NDArray[np.float64] = np.exp(2 * self.slope * (y - self.middle))
        return area * scale


def trend_of(single: Blobs) -> Trend:
    """Perspective: whether objects are larger farther down the picture, or farther up.

    :param single: blobs of one object each, at least one.
    """
    middle = float(np.median(single.y))
    if len(single.y) < PARTS * LEAST_IN_PART:
        return Trend(middle, 0.0)
    parts = np.array_split(np.argsort(single.y, kind="stable"), PARTS)
    log_side = np.log(single.width * single.height) / 2
    y, side = (np.array([np.median(values[part]) for part in parts]) for values in (single.y, log_side))
    if np.ptp(y) == 0 or np.ptp(side) == 0:
        return Trend(middle, 0.0)
    slope, at_0 = np.polyfit(y, side, 1)
    ends = (at_0 + slope * y[0], at_0 + slope * y[-1])
    if abs(np.corrcoef(y, side)[0, 1]) < ON_A_LINE or abs(ends[1] - ends[0]) < np.log(LEAST_PERSPECTIVE):
        return Trend(middle, 0.0)
    if abs(slope) * np.exp(max(ends)) > STEEPEST:
        return Trend(middle, 0.0)
    return Trend(middle, float(slope), (float(np.exp(ends[0])), float(np.exp(ends[1]))))


def joined(blobs: list[Blobs]) -> Blobs:
    """The blobs of several frames as one table."""
    return Blobs(*(np.concatenate(values) for values in zip(*blobs, strict=True)))
