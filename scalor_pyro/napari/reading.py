"""Readers: STEM.csv as a layer of tracks, STEM-masks as a layer of labels that is read when it is looked at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.tracks.masks import ENDING, PICTURE_PATTERN
from scalor_pyro.tracks.table import to_napari
from scalor_pyro.tracks.text import CSV_COLUMNS, LONGEST_LINE, read_csv

# What napari makes a layer of: data, what the layer is given, and its kind.
LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | list[str]], list[LayerData]]

# By these columns, tracks are told from other tables.
FIRST_COLUMNS = ",".join(CSV_COLUMNS[:4]) + ","


def tracks_reader(path: str | list[str]) -> Reader | None:
    """A reader for tracks; None for another table, which is left to other plugins."""
    if not isinstance(path, str) or not path.lower().endswith(".csv") or not Path(path).is_file():
        return None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return read_tracks_layer if file.readline(LONGEST_LINE).startswith(FIRST_COLUMNS) else None


def masks_reader(path: str | list[str]) -> Reader | None:
    """A reader for a folder of masks; None for another folder."""
    if not isinstance(path, str) or not Path(path).is_dir() or not Path(path).name.endswith(ENDING):
        return None
    return read_masks_layer if any(Path(path).glob(PICTURE_PATTERN)) else None


def read_tracks_layer(path: str | list[str]) -> list[LayerData]:
    """The layer of a CSV; what is known of each row are its properties.

    :raises ValueError: if it cannot be read.
    """
    data, properties = to_napari(read_csv(str(path)))
    return [(data, {"name": f"{Path(str(path)).stem} tracks", "properties": properties}, "tracks")] if len(data) else []


def read_masks_layer(path: str | list[str]) -> list[LayerData]:
    """The layer of a folder of masks: (T, H, W), where 0 is the background and others are identities + 1.

    Frames keep their numbers, also where only a part of the video, or every n-th frame, was tracked.
    """
    import dask.array  # napari brings it along
    from dask import delayed

    pictures = sorted(Path(str(path)).glob(PICTURE_PATTERN))
    first = _labels(pictures[0])
    stack = dask.array.stack(
        [dask.array.from_delayed(delayed(_labels)(picture), first.shape, first.dtype) for picture in pictures]
    )
    numbers = [int(picture.stem.rpartition("_")[2]) for picture in pictures]
    stride = int(np.gcd.reduce(np.diff(numbers))) if len(numbers) > 1 else 1
    place = {"scale": (stride, 1, 1), "translate": (numbers[0], 0, 0)}
    return [(stack, {"name": Path(str(path)).name, **place}, "labels")]


def _labels(picture: Path) -> NDArray[np.int32]:
    with Image.open(picture) as image:
        return np.asarray(image).astype(np.int32)
