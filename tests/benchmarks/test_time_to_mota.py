"""benchmarks/time_to_mota.py: what counts as time, when a MOTA counts as reached, and a toy run from end to end."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from scalor_pyro.config import RunConfig, Stage
from scalor_pyro.config.presets import preset
from scalor_pyro.experiments.baselines import baseline


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module, in which presets are trained on one short video a step and looked at on one."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import time_to_mota

    def toy(config: RunConfig) -> RunConfig:
        data = replace(config.data, frames=2)
        return replace(config, data=data, train=replace(config.train, curriculum=(Stage(1.0, 2, 1),)))

    monkeypatch.setattr(time_to_mota, "preset", lambda *setting: toy(preset(*setting)))
    monkeypatch.setattr(time_to_mota, "baseline", lambda *setting: toy(baseline(*setting)))
    monkeypatch.setattr(time_to_mota, "EVERY", 2)
    monkeypatch.setattr(time_to_mota, "VIDEOS", 1)
    return time_to_mota


@pytest.fixture
def minutes_pass(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Both clocks of the machine, set by hand."""
    now = SimpleNamespace(wall=1e4, processor=100.0)
    fake = SimpleNamespace(perf_counter=lambda: 60 * now.wall, process_time=lambda: 60 * now.processor)
    monkeypatch.setattr(benchmark, "time", fake)
    yield now


def test_time_to_look_is_not_counted(benchmark: ModuleType, minutes_pass: SimpleNamespace) -> None:
    clock = benchmark.Clock((2.0, 1.0))
    minutes_pass.wall, minutes_pass.processor = minutes_pass.wall + 3, minutes_pass.processor + 2
    with clock.stopped() as minutes:
        minutes_pass.wall, minutes_pass.processor = minutes_pass.wall + 50, minutes_pass.processor + 40
    assert minutes == pytest.approx((5, 3))
    minutes_pass.wall += 1
    with clock.stopped() as minutes:
        assert minutes == pytest.approx((6, 3))


def test_a_level_is_reached_when_it_is_first_seen(benchmark: ModuleType) -> None:
    looks = [benchmark.Look(50 * n, mota, n / 2, None) for n, mota in enumerate((-0.3, 0.91, 0.85, 0.94, 0.92))]
    found = benchmark.summary(looks)
    assert {level: look and look["step"] for level, look in found["reached"].items()} == {
        "0.80": 50,
        "0.90": 50,
        "0.93": 150,
        "0.95": None,
    }
    assert found["best"]["mota"] == 0.94
    told = "\n".join(benchmark.lines("scalor", found))
    assert "0.93  after 1.5 minutes (step 150: 0.940)" in told and "0.95  not reached" in told


def test_a_toy_run_leaves_figures_and_goes_on_where_it_stopped(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path), "--json", str(tmp_path / "mota.json"), "--picture", str(tmp_path / "mota.png")]
    assert benchmark.main(["--models", "scalor", "sqair", "--steps", "4", *out]) == 0
    told = capsys.readouterr().out
    assert "scalor: best MOTA" in told and "sqair: best MOTA" in told and "0.95  not reached" in told
    assert (tmp_path / "mota.png").read_bytes().startswith(b"\x89PNG")
    trainings = json.loads((tmp_path / "mota.json").read_text())["trainings"]
    for name in ("scalor", "sqair"):
        looks = trainings[name]["looks"]
        assert [look["step"] for look in looks] == [2, 4]
        assert 0 < looks[0]["processor_minutes"] < looks[1]["processor_minutes"] and looks[0]["mota"] <= 1
    last = trainings["scalor"]["looks"][-1]
    spent = benchmark.spent(benchmark.RunFolder(tmp_path / "scalor-digits-VLD-0"))
    assert spent == (last["minutes"], last["processor_minutes"])
    assert benchmark.main(["--steps", "4", *out]) == 0
    again = json.loads((tmp_path / "mota.json").read_text())["trainings"]
    assert again == {"scalor": trainings["scalor"]}, "a training that is done is not made again"
    capsys.readouterr()
    assert benchmark.main(["--steps", "5", *out]) == 2
    assert "train.steps: expected 5, got 4" in capsys.readouterr().err


def test_runs_of_other_commands_are_drawn_by_their_own_minutes(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(["--steps", "2", "--out", str(tmp_path)]) == 0
    folder = tmp_path / "scalor-digits-VLD-0"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in lines:
        del row[benchmark.WALL], row[benchmark.PROCESSOR]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    assert benchmark.main(["--runs", str(folder), "--picture", str(tmp_path / "mota.png")]) == 0
    (look,) = benchmark.looks_of(folder)
    assert look.minutes == lines[-1]["minutes"] and look.processor_minutes is None
    assert (tmp_path / "mota.png").exists()
    capsys.readouterr()
    (folder / "metrics.jsonl").write_text("")  # as of a run on a video, which has no truth to score by
    for bad, expected in ((folder, "without any MOTA"), (tmp_path / "none", "holds no run")):
        assert benchmark.main(["--runs", str(bad)]) == 2
        assert re.search(f"{bad} .*{expected}", capsys.readouterr().err)
