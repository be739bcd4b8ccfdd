"""``scalor track``: from a run and a video to tracks, and how it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from scalor_pyro.cli import main
from scalor_pyro.cli import track as command
from scalor_pyro.tracks.text import read_csv, read_mot
from scalor_pyro.tracks.tracker import Tracker
from scalor_pyro.training.interruption import StopRequest
from tests.video_files import shades, write_video

ALL = {
    "street.txt",
    "street.csv",
    "street.json",
    "street.html",
    "street-tracks.mp4",
    "street-napari.npy",
    "street-masks",
}


@pytest.fixture
def here(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write into, seen from that of the videos."""
    monkeypatch.chdir(small_run)
    return tmp_path


def arguments(out: Path, *more: str, videos: tuple[str, ...] = ("street.mkv",)) -> list[str]:
    return ["track", *videos, "--weights", "runs/street", "--out", str(out), "--player", "0", *more]


def test_all_that_is_asked_for_is_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(here, "--annotate", "--masks", "--napari"), "--player", "3"]) == 0
    assert {path.name for path in here.iterdir()} == ALL
    figures = json.loads((here / "street.json").read_text())
    tracks = read_csv(here / "street.csv")
    assert figures["objects_per_frame"] == pytest.approx(len(tracks) / figures["frames"])
    assert figures["tracks"] == len(set(tracks.identity)) == len(set(np.load(here / "street-napari.npy")[:, 0]))
    assert len(list((here / "street-masks").iterdir())) == figures["frames"]
    same = read_mot(here / "street.txt")
    assert np.array_equal(same.frame, tracks.frame) and np.array_equal(same.identity, tracks.identity)
    out = capsys.readouterr().out
    assert "street.mkv" in out and "in a second" in out and str(here / "street.txt") in out


def test_frames_are_those_of_the_file(here: Path) -> None:
    """Tracking looks at all of the video, whatever part of it was trained on."""
    assert main(arguments(here, "--stride", "2", "--stop", "21")) == 0
    assert set(read_csv(here / "street.csv").frame) <= set(range(0, 21, 2))
    assert json.loads((here / "street.json").read_text())["frames"] == 11


def test_tracks_that_are_there_are_kept_unless_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(here, "--stop", "8")) == 0
    before = (here / "street.txt").read_bytes()
    assert main(arguments(here)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (here / "street.txt").read_bytes() == before
    assert main(arguments(here, "--overwrite")) == 0
    assert json.loads((here / "street.json").read_text())["frames"] == 24


def test_resume_passes_over_what_is_done_and_does_the_rest(here: Path) -> None:
    assert main(arguments(here, "--stop", "8")) == 0
    before = (here / "street.txt").stat().st_mtime_ns
    (here / "again.txt").write_text("cut off")
    assert main(arguments(here, "--resume", videos=("street.mkv", "again.mkv"))) == 0
    assert (here / "street.txt").stat().st_mtime_ns == before
    assert "cut off" not in (here / "again.txt").read_text() and (here / "again.json").exists()


def test_processes_share_the_videos(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main(arguments(here, "--stop", "8", videos=("street.mkv", "again.mkv"))) == 0
        assert (here / "again.json").exists() == (rank == "1")
    assert (here / "street.json").exists()


def test_an_interrupt_leaves_what_was_tracked_until_then(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CHUNK", 6)
    asked = StopRequest()
    monkeypatch.setattr(command, "StopRequest", lambda: asked)
    advance = Tracker.advance

    def stopping(self: Tracker, chunk: object) -> object:
        asked.requested = self.carried is not None  # after the second chunk
        return advance(self, chunk)  # type: ignore[arg-type]

    monkeypatch.setattr(Tracker, "advance", stopping)
    assert main(arguments(here)) == 130
    assert "Interrupted" in capsys.readouterr().out
    assert {path.name for path in here.iterdir()} == {"street.txt.part", "street.csv.part"}
    assert set(read_mot(here / "street.txt.part").frame) <= set(range(12))


@pytest.mark.parametrize(
    "change, message",
    [
        (["none.mkv"], "no file or folder none.mkv"),
        (["street.mkv", "--weights", "nowhere"], "nowhere"),
        (["street.mkv", "--crop", "0", "0", "900", "10"], "crop: expected"),
        (["street.mkv", "--start", "99"], "frame from 99 on"),
        (["street.mkv", "--slots", "0"], "slots is 0"),
        (["street.mkv", "--stride", "0"], "stride is 0"),
        (["street.mkv", "--player", "-1"], "player is -1"),
        (["other/street.mkv", "street.mkv"], "would both be street.txt"),
        (["street.mkv", "--scene", "run", "--crop", "0", "0", "48", "32"], "scene of runs/street does not fit"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    here: Path, small_run: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    (small_run / "other").mkdir(exist_ok=True)
    shutil.copy("street.mkv", "other/street.mkv")
    videos = [each for each in change if each.endswith(".mkv")]
    rest = change[len(videos) :]
    weights = [] if "--weights" in rest else ["--weights", "runs/street"]
    assert main(["track", *videos, *weights, "--out", str(here), *rest]) == 2
    err = capsys.readouterr().err.rpartition("\r")[2]  # after the progress bar
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith(".\n")
    assert re.search(message, err)
    assert not {path.suffix for path in here.iterdir()} & {".txt", ".csv", ".json"}


def test_a_folder_of_something_else_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "config.json").write_text('{"hidden_size": 768}')
    write_video(here / "a.mkv", shades(4))
    assert main(["track", str(here / "a.mkv"), "--weights", str(here), "--out", str(here / "out")]) == 2
    assert "config.json does not describe a run" in capsys.readouterr().err


def test_a_moving_camera_is_noticed_said_and_not_refused(
    here: Path, small_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(command, "CHUNK", 3)
    world = np.kron(np.random.default_rng(1).integers(0, 255, (40, 60)), np.ones((4, 4))).astype(np.uint8)
    np.save(here / "pan.npy", np.stack([world[20 + t : 84 + t, 30 + 2 * t : 126 + 2 * t] for t in range(24)]))
    assert main(arguments(here, videos=(str(here / "pan.npy"),))) == 0
    assert "camera" in caplog.text
    caplog.clear()
    assert main(arguments(here)) == 0
    assert not caplog.text
