"""The picture of a forecast comes from commands that exist, on frames that training did not see."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scalor_pyro.cli import parser

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import show_forecast

    return show_forecast


def test_what_is_forecast_was_not_trained_on(show: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def run(command: list[str], check: bool) -> SimpleNamespace:
        ran.append(parser().parse_args(command[3:]))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(show.subprocess, "run", run)
    monkeypatch.setattr(show, "write", lambda folder, name, seed: ran.append((folder, name, seed)))
    assert show.main(["--out", str(tmp_path), "--trained-on", "40"]) == 0
    scene, training, forecast = ran
    assert scene == (tmp_path, "walkers", show.SEED)
    assert training.from_scratch and training.stop == forecast.start == 40
    assert [*map(Path, training.videos)] == [forecast.video] == [tmp_path / "walkers" / show.VIDEO]
    assert forecast.weights == str(training.out) and (forecast.observed, forecast.frames) == (5, 15)


def test_a_command_that_fails_ends_it(
    show: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(show.subprocess, "run", lambda command, check: SimpleNamespace(returncode=2))
    assert show.main(["--out", str(tmp_path), "--video", "street.mp4"]) == 2
    assert "scalor train: expected exit status 0, got 2" in capsys.readouterr().err


def test_reported_scenes_are_left_alone(show: Any) -> None:
    import made_up_scenes

    assert show.SEED != made_up_scenes.SEED
