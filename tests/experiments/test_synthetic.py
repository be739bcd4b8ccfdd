"""A run from config to figures: what it leaves in its folder, and what evaluation leaves alone."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

from scalor_pyro.config import DataConfig, ModelConfig, RunConfig, Stage, TrainConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.metrics import score
from scalor_pyro.experiments import synthetic as experiment
from scalor_pyro.experiments.synthetic import evaluate, run_experiment, with_known_digits
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import random_state
from scalor_pyro.runs.loading import load_config, load_run, load_weights
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

SCORES = {
    "mota",
    "mota_strict",
    "idf1",
    "motp",
    "precision",
    "recall",
    "switches",
    "count_mae",
    "mse",
    "propagation_rate",
    "discoveries",
}
FRAMES, FINAL_VIDEOS = 3, 2


def small(digits: Any = "uci", **data: Any) -> RunConfig:
    """A run of three steps with an evaluation at each second one."""
    config = {"object_size": 12.0, "image_size": (32, 48), "frames": FRAMES, "digits": digits, **data}
    model = ModelConfig(
        image_size=(32, 48),
        cells=(4, 3),
        slots=5,
        first_shortlist=7,
        shortlist=6,
        object_size=12.0,
        feature_dim=8,
        glimpse_size=8,
        z_what_dim=9,
        tracker_dim=16,
        prior_dim=11,
    )
    train = TrainConfig(steps=3, curriculum=(Stage(1.0, 2, 2),), eval_every=2, eval_videos=2, log_every=1)
    return RunConfig(data=DataConfig(**config), model=model, train=train, seed=4)


def seeing(config: RunConfig) -> Scalor:
    """An untrained model that finds something in every cell, and keeps half of what it found."""
    scalor = Scalor(config.model)
    scalor.discovery_posterior.presence_head.bias.data.fill_(4.0)
    return scalor


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the results of a run."""
    folder = tmp_path_factory.mktemp("run")
    results = run_experiment(small(), folder, final_videos=FINAL_VIDEOS, progress=False)
    assert results is not None
    return folder, results


def test_results_have_every_score(run: tuple[Path, dict[str, Any]]) -> None:
    folder, results = run

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    saved = json.loads((folder / "results.json").read_text(), parse_constant=no_constant)
    assert saved == results
    assert SCORES <= saved.keys()
    assert (saved["videos"], saved["steps"], saved["seed"], saved["digits"]) == (FINAL_VIDEOS, 3, 4, "uci")
    assert saved["processor_minutes"] > 0
    assert [row["step"] for row in saved["evaluations"]] == [2, 3]
    assert all(SCORES <= row.keys() for row in saved["evaluations"])


def test_results_say_where_they_come_from(run: tuple[Path, dict[str, Any]]) -> None:
    origin = run[1]["provenance"]
    assert (origin["command"], origin["preset"], origin["resumed"]) == (None, None, False), "no command, no preset"
    assert origin["torch"] == torch.__version__ and origin["processes"] == 1
    assert f"{torch.get_num_threads()} thread" in origin["machine"]


def test_pictures_and_player_are_there(run: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = run
    pictures = list((folder / "pictures").glob("*.png"))
    assert {"filmstrip", "objects", "trajectories", "learning_curves"} <= {path.stem for path in pictures}
    for path in pictures:
        image = imread(path)
        assert image.ndim == 3 and image.std() > 0, f"{path.name} shows something"
    player = (folder / "player.html").read_text(encoding="utf-8")
    assert player.count("data:image/png;base64,") == FRAMES and 'type="range"' in player


def test_weights_are_those_that_were_evaluated(run: tuple[Path, dict[str, Any]]) -> None:
    folder, results = run
    config, weights = load_run(folder)
    scalor = Scalor(config.model)
    load_weights(folder, scalor)
    assert weights.keys() == scalor.state_dict().keys()
    again = evaluate(scalor, SyntheticVideos(config.evaluated, 0, "test"), FINAL_VIDEOS)
    assert again["mse"] == results["mse"]


def test_there_is_a_track_file_for_each_video(run: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = run
    assert [path.name for path in sorted((folder / "tracks").iterdir())] == ["00000.txt", "00001.txt"]


def test_evaluation_of_fewer_videos_leaves_no_old_tracks(tmp_path: Path) -> None:
    run_experiment(small(), tmp_path, final_videos=2, progress=False)
    results = run_experiment(small(), tmp_path, final_videos=1, progress=False, resume=True)
    assert results is not None and results["videos"] == 1
    assert [path.name for path in (tmp_path / "tracks").iterdir()] == ["00000.txt"]


def test_written_tracks_are_what_was_scored(tmp_path: Path) -> None:
    config = small()
    videos = SyntheticVideos(config.data, 1, "test")
    start, count = 3, 10  # more than one batch
    results = evaluate(seeing(config), videos, count, start, tracks=tmp_path)
    tracks = [read_mot(tmp_path / f"{index:05d}.txt") for index in range(start, start + count)]
    assert len(list(tmp_path.iterdir())) == count
    assert all(isinstance(track, Tracks) and len(track) for track in tracks), "this test has something to count"
    again = score(tracks, videos.batch(start, count).truth)
    assert (again.misses, again.false_alarms, again.switches) == tuple(
        results[name] for name in ("misses", "false_alarms", "switches")
    )
    assert again.count_mae == results["count_mae"] and again.idf1 == results["idf1"]
    assert math.isclose(again.motp, results["motp"], abs_tol=1e-3), "but for the decimals of the text"


def test_evaluation_has_no_chance_and_changes_nothing() -> None:
    config = small()
    scalor, videos = seeing(config), SyntheticVideos(config.data, 1, "test")
    weights = {name: value.clone() for name, value in scalor.state_dict().items()}
    before = random_state()
    first = evaluate(scalor, videos, 3)
    after = random_state()
    assert torch.equal(before["torch"], after["torch"])
    assert (before["numpy"], before["python"]) == (after["numpy"], after["python"])
    torch.rand(5)
    assert str(evaluate(scalor, videos, 3)) == str(first)
    for name, value in scalor.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert all(parameter.grad is None for parameter in scalor.parameters())


def test_evaluation_counts_every_video_once() -> None:
    """9 videos are a whole batch and a part of one."""
    config = small()
    scalor, videos = seeing(config), SyntheticVideos(config.data, 1, "test")
    singly = [evaluate(scalor, videos, 1, start) for start in range(9)]
    together = evaluate(scalor, videos, 9)
    for name in ("misses", "false_alarms", "switches"):
        assert together[name] == sum(each[name] for each in singly)
    assert math.isclose(together["mse"], sum(each["mse"] for each in singly) / 9, rel_tol=1e-5)


@pytest.mark.parametrize("count", [0, -3])
def test_evaluation_of_no_video_is_refused(count: int, tmp_path: Path) -> None:
    config = small()
    with pytest.raises(ValueError, match=f"at least 1 video to evaluate on, got {count}"):
        evaluate(Scalor(config.model), SyntheticVideos(config.data, 1, "test"), count)
    with pytest.raises(ValueError, match=f"at least 1 video to evaluate on, got {count}"):
        run_experiment(config, tmp_path / "run", final_videos=count, progress=False)
    assert not (tmp_path / "run").exists(), "nothing was trained first"


def choose(answer: str) -> Callable[..., str]:
    """Where there is no network, 'auto' is 'uci'; where there is, 'mnist'."""
    return lambda asked, _: answer if asked == "auto" else asked


@pytest.mark.parametrize("answer", ["uci", "mnist"])
def test_auto_digits_become_those_that_there_are(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "choose_source", choose(answer))
    config = small("auto")
    longer = replace(config, test_data=replace(config.data, frames=FRAMES + 1))
    known = with_known_digits(longer, None)
    assert known.data.digits == known.evaluated.digits == answer
    assert known == replace(
        longer, data=replace(longer.data, digits=answer), test_data=replace(longer.evaluated, digits=answer)
    ), "and nothing else changes"


def test_saved_config_says_which_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "choose_source", choose("uci"))
    results = run_experiment(small("auto"), tmp_path, final_videos=1, progress=False)
    assert results is not None and results["digits"] == "uci"
    assert load_config(tmp_path).data.digits == "uci"


def test_sprites_need_no_digits(tmp_path: Path) -> None:
    config = small("auto", objects="sprites")
    assert with_known_digits(config, None) == config
    with pytest.raises(ValueError, match="sprites, which need no digits"):
        with_known_digits(config, tmp_path / "mnist.npz")
