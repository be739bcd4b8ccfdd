"""scalor evaluate --protocol masks: folders and arrays, and how it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.cli import main
from scalor_pyro.tracks.masks import MaskFolder
from scalor_pyro.video import Crop, Geometry


def moving(left: int = 0) -> NDArray[np.int64]:
    """Owners of pixels, as the tracker has them: one square in six frames, identity 0."""
    owners = np.full((6, 12, 16), -2, np.int64)
    for t in range(6):
        owners[t, 2:8, left + t : left + t + 6] = 0
    return owners


def written(folder: Path, stem: str, owners: NDArray[np.int64]) -> None:
    """As ``scalor track --masks`` writes them."""
    with MaskFolder(folder, stem, Geometry((12, 16), Crop(0, 0, 16, 12), (12, 16))) as masks:
        for number, identity in enumerate(owners):
            masks.add(number, identity)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Video a is found, video b is missed; as folders of pictures and as arrays."""
    monkeypatch.chdir(tmp_path)
    found, true = np.stack([moving(), moving() * 0 - 2]), np.stack([moving(), moving()])
    for name, videos in (("out", found), ("truth", true)):
        for stem, owners in zip("ab", videos, strict=True):
            written(Path(name), stem, owners)
        np.savez_compressed(f"{name}.npz", masks=np.maximum(videos, -1) + 1)


@pytest.mark.parametrize(("found", "true"), [("out", "truth"), ("out.npz", "truth.npz")])
def test_videos_are_scored_together(found: str, true: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", found, "--truth", true, "--protocol", "masks", "--json", "s.json"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "misses, %" in out and "50.0" in out
    scores = json.loads(Path("s.json").read_text())
    assert scores["all"]["mota"] == 0.5 and scores["all"]["objects"] == 8, "frames 2 to 5 of two videos"
    assert scores["protocol"] == {"first": 2, "last": None, "iou": 0.5, "most_dropped": 5}


def test_one_video_against_one_whatever_they_are_called() -> None:
    arguments = ["--protocol", "masks", "--json", "s.json"]
    assert main(["evaluate", "out/a-masks", "--truth", "truth/b-masks", *arguments]) == 0
    assert json.loads(Path("s.json").read_text())["all"]["mota"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.npz", "--truth", "truth.npz"], "There is no file or folder none.npz."),
        (["text.npz", "--truth", "truth.npz"], "text.npz: expected an .npz with an array masks (T, H, W)"),
        (["other.npz", "--truth", "truth.npz"], "got no such array."),
        (["floats.npz", "--truth", "truth.npz"], "expected whole numbers from 0, one for each pixel, got float64"),
        (["damaged.npz", "--truth", "truth.npz"], "damaged.npz: expected an .npz"),
        (["short.npz", "--truth", "truth.npz"], "video 0: expected masks of shape (T, H, W) = (6, 12, 16), as in"),
        (["empty", "--truth", "truth"], "empty: expected pictures (.tif, .tiff, .png), or folders of them, got none."),
        (["one", "--truth", "truth"], "one: expected masks of each video of truth, got none of b."),
        (["bad", "--truth", "truth/a-masks"], "bad/frame_1.tif: expected a picture of masks, got a file that"),
        (["out.npz", "--truth", "nothing.npz"], "nothing.npz: expected a true mask from frame 2 on, got none."),
        (["out", "--truth", "truth", "--match", "iou"], "--match is for boxes; expected none beside --protocol masks."),
        (["out", "--truth", "truth", "--hota"], "--hota is for boxes"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("text.npz").write_text("no archive")
    np.savez("other.npz", labels=np.zeros((1, 2, 2), int))
    np.savez("floats.npz", masks=np.zeros((1, 2, 2)))
    np.savez("short.npz", masks=np.zeros((2, 5, 12, 16), int))
    np.savez("nothing.npz", masks=np.zeros((2, 6, 12, 16), int))
    whole = Path("truth.npz").read_bytes()
    Path("damaged.npz").write_bytes(whole[:100] + bytes(30) + whole[130:])
    Path("empty").mkdir()
    written(Path("one"), "a", moving())
    written(Path("one"), "c", moving())
    Path("bad").mkdir()
    Image.new("I", (16, 12)).save("bad/frame_0.tif")
    Path("bad/frame_1.tif").write_text("no picture")
    assert main(["evaluate", *arguments, "--protocol", "masks"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith(".\n")
    assert message in err
