"""scalor link: tracks of one object get one identity, whoever made them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scalor_pyro.cli import main
from scalor_pyro.tracks.appearance import read_appearance
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.text import read_csv, read_mot, write_mot
from tests.fakes import make_tracks


def walk(identity: int, frames: range, x: float, speed: float) -> Tracks:
    return make_tracks([(t, identity, x + speed * t, 50) for t in frames])


# 0 goes on as 2; 1 is far away from both; 3 is short.
TRACKS = concatenate(
    [walk(0, range(0, 20), 10, 1), walk(1, range(0, 45), 300, 0.5), walk(2, range(25, 45), 10, 1)]
    + [walk(3, range(5, 8), 150, 0)]
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tracks as scalor track writes them, and as another program does."""
    monkeypatch.chdir(tmp_path)
    looks = np.random.default_rng(0).normal(0, 3, (4, 3))[[0, 1, 0, 3]]
    seen = looks[TRACKS.identity] + np.random.default_rng(1).normal(0, 0.1, (len(TRACKS), 3))
    order = np.lexsort((TRACKS.identity, TRACKS.frame))
    with TrackFiles(".", "street", ("mot", "csv", "appearance")) as files:
        files.add(TRACKS.rows(order), seen[order])
    write_mot("sort.txt", TRACKS)
    return tmp_path


def test_tracks_of_scalor_are_linked(capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in Path(".").iterdir()}
    assert main(["link", "street.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "4 became 3: 1 links, 0 overlaps and 0 cuts" in out and "street-linked.csv" in out
    assert "place and street-appearance.npy" in out
    linked = read_csv("street-linked.csv")
    assert set(linked.identity) == {0, 1, 3} and len(linked) == len(TRACKS)
    np.testing.assert_array_equal(read_mot("street-linked.txt").identity, linked.identity)
    assert read_appearance("street-linked-appearance.npy", linked).values.shape == (len(linked), 3)
    events = pd.read_csv("street-linked-events.csv")
    assert events[["event", "frame", "particle", "other", "gap"]].values.tolist() == [["link", 25, 0, 2, 5]]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_tracks_of_another_program_are_linked_by_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "sort.txt", "--image-size", "400", "100", "--out", "linked"]) == 0
    assert "place alone" in capsys.readouterr().out
    assert {path.name for path in Path("linked").iterdir()} == {"sort.txt", "sort.csv", "sort-events.csv"}
    assert set(read_mot("linked/sort.txt").identity) == {0, 1, 3}


def test_filters_may_come_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "street.csv", "--gap", "0", "--min-length", "4"]) == 0
    assert set(read_csv("street-linked.csv").identity) == {0, 1, 2}
    assert "1 tracks that are too short or too faint; 3 are left" in capsys.readouterr().out
    assert main(["link", "street.csv", "--fill-gaps", "5", "--smooth", "--overwrite"]) == 0
    filled = read_csv("street-linked.csv")
    assert filled.frame[filled.predicted].tolist() == [20, 21, 22, 23, 24]
    assert np.isfinite(filled.x_sd).all()
    assert "5 of" in capsys.readouterr().out
    # What was predicted is left out when the file is read again.
    assert main(["link", "street-linked.csv"]) == 0
    assert not read_csv("street-linked-linked.csv").predicted.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "There is no file none.csv."),
        (["street.csv", "--gap", "-1"], "gap: expected 0 or more frames, got -1."),
        (["street.csv", "--min-length", "0"], "min_length: expected at least 1 frame, got 0."),
        (["street.csv", "--image-size", "0", "10"], "--image-size: expected at least 1 px, got 0 10."),
        (["street.csv", "sort.txt", "--appearance", "a.npy"], "--appearance belongs to one file of tracks, got 2."),
        (["street.csv", "street.txt"], "street.csv and street.txt would both be written to street-linked-events.csv;"),
        (["street.csv", "--out", "."], "street.txt exists: expected another name, or --overwrite."),
        (
            ["street.csv", "--appearance", "street.csv"],
            "street.csv: expected an array of appearances, got damaged or other data",
        ),
        (["street-appearance.npy"], "street-appearance.npy, line 1: expected 7 to 10 columns"),
    ],
)
def test_what_cannot_be_linked_is_said_in_a_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["link", *arguments]) == 2
    err = capsys.readouterr().err
    assert f"error: {message}" in err and len(err.splitlines()) <= 2
    assert not Path("street-linked.csv").exists()
