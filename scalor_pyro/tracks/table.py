"""Tracks: the objects of one video, found by the posterior, as rows of (frame, identity, box).

Positions and sizes are in pixels: x to the right, y down, the left and top borders of the image are 0 and
pixel i spans [i, i + 1]. Frames and identities count from 0. Writing and reading are in
:mod:`scalor_pyro.tracks.text` and :mod:`scalor_pyro.tracks.files`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.inference.objects import boxes, reported
from scalor_pyro.inference.posterior import Inference, SlotHistory

# Columns of standard deviations, which need not be known.
DEVIATIONS = ("x_sd", "y_sd", "width_sd", "height_sd")

# Columns of the shape of the mask, which need not be known (:mod:`scalor_pyro.tracks.shape`).
SHAPE = ("area", "length", "breadth", "angle", "intensity")
# Of these, those that cannot be negative.
SIZES = ("area", "length", "breadth")

# trackpy's names of the columns that it shares.
TRACKPY_NAMES = {"identity": "particle"}

# In napari the centre of pixel 0 is at 0; here it is at 0.5.
NAPARI_SHIFT = -0.5

# What a column that need not be given holds where it is not.
_DEFAULTS: dict[str, Any] = {**dict.fromkeys((*DEVIATIONS, *SHAPE), np.nan), "predicted": False}

# Stands for a column that was not given.
_NOT_GIVEN: NDArray[np.float64] = np.empty(0)


def _not_given() -> Any:
    return _NOT_GIVEN


def _require(name: str, values: NDArray[np.float64], valid: NDArray[np.bool_], expected: str) -> None:
    if not valid.all():
        raise ValueError(f"Tracks.{name}: expected {expected}, got {values[np.argmin(valid)]}.")


def _require_counts(name: str, values: NDArray[np.int64]) -> None:
    if len(values) and (values.dtype.kind not in "iu" or values.min() < 0):
        raise ValueError(f"Tracks.{name}: expected integers from 0, got {values.min()} ({values.dtype}).")


def _require_once(frame: NDArray[np.int64], identity: NDArray[np.int64]) -> None:
    order = np.lexsort((identity, frame))
    again = (np.diff(frame[order]) == 0) & (np.diff(identity[order]) == 0)
    if again.any():
        row = order[np.argmax(again)]
        raise ValueError(
            f"Tracks: expected an identity once per frame, got {identity[row]} twice in frame {frame[row]}."
        )


@dataclass(frozen=True, eq=False)
class Tracks:
    """The reported objects of one video, one row for each object in each frame; all arrays have length R.

    :param frame: integers, from 0.
    :param identity: integers, from 0; the same object has the same identity in every frame.
    :param x: px, centre.
    :param y: px, centre.
    :param width: px, of the box.
    :param height: px, of the box.
    :param presence: in [0, 1].
    :param depth: of the depth latent; NaN where it is not known.
    :param x_sd: px, standard deviation of the centre in the posterior; NaN where it is not known, as by default.
    :param y_sd: px, likewise.
    :param width_sd: px, of the width of the box, likewise.
    :param height_sd: px, likewise.
    :param predicted: bool, where nothing was seen and the row fills a gap (:mod:`scalor_pyro.tracks.filters`); nowhere
        by default.
    :param area: px², of the object's mask; NaN where it is not known, as by default, and likewise all that follow.
    :param length: px, the longer axis of the ellipse with the second moments of the mask, from end to end.
    :param breadth: px, the shorter one.
    :param angle: degrees from the x axis towards the y axis, which points down, to the longer one, from −90 to 90; NaN
        also where the mask is round.
    :param intensity: mean of the frame over the pixels that the object owns, in levels of the file.
    :raises ValueError: for arrays of different lengths, negative frames, identities, deviations or sizes, values that
        are not finite, an angle out of range, and an identity that appears twice in a frame.
    """

    frame: NDArray[np.int64]
    identity: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    presence: NDArray[np.float64]
    depth: NDArray[np.float64]
    x_sd: NDArray[np.float64] = field(default_factory=_not_given)
    y_sd: NDArray[np.float64] = field(default_factory=_not_given)
    width_sd: NDArray[np.float64] = field(default_factory=_not_given)
    height_sd: NDArray[np.float64] = field(default_factory=_not_given)
    predicted: NDArray[np.bool_] = field(default_factory=_not_given)
    area: NDArray[np.float64] = field(default_factory=_not_given)
    length: NDArray[np.float64] = field(default_factory=_not_given)
    breadth: NDArray[np.float64] = field(default_factory=_not_given)
    angle: NDArray[np.float64] = field(default_factory=_not_given)
    intensity: NDArray[np.float64] = field(default_factory=_not_given)

    def __post_init__(self) -> None:
        for name, default in _DEFAULTS.items():
            if getattr(self, name) is _NOT_GIVEN:
                object.__setattr__(self, name, np.full(len(self.frame), default))
        for name in (each.name for each in fields(self)):
            shape = np.shape(getattr(self, name))
            if shape != (len(self.frame),):
                raise ValueError(f"Tracks.{name}: expected shape {(len(self.frame),)}, got {shape}.")
        for name in ("frame", "identity"):
            _require_counts(name, getattr(self, name))
        for name in ("x", "y", "width", "height", "presence"):
            values = getattr(self, name)
            _require(name, values, np.isfinite(values), "finite numbers")
        for name in ("depth", "intensity"):
            values = getattr(self, name)
            _require(name, values, ~np.isinf(values), "finite numbers or NaN")
        for name in (*DEVIATIONS, *SIZES):
            values = getattr(self, name)
            valid = np.isnan(values) | (np.isfinite(values) & (values >= 0))
            _require(name, values, valid, "finite numbers from 0 or NaN")
        _require("angle", self.angle, np.isnan(self.angle) | (abs(self.angle) <= 90), "degrees from -90 to 90 or NaN")
        if self.predicted.dtype != np.bool_:
            raise ValueError(f"Tracks.predicted: expected bool, got {self.predicted.dtype}.")
        _require_once(self.frame, self.identity)

    def __len__(self) -> int:
        """R, the number of rows."""
        return len(self.frame)

    @property
    def box(self) -> NDArray[np.float64]:
        """(R, 4): centre x, centre y, width, height in px."""
        return np.stack([self.x, self.y, self.width, self.height], axis=1)

    def rows(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "Tracks":
        """The tracks of some rows, in the order given."""
        return Tracks(*(getattr(self, name)[which] for name in COLUMNS))

    def in_order(self) -> "Tracks":
        """The same rows by frame, then identity."""
        return self.rows(np.lexsort((self.identity, self.frame)))


# The names of all columns, in their order.
COLUMNS = tuple(each.name for each in fields(Tracks))

# What columns hold, if not floating point numbers.
_KINDS: dict[str, type[np.generic]] = {"frame": np.int64, "identity": np.int64, "predicted": np.bool_}


def concatenate(parts: Sequence[Tracks]) -> Tracks:
    """The rows of several tracks one after the other, as of the chunks of a video; of none, no rows.

    :raises ValueError: if an identity appears twice in a frame.
    """
    if not parts:
        return Tracks(*np.empty((2, 0), np.int64), *np.empty((6, 0)))
    return Tracks(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS))


def to_dataframe(tracks: Tracks) -> pd.DataFrame:
    """A table: `frame`, `particle`, `x`, `y`, as trackpy names them, and the other columns.

    Positions are from the border of the image, as in :class:`Tracks`; trackpy's own are 0.5 px less, from the centre of
    the first pixel.
    """
    return pd.DataFrame({TRACKPY_NAMES.get(name, name): getattr(tracks, name) for name in COLUMNS})


def from_dataframe(table: pd.DataFrame) -> Tracks:
    """The inverse of :func:`to_dataframe`; `presence` may be missing (1), and all after it (not known).

    :raises ValueError: for a missing column, and for values that tracks cannot have.
    """
    columns: dict[str, NDArray[Any]] = {}
    for name in COLUMNS:
        column = TRACKPY_NAMES.get(name, name)
        if column in table:
            columns[name] = table[column].to_numpy(_KINDS.get(name, np.float64))
        elif name in COLUMNS[: COLUMNS.index("presence")]:
            raise ValueError(f"table: expected a column {column}, got {', '.join(map(str, table.columns))}.")
    columns.setdefault("presence", np.ones(len(table)))
    columns.setdefault("depth", np.full(len(table), np.nan))
    return Tracks(**columns)


def to_napari(tracks: Tracks) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """What napari shows as tracks: ``viewer.add_tracks(data, properties=properties)``.

    :return: (R, 4) of (track id, frame, y, x), by id, then frame, with positions as napari counts them: from the
        centre of the first pixel; and the other columns of each row, except those that are all NaN, and `predicted`
        where nothing is.
    """
    ordered = tracks.rows(np.lexsort((tracks.frame, tracks.identity)))
    others = {name: getattr(ordered, name) for name in COLUMNS[COLUMNS.index("width") :]}
    known = {name: values for name, values in others.items() if not np.isnan(values).all()}
    if not tracks.predicted.any():
        del known["predicted"]
    return napari_rows(ordered), known


def napari_rows(tracks: Tracks) -> NDArray[np.float64]:
    """(R, 4) of (track id, frame, y, x), as napari counts them, in the order of the tracks."""
    return np.stack([tracks.identity, tracks.frame, tracks.y + NAPARI_SHIFT, tracks.x + NAPARI_SHIFT], axis=1)


def tracks_of(
    inference: Inference | SlotHistory, image_size: tuple[int, int], spread: Tensor | None = None
) -> list[Tracks]:
    """The tracks of each video of a batch.

    :param inference: what the posterior says of B videos.
    :param image_size: H, W in px.
    :param spread: (B, T, K, 4) standard deviations, see :class:`~scalor_pyro.tracks.spread.Spread`.
    :return: B tracks, rows in order of frames.
    """
    keep = reported(inference).cpu().numpy()
    identity = inference.identity.cpu().numpy()
    box = boxes(inference.where, image_size)  # (B, T, K, 4)
    presence = inference.presence.detach().cpu().double().numpy()
    depth = inference.depth.detach().cpu().double().numpy()
    tracks = []
    for b, kept in enumerate(keep):
        frame, _ = np.nonzero(kept)
        x, y, width, height = box[b][kept].T
        deviations = () if spread is None else spread[b].cpu().double().numpy()[kept].T
        tracks.append(
            Tracks(frame, identity[b][kept], x, y, width, height, presence[b][kept], depth[b][kept], *deviations)
        )
    return tracks
