"""Appearances beside tracks: STEM-appearance.npy, a row for each row of the CSV that was seen.

An array of records (frame, identity, appearance), counted as :class:`~scalor_pyro.tracks.table.Tracks` counts, with D
numbers of 16 bits each: z_what of SCALOR, or any other features. Embeddings, of which linking knows more
(:mod:`~scalor_pyro.tracks.any_scene.embedding`), are called so instead of appearance. Linking reads them again, for
tracks that were written earlier.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.any_scene.embedding import WITHIN
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import explained_reading
from scalor_pyro.video.source import reading

# What records call the numbers: of embeddings (True), and of anything else.
FIELDS = {False: "appearance", True: "embedding"}
# The name of the file after the video's stem.
ENDING = "-appearance.npy"
# Numbers of 16 bits reach so far.
LARGEST = float(np.finfo(np.float16).max)


class Appearances(NamedTuple):
    """What the objects of R rows look like."""

    values: NDArray[np.floating]  # (R, D)
    #: That of embeddings; None: not known, see :func:`~scalor_pyro.tracks.linking.link`.
    within: float | None = None


def kind_of(features: int, embedded: bool = False) -> np.dtype[np.void]:
    """The type of a record."""
    return np.dtype([("frame", "<i8"), ("identity", "<i8"), (FIELDS[embedded], "<f2", (features,))])


def records_of(tracks: Tracks, appearance: Appearances) -> NDArray[np.void]:
    """Records of rows, by frame, then identity.

    :raises ValueError: for a variance that is not that of embeddings.
    """
    values, within = appearance
    if within not in (None, WITHIN):
        raise ValueError(f"within: expected None, or {WITHIN} for embeddings, got {within}.")
    records = np.empty(len(tracks), kind_of(values.shape[1], within is not None))
    records["frame"], records["identity"] = tracks.frame, tracks.identity
    records[FIELDS[within is not None]] = np.clip(values, -LARGEST, LARGEST)
    ordered: NDArray[np.void] = records[np.lexsort((tracks.identity, tracks.frame))]
    return ordered


def read_appearance(path: str | os.PathLike[str], tracks: Tracks) -> Appearances:
    """The appearance of each row.

    :param path: of an array that :class:`~scalor_pyro.tracks.files.TrackFiles` wrote; nothing in it is executed.
    :raises ValueError: if it is something else, cut off or damaged, or lacks a row of the tracks.
    """
    records = _read(Path(path))
    found = rows_of(tracks, records["frame"], records["identity"])
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        raise ConfigError(
            f"{path}: expected the appearance of particle {tracks.identity[row]} in frame {tracks.frame[row]} (counted"
            " from 0), got none; are these the appearances of other tracks?"
        )
    embedded = _embedded(records.dtype)
    values: NDArray[np.float64] = records[FIELDS[embedded]][found].astype(np.float64)
    if not np.isfinite(values).all():
        raise ConfigError(f"{path}: expected finite numbers, got {values[~np.isfinite(values)][0]}.")
    return Appearances(values, WITHIN if embedded else None)


def rows_of(tracks: Tracks, frame: NDArray[np.int64], identity: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each row of tracks is among others, by frame and identity; -1 where it is not. (R,)"""
    if not len(frame):
        return np.full(len(tracks), -1)
    pairs = np.stack([np.append(frame, tracks.frame), np.append(identity, tracks.identity)], axis=1)
    _, number = np.unique(pairs, axis=0, return_inverse=True)
    number = number.reshape(-1)
    where = np.full(number.max() + 1, -1)
    where[number[: len(frame)]] = np.arange(len(frame))
    return where[number[len(frame) :]]


def _read(path: Path) -> NDArray[np.void]:
    with explained_reading(path):
        path.open("rb").close()  # says what is wrong with the path itself
    with reading(path, "an array of appearances"):  # numpy raises nearly everything for a damaged header
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(records, np.ndarray) or records.ndim != 1 or not _is_kind(records.dtype):
        got = f"{records.dtype}" if isinstance(records, np.ndarray) else "several arrays"
        raise ConfigError(f"{path}: expected records of frame, identity and appearance, got {got}.")
    return records


def _embedded(kind: np.dtype[Any]) -> bool:
    return kind.names is not None and FIELDS[True] in kind.names


def _is_kind(kind: np.dtype[Any]) -> bool:
    """Whether it is that of records."""
    field = FIELDS[_embedded(kind)]
    shape = kind[field].shape if kind.names is not None and field in kind.names else ()
    return len(shape) == 1 and kind == kind_of(shape[0], _embedded(kind))
