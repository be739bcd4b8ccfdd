"""A look at a video: what moves in it, how large and how fast it is, and how much of it there is.

The camera is assumed to stand still: the background is the temporal median, without what rested, or a picture that was
given, and objects are blobs that differ from it.
This only has to find typical sizes; the model finds the objects.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config.sizes import SIDE_OF_BOX, side_of
from scalor_pyro.video import blobs as blobs_of
from scalor_pyro.video.background.image import given_background
from scalor_pyro.video.background.median import temporal_median
from scalor_pyro.video.background.resting import without_resting
from scalor_pyro.video.blobs import Blobs
from scalor_pyro.video.camera import camera_moves
from scalor_pyro.video.clips import shape_of_all
from scalor_pyro.video.developing import LUMA
from scalor_pyro.video.pixels import has_colour, thinned
from scalor_pyro.video.reading import Frame, Video
from scalor_pyro.video.source import VideoError

# Frames are looked at in runs of consecutive ones (which tell noise and speed), spread over the beginning of the video.
RUNS, RUN_LENGTH = 16, 4
LOOKED_AT = 1500
# The median of fewer frames is no background.
LEAST_FRAMES = 3
# With so few frames, nothing may be seen to move because objects cover the background in half of them.
FEW_FRAMES = 12
# Bytes of frames held at a time: fewer runs of larger frames.
MEMORY = 200 << 20
# Larger frames (px) are looked at reduced: first to few px, and if the objects are then smaller than this (px, side),
# or none are found, to more.
QUICK, LEAST_SEEN = 500_000, 12.0
LARGEST = 2_000_000
# Parts of an object are joined over gaps of this part of its size (in whole px, cut off).
GAP = 0.17
# That size comes from the blobs that the last pass found.
PASSES = 3
# Blobs within these multiples of the typical area are single objects; smaller ones are specks, larger ones several
# objects.
SINGLE = (1 / 3, 2.0)
# Blobs whose side is that of a size that was given, up to this factor either way, are objects of that size.
ALIKE = 1.5
# A blob is followed into the next frame if the nearest there is nearer than this many sizes.
NEAREST = 1.0
# Slow objects are timed over a whole run: displacements of less than this many sizes a frame, which are mostly noise.
SLOW = 0.25
# Percentiles of all pixels that count as the darkest and the brightest.
EXTREMES = (0.1, 99.9)
# Frame intervals that differ by more than this factor are a variable frame rate.
UNEVEN = 1.5


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found in a video, in px of the (cropped) file."""

    frames: int  # looked at
    size: tuple[int, int]  # H, W of the frames looked at
    height: float  # px, of a typical object
    width: float
    speed: float  # px per frame, median
    count: float  # objects per frame, mean
    most: float  # … of the fullest frame that was looked at
    contrast: float  # typical difference of an object from the background, in [0, 1]
    noise: float  # σ of a pixel, in [0, 1]
    dark: float  # nearly all pixels are brighter than this, in [0, 1] …
    bright: float  # … and darker than this
    levels: tuple[float, float]  # values of the file that are 0 and 1 here
    colour: bool  # whether there is any
    camera_moves: bool
    uneven: bool  # the time between frames varies
    objects: tuple[Blobs, ...] = field(repr=False)  # of each frame looked at
    copies: tuple[NDArray[np.float64], ...] = field(repr=False)  # how many objects each blob holds
    shown: tuple[Frame, ...] = field(repr=False)  # each frame looked at
    background: NDArray[np.uint8] = field(repr=False)  # (C, H, W)
    # Sides of boxes (px) where the topmost and the lowest objects are; None: the size does not depend on the place.
    perspective: tuple[float, float] | None = None
    given: bool = False  # height and width are what the user says

    @property
    def side(self) -> float:
        """Side of the square that covers as many px as a typical object, in px."""
        return SIDE_OF_BOX * math.sqrt(self.height * self.width)

    @property
    def middle_side(self) -> float:
        """The same of an object in the middle between the farthest and the nearest ones, where there is perspective.

        Boxes of a model reach as far down as up from its typical object; most objects may be far ones.
        """
        return self.side if self.perspective is None else SIDE_OF_BOX * sum(self.perspective) / 2

    @property
    def grey(self) -> bool:
        """Whether it was read in grey, because that was asked for or the files have no colour."""
        return self.background.shape[0] == 1


def survey(*videos: Video, box: tuple[float, float] | None = None) -> Survey:
    """Look at videos of one scene: at their beginnings if they are long, and at some of them if they are many.

    The crop, range, frame rate, grey and levels of the videos' options apply; stride and size do not.

    :param box: H, W of a typical object in px of the file; None: to be found.
    :raises VideoError: if one cannot be read, has fewer than three frames or other frames than the first, if nothing
        moves, or if the box is larger than the frame.
    """
    crop = videos[0].geometry.crop
    if box is not None and (box[0] > crop.height or box[1] > crop.width):
        raise VideoError(
            f"{videos[0].path}: expected objects smaller than the frame of {crop.width} × {crop.height} px, got"
            f" {box[1]:g} × {box[0]:g} px."
        )
    shape_of_all([_to_look_at(each, LARGEST) for each in videos])
    if crop.height * crop.width > QUICK and LARGEST > QUICK:
        try:
            seen = _survey(videos, QUICK, box)
        except VideoError:
            return _survey(videos, LARGEST, box)
        reduced = (seen.height * seen.width * QUICK / (crop.height * crop.width)) ** 0.5
        if reduced >= LEAST_SEEN:
            return seen
    return _survey(videos, LARGEST, box)


def _survey(videos: Sequence[Video], largest: int, box: tuple[float, float] | None) -> Survey:
    """:func:`survey`, with frames of at most so many px."""
    video, names = videos[0], f"{len(videos)} videos" if len(videos) > 1 else str(videos[0].path)
    reduced = [_to_look_at(each, largest) for each in videos]
    scale = video.geometry.crop.height / reduced[0].geometry.size[0]
    frames, runs = _sample_all(reduced)
    images = np.stack([frame.image for frame in frames])
    colour = has_colour(images)
    shown = images
    if not colour:  # a third of the work; levels and contrast are of grey then
        images = np.rint(_grey(images)).astype(np.uint8)[:, None]
    background = given_background(reduced[0], shown)
    if background is None:
        background = without_resting(images, temporal_median(images))
    elif not colour:
        background = _grey(background[None])
    differences = np.stack([blobs_of.difference(image, background) for image in images])
    moves = camera_moves([(images[run[0]], images[run[-1]]) for run in runs])
    noise = blobs_of.noise_of(_changes(images, runs), flicker=not moves)
    contrast = blobs_of.contrast_of(differences, noise)
    if contrast is None:
        raise VideoError(_nothing_moves(names, len(frames), moves))
    threshold = np.maximum(blobs_of.LEAST_SIGNAL * noise, blobs_of.EDGE * contrast).astype(np.float32)
    sides = None if box is None else (box[0] / scale, box[1] / scale)
    found = _found(differences, threshold, sides)
    if found is None:
        raise VideoError(_nothing_moves(names, len(frames), moves))
    sized = _sized(found, sides)
    height, width = (float(np.median(side)) for side in (sized.single.height, sized.single.width))
    if sides is not None:
        height, width = sides
    found, copies = sized.objects, sized.copies
    dark, bright = (float(level) / 255 for level in np.percentile(thinned(images), EXTREMES))
    counts = [float(each.sum()) for each in copies]
    return Survey(
        frames=len(frames),
        size=(video.geometry.crop.height, video.geometry.crop.width),
        height=height * scale,
        width=width * scale,
        speed=_speed([[found[i] for i in run] for run in runs], (height * width) ** 0.5) * scale,
        count=float(np.mean(counts)),
        most=max(counts),
        contrast=float(np.median(sized.single.contrast)),
        noise=float(np.median(noise)),
        dark=dark,
        bright=bright,
        levels=video.levels or (0.0, 255.0),
        colour=colour,
        camera_moves=moves,
        uneven=_uneven(frames, runs),
        objects=tuple(_scaled(each, scale) for each in found),
        copies=tuple(copies),
        shown=tuple(frames),
        background=np.rint(background).astype(np.uint8).repeat(shown.shape[1] // len(background), 0),
        perspective=None if sized.ends is None else (sized.ends[0] * scale, sized.ends[1] * scale),
        given=box is not None,
    )


def _found(
    differences: NDArray[np.float32], threshold: NDArray[np.float32], sides: tuple[float, float] | None
) -> list[Blobs] | None:
    """The blobs of each frame, with the parts of an object joined; None where there are none.

    :param sides: H, W of an object in px of these frames; None: that of the blobs which the last pass found.
    """
    gap = 0 if sides is None else int(GAP * side_of(sides))
    for _ in range(PASSES if sides is None else 1):
        found = [blobs_of.find_blobs(each, threshold, gap) for each in differences]
        whole = blobs_of.joined(found)
        whole = whole.chosen(whole.whole)
        if len(whole.x) == 0:
            return None
        gap = int(GAP * blobs_of.halving_area(whole) ** 0.5)
    return found


class _Sized(NamedTuple):
    """Blobs, told apart by their size."""

    objects: list[Blobs]  # of each frame, without specks
    copies: list[NDArray[np.float64]]  # how many objects each blob holds
    single: Blobs  # those of one object that do not touch the border
    ends: tuple[float, float] | None  # see Survey.perspective, in px of these frames


def _sized(found: list[Blobs], sides: tuple[float, float] | None) -> _Sized:
    """Specks, objects and groups.

    :param found: of each frame; at least one blob does not touch the border.
    :param sides: H, W of an object; None: to be found.
    """
    everything = blobs_of.joined(found)
    whole = everything.chosen(everything.whole)
    area = blobs_of.typical_area(whole)
    if sides is not None:
        log_side = np.log(whole.width * whole.height / (sides[0] * sides[1])) / 2
        alike = whole.area[np.abs(log_side) <= np.log(ALIKE)]
        area = float(np.median(alike)) if len(alike) else SIDE_OF_BOX**2 * sides[0] * sides[1]
    trend = blobs_of.Trend(0.0, 0.0)
    single = _single(whole, area * np.ones_like(whole.y))
    if sides is None and len(single.x):
        trend = blobs_of.trend_of(single)
        if trend.slope:  # the nearest ones were taken for groups, and the farthest for specks
            single = _single(whole, trend.area(whole.y, area))
            trend = blobs_of.trend_of(single)
    objects, copies = [], []
    for each in found:
        expected = trend.area(each.y, area)
        kept = each.area >= SINGLE[0] * expected
        ratio = each.area[kept] / expected[kept]
        objects.append(each.chosen(kept))
        copies.append(np.where(ratio > SINGLE[1], np.rint(ratio), 1.0))
    return _Sized(objects, copies, single if len(single.x) else whole, trend.ends)


def _single(whole: Blobs, area: NDArray[np.float64]) -> Blobs:
    """Blobs of one object.

    :param area: (n,) of an object at the place of each blob.
    """
    return whole.chosen((whole.area >= SINGLE[0] * area) & (whole.area <= SINGLE[1] * area))


def _nothing_moves(names: str, frames: int, camera: bool) -> str:
    """The message, with the likely reason."""
    text = f"Nothing was seen to move in the {frames} frames of {names} that were looked at"
    if camera:
        return f"{text} as a whole: the camera seems to move; expected objects over a background at rest."
    if frames < FEW_FRAMES:
        return f"{text}: expected at least {FEW_FRAMES} frames, to tell objects from the background."
    return f"{text}; expected objects that move over a background at rest."


def _to_look_at(video: Video, largest: int) -> Video:
    """The video with every frame in its own size, or reduced to this many px."""
    crop = video.geometry.crop
    share = (largest / (crop.height * crop.width)) ** 0.5
    size = None if share >= 1 else (max(1, round(crop.height * share)), max(1, round(crop.width * share)))
    return video.again(replace(video.options, stride=1, size=size))


def _sample_all(videos: list[Video]) -> tuple[list[Frame], list[list[int]]]:
    """Some frames of some videos, and the runs of consecutive ones among them, as indices into these."""
    height, width = videos[0].geometry.size
    most = max(1, min(RUNS, MEMORY // (RUN_LENGTH * videos[0].channels * height * width)))
    frames: list[Frame] = []
    runs: list[list[int]] = []
    chosen = np.linspace(0, len(videos) - 1, min(most, len(videos))).round().astype(int)
    for index in chosen:
        more, their_runs = _sample(videos[index], most // len(chosen))
        runs += [[len(frames) + place for place in run] for run in their_runs]
        frames += more
    return frames, runs


def _sample(video: Video, most: int) -> tuple[list[Frame], list[list[int]]]:
    """Some frames in their order, and at most so many runs of consecutive ones among them."""
    available = min(video.expected_frames, LOOKED_AT)
    runs = max(1, min(most, available // RUN_LENGTH))
    starts = np.linspace(0, max(0, available - RUN_LENGTH), runs).round().astype(int)
    wanted = {int(start) + i: run for run, start in enumerate(starts) for i in range(RUN_LENGTH)}
    frames: list[Frame] = []
    members: list[list[int]] = [[] for _ in starts]
    for index, frame in video.at(wanted):
        members[wanted[index]].append(len(frames))
        frames.append(frame)
    if len(frames) < LEAST_FRAMES:
        raise VideoError(
            f"{video.path}: expected at least {LEAST_FRAMES} frames, to see what moves, got {len(frames)}."
        )
    return frames, [run for run in members if run]


def _changes(images: NDArray[np.uint8], runs: list[list[int]]) -> NDArray[np.float32]:
    """Differences between consecutive frames. (pairs, H, W)"""
    pairs = [pair for run in runs for pair in zip(run, run[1:], strict=False)]
    return np.stack([blobs_of.difference(images[after], images[before].astype(np.float32)) for before, after in pairs])


def _speed(runs: list[list[Blobs]], size: float) -> float:
    """Median displacement of blobs from one frame to the next, in px per frame; 0 where none could be followed."""
    step = _displacement([(run[i], run[i + 1]) for run in runs for i in range(len(run) - 1)], size)
    whole = [run for run in runs if len(run) == RUN_LENGTH]
    if step < SLOW * size and whole:
        return _displacement([(run[0], run[-1]) for run in whole], size) / (RUN_LENGTH - 1)
    return step


def _displacement(pairs: list[tuple[Blobs, Blobs]], size: float) -> float:
    distances = []
    for before, after in pairs:
        if len(before.x) and len(after.x):
            apart = np.hypot(before.x[:, None] - after.x, before.y[:, None] - after.y)
            mutual = apart.argmin(0)[apart.argmin(1)] == np.arange(len(before.x))
            distances.append(apart.min(1)[mutual & (apart.min(1) < NEAREST * size)])
    return float(np.median(np.concatenate(distances))) if any(len(each) for each in distances) else 0.0


def _grey(images: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, C, H, W) → (n, H, W)"""
    weights = LUMA.astype(np.float32) / 256 if images.shape[1] == 3 else np.ones(1, np.float32)
    return np.einsum("nchw,c->nhw", images, weights)


def _uneven(frames: list[Frame], runs: list[list[int]]) -> bool:
    times = [[frames[i].time for i in run] for run in runs]
    steps = np.array(
        [b - a for run in times for a, b in zip(run, run[1:], strict=False) if a is not None and b is not None]
    )
    return len(steps) > 0 and bool(steps.max() > UNEVEN * np.median(steps) or steps.min() * UNEVEN < np.median(steps))


def _scaled(blobs: Blobs, scale: float) -> Blobs:
    return blobs._replace(
        x=blobs.x * scale,
        y=blobs.y * scale,
        width=blobs.width * scale,
        height=blobs.height * scale,
        area=blobs.area * scale**2,
    )
