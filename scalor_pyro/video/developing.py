"""From the pixels of a file to frames for the model: levels, alpha, crop, grey, size."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.video.geometry import Geometry
from scalor_pyro.video.source import Pixels, VideoError

logger = logging.getLogger(__name__)

# Parts of 256 of red, green and blue in grey (ITU-R BT.601), in whole numbers: the same on every machine.
LUMA = np.array([77, 150, 29], np.uint16)


class Developing:
    """Pixels (H, W, C) of a file → uint8 (C, H, W).

    :param path: for messages.
    :param geometry: crop and size.
    :param channels: 1 or 3, of the result.
    :param levels: values that become 0 and 255; None for 8 bits, which stay as they are.
    """

    def __init__(self, path: Path, geometry: Geometry, channels: int, levels: tuple[float, float] | None) -> None:
        self.path, self.geometry, self.channels, self.levels = path, geometry, channels, levels
        self._transparent = False

    def __call__(self, pixels: Pixels, number: int) -> NDArray[np.uint8]:
        """Develop one frame.

        :raises VideoError: if it has another size than the first, or values that are not finite.
        """
        if pixels.shape[:2] != self.geometry.source_size:
            (height, width), (first_height, first_width) = pixels.shape[:2], self.geometry.source_size
            raise VideoError(
                f"Frame {number} of {self.path} has {width} × {height} px, but {first_width} × {first_height}, as the"
                " first frame has, was expected."
            )
        crop = self.geometry.crop
        pixels = pixels[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
        colours = pixels.shape[-1] - (pixels.shape[-1] % 2 == 0)  # without alpha
        alpha, pixels = pixels[..., colours:], pixels[..., :colours]
        grey = self.channels == 1 and colours == 3
        if grey and self.levels is not None:  # levels are of grey, then: one colour alone may lie outside of them
            pixels = (pixels.astype(np.float32) @ (LUMA.astype(np.float32) / 256))[..., None]
        image = self._in_8_bits(pixels, number)
        if alpha.shape[-1]:
            image = self._over_black(image, alpha)
        if grey and self.levels is None:
            image = ((image @ LUMA + 128) >> 8).astype(np.uint8)[..., None]
        image = _resized(image, self.geometry.size)
        if self.channels == 3 and image.shape[-1] == 1:
            image = np.repeat(image, 3, -1)
        return np.ascontiguousarray(np.moveaxis(image, -1, 0))

    def _in_8_bits(self, pixels: Pixels, number: int) -> NDArray[np.uint8]:
        if self.levels is None and pixels.dtype == np.uint8:
            return pixels
        if self.levels is None and pixels.dtype == np.bool_:
            return pixels.astype(np.uint8) * 255
        low, high = (0.0, 255.0) if self.levels is None else self.levels
        scaled = (pixels.astype(np.float32) - low) * (255 / (high - low))
        if not np.isfinite(scaled).all():
            raise VideoError(
                f"Frame {number} of {self.path} has values that are not finite, but numbers were expected."
            )
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)

    def _over_black(self, image: NDArray[np.uint8], alpha: Pixels) -> NDArray[np.uint8]:
        opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1
        if (alpha == opaque).all():
            return image
        if not self._transparent:
            self._transparent = True
            logger.warning("%s has transparent pixels: they are shown over black.", self.path)
        return np.rint(image * (alpha.astype(np.float32) / opaque)).astype(np.uint8)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (h, w, C) to (H, W, C): averaged when it shrinks, bilinear when it grows."""
    if image.shape[:2] == size:
        return image
    height, width = size
    flat = np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    resized = np.asarray(Image.fromarray(flat).resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, -1)
