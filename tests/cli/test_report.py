"""scalor report, and the reports and units of scalor track and scalor link."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scalor_pyro.cli import main
from scalor_pyro.cli import track as command
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.text import read_csv, write_mot
from scalor_pyro.tracks.units import Units
from scalor_pyro.video import VideoError
from tests.fakes import make_tracks
from tests.video_files import squares, write_video

TRACKS = make_tracks([(t, i, 11 + 23 * i + 2 * t, 6 + 12 * i) for t in range(5) for i in range(4)], side=8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video, and tracks of another program."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "street.mkv", squares())
    write_mot("sort.txt", TRACKS)
    return tmp_path


@pytest.fixture
def tracked(small_run: Path, folder: Path) -> Path:
    """What scalor track leaves, with its report and units."""
    shutil.copy(small_run / "street.mkv", folder / "street.mkv")
    line = ["track", "street.mkv", "--weights", str(small_run / "runs" / "street"), "--out", "out", "--fps", "5"]
    assert main([*line, "--um-per-px", "0.5", "--start", "2", "--decide-by", "masks"]) == 0
    return folder / "out"


def test_tracking_leaves_a_report_in_the_units_given(tracked: Path, small_run: Path) -> None:
    page = (tracked / "street-report.html").read_text()
    assert "22 frames, 2 to 23" in page and "5 per second" in page and "0.5 µm per px" in page and "street.csv" in page
    table, figures = pd.read_csv(tracked / "street.csv"), json.loads((tracked / "street.json").read_text())
    assert (figures["fps"], figures["um_per_px"], figures["first_frame"], figures["last_frame"]) == (5, 0.5, 2, 23)
    assert {"t_s", "x_um", "speed_um_s"} <= set(table)
    for name, values in {"x_um": table.x * 0.5, "t_s": table.frame / 5}.items():
        np.testing.assert_allclose(table[name].astype(float), values.astype(float), atol=1e-3)


def test_a_missing_report_is_made_from_the_files(
    tracked: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, csv = tracked / "street-report.html", tracked / "street.csv"
    before, changed = report.read_text(), csv.stat().st_mtime_ns
    report.unlink()
    line = ["track", "street.mkv", "--weights", str(small_run / "runs" / "street"), "--out", "out", "--fps", "5"]
    assert main([*line, "--um-per-px", "0.5", "--start", "2", "--decide-by", "masks", "--resume"]) == 0
    assert "1 of 1 videos are tracked already" in capsys.readouterr().out
    assert csv.stat().st_mtime_ns == changed and tiles(report.read_text()) == tiles(before)
    report.unlink()
    assert main(["report", "out/street.csv"]) == 0
    assert "The report is out/street-report.html." in capsys.readouterr().out
    assert tiles(report.read_text()) == tiles(before)


def tiles(page: str) -> list[str]:
    return re.findall(r'<div class="tile"><b>(.*?)</b>', page)


def test_units_of_other_frames_are_other_tracks(
    tracked: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["track", "street.mkv", "--weights", str(small_run / "runs" / "street"), "--out", "out", "--resume"]
    assert main([*line, "--start", "2", "--decide-by", "masks", "--fps", "7", "--um-per-px", "0.5"]) == 2
    assert "street.json: expected tracks with fps 7.0, got those with 5.0" in capsys.readouterr().err


def test_without_an_encoder_tracks_are_written_all_the_same(
    small_run: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise VideoError("The FFmpeg of PyAV has no encoder libx264.")

    monkeypatch.setattr(command, "require_encoder", missing)
    line = ["track", "street.mkv", "--weights", str(small_run / "runs" / "street"), "--out", "out", "--stop", "4"]
    assert main(line) == 0
    assert "no encoder libx264. No report is written." in caplog.text
    assert Path("out/street.csv").exists() and not Path("out/street-report.html").exists()


def test_tracks_of_another_program_have_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["report", "sort.txt", "street.mkv", "--um-per-px", "2", "--start", "1", "--crop", "0", "0", "96", "48"])
        == 0
    )
    page = Path("sort-report.html").read_text()
    assert "<b>40 µm/s</b><span>median speed" in page and "tracked in 96 × 48 px" in page
    assert main(["report", "sort.txt", "street.mkv"]) == 2
    assert "--out sort-report.html: the file exists" in capsys.readouterr().err
    assert main(["report", "sort.txt", "street.mkv", "--overwrite", "--fps", "1"]) == 0
    assert "<b>2 px/s</b><span>median speed" in Path("sort-report.html").read_text()


def test_linking_keeps_the_units(tracked: Path) -> None:
    with TrackFiles("out", "street", ("csv",), overwrite=True, units=Units(5, 0.5)) as files:
        files.add(TRACKS)
    (tracked / "street-appearance.npy").unlink()
    assert main(["link", "out/street.csv"]) == 0
    linked = pd.read_csv("out/street-linked.csv")
    assert linked.x_um.tolist() == pytest.approx((read_csv("out/street-linked.csv").x / 2).tolist())
    assert main(["report", "out/street-linked.csv"]) == 0
    page = Path("out/street-linked-report.html").read_text()
    assert "<b>5 µm/s</b><span>median speed" in page and "<b>4</b><span>tracks" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "There is no file none.csv."),
        (["sort.txt"], "sort.txt: expected the name of the video, because there is no sort.json."),
        (["sort.txt", "none.mkv"], "none.mkv"),
        (["sort.txt", "street.mkv", "--fps", "0"], "fps: expected frames per second above 0, got 0.0."),
        (["sort.txt", "street.mkv", "--out", "a.txt"], "--out a.txt: expected a name that ends in .html."),
        (["sort.txt", "street.mkv", "--start", "99"], "frame from 99 on"),
        (["sort.txt", "street.mkv", "--crop", "0", "0", "900", "9"], "crop: expected"),
        (["street.mkv", "street.mkv"], "street.mkv, line 1: expected"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not list(Path(".").glob("*.html"))


def test_events_that_are_damaged_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sort-events.csv").write_text("event,frame\nlink,3\n")
    assert main(["report", "sort.txt", "street.mkv"]) == 2
    assert "sort-events.csv: expected the events of scalor link, got damaged or other data." in capsys.readouterr().err
