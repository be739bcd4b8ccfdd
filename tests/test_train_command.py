"""``scalor train``: from a video to a run folder that can be read back, and how it refuses."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from scalor_pyro import video_run
from scalor_pyro.checkpoint import CheckpointError, load_run
from scalor_pyro.command import main, parser
from scalor_pyro.command import train as command
from scalor_pyro.config import ConfigError, ModelConfig, Stage, TrainConfig, config_from_dict, config_to_dict
from scalor_pyro.video import Clips, Crop, ReadOptions, Video
from scalor_pyro.video_run import VideoData, VideoRunConfig, load_video_run
from tests.video_files import squares, write_video

SMALL = {"feature_dim": 16, "tracker_dim": 16, "prior_dim": 8, "z_what_dim": 8, "glimpse_size": 8}


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Small networks and short steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_run, "ModelConfig", partial(ModelConfig, **SMALL))
        patch.setattr(command, "TrainConfig", partial(TrainConfig, curriculum=(Stage(1.0, 4, 2),)))
        patch.setattr(video_run, "LOOKED_AT", 2)
        yield


@pytest.fixture(scope="module")
def folder(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With street.mkv, and runs/street trained on two copies of it."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("street", "again"):
        write_video(folder / f"{name}.mkv", squares())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = ["street.mkv", "again.mkv", "--start", "2", "--steps", "2", "--seed", "3", "--slots", "9"]
        assert main(["train", *arguments, "--out", "runs/street"]) == 0
    return folder


def test_a_run_says_what_was_read(folder: Path) -> None:
    config, scalor = load_video_run(folder / "runs" / "street")
    assert config.video.paths == tuple(str(folder / f"{name}.mkv") for name in ("street", "again"))
    assert (config.video.options.start, config.seed, config.model.slots, config.train.steps) == (2, 3, 9, 2)
    assert config_from_dict(VideoRunConfig, json.loads(json.dumps(config_to_dict(config)))) == config
    videos = [Video(path, config.video.options) for path in config.video.paths]
    frames = Clips(videos, config.clip_length).batch(0, 1).tensor()
    latents = scalor.guide(frames)  # what is read back fits the model
    assert len(latents) == 4


def test_the_scene_is_the_video_without_what_moves(folder: Path) -> None:
    config, scalor = load_video_run(folder / "runs" / "street")
    images = np.stack([frame.image for frame in Video(config.video.paths[0], config.video.options)])
    expected = torch.from_numpy(np.median(images, 0)).float() / 255
    assert config.model.background == "static" and scalor.scene is not None
    assert (scalor.scene - expected).abs().max() < 0.02  # two steps of learning
    assert expected.max() < 0.5 < images.max() / 255  # the squares are bright


def test_a_run_has_figures_and_pictures(folder: Path) -> None:
    run = folder / "runs" / "street"
    assert set(json.loads((run / "results.json").read_text())) == set(video_run.VideoFigures._fields)
    for name in ("player.html", "pictures/filmstrip.png", "weights.safetensors"):
        assert (run / name).stat().st_size > 1000


def test_resume_of_a_run_that_is_done_reports_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "runs" / "street"
    before = [(run / name).read_bytes() for name in ("results.json", "weights.safetensors")]
    assert main(["train", "--resume", "--out", str(run)]) == 0
    out = capsys.readouterr().out
    assert "in a frame" in out and "player.html plays a clip" in out
    assert [(run / name).read_bytes() for name in ("results.json", "weights.safetensors")] == before


def test_a_command_that_torchrun_starts_again_goes_on_with_its_run(folder: Path, tmp_path: Path) -> None:
    arguments = ["train", str(folder / "street.mkv"), "--steps", "2"]
    begun = parser().parse_args([*arguments, "--out", str(folder / "runs" / "street")])
    assert command.config_of(begun, restarted=True) == load_video_run(folder / "runs" / "street")[0]
    with pytest.raises(ConfigError, match="holds a run"):
        command.config_of(begun, restarted=False)
    killed_before_it_began = parser().parse_args([*arguments, "--out", str(tmp_path / "new")])
    assert command.config_of(killed_before_it_began, restarted=True).train.steps == 2


def test_the_proposal_is_printed_and_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken: list[VideoRunConfig] = []

    def interrupted(config: VideoRunConfig, *arguments: object, **options: object) -> None:
        taken.append(config)

    monkeypatch.setattr(command, "run_on_videos", interrupted)
    video, out = str(folder / "street.mkv"), str(tmp_path / "run")
    assert main(["train", video, "--out", out, "--sigma", "0.11", "--minutes", "3", "--size", "32", "48"]) == 130
    printed = capsys.readouterr().out
    (config,) = taken
    assert "48 × 32 px" in printed and f"slots K      {config.model.slots}" in printed
    assert f"scalor train --resume --out {out}" in printed
    assert config.model.image_size == config.video.options.size == (32, 48)
    assert (config.model.sigma, config.train.minutes) == (0.11, 3.0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--out", "new"], "No VIDEO"),
        (["none.mkv", "--out", "new"], "no file or folder none.mkv"),
        (["street.mkv", "none.mkv", "--out", "new"], "no file or folder none.mkv"),
        (["street.mkv", "--out", "runs/street"], "holds a run.*--resume"),
        (["street.mkv", "--out", "new", "--steps", "0"], "steps is 0"),
        (["street.mkv", "--out", "new", "--minutes", "-1"], "minutes is -1"),
        (["street.mkv", "--out", "new", "--slots", "0"], "slots is 0"),
        (["street.mkv", "--out", "new", "--steps", "2", "--stride", "8"], "gives 3 frames, but at least 4"),
        (["street.mkv", "--out", "new", "--seed", "-1"], "seed is -1"),
        (["--resume", "--out", "new"], "new holds no run"),
        (["street.mkv", "--resume", "--out", "runs/street"], "only --out and --device"),
        (["--resume", "--out", "runs/street", "--stride", "2"], "only --out and --device"),
        (["--resume", "--out", "runs/street", "--steps", "9"], "only --out and --device"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["train", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith(".\n")
    assert re.search(message, err)
    assert not Path("new").exists()


def test_a_run_that_is_not_on_videos_is_told_apart(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not describe a run.*video"):
        load_run(folder / "runs" / "street")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="does not describe a run.*video"):
        load_video_run(tmp_path)


def test_refuses_a_model_for_other_frames() -> None:
    static, options = ModelConfig(background="static"), ReadOptions(crop=Crop(0, 0, 90, 60), size=(64, 64))
    video = VideoData(("a.mkv",), options)
    assert VideoRunConfig(video, static, TrainConfig()).clip_length == 8
    with pytest.raises(ConfigError, match=r"size is \(64, 64\).*\(32, 64\)"):
        VideoRunConfig(video, ModelConfig(background="static", image_size=(32, 64)), TrainConfig())
    with pytest.raises(ConfigError, match="background is 'none'"):
        VideoRunConfig(video, ModelConfig(), TrainConfig())
    with pytest.raises(ConfigError, match="at least one video"):
        VideoData((), options)
