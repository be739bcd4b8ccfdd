"""How good forecasts are, by horizon: position error in pixels and MSE, against what needs no model.

A true object with at least half of its ink in the view is matched, in the last observed frame of each sample, to an
inferred one within half a size, and the inferred one's identity is followed from there. It counts at a horizon where at
least half of its ink is in the view then. Where its forecast has ended (no slot has the identity any more), the last
predicted place is kept and counts: to end the track of what is hard to predict gains nothing. Objects that no
sample found in the last observed frame are counted as missed, and in nothing else.

Four predictions of a place are compared, each for the same objects: the mean of the samples, single samples, the last
inferred place (*hold*), and where the last two inferred places lead (*velocity*; hold where the object was just found).
Hold and velocity are means over the samples, too. As a picture, hold is the last observed frame.

An inferred box need not have its object in its very middle: where there is room to spare, the decoder draws the object
beside it. A position error has that offset in it at every horizon; ``located`` says how much it is in the last observed
frame, and the displacement error, of how far and whereto an object went since, is without it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from motmetrics.lap import linear_sum_assignment
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.data import GroundTruth
from scalor_pyro.evaluation.metrics import CARE_SHARE, STRICT_SIZES
from scalor_pyro.evaluation.tables import NOTHING, lined_up
from scalor_pyro.inference.generation import Generated, check_extent
from scalor_pyro.inference.objects import REPORTED_PRESENCE, boxes

Numbers = NDArray[np.float64]

# What is compared, and how the table names it.
PLACES = {
    "mean": "mean of samples",
    "single": "single sample",
    "hold": "last place held",
    "velocity": "constant velocity",
}
PICTURES = {
    "mean": "mean of samples",
    "single": "single sample",
    "hold": "last frame held",
    "scene": "background image alone",
}


class _Wanted(NamedTuple):
    """The true objects of one video that are to be found in the last observed frame; N of them, H horizons, px."""

    start: Numbers  # (N, 2)
    size: Numbers  # (N,)
    path: Numbers  # (N, H, 2)
    counts: NDArray[np.bool_]  # (N, H): enough of it is in the view then


class _Sums:
    """Sums over samples, for the N objects of one video."""

    def __init__(self, wanted: _Wanted) -> None:
        n, horizons = wanted.counts.shape
        self.wanted = wanted
        self.found = np.zeros(n)  # in how many samples
        self.predicted = np.zeros((n, horizons, 2))
        self.start = np.zeros((n, 2))
        self.velocity = np.zeros((n, 2))
        self.single_error = np.zeros((n, horizons))
        self.single_displacement_error = np.zeros((n, horizons))
        self.ended = np.zeros((n, horizons))

    def add(self, places: Numbers, identity: NDArray[np.int64], here: NDArray[np.bool_]) -> None:
        """One sample, from the frame before the last observed one on: (H + 2, K, 2) px, (H + 2, K), (H + 2, K)."""
        for n, k in _matched(self.wanted, places[1], here[1]):
            path = np.zeros((len(places), 2))
            seen = np.zeros(len(places), dtype=np.bool_)
            for step, slots in enumerate((identity == identity[1, k]) & here):
                seen[step] = slots.any()
                path[step] = places[step, slots.argmax()] if seen[step] else path[max(step - 1, 0)]
            self.found[n] += 1
            self.predicted[n] += path[2:]
            self.start[n] += path[1]
            self.velocity[n] += path[1] - path[0] if seen[0] else 0.0
            off = path[1:] - np.concatenate([self.wanted.start[n, None], self.wanted.path[n]])  # (H + 1, 2)
            self.single_error[n] += np.linalg.norm(off[1:], axis=-1)
            self.single_displacement_error[n] += np.linalg.norm(off[1:] - off[0], axis=-1)
            self.ended[n] += ~seen[2:]


class PictureErrors:
    """MSE of forecast frames by horizon; holds sums only. No ground truth is needed::

        errors = PictureErrors(observed=5, frames=10)
        for sample in errors.passing(forecast(scalor, x, 5, 10, samples=20), x):
            ...
        print(picture_table(errors.result()))

    :param observed: how many frames were seen.
    :param frames: how many there are in all.
    :param background_image: (C, H, W) in [0, 1] of a static background; its error without any object is a baseline.
    :raises ValueError: if that leaves no horizon.
    """

    def __init__(self, observed: int, frames: int, background_image: Tensor | None = None) -> None:
        check_extent(observed, frames, frames)
        self.observed, self.frames = observed, frames
        self.background_image = None if background_image is None else background_image.detach().cpu().double()
        names = [name for name in PICTURES if name != "scene" or background_image is not None]
        self._squares = {name: np.zeros(frames - observed) for name in names}  # summed over pixels
        self._pixels = 0

    def passing(self, samples: Iterable[Generated], x: Tensor) -> Iterator[Generated]:
        """The samples of a batch of videos as they come; when the last has come, they are counted.

        :param samples: what :func:`scalor_pyro.inference.generation.forecast` yields.
        :param x: (B, T, C, H, W) in [0, 1], all of the frames.
        :raises ValueError: where frames and samples do not fit, or there are no samples.
        """
        future = x[:, self.observed : self.frames].detach().cpu().double()
        total, count = future.new_zeros(future.shape), 0
        single = np.zeros(self.frames - self.observed)
        for sample in samples:
            if sample.y.shape != x[:, : self.frames].shape:
                raise ValueError(
                    f"samples: expected shape {tuple(x[:, : self.frames].shape)}, got {tuple(sample.y.shape)}."
                )
            drawn = sample.y[:, self.observed :].cpu().double().clamp(0, 1)
            total, count = total + drawn, count + 1
            single += _by_horizon(drawn - future)
            yield sample
        if not count:
            raise ValueError("samples: expected at least one sample of a forecast, got none.")
        self._pixels += future[:, 0].numel()
        self._squares["mean"] += _by_horizon(total / count - future)
        self._squares["single"] += single / count
        self._squares["hold"] += _by_horizon(x[:, self.observed - 1, None].detach().cpu().double() - future)
        if self.background_image is not None:
            self._squares["scene"] += _by_horizon(self.background_image - future)

    def result(self) -> dict[str, Any]:
        """``observed``; and by horizon, in lists: ``horizon``, and ``mse`` per pixel, a dict by what predicts. NaN
        where there was nothing to count.
        """
        pixels = self._pixels or np.nan
        return {
            "observed": self.observed,
            "horizon": list(range(1, self.frames - self.observed + 1)),
            "mse": {name: (squares / pixels).tolist() for name, squares in self._squares.items()},
        }


class ForecastEvaluation:
    """Evaluates forecasts batch after batch; holds sums only, so that memory stays flat over videos and samples::

        evaluation = ForecastEvaluation(observed=5, frames=10)
        for x, truths in batches:
            evaluation.add(forecast(scalor, x, 5, 10, samples=20), x, truths)
        print(table(evaluation.result()))

    :param observed: how many frames were seen.
    :param frames: how many there are in all.
    :raises ValueError: if that leaves no horizon.
    """

    def __init__(self, observed: int, frames: int) -> None:
        self.pictures = PictureErrors(observed, frames)
        self.observed, self.frames = observed, frames
        horizons = frames - observed
        self._errors = {name: np.zeros(horizons) for name in PLACES}  # px, summed over objects
        self._displacement_errors = {name: np.zeros(horizons) for name in PLACES}
        self._ended = np.zeros(horizons)
        self._objects = np.zeros(horizons)
        self._videos, self._missed, self._found, self._located = 0, 0, 0, 0.0

    def add(self, samples: Iterable[Generated], x: Tensor, truths: Sequence[GroundTruth]) -> None:
        """Count the forecasts of a batch of videos.

        :param samples: what :func:`scalor_pyro.inference.generation.forecast` yields, read one by one.
        :param x: (B, T, C, H, W) in [0, 1], all of the frames.
        :param truths: one for each video.
        :raises ValueError: where frames, samples and truths do not fit.
        """
        if x.shape[1] < self.frames or len(truths) != len(x):
            raise ValueError(
                f"Expected one ground truth for each video of at least {self.frames} frames, got {len(truths)} and"
                f" videos of shape {tuple(x.shape)}."
            )
        height, width = x.shape[-2:]
        last = self.observed - 1
        sums = [_Sums(_wanted(truth, last, self.frames)) for truth in truths]
        for sample in self.pictures.passing(samples, x):
            # With one observed frame there is none before: it stands in for it, and the velocity is 0.
            steps = [max(last - 1, 0), *range(last, self.frames)]
            places = boxes(sample.where[:, steps], (height, width))[..., :2]  # (B, H + 2, K, 2)
            identity = sample.identity[:, steps].cpu().numpy()
            here = (sample.presence[:, steps].cpu().numpy() > REPORTED_PRESENCE) & (identity >= 0)
            for b, each in enumerate(sums):
                each.add(places[b], identity[b], here[b])
        self._videos += len(x)
        for each in sums:
            self._count(each)

    def _count(self, sums: _Sums) -> None:
        found = sums.found > 0
        self._missed += int((~found).sum())
        samples = sums.found[found]
        start, velocity = (part[found, None] / samples[:, None, None] for part in (sums.start, sums.velocity))
        horizon = np.arange(1, self.frames - self.observed + 1)[:, None]
        counts, path = sums.wanted.counts[found], sums.wanted.path[found]
        places = {
            "mean": sums.predicted[found] / samples[:, None, None],
            "hold": start,
            "velocity": start + horizon * velocity,
        }
        offset = start - sums.wanted.start[found, None]  # (N, 1, 2)
        for name, place in places.items():
            self._errors[name] += (np.linalg.norm(place - path, axis=-1) * counts).sum(0)
            self._displacement_errors[name] += (np.linalg.norm(place - path - offset, axis=-1) * counts).sum(0)
        self._errors["single"] += (sums.single_error[found] / samples[:, None] * counts).sum(0)
        displaced = sums.single_displacement_error[found] / samples[:, None]
        self._displacement_errors["single"] += (displaced * counts).sum(0)
        self._found += int(found.sum())
        self._located += float(np.linalg.norm(offset, axis=-1).sum())
        self._ended += (sums.ended[found] / samples[:, None] * counts).sum(0)
        self._objects += counts.sum(0)

    def result(self) -> dict[str, Any]:
        """By horizon, in lists: ``horizon``; ``position_error`` and ``displacement_error`` in px and ``mse`` per pixel,
        each a dict by what predicts; ``objects`` counted; ``ended``, the share of them whose forecast had ended, mean
        over samples. And ``located``, the position error in px in the last observed frame, and the numbers of
        ``videos``, and of objects that were ``missed`` altogether. NaN where there was nothing to count.
        """
        objects = np.where(self._objects > 0, self._objects, np.nan)
        return {
            **self.pictures.result(),
            "position_error": {name: (error / objects).tolist() for name, error in self._errors.items()},
            "displacement_error": {
                name: (error / objects).tolist() for name, error in self._displacement_errors.items()
            },
            "ended": (self._ended / objects).tolist(),
            "objects": self._objects.astype(int).tolist(),
            "located": self._located / self._found if self._found else np.nan,
            "missed": self._missed,
            "videos": self._videos,
        }


def table(result: dict[str, Any]) -> str:
    """The result as plain text: a line for each prediction, a column for each horizon; `-` for nothing to count."""
    rows = [("position error in the last frame seen, px", _shown([result["located"]], 2))]
    for kind, title in (("position_error", "position error"), ("displacement_error", "displacement error")):
        errors = result[kind]
        rows += [(f"{title}, px: {label}", _shown(errors[name], 2)) for name, label in PLACES.items()]
        ratio = [mean / hold if hold else np.nan for mean, hold in zip(errors["mean"], errors["hold"], strict=True)]
        rows += [("  mean of samples / last place held", _shown(ratio, 2))]
    rows += _picture_rows(result)
    rows += [("share of forecasts that have ended", _shown(result["ended"], 3))]
    rows += [("objects", [str(count) for count in result["objects"]])]
    return _by_horizons(result, rows)


def picture_table(result: dict[str, Any]) -> str:
    """The result of :class:`PictureErrors` as plain text, like :func:`table`."""
    return _by_horizons(result, _picture_rows(result))


def _picture_rows(result: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(f"MSE per pixel: {PICTURES[name]}", _shown(errors, 4)) for name, errors in result["mse"].items()]


def _by_horizons(result: dict[str, Any], rows: list[tuple[str, list[str]]]) -> str:
    rows = [("frames ahead", [str(horizon) for horizon in result["horizon"]]), *rows]
    # A figure that is the same for all horizons stands under the first.
    longest = max(len(cells) for _, cells in rows)
    return lined_up([[label, *cells, *[""] * (longest - len(cells))] for label, cells in rows])


def _shown(values: Sequence[float], digits: int) -> list[str]:
    return [NOTHING if np.isnan(value) else f"{value:.{digits}f}" for value in values]


def _by_horizon(error: Tensor) -> Numbers:
    """Squared error, summed over all but the frames. (B, H, C, H, W) → (H,)"""
    summed: Numbers = error.square().sum((0, 2, 3, 4)).numpy()
    return summed


def _wanted(truth: GroundTruth, last: int, frames: int) -> _Wanted:
    """Who is to be found in the last observed frame, and where they go."""
    there = (truth.frame == last) & (truth.share >= CARE_SHARE)
    identity = truth.identity[there]
    path = np.zeros((len(identity), frames - last - 1, 2))
    counts = np.zeros(path.shape[:2], dtype=np.bool_)
    for n, one in enumerate(identity):
        rows = np.nonzero((truth.identity == one) & (truth.frame > last) & (truth.frame < frames))[0]
        horizon = truth.frame[rows] - last - 1
        path[n, horizon] = np.stack([truth.x[rows], truth.y[rows]], -1)
        counts[n, horizon] = truth.share[rows] >= CARE_SHARE
    return _Wanted(np.stack([truth.x[there], truth.y[there]], -1), truth.size[there], path, counts)


def _matched(wanted: _Wanted, places: Numbers, here: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs of a true object and a slot, within half a size of each other, by the least total distance."""
    distance = np.linalg.norm(wanted.start[:, None] - places[None], axis=-1)  # (N, K)
    distance[(distance > STRICT_SIZES * wanted.size[:, None]) | ~here] = np.nan
    rows, columns = linear_sum_assignment(distance)
    return [(int(n), int(k)) for n, k in zip(rows, columns, strict=True) if np.isfinite(distance[n, k])]
