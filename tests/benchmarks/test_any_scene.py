"""The benchmark of the weights for any scene scores what `scalor track` leaves, and refuses other folders."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scalor_pyro.cli import parser
from scalor_pyro.config.movers import any_scene
from scalor_pyro.data import MoverVideos
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot, write_mot
from tests.video_files import squares, write_video

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import any_scene as module

    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two annotated videos, of five squares each."""
    for name in ("one", "two"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        write_video(tmp_path / "videos" / name / "clip.mkv", squares(12))
        write_mot(tmp_path / "videos" / name / "gt.txt", truth())
    return tmp_path / "videos"


def truth(frames: int = 12) -> Tracks:
    frame, identity = (axis.ravel() for axis in np.meshgrid(np.arange(frames), np.arange(5), indexing="ij"))
    x = (7 + 23 * identity + 2 * frame) % (96 - 8) + 4.0
    side = np.full(len(x), 8.0)
    return Tracks(frame, identity, x, 6.0 + 12 * identity, side, side, np.ones(len(x)), np.zeros(len(x)))


def test_results_say_how_each_video_is_tracked(
    benchmark: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def track(video: Path, out: Path, options: list[str]) -> tuple[Tracks, float]:
        asked.append((video.parent.name, options))
        return (truth(14) if video.parent.name == "one" else truth().rows(truth().identity > 0)), 2.0

    monkeypatch.setattr(benchmark, "tracked", track)
    command = [str(folder), "--out", str(tmp_path / "out"), "--object-size", "two=8", "--", "--min-length", "5"]
    assert benchmark.main(command) == 0
    assert asked == [("one", ["--min-length", "5"]), ("two", ["--object-size", "8", "--min-length", "5"])]
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["provenance"]["command"].endswith("-- --min-length 5")
    one, two = found["videos"]["one"], found["videos"]["two"]
    assert one["centres"]["mota"] == one["boxes"]["mota"] == 1 and one["frames_per_s"] == 7, "past the truth is free"
    assert two["centres"]["recall"] == pytest.approx(0.8) and two["identities"] == 4


def test_tracks_are_those_of_the_command(
    benchmark: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that is run is one that exists."""
    ran = []

    def run(command: list[str], check: bool) -> None:
        ran.append(parser().parse_args(command[3:]))
        write_mot(tmp_path / "out" / "clip.txt", truth())

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(benchmark.subprocess, "run", run)
    found, seconds = benchmark.tracked(folder / "one" / "clip.mkv", tmp_path / "out", ["--object-size", "8"])
    assert ran[0].object_size == 8 and ran[0].overwrite and len(found.x) == 60 and seconds >= 0
    assert np.allclose(found.x, read_mot(folder / "one" / "gt.txt").x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "three"], "expected NAME/gt.txt of three, got none"),
        (["--object-size", "eight"], "--object-size: expected NAME=PX, got eight"),
    ],
)
def test_what_is_not_there_is_refused(
    benchmark: ModuleType,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert benchmark.main([str(folder), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    (folder / "two" / "clip.mkv").unlink()
    assert benchmark.main([str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "expected one video beside gt.txt, got 0" in capsys.readouterr().err


def test_the_picture_shows_frames_boxes_and_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import show_movers

    monkeypatch.setattr(show_movers, "ROWS", 1)
    config = any_scene()
    shown = show_movers.picture(Scalor(config.model).eval(), MoverVideos(config.movers, 0, "test"), 0)
    height, width = (2 * side + show_movers.GAP for side in config.movers.image_size)
    assert shown.shape == (height, 2 * 5 * width + 4 * show_movers.GAP, 3) and shown.dtype == np.uint8
