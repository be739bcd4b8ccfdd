"""``scalor train``: from a video to a run folder that can be read back, and how it refuses."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scalor_pyro import files
from scalor_pyro.cli import main, parser
from scalor_pyro.cli import train as command
from scalor_pyro.config import (
    ConfigError,
    ModelConfig,
    RunConfig,
    TrainConfig,
    VideoData,
    VideoRunConfig,
    config_from_dict,
    config_to_dict,
)
from scalor_pyro.experiments import videos as video_run
from scalor_pyro.inference.trained import load
from scalor_pyro.runs.configs import CheckpointError
from scalor_pyro.runs.loading import load_model, load_run
from scalor_pyro.video import Clips, Crop, ReadOptions, Video


def test_a_run_says_what_was_read(small_run: Path) -> None:
    _, config, scalor = load(small_run / "runs" / "street")
    assert config.video.paths == tuple(str(small_run / f"{name}.mkv") for name in ("street", "again"))
    assert (config.video.options.start, config.seed, config.model.slots, config.train.steps) == (2, 3, 9, 2)
    assert config_from_dict(VideoRunConfig, json.loads(json.dumps(config_to_dict(config)))) == config
    videos = [Video(path, config.video.options) for path in config.video.paths]
    frames = Clips(videos, config.clip_length).batch(0, 1).tensor()
    latents = scalor.guide(frames)  # what is read back fits the model
    assert len(latents) == 4


def test_the_scene_is_the_video_without_what_moves(small_run: Path) -> None:
    _, config, scalor = load(small_run / "runs" / "street")
    images = np.stack([frame.image for frame in Video(config.video.paths[0], config.video.options)])
    expected = torch.from_numpy(np.median(images, 0)).float() / 255
    assert config.model.background == "static" and scalor.background_image is not None
    assert (scalor.background_image - expected).abs().max() < 0.02  # two steps of learning
    assert expected.max() < 0.5 < images.max() / 255  # the squares are bright


def test_a_run_has_figures_and_pictures(small_run: Path) -> None:
    run = small_run / "runs" / "street"
    assert set(json.loads((run / "results.json").read_text())) == {"steps", *video_run.VideoFigures._fields}
    for name in ("player.html", "pictures/filmstrip.png", "weights.safetensors"):
        assert (run / name).stat().st_size > 1000


def test_resume_of_a_run_that_is_done_reports_again(small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = small_run / "runs" / "street"
    before = [(run / name).read_bytes() for name in ("results.json", "weights.safetensors")]
    assert main(["train", "--resume", "--out", str(run)]) == 0
    out = capsys.readouterr().out
    assert "per frame" in out and "has used its budget of 2 steps" in out and "player.html plays a clip" in out
    assert [(run / name).read_bytes() for name in ("results.json", "weights.safetensors")] == before


def test_a_command_that_torchrun_starts_again_goes_on_with_its_run(small_run: Path, tmp_path: Path) -> None:
    arguments = ["train", str(small_run / "street.mkv"), "--steps", "2"]
    begun = parser().parse_args([*arguments, "--out", str(small_run / "runs" / "street")])
    assert command.config_of(begun, restarted=True) == load(small_run / "runs" / "street").config
    with pytest.raises(ConfigError, match="holds a run"):
        command.config_of(begun, restarted=False)
    killed_before_it_began = parser().parse_args([*arguments, "--out", str(tmp_path / "new")])
    assert command.config_of(killed_before_it_began, restarted=True).train.steps == 2


def test_the_proposal_is_printed_and_kept(
    small_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken: list[VideoRunConfig] = []

    def interrupted(config: VideoRunConfig, *arguments: object, **options: object) -> None:
        taken.append(config)

    monkeypatch.setattr(command, "run_on_videos", interrupted)
    video, out = str(small_run / "street.mkv"), str(tmp_path / "run")
    arguments = ["--sigma", "0.11", "--minutes", "3", "--size", "32", "48", "--from-scratch"]
    assert main(["train", video, "--out", out, *arguments]) == 130
    printed = capsys.readouterr().out
    (config,) = taken
    assert "48 × 32 px" in printed and f"slots K      {config.model.slots}" in printed
    assert f"scalor train --resume --out {out}" in printed
    assert config.model.image_size == config.video.options.size == (32, 48)
    assert (config.model.sigma, config.train.minutes) == (0.11, 3.0)


def test_a_run_starts_from_another(
    small_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(small_run)
    arguments = ["street.mkv", "--out", str(tmp_path / "run"), "--steps", "1", "--start-from", "runs/street"]
    arguments += ["--config", str(small_run / "runs" / "street" / "config.json"), "--seed", "3"]
    assert main(["train", *arguments]) == 0
    printed = capsys.readouterr().out
    absolute = small_run.absolute() / "runs" / "street"
    assert re.search(rf"start from +{re.escape(str(absolute))}", printed)
    assert load(tmp_path / "run").config.train.start_from == str(absolute)
    (_, first), (_, second) = load_model("runs/street"), load_model(tmp_path / "run")
    name = "discovery_posterior.appearance.encoder.net.0.weight"
    assert torch.allclose(first[name], second[name], atol=2e-3), "one step from there"


def test_the_file_is_above_the_proposal_and_the_command_line_above_the_file(
    small_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken: list[VideoRunConfig] = []
    monkeypatch.setattr(command, "run_on_videos", lambda config, *_, **__: taken.append(config))
    file = tmp_path / "some.json"
    train = {"steps": 7, "precision": "bf16"}
    said = {"model": {"sigma": 0.12, "slots": 8}, "train": train, "seed": 5, "video": {"options": {"start": 3}}}
    file.write_text(json.dumps(said))
    arguments = ["train", str(small_run / "street.mkv"), "--out", str(tmp_path / "run"), "--config", str(file)]
    arguments.append("--from-scratch")
    by_command = ["--slots", "9", "--start", "4", "--minutes", "2", "--precision", "fp32", "--no-capture"]
    assert main(arguments) == main([*arguments, *by_command]) == 130
    by_file, by_hand = taken
    assert (by_file.model.sigma, by_file.model.slots, by_file.seed, by_file.video.options.start) == (0.12, 8, 5, 3)
    assert (by_file.train.steps, by_file.train.minutes) == (7, None)
    assert (by_hand.model.sigma, by_hand.model.slots, by_hand.seed, by_hand.video.options.start) == (0.12, 9, 5, 4)
    assert by_hand.train.minutes == 2
    assert (by_file.train.precision, by_file.train.capture) == ("bf16", True)
    assert (by_hand.train.precision, by_hand.train.capture) == ("fp32", False)


def test_a_second_model_is_settled_like_the_first_and_shares_its_minutes(
    small_run: Path, small_any_scene: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken: list[VideoRunConfig] = []
    monkeypatch.setattr(command, "run_on_videos", lambda config, *_, **__: taken.append(config))
    file = tmp_path / "some.json"
    start = ["--start-from", str(small_any_scene)]

    def settled(said: dict[str, object], *options: str) -> VideoRunConfig:
        file.write_text(json.dumps(said))
        out = ["--out", str(tmp_path / "run"), "--config", str(file)]
        assert main(["train", str(small_run / "street.mkv"), *out, *start, *options]) == 130
        return taken[-1]

    both = settled({"fresh": {"train": {"clip": 3.0}}, "model": {"sigma": 0.2}}, "--minutes", "6", "--no-capture")
    assert both.fresh is not None and both.fresh.model.sigma == both.model.sigma == 0.2
    assert both.train.minutes == pytest.approx(2) and both.fresh.train.minutes == pytest.approx(4)
    assert (both.fresh.train.clip, both.train.clip) == (3.0, 1.0)
    assert both.fresh.train.capture is both.train.capture is False
    by_steps = settled({"train": {"minutes": 6.0}}, "--steps", "7")
    assert by_steps.fresh is not None
    assert [(each.steps, each.minutes) for each in (by_steps.train, by_steps.fresh.train)] == [(7, None)] * 2
    assert settled({"fresh": None}).fresh is None and settled({}, "--adapt-only").fresh is None


def test_the_config_of_a_run_describes_the_same_run_again(
    small_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken: list[VideoRunConfig] = []
    monkeypatch.setattr(command, "run_on_videos", lambda config, *_, **__: taken.append(config))
    run = small_run / "runs" / "street"
    assert main(["train", "--out", str(tmp_path / "run"), "--config", str(run / "config.json")]) == 130
    assert taken == [load(run).config]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--out", "new"], "No VIDEO"),
        (
            ["street.mkv", "--out", "new", "--config", "none.json"],
            "none.json could not be read",
        ),
        (
            ["street.mkv", "--out", "new", "--config", "street.mkv"],
            "street.mkv: expected JSON",
        ),
        (["none.mkv", "--out", "new"], "no file or folder none.mkv"),
        (["street.mkv", "none.mkv", "--out", "new"], "no file or folder none.mkv"),
        (["street.mkv", "--out", "runs/street"], "holds a run.*--resume"),
        (["street.mkv", "--out", "new", "--background-image", "none.png"], "no file or folder .*none.png"),
        (["street.mkv", "--out", "new", "--steps", "0"], "steps: expected .* got 0"),
        (["street.mkv", "--out", "new", "--minutes", "-1"], "minutes: expected .* got -1"),
        (["street.mkv", "--out", "new", "--slots", "0"], "slots: expected .* got 0"),
        (
            ["street.mkv", "--out", "new", "--steps", "2", "--stride", "8", "--from-scratch"],
            "expected at least 4 frames",
        ),
        (["street.mkv", "--out", "new", "--steps", "2", "--stride", "8"], "expected at least 4 frames in one of them"),
        (["street.mkv", "--out", "new", "--size", "30", "48"], r"size: expected whole cells .* got \(30, 48\)"),
        (["street.mkv", "--out", "new", "--seed", "-1"], "seed: expected .* got -1"),
        (
            ["street.mkv", "--out", "new", "--steps", "2", "--start-from", "none"],
            "no run .*none: expected a run folder",
        ),
        (["street.mkv", "--out", "new", "--steps", "2", "--start-from", "street.mkv"], "street.mkv"),
        (["--resume", "--out", "new"], "new holds no run"),
        (["street.mkv", "--resume", "--out", "runs/street"], "only --out and --device may.*--start-from"),
        (["--resume", "--out", "runs/street", "--from-scratch"], "only --out and --device may.*--start-from"),
        (["--resume", "--out", "runs/street", "--adapt-only"], "only --out and --device may.*--start-from"),
        (
            ["street.mkv", "--out", "new", "--from-scratch", "--adapt-only"],
            "adapt-only: expected weights to start from",
        ),
        (["--resume", "--out", "runs/street", "--stride", "2"], "only --out and --device may.*--start-from"),
        (["--resume", "--out", "runs/street", "--steps", "9"], "only --out and --device may.*--start-from"),
        (
            ["--resume", "--out", "runs/street", "--precision", "bf16"],
            "only --out and --device may.*--start-from",
        ),
        (["--resume", "--out", "runs/street", "--no-capture"], "only --out and --device may.*--start-from"),
        (
            ["--resume", "--out", "runs/street", "--start-from", "digits-vld"],
            "only --out and --device may.*--start-from",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    small_run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(small_run)
    assert main(["train", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith(".\n")
    assert re.search(message, err)
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 10_000 + "]" * 10_000, "at most 100 nested tables and lists"),
        (f'{{"seed": {"1" * 400}}}', "seed: expected .* got <a whole number of 1326 bits>"),
        (f'{{"seed": {"1" * 5000}}}', "expected JSON, got something else"),
        (f'{{"model": {{"sigma": {"1" * 400}}}}}', "model.sigma: expected a finite number"),
        ('{"model": {"sigma": NaN}}', "expected finite numbers, got NaN"),
        ('{"seed": 1, "seed": 2}', "expected each key once, got 'seed' twice"),
        ('{"kind": "clips"}', "kind: expected 'video', got 'clips'"),
        ('{"video": {"paths": "street.mkv"}}', "video.paths: expected a list of paths, got 'street.mkv'"),
        ('{"video": {"paths": [7]}}', "video.paths: expected a list of paths"),
        ('{"video": {"options": []}}', "video.options, config: expected a table of settings"),
        ('{"video": {"options": {"stride": 0}}}', "video.options, stride: expected .* got 0"),
        ('{"fresh": []}', "expected .*fresh, .*as in the config.json of a run"),
        ('{"fresh": {"train": 1}}', "expected .*fresh, .*as in the config.json of a run"),
        ('{"fresh": {"model": {"z_what_dim": "few"}}}', "fresh.model.z_what_dim: expected a whole number, got 'few'"),
        ('{"model": {"slots": "many"}}', "model.slots: expected a whole number, got 'many'"),
    ],
)
def test_a_bad_settings_file_is_named_in_one_sentence(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(text)
    arguments = ["train", str(small_run / "street.mkv"), "--out", str(tmp_path / "new"), "--config", str(file)]
    assert main([*arguments, "--steps", "1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and len(err) < 600 and "settings.json" in err
    assert re.search(message, err)
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_two_processes_do_not_train_in_one_folder(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.0)
    run = tmp_path / "run"
    shutil.copytree(small_run / "runs" / "street", run)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with files.reserved(run, "training"):
        assert main(["train", "--resume", "--out", str(run)]) == 2
    assert "another process is training in this folder" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


def test_a_run_of_another_kind_is_refused(small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="trained by `examples/train_mnist.py`, got one trained by `scalor train`"
    ):
        load_run(small_run / "runs" / "street", RunConfig)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="config.json, config: expected the settings of a run"):
        load_run(tmp_path, VideoRunConfig)


def test_refuses_a_model_for_other_frames() -> None:
    static, options = ModelConfig(background="static"), ReadOptions(crop=Crop(0, 0, 90, 60), size=(64, 64))
    video = VideoData(("a.mkv",), options)
    assert VideoRunConfig(video, static, TrainConfig()).clip_length == 8
    with pytest.raises(ConfigError, match=r"video.options.size: expected .*\(32, 64\), got \(64, 64\)"):
        VideoRunConfig(video, ModelConfig(background="static", image_size=(32, 64)), TrainConfig())
    with pytest.raises(ConfigError, match="model.background: expected 'static', .* got 'none'"):
        VideoRunConfig(video, ModelConfig(), TrainConfig())
    with pytest.raises(ConfigError, match="paths: expected at least one path"):
        VideoData((), options)
