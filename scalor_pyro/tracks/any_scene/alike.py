"""Whether the objects of a video are of one size: then boxes fit one of them, and not two.

The boxes of a model for any scene reach from 0.6 to 1.4 times its typical size, so a pair that touches fits one box as
well as two. Among objects that are alike such boxes stand out, and without them pairs stay apart.
"""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ModelConfig

# How far the sizes of a video's objects may differ: as in a trial, little, or as much as in training.
Sizes = Literal["auto", "alike", "any"]

# Objects are alike if the middle half of their masks' log sides spans no more than this …
ALIKE = 0.25
# … unless the median box is near the largest one, which larger objects have as well …
NEAR_LARGEST = 0.9
# … and of one shape if the middle half of their boxes' log aspects spans no more than this. All were chosen on made-up
# videos. Identical sprites that touch span 0.07 to 0.3, and bodies that turn more in their aspects.
ALIKE_ASPECTS = 0.35
# Fewer objects, counted in every frame, do not tell.
LEAST_OBJECTS = 16
# Sides and aspects of boxes of objects that are alike, as `ModelConfig.size_range` and `aspect_range`.
SIZE_RANGE, ASPECT_RANGE = 0.1, 0.2


class BoxRanges(NamedTuple):
    """Bounds of boxes, as the fields of a :class:`~scalor_pyro.config.ModelConfig` that have these names."""

    object_size: float
    size_range: float
    aspect: float
    aspect_range: float

    def of(self, config: ModelConfig) -> ModelConfig:
        """The config of the same networks, with these bounds."""
        return replace(config, **self._asdict())


def box_ranges(
    config: ModelConfig, boxes: NDArray[np.float64], sides: NDArray[np.float64], sizes: Sizes
) -> BoxRanges | None:
    """The bounds of boxes for the objects that a trial found; None: those of training.

    :param config: of the model.
    :param boxes: (n, 2) heights and widths, px of the model.
    :param sides: of these objects' masks, px of the model.
    :param sizes: "auto": narrower bounds only for objects that are alike.
    """
    if sizes == "any" or len(sides) == 0:
        return None
    size = float(np.median(np.sqrt(boxes.prod(1)))) / config.box_margin
    largest = config.object_size * (1 + config.size_range)
    if sizes == "auto" and (len(sides) < LEAST_OBJECTS or _spread(sides) > ALIKE or size > NEAR_LARGEST * largest):
        return None
    ranges = BoxRanges(size, min(SIZE_RANGE, config.size_range), config.aspect, config.aspect_range)
    aspects = boxes[:, 0] / boxes[:, 1]
    if _spread(aspects) > ALIKE_ASPECTS:
        return ranges
    return ranges._replace(aspect=float(np.median(aspects)), aspect_range=min(ASPECT_RANGE, config.aspect_range))


def _spread(values: NDArray[np.float64]) -> float:
    """Between the quartiles of the logarithms."""
    low, high = np.percentile(np.log(values), [25, 75])
    return float(high - low)
