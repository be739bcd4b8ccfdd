"""What every kind of file is to the reader: its description, and its frames one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray


class VideoError(ValueError):
    """A video that cannot be read as asked; the message names the file, what was found and what was expected."""


Pixels = NDArray[Any]  # (H, W, C): C = 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; any real numbers


class Shot(NamedTuple):
    """A frame of a file; its pixels are worked out only when they are asked for."""

    number: int  # in the file, from 0
    time: float | None  # s; None where the file has no time stamps
    pixels: Callable[[], Pixels]  # may be called while this shot is the last one taken


@dataclass(frozen=True)
class FileInfo:
    """A description of a file."""

    path: Path
    kind: str  # in words
    size: tuple[int, int]  # H, W in px, upright
    channels: int  # 1 grey, 3 colour
    rate: float | None  # frames per second, on average
    duration: float | None  # s


class Source(Protocol):
    """A file that frames come from."""

    info: FileInfo

    def count(self) -> int:
        """How many frames the file should hold; a damaged file may hold fewer."""

    def shots(self) -> Iterator[Shot]:
        """All frames from the first on, with memory for few of them."""
