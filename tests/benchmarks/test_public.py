"""The benchmark scores weights, trained on it or not, and keeps what its tables need."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalor_pyro.config import PublicRunConfig, Stage
from scalor_pyro.config.public import public_preset
from scalor_pyro.experiments.public import run_public

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = {"feature_dim": 8, "tracker_dim": 8, "prior_dim": 8, "z_what_dim": 4, "glimpse_size": 8}


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import public as module

    monkeypatch.setattr(module, "RECORDS", tmp_path / "records")
    (tmp_path / "records").mkdir()
    return module


def tiny(benchmark: Any) -> PublicRunConfig:
    config = public_preset(benchmark)
    train = replace(config.train, steps=1, curriculum=(Stage(1.0, 2, 1),), eval_videos=1)
    data = replace(config.data, frames=min(config.data.frames, 14))
    return replace(config, data=data, model=replace(config.model, **TINY), train=train, videos=2, seed=3)


def run_on(benchmark: str, folder: Path) -> Path:
    """A finished run."""
    run_public(tiny(benchmark), folder, final_videos=1, progress=False)
    return folder


def test_packaged_weights_are_scored_by_both_protocols(
    public: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.json"
    assert public.main(["sprites-md", "--videos", "2", "--sequence", "20", "--false-alarms", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Masks, 2 videos, in percent" in printed and "Boxes, a sequence of 20 frames" in printed
    kept = json.loads(out.read_text())
    assert kept["benchmark"] == "sprites-mot" and kept["masks"]["online"]["mask_match"] > 0.8
    assert kept["weights"] == "sprites-md" and kept["training"] is None
    assert set(kept["false_alarms"]) <= {"on an object", "where one has just left", "elsewhere"}
    assert kept["boxes"]["offline"]["objects"] == kept["boxes"]["online"]["objects"] > 20


def test_a_run_on_sprites_of_unequal_size_says_which_are_missed(public: Any, tmp_path: Path) -> None:
    run = run_on("multi-dsprites", tmp_path / "run")
    assert public.main([str(run), "--videos", "3", "--record"]) == 0
    kept = json.loads((tmp_path / "records" / "multi-dsprites-3.json").read_text())
    groups = kept["masks"]["offline"]["by_size"]
    assert [group["to"] for group in groups] == [7.5, 10.7, 15, None]
    assert sum(group["frames"] for group in groups) == kept["masks"]["offline"]["mask_objects"]
    missed = sum(group["frames"] * (group["miss"] or 0) for group in groups)
    assert missed == pytest.approx(kept["masks"]["offline"]["mask_miss"] * kept["masks"]["offline"]["mask_objects"])
    assert kept["training"]["steps"] == 1 and kept["training"]["seed"] == 3
    assert kept["provenance"]["command"].startswith("python benchmarks/public.py")


def test_balls_are_followed_and_forecast(
    public: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(public.LENGTHS, "balls", 14)  # 100 frames take half a minute
    run = run_on("balls", tmp_path / "run")
    shutil.rmtree(tmp_path / "records")
    out = tmp_path / "scores.json"
    assert public.main([str(run), "--tracked", "1", "--forecast", "1", "--out", str(out)]) == 0
    kept = json.loads(out.read_text())
    assert not (tmp_path / "records").exists(), "nothing is recorded unless asked for"
    assert kept["tracks"]["videos"] == 1 and {"boxes", "centres", "occlusion"} == kept["tracks"]["online"].keys()
    assert kept["forecasts"]["observed"] == 10 and kept["forecasts"]["horizon"] == [1, 2, 3, 4]
    assert {"mean", "single", "hold", "velocity"} == kept["forecasts"]["position_error"].keys()
    assert "Mean distance, px; frames ahead:" in capsys.readouterr().out
