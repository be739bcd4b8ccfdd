"""The rivals find what is there, get the truth of the first half alone, and are not run again without need."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot, write_mot
from scalor_pyro.video import Video
from tests.video_files import squares, write_video

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytest.importorskip("cv2")
FRAMES, SIDE = 24, 8


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pipelines as module

    return module


@pytest.fixture
def rivals(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import rivals as module

    monkeypatch.setattr(module, "require", lambda names: None)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An annotated video of five squares."""
    (tmp_path / "videos" / "one").mkdir(parents=True)
    write_video(tmp_path / "videos" / "one" / "clip.mkv", squares(FRAMES))
    write_mot(tmp_path / "videos" / "one" / "gt.txt", truth())
    return tmp_path / "videos"


def truth() -> Tracks:
    frame, lane = (axis.ravel() for axis in np.meshgrid(np.arange(FRAMES), np.arange(5), indexing="ij"))
    x = (7 + 23 * lane + 2 * frame) % (96 - SIDE) + SIDE / 2
    side, turn = np.full(len(x), float(SIDE)), (7 + 23 * lane + 2 * frame) // (96 - SIDE)
    return Tracks(frame, 5 * turn + lane, x, 6.0 + 12 * lane, side, side, np.ones(len(x)), np.zeros(len(x)))


def test_blobs_are_where_objects_are(pipelines: ModuleType, rivals: ModuleType, folder: Path) -> None:
    apart = pipelines.differences(folder / "one" / "clip.mkv")
    assert apart.shape == (FRAMES, 64, 96)
    assert pipelines.typical_size(apart) == pytest.approx(SIDE, abs=2)
    found = pipelines.blobs(apart, SIDE, pipelines.Blobs())
    assert rivals.detection_f1(found, truth()) > 0.95
    assert found.until(3).frame.max() == 2
    nothing = pipelines.blobs(np.zeros((4, 20, 30), np.uint8), SIDE, pipelines.Blobs())
    assert len(nothing.frame) == 0 and rivals.detection_f1(nothing, truth()) == 0


def test_touching_objects_are_split(pipelines: ModuleType) -> None:
    import cv2

    apart = np.zeros((3, 60, 80), np.uint8)
    for frame, gap in zip(apart, (30, 13, 13), strict=True):
        for x in (20, 20 + gap):
            cv2.circle(frame, (x, 30), 8, 200, -1)
        cv2.circle(frame, (65, 12), 8, 200, -1)
    for split, expected in ((True, [3, 3, 3]), (False, [3, 2, 2])):
        found = pipelines.blobs(apart, 16, pipelines.Blobs(split=split))
        assert np.bincount(found.frame).tolist() == expected
    whole = pipelines.blobs(apart, 16, pipelines.Blobs())
    middle = whole.box[whole.frame == 1, 0] + whole.box[whole.frame == 1, 2] / 2
    assert sorted(middle) == pytest.approx([20, 33, 65], abs=2.5)


@pytest.mark.parametrize(
    ("method", "package"), [("laptrack", "laptrack"), ("oc-sort", "trackers"), ("trackpy", "trackpy")]
)
def test_rivals_track_what_is_easy(rivals: ModuleType, folder: Path, method: str, package: str) -> None:
    pytest.importorskip(package)
    each = rivals.annotated(folder)[0]
    apart = rivals.differences(each.video)
    for with_labels in (False, True):
        tracks, figures = rivals.rival(each, method, with_labels, apart)
        assert figures["whole"]["centres"]["mota"] > 0.6 and len(tracks.frame) > 60, figures


def test_tuning_sees_the_first_half_alone(rivals: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong in the second half of the truth changes nothing."""
    each = rivals.annotated(folder)[0]
    apart = rivals.differences(each.video)

    def follow(found: Any, size: float, how: Any) -> Tracks:
        return rivals.tracks_of(found.frame, np.arange(len(found.frame)) + how.gap, found.box)

    monkeypatch.setattr(rivals, "link_lap", follow)
    before = rivals.tuned(rivals.case_of(each, apart, True), "laptrack", apart).settings
    wrong = truth()
    late = wrong.frame >= FRAMES // 2
    write_mot(each.truth, replace(wrong, x=np.where(late, 5.0, wrong.x), width=np.where(late, 40.0, wrong.width)))
    assert rivals.tuned(rivals.case_of(each, apart, True), "laptrack", apart).settings == before
    assert rivals.case_of(each, apart, True).size == pytest.approx(SIDE)


def test_results_are_kept_until_asked_for_again(
    rivals: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def rival(each: Any, method: str, with_labels: bool, apart: Any) -> Any:
        made.append((each.name, method, with_labels))
        return truth(), rivals.result(truth(), truth(), FRAMES, 2.0, {})

    def scalor(each: Any, out: Path, options: list[str], frames: int) -> Any:
        made.append((each.name, *options))
        return truth(), rivals.result(truth(), truth(), frames, 4.0, {"options": options})

    monkeypatch.setattr(rivals, "rival", rival)
    monkeypatch.setattr(rivals, "scalor", scalor)
    command = [str(folder), "--out", str(tmp_path / "out"), "--methods", "scalor-online", "laptrack", "--halve", "one"]
    assert rivals.main([*command, "--", "--min-length", "3"]) == 0
    ours = ("--lookahead", "0", "--no-link", "--min-length", "3")
    assert made == [(name, *rest) for name in ("one", "one-half") for rest in (ours, ("laptrack", True))]
    found = json.loads((tmp_path / "out" / "results.json").read_text())["videos"]["one"]["laptrack"]
    assert found["frames_per_s"] == FRAMES / 2 and found["second_half"]["boxes"]["mota"] == 1
    assert found["second_half"]["centres"]["objects"] == 5 * FRAMES // 2

    made.clear()
    assert rivals.main([*command, "--again", "scalor-online", "--record", str(tmp_path / "record.json")]) == 0
    assert made == [(name, "--lookahead", "0", "--no-link") for name in ("one", "one-half")]
    record = json.loads((tmp_path / "record.json").read_text())
    assert set(record["videos"]["one"]) == {"scalor-online", "laptrack"}
    assert str(tmp_path) not in record["provenance"]["command"]

    half = tmp_path / "out" / "videos" / "one-half"
    assert next(iter(Video(half / "clip.mkv"))).image.shape == (3, 32, 48)
    assert np.allclose(read_mot(half / "gt.txt").x, truth().x / 2)


def test_what_cannot_be_run_is_refused(
    pipelines: ModuleType,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import rivals

    monkeypatch.setattr(rivals, "NEEDED", ("cv2", "no_such_package"))
    assert rivals.main([str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "expected no_such_package to be installed (pip install 'scalor_pyro[rivals]')" in capsys.readouterr().err
    monkeypatch.setattr(rivals, "NEEDED", ())
    assert rivals.main([str(folder), "--out", str(tmp_path / "out"), "--halve", "two"]) == 2
    assert "--halve: expected some of one, got two." in capsys.readouterr().err
    assert rivals.main([str(folder), "--out", str(tmp_path / "out"), "--trained", "one-half"]) == 2
    assert "--trained: expected some of one, got one-half." in capsys.readouterr().err
    (tmp_path / "text.mkv").write_text("no video")
    with pytest.raises(pipelines.ConfigError, match="expected a video that OpenCV can read, got no frame"):
        pipelines.differences(tmp_path / "text.mkv")


def test_videos_that_are_named_are_trained_on(
    rivals: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import compared

    trained, out = [], tmp_path / "out"

    def train(video: Path, run: Path, options: list[str]) -> None:
        trained.append(options)
        held_out = None if "--from-scratch" in options else {"kept": "start"}
        run.mkdir(parents=True)
        (run / "results.json").write_text(json.dumps({"steps": 7, "held_out": held_out}))

    def scalor(each: Any, tracks: Path, options: list[str], frames: int) -> Any:
        assert not options or (options[0] == "--weights" and (Path(options[1]) / "results.json").exists())
        return truth(), rivals.result(truth(), truth(), frames, 4.0, {"options": options})

    monkeypatch.setattr(rivals, "train", train)
    monkeypatch.setattr(rivals, "scalor", scalor)
    command = [str(folder), "--out", str(out), "--methods", "scalor", "--trained", "one"]
    assert rivals.main([*command, "--record", str(tmp_path / compared.ANNOTATED)]) == 0
    assert [options[-1] for options in trained] == ["2", "10", "2", "10"]
    rows = compared.trained(tmp_path)
    assert "| one | trained, 2 minutes | 7 | 1.000 / 1.000 / 1.000 | 1.000 | 1.000 | 0 | start |" in rows
    assert "| one | from scratch, 10 minutes | 7 | 1.000 / 1.000 / 1.000 | 1.000 | 1.000 | 0 | – |" in rows
    assert "trained" not in compared.annotated(tmp_path), "a table of its own"


def test_tables_hold_the_figures_of_the_records(tmp_path: Path, rivals: ModuleType) -> None:
    import compared

    assert "–" in compared.made_up(tmp_path) and "–" in compared.counts(tmp_path)
    good = rivals.result(truth(), truth(), FRAMES, 2.0, {"size": 8.0, "split": True})
    bad = rivals.result(truth().rows(truth().identity == 1), truth(), FRAMES, 2.0, {"size": 8.0, "split": False})
    videos = {"easy": {"scalor": good, "laptrack": bad}, "hard": {"scalor": bad, "laptrack": good}}
    for name in (compared.ANNOTATED, compared.SCENES):
        (tmp_path / name).write_text(json.dumps({"videos": videos}))
    assert "| easy | **scalor** | 1.000 / 1.000 / 1.000 | 1.000 / 1.000 / 1.000 |" in compared.annotated(tmp_path)
    scenes = compared.made_up(tmp_path)
    assert "Worst by MOTA: hard" in scenes and "MOTA in 1, IDF1 in 1, HOTA in 1 of 2 scenes." in scenes
    assert "size 8, split yes" in compared.settings(tmp_path)
