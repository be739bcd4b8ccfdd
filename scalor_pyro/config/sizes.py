"""How large an object is, as a user says it: by a number, by width and height, or by a box around one of them."""

import math
from dataclasses import dataclass

from scalor_pyro.config.checks import is_finite, require
from scalor_pyro.config.options import option

# The side of a box, or its width and height; px of the file.
ObjectSize = float | tuple[float, float]
# x and y of the upper left corner, width, height; px of the file.
Example = tuple[float, float, float, float]

# An object covers this part of its box, as a ratio of sides: the median of made-up movers of all kinds, of whatever
# size, by the boxes around their masks (see benchmarks/object_sizes.py).
SIDE_OF_BOX = 0.85

SIZE_HELP = "side of the box of a typical object in px of the video, or its width and height"
EXAMPLE_HELP = "box around one typical object in px of the video, instead of --object-size"
EXAMPLE_METAVAR = ("X", "Y", "WIDTH", "HEIGHT")
FOUND = "found in the video"


@dataclass(frozen=True)
class SizeOptions:
    """The size of a typical object, where it is not to be found in the video.

    :raises ConfigError: for a size that no object can have, and if it is given in both ways.
    """

    object_size: ObjectSize | None = option(None, SIZE_HELP, metavar="PX", none=FOUND)
    example: Example | None = option(None, EXAMPLE_HELP, metavar=EXAMPLE_METAVAR)

    def __post_init__(self) -> None:
        box_of(self.object_size, self.example)

    @property
    def box(self) -> tuple[float, float] | None:
        """H, W of a typical object, px of the file; None: not given."""
        return box_of(self.object_size, self.example)


def box_of(object_size: ObjectSize | None, example: Example | None) -> tuple[float, float] | None:
    """H, W of the box that a user gave, in px of the file; None if he gave none.

    :raises ConfigError: see :class:`SizeOptions`.
    """
    if example is not None:
        x, y, width, height = example
        require(
            is_finite(x, y) and min(x, y) >= 0 and _is_box(width, height), "example", example, "X, Y, WIDTH, HEIGHT"
        )
        require(object_size is None, "object_size", object_size, "none beside an example")
        return height, width
    if object_size is None:
        return None
    width, height = object_size if isinstance(object_size, tuple) else (object_size, object_size)
    require(_is_box(width, height), "object_size", object_size, "at least 1 px")
    return height, width


def require_inside(example: Example | None, size: tuple[int, int]) -> None:
    """Refuse an example that is not inside the frame.

    :param size: H, W of the video's frames.
    :raises ConfigError: saying how large the frame is.
    """
    if example is not None:
        x, y, width, height = example
        inside = x + width <= size[1] and y + height <= size[0]
        require(inside, "example", example, f"a box inside the frame of {size[1]} × {size[0]} px (width × height)")


def side_of(box: tuple[float, float]) -> float:
    """The side of the square with the area of a box."""
    return math.sqrt(box[0] * box[1])


def _is_box(width: float, height: float) -> bool:
    return is_finite(width, height) and min(width, height) >= 1
