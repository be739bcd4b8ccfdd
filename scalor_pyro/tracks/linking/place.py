"""Place: the log-ratio of "the object went on" to "another begins here" for an end of a track and a later beginning.

After w frames without it, an object is found at a distance d from where it ended; d is

- went on: Normal(w (v + v')/2, (s + k w)²), with v and v' the velocities before and after;
- stayed, or turned: Normal(0, (s + c w)²), with c the typical speed;
- anywhere: uniform over the image, which only its appearance can tell from another object;
- with another: if it ended in the box of another object that went on, and the track begins in the box of that object,
  it stayed beside that one: what its place relative to it has changed by is Normal(0, (side/2)²).

Another object begins anywhere in the image. All of this is the same if time runs backwards. s and k come from the
tracks themselves: how far objects are from where they would be, had they gone on as before, after 1, 2, 4, 8 and 16
frames. Two tracks of one object may also overlap in time, while the old one fades out or the new one sets in: then
their centres are the same, up to a part of their size.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from scalor_pyro.tracks.linking.pieces import RECENT, Counts, Numbers, Pieces
from scalor_pyro.tracks.table import Tracks

# Gaps at which motion is measured, frames, and how many measurements each needs.
GAPS, LEAST_MEASURED = (1, 2, 4, 8, 16), 10
# px and px per frame: the error of motion where tracks are too short to tell; and the least that is believed.
USUAL_ERROR, LEAST_ERROR = (1.5, 0.5), (1.0, 0.1)
# Beyond this many times the typical speed, and this part of the image's shorter side, nothing comes back.
FASTEST, REACH = 3.0, 0.5
# Standard deviation of the distance of two tracks of one object, in sizes.
TOGETHER = 0.3
# Stands for "impossible".
NEVER = -1e6


class Motion(NamedTuple):
    """How objects of a video move."""

    error: float  # px, standard deviation of where an object is
    error_per_frame: float  # px, more for each frame
    speed: float  # px per frame, median


def motion_of(tracks: Tracks, pieces: Pieces) -> Motion:
    """How objects move, as their own tracks say."""
    speeds = np.linalg.norm(np.concatenate([pieces.velocity_in, pieces.velocity_out]), axis=1)
    moving = speeds[speeds > 0]
    speed = float(np.median(moving)) if len(moving) else 0.0
    known, deviation = [], []
    squares: dict[int, list[Numbers]] = {gap: [] for gap in GAPS}
    for frame, place in _unbroken(tracks, pieces):
        for gap, found in _squared_errors(frame, place):
            squares[gap].append(found)
    for gap, parts in squares.items():
        measured = np.concatenate(parts) if parts else np.zeros(0)
        if len(measured) >= LEAST_MEASURED:
            known.append(gap)
            deviation.append(np.sqrt(np.median(measured) / np.log(2)))  # the median of a χ² with two degrees, halved
    if len(known) < 2:
        return Motion(*USUAL_ERROR, speed)
    slope, start = np.polyfit(known, deviation, 1)
    return Motion(max(float(start), LEAST_ERROR[0]), max(float(slope), LEAST_ERROR[1]), speed)


def _unbroken(tracks: Tracks, pieces: Pieces) -> Iterator[tuple[Counts, Numbers]]:
    """Frames and places of each stretch without a gap that is long enough to measure, forwards and backwards."""
    place = np.stack([tracks.x, tracks.y], axis=1)
    for rows in pieces.rows:
        for run in np.split(rows, np.nonzero(np.diff(tracks.frame[rows]) > 1)[0] + 1):
            if len(run) > RECENT:
                yield tracks.frame[run], place[run]
                yield -tracks.frame[run][::-1], place[run][::-1]


def _squared_errors(frame: Counts, place: Numbers) -> Iterator[tuple[int, Numbers]]:
    """Half the squared distance from where the object would be, had it gone on, for each gap."""
    time = np.arange(RECENT) - (RECENT - 1) / 2
    windows = sliding_window_view(place, RECENT, axis=0)  # (n, 2, RECENT)
    velocity = (windows - windows.mean(axis=-1, keepdims=True)) @ time / (time @ time)
    for gap in GAPS:
        count = len(frame) - RECENT - gap + 1
        if count > 0:
            expected = place[RECENT - 1 : RECENT - 1 + count] + gap * velocity[:count]
            yield gap, ((expected - place[RECENT - 1 + gap :]) ** 2).sum(axis=1) / 2


def log_ratio(
    pieces: Pieces,
    ends: Counts,
    begins: Counts,
    motion: Motion,
    image_size: tuple[int, int],
    anywhere: float,
    beside: Numbers,
) -> Numbers:
    """Log-ratio of "the object went on" to "another begins", for each of n pairs, in nats. (n,)

    :param ends: (n,) pieces that end.
    :param begins: (n,) pieces that begin later.
    :param image_size: H, W in px.
    :param anywhere: probability that an object comes back in an unlikely place.
    :param beside: (n, 2) px, change of the place relative to the object in whose box both lie; NaN where there is none.
    """
    area = float(image_size[0] * image_size[1])
    likely = density(pieces, ends, begins, motion, image_size, beside)
    with np.errstate(divide="ignore"):
        ratio = np.log(anywhere + (1 - anywhere) * area * likely)
    return np.where(too_far(pieces, ends, begins, motion, image_size) | np.isneginf(ratio), NEVER, ratio)


def density(
    pieces: Pieces,
    ends: Counts,
    begins: Counts,
    motion: Motion,
    image_size: tuple[int, int],
    beside: Numbers,
    depth: Numbers | float = np.inf,
) -> Numbers:
    """Of where an object is found again that went on, stayed or was hidden, per px². (n,)

    :param depth: (n,) px, where it can only be found in a strip along the border, how wide that is.
    """
    wait, moved = _waited(pieces, ends, begins), pieces.begin[begins] - pieces.end[ends]
    velocity = _mean_velocity(pieces.velocity_out[ends], pieces.velocity_in[begins])
    went_on = _density(moved - wait[:, None] * velocity, motion.error + motion.error_per_frame * wait)
    deviation = np.minimum(motion.error + motion.speed * wait, float(max(image_size)))
    stayed = _density(moved, deviation) * np.maximum(np.sqrt(2 * np.pi) * deviation / depth, 1)
    side = np.maximum((pieces.side[ends] + pieces.side[begins]) / 2, LEAST_ERROR[0])
    hidden = _density(beside, side / 2)
    likely: Numbers = np.where(np.isnan(hidden), (went_on + stayed) / 2, (went_on + stayed + hidden) / 3)
    return likely


def too_far(
    pieces: Pieces, ends: Counts, begins: Counts, motion: Motion, image_size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Where no object comes to in that time. (n,)"""
    moved = np.linalg.norm(pieces.begin[begins] - pieces.end[ends], axis=1)
    farthest = FASTEST * motion.speed * _waited(pieces, ends, begins) + REACH * min(image_size)
    return np.asarray(moved > farthest)


def _waited(pieces: Pieces, ends: Counts, begins: Counts) -> Numbers:
    """Frames from the end to the beginning, at least 1. (n,)"""
    return (pieces.first[begins] - pieces.last[ends]).clip(1).astype(np.float64)


def log_density_of_overlap(tracks: Tracks, pieces: Pieces, ends: Counts, begins: Counts) -> Numbers:
    """How likely pairs that overlap in time are as far apart, if they are of one object; per px². (n,)"""
    place = np.stack([tracks.x, tracks.y], axis=1)
    ratio = np.full(len(ends), NEVER)
    for index, (end, begin) in enumerate(zip(ends, begins, strict=True)):
        one, other = pieces.rows[end], pieces.rows[begin]
        _, here, there = np.intersect1d(tracks.frame[one], tracks.frame[other], return_indices=True)
        if len(here):
            distance = np.linalg.norm(place[one[here]] - place[other[there]], axis=1).mean()
            deviation = max(TOGETHER * (pieces.side[end] + pieces.side[begin]) / 2, LEAST_ERROR[0])
            ratio[index] = -(distance**2) / (2 * deviation**2) - np.log(2 * np.pi * deviation**2)
    return ratio


def _mean_velocity(before: Numbers, after: Numbers) -> Numbers:
    """Mean of both, or the one that is known. (n, 2)"""
    known = (before.any(axis=1) * 1 + after.any(axis=1)).clip(1)
    mean: Numbers = (before + after) / known[:, None]
    return mean


def _density(apart: Numbers, deviation: Numbers) -> Numbers:
    """Of a Normal in two dimensions, per px². (n, 2), (n,) → (n,)"""
    variance = deviation**2
    density: Numbers = np.exp(-(apart**2).sum(axis=1) / (2 * variance)) / (2 * np.pi * variance)
    return density
