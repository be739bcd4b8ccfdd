"""Filters: which tracks are kept, gaps that are filled, and positions that are smoothed.

Smoothing and filling use one model: an object goes on with a constant velocity that is disturbed by white noise of
acceleration, and each position is measured with the standard deviation that its row gives. The smoother of Rauch, Tung
and Striebel (AIAA Journal 3, 1965) says where the object was in each frame, given all frames of its track. How much
velocities change, and how large errors are where a row does not say, comes from the second differences of the tracks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.config.options import option
from scalor_pyro.tracks.table import COLUMNS, Tracks, concatenate

Numbers = NDArray[np.float64]

# px²: the least variance of a measurement, and the least noise of acceleration (px² per frame³).
LEAST_VARIANCE, LEAST_NOISE = 1e-4, 1e-6
# px², px² per frame³: where tracks are too short to tell.
USUAL = (0.25, 0.05)
# px per frame: standard deviation of the velocity before anything is seen; as good as unknown.
FASTEST = 1000.0
# Second differences needed to tell how objects move.
LEAST_MEASURED = 20
# Columns of a filled row that lie between those of its neighbours.
BETWEEN = ("width", "height", "presence", "depth")


@dataclass(frozen=True)
class FilterOptions:
    """What is left out of tracks, filled and smoothed; by default nothing.

    :raises ConfigError: for values out of their range.
    """

    min_length: int = option(1, "leave out tracks seen in fewer frames", metavar="N")
    min_presence: float = option(0.0, "leave out tracks whose median presence is lower, 0 to 1", metavar="P")
    fill_gaps: int = option(0, "fill gaps of up to N frames within tracks (predicted is 1 in the CSV)", metavar="N")
    smooth: bool = option(False, "smooth positions, with their uncertainties")

    def __post_init__(self) -> None:
        if self.min_length < 1:
            raise ConfigError(f"min_length: expected at least 1 frame, got {self.min_length}.")
        if not 0 <= self.min_presence <= 1:
            raise ConfigError(f"min_presence: expected a number from 0 to 1, got {self.min_presence}.")
        if self.fill_gaps < 0:
            raise ConfigError(f"fill_gaps: expected 0 or more frames, got {self.fill_gaps}.")


def filtered(tracks: Tracks, options: FilterOptions) -> Tracks:
    """Tracks after all filters, in the order of the options."""
    kept = long_enough(present_enough(tracks, options.min_presence), options.min_length)
    if options.smooth or options.fill_gaps:
        kept = smoothed(kept, positions=options.smooth, gaps=options.fill_gaps)
    return kept


def long_enough(tracks: Tracks, frames: int) -> Tracks:
    """The tracks with at least so many rows."""
    _, of_row, count = np.unique(tracks.identity, return_inverse=True, return_counts=True)
    return tracks.rows(count[of_row] >= frames)


def present_enough(tracks: Tracks, presence: float) -> Tracks:
    """The tracks whose median presence is at least this."""
    if presence <= 0 or not len(tracks):
        return tracks
    kept = np.zeros(len(tracks), np.bool_)
    for rows in _rows(tracks):
        kept[rows] = np.median(tracks.presence[rows]) >= presence
    return tracks.rows(kept)


def smoothed(tracks: Tracks, positions: bool = True, gaps: int = 0) -> Tracks:
    """Smooth positions, fill gaps, or both.

    :param positions: replace x and y, and their standard deviations, by those given all frames of the track.
    :param gaps: fill gaps of up to so many frames. A row that fills one has `predicted`, the standard deviations of
        the smoother, and size, presence and depth between those on both sides.
    :return: by frame, then identity.
    """
    if not len(tracks):
        return tracks
    stride = int(np.gcd.reduce(np.diff(np.unique(tracks.frame)))) or 1
    moving = {axis: _movement(tracks, axis, stride) for axis in ("x", "y")}
    parts = []
    for rows in _rows(tracks):
        track = tracks.rows(rows)
        step = (track.frame - track.frame[0]) // stride
        states = {axis: _smoothed(step, *_measured(track, axis, of), of.noise) for axis, of in moving.items()}
        parts.append(_between(track, step, states, stride, gaps // stride))
        if positions:
            mean, deviation = zip(*(states[axis] for axis in ("x", "y")), strict=True)
            place = {"x": mean[0][step], "y": mean[1][step], "x_sd": deviation[0][step], "y_sd": deviation[1][step]}
            track = replace(track, **place)
        parts.append(track)
    return concatenate(parts).in_order()


class _Movement(NamedTuple):
    """How objects move along an axis."""

    variance: float  # px², of a measurement
    noise: float  # px² per frame³, of acceleration


def _rows(tracks: Tracks) -> Iterator[NDArray[np.int64]]:
    """Rows of each identity, in order of frames."""
    order = np.lexsort((tracks.frame, tracks.identity))
    yield from np.split(order, np.nonzero(np.diff(tracks.identity[order]))[0] + 1) if len(order) else ()


def _movement(tracks: Tracks, axis: str, stride: int) -> _Movement:
    """By the method of moments: of second differences d, Var d = ⅔ q + 6 r and Cov(d, next d) = ⅙ q - 4 r."""
    second, products = [], []
    for rows in _rows(tracks):
        values = getattr(tracks, axis)[rows]
        for run in np.split(values, np.nonzero(np.diff(tracks.frame[rows]) != stride)[0] + 1):
            change = np.diff(run, 2)
            second.append(change**2)
            products.append(change[1:] * change[:-1])
    squares, pairs = np.concatenate(second), np.concatenate(products)
    if len(pairs) < LEAST_MEASURED:
        return _Movement(*USUAL)
    own, next_one = squares.mean(), pairs.mean()
    noise, variance = (12 * own + 18 * next_one) / 11, (own / 2 - 2 * next_one) / 11
    return _Movement(max(float(variance), LEAST_VARIANCE), max(float(noise), LEAST_NOISE))


def _measured(track: Tracks, axis: str, movement: _Movement) -> tuple[Numbers, Numbers]:
    """Positions and their variances."""
    deviation: Numbers = getattr(track, f"{axis}_sd")
    variance = np.where(np.isnan(deviation), movement.variance, deviation**2)
    return getattr(track, axis), np.maximum(variance, LEAST_VARIANCE)


def _smoothed(step: NDArray[np.int64], measured: Numbers, variance: Numbers, noise: float) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation of the position in each step from the first to the last, given all measurements."""
    steps = int(step[-1]) + 1
    value, error = np.full(steps, np.nan), np.full(steps, np.nan)
    value[step], error[step] = measured, variance
    go_on = np.array([[1.0, 1.0], [0.0, 1.0]])
    disturbed = noise * np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]])
    mean, covariance = np.array([measured[0], 0.0]), np.diag([error[0], FASTEST**2])
    expected, found = [], []
    for t in range(steps):
        if t:
            mean, covariance = go_on @ mean, go_on @ covariance @ go_on.T + disturbed
        expected.append((mean, covariance))
        if t and not np.isnan(value[t]):
            gain = covariance[:, 0] / (covariance[0, 0] + error[t])
            mean, covariance = mean + gain * (value[t] - mean[0]), covariance - np.outer(gain, covariance[0])
        found.append((mean, covariance))
    means, variances = [mean[0]], [covariance[0, 0]]
    for t in range(steps - 2, -1, -1):
        back = found[t][1] @ go_on.T @ np.linalg.inv(expected[t + 1][1])
        mean = found[t][0] + back @ (mean - expected[t + 1][0])
        covariance = found[t][1] + back @ (covariance - expected[t + 1][1]) @ back.T
        means.append(mean[0])
        variances.append(covariance[0, 0])
    return np.array(means[::-1]), np.sqrt(np.maximum(variances[::-1], 0))


def _between(
    track: Tracks,
    step: NDArray[np.int64],
    states: dict[str, tuple[Numbers, Numbers]],
    stride: int,
    most: int,
) -> Tracks:
    """Rows for the gaps of up to so many steps within a track."""
    steps = np.arange(step[-1] + 1)
    after = np.searchsorted(step, steps)
    gap = step[after] - step[np.maximum(after - 1, 0)] - 1
    missing = steps[(step[after] != steps) & (gap <= most)]
    columns: dict[str, NDArray[np.generic]] = {
        "frame": track.frame[0] + stride * missing,
        "identity": np.full(len(missing), track.identity[0]),
        "predicted": np.ones(len(missing), np.bool_),
        **{name: np.interp(missing, step, getattr(track, name)) for name in BETWEEN},
        **{axis: mean[missing] for axis, (mean, _) in states.items()},
        **{f"{axis}_sd": deviation[missing] for axis, (_, deviation) in states.items()},
    }
    unknown = np.full(len(missing), np.nan)
    return Tracks(*(columns.get(name, unknown) for name in COLUMNS))
