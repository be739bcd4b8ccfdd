"""Appearances beside tracks: STEM-appearance.npy, a row for each row of the CSV that was seen.

An array of records (frame, identity, appearance), counted as :class:`~scalor_pyro.tracks.table.Tracks` counts, with D
numbers of 16 bits each: z_what of SCALOR, or any other features. Linking reads them again, for tracks that were written
earlier.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import explained_reading
from scalor_pyro.video.source import reading

# The name of the file after the video's stem.
ENDING = "-appearance.npy"
# Numbers of 16 bits reach so far.
LARGEST = float(np.finfo(np.float16).max)


def kind_of(features: int) -> np.dtype[np.void]:
    """The type of a record."""
    return np.dtype([("frame", "<i8"), ("identity", "<i8"), ("appearance", "<f2", (features,))])


def records_of(tracks: Tracks, appearance: NDArray[np.floating]) -> NDArray[np.void]:
    """Records of rows, by frame, then identity.

    :param appearance: (R, D)
    """
    records = np.empty(len(tracks), kind_of(appearance.shape[1]))
    records["frame"], records["identity"] = tracks.frame, tracks.identity
    records["appearance"] = np.clip(appearance, -LARGEST, LARGEST)
    ordered: NDArray[np.void] = records[np.lexsort((tracks.identity, tracks.frame))]
    return ordered


def read_appearance(path: str | os.PathLike[str], tracks: Tracks) -> NDArray[np.float64]:
    """The appearance of each row. (R, D)

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
    appearance: NDArray[np.float64] = records["appearance"][found].astype(np.float64)
    if not np.isfinite(appearance).all():
        raise ConfigError(f"{path}: expected finite numbers, got {appearance[~np.isfinite(appearance)][0]}.")
    return appearance


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
    if not isinstance(records, np.ndarray) or records.ndim != 1 or records.dtype != kind_of(_features(records.dtype)):
        got = f"{records.dtype}" if isinstance(records, np.ndarray) else "several arrays"
        raise ConfigError(f"{path}: expected records of frame, identity and appearance, got {got}.")
    return records


def _features(kind: np.dtype[Any]) -> int:
    """How many numbers each appearance has; 0 for arrays of something else."""
    shape = kind["appearance"].shape if kind.names is not None and "appearance" in kind.names else ()
    return int(np.prod(shape)) if shape else 0
