"""Whether the objects of a video are of one size: then boxes fit one of them, and not two.

The boxes of a model for any scene reach from 0.35 to 1.65 times its typical size, so a pair that touches fits one box
as well as two. Among objects that are alike such boxes stand out, and without them pairs stay apart. Objects are alike,
too, if those of one distance are: then boxes grow with the perspective.
"""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import BoxRanges, ModelConfig

# How far the sizes of a video's objects may differ: as in a trial, little, or as much as in training.
Sizes = Literal["auto", "alike", "any"]

# Objects are alike if the middle half of their masks' log sides spans no more than this: that of made-up sprites of one
# size, where they crowd, up to 0.28, and that of movers of different sizes from 0.35 on …
ALIKE = 0.32
# … unless the median box is near the largest one, which larger objects have as well …
NEAR_LARGEST = 0.9
# … and of one shape if the middle half of their boxes' log aspects spans no more than this. All were chosen on made-up
# videos. Identical sprites that touch span 0.07 to 0.3, and bodies that turn more in their aspects.
ALIKE_ASPECTS = 0.35
# Fewer objects, counted in every frame, do not tell.
LEAST_OBJECTS = 16
# Sides and aspects of boxes of objects that are alike, as `ModelConfig.size_range` and `aspect_range`.
SIZE_RANGE, ASPECT_RANGE = 0.1, 0.2
# A perspective shows in objects that are spread over at least this part of the image, whose height is 2; …
LEAST_DEPTH = 0.5
# … what is certain of it (95 %) is at least this share, which parts of a few objects do not reach by chance; …
CERTAIN = 0.5
# … what is left of the spread is less than without it, and no more than this: people in company share boxes, so people
# who are alike seem less so in a trial; …
ALIKE_IN_PERSPECTIVE = 0.5
# … and the log of the size at the bottom over that at the top is from here on, as boxes of one size hold less, and no
# larger than this.
LEAST_PERSPECTIVE, MOST_PERSPECTIVE = 2 * SIZE_RANGE, float(np.log(4))
# 95 % of a standard normal distribution are within this of its mean.
WITHIN_95 = 1.959964


def box_ranges(
    config: ModelConfig,
    boxes: NDArray[np.float64],
    sides: NDArray[np.float64],
    places: NDArray[np.float64],
    sizes: Sizes,
) -> BoxRanges | None:
    """The bounds of boxes for the objects that a trial found; None: those of training.

    :param config: of the model.
    :param boxes: (n, 2) heights and widths, px of the model.
    :param sides: of these objects' masks, px of the model.
    :param places: how far down these objects are, from -1 at the top of the image to 1 at its bottom.
    :param sizes: "auto": narrower bounds only for objects that are alike.
    """
    if sizes == "any" or len(sides) == 0:
        return None
    enough, spread = len(sides) >= LEAST_OBJECTS, _spread(sides)
    perspective = perspective_of(places, sides)
    nearer = np.exp(perspective * places / 2)
    if _spread(sides / nearer) > min(ALIKE_IN_PERSPECTIVE, spread):
        perspective, nearer = 0.0, np.ones_like(nearer)
    alike = enough and (perspective != 0 or spread <= ALIKE)
    size = float(np.median(np.sqrt(boxes.prod(1)) / nearer)) / config.box_margin
    largest = NEAR_LARGEST * config.object_size * (1 + config.size_range)
    if sizes == "auto" and (not alike or size > largest):
        return None
    ranges = BoxRanges(size, min(SIZE_RANGE, config.size_range), config.aspect, config.aspect_range, perspective)
    aspects = boxes[:, 0] / boxes[:, 1]
    if _spread(aspects) > ALIKE_ASPECTS:
        return ranges
    return replace(ranges, aspect=float(np.median(aspects)), aspect_range=min(ASPECT_RANGE, config.aspect_range))


def perspective_of(places: NDArray[np.float64], sides: NDArray[np.float64]) -> float:
    """The log of how many times as large objects are at the bottom of the image as at its top, by the median slope
    (Theil and Sen).

    :param places: of objects, from -1 at the top to 1 at the bottom.
    :return: 0 where they are too few, too near each other, too different or too much alike to tell.
    """
    if len(sides) < LEAST_OBJECTS or np.ptp(places) < LEAST_DEPTH:
        return 0.0
    slope, low, high = median_slope(places, np.log(sides))
    down = np.sign(slope)
    if min(down * low, down * high) < CERTAIN * abs(slope) or 2 * abs(slope) < LEAST_PERSPECTIVE:
        return 0.0
    return float(np.clip(2 * slope, -MOST_PERSPECTIVE, MOST_PERSPECTIVE))


class Slope(NamedTuple):
    """A slope, and the interval that holds it with a probability of 95 %."""

    median: float
    low: float
    high: float


def median_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> Slope:
    """The median of the slopes between all pairs of n points, with Sen's interval (J. Am. Stat. Assoc. 63, 1968).

    As `scipy.stats.theilslopes` has it, whose import would take most of a second of every start.

    :param x: (n,), not all the same.
    """
    across, up = x[:, None] - x, y[:, None] - y
    slopes = np.sort(up[across > 0] / across[across > 0])
    n = len(x)
    ties = [np.unique(values, return_counts=True)[1] for values in (x, y)]
    variance = (n * (n - 1) * (2 * n + 5) - sum((k * (k - 1) * (2 * k + 5)).sum() for k in ties)) / 18
    reach = WITHIN_95 * np.sqrt(max(variance, 0.0))
    last = len(slopes) - 1
    low, high = max(int(np.round((last + 1 - reach) / 2)) - 1, 0), min(int(np.round((last + 1 + reach) / 2)), last)
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))


def _spread(values: NDArray[np.float64]) -> float:
    """Between the quartiles of the logarithms."""
    low, high = np.percentile(np.log(values), [25, 75])
    return float(high - low)
