"""Units of the world: seconds and µm beside frames and px, where the frame rate and the size of a pixel are known.

Columns in px and frames stay as they are; further ones come after them, each with its unit in its name:

==================  ===========================================================  ==========================
column              what                                                         needs
==================  ===========================================================  ==========================
``t_s``             s, frame / fps                                               fps
``x_um``, ``y_um``  µm, centre of the box                                        µm per px
``width_um``, …     µm, of the box; ``length_um``, ``breadth_um`` of the mask     µm per px
``area_um2``        µm², of the mask                                             µm per px
``speed_um_s``      µm/s, from the row before of the same track; not known in    both
                    its first row
``speed_px_s``      px/s, likewise                                               fps alone
``speed_um_frame``  µm/frame, likewise                                           µm per px alone
==================  ===========================================================  ==========================

A speed from one frame to the next contains the error of both positions: it is too large where objects hardly move.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.config.options import option
from scalor_pyro.tracks.table import Tracks

Numbers = NDArray[np.float64]

# Lengths that also have a column in µm.
LENGTHS = ("x", "y", "width", "height", "length", "breadth")
AREA = "area_um2"
SPEEDS = ("speed_um_s", "speed_px_s", "speed_um_frame")
# All columns that units may add, in their order.
UNIT_COLUMNS = ("t_s", *(f"{name}_um" for name in LENGTHS), AREA, *SPEEDS)
# Frames per second and µm per px beyond this are a mistake.
LARGEST = 1e9


@dataclass(frozen=True)
class Units:
    """What a frame and a pixel are in the world.

    :raises ConfigError: for values out of their range.
    """

    fps: float | None = option(None, "frames per second of the recording", metavar="F", none="the file's, if it says")
    um_per_px: float | None = option(None, "µm per pixel of the video", metavar="U", none="not known: lengths in px")

    def __post_init__(self) -> None:
        for name, unit in (("fps", "frames per second"), ("um_per_px", "µm per px")):
            value = getattr(self, name)
            if value is not None and not 0 < value <= LARGEST:
                raise ConfigError(f"{name}: expected {unit} above 0, got {value}.")

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return self.fps is not None or self.um_per_px is not None

    def or_rate(self, rate: float | None) -> "Units":
        """With the frame rate of the file, where none was given."""
        usable = rate is not None and 0 < rate <= LARGEST
        return replace(self, fps=rate) if self.fps is None and usable else self

    @property
    def length(self) -> tuple[float, str]:
        """Length of a pixel, and its unit."""
        return (1.0, "px") if self.um_per_px is None else (self.um_per_px, "µm")

    @property
    def speed(self) -> tuple[float, str]:
        """A px per frame, and its unit."""
        scale, unit = self.length
        return (scale, f"{unit}/frame") if self.fps is None else (scale * self.fps, f"{unit}/s")

    @property
    def time(self) -> tuple[float, str]:
        """Duration of a frame, and its unit."""
        return (1.0, "frames") if self.fps is None else (1 / self.fps, "s")

    def figures(self) -> dict[str, float]:
        """What is known, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that these units add, in their order."""
        lengths = () if self.um_per_px is None else (*(f"{name}_um" for name in LENGTHS), AREA)
        time = () if self.fps is None else ("t_s",)
        if not self:
            return ()
        speed = "speed_um_frame" if self.fps is None else "speed_px_s" if self.um_per_px is None else "speed_um_s"
        return (*time, *lengths, speed)


NO_UNITS = Units()


class Speeds:
    """Speeds of tracks that come chunk after chunk; memory: the last row of each track."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, float, float]] = {}

    def of(self, tracks: Tracks) -> Numbers:
        """px per frame since the row before of the same track; NaN in its first row. (R,)

        :param tracks: in frames after those of the last call.
        """
        speed = np.full(len(tracks), np.nan)
        for rows in rows_of_tracks(tracks):
            identity = int(tracks.identity[rows[0]])
            frame, x, y = (getattr(tracks, name)[rows].astype(np.float64) for name in ("frame", "x", "y"))
            earlier = self._last.get(identity, (math.nan, math.nan, math.nan))
            step = [np.diff(values, prepend=before) for values, before in zip((frame, x, y), earlier, strict=True)]
            speed[rows] = np.hypot(step[1], step[2]) / step[0]
            self._last[identity] = int(frame[-1]), float(x[-1]), float(y[-1])
        return speed


def rows_of_tracks(tracks: Tracks) -> Iterator[NDArray[np.int64]]:
    """Rows of each identity, in order of frames."""
    order = np.lexsort((tracks.frame, tracks.identity))
    yield from np.split(order, np.nonzero(np.diff(tracks.identity[order]))[0] + 1) if len(order) else ()


def unit_columns(tracks: Tracks, units: Units, speeds: Speeds | None = None) -> dict[str, Numbers]:
    """The columns that units add, (R,) each.

    :param speeds: of the chunks before, where these tracks are one chunk of a video.
    """
    found: dict[str, Numbers] = {}
    if units.fps is not None:
        found["t_s"] = tracks.frame / units.fps
    if units.um_per_px is not None:
        found |= {f"{name}_um": getattr(tracks, name) * units.um_per_px for name in LENGTHS}
        found[AREA] = tracks.area * units.um_per_px**2
    if units:
        found[units.columns[-1]] = (speeds or Speeds()).of(tracks) * units.speed[0]
    return found


def with_units(table: pd.DataFrame, tracks: Tracks, units: Units) -> pd.DataFrame:
    """A table of tracks (:func:`~scalor_pyro.tracks.table.to_dataframe`) with the columns that units add."""
    return table.assign(**unit_columns(tracks, units))


def cells(tracks: Tracks, units: Units, speeds: Speeds) -> list[str]:
    """What units add to the lines of a CSV, each with a comma in front; empty where not known."""
    columns = unit_columns(tracks, units, speeds).values()
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return ["".join("," if math.isnan(number) else f",{number:.6g}" for number in row) for row in rows]


def without_units(header: str) -> tuple[str, int]:
    """A header of a CSV without the columns of units at its end, and how many these are."""
    names = header.rstrip("\r\n").split(",")
    further = 0
    while further < len(names) and names[-1 - further] in UNIT_COLUMNS:
        further += 1
    return (",".join(names[: len(names) - further]) + "\n", further) if further else (header, 0)
