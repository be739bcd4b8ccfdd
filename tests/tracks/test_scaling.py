"""The scale at which a model for any scene sees a video: what bounds it, what corrects it, and which videos suit."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scalor_pyro.config import AnySceneRunConfig, ConfigError, MoverConfig, ReadOptions
from scalor_pyro.data import MoverVideos
from scalor_pyro.data.movers import gain_for
from scalor_pyro.inference.posterior import infer
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.tracks.any_scene import looks
from scalor_pyro.tracks.any_scene.looks import Look, look_at, require_frames, require_suitable
from scalor_pyro.tracks.any_scene.trials import mask_sides, misfit, trial
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.tracker import tracker_of
from scalor_pyro.tracks.tracking import track
from scalor_pyro.video import Video, VideoError, survey
from tests.video_files import squares

SIDE = 16


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    """Five squares of 16 px."""
    return squares(20, size=(128, 192), side=SIDE, speed=4)


# ------------------------------------------------------------------ masks say the scale


def test_a_wrong_scale_is_noticed_and_a_right_one_is_kept(run: TrainedRun, config: AnySceneRunConfig) -> None:
    movers = MoverConfig((128, 128), 10.0, 16, 8, 0.0, bodies=("blob", "ellipse", "box"))
    frames = np.moveaxis(MoverVideos(movers, seed=3).video(2)[0], 1, -1)
    video = Video(frames)
    seen = survey(video)
    trials = [trial(run.scalor, seen, look_at(config, video, seen=seen, side=side)) for side in (20.0, 10.0, 5.0)]
    smaller, right, larger = (misfit(each.sides, 10.0) for each in trials)
    assert right is None
    assert smaller is not None and smaller < 0.75
    assert larger is not None and larger > 1.35


def test_a_video_is_read_again_at_the_scale_of_its_masks(
    run: TrainedRun, street: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usual = tracker_of(run, street)[1].geometry.size
    monkeypatch.setattr("scalor_pyro.tracks.any_scene.trials.misfit", lambda *_: 0.5)
    monkeypatch.setattr("scalor_pyro.tracks.any_scene.trials.share_in_parts", lambda _: 0.0)  # it would undo this
    with caplog.at_level(logging.WARNING):
        corrected = tracker_of(run, street)[1].geometry.size
    assert corrected[0] == pytest.approx(2 * usual[0], rel=0.15)
    assert caplog.text.count("times as large as expected") == 1
    given = tracker_of(run, street, Options(object_size=16.0))[1].geometry.size
    assert given[0] == pytest.approx(128 * 10 / (0.85 * 16), abs=8), "a size that is given is not corrected"


def test_the_random_state_is_left_alone(run: TrainedRun, street: NDArray[np.uint8]) -> None:
    before = torch.random.get_rng_state()
    tracker_of(run, street)
    assert torch.equal(before, torch.random.get_rng_state())


def test_masks_are_measured_by_their_boxes(run: TrainedRun, config: AnySceneRunConfig) -> None:
    batch = MoverVideos(config.movers, seed=9).batch(0, 6, 2)
    found = infer(run.scalor, batch.tensor())
    sides = mask_sides(found)
    assert len(sides) > 20 and float(np.median(sides)) == pytest.approx(10, rel=0.25)
    assert misfit(sides, 10.0) is None
    assert misfit(sides, 5.0) == pytest.approx(float(np.median(sides)) / 5)
    empty = found._replace(presence=torch.zeros_like(found.presence))
    assert len(mask_sides(empty)) == 0 and misfit(mask_sides(empty), 5.0) is None


# ------------------------------------------------------------------ bounds


def looked_at(config: AnySceneRunConfig, height: int, width: int, side: float, most: float = 5) -> Look:
    """How a video of this size would be seen, if objects had this size."""
    video = Video(np.zeros((1, height, width), np.uint8))
    seen = replace(survey(Video(squares())), size=(height, width), height=side / 0.85, width=side / 0.85, most=most)
    return look_at(config, video, seen=seen)


def test_the_work_is_bounded_for_small_objects_and_large_frames(config: AnySceneRunConfig) -> None:
    usual = looked_at(config, 480, 640, 20)
    assert usual.note is None and usual.options.size == (240, 320)
    for height, width, side in ((424, 640, 4.0), (2160, 3840, 10.0), (240, 320, 2.0)):
        look = looked_at(config, height, width, side)
        assert look.options.size is not None and look.note is not None
        assert np.prod(look.options.size) <= 1.03 * looks.MOST_PIXELS
        assert look.options.size[0] <= 1.05 * looks.MOST_ENLARGED * height
        assert f"resized to {look.options.size[1]} × {look.options.size[0]} px" in look.note
    assert looked_at(config, 480, 640, 20, most=5000).slots == looks.MOST_SLOTS


# ------------------------------------------------------------------ videos that do not suit


def refusal(video: Video) -> str:
    with pytest.raises(VideoError) as error:
        require_frames(video)
        require_suitable(survey(video), video)
    return str(error.value)


def test_short_videos_are_refused_by_weights_that_know_no_scene(street: NDArray[np.uint8]) -> None:
    assert "expected at least 10 frames, to tell objects from the background, got 9" in refusal(Video(street[:9]))
    part = Video(street, ReadOptions(start=4, stop=12))
    assert "got 8" in refusal(part)
    require_frames(Video(street))
    require_suitable(survey(Video(street)), Video(street))


def test_a_moving_camera_is_refused_and_one_at_rest_is_not() -> None:
    random = np.random.default_rng(1)
    scene = np.kron(random.integers(0, 255, (40, 60)), np.ones((4, 4))).astype(np.uint8)
    moving = np.stack([scene[10 + t : 74 + t, 2 * t : 2 * t + 96] for t in range(24)])
    assert "expected a camera that stands still, got one that moves" in refusal(Video(moving))


@pytest.mark.parametrize("share", [0.6, 0.7])
def test_movers_as_large_as_the_frame_are_refused(share: float) -> None:
    random = np.random.default_rng(1)
    video = np.repeat(random.integers(60, 120, (1, 120, 160), dtype=np.uint8), 40, 0)
    height, width = int(120 * share), int(160 * share)
    for t in range(40):
        y, x = int((120 - height) * (0.5 + 0.5 * np.cos(t / 7))), int((160 - width) * (0.5 + 0.5 * np.sin(t / 5)))
        video[t, y : y + height, x : x + width] = 200
    assert "expected objects smaller than 50% of the frame's side" in refusal(Video(video))


def test_a_video_in_which_nothing_moves_is_refused(run: TrainedRun) -> None:
    with pytest.raises(VideoError, match="Nothing was seen to move"):
        track(np.full((20, 64, 96), 90, np.uint8), run)


# ------------------------------------------------------------------ sizes that are given


def test_a_size_is_given_in_three_ways(run: TrainedRun, street: NDArray[np.uint8]) -> None:
    ways = (
        Options(object_size=16.0),
        Options(object_size=(16.0, 16.0)),
        Options(example=(20.0, 2.0, 16.0, 16.0)),
        Options(object_size=(8.0, 32.0)),
    )
    sizes = [tracker_of(run, street, each)[1].geometry.size for each in ways]
    assert len(set(sizes)) == 1
    with pytest.raises(ConfigError, match="example: expected a box inside the frame of 192 × 128 px"):
        tracker_of(run, street, Options(example=(180.0, 2.0, 16.0, 16.0)))
    with pytest.raises(ConfigError, match="expected none beside an example"):
        Options(object_size=3.0, example=(1.0, 1.0, 5.0, 5.0))


def test_contrast_sets_the_gain(config: AnySceneRunConfig, street: NDArray[np.uint8]) -> None:
    seen = survey(Video(street), box=(16.0, 16.0))
    assert look_at(config, Video(street), seen=seen).gain == gain_for(seen.contrast)
