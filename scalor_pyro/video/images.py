"""Folders of images and stacks of images in one TIFF file, through Pillow."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from scalor_pyro.video.source import FileInfo, Pixels, Shot, VideoError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
STACK_SUFFIXES = frozenset({".tif", ".tiff"})


def natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts frame2 before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name.lower())]


class FolderSource:
    """A folder whose images, in natural order of their names, are the frames.

    :raises VideoError: if there are none, or the first cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.paths = sorted(
            (each for each in path.iterdir() if _is_image(each)), key=lambda each: (natural(each.name), each.name)
        )
        if not self.paths:
            raise VideoError(f"{path} holds no images, but files like 0001.png were expected in it.")
        first = _read_file(self.paths[0])
        self.info = FileInfo(path, "folder of images", first.shape[:2], _channels(first), None, None)

    def count(self) -> int:
        """How many images."""
        return len(self.paths)

    def shots(self) -> Iterator[Shot]:
        """The images; each is opened when its pixels are asked for."""
        for number, path in enumerate(self.paths):
            yield Shot(number, None, partial(_read_file, path))


class StackSource:
    """A TIFF file whose pages are the frames.

    :raises VideoError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as image:
            first = _pixels_of(image, path)
            self._pages: int = getattr(image, "n_frames", 1)
        self.info = FileInfo(path, "TIFF stack", first.shape[:2], _channels(first), None, None)

    def count(self) -> int:
        """How many pages."""
        return self._pages

    def shots(self) -> Iterator[Shot]:
        """The pages, one after the other."""
        with _opened(self.path) as image:
            for number in range(self._pages):
                yield Shot(number, None, partial(self._page, image, number))

    def _page(self, image: Image.Image, number: int) -> Pixels:
        try:
            image.seek(number)
        except (EOFError, OSError) as error:
            raise VideoError(f"Page {number} of {self.path} cannot be read ({error}).") from error
        return _pixels_of(image, self.path)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError) as error:
        raise VideoError(f"{path} is not an image that can be read.") from error


def _read_file(path: Path) -> Pixels:
    with _opened(path) as image:
        return _pixels_of(image, path)


def _pixels_of(image: Image.Image, path: Path) -> Pixels:
    """The pixels of an opened image, upright. (H, W, C)"""
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
        bands = image.getbands()
        if image.mode == "1" or image.mode == "L" and "transparency" not in image.info:
            image = image.convert("L")
        elif "A" in bands or "a" in bands or "transparency" in image.info:
            image = image.convert("LA" if bands[0] == "L" else "RGBA")
        elif len(bands) > 1 or image.mode == "P":
            image = image.convert("RGB")
        pixels = np.asarray(image)  # other modes are grey of more than 8 bits
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        raise VideoError(f"{path} is damaged: {error}.") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _channels(pixels: Pixels) -> int:
    return 1 if pixels.shape[-1] < 3 else 3
