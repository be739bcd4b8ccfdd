"""Tracks as text: what is written can be read, by this package and by others, and what cannot is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.tracks.table import COLUMNS, Tracks, concatenate
from scalor_pyro.tracks.text import CSV, lines, read_csv, read_mot, read_tracks, tracks_by_frame, write_mot
from tests.fakes import make_tracks

KEYS = st.tuples(st.integers(0, 99), st.integers(0, 99))  # frame, identity
UNKNOWN = st.just(np.nan)
NUMBERS = st.tuples(
    *[st.floats(-50, 200)] * 2,
    *[st.floats(0, 90)] * 2,
    st.floats(0, 1),
    st.floats(-9, 9) | UNKNOWN,
    *[st.floats(0, 30) | UNKNOWN] * 4,
    st.booleans(),
    *[st.floats(0, 900) | UNKNOWN] * 3,
    st.floats(-90, 90) | UNKNOWN,
    st.floats(0, 65535) | UNKNOWN,
)
ROWS = st.dictionaries(KEYS, NUMBERS, max_size=8)


def some_tracks(rows: dict[tuple[int, int], tuple[float, ...]]) -> Tracks:
    keys = np.array(list(rows), dtype=np.int64).reshape(-1, 2)
    numbers = np.array(list(rows.values()), dtype=np.float64).reshape(-1, len(COLUMNS) - 2)
    columns = dict(zip(COLUMNS, (*keys.T, *numbers.T), strict=True))
    return Tracks(**(columns | {"predicted": columns["predicted"] == 1}))


def write_csv(path: Path, tracks: Tracks) -> None:
    path.write_text(CSV.header + lines(tracks, CSV))


def assert_same(back: Tracks, tracks: Tracks, names: tuple[str, ...] = COLUMNS) -> None:
    for name in names:
        np.testing.assert_allclose(getattr(back, name), getattr(tracks.in_order(), name), atol=2e-4)


def test_mot_text_counts_from_one(tmp_path: Path) -> None:
    write_mot(tmp_path / "tracks.txt", make_tracks([(0, 0, 5, 7), (2, 3, 6, 8)], side=4))
    assert (tmp_path / "tracks.txt").read_text().splitlines() == [
        "1,1,4.0000,6.0000,4.0000,4.0000,1.0000,-1,-1,-1",
        "3,4,5.0000,7.0000,4.0000,4.0000,1.0000,-1,-1,-1",
    ]


@given(ROWS)
def test_mot_text_reads_back(tmp_path_factory: pytest.TempPathFactory, rows: dict) -> None:
    tracks = some_tracks(rows)
    path = tmp_path_factory.mktemp("mot") / "tracks.txt"
    write_mot(path, tracks)
    assert_same(read_mot(path), tracks, COLUMNS[:7])
    assert np.isnan(read_mot(path).depth).all()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3,4,5", r"line 3: expected 7 to 10 columns separated by commas, got 5"),
        ("0,1,1,1,2,2,1,-1,-1,-1", r"line 3: frame: expected a whole number from 1, .* got '0'"),
        ("1,-1,1,1,2,2,1,-1,-1,-1", r"line 3: id: expected a whole number from 1, .* got '-1'"),
        ("1,1.5,1,1,2,2,1,-1,-1,-1", r"line 3: id: .* got '1.5'"),
        ("1,1,one,1,2,2,1,-1,-1,-1", r"line 3: bb_left: expected a finite number, got 'one'"),
        ("1,1,1,nan,2,2,1,-1,-1,-1", r"line 3: bb_top: expected a finite number, got 'nan'"),
        ("1,1,1,1,-2,2,1,-1,-1,-1", r"line 3: bb_width: expected 0 or more, got -2.0"),
        ("9,9,1,1,2,2,1,-1,-1,-1", r"line 3: id 9 is already in frame 9, in line 1"),
        ("1 2 3 4 5 6 7", r"line 3: expected 7 to 10 columns separated by commas, got 1"),
        ("1;2;3;4;5;6;7", r"line 3: expected 7 to 10 columns separated by commas, got 1"),
        ("18446744073709551617,1,1,1,2,2,1", r"line 3: frame: .* up to 18 digits, got '18446744073709551617'"),
        ("1,9223372036854775808,1,1,2,2,1", r"line 3: id: .* up to 18 digits, got '9223372036854775808'"),
        ("1,1,1e999,1,2,2,1", r"line 3: bb_left: expected a finite number, got '1e999'"),
        ("1,1,1,-inf,2,2,1", r"line 3: bb_top: expected a finite number, got '-inf'"),
        ("1,1,1,1,1e308,2,1", r"line 3: bb_width: expected a number up to 1e\+12, got '1e308'"),
        ("1,1,1,1,2,2,nan", r"line 3: conf: expected a finite number, got 'nan'"),
        (f"{'7' * 5000},1,1,1,2,2,1", r"line 3: frame: .* got '7{60}…'\.$"),
        ("1" * 20_000, r"line 3: expected 7 to 10 columns"),
        ("\x00\xff", r"line 3: expected 7 to 10 columns separated by commas, got 1"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "tracks.txt"
    path.write_bytes(f"9,9,1,1,2,2,1,-1,-1,-1\n\n{line}\n".encode("latin-1"))
    with pytest.raises(ValueError, match=complaint):
        read_mot(path)


@pytest.mark.parametrize("name", ["tracks.txt", "tracks.csv"])
@pytest.mark.parametrize("change", ["mark", "crlf", "both", "spaces"])
def test_text_of_other_programs_reads_the_same(tmp_path: Path, name: str, change: str) -> None:
    tracks = make_tracks([(0, 0, 5, 7), (2, 10**17, 6, 8), (10**17, 2, 6, 8)])
    path = tmp_path / name
    (write_csv if ".csv" in name else write_mot)(path, tracks)
    text = path.read_bytes()
    if change in ("crlf", "both"):
        text = text.replace(b"\n", b"\r\n")
    if change in ("mark", "both"):
        text = b"\xef\xbb\xbf" + text
    if change == "spaces":
        start = text.index(b"\n") + 1 if ".csv" in name else 0
        text = text[:start] + text[start:].replace(b",", b" , ")
    path.write_bytes(text)
    assert_same(read_tracks(path), tracks, COLUMNS[:7])


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none.txt could not be read .No such file or directory.[.]$"):
        read_mot(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="could not be read .Is a directory"):
        read_mot(tmp_path)


def test_an_empty_file_is_a_video_without_objects(tmp_path: Path) -> None:
    write_mot(tmp_path / "none.txt", make_tracks([]))
    assert len(read_mot(tmp_path / "none.txt")) == 0


def test_csv_counts_from_zero_and_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    write_csv(tmp_path / "tracks.csv", make_tracks([(0, 0, 5, 7)], side=4))
    assert (tmp_path / "tracks.csv").read_text().splitlines() == [
        "frame,particle,x,y,width,height,presence,depth,x_sd,y_sd,width_sd,height_sd,predicted,area,length,"
        "breadth,angle,intensity",
        "0,0,5.0000,7.0000,4.0000,4.0000,1.0000,0.0000,,,,,0,,,,,",
    ]


def test_csv_of_earlier_versions_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    first = "frame,particle,x,y,width,height,presence,depth,x_sd,y_sd,width_sd,height_sd"
    path.write_text(f"{first}\n0,0,5,7,4,4,1,0,,,,\r\n1,0,5,7,4,4,1,0,1,1,,\n")
    tracks = read_csv(path)
    assert tracks.x_sd[1] == 1 and not tracks.predicted.any() and np.isnan(tracks.area).all()
    path.write_text(f"{first},predicted\n0,0,5,7,4,4,1,0,,,,,1\n1,0,5,7,4,4,1,0,,,,,0\n")
    tracks = read_csv(path)
    assert tracks.predicted.tolist() == [True, False] and np.isnan(tracks.angle).all()
    path.write_text(f"{first},predicted\n0,0,5,7,4,4,1,0,,,,,1\n1,0,5,7,4,4,1,0,,,,\n")
    with pytest.raises(ValueError, match="line 3: expected 13 columns separated by commas, got 12"):
        read_csv(path)


@given(ROWS)
def test_csv_reads_back_here_and_with_pandas(tmp_path_factory: pytest.TempPathFactory, rows: dict) -> None:
    tracks = some_tracks(rows)
    path = tmp_path_factory.mktemp("csv") / "tracks.csv"
    write_csv(path, tracks)
    assert_same(read_csv(path), tracks)
    table = pd.read_csv(path)
    np.testing.assert_allclose(table["particle"].astype(int), tracks.in_order().identity)
    np.testing.assert_allclose(table["width_sd"].astype(float), tracks.in_order().width_sd, atol=2e-4)


@given(ROWS, st.sampled_from(["tracks.csv", "tracks.txt", "tracks.csv.part", "tracks.txt.part"]))
def test_a_frame_at_a_time_is_the_whole(tmp_path_factory: pytest.TempPathFactory, rows: dict, name: str) -> None:
    path = tmp_path_factory.mktemp("frames") / name
    (write_csv if ".csv" in name else write_mot)(path, some_tracks(rows))
    parts = list(tracks_by_frame(path))
    assert [part.frame[0] for part in parts] == sorted({frame for frame, _ in rows})
    assert all(len(set(part.frame)) == 1 for part in parts)
    assert_same(concatenate(parts), read_tracks(path))


def test_rows_that_are_not_in_order_cannot_be_read_a_frame_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text("2,1,1,1,2,2,1\n1,1,1,1,2,2,1\n")
    with pytest.raises(ValueError, match="tracks.txt, line 2: expected rows in order of frames, got frame 0 after 1"):
        list(tracks_by_frame(path))
    assert len(read_tracks(path)) == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3", "line 3: expected 18 columns separated by commas, got 3"),
        ("-1,0,1,1,2,2,1,,,,,,0,,,,,", "line 3: frame: expected a whole number from 0, .* got '-1'"),
        ("1,x,1,1,2,2,1,,,,,,0,,,,,", "line 3: particle: expected a whole number from 0, .* got 'x'"),
        ("1,0,,1,2,2,1,,,,,,0,,,,,", "line 3: x: expected a finite number, got ''"),
        ("1,0,1,1,2,-2,1,,,,,,0,,,,,", "line 3: height: expected 0 or more, got -2.0"),
        ("1,0,1,1,2,2,1,,inf,,,,0,,,,,", "line 3: x_sd: expected a finite number, got 'inf'"),
        ("1,0,1,1,2,2,1,,,,,,2,,,,,", "line 3: predicted: expected 0 or 1, got '2'"),
        ("1,0,1,1,2,2,1,,,,,,0,nan,,,,", "line 3: area: expected a finite number, got 'nan'"),
        ("0,0,1,1,2,2,1,,,,,,0,,,,,", "line 3: particle 0 is already in frame 0, in line 2"),
    ],
)
def test_a_malformed_line_of_csv_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "tracks.csv"
    path.write_text(f"{CSV.header}0,0,1,1,2,2,1,,,,,,0,,,,,\n{line}\n")
    with pytest.raises(ValueError, match=complaint):
        read_csv(path)


def test_csv_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("y,x,mass\n1,2,3\n")
    with pytest.raises(ValueError, match="other.csv, line 1: expected the names of columns frame,particle,x,y,"):
        read_csv(tmp_path / "other.csv")


@pytest.mark.parametrize("name", ["tracks.txt", "tracks.csv"])
def test_what_was_cut_off_anywhere_can_be_read(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    tracks = make_tracks([(0, 0, 0.5, 3), (0, 10, 10.5, 3), (1, 10, -11.25, 4)])
    whole = tmp_path / f"whole-{name}"
    (write_csv if ".csv" in name else write_mot)(whole, tracks)
    text = whole.read_bytes()
    first = len("".join(text.decode().splitlines(keepends=True)[:2])) if ".csv" in name else text.index(b"\n") + 1
    for size in range(first, len(text) + 1):
        cut = tmp_path / name
        cut.write_bytes(text[:size])
        caplog.clear()
        back = read_tracks(cut)
        complete = text[:size].count(b"\n") - (".csv" in name)
        assert len(back) >= complete
        assert bool(caplog.messages) == (len(back) == complete and text[size - 1 : size] != b"\n")
        assert_same(back, tracks.in_order().rows(np.arange(len(back))), COLUMNS[:7])
