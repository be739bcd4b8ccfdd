"""What tracking and training notice: each finding where there is something to find, and none where all is well."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scalor_pyro.config import AnySceneRunConfig, MoverConfig, ReadOptions, TrainConfig, VideoData, VideoRunConfig
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.checks.sentences import (
    LEAST_FILLED,
    LEAST_OBJECTS,
    LEAST_PROPAGATED,
    MOST_FILLED,
    another_depth,
    another_scene,
    boxes_do_not_fit,
    changed_part,
    filled_part,
    levels_of,
    like_in_training,
    slots_full,
    tracks_break,
)
from scalor_pyro.tracks.checks.watch import TrackWatch
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.tracker import tracker_of
from scalor_pyro.video import Video
from scalor_pyro.video.background.files import save_background_image
from tests.video_files import squares

RANGES = st.tuples(st.floats(-1000, 1000), st.floats(1, 70_000)).map(lambda pair: (pair[0], sum(pair)))


@given(st.integers(0, 100), st.integers(1, 60))
def test_slots_are_full_where_they_are_taken_in_many_frames(full: int, slots: int) -> None:
    said = slots_full(full, 100, slots)
    assert (said is not None) == (full > 5)
    if said is not None:
        assert f"all {slots} slots" in said and int(said.rstrip(".").rpartition(" ")[2]) > slots
        assert f"--slots {3 * 40 // 2}." in str(slots_full(full, 100, slots, of_region=40))


@given(st.integers(0, 500), st.integers(0, 500))
def test_tracks_break_where_few_objects_go_on(propagated: int, discovered: int) -> None:
    said = tracks_break(propagated, discovered)
    few = propagated + discovered < LEAST_OBJECTS
    assert (said is not None) == (not few and propagated < LEAST_PROPAGATED * (propagated + discovered))


def test_a_stride_is_blamed_where_there_is_one() -> None:
    assert "use --stride 1." in str(tracks_break(60, 40, stride=3))
    assert "--stride" not in str(tracks_break(60, 40)) and "frames per second" in str(tracks_break(60, 40))


@given(st.floats(0, 1))
def test_boxes_that_do_not_fit_are_said_with_the_size_of_the_objects(filled: float) -> None:
    said = boxes_do_not_fit(filled, 20.4)
    assert (said is None) == (LEAST_FILLED <= filled <= MOST_FILLED)
    if said is not None:
        assert said.endswith("--object-size 24." if filled < LEAST_FILLED else "--object-size 36.")


def test_the_filled_part_is_that_of_the_sides() -> None:
    glimpses = torch.zeros(1, 3, 2, 8, 8)
    glimpses[0, 0, -1, 2:6, 2:6], glimpses[0, 1, -1] = 0.9, 1.0
    filled = filled_part(glimpses, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(filled, torch.tensor([0.5, 1.0]))


@given(RANGES, RANGES)
def test_another_depth_is_one_of_another_range(trained: tuple[float, float], now: tuple[float, float]) -> None:
    assert another_depth(trained, trained) is None and another_depth(None, now) is None
    said = another_depth(trained, now)
    assert (said is None) == like_in_training(trained, now) == like_in_training(now, trained)


def test_changed_pixels_are_counted_where_no_object_is() -> None:
    image = torch.full((3, 4, 4), 0.5)
    frames, objects = image.repeat(2, 1, 1, 1), torch.zeros(2, 1, 4, 4)
    assert changed_part(frames, image, 0.1, objects) == 0
    frames[:, :, :2] = 0.9
    assert changed_part(frames, image, 0.1, objects) == changed_part(frames, image, 0.1) == 0.5
    objects[:, :, :2] = 1
    assert changed_part(frames, image, 0.1, objects) == 0
    assert another_scene(0.5) is not None and another_scene(0.1) is None


FRAMES = 96


@pytest.fixture
def run(make_scalor: Callable[..., Scalor], tmp_path: Path) -> TrainedRun:
    """A model for any scene, whose proposals all have a presence of one half."""
    scalor = make_scalor(background="static", object_size=8.0, image_size=(32, 32), cells=(4, 4), sigma=0.13)
    config = AnySceneRunConfig(scalor.config, TrainConfig(steps=1), MoverConfig((32, 32), object_size=8.0))
    return TrainedRun(tmp_path, config, scalor)


def sentences(run: TrainedRun, frames: NDArray[np.uint8], **options: object) -> list[str]:
    """What is said while some frames are tracked."""
    tracker, video = tracker_of(run, frames, Options(object_size=16, decide_by="masks", **options))  # type: ignore[arg-type]
    said: list[str] = []
    tracker.watch = TrackWatch(video, tracker.scalor, said.append)
    for chunk in video.chunks(16):
        tracker.advance(chunk)
    return said


def scene(frames: int = FRAMES) -> NDArray[np.uint8]:
    return squares(frames, size=(128, 192), side=16, speed=2)


def test_nothing_is_said_of_a_scene_at_rest(run: TrainedRun) -> None:
    assert not [each for each in sentences(run, scene()) if "background" in each]


def test_another_light_is_said_with_the_frame(run: TrainedRun) -> None:
    frames = scene()
    frames[64:] = 255 - np.minimum(frames[64:], 120) // 2
    (said,) = [each for each in sentences(run, frames) if "background" in each]
    assert said.startswith("array: from frame 64 on, ") and "the light has changed" in said


def test_a_camera_that_has_moved_is_said(run: TrainedRun) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(20, 230, (20, 28, 1), dtype=np.uint8).repeat(8, 0).repeat(8, 1)  # 160 × 224 px
    frames = np.stack([coarse[20 * (t > 59) :, 24 * (t > 59) :][:128, :192] for t in range(FRAMES)]).repeat(3, -1)
    for t in range(FRAMES):
        frames[t, 56:72, t : t + 16] = 255
    assert [each for each in sentences(run, frames) if "the camera has moved" in each]


def test_slots_that_are_full_are_said_once(run: TrainedRun) -> None:
    with torch.no_grad():
        run.scalor.discovery_posterior.presence_head.bias.fill_(3.0)
        run.scalor.decoder.bias[-1] = 3.0
    said = [each for each in sentences(run, scene(), slots=2) if "slots" in each]
    assert len(said) == 1 and "all 2 slots were taken" in said[0] and "--slots 3." in said[0]


@pytest.fixture
def own(make_scalor: Callable[..., Scalor], tmp_path: Path) -> TrainedRun:
    """A run of scalor train on frames as they are, with a background image in its folder."""
    scalor = make_scalor(background="static", image_size=(64, 96), cells=(8, 12), sigma=0.1)
    np.save(tmp_path / "a.npy", squares(40))
    options = ReadOptions(size=(64, 96))
    data = VideoData((str(tmp_path / "a.npy"),), options, levels=(0.0, 255.0))
    config = VideoRunConfig(data, scalor.config, TrainConfig(steps=1))
    save_background_image(config, tmp_path)
    return TrainedRun(tmp_path, config, scalor)


def image_of(run: TrainedRun, frames: NDArray[np.generic]) -> float:
    """Mean of the background image that frames are tracked with."""
    tracker, _ = tracker_of(run, frames, Options(decide_by="masks"))
    assert tracker.scalor.background_image is not None
    return float(tracker.scalor.background_image.mean())


def test_the_background_image_of_another_scene_is_not_used(own: TrainedRun, caplog: pytest.LogCaptureFixture) -> None:
    frames = squares(40)
    with caplog.at_level(logging.WARNING):
        before = image_of(own, frames)
    assert not caplog.messages
    with caplog.at_level(logging.WARNING):
        after = image_of(own, (255 - frames // 2).astype(np.uint8))
    assert after > before + 0.3
    (said,) = caplog.messages
    assert "the background image of the run does not fit" in said and "median of this video is used" in said


def test_files_of_another_depth_are_said_and_those_of_the_same_are_read_alike(
    own: TrainedRun, caplog: pytest.LogCaptureFixture
) -> None:
    deep = squares(40).astype(np.uint16) * 16
    with caplog.at_level(logging.WARNING, "scalor_pyro.tracks"):
        image_of(own, deep)
    assert any("expected values from 0 to 255, as in training, got" in each for each in caplog.messages)
    caplog.clear()
    config = own.config
    assert isinstance(config, VideoRunConfig)
    trained = replace(config, video=replace(config.video, levels=levels_of(Video(deep))))
    exposed = own._replace(config=trained)
    darker = (deep * 0.7).astype(np.uint16)
    with caplog.at_level(logging.WARNING, "scalor_pyro.tracks"):
        _, video = tracker_of(exposed, darker, Options(decide_by="masks"))
    assert not any("as in training" in each for each in caplog.messages)
    assert video.levels == trained.video.levels, "or it would be as bright as in training, whatever its exposure"
