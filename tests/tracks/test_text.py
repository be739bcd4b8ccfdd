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
)
ROWS = st.dictionaries(KEYS, NUMBERS, max_size=8)


def some_tracks(rows: dict[tuple[int, int], tuple[float, ...]]) -> Tracks:
    keys = np.array(list(rows), dtype=np.int64).reshape(-1, 2)
    numbers = np.array(list(rows.values()), dtype=np.float64).reshape(-1, 10)
    return Tracks(*keys.T, *numbers.T)


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
        ("1,2,3,4,5", r"line 3: it has 5 columns, but 7 to 10 were expected"),
        ("0,1,1,1,2,2,1,-1,-1,-1", r"line 3: frame is '0', but an integer from 1"),
        ("1,-1,1,1,2,2,1,-1,-1,-1", r"line 3: id is '-1', but an integer from 1"),
        ("1,1.5,1,1,2,2,1,-1,-1,-1", r"line 3: id is '1.5'"),
        ("1,1,one,1,2,2,1,-1,-1,-1", r"line 3: bb_left is 'one', but a finite number"),
        ("1,1,1,nan,2,2,1,-1,-1,-1", r"line 3: bb_top is 'nan'"),
        ("1,1,1,1,-2,2,1,-1,-1,-1", r"line 3: bb_width is -2.0, but a size of 0 or more"),
        ("9,9,1,1,2,2,1,-1,-1,-1", r"line 3: id 9 was already in frame 9, in line 1"),
        ("\x00\xff", r"line 3: it has 1 columns"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "tracks.txt"
    path.write_bytes(f"9,9,1,1,2,2,1,-1,-1,-1\n\n{line}\n".encode("latin-1"))
    with pytest.raises(ValueError, match=complaint):
        read_mot(path)


def test_an_empty_file_is_a_video_without_objects(tmp_path: Path) -> None:
    write_mot(tmp_path / "none.txt", make_tracks([]))
    assert len(read_mot(tmp_path / "none.txt")) == 0


def test_csv_counts_from_zero_and_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    write_csv(tmp_path / "tracks.csv", make_tracks([(0, 0, 5, 7)], side=4))
    assert (tmp_path / "tracks.csv").read_text().splitlines() == [
        "frame,particle,x,y,width,height,presence,depth,x_sd,y_sd,width_sd,height_sd",
        "0,0,5.0000,7.0000,4.0000,4.0000,1.0000,0.0000,,,,",
    ]


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
    with pytest.raises(ValueError, match="tracks.txt, line 2: its frame is before that of the row above"):
        list(tracks_by_frame(path))
    assert len(read_tracks(path)) == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3", "line 3: it has 3 columns, but 12 were expected"),
        ("-1,0,1,1,2,2,1,,,,,", "line 3: frame is '-1', but an integer from 0"),
        ("1,x,1,1,2,2,1,,,,,", "line 3: particle is 'x', but an integer from 0"),
        ("1,0,,1,2,2,1,,,,,", "line 3: x is '', but a finite number"),
        ("1,0,1,1,2,-2,1,,,,,", "line 3: height is -2.0, but a size of 0 or more"),
        ("1,0,1,1,2,2,1,,inf,,,", "line 3: x_sd is 'inf', but a finite number"),
        ("0,0,1,1,2,2,1,,,,,", "line 3: particle 0 was already in frame 0, in line 2"),
    ],
)
def test_a_malformed_line_of_csv_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "tracks.csv"
    path.write_text(f"{CSV.header}0,0,1,1,2,2,1,,,,,\n{line}\n")
    with pytest.raises(ValueError, match=complaint):
        read_csv(path)


def test_csv_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("y,x,mass\n1,2,3\n")
    with pytest.raises(ValueError, match="other.csv, line 1: the names of columns frame,particle,x,y,.* were expected"):
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
