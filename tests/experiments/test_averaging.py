"""The mean of several trainings for any scene."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalor_pyro.config import ConfigError
from scalor_pyro.experiments.made_up.any_scene import run_any_scene
from scalor_pyro.experiments.made_up.averaging import average_any_scene
from scalor_pyro.files import OutputError
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.configs import CheckpointError
from scalor_pyro.runs.loading import load_run
from tests.experiments.test_any_scene import tiny


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """One from random weights, and two that went on from it."""
    folder = tmp_path_factory.mktemp("runs")
    first, one, two = (folder / name for name in ("first", "one", "two"))
    config = tiny(1)
    run_any_scene(config, first, final_videos=1, progress=False)
    further = replace(config, train=replace(config.train, start_from=str(first)))
    run_any_scene(further, one, final_videos=1, progress=False)
    run_any_scene(replace(further, seed=3), two, final_videos=1, progress=False)
    return first, one, two


def test_the_mean_lies_between_the_runs_and_can_be_used(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, one, two = runs
    results = average_any_scene([one, two], tmp_path / "mean", final_videos=1)
    (config, mean), (_, ones), (_, twos) = (load_run(run) for run in (tmp_path / "mean", one, two))
    assert config == load_run(one)[0]
    assert any(not torch.equal(ones[name], twos[name]) for name in mean)
    for name, value in mean.items():
        torch.testing.assert_close(2 * value, ones[name] + twos[name])
    Scalor.from_pretrained(tmp_path / "mean")
    again = replace(config, train=replace(config.train, start_from=str(tmp_path / "mean")))
    assert run_any_scene(again, tmp_path / "again", final_videos=1, progress=False) is not None
    assert results["steps"] == 2 and results["videos"] == 1
    assert [each["seed"] for each in results["provenance"]["mean_of"]] == [0, 3]
    assert json.loads((tmp_path / "mean" / "results.json").read_text()) == results


def test_runs_without_a_mean_are_refused(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, one, two = runs
    out = tmp_path / "mean"
    with pytest.raises(ConfigError, match=r"runs: expected at least 2, got 1\."):
        average_any_scene([one], out)
    with pytest.raises(CheckpointError, match=r"first: expected a run that went on from trained weights"):
        average_any_scene([first, one], out)
    elsewhere = replace(tiny(1), train=replace(tiny(1).train, start_from=str(two)))
    run_any_scene(elsewhere, tmp_path / "elsewhere", final_videos=1, progress=False)
    with pytest.raises(CheckpointError, match=r"elsewhere went on from .*two: expected .*first, as .*one did\."):
        average_any_scene([one, tmp_path / "elsewhere"], out)
    larger = replace(tiny(1), model=replace(tiny(1).model, slots=6))
    larger = replace(larger, train=replace(larger.train, start_from=str(first)))
    run_any_scene(larger, tmp_path / "larger", final_videos=1, progress=False)
    with pytest.raises(CheckpointError, match=r"larger has another model than .*one \(slots: expected 5, got 6\)\."):
        average_any_scene([one, tmp_path / "larger"], out)
    (tmp_path / "larger" / "results.json").unlink()
    with pytest.raises(CheckpointError, match=r"larger is not finished: expected a file results\.json in it\."):
        average_any_scene([tmp_path / "larger", tmp_path / "larger"], out)
    (tmp_path / "larger" / "results.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"results\.json: expected the results of a training, got \[1\]\."):
        average_any_scene([tmp_path / "larger", tmp_path / "larger"], out)
    assert not out.exists()


def test_what_a_resumed_run_did_not_count_stays_unknown(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, one, two = runs
    resumed = shutil.copytree(two, tmp_path / "resumed")
    results = json.loads((resumed / "results.json").read_text())
    (resumed / "results.json").write_text(json.dumps({**results, "processor_minutes": None}))
    averaged = average_any_scene([one, resumed], tmp_path / "mean", final_videos=1)
    assert averaged["processor_minutes"] is None and averaged["training_minutes"] > 0


def test_a_folder_that_holds_a_run_is_kept(runs: tuple[Path, Path, Path]) -> None:
    first, one, two = runs
    before = {path: path.read_bytes() for path in first.iterdir() if path.is_file()}
    with pytest.raises(OutputError, match="holds another run"):
        average_any_scene([one, two], first)
    assert {path: path.read_bytes() for path in first.iterdir() if path.is_file()} == before
