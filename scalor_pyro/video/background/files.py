"""The background image of a run on videos, and how much it flickers: two pictures in the run folder."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.config import ConfigError, VideoRunConfig
from scalor_pyro.files import write_atomically
from scalor_pyro.model.views import nearest_size
from scalor_pyro.video import Crop, ReadOptions, Video
from scalor_pyro.video.background.image import BackgroundImage, estimate_background_image
from scalor_pyro.video.pictures import require_checksums
from scalor_pyro.video.source import VideoError, reading

# In the run folder: the background of the whole region at the scale of training, and how much it moves by itself.
BACKGROUND_IMAGE, FLICKER = "background.png", "flicker.png"
EARLIER_NAME = "scene.png"  # of the background image in runs of version 0.1


def region_options(
    config: VideoRunConfig,
    source_size: tuple[int, int],
    region: Crop | None = None,
    object_size: float | None = None,
) -> ReadOptions:
    """How to read the whole region of a video with frames of this size, at the scale and stride of training.

    :param region: in px of the file; None: that of the run.
    :param object_size: side of an object in px of the file, if it differs from training; the scale follows.
    """
    trained = config.video.options
    region = region or config.video.region or Crop(0, 0, source_size[1], source_size[0])
    crop = trained.crop or Crop(0, 0, source_size[1], source_size[0])
    if object_size is None:
        read = trained.size or config.model.image_size
        vertical, horizontal = (side / of for side, of in zip(read, crop.size, strict=True))
    else:
        vertical = horizontal = config.model.object_size / object_size
    size = nearest_size(config.model, (region.height * vertical, region.width * horizontal))
    return replace(trained, crop=region, size=size, start=0, stop=None)


def region_background_image(config: VideoRunConfig) -> BackgroundImage:
    """The background image of the region of a run, estimated from all its videos."""
    first = Video(config.video.paths[0])
    options = region_options(config, first.info.size)
    within = replace(options, start=config.video.options.start, stop=config.video.options.stop)
    return estimate_background_image([Video(path, within) for path in config.video.paths])


def save_background_image(config: VideoRunConfig, folder: Path, found: BackgroundImage | None = None) -> None:
    """Keep the background image of the region, and its flicker, as pictures in the run folder.

    :param found: see :func:`region_background_image`; None: it is estimated.
    """
    found = found or region_background_image(config)
    for name, values in zip((BACKGROUND_IMAGE, FLICKER), found, strict=True):
        pixels, picture = np.moveaxis(values, 0, -1), io.BytesIO()
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(picture, "png")
        write_atomically(folder / name, picture.getvalue())


def load_background_image(folder: str | Path) -> BackgroundImage | None:
    """Load the pictures of :func:`save_background_image`; None if there are none.

    Runs saved by earlier versions have no flicker image, and the background image is :data:`EARLIER_NAME`.

    :raises ConfigError: if a file is not a picture, or the two are not of one size.
    """
    image, flicker = (_load_picture(Path(folder) / name) for name in (BACKGROUND_IMAGE, FLICKER))
    if image is None:
        image = _load_picture(Path(folder) / EARLIER_NAME)
    if image is None:
        return None
    if flicker is None:
        flicker = np.zeros_like(image)
    if flicker.shape != image.shape:
        raise ConfigError(
            f"{Path(folder) / FLICKER}: expected shape {image.shape}, as of {BACKGROUND_IMAGE}, got {flicker.shape}."
        )
    return BackgroundImage(image, flicker)


def _load_picture(path: Path) -> NDArray[np.uint8] | None:
    """(C, H, W)"""
    if not path.exists():
        return None
    try:
        require_checksums(path)
        with reading(path, "the background image of the run"), Image.open(path, formats=("PNG",)) as picture:
            pixels = np.array(picture.convert("L" if picture.mode in ("1", "L", "LA", "I", "I;16") else "RGB"))
    except VideoError as error:
        raise ConfigError(str(error)) from error
    return np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0)
