"""Masks: for each tracked frame a picture in which a pixel says which object owns it, in the pixels of the video.

A folder of TIFF files, one for each frame: lossless, 32 bits (identities do not wrap at 65535), each whole as soon as
it is there, however many there are. napari opens the folder as one stack, scikit-image by `imread_collection`,
ImageJ by "Import > Image Sequence".
"""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.files import explained, require_new, sync_folder, write_atomically
from scalor_pyro.inference.masks import BACKGROUND
from scalor_pyro.tracks.text import PART
from scalor_pyro.video.geometry import Geometry

Labels = NDArray[np.int32]  # (H, W) of the file's frames: 0 background, else identity + 1

# The folder's name after the video's stem, and the name of a picture.
ENDING = "-masks"
PICTURE, PICTURE_PATTERN = "frame_{:07d}.tif", "frame_*.tif"

# Lossless, and known to ImageJ, tifffile and libtiff alike.
COMPRESSION = "tiff_adobe_deflate"


def labels_in_source(identity: NDArray[np.int64], geometry: Geometry) -> Labels:
    """Map the owners of the pixels that the model sees to the pixels of the file's frame.

    :param identity: (H, W) as read: the identity of the object that owns the pixel; -2 or -1 where none does.
    :param geometry: how the frames that are read lie in those of the file.
    :return: (H, W) of the file: identity + 1 of the nearest pixel; 0 for the background and outside the crop.
    :raises ValueError: for another shape, numbers that are not whole, below -2, or too large for 32 bits.
    """
    if identity.shape != geometry.size or identity.dtype.kind not in "iu":
        raise ValueError(
            f"identity: expected integers of shape {geometry.size}, got {identity.dtype} of {identity.shape}."
        )
    if identity.min() < BACKGROUND or identity.max() >= np.iinfo(np.int32).max:
        raise ValueError(
            f"identity: expected values from {BACKGROUND} to {np.iinfo(np.int32).max - 1}, got {identity.min()} to"
            f" {identity.max()}."
        )
    crop = geometry.crop
    centres = crop.x + np.arange(crop.width) + 0.5, crop.y + np.arange(crop.height) + 0.5
    x, y = (positions.astype(np.int64) for positions in geometry.from_source(*centres))
    labels = np.zeros(geometry.source_size, np.int32)
    inside = labels[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    inside[:] = np.maximum(identity[np.ix_(y, x)], -1) + 1
    return labels


class MaskFolder:
    """Writes masks to `folder`/`stem`-masks, frame after frame::

        with MaskFolder("out", "street", video.geometry) as masks:
            for number, identity in frames:
                masks.add(number, identity)

    As the files of :class:`~scalor_pyro.tracks.files.TrackFiles`, the folder has `.part` after its name until all is
    written.

    :param folder: is made where it does not exist.
    :param stem: of the folder of masks.
    :param geometry: how the frames that are read lie in those of the file.
    :param overwrite: replace masks that exist; else they are refused here, before any work.
    :raises OutputError: for a folder that exists, or cannot be written.
    """

    def __init__(self, folder: str | Path, stem: str, geometry: Geometry, overwrite: bool = False) -> None:
        self.geometry = geometry
        #: The folder when all is written, and until then.
        self.path = Path(folder) / f"{stem}{ENDING}"
        self.part = self.path.with_name(self.path.name + PART)
        require_new(self.path, overwrite)

    def __enter__(self) -> "MaskFolder":
        with explained(self.part):
            _remove(self.part)
            self.part.mkdir(parents=True)
        return self

    def add(self, number: int, identity: NDArray[np.int64]) -> None:
        """Write the mask of a frame.

        :param number: of the frame in the file, from 0; it stands in the name of the picture.
        :param identity: (H, W), see :func:`labels_in_source`.
        :raises ValueError: for identities that do not fit the geometry or 32 bits.
        :raises OutputError: if it cannot be written.
        """
        _write(self.part / PICTURE.format(number), labels_in_source(identity, self.geometry))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            with explained(self.path):
                self._put_in_place()

    def _put_in_place(self) -> None:
        old = self.path.with_name(f".{self.path.name}.old")
        _remove(old)  # of a program that was killed just here
        if self.path.exists():
            os.replace(self.path, old)
        os.replace(self.part, self.path)
        sync_folder(self.path.parent)
        _remove(old)


def rename_masks(folder: Path, renamed: Callable[[int, NDArray[np.int64]], NDArray[np.int64]]) -> None:
    """Give the objects of all pictures of a folder other identities; each picture is replaced whole.

    :param renamed: of a frame and identities in it, -1 for none, their new identities; below 0: the background.
    :raises OutputError: if a picture cannot be written.
    """
    for path in sorted(folder.glob(PICTURE_PATTERN)):
        with Image.open(path) as picture:
            labels = np.asarray(picture).astype(np.int64)
        number = int(path.stem.rpartition("_")[2])
        new = np.maximum(renamed(number, labels - 1), -1) + 1
        _write(path, new.astype(np.int32))


def _write(path: Path, labels: Labels) -> None:
    tiff = io.BytesIO()
    Image.fromarray(labels).save(tiff, "TIFF", compression=COMPRESSION)
    write_atomically(path, tiff.getvalue(), durable=False)


def _remove(path: Path) -> None:
    """Remove a folder with all in it, or a file, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
