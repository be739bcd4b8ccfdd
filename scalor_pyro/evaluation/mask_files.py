"""Masks in files: folders of pictures as ``scalor track --masks`` writes them, or arrays in an .npz.

Values are 0 for the background, else identity + 1.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.masks import ENDING

# The array of an .npz, and the pictures of a folder, in the order of their names.
ARRAY = "masks"
SUFFIXES = (".tif", ".tiff", ".png")

# What the readers of zip, npy and pictures raise for a damaged file.
_UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, TypeError, zipfile.BadZipFile, zlib.error, MemoryError)


class MaskVideos:
    """The masks of some videos by name; those of a folder are read when they are asked for.

    :param path: an .npz with an array ``masks`` (T, H, W) or (N, T, H, W); a folder of pictures, one for each frame; or
        a folder of such folders.
    :raises ConfigError: if there are none, or the file is not such an .npz.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays: dict[str, NDArray[Any]] = {}
        self._folders: dict[str, Path] = {}
        if path.is_dir():
            self._folders = {_name_of(folder): folder for folder in _folders_in(path)}
            if not self._folders:
                raise ConfigError(f"{path}: expected pictures ({', '.join(SUFFIXES)}), or folders of them, got none.")
        else:
            arrays = _arrays_of(path)
            self._arrays = {f"{number:0{len(str(len(arrays)))}d}": masks for number, masks in enumerate(arrays)}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the videos, in order."""
        return tuple(self._folders or self._arrays)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The masks of a video. (T, H, W) integers

        :raises ConfigError: if a picture cannot be read, holds no whole numbers from 0, or has another size.
        """
        if name in self._arrays:
            return self._arrays[name]
        pictures = [(file, _picture(file)) for file in _pictures_in(self._folders[name])]
        size = pictures[0][1].shape
        for file, picture in pictures:
            if picture.shape != size:
                raise ConfigError(f"{file}: expected {size} px, as in the first frame, got {picture.shape}.")
        return np.stack([picture for _, picture in pictures])


def _name_of(folder: Path) -> str:
    return folder.name.removesuffix(ENDING)


def _folders_in(path: Path) -> list[Path]:
    """Itself, or the folders in it, if there are pictures in them."""
    if _pictures_in(path):
        return [path]
    return [folder for folder in sorted(path.iterdir()) if folder.is_dir() and _pictures_in(folder)]


def _pictures_in(folder: Path) -> Sequence[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def _picture(file: Path) -> NDArray[Any]:
    try:
        with Image.open(file, formats=("TIFF", "PNG")) as picture:
            labels = np.asarray(picture)
    except (*_UNREADABLE, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{file}: expected a picture of masks, got a file that cannot be read.") from error
    _require_labels(file, labels, 2)
    return labels


def _arrays_of(path: Path) -> NDArray[Any]:
    """(N, T, H, W)"""
    if not path.is_file():
        raise ConfigError(f"There is no file or folder {path}.")
    expected = f"an .npz with an array {ARRAY} (T, H, W) or (N, T, H, W)"
    if not zipfile.is_zipfile(path):
        raise ConfigError(f"{path}: expected {expected}, or a folder, got another file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            labels = archive[ARRAY]
    except KeyError as error:
        raise ConfigError(f"{path}: expected {expected}, got no such array.") from error
    except _UNREADABLE as error:
        raise ConfigError(f"{path}: expected {expected}, got one that cannot be read.") from error
    _require_labels(path, labels, 3, 4)
    return labels[None] if labels.ndim == 3 else labels


def _require_labels(path: Path, labels: NDArray[Any], *axes: int) -> None:
    if labels.ndim not in axes or labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise ConfigError(
            f"{path}: expected whole numbers from 0, one for each pixel, got {labels.dtype} of shape {labels.shape}."
        )
