"""examples/generate.py: what it leaves for each --what, and what it refuses."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scalor_pyro.config import DataConfig, RunConfig, Stage, TrainConfig
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import TrainingState, export_weights
from scalor_pyro.runs.configs import config_to_json
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.weights import copy_weights
from tests.examples.test_examples import load_example

GENERATE = load_example("generate.py")


@pytest.fixture
def run(make_scalor: Callable[..., Scalor], tmp_path: Path) -> Path:
    """A run as training leaves it, of a model that was not trained; its videos have 3 frames."""
    return save_run(tmp_path / "run", make_scalor())


def save_run(path: Path, scalor: Scalor) -> Path:
    config = RunConfig(
        data=DataConfig(objects="sprites", image_size=(32, 48), object_size=10.0, frames=3, background=True),
        model=scalor.config,
        train=TrainConfig(curriculum=(Stage(1.0, 2, 1),)),
    )
    state = TrainingState(config_to_json(config), copy_weights(scalor), {}, 1, 0, 0.0, {}, {})
    export_weights(RunFolder.create(path), state)
    return path


def command(*arguments: object) -> int:
    code: int = GENERATE.main([str(argument) for argument in arguments])
    return code


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_forecast(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [run, "--observed", 2, "--frames", 5, "--samples", 4, "--videos", 5]
    assert command(*arguments, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    pictures = {f"forecast_{video}.png" for video in range(4)}
    assert names(tmp_path / "out") == {*pictures, "player.html", "forecast.npz", "forecast.json"}
    result = json.loads((tmp_path / "out" / "forecast.json").read_text())
    assert (result["horizon"], result["videos"], result["samples"]) == ([1, 2, 3], 5, 4)
    assert f"{result['mse']['hold'][2]:.4f}" in shown and "position error, px: last place held" in shown
    arrays = np.load(tmp_path / "out" / "forecast.npz")
    assert {name: arrays[name].shape for name in arrays} == {
        "observed": (),
        "y": (4, 4, 5, 3, 32, 48),
        "presence": (4, 4, 5, 5),
        "where": (4, 4, 5, 5, 4),
        "identity": (4, 4, 5, 5),
        "x": (4, 5, 3, 32, 48),
        "mean": (4, 5, 3, 32, 48),
    }


def test_imagine(run: Path) -> None:
    arguments = ["--frames", 2, "--samples", 9, "--first-presence", 0.9, "--motion", "constant-velocity"]
    assert command(run, "--what", "imagine", *arguments) == 0
    folder = run / "generated" / "imagine"
    assert names(folder) == {"imagine_0.png", "player.html", "imagine.npz"}
    arrays = np.load(folder / "imagine.npz")
    assert arrays["y"].shape == (9, 1, 2, 3, 32, 48) and "x" not in arrays
    assert (arrays["identity"][:, 0, 0] >= 0).any(-1).all()
    assert command(run, "--what", "imagine", *arguments, "--out", run / "again") == 0
    again = np.load(run / "again" / "imagine.npz")
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays), "the same seed, the same samples"


def test_reconstruct(run: Path) -> None:
    assert command(run, "--what", "reconstruct", "--frames", 3, "--videos", 2, "--samples", 2) == 0
    folder = run / "generated" / "reconstruct"
    assert names(folder) == {"reconstruct_0.png", "reconstruct_1.png", "player.html", "reconstruct.npz"}
    arrays = np.load(folder / "reconstruct.npz")
    torch.testing.assert_close(arrays["mean"], arrays["y"].mean(0))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ("--observed 12 --frames 10", "Observed frames: expected 1 to 10, which the video has, got 12"),
        ("--observed 3 --frames 3", "Horizon: expected at least 1 frame, got 0"),
        ("--observed 0", "--observed: expected at least 1, got 0"),
        ("--samples 0", "--samples: expected at least 1, got 0"),
        ("--videos 0", "--videos: expected at least 1, got 0"),
        ("--frames 0", "--frames: expected at least 1, got 0"),
        ("--seed -1", "--seed: expected a whole number .*, got -1"),
        ("--first-presence 0.3", "--first-presence applies to --what imagine, not forecast"),
        ("--what imagine --observed 2", "--observed applies to --what forecast, not imagine"),
        ("--what imagine --videos 2", "--videos applies to --what forecast or reconstruct, not imagine"),
        ("--what reconstruct --motion learned", "--motion applies to --what forecast or imagine, not reconstruct"),
        ("--what imagine --first-presence 1.5", "Probability: expected a number above 0 and below 1, got 1.5"),
    ],
)
def test_bad_options(run: Path, arguments: str, match: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refuses(capsys, run, *arguments.split(), "--out", tmp_path / "out", match=match)
    assert not (tmp_path / "out").exists()


def test_bad_runs(
    make_scalor: Callable[..., Scalor], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuses(capsys, tmp_path / "nowhere", match="nowhere")
    still = save_run(tmp_path / "still", make_scalor(constant_velocity=False))
    refuses(capsys, still, "--motion", "constant-velocity", match="constant_velocity: expected .* True, got False")
    (tmp_path / "file").touch()
    arguments = ["--what", "imagine", "--frames", 1, "--samples", 1, "--out", tmp_path / "file"]
    refuses(capsys, run, *arguments, match="file: the folder could not be made")


def refuses(capsys: pytest.CaptureFixture[str], *arguments: object, match: str) -> None:
    assert command(*arguments) == 2
    out, error = capsys.readouterr()
    assert out == "" and re.fullmatch(r"error: [^\n]*\.\n", error), error
    assert re.search(match, error), error
