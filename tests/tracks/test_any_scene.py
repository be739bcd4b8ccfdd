"""Videos as a model for any scene sees them, and tracks of them in px of the file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scalor_pyro.config import AnySceneRunConfig, ConfigError, Crop, MoverConfig, ReadOptions, TrainConfig
from scalor_pyro.data.movers import STILL
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.any_scene.embedding import WITHIN, network
from scalor_pyro.tracks.any_scene.looks import Differences, look_at
from scalor_pyro.tracks.opening import Options, frames_for, opened
from scalor_pyro.tracks.tracker import tracker_of
from scalor_pyro.video import Video
from scalor_pyro.video.background.image import estimate_background_image
from tests.video_files import squares, write_video

FRAMES, SIDE = 24, 16


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Squares of 16 px that move over black."""
    return write_video(tmp_path / "street.mkv", squares(FRAMES, size=(128, 192), side=SIDE, speed=4))


@pytest.fixture
def run(make_scalor: Callable[..., Scalor], tmp_path: Path) -> TrainedRun:
    """A model for any scene that sees opaque objects."""
    scalor = make_scalor(background="static", object_size=8.0, image_size=(32, 32), cells=(4, 4))
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.weight.normal_(std=0.8)
        scalor.decoder.bias[-1] = 4.0
    config = AnySceneRunConfig(scalor.config, TrainConfig(steps=1), MoverConfig((32, 32), object_size=8.0))
    return TrainedRun(tmp_path, config, scalor)


@given(seed=st.integers(0, 1000), gain=st.floats(0.5, 20))
def test_from_model_undoes_to_model_where_nothing_is_cut_off(seed: int, gain: float) -> None:
    noise = torch.Generator().manual_seed(seed)
    scene = torch.rand(3, 4, 5, generator=noise)
    frames = (scene + (torch.rand(2, 3, 4, 5, generator=noise) - 0.5) / gain).clamp(0, 1)
    seen = Differences(scene, gain)
    assert 0 <= seen.to_model(frames).min() and seen.to_model(frames).max() <= 1
    torch.testing.assert_close(seen.from_model(seen.to_model(frames)), frames, atol=1e-5, rtol=1e-5)
    assert torch.equal(seen.to_model(scene), torch.full_like(scene, STILL))


def test_a_video_is_read_at_the_scale_of_the_model(run: TrainedRun, video: Path) -> None:
    assert isinstance(run.config, AnySceneRunConfig)
    look = look_at(run.config, Video(video))
    assert look.options.size == (64, 104), "8 px in the model; 16 px in the file, and a smoothed edge"
    assert look_at(run.config, Video(video), side=16.0).options.size == (64, 96)
    assert look.options.grey and look.slots >= 4
    assert look_at(run.config, Video(video), side=32.0).options.size == (32, 48)
    assert look_at(run.config, Video(video), box=(16 / 0.85, 16 / 0.85)).options.size == (64, 96)
    assert look_at(run.config, Video(video), slots=7).slots == 7
    part = Video(video, ReadOptions(crop=Crop(0, 0, 96, 128)))
    assert look_at(run.config, part, side=16.0).options.size == (64, 48)


def test_the_model_sees_grey_where_nothing_moves_and_pictures_show_the_video(run: TrainedRun, video: Path) -> None:
    tracker, reader = tracker_of(run, video, Options(decide_by="masks"), pictured=3)
    (chunk,) = reader.chunks(FRAMES)
    seen = tracker.differences.to_model(frames_for(tracker.scalor, chunk)) if tracker.differences else None
    assert seen is not None and float(seen.median()) == pytest.approx(STILL, abs=0.01)
    assert float((seen - STILL).abs().max()) > 0.3
    tracker.advance(chunk)
    assert tracker.pictured is not None
    torch.testing.assert_close(tracker.pictured.frames, frames_for(tracker.scalor, chunk)[:, :3])


def test_tracks_are_in_px_of_the_file(run: TrainedRun, video: Path) -> None:
    tracker, reader = tracker_of(run, video, Options(decide_by="masks"))
    found = tracker.advance(next(reader.chunks(FRAMES))).tracks
    assert len(found) and found.x.max() > 96 and found.y.max() > 64


def test_objects_look_like_embeddings_whatever_boxes_are_written(run: TrainedRun, video: Path) -> None:
    found = {}
    for boxes in ("mask", "glimpse"):
        tracker, reader = tracker_of(run, video, Options(decide_by="masks", boxes=boxes))
        found[boxes] = tracker.advance(next(reader.chunks(FRAMES)))
    assert tracker.within == WITHIN
    mask, glimpse = found["mask"], found["glimpse"]
    assert mask.appearance.shape == (len(mask.tracks), network().config.features) and np.isfinite(mask.appearance).all()
    assert not np.array_equal(mask.tracks.width, glimpse.tracks.width)
    np.testing.assert_allclose(glimpse.appearance, mask.appearance, atol=1e-4)


def test_light_is_followed_in_the_units_of_the_differences() -> None:
    assert Differences(torch.zeros(1, 2, 2), gain=4.0).light_step(0.01) == pytest.approx(0.02)


def test_a_background_image_of_the_run_is_refused(run: TrainedRun, video: Path) -> None:
    with pytest.raises(ConfigError, match="background_image: expected 'auto', 'video' or a picture"):
        tracker_of(run, video, Options(background_image="run"))


def test_a_picture_of_the_empty_scene_is_what_frames_differ_from(run: TrainedRun, video: Path, tmp_path: Path) -> None:
    """Here it has what no frame shows: a bar, which is an object in all of them."""
    size = Video(video).info.size
    empty = np.array(estimate_background_image([Video(video)]).image)
    empty[:, : size[0] // 4] = 255
    Image.fromarray(np.moveaxis(empty, 0, -1)).save(tmp_path / "empty.png")
    opening = opened(run, video, Options(background_image=str(tmp_path / "empty.png")))
    assert opening.differences is not None
    scene = opening.differences.scene
    rows = scene.shape[-2] // 4 - 2
    assert scene[..., :rows, :].min() > 0.9 > 0.6 > scene[..., rows + 4 :, :].max()


def test_brightness_of_the_background_does_not_matter(run: TrainedRun) -> None:
    """The same movement over another background is the same to the model."""
    frames = squares(FRAMES, size=(128, 192), side=SIDE, speed=4)
    low, high = (np.asarray(frames) // 2, np.asarray(frames) // 2 + 100)
    tables = []
    for each in (low, high):
        tracker, reader = tracker_of(run, each, Options(decide_by="masks", light_step=0))
        tables.append(tracker.advance(next(reader.chunks(FRAMES))).tracks)
    assert len(tables[0]) and np.array_equal(tables[0].identity, tables[1].identity)
    np.testing.assert_allclose(tables[0].x, tables[1].x, atol=0.05)


def test_any_scene_configs_of_another_background_are_refused(run: TrainedRun) -> None:
    assert isinstance(run.config, AnySceneRunConfig)
    with pytest.raises(ConfigError, match="model.background: expected 'static', because the scene is given"):
        replace(run.config, model=replace(run.config.model, background="none"))
