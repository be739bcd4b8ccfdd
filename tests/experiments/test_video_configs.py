"""The configs of runs on users' videos that start from the weights for any scene."""

from dataclasses import replace
from pathlib import Path

import pytest

from scalor_pyro.cli import main
from scalor_pyro.config import ConfigError, Crop, ReadOptions
from scalor_pyro.experiments.video_configs import fresh_run, run_from
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.tracker import load_for_tracking, tracker_of
from scalor_pyro.video import Video, survey
from tests.video_files import squares, squares_in_perspective, write_video


@pytest.fixture(scope="module")
def run() -> TrainedRun:
    return load_for_tracking(ANY_SCENE)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Five squares of 16 px."""
    return write_video(tmp_path / "street.mkv", squares(40, size=(128, 192), side=16, speed=4))


def test_training_and_tracking_agree_on_the_boxes_of_like_objects(run: TrainedRun, street: Path) -> None:
    trained = run_from(run, (str(street),), ReadOptions(), survey(Video(street))).model
    tracked = tracker_of(run, street)[0].scalor.config
    for name in ("object_size", "size_range", "aspect", "aspect_range"):
        assert getattr(trained, name) == getattr(tracked, name)
    assert trained.size_range < run.config.model.size_range


def test_training_in_perspective_sees_windows_as_high_as_the_frame(run: TrainedRun, tmp_path: Path) -> None:
    """How large objects are depends on how far down they are, in training as in tracking."""
    film = write_video(tmp_path / "square.mkv", squares_in_perspective(24))
    config = run_from(run, (str(film),), ReadOptions(), survey(Video(film)), fresh=True)
    size, model, fresh = config.video.options.size, config.model, fresh_run(config).model
    assert size is not None and model.image_size[0] == size[0] and model.image_size[1] < size[1]
    assert model.perspective == fresh.perspective == tracker_of(run, film)[0].scalor.config.perspective > 0
    assert model.object_size == fresh.object_size and model.size_range < fresh.size_range

    of_video = Options(background_image="video")
    whole, part = (
        tracker_of(run._replace(config=config), film, each)[0].scalor.config
        for each in (of_video, replace(of_video, crop=Crop(0, 0, 240, 100)))
    )
    assert (whole.perspective, whole.object_size) == (model.perspective, model.object_size)
    assert part.perspective == pytest.approx(model.perspective / 2) and part.object_size < model.object_size


def test_sizes_can_be_said(run: TrainedRun, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, seen = (str(street),), survey(Video(street))
    assert run_from(run, paths, ReadOptions(), seen, sizes="any").model.size_range == run.config.model.size_range
    for given in (["--from-scratch"], ["--start-from", "sprites-md"]):
        assert main(["train", str(street), "--out", str(tmp_path / "run"), "--sizes", "alike", *given]) == 2
        assert "--sizes: expected none but with weights for any scene to start from" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_at_another_scale_boxes_have_the_sizes_of_training(run: TrainedRun, street: Path) -> None:
    given = ReadOptions(size=(128, 192))
    config = run_from(run, (str(street),), given, survey(Video(street, given)))
    assert config.video.options.size == (128, 192)
    assert config.model.size_range == run.config.model.size_range
    assert config.model.object_size == run.config.model.object_size
    with pytest.raises(ConfigError, match="sizes: expected another one where the size of frames is given.*got 'alike'"):
        run_from(run, (str(street),), given, survey(Video(street, given)), sizes="alike")
