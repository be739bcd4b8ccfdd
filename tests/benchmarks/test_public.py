"""The benchmark scores weights that were not trained on it."""

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_packaged_weights_are_scored_by_both_protocols(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from public import main

    out = tmp_path / "scores.json"
    assert main(["sprites-md", "--videos", "2", "--sequence", "20", "--false-alarms", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Masks, 2 videos, in percent" in printed and "Boxes, a sequence of 20 frames" in printed
    kept = json.loads(out.read_text())
    assert kept["benchmark"] == "sprites-mot" and kept["masks"]["online"]["mask_match"] > 0.8
    assert set(kept["false_alarms"]) <= {"on an object", "where one has just left", "elsewhere"}
    assert kept["boxes"]["offline"]["objects"] == kept["boxes"]["online"]["objects"] > 20
