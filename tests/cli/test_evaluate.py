"""scalor evaluate: what it prints and writes, and how it refuses."""

import json
from pathlib import Path

import pytest

from scalor_pyro.cli import main
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import write_mot
from tests.fakes import make_tracks


def walk(frames: int = 4, identity: int = 0, off: float = 0.0) -> Tracks:
    return make_tracks([(t, identity, 20 + 3 * t + off, 30) for t in range(frames)])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sequences: the first tracked well, the second half a box off."""
    monkeypatch.chdir(tmp_path)
    for name in ("truth", "out"):
        Path(name).mkdir()
    for name, off in (("a", 0.0), ("b", 6.0)):
        write_mot(f"truth/{name}.txt", walk())
        write_mot(f"out/{name}.txt", walk(identity=7, off=off))
    return tmp_path


def test_a_file_is_scored(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "out/a.txt", "--truth", "truth/a.txt"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "HOTA" not in out
    for words in ("MOTA", "1.000", "mean IoU of matched boxes", "identity switches", "mostly tracked"):
        assert words in out


def test_folders_are_scored_one_by_one_and_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "out", "--truth", "truth", "--json", "scores.json"]) == 0
    out = capsys.readouterr().out
    assert "all 2 sequences" in out
    written = json.loads(Path("scores.json").read_text())
    assert (written["match"], written["threshold"]) == ("iou", 0.5)
    assert [written["sequences"][name]["recall"] for name in "ab"] == [1, 0]
    assert written["all"]["recall"] == 0.5 and written["sequences"]["b"]["motp"] is None
    assert main(["evaluate", "out", "--truth", "truth", "--json", "scores.json"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["evaluate", "out", "--truth", "truth", "--json", "scores.json", "--overwrite"]) == 0


def test_centres_may_be_matched_instead_and_the_csv_scored(capsys: pytest.CaptureFixture[str]) -> None:
    with TrackFiles("csv", "b", ["csv"]) as files:
        files.add(walk(off=6.0))
    for options, recall in (
        (["--match", "distance", "--threshold", "6"], 1.0),
        (["--match", "distance", "--threshold", "5"], 0.0),
        (["--match", "sizes"], 0.0),
        (["--match", "sizes", "--threshold", "0.6"], 1.0),
        (["--threshold", "0.25"], 1.0),
    ):
        arguments = ["evaluate", "csv/b.csv", "--truth", "truth/b.txt", *options, "--json", "s.json", "--overwrite"]
        assert main(arguments) == 0
        assert json.loads(Path("s.json").read_text())["all"]["recall"] == recall


def test_the_benchmark_s_folders_are_known() -> None:
    for name in "ab":
        Path(f"MOT/{name}/gt").mkdir(parents=True)
        rows = Path(f"truth/{name}.txt").read_text().splitlines()
        # frame, id, left, top, width, height, flag, class, visibility; an object that need not be found
        lines = [",".join([*row.split(",")[:6], "1", "1", "0.9"]) for row in rows] + ["1,99,200,200,9,9,0,7,1"]
        Path(f"MOT/{name}/gt/gt.txt").write_text("\n".join(lines))
    assert main(["evaluate", "out", "--truth", "MOT", "--json", "scores.json"]) == 0
    assert json.loads(Path("scores.json").read_text())["all"]["objects"] == 8


def test_hota_is_printed_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trackeval", reason="trackeval is not installed: pip install 'scalor_pyro[hota]'")
    assert main(["evaluate", "out", "--truth", "truth", "--hota", "--json", "scores.json"]) == 0
    out = capsys.readouterr().out
    for words in ("HOTA", "DetA, detection", "AssA, association", "LocA, localisation"):
        assert words in out
    written = json.loads(Path("scores.json").read_text())
    assert written["sequences"]["a"]["hota"] == pytest.approx(1)
    assert 0 < written["all"]["hota"] < 1


def test_frames_after_the_last_one_are_left_out() -> None:
    write_mot("long.txt", walk(9))
    arguments = ["evaluate", "long.txt", "--truth", "truth/a.txt", "--json", "s.json", "--overwrite"]
    for last, reports, objects in ((4, 4, 4), (2, 2, 2), (6, 6, 4)):
        assert main([*arguments, "--last", str(last)]) == 0
        written = json.loads(Path("s.json").read_text())["all"]
        assert (written["reports"], written["objects"]) == (reports, objects)


def test_tracks_without_a_truth_are_said_and_not_scored(caplog: pytest.LogCaptureFixture) -> None:
    write_mot("out/c.txt", walk())
    assert main(["evaluate", "out", "--truth", "truth"]) == 0
    assert caplog.messages == ["truth has no truth of c, which are not scored."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.txt", "--truth", "truth/a.txt"], "There is no file or folder none.txt."),
        (["out/a.txt", "--truth", "none"], "There is no file or folder none."),
        (
            ["out", "--truth", "truth/a.txt"],
            "Expected two files or two folders, got the folder out and",
        ),
        (["out/a.txt", "--truth", "bad.txt"], "bad.txt, line 2: expected 7 to 10 columns separated by commas, got 3."),
        (
            ["out/a.txt", "--truth", "empty.txt"],
            "empty.txt: expected at least one true object, got no row",
        ),
        (["out/a.txt", "--truth", "flagged.txt"], "flagged.txt: expected at least one true object"),
        (["out/a.txt", "--truth", "empty.txt", "--last", "9"], "empty.txt: expected at least one true object"),
        (["out", "--truth", "more"], "out: expected a file for each sequence of more, got no c.txt, d.txt."),
        (["out", "--truth", "nothing"], "nothing: expected files SEQUENCE.txt or SEQUENCE/gt/gt.txt, got none."),
        (
            ["long.txt", "--truth", "truth/a.txt"],
            "where truth/a.txt ends, got some up to 9; --last",
        ),
        (["out/a.txt", "--truth", "truth/a.txt", "--last", "0"], "--last: expected a frame from 1, got 0."),
        (
            ["out/a.txt", "--truth", "truth/a.txt", "--match", "distance"],
            "--match distance needs --threshold",
        ),
        (
            ["out/a.txt", "--truth", "truth/a.txt", "--threshold", "2"],
            "threshold: expected an IoU above 0 and up to 1, got 2.0",
        ),
        (
            ["out/a.txt", "--truth", "truth/a.txt", "--json", "nowhere/s.json"],
            "--json nowhere/s.json: the folder nowhere does not exist.",
        ),
        (["out/a.txt", "--truth", "truth/a.txt", "--json", "scores.txt"], "expected a name that ends in .json."),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("bad.txt").write_text("1,1,1,1,2,2,1\n1,2,3\n")
    Path("empty.txt").write_text("\n")
    Path("flagged.txt").write_text("4,1,1,1,2,2,0\n")
    write_mot("long.txt", walk(9))
    for name in ("more", "nothing"):
        Path(name).mkdir()
    for name in "acd":
        write_mot(f"more/{name}.txt", walk())
    assert main(["evaluate", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith(".\n")
    assert message in err
