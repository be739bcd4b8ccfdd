"""The files that tracks of a long video are written to while it is tracked.

While they grow, their names end in ``.part``: a file under its final name is always complete. An old output stays until
its replacement is complete. A program that is interrupted or killed leaves the ``.part`` files, with whole lines of
everything tracked up to then (see :func:`~scalor_pyro.tracks.text.read_mot`); ``tail -f`` shows them growing.
"""

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.files import explained, require_new, sync_folder
from scalor_pyro.tracks.appearance import ENDING as APPEARANCE
from scalor_pyro.tracks.appearance import Appearances, kind_of, records_of
from scalor_pyro.tracks.table import Tracks, napari_rows
from scalor_pyro.tracks.text import CSV, MOT, PART, Layout, lines
from scalor_pyro.tracks.units import NO_UNITS, Speeds, Units, cells

# Formats, and the endings of their files after the name of the video.
ENDINGS = {"mot": ".txt", "csv": ".csv", "napari": "-napari.npy", "appearance": APPEARANCE}
LAYOUTS = {"mot": MOT, "csv": CSV}

# Numbers of the array for napari: 64 bits.
NUMBER = "<f8"


class _GrowingFile(ABC):
    """A file that grows by whole pieces: closing it removes a piece that an error cut off."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=0)  # what is appended is in the file at once; closed by close
        self._size = 0

    @abstractmethod
    def add(self, tracks: Tracks, appearance: Appearances) -> None:
        """Append a chunk."""

    def append(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._size += len(piece)

    def replace_start(self, piece: bytes) -> None:
        self._file.seek(0)
        self._file.write(piece)
        self._file.seek(self._size)

    def close(self) -> None:
        with self._file:
            self._file.truncate(self._size)
            os.fsync(self._file.fileno())


class _Text(_GrowingFile):
    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path)
        self._layout = layout
        self.append(layout.header.encode())

    def add(self, tracks: Tracks, appearance: Appearances) -> None:
        self.append(lines(tracks, self._layout).encode())


class _TextInUnits(_Text):
    """Lines that the columns of units continue."""

    def __init__(self, path: Path, layout: Layout, units: Units) -> None:
        header = ",".join([layout.header.rstrip("\n"), *units.columns]) + "\n"
        super().__init__(path, replace(layout, header=header))
        self._units, self._speeds = units, Speeds()

    def add(self, tracks: Tracks, appearance: Appearances) -> None:
        ordered = tracks.in_order()
        further = cells(ordered, self._units, self._speeds)
        both = zip(lines(ordered, self._layout).splitlines(), further, strict=True)
        self.append("".join(f"{line}{more}\n" for line, more in both).encode())


class _Array(_GrowingFile):
    """An array in numpy's format whose header is updated after each chunk; numpy leaves room for that."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rows = 0

    def begin(self, kind: object, columns: tuple[int, ...] = ()) -> None:
        """Write the header of an array without rows."""
        self._kind, self._columns = kind, columns
        self.append(self._header())

    def more(self, rows: NDArray[np.generic]) -> None:
        """Append rows."""
        self.append(rows.tobytes())
        self._rows += len(rows)
        self.replace_start(self._header())

    def _header(self) -> bytes:
        header = io.BytesIO()
        about = {"descr": self._kind, "fortran_order": False, "shape": (self._rows, *self._columns)}
        np.lib.format.write_array_header_1_0(header, about)
        return header.getvalue()


class _Napari(_Array):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begin(NUMBER, (4,))

    def add(self, tracks: Tracks, appearance: Appearances) -> None:
        self.more(napari_rows(tracks.in_order()).astype(NUMBER))


class _Appearance(_Array):
    """Without a header until the first row says how many numbers an appearance has."""

    _begun = False

    def add(self, tracks: Tracks, appearance: Appearances) -> None:
        records = records_of(tracks.rows(~tracks.predicted), appearance)
        if not self._begun:
            self.begin(np.lib.format.dtype_to_descr(records.dtype))
            self._begun = True
        self.more(records)

    def close(self) -> None:
        if not self._begun:
            self.begin(np.lib.format.dtype_to_descr(kind_of(0)))
        super().close()


class TrackFiles:
    """Writes tracks to `folder` chunk after chunk; memory does not grow with the video::

        with TrackFiles("out", "street", ("mot", "csv")) as files:
            for tracks in chunks:
                files.add(tracks)

    - ``mot``: ``street.txt``, MOTChallenge text, see :func:`~scalor_pyro.tracks.text.write_mot`;
    - ``csv``: ``street.csv``, all columns of :class:`Tracks` under trackpy's names, empty where not known, and those of
      the units;
    - ``napari``: ``street-napari.npy``, rows of (track id, frame, y, x), for
      ``viewer.add_tracks(numpy.load("street-napari.npy"))``;
    - ``appearance``: ``street-appearance.npy``, see :mod:`scalor_pyro.tracks.appearance`.

    :param folder: is made where it does not exist.
    :param stem: of the names of the files.
    :param formats: which files.
    :param overwrite: replace existing files; otherwise they are refused here, before any work.
    :param units: what a frame and a pixel are in the world: further columns of the CSV.
    :raises ConfigError: for an unknown format.
    :raises OutputError: for a file that exists, or cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        stem: str,
        formats: Sequence[str] = ("mot", "csv"),
        overwrite: bool = False,
        units: Units = NO_UNITS,
    ) -> None:
        for name in formats:
            if name not in ENDINGS:
                raise ConfigError(f"formats: expected some of {', '.join(ENDINGS)}, got {name!r}.")
        self.folder = Path(folder)
        #: By format, the files when all is written.
        self.paths = {name: self.folder / f"{stem}{ENDINGS[name]}" for name in formats}
        #: By format, the files until then.
        self.parts = {name: path.with_name(path.name + PART) for name, path in self.paths.items()}
        for path in self.paths.values():
            require_new(path, overwrite)
        self._writers: dict[str, _GrowingFile] = {}
        self._units = units

    def __enter__(self) -> "TrackFiles":
        self._next_frame = 0
        for name, part in self.parts.items():
            with explained(part):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._writers[name] = _writer(name, part, self._units)
        return self

    def add(self, tracks: Tracks, appearance: NDArray[np.floating] | None = None, within: float | None = None) -> None:
        """Write a chunk; it is in the files when this returns.

        :param appearance: (S, D) of the rows that are not predicted, where appearances are written.
        :param within: the variance within one object, of embeddings, see :class:`Tracker.within
            <scalor_pyro.tracks.tracker.Tracker.within>`; None: they are something else.
        :raises ValueError: if it has rows of frames that an earlier chunk had, or before those.
        :raises OutputError: if it cannot be written (a full disk, …).
        """
        if not len(tracks):
            return
        if tracks.frame.min() < self._next_frame:
            raise ValueError(
                f"tracks: expected frames from {self._next_frame} on, which follow the last chunk, got frame"
                f" {tracks.frame.min()}."
            )
        if appearance is None:
            appearance = np.zeros((int((~tracks.predicted).sum()), 0))
        for name, writer in self._writers.items():
            with explained(self.parts[name]):
                writer.add(tracks, Appearances(appearance, within))
        self._next_frame = int(tracks.frame.max()) + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name, writer in self._writers.items():
            with explained(self.parts[name]):
                writer.close()
        if error is None:
            for name, path in self.paths.items():
                with explained(path):
                    os.replace(self.parts[name], path)
            sync_folder(self.folder)


def _writer(name: str, part: Path, units: Units) -> _GrowingFile:
    if name == "csv" and units:
        return _TextInUnits(part, CSV, units)
    if name in LAYOUTS:
        return _Text(part, LAYOUTS[name])
    return _Napari(part) if name == "napari" else _Appearance(part)
