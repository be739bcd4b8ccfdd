"""From the pixels of a file to frames for the model: levels, alpha, crop, grey, size."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.video.geometry import Geometry
from scalor_pyro.video.source import Pixels, VideoError, warn_once

logger = logging.getLogger(__name__)

# Parts of 256 of red, green and blue in grey (ITU-R BT.601), in whole numbers: the same on every machine.
LUMA = np.array([77, 150, 29], np.uint16)


class Developing:
    """Pixels (H, W, C) of a file → uint8 (C, H, W).

    :param path: for messages.
    :param geometry: crop and size.
    :param channels: 1 or 3, of the result.
    :param levels: values that become 0 and 255; None for 8 bits, which stay as they are.
    :param refuse_colour: in frames of a file whose first is grey; otherwise they become grey.
    """

    def __init__(
        self,
        path: Path,
        geometry: Geometry,
        channels: int,
        levels: tuple[float, float] | None,
        refuse_colour: bool = False,
    ) -> None:
        self.path, self.geometry, self.channels, self.levels = path, geometry, channels, levels
        self._refuse_colour = refuse_colour
        self._dtype: np.dtype[Any] | None = None
        self._transparent = False

    def __call__(self, pixels: Pixels, number: int) -> NDArray[np.uint8]:
        """Develop one frame.

        :raises VideoError: if it differs from the first in size, depth or colour, or has values that are not finite.
        """
        self._require_like_the_first(pixels, number)
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
        image = resized(image, self.geometry.size)
        if self.channels == 3 and image.shape[-1] == 1:
            image = np.repeat(image, 3, -1)
        return np.ascontiguousarray(np.moveaxis(image, -1, 0))

    def _require_like_the_first(self, pixels: Pixels, number: int) -> None:
        """One range of values cannot serve two depths, and grey frames cannot hold colour.

        :raises VideoError: saying in what a frame differs.
        """
        (height, width), (first_height, first_width) = pixels.shape[:2], self.geometry.source_size
        if (height, width) != (first_height, first_width):
            raise VideoError(
                f"{self.path}: expected {first_width} × {first_height} px in frame {number}, as in the first, got"
                f" {width} × {height}."
            )
        self._dtype = self._dtype or pixels.dtype
        if pixels.dtype != self._dtype:
            raise VideoError(
                f"{self.path}: expected pixels of one depth ({self._dtype}), got {pixels.dtype} in frame {number};"
                " convert the images to one depth."
            )
        if self._refuse_colour and pixels.shape[-1] > 2:
            raise VideoError(
                f"{self.path}: expected grey in frame {number}, as in the first, got colour; --grey reads all as grey."
            )

    def _in_8_bits(self, pixels: Pixels, number: int) -> NDArray[np.uint8]:
        if self.levels is None and pixels.dtype == np.uint8:
            return pixels
        if self.levels is None and pixels.dtype == np.bool_:
            return pixels.astype(np.uint8) * 255
        low, high = (0.0, 255.0) if self.levels is None else self.levels
        # float32 has 24 bits for the digits of a number.
        exact: Any = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64
        values = pixels.astype(exact)
        if not np.isfinite(values).all():
            raise VideoError(f"{self.path}: expected finite numbers, got infinite ones or NaN in frame {number}.")
        with np.errstate(over="ignore"):  # far outside of the levels; clipped
            scaled = (values - exact(low)) * exact(255 / (high - low))
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)

    def _over_black(self, image: NDArray[np.uint8], alpha: Pixels) -> NDArray[np.uint8]:
        opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
        if (alpha == opaque).all():
            return image
        if not self._transparent:
            self._transparent = True
            warn_once(logger, self.path, "has transparent pixels: they are shown over black.")
        return np.rint(image * (alpha.astype(np.float32) / opaque)).astype(np.uint8)


def resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (h, w, C) to (H, W, C): averaged when it shrinks, bilinear when it grows."""
    if image.shape[:2] == size:
        return image
    height, width = size
    flat = np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    resized = np.asarray(Image.fromarray(flat).resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, -1)
