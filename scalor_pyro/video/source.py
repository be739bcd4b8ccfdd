"""What every kind of file is to the reader: a description, its frames in order, and one kind of error."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

# Characters of a library's message that are quoted.
QUOTED = 80
# px of the largest frame that is read; beyond it, a header is damaged or a file is made to exhaust memory.
MOST_PIXELS = 1 << 28
# Numbers of missing frames that a message lists.
LISTED = 3
# Warnings that are remembered, so that they are not repeated.
MOST_WARNED = 4096
# Frames are numbered by their names or time stamps, not by position, if at least one in this many is there.
SPARSEST = 10


class VideoError(ValueError):
    """A video that cannot be read as asked; the message names the file, what was expected and what was found."""


Pixels = NDArray[Any]  # (H, W, C): C = 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; any real numbers


class Shot(NamedTuple):
    """A frame of a file; its pixels are computed only when they are asked for."""

    number: int  # in the file, from 0; frames that are missing in the file leave a gap
    time: float | None  # s; None if the file has no time stamps
    pixels: Callable[[], Pixels]  # may be called until the next shot is taken


@dataclass(frozen=True)
class FileInfo:
    """A description of a file."""

    path: Path
    kind: str  # in words
    size: tuple[int, int]  # H, W in px, upright
    channels: int  # 1 grey, 3 colour
    rate: float | None  # frames per second; an average if it varies
    duration: float | None  # s


class Source(Protocol):
    """A file that frames come from."""

    info: FileInfo

    def count(self) -> int:
        """How many frames the file should hold; a damaged file may hold fewer."""

    def shots(self) -> Iterator[Shot]:
        """All frames from the first on, with memory for few of them."""


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads a file into one sentence.

    Decoders raise nearly everything for damaged bytes (SyntaxError, struct.error, RecursionError, …), so the place
    decides, not the type: put only calls of a library inside. Its warnings are dropped; what matters raises.

    :param expected: what the file should have been, as in "a TIFF file".
    :raises VideoError: for any exception.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except VideoError:
        raise
    except MemoryError as error:
        raise VideoError(f"{path}: expected {expected}, got more data than fits into memory.") from error
    except Exception as error:
        raise VideoError(f"{path}: expected {expected}, got {_reason(error)}.") from error


@contextmanager
def collected(library: str) -> Iterator[list[str]]:
    """What a library logs meanwhile, instead of showing it."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, collector = logging.getLogger(library), Collector(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(collector)
    try:
        yield messages
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate


def require_size(path: Path, height: int, width: int) -> None:
    """Refuse frames that are empty or too large, before memory is allocated for them.

    :raises VideoError: saying so.
    """
    if not 0 < height * width <= MOST_PIXELS:
        raise VideoError(
            f"{path}: expected frames of 1 to {MOST_PIXELS:,} px, got a header that says {width} × {height} px."
        )


def gaps_in(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The frames before and after each gap."""
    return [(before, after) for before, after in pairwise(numbers) if after > before + 1]


def missing_words(gaps: Sequence[tuple[int, int]], missing: int) -> str:
    """Missing frames in words, as "4 frames (4, 7 to 9) are"."""
    shown = [f"{before + 1}" if after == before + 2 else f"{before + 1} to {after - 1}" for before, after in gaps]
    listed = ", ".join(shown[:LISTED]) + ", …" * (len(shown) > LISTED)
    return f"{missing} frame{'s' * (missing > 1)} ({listed}) {'are' if missing > 1 else 'is'}"


@lru_cache(MOST_WARNED)
def _warn(logger: logging.Logger, text: str, changed: int) -> None:
    logger.warning("%s", text)


def warn_once(logger: logging.Logger, path: Path, text: str) -> None:
    """Warn of a file, once in a process as long as the file does not change: it is often read several times."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:  # an array in memory, or a file that is gone
        changed = 0
    _warn(logger, f"{path} {text}", changed)


def quoted(text: str) -> str:
    """A library's message in one line, shortened."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= QUOTED else f"{line[: QUOTED - 1]}…"


def _reason(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error)
    name = type(error).__name__
    return f"damaged or other data ({name}: {quoted(said)})" if said else f"damaged or other data ({name})"
