"""From a survey to the sizes to train with: crop, resize, stride, grid, slots, sigma.

The rules are read off the settings that worked: the presets of this project, and people seen from a building (30 × 17
px, 160 × 160 px windows resized to 96 × 96, every second frame, 12 × 12 cells, 16 slots, sigma 0.05 to 0.1).
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import Crop, ModelConfig, ReadOptions
from scalor_pyro.video.geometry import Geometry
from scalor_pyro.video.source import VideoError
from scalor_pyro.video.surveying import Survey

# px, side of an object after the resize: enough for its shape, and a small image. Small objects are not enlarged …
OBJECT_SIZE = 13.5
# … unless they would be smaller than this.
LEAST_OBJECT_SIZE = 6.0
# px: a frame is taken whole if its sides are at most WHOLE after the resize, else a window of this side is cut out …
WINDOW, WHOLE = 96, 128
# … or of this part of it, again and again, as long as it would hold more objects than there can be slots.
SMALLER, MOST_SLOTS = 0.75, 64
# A cell is this part of an object wide, rounded to the multiple of 4 px that the model needs.
CELL = 0.65
CELL_STEP, LEAST_SIDE = 4, 16
# Slots: this many for each object of the fullest frame, and some more.
SLOTS_EACH, SLOTS_MORE = 1.25, 2
# After the first frame, this part of the first shortlist is enough for what appears.
LATER, LEAST_LATER = 0.5, 6
# Objects should move by about this part of their size from frame to frame: little of it is noise, and the next is near.
MOVE = 0.1
LONGEST_STRIDE = 10
# sigma is this part of the objects' contrast, so that they are worth explaining, and above the noise; within bounds.
SIGMA_OF_CONTRAST, SIGMA_OF_NOISE, SIGMA_BOUNDS = 0.4, 2.0, (0.02, 0.2)
# A video that uses less than this part of the range from black to white is stretched to all of it, with some headroom:
# where objects differ little from what is behind them, they would be learned as nearly transparent.
RANGE_USED, HEADROOM = 0.5, 0.1
# How far sizes and log aspects may be from the typical one.
SIZE_RANGE, ASPECT_RANGE = 0.25, 0.3
# The window is placed where most objects are, on places this part of its side apart.
PLACES = 0.25


@dataclass(frozen=True)
class Proposal:
    """Sizes to train on a video with."""

    crop: Crop  # px of the file
    size: tuple[int, int]  # H, W in px that the crop is resized to
    stride: int
    grey: bool
    object_size: float  # px after the resize, side of the typical object
    aspect: float  # height / width of the typical object, after the resize
    count: float  # objects per frame in the crop, mean
    cells: tuple[int, int]  # G_y, G_x
    slots: int  # K
    region_slots: int  # K for the whole of the frames looked at
    first_shortlist: int  # M in the first frame
    shortlist: int  # M in later ones
    sigma: float
    levels: tuple[float, float] | None  # values of the file that become black and white; None: as they are

    def options(self, given: ReadOptions) -> ReadOptions:
        """How to read the video; what the proposal does not set stays as given."""
        return replace(given, crop=self.crop, size=self.size, stride=self.stride, grey=self.grey, levels=self.levels)

    def model(self, given: ModelConfig) -> ModelConfig:
        """The model to train; what the proposal does not set stays as given."""
        return replace(
            given,
            image_size=self.size,
            channels=1 if self.grey else 3,
            cells=self.cells,
            slots=self.slots,
            first_shortlist=self.first_shortlist,
            shortlist=self.shortlist,
            object_size=self.object_size,
            size_range=SIZE_RANGE,
            aspect=self.aspect,
            aspect_range=ASPECT_RANGE,
            sigma=self.sigma,
        )


def propose(survey: Survey, given: ReadOptions | None = None, names: Collection[str] | None = None) -> Proposal:
    """The sizes for a video in which this was seen.

    :param survey: of the video, read with the same options.
    :param given: how the user wants the video to be read: a crop is searched for a window; a size, a stride, grey and
        levels are kept.
    :param names: the fields of `given` that the user chose, equal to their defaults or not; None: those that differ
        from their defaults.
    :raises VideoError: if the given size cannot be that of a model.
    """
    given = given or ReadOptions()
    chosen = _changed(given) if names is None else frozenset(names)
    side = (survey.height * survey.width) ** 0.5
    scale = min(1.0, OBJECT_SIZE / side) if side >= LEAST_OBJECT_SIZE else LEAST_OBJECT_SIZE / side
    if given.size is not None:
        window, size = survey.size, given.size
        scale = (size[0] * size[1] / (window[0] * window[1])) ** 0.5
        cells = _cells_of(size, _cell(side * scale))
    else:
        window, size = _sizes(survey.size, scale, WINDOW)
        largest = WINDOW * SMALLER
        while _slots(_counts(survey, _busiest(survey, window)).max()) > MOST_SLOTS and largest > 2 * LEAST_SIDE:
            window, size = _sizes(survey.size, scale, largest, whole=largest)
            largest *= SMALLER
        cell = _cell(side * scale)
        cells = size[0] // cell, size[1] // cell
    place = _busiest(survey, window)
    counts = _counts(survey, place)
    slots = min(_slots(counts.max()), 2 * MOST_SLOTS)
    first = min(slots, cells[0] * cells[1])
    origin = Geometry.of(survey.size, ReadOptions()).crop if given.crop is None else given.crop
    levels, stretch = (given.levels, 1.0) if "levels" in chosen else _levels(survey)
    sigma = stretch * max(SIGMA_OF_CONTRAST * survey.contrast, SIGMA_OF_NOISE * survey.noise)
    return Proposal(
        crop=replace(place, x=place.x + origin.x, y=place.y + origin.y),
        size=size,
        stride=given.stride if "stride" in chosen else _stride(survey.speed, side),
        grey=survey.grey or (given.grey if "grey" in chosen else not survey.colour),
        object_size=round(side * scale, 1),
        aspect=round(survey.height / survey.width * (size[0] / window[0]) / (size[1] / window[1]), 2),
        count=round(float(counts.mean()), 1),
        cells=cells,
        slots=slots,
        region_slots=_slots(survey.most),
        first_shortlist=first,
        shortlist=min(first, max(LEAST_LATER, math.ceil(LATER * first))),
        sigma=round(min(max(sigma, SIGMA_BOUNDS[0]), SIGMA_BOUNDS[1]), 3),
        levels=levels,
    )


def _changed(given: ReadOptions) -> frozenset[str]:
    """The fields that differ from their defaults."""
    usual = ReadOptions()
    return frozenset(each.name for each in fields(given) if getattr(given, each.name) != getattr(usual, each.name))


def _levels(survey: Survey) -> tuple[tuple[float, float] | None, float]:
    """Levels that stretch a video that uses little of the range, and the factor by which they do."""
    used = survey.bright - survey.dark
    if used >= RANGE_USED:
        return None, 1.0
    low, high = survey.dark - HEADROOM * used, survey.bright + HEADROOM * used
    black, white = survey.levels
    in_file = black + low * (white - black), black + high * (white - black)
    return (round(in_file[0], 3), round(in_file[1], 3)), 1 / (high - low)


def _cell(object_size: float) -> int:
    return max(1, round(CELL * object_size / CELL_STEP)) * CELL_STEP


def _sizes(
    frame: tuple[int, int], scale: float, largest: float, whole: float = WHOLE
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sides of the window, in px of the file, and of the image; (vertical, horizontal)."""
    window, size = [], []
    step = _cell(OBJECT_SIZE)
    for side in frame:
        goal = side * scale if side * scale <= whole else min(largest, side * scale)
        image = max(LEAST_SIDE, round(goal / step) * step)
        size.append(image)
        window.append(side if side * scale <= whole else min(side, round(image / scale)))
    return (window[0], window[1]), (size[0], size[1])


def _cells_of(size: tuple[int, int], cell: int) -> tuple[int, int]:
    """A grid that divides an image of a given size into multiples of 4 px, with cells of about `cell` px."""
    grid = []
    for side in size:
        if side < LEAST_SIDE or side % CELL_STEP:
            raise VideoError(
                f"size: expected at least {LEAST_SIDE} px each way, in multiples of {CELL_STEP}, got {size}."
            )
        fitting = [each for each in range(CELL_STEP, side + 1, CELL_STEP) if side % each == 0]
        grid.append(side // min(fitting, key=lambda each: abs(each - cell)))
    return grid[0], grid[1]


def _busiest(survey: Survey, window: tuple[int, int]) -> Crop:
    """Where a window of this size holds most objects as a whole, in px of the frames looked at."""
    (height, width), (rows, columns) = survey.size, window
    places = [
        Crop(int(x), int(y), columns, rows)
        for y in _places(height - rows, rows * PLACES)
        for x in _places(width - columns, columns * PLACES)
    ]
    return max(places, key=lambda place: float(_counts(survey, place, whole=True).mean()))


def _places(room: int, step: float) -> list[int]:
    return [int(place) for place in np.linspace(0, room, 1 + math.ceil(room / step)).round()]


def _counts(survey: Survey, place: Crop, whole: bool = False) -> NDArray[np.float64]:
    """How many objects have their centre, or the whole of a typical box, in a window, in each frame looked at."""
    high, wide = (survey.height / 2, survey.width / 2) if whole else (0.0, 0.0)
    counts = []
    for blobs, copies in zip(survey.objects, survey.copies, strict=True):
        inside = (blobs.x - wide >= place.x) & (blobs.x + wide < place.x + place.width)
        inside &= (blobs.y - high >= place.y) & (blobs.y + high < place.y + place.height)
        counts.append(copies[inside].sum())
    return np.array(counts)


def _slots(most: float) -> int:
    return math.ceil(SLOTS_EACH * most) + SLOTS_MORE


def _stride(speed: float, size: float) -> int:
    """So that objects move by a good part of their size, but can be followed."""
    return LONGEST_STRIDE if speed <= 0 else max(1, round(min(LONGEST_STRIDE, MOVE * size / speed)))
