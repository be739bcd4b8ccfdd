"""Units: further columns in seconds and µm, whatever the chunks, and files that can be read again."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.table import Tracks, concatenate, to_dataframe
from scalor_pyro.tracks.text import read_csv, tracks_by_frame
from scalor_pyro.tracks.units import UNIT_COLUMNS, Speeds, Units, unit_columns, with_units
from tests.fakes import make_tracks

# 0 moves by (3, 4) px per frame, and is not seen in frame 2; 1 rests; 2 is seen once.
TRACKS = make_tracks(
    [(t, 0, 10 + 3 * t, 20 + 4 * t) for t in (0, 1, 3)] + [(t, 1, 50, 50) for t in (1, 2, 3)] + [(2, 2, 5, 5)]
).in_order()
MORE = ("width_um", "height_um", "length_um", "breadth_um", "area_um2")
BOTH = Units(fps=10, um_per_px=0.5)


@pytest.mark.parametrize(
    ("units", "names"),
    [
        (Units(), ()),
        (Units(fps=10), ("t_s", "speed_px_s")),
        (Units(um_per_px=0.5), ("x_um", "y_um", *MORE, "speed_um_frame")),
        (BOTH, ("t_s", "x_um", "y_um", *MORE, "speed_um_s")),
    ],
)
def test_columns_are_those_whose_units_are_known(units: Units, names: tuple[str, ...]) -> None:
    table = with_units(to_dataframe(TRACKS), TRACKS, units)
    assert tuple(table.columns[len(to_dataframe(TRACKS).columns) :]) == names == units.columns
    assert set(names) <= set(UNIT_COLUMNS)


def test_values_are_in_the_units_of_the_world() -> None:
    table = with_units(to_dataframe(TRACKS), TRACKS, BOTH)
    moving = table[table.particle == 0]
    assert moving.t_s.tolist() == [0, 0.1, 0.3] and moving.x_um.tolist() == [5, 6.5, 9.5]
    # 5 px per frame, also over the frame in which it was not seen, are 25 µm/s.
    assert math.isnan(moving.speed_um_s.iloc[0]) and moving.speed_um_s.iloc[1:].tolist() == [25, 25]
    assert table[table.particle == 1].speed_um_s.dropna().tolist() == [0, 0]
    assert table[table.particle == 2].speed_um_s.isna().all()


@given(cut=st.integers(0, 4), fps=st.floats(0.01, 1e4), um=st.floats(1e-4, 1e4))
def test_chunks_make_no_difference(cut: int, fps: float, um: float) -> None:
    units, speeds = Units(fps, um), Speeds()
    parts = [TRACKS.rows(TRACKS.frame < cut), TRACKS.rows(TRACKS.frame >= cut)]
    found = [unit_columns(part, units, speeds) for part in parts]
    for name, whole in unit_columns(concatenate(parts), units).items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in found]), whole)


@pytest.mark.parametrize("units", [Units(), Units(fps=25), Units(um_per_px=0.1), BOTH])
def test_a_csv_with_units_is_read_like_one_without(tmp_path: Path, units: Units) -> None:
    with TrackFiles(tmp_path, "a", ("mot", "csv"), units=units) as files:
        for frame in range(4):
            files.add(TRACKS.rows(TRACKS.frame == frame))
    table = pd.read_csv(tmp_path / "a.csv")
    assert table.columns[-len(units.columns) :].tolist() == list(units.columns) or not units
    for name, values in unit_columns(TRACKS, units).items():
        np.testing.assert_allclose(table[name], values, rtol=1e-5)
    again = read_csv(tmp_path / "a.csv")
    for name in ("frame", "identity", "x", "y", "predicted"):
        np.testing.assert_array_equal(getattr(again, name), getattr(TRACKS, name))
    assert [len(part) for part in tracks_by_frame(tmp_path / "a.csv")] == [1, 2, 2, 2]


def test_a_line_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with TrackFiles(tmp_path, "a", ("csv",), units=BOTH) as files:
        files.add(TRACKS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2].partition(",")[2], *lines[3:]]))
    with pytest.raises(ValueError, match="a.csv, line 3: expected .* columns"):
        read_csv(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fps": 0}, "fps: expected frames per second above 0, got 0"),
        ({"fps": math.nan}, "fps: .* got nan"),
        ({"um_per_px": -1}, "um_per_px: expected µm per px above 0, got -1"),
        ({"um_per_px": math.inf}, "um_per_px: .* got inf"),
    ],
)
def test_units_of_no_recording_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Units(**values)


def test_the_rate_of_a_file_stands_in_for_one_that_is_not_given() -> None:
    assert Units().or_rate(25).fps == 25 and Units(fps=2).or_rate(25).fps == 2
    assert Units().or_rate(None) == Units().or_rate(0) == Units()
    assert Units(fps=4, um_per_px=2).speed == (8, "µm/s") and Units().speed == (1, "px/frame")


def test_no_tracks_have_no_rows() -> None:
    none: Tracks = TRACKS.rows(TRACKS.frame < 0)
    assert {name: len(column) for name, column in unit_columns(none, BOTH).items()} == dict.fromkeys(BOTH.columns, 0)
