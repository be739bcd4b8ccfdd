"""``scalor track``: from a run and a video to tracks, and how it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.cli import main
from scalor_pyro.cli import track as command
from scalor_pyro.cli.tracking import following
from scalor_pyro.config import VideoRunConfig, config_to_dict
from scalor_pyro.runs.loading import load_run
from scalor_pyro.runs.weights import write_weights
from scalor_pyro.tracks import side_by_side
from scalor_pyro.tracks.appearance import read_appearance
from scalor_pyro.tracks.text import read_csv, read_mot
from scalor_pyro.tracks.tracker import Tracked, Tracker
from scalor_pyro.training.interruption import StopRequest
from scalor_pyro.video import Chunk
from scalor_pyro.video.containers import ContainerSource
from tests.video_files import shades, squares, write_video

ALL = {
    "street.txt",
    "street.csv",
    "street.json",
    "street.html",
    "street-tracks.mp4",
    "street-napari.npy",
    "street-masks",
    "street-appearance.npy",
    "street-events.csv",
}


@pytest.fixture
def here(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write into, seen from that of the videos."""
    monkeypatch.chdir(small_run)
    return tmp_path


def arguments(out: Path, *more: str, videos: tuple[str, ...] = ("street.mkv",)) -> list[str]:
    return ["track", *videos, "--weights", "runs/street", "--out", str(out), "--no-report", *more]


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
    assert "street.mkv" in out and "per second" in out and str(here / "street.txt") in out


def test_several_processes_leave_all_that_one_does(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(side_by_side, "LEAST_FRAMES", 10)
    monkeypatch.setattr(side_by_side, "chunk_of", lambda _: 6)  # of this process: it says how many frames are shared
    further = ["--annotate", "--masks", "--napari", "--player", "3", "--processes", "2"]
    for ending in ([], ["--no-link", "--overwrite"]):
        assert main([*arguments(here, *further), *ending]) == 0
        figures = json.loads((here / "street.json").read_text())
        assert {path.name for path in here.iterdir()} == ALL and figures["processes"] == 2
        assert len(list((here / "street-masks").iterdir())) == figures["frames"]
        (here / "street-tracks.mp4").unlink()
    assert "parts        2 at the same time\n" in capsys.readouterr().out


def test_less_than_one_process_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(here, "--processes", "0")) == 2
    assert capsys.readouterr().err == "error: --processes: expected at least 1, got 0.\n"


def test_tracks_are_linked_and_shown_under_the_same_identities(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracker that loses every object each fifth frame."""
    advance, segments = Tracker.advance, Tracked.segments

    def lost_often(self: Tracker, chunk: Chunk) -> Tracked:
        found = advance(self, chunk)
        again = replace(found.tracks, identity=found.tracks.identity + 10 * (found.numbers[0] // 5))
        return found._replace(tracks=again)

    def painted(found: Tracked) -> NDArray[np.int64]:
        owners = segments(found)  # of no object: the run was trained for seconds
        for owner, number in zip(owners, found.numbers, strict=True):
            here = found.tracks.identity[found.tracks.frame == number]
            owner.flat[: len(here)] = here
        return owners

    monkeypatch.setattr(Tracked, "segments", painted)
    monkeypatch.setattr(side_by_side, "chunk_of", lambda _: 5)
    monkeypatch.setattr(Tracker, "advance", lost_often)
    assert main([*arguments(here, "--masks", "--no-link", "--decide-by", "masks")]) == 0
    raw = read_csv(here / "street.csv")
    assert not (here / "street-events.csv").exists()
    assert main([*arguments(here, "--masks", "--overwrite", "--min-length", "2", "--decide-by", "masks")]) == 0
    linked, figures = read_csv(here / "street.csv"), json.loads((here / "street.json").read_text())
    assert len(set(linked.identity)) < len(set(raw.identity))
    assert (figures["tracks"], figures["tracks_before_linking"]) == tuple(
        len(set(each.identity)) for each in (linked, raw)
    )
    assert f"{len(set(linked.identity))}, from {len(set(raw.identity))} tracks" in capsys.readouterr().out
    assert len(read_appearance(here / "street-appearance.npy", linked).values) == len(linked)
    shown = set()
    for path in (here / "street-masks").iterdir():
        with Image.open(path) as picture:
            shown |= set(np.unique(np.asarray(picture)).tolist())
    assert {0} < shown <= {0} | {identity + 1 for identity in linked.identity.tolist()}


def test_linking_and_not_linking_exclude_each_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(here, "--no-link", "--gap", "5")) == 2
    assert "error: --gap cannot be combined with --no-link." in capsys.readouterr().err
    assert main(arguments(here, "--stop", "8")) == 0
    assert main(arguments(here, "--stop", "8", "--resume", "--gap", "9")) == 2
    assert "street.json: expected tracks with gap 9, got those with 60" in capsys.readouterr().err


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


def test_resume_skips_what_is_done_and_tracks_the_rest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(here, "--stop", "8")) == 0
    before = (here / "street.txt").stat().st_mtime_ns
    (here / "again.txt").write_text("cut off")
    both = arguments(here, "--stop", "8", "--resume", videos=("street.mkv", "again.mkv"))
    assert main(both) == 0
    out = capsys.readouterr().out
    assert "1 of 2 videos are tracked already" in out and "again.txt: replaced, because again.json," in out
    assert (here / "street.txt").stat().st_mtime_ns == before
    assert "cut off" not in (here / "again.txt").read_text() and (here / "again.json").exists()
    (here / "street.csv").unlink()
    assert main(both) == 0
    assert "street.mkv: tracked, but not all files are there; tracked again" in capsys.readouterr().out
    assert (here / "street.csv").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "video",
            "street.json: expected tracks of .*other/street.mkv, got those of .*street.mkv; choose another",
        ),
        ("weights", "street.json: expected tracks by the weights .*copy, got those by other weights"),
        ("options", "street.json: expected tracks with stop 9, got those with 8; choose"),
        ("foreign", "street.json: expected the summary of tracked frames, got another file; choose"),
        ("old", "street.json was written by version 0.1, which did not record"),
    ],
)
def test_resume_takes_nothing_else_for_done(
    here: Path, small_run: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    (small_run / "other").mkdir(exist_ok=True)
    shutil.copy("street.mkv", "other/street.mkv")
    assert main(arguments(here, "--stop", "8")) == 0
    video, run, stop = "street.mkv", "runs/street", "8"
    if change == "video":
        video = "other/street.mkv"
    if change == "weights":
        run = str(here / "copy")
        shutil.copytree("runs/street", run)
        path = here / "copy" / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    if change == "options":
        stop = "9"
    if change == "foreign":
        (here / "street.json").write_text('{"format": "scalor track", "version": 1, "made_from": {"video": 3}}')
    if change == "old":
        (here / "street.json").write_text('{"video": "/a.mp4", "weights": "a", "propagation_rate": 0.5}')
    before = {path.name: path.read_bytes() for path in here.iterdir() if path.is_file()}
    capsys.readouterr()
    command_line = ["track", video, "--weights", run, "--out", str(here), "--no-report", "--stop", stop]
    assert main([*command_line, "--resume"]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err) and err.count("\n") == 1
    assert before == {path.name: path.read_bytes() for path in here.iterdir() if path.is_file()}
    assert main([*command_line, "--overwrite"]) == 0
    assert main([*command_line, "--resume"]) == 0
    assert "1 of 1 videos are tracked already" in capsys.readouterr().out


def test_a_video_that_has_changed_is_tracked_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = str(write_video(here / "a.mkv", squares()))
    out = here / "out"
    assert main(arguments(out, videos=(video,))) == 0
    write_video(here / "a.mkv", squares(12))
    assert main(arguments(out, "--resume", videos=(video,))) == 0
    assert "a.mkv: changed since it was tracked; tracked again" in capsys.readouterr().out
    assert json.loads((out / "a.json").read_text())["frames"] == 12


def test_resume_sees_that_the_picture_of_the_empty_scene_has_changed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, options = here / "empty.png", ["--background-image", str(here / "empty.png")]
    Image.fromarray(squares(1, side=0)[0]).save(empty)
    assert main(arguments(here / "out", *options)) == 0
    assert main(arguments(here / "out", *options, "--resume")) == 0
    Image.fromarray(squares(1, side=0)[0] // 2).save(empty)
    capsys.readouterr()
    assert main(arguments(here / "out", *options, "--resume")) == 2
    assert re.search('expected tracks with background_image_file .*"bytes": .* got those with', capsys.readouterr().err)


def test_folders_are_called_by_their_whole_name(here: Path, monkeypatch: pytest.MonkeyPatch, small_run: Path) -> None:
    for name in ("exp.1", "exp.2"):
        (here / name).mkdir()
        for t, image in enumerate(squares(4)):
            Image.fromarray(image).save(here / name / f"{t}.png")
    run = str((small_run / "runs/street").absolute())
    monkeypatch.chdir(here)
    line = ["--weights", run, "--no-report"]
    assert main(["track", "exp.1", "exp.2", "--out", "out", *line]) == 0
    monkeypatch.chdir(here / "exp.1")
    assert main(["track", ".", "--out", "../dot", *line]) == 0
    assert {path.name for path in (here / "out").iterdir()} == {
        f"exp.{i}{ending}" for i in (1, 2) for ending in (".txt", ".csv", ".json", "-appearance.npy", "-events.csv")
    }
    assert {path.name for path in (here / "dot").iterdir()} >= {"exp.1.txt", "exp.1.csv", "exp.1.json"}


def test_one_bad_video_does_not_lose_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.mp4").write_bytes(b"nothing")
    videos = (str(here / "bad.mp4"), "street.mkv", "none.mkv", "again.mkv")
    out = here / "out"
    assert main(arguments(out, "--stop", "8", videos=videos)) == 2
    err = capsys.readouterr().err
    assert err.count("error: ") == 2 and "bad.mp4" in err and "none.mkv" in err
    assert "2 of 4 videos could not be tracked" in err
    assert (out / "street.json").exists() and (out / "again.json").exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files have an encoding there")
def test_names_in_another_encoding_are_tracked_and_shown_escaped(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = os.fsdecode(os.fsencode(here) + b"/caf\xe9.mkv")
    shutil.copy("street.mkv", video)
    out = here / "out"
    more = ("--stop", "8", "--annotate", "--masks", "--napari")
    assert main([*arguments(out, *more, videos=(video, "again.mkv")), "--player", "2"]) == 0
    assert "caf\\xe9.mkv" in capsys.readouterr().out
    assert (out / "caf\udce9.json").exists() and (out / "caf\udce9.html").exists() and (out / "again.json").exists()
    assert main([*arguments(out, *more, "--resume", videos=(video, "again.mkv")), "--player", "2"]) == 0
    assert "2 of 2 videos are tracked already" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="names may not have control characters there")
def test_any_name_is_one_line_and_too_long_a_name_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd, long = here / "a\n\tb.mkv", here / f"{'l' * 251}.mkv"
    for video in (odd, long):
        shutil.copy("street.mkv", video)
    assert main(arguments(here / "out", "--stop", "4", videos=(str(odd), str(long)))) == 2
    printed = capsys.readouterr()
    assert "a\\n\\tb.mkv\n" in printed.out and "a\\n\\tb.json\n" in printed.out
    assert (here / "out" / "a\n\tb.json").exists()
    errors = [line for line in printed.err.splitlines() if "error: " in line]
    assert len(errors) == 1 and len(errors[0]) < 600
    assert "File name too long" in errors[0] and "Errno" not in errors[0]
    assert main(["info", str(odd)]) == 0
    assert "a\\n\\tb.mkv (ffv1 in matroska)\n" in capsys.readouterr().out


def test_two_processes_do_not_write_the_same_tracks(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = (
        "import sys, time, pathlib; from scalor_pyro.tracks.summary import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'street'): print('begun', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", other, str(here)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        assert main(arguments(here, "--overwrite")) == 2
        err = capsys.readouterr().err
        assert f"another process ({process.pid} on " in err and "is writing these tracks" in err
        assert not (here / "street.txt.part").exists()
        process.kill()
        process.wait()
    assert main(arguments(here)) == 0  # the lock of a process that is gone counts for nothing
    assert not (here / ".street.lock").exists()


def test_a_video_is_never_an_output(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("street.mkv", here / "street.mkv")
    video = str(here / "street-tracks.mp4")
    write_video(Path(video), squares(), "mpeg4", "yuv420p")
    assert main(arguments(here, "--annotate", "--overwrite", videos=(str(here / "street.mkv"), video))) == 2
    assert "its tracks would replace the video" in capsys.readouterr().err


def test_a_stride_is_said_and_1_tracks_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(here, "--stride", "3")) == 0
    assert "every 3rd frame was tracked; --stride 1 tracks all" in capsys.readouterr().out
    assert json.loads((here / "street.json").read_text())["stride"] == 3
    assert main(arguments(here, "--stride", "1", "--overwrite")) == 0
    assert "frame was tracked" not in capsys.readouterr().out
    assert json.loads((here / "street.json").read_text())["frames"] == 24


def test_a_region_of_the_training_is_said_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = here / "run"
    shutil.copytree("runs/street", run)
    config = json.loads((run / "config.json").read_text())
    config["video"]["region"] = {"x": 0, "y": 0, "width": 96, "height": 64}
    weights = load_run(run, VideoRunConfig)[1]
    (run / "config.json").write_text(json.dumps(config))
    write_weights(run / "weights.safetensors", dict(weights), config, {"step": 2})
    line = ["track", "street.mkv", "again.mkv", "--weights", str(run), "--no-report", "--stop", "4"]
    assert main([*line, "--out", str(here / "out")]) == 0
    assert capsys.readouterr().out.count("Only the region of the training is tracked (--crop 0 0 96 64)") == 1
    assert main([*line, "--out", str(here / "other"), "--crop", "0", "0", "96", "64"]) == 0
    assert "Only the region" not in capsys.readouterr().out


@pytest.mark.parametrize(("options", "times"), [([], 1), (["--annotate", "--no-link"], 1), (["--annotate"], 2)])
def test_a_video_is_decoded_again_only_for_its_median_and_to_show_linked_tracks(
    here: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], times: int
) -> None:
    frames = []
    pixels = ContainerSource._pixels
    monkeypatch.setattr(ContainerSource, "_pixels", lambda self, *of: frames.append(1) or pixels(self, *of))
    line = [*arguments(here, *options), "--player", "3"]
    assert main(line) == 0
    assert len(frames) == times * (24 + 1) + 1  # one tells that the file has 8 bits, one that the background image fits
    assert main([*line, "--overwrite", "--background-image", "video"]) == 0
    assert len(frames) == 2 * times * (24 + 1) + 1 + 24


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
    monkeypatch.setattr(side_by_side, "chunk_of", lambda _: 6)
    asked = StopRequest()
    monkeypatch.setattr(following, "StopRequest", lambda: asked)
    advance = Tracker.advance

    def stopping(self: Tracker, chunk: Chunk) -> Tracked:
        asked.requested = self.carried is not None  # after the second chunk
        return advance(self, chunk)

    monkeypatch.setattr(Tracker, "advance", stopping)
    assert main(arguments(here)) == 130
    assert "Interrupted" in capsys.readouterr().out
    assert {path.name for path in here.iterdir()} == {
        "street.txt.part",
        "street.csv.part",
        "street-appearance.npy.part",
    }
    assert set(read_mot(here / "street.txt.part").frame) <= set(range(12))


@pytest.mark.parametrize(
    "change, message",
    [
        (["none.mkv"], "no file or folder none.mkv"),
        (["street.mkv", "--weights", "nowhere"], "nowhere"),
        (["street.mkv", "--crop", "0", "0", "900", "10"], "crop: expected"),
        (["street.mkv", "--start", "99"], "frame from 99 on"),
        (["street.mkv", "--slots", "0"], "slots: expected at least 1, got 0"),
        (["street.mkv", "--stride", "0"], "stride: expected .* got 0"),
        (["street.mkv", "--player", "-1"], "--player: expected 0 or more frames, got -1"),
        (["street.mkv", "--background-image", "vide"], "auto, run, video or a picture .* got 'vide', which is no file"),
        (["street.mkv", "--background-image", "small.png"], "small.png: expected a picture of the empty scene like"),
        (["other/street.mkv", "street.mkv"], "would both be written to street.txt"),
        (
            ["street.mkv", "--scene", "run", "--crop", "0", "0", "48", "32"],
            "expected a background image of 48 × 32 px in runs/",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    here: Path, small_run: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    (small_run / "other").mkdir(exist_ok=True)
    shutil.copy("street.mkv", "other/street.mkv")
    Image.new("RGB", (20, 10)).save("small.png")
    videos = [each for each in change if each.endswith(".mkv")]
    rest = change[len(videos) :]
    weights = [] if "--weights" in rest else ["--weights", "runs/street"]
    assert main(["track", *videos, *weights, "--out", str(here), *rest]) == 2
    err = capsys.readouterr().err.rpartition("\r")[2]  # after the progress bar
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith(".\n")
    assert re.search(message, err)
    assert not {path.suffix for path in here.iterdir()} & {".txt", ".csv", ".json"}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "--out .*file: expected a folder, but .*file is a file"),
        ("file/below", "--out .*file/below: expected a folder, but .*file is a file"),
    ],
)
def test_an_output_folder_that_cannot_be_is_told_before_any_work(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, out: str, message: str
) -> None:
    monkeypatch.setattr(command, "load_for_tracking", lambda *_: pytest.fail("has begun to work"))
    (here / "file").write_text("kept")
    assert main(arguments(here / out)) == 2
    err = capsys.readouterr().err
    assert re.search(message, err) and err.count("\n") == 1
    assert (here / "file").read_text() == "kept"


@pytest.mark.parametrize("name", ["background.png", "flicker.png"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_flipped_bit_in_a_picture_of_the_run_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, share: float
) -> None:
    run = here / "run"
    shutil.copytree("runs/street", run)
    content = bytearray((run / name).read_bytes())
    content[int(share * len(content))] ^= 1
    (run / name).write_bytes(content)
    assert main(["track", "street.mkv", "--weights", str(run), "--out", str(here / "out"), "--no-report"]) == 2
    err = capsys.readouterr().err
    assert re.search(rf"run/{name}: expected a whole PNG picture", err) and err.count("\n") == 1


@pytest.mark.parametrize("scale", [1e6, 1e30, -3e38])
def test_weights_that_lead_to_nan_are_one_sentence_and_leave_no_output(
    here: Path, capsys: pytest.CaptureFixture[str], scale: float
) -> None:
    run = here / "run"
    shutil.copytree("runs/street", run)
    config, weights = load_run(run, VideoRunConfig)
    huge = {name: value if "annealed" in name else torch.full_like(value, scale) for name, value in weights.items()}
    write_weights(run / "weights.safetensors", huge, config_to_dict(config), {"step": 2})
    out = str(here / "out")
    assert main(["track", "street.mkv", "--weights", str(run), "--out", out, "--no-report"]) == 2
    assert main(["generate", "street.mkv", "--weights", str(run), "--out", out, "--samples", "2"]) == 2
    errors = [line for line in re.split("[\r\n]", capsys.readouterr().err) if "error: " in line]
    assert len(errors) == 2 and all("NaN" in error and len(error) < 600 for error in errors)
    assert {path.suffix for path in (here / "out").iterdir()} <= {".part"}


def test_a_folder_of_something_else_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "config.json").write_text('{"hidden_size": 768}')
    write_video(here / "a.mkv", shades(4))
    assert main(["track", str(here / "a.mkv"), "--weights", str(here), "--out", str(here / "out")]) == 2
    assert "config.json, config: expected the settings of a run" in capsys.readouterr().err


def test_a_moving_camera_is_noticed_said_and_not_refused(
    here: Path, small_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(side_by_side, "chunk_of", lambda _: 3)
    world = np.kron(np.random.default_rng(1).integers(0, 255, (40, 60)), np.ones((4, 4))).astype(np.uint8)
    np.save(here / "pan.npy", np.stack([world[20 + t : 84 + t, 30 + 2 * t : 126 + 2 * t] for t in range(24)]))
    assert main(arguments(here, videos=(str(here / "pan.npy"),))) == 0
    assert "camera" in caplog.text
    caplog.clear()
    assert main(arguments(here)) == 0
    assert not caplog.text
