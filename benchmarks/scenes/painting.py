"""Painting made-up scenes: things are drawn on small patches, back to front, and say where they are visible.

Nothing here comes from the package's own generators (`scalor_pyro.data`): videos painted with it are for reporting.
Positions are in px, x to the right and y down; the left and top borders of the picture are 0. Colours are in [0, 1].
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]
Points = Sequence[tuple[float, float]]

# Shapes are drawn this much larger and averaged, so that their borders are smooth.
FINER = 4
# px around the picture in which things may be that are not in view, or only in part.
MARGIN = 80
# From this opacity on a pixel belongs to a thing.
BELONGS = 0.3
# Share of a thing that must be in view and not hidden, or it need not be found.
SEEN = 0.5
# Corners of the polygon that stands for an ellipse.
CORNERS = 28


class Row(NamedTuple):
    """A thing in a frame, as the truth has it."""

    identity: int
    box: tuple[float, float, float, float]  # left, top, width, height in px; within the picture
    seen: float  # share that is in view and not hidden


class Thing:
    """What is painted at once: an object with an identity, or scenery in front of objects.

    :param identity: None: scenery.
    :param reach: px from (x, y) to the border of its patch; what is drawn beyond is cut off.
    """

    def __init__(self, identity: int | None, x: float, y: float, reach: float) -> None:
        self.identity = identity
        self.left, self.top = int(np.floor(x - reach)), int(np.floor(y - reach))
        self.side = 2 * int(np.ceil(reach)) + 2
        self.colour: Floats = np.zeros((self.side, self.side, 3))  # times its opacity
        self.opacity: Floats = np.zeros((self.side, self.side))
        self.light: Floats = np.zeros((self.side, self.side, 3))  # is added
        self.body: Floats = np.zeros((self.side, self.side))  # what the truth's box surrounds

    def cover(self, mask: Floats, colour: Colour | Floats, opacity: float = 1.0, body: bool = True) -> None:
        """Put a layer on top. `body`: it belongs to the object (a shadow does not)."""
        alpha = mask * opacity
        self.colour = self.colour * (1 - alpha[..., None]) + alpha[..., None] * np.asarray(colour)
        self.opacity = self.opacity + alpha * (1 - self.opacity)
        if body:
            self.body = np.maximum(self.body, mask)

    def polygon(self, points: Points, colour: Colour, opacity: float = 1.0, body: bool = True) -> None:
        """A filled polygon; points in px of the picture."""
        image, pen = self._sheet()
        pen.polygon([self._on_sheet(point) for point in points], fill=255)
        self.cover(_averaged(image), colour, opacity, body)

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        angle: float,
        colour: Colour,
        opacity: float = 1.0,
        body: bool = True,
    ) -> None:
        """A filled ellipse; the angle in radians."""
        around = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        local = [(radii[0] * np.cos(a), radii[1] * np.sin(a)) for a in around]
        self.polygon(placed(local, *centre, angle), colour, opacity, body)

    def line(self, points: Points, width: float, colour: Colour, opacity: float = 1.0, body: bool = True) -> None:
        """A line with round ends and joints."""
        image, pen = self._sheet()
        corners, half = [self._on_sheet(point) for point in points], width * FINER / 2
        pen.line(corners, fill=255, width=max(1, round(width * FINER)))
        for x, y in corners:
            pen.ellipse((x - half, y - half, x + half, y + half), fill=255)
        self.cover(_averaged(image), colour, opacity, body)

    def discs(self, centres: Points, radii: Sequence[float], colour: Colour) -> None:
        """Discs that form one shape."""
        image, pen = self._sheet()
        for centre, radius in zip(centres, radii, strict=True):
            (x, y), r = self._on_sheet(centre), radius * FINER
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
        self.cover(_averaged(image), colour)

    def soft(self, centre: tuple[float, float], sigma: float, colour: Colour, brightness: float = 1.0) -> None:
        """Light that falls off like a Gaussian, and is added; the body is where it is brighter than a third."""
        spot = self._gaussian(centre, sigma)
        self.light = self.light + brightness * spot[..., None] * np.asarray(colour)
        self.body = np.maximum(self.body, spot)

    def glow(self, centre: tuple[float, float], sigma: float, colour: Colour, opacity: float) -> None:
        """A soft stain that is no part of the body."""
        self.cover(self._gaussian(centre, sigma), colour, opacity, body=False)

    def text(self, letter: str, centre: tuple[float, float], height: float, angle: float, colour: Colour) -> None:
        """A letter, turned; the angle in radians."""
        image, pen = self._sheet()
        font = ImageFont.load_default(height * FINER)
        pen.text(self._on_sheet(centre), letter, fill=255, font=font, anchor="mm")
        self.cover(_averaged(image.rotate(-np.degrees(angle), center=self._on_sheet(centre))), colour)

    def _sheet(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        image = Image.new("L", (self.side * FINER, self.side * FINER))
        return image, ImageDraw.Draw(image)

    def _on_sheet(self, point: tuple[float, float]) -> tuple[float, float]:
        return (point[0] - self.left) * FINER, (point[1] - self.top) * FINER

    def _gaussian(self, centre: tuple[float, float], sigma: float) -> Floats:
        x = np.arange(self.side) + self.left + 0.5 - centre[0]
        y = np.arange(self.side) + self.top + 0.5 - centre[1]
        spot: Floats = np.exp(-(x[None] ** 2 + y[:, None] ** 2) / (2 * sigma**2))
        return spot


def _averaged(image: Image.Image) -> Floats:
    side = image.size[0] // FINER
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float64) / 255


def placed(points: Points, x: float, y: float, angle: float, scale: float = 1.0) -> list[tuple[float, float]]:
    """Points around (0, 0), enlarged, turned by an angle in radians, and moved to (x, y)."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return [(x + cos * a - sin * b, y + sin * a + cos * b) for a, b in points]


def texture(generator: np.random.Generator, size: tuple[int, int], scales: Sequence[float]) -> Floats:
    """Smooth noise of several scales in px, each as strong as the others; (H, W), mean 0 and deviation 1.

    It wraps around, so that it can be shifted.
    """
    total = np.zeros(size)
    for scale in scales:
        layer = gaussian_filter(generator.standard_normal(size), scale, mode="wrap")
        total += layer / layer.std()
    normed: Floats = (total - total.mean()) / total.std()
    return normed


def tinted(colour: Colour, grey: Floats) -> Floats:
    """A ground of one colour that varies with a texture. (H, W) → (H, W, 3)"""
    ground: Floats = np.asarray(colour) + grey[..., None]
    return ground


def painted(ground: Floats, things: Sequence[Thing]) -> tuple[Floats, list[Row]]:
    """A picture and its truth.

    :param ground: (H, W, 3), what is behind all things.
    :param things: from back to front.
    :return: (H, W, 3), and a row for each object of which a pixel is in the picture.
    """
    height, width, _ = ground.shape
    canvas = np.pad(ground, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
    on_canvas = [thing for thing in things if _place(thing, canvas) is not None]
    for thing in on_canvas:
        there = _place(thing, canvas)
        assert there is not None
        canvas[there] = canvas[there] * (1 - thing.opacity[..., None]) + thing.colour + thing.light
    clear = np.zeros(canvas.shape[:2])
    clear[MARGIN : MARGIN + height, MARGIN : MARGIN + width] = 1
    rows = []
    for thing in reversed(on_canvas):  # from front to back: what is left of the view
        there = _place(thing, canvas)
        assert there is not None
        if thing.identity is not None and (row := _row(thing, clear[there], (height, width))) is not None:
            rows.append(row)
        clear[there] *= 1 - thing.opacity
    return canvas[MARGIN : MARGIN + height, MARGIN : MARGIN + width], rows[::-1]


def _place(thing: Thing, canvas: Floats) -> tuple[slice, slice] | None:
    """Where a thing lies on the canvas; None: beyond its margin."""
    top, left = thing.top + MARGIN, thing.left + MARGIN
    if min(top, left) < 0 or top + thing.side > canvas.shape[0] or left + thing.side > canvas.shape[1]:
        return None
    return slice(top, top + thing.side), slice(left, left + thing.side)


def _row(thing: Thing, clear: Floats, size: tuple[int, int]) -> Row | None:
    rows, columns = np.nonzero(thing.body > BELONGS)
    if not len(rows) or thing.identity is None:
        return None
    left, right = np.clip([columns.min() + thing.left, columns.max() + 1 + thing.left], 0, size[1])
    top, bottom = np.clip([rows.min() + thing.top, rows.max() + 1 + thing.top], 0, size[0])
    if left >= right or top >= bottom:
        return None
    seen = float((thing.body * clear).sum() / thing.body.sum())
    return Row(thing.identity, (float(left), float(top), float(right - left), float(bottom - top)), seen)
