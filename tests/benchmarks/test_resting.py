"""The benchmark of objects that rest tracks each video over three background images."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_tracks_over_three_background_images_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import adapting
    import resting

    from scalor_pyro.config import MoverConfig

    def tracked(video: Path, out: Path, options: list[str]) -> tuple[Tracks, float]:
        """All objects over the empty scene, none over what was found, and a refusal over the median."""
        truth = read_mot(video.with_name("gt.txt"))
        if options == ["--no-report"]:
            return truth.rows(truth.frame < 0), 1.0
        assert options[:2] == ["--no-report", "--background-image"]
        if "median" in options[2]:
            raise subprocess.CalledProcessError(2, "scalor track")
        with Image.open(options[2]) as picture:
            assert np.unique(np.asarray(picture)).tolist() == [128]
        return truth, 1.0

    monkeypatch.setattr(adapting, "MOVERS", MoverConfig((48, 64), frames=6))
    monkeypatch.setattr(resting, "tracked", tracked)
    assert resting.main(["--movers", "6", "7", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text())["videos"]
    assert found == {seed: {"median": 0.0, "found": 0.0, "empty": 1.0} for seed in ("6", "7")}
    assert "| won |  | +0.000 ± 0.000 | +1.000 ± 0.000 |" in capsys.readouterr().out
    assert resting.main(["--movers", "6", "--out", str(tmp_path)]) == 2
