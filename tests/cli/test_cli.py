"""The command: what it prints, what it draws, and how it refuses."""

import gc
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalor_pyro.cli import SUBCOMMANDS, main
from tests.video_files import shades, squares, write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "street.mkv", squares())


def test_info_prints_the_file_what_moves_and_the_proposal(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(video)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for words in (
        "frames       24",
        "96 × 64 px",
        "10 frames per second",
        "2.4 s",
        "objects ",
        "10.0 px",
        "as scalor track sees it",
        "with sides of",
        "from scratch",
        "slots K",
        "--out",
    ):
        assert words in out


@pytest.mark.parametrize("size", [[], ["--object-size", "14"]])
def test_info_says_what_track_then_does(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: list[str]
) -> None:
    said = []
    for words in (["info", str(video)], ["track", str(video), "--out", str(tmp_path / "tracks"), "--no-report"]):
        assert main([*words, *size]) == 0
        (row,) = [line for line in capsys.readouterr().out.splitlines() if "with sides of" in line]
        said.append(row.split())
    assert said[0] == said[1]


def test_info_draws_the_boxes(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "boxes.png"
    assert main(["info", str(video), "--out", str(picture), "--crop", "0", "0", "90", "64"]) == 0
    assert "boxes.png" in capsys.readouterr().out
    assert np.asarray(Image.open(picture)).std() > 10
    before = picture.read_bytes()
    assert main(["info", str(video), "--out", str(picture)]) == 2
    assert "--overwrite" in capsys.readouterr().err and picture.read_bytes() == before
    assert main(["info", str(video), "--out", str(picture), "--overwrite"]) == 0
    assert picture.read_bytes() != before


def test_info_takes_options_of_reading(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--start", "2", "--stop", "22", "--stride", "2", "--rate", "5", "--size", "32", "48", "--grey"]
    assert main(["info", str(video), *options, "--levels", "0", "255"]) == 0
    out = capsys.readouterr().out
    for words in ("to be read   5 frames", "48 × 32 px, grey", "every 2nd frame"):
        assert words in out


def test_uneven_time_and_a_moving_camera_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = np.kron(np.random.default_rng(1).integers(0, 255, (40, 60)), np.ones((4, 4))).astype(np.uint8)
    moving = np.stack([world[10 + t : 74 + t, 2 * t : 2 * t + 96] for t in range(24)])
    times = [100 * t + (60 if t % 4 == 1 else 0) for t in range(24)]
    path = write_video(tmp_path / "a.mkv", np.repeat(moving[..., None], 3, -1), times=times)
    assert main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    assert "camera seems to move" in out and "time between frames varies" in out
    assert f"without training, refuses {path}: expected a camera that stands still" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["none.mp4"], "no file or folder"),
        (["street.mkv", "--crop", "90", "0", "20", "20"], "inside the frame"),
        (["street.mkv", "--start", "99"], "expected at least .* frame"),
        (["street.mkv", "--stride", "0"], "stride: expected .* got 0"),
        (["street.mkv", "--size", "33", "48"], "multiples of 4"),
        (["street.mkv", "--out", "boxes.jpg"], "ends in .png"),
        (["street.mkv", "--out", "nowhere/boxes.png"], "folder nowhere does not exist"),
        (["still.npy"], "Nothing was seen to move"),
        (["folder"], "expected images"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    video: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(video.parent)
    np.save("still.npy", np.repeat(shades(1), 9, 0))
    Path("folder").mkdir()
    assert main(["info", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith(".\n")
    assert re.search(message, err)
    assert not list(video.parent.glob("*.jpg"))


def test_python_dash_m_is_the_command() -> None:
    command = [sys.executable, "-m", "scalor_pyro", "info", "none.mp4"]
    missing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert missing.stderr == "error: There is no file or folder none.mp4.\n"


def test_help_of_info_speaks_to_a_newcomer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["info", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for words in ("VIDEO is a file", "examples:", "--crop X Y WIDTH HEIGHT", "--rate FPS"):
        assert words in out


def test_without_a_command_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "commands:" in err and "track" in err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and re.match(r"scalor \S", capsys.readouterr().out)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["trak", "my.mp4"]])
def test_help_and_typing_errors_do_not_wait_for_torch(words: list[str]) -> None:
    script = (
        "import sys\n"
        "from scalor_pyro.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        "slow = {'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    result = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_each_subcommand_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    (\w+) {2,}(\S.*)$", capsys.readouterr().out, re.MULTILINE)
    assert [name for name, _ in listed] == list(SUBCOMMANDS)
    for name, _ in listed:
        with pytest.raises(SystemExit) as exit_of:
            main([name, "--help"])
        assert exit_of.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: scalor {name}")


@pytest.mark.parametrize("arguments", [["weights"], ["no-such-command"]])
def test_garbage_is_collected_once_all_is_imported(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scalor", *arguments])
    with suppress(SystemExit):
        main()
    assert gc.isenabled() and gc.get_freeze_count() > 0
    gc.unfreeze()
