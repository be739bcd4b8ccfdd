"""Tracks as text: MOTChallenge, and CSV with trackpy's names, a line for each object in each frame.

MOTChallenge counts frames, identities and pixels from 1; CSV counts as :class:`~scalor_pyro.tracks.table.Tracks` does,
from 0. Only this module knows of that. Both are written in order of frames, so that they can be read a frame at a time.
"""

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scalor_pyro.files import write_atomically
from scalor_pyro.tracks.table import COLUMNS, DEVIATIONS, SHAPE, TRACKPY_NAMES, Tracks
from scalor_pyro.tracks.units import without_units

logger = logging.getLogger(__name__)

# MOTChallenge counts frames, identities and pixels from 1.
MOT_FIRST = 1

# A line of MOTChallenge text has 7 columns that mean something here, and 3 (a 3D position) that do not.
MOT_COLUMNS = ("frame", "id", "bb_left", "bb_top", "bb_width", "bb_height", "conf")
MOT_UNUSED = 3
# One format for a whole line: a format for each number would take several times as long.
MOT_LINE = ",".join(["%d", "%d", *["%.4f"] * 5, *["-1"] * MOT_UNUSED]) + "\n"

CSV_COLUMNS = tuple(TRACKPY_NAMES.get(name, name) for name in COLUMNS)

# The column of a CSV that says whether a row was predicted, and where it stands among the numbers of a row.
PREDICTED = "predicted"
PREDICTED_AT = CSV_COLUMNS.index(PREDICTED) - 2
CSV_LINE = ",".join(["%d", "%d", *("%.0f" if name == PREDICTED else "%.4f" for name in CSV_COLUMNS[2:])]) + "\n"

# Columns of a CSV that may be empty.
CSV_MAY_BE_EMPTY = ("depth", *DEVIATIONS, *SHAPE)

# Files of earlier versions lack the columns from one of these on, and say this in them.
EARLIER = {PREDICTED: ("0", *[""] * len(SHAPE)), SHAPE[0]: ("",) * len(SHAPE)}

# A file that is still being written, or was cut off, has this after its name.
PART = ".part"

# Frames and identities have at most this many digits, so that 64 bits hold them; messages quote this much of a field.
MOST_DIGITS, MOST_QUOTED = 18, 60

# No position, size or presence is larger, so that areas can be computed.
LARGEST = 1e12

# No row is longer than this many characters.
LONGEST_LINE = 10_000


class Row(NamedTuple):
    """An object in a frame, counted as in :class:`~scalor_pyro.tracks.table.Tracks`."""

    frame: int
    identity: int
    numbers: tuple[float, ...]  # the other columns, in their order; of `predicted`, 0 or 1


@dataclass(frozen=True)
class Layout:
    """How rows stand in a text."""

    header: str  # the first line; empty where there is none
    first: int  # the number of the first frame and identity
    identity: str  # what an identity is called
    format: Callable[[Row], str]  # a row as a line, with its end
    parse: Callable[[str], Row]  # the inverse; a ValueError says what is wrong
    always_ended: bool  # whether every line ends with a newline, whoever wrote it
    earlier: Mapping[str, str] = field(default_factory=dict)  # headers of earlier versions, and what lines lack there


# ------------------------------------------------------------------ rows


def _format_mot(row: Row) -> str:
    x, y, width, height, presence, *_ = row.numbers
    box = (x - width / 2 + MOT_FIRST, y - height / 2 + MOT_FIRST, width, height, presence)
    return MOT_LINE % (row.frame + MOT_FIRST, row.identity + MOT_FIRST, *box)


def _parse_mot(line: str) -> Row:
    parts = [part.strip() for part in line.split(",")]
    if not len(MOT_COLUMNS) <= len(parts) <= len(MOT_COLUMNS) + MOT_UNUSED:
        raise ValueError(
            f"expected {len(MOT_COLUMNS)} to {len(MOT_COLUMNS) + MOT_UNUSED} columns separated by commas, got"
            f" {len(parts)}."
        )
    frame, identity = (
        _counted(name, part, MOT_FIRST) - MOT_FIRST for name, part in zip(MOT_COLUMNS[:2], parts[:2], strict=True)
    )
    left, top, width, height, presence = (
        _finite(name, part) for name, part in zip(MOT_COLUMNS[2:], parts[2:7], strict=True)
    )
    _require_sizes(MOT_COLUMNS[4:6], (width, height))
    x, y = left - MOT_FIRST + width / 2, top - MOT_FIRST + height / 2
    before, after = [math.nan] * (1 + len(DEVIATIONS)), [math.nan] * len(SHAPE)
    return Row(frame, identity, (x, y, width, height, presence, *before, 0, *after))


def _format_csv(row: Row) -> str:
    return (CSV_LINE % (row.frame, row.identity, *row.numbers)).replace("nan", "")


def _parse_csv(line: str) -> Row:
    parts = [part.strip() for part in line.split(",")]
    _require_columns(len(parts), len(CSV_COLUMNS))
    frame, identity = (_counted(name, part, 0) for name, part in zip(CSV_COLUMNS[:2], parts[:2], strict=True))
    numbers = tuple(
        math.nan if name in CSV_MAY_BE_EMPTY and not part else _finite(name, part)
        for name, part in zip(CSV_COLUMNS[2:], parts[2:], strict=True)
    )
    _require_sizes(CSV_COLUMNS[4:6], numbers[2:4])
    if numbers[PREDICTED_AT] not in (0, 1):
        raise ValueError(f"{PREDICTED}: expected 0 or 1, got {_cut(parts[2 + PREDICTED_AT])}.")
    return Row(frame, identity, numbers)


def _require_columns(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"expected {expected} columns separated by commas, got {found}.")


def _counted(name: str, text: str, first: int) -> int:
    # 18 digits at most: 64 bits hold them, and Python converts them at once.
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) >= first):
        raise ValueError(
            f"{name}: expected a whole number from {first}, of up to {MOST_DIGITS} digits, got {_cut(text)}."
        )
    return int(text)


def _finite(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {_cut(text)}.")
    if abs(number) > LARGEST:
        raise ValueError(f"{name}: expected a number up to {LARGEST:g}, got {_cut(text)}.")
    return number


def _cut(text: str) -> str:
    """A field as messages quote it."""
    return repr(text if len(text) <= MOST_QUOTED else f"{text[:MOST_QUOTED]}…")


def _require_sizes(names: Sequence[str], sizes: Sequence[float]) -> None:
    for name, size in zip(names, sizes, strict=True):
        if size < 0:
            raise ValueError(f"{name}: expected 0 or more, got {size}.")


def _header(columns: Sequence[str]) -> str:
    return ",".join(columns) + "\n"


MOT = Layout("", MOT_FIRST, "id", _format_mot, _parse_mot, always_ended=False)
CSV = Layout(
    _header(CSV_COLUMNS),
    0,
    "particle",
    _format_csv,
    _parse_csv,
    always_ended=True,
    earlier={_header(CSV_COLUMNS[: CSV_COLUMNS.index(name)]): "," + ",".join(lack) for name, lack in EARLIER.items()},
)


# ------------------------------------------------------------------ writing


def lines(tracks: Tracks, layout: Layout) -> str:
    """The lines of some tracks, by frame, then identity; without a header."""
    ordered = tracks.in_order()
    columns = (getattr(ordered, name).tolist() for name in COLUMNS)
    return "".join(
        layout.format(Row(frame, one, tuple(numbers))) for frame, one, *numbers in zip(*columns, strict=True)
    )


def write_mot(path: str | os.PathLike[str], tracks: Tracks) -> None:
    """Write the tracks of one video as MOTChallenge text: a line for each object in each frame.

    Columns: frame, id, bb_left, bb_top, bb_width, bb_height, conf, -1, -1, -1; counted from 1, boxes in px with
    four decimals, conf is the presence. Depth and deviations are not written. The file appears whole or not at all.
    """
    write_atomically(Path(path), lines(tracks, MOT).encode())


# ------------------------------------------------------------------ reading


def read_mot(path: str | os.PathLike[str]) -> Tracks:
    """Read tracks from MOTChallenge text, as :func:`write_mot` writes it; empty lines are passed over.

    A last line that was cut off, as of a program that was killed, is left out, with a warning.

    :return: the tracks, with NaN for what the format does not have.
    :raises ValueError: for a malformed line (its number and what is wrong), or an identity twice in a frame.
    """
    return _read(Path(path), MOT)


def read_csv(path: str | os.PathLike[str]) -> Tracks:
    """Read tracks from CSV, as :class:`~scalor_pyro.tracks.files.TrackFiles` writes it.

    A last line that was cut off is left out, with a warning.

    :raises ValueError: for another header, a malformed line, or an identity twice in a frame.
    """
    return _read(Path(path), CSV)


def read_tracks(path: str | os.PathLike[str]) -> Tracks:
    """Read tracks: CSV where the name ends in .csv, else MOTChallenge text.

    :raises ValueError: as :func:`read_mot` and :func:`read_csv` do.
    """
    return _read(Path(path), layout_of(Path(path)))


def tracks_by_frame(path: str | os.PathLike[str]) -> Iterator[Tracks]:
    """Read tracks a frame at a time, with memory for one frame; frames without an object are passed over.

    :raises ValueError: as :func:`read_tracks` does, and for rows that are not in order of frames.
    """
    rows: list[Row] = []
    for number, row in _rows(Path(path), layout_of(Path(path))):
        if rows and row.frame < rows[-1].frame:
            raise ValueError(
                f"{path}, line {number}: expected rows in order of frames, got frame {row.frame} after"
                f" {rows[-1].frame} (counted from 0)."
            )
        if rows and row.frame > rows[-1].frame:
            yield _tracks(rows)
            rows = []
        rows.append(row)
    if rows:
        yield _tracks(rows)


def layout_of(path: Path) -> Layout:
    """CSV or MOTChallenge text, by the name of a file."""
    return CSV if path.name.removesuffix(PART).lower().endswith(".csv") else MOT


def _read(path: Path, layout: Layout) -> Tracks:
    rows = []
    seen: dict[tuple[int, int], int] = {}
    for number, row in _rows(path, layout):
        first = seen.setdefault((row.frame, row.identity), number)
        if first != number:
            raise ValueError(
                f"{path}, line {number}: {layout.identity} {row.identity + layout.first} is already in frame"
                f" {row.frame + layout.first}, in line {first}."
            )
        rows.append(row)
    return _tracks(rows)


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, Row]]:
    """Rows with the numbers of their lines, one after the other; a byte order mark and any line ends are accepted."""
    columns = 0  # of the row before
    with explained_reading(path), open(path, encoding="utf-8-sig", errors="replace") as file:
        header, further = without_units(file.readline(LONGEST_LINE) if layout.header else "")
        lacking = layout.earlier.get(header, "")
        if header != layout.header and not lacking:
            raise ValueError(f"{path}, line 1: expected the names of columns {layout.header.strip()}.")
        number = 1 if layout.header else 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if not line.strip():
                continue
            if (
                not line.endswith("\n")
                and len(line) < LONGEST_LINE
                and (layout.always_ended or line.count(",") + 1 < columns)
            ):
                logger.warning("%s was cut off while it was written: line %d is left out.", path, number)
                return
            try:
                known = line.rstrip("\r\n").rsplit(",", further)[0]
                if lacking:
                    _require_columns(known.count(",") + 1, header.count(",") + 1)
                row = layout.parse(known + lacking)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
            columns = line.count(",") + 1
            yield number, row


@contextmanager
def explained_reading(path: Path) -> Iterator[None]:
    """Say in one sentence that a file could not be read.

    :raises ValueError: for what the system says of it.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} could not be read ({error.strerror}).") from error


def _tracks(rows: Sequence[Row]) -> Tracks:
    counts = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2)
    numbers = np.array([row.numbers for row in rows], dtype=np.float64).reshape(-1, len(COLUMNS) - 2)
    columns = dict(zip(COLUMNS, [*counts.T, *numbers.T], strict=True))
    return Tracks(**(columns | {PREDICTED: columns[PREDICTED] == 1}))
