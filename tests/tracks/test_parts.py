"""Tracks that stay together are those of parts of one object."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scalor_pyro.config.sizes import SIDE_OF_BOX
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.tracks.any_scene.parts import LEAST_FRAMES, share_in_parts
from scalor_pyro.tracks.any_scene.sizes import MARGIN
from scalor_pyro.tracks.any_scene.trials import LARGER, TIMES
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.tracker import tracker_of
from scalor_pyro.tracks.tracking import track
from tests.video_files import squares

FRAMES = 30


def moving(identity: int, x: float, y: float = 0.0, speed: float = 3.0, frames: int = FRAMES) -> Tracks:
    """A box of 10 × 10 px that moves to the right."""
    frame, ones = np.arange(frames), np.ones(frames)
    return Tracks(frame, np.full(frames, identity), x + speed * frame, y * ones, 10 * ones, 10 * ones, ones, 0 * ones)


def test_boxes_that_touch_all_the_time_are_parts() -> None:
    assert share_in_parts(concatenate([moving(1, 0), moving(2, 9)])) == 1
    alone = moving(3, 0, y=100)
    assert share_in_parts(concatenate([moving(1, 0), moving(2, 9), alone])) == pytest.approx(2 / 3)
    three = [moving(1, 0), moving(2, 9), moving(3, 18)]
    assert share_in_parts(concatenate(three)) == 1


def test_objects_that_meet_or_walk_beside_each_other_are_not() -> None:
    assert share_in_parts(concatenate([moving(1, 0), moving(2, 40, speed=0.0)])) == 0
    assert share_in_parts(concatenate([moving(1, 0), moving(2, 0, y=12)])) == 0
    assert share_in_parts(moving(1, 0)) == 0


def test_a_dense_layer_that_moves_as_one_is_not_in_parts() -> None:
    layer = [moving(5 * row + column, 10 * column, y=10 * row) for row in range(5) for column in range(5)]
    assert share_in_parts(concatenate(layer)) == 0


def test_tracks_of_few_frames_say_nothing() -> None:
    short = LEAST_FRAMES - 1
    assert share_in_parts(concatenate([moving(1, 0, frames=short), moving(2, 9, frames=short)])) == 0
    assert share_in_parts(concatenate([moving(1, 0), moving(2, 9, frames=short)])) == 0
    nothing = moving(1, 0).rows(np.zeros(FRAMES, np.bool_))
    assert share_in_parts(nothing) == 0


@given(seed=st.integers(0, 999), scale=st.floats(0.1, 10), first=st.integers(0, 500))
def test_neither_order_names_scale_nor_the_first_frame_matter(seed: int, scale: float, first: int) -> None:
    random = np.random.default_rng(seed)
    tracks = concatenate([moving(k, *random.uniform(0, 25, 2), speed=random.uniform(0, 1)) for k in range(5)])
    rows = tracks.rows(random.permutation(len(tracks)))
    names = random.permutation(100)[:5]
    other = Tracks(
        rows.frame + first,
        names[rows.identity],
        *(scale * column for column in (rows.x, rows.y, rows.width, rows.height)),
        rows.presence,
        rows.depth,
    )
    assert share_in_parts(other) == pytest.approx(share_in_parts(tracks))


# ------------------------------------------------------------------ in a video


def bars(length: int = 45, breadth: int = 12, count: int = 4, frames: int = 24) -> NDArray[np.uint8]:
    """Bars that move from left to right, light at one end and dark at the other. (T, H, W)"""
    video = np.full((frames, 128, 256), 128, np.uint8)
    for t in range(frames):
        for k in range(count):
            x, y = 8 + 7 * t + 3 * k, 8 + 30 * k
            video[t, y : y + breadth, x : x + length // 2] = 250
            video[t, y : y + breadth, x + length // 2 : x + length] = 10
    return video


def test_a_bar_of_two_shades_is_one_object(
    run: TrainedRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    halves_told = SIDE_OF_BOX * (45 / 2 * 12) ** 0.5 / MARGIN
    monkeypatch.setattr("scalor_pyro.tracks.any_scene.trials.told_side", lambda *_: halves_told)
    monkeypatch.setattr("scalor_pyro.tracks.any_scene.trials.misfit", lambda *_: None)
    with monkeypatch.context() as unnoticed:
        unnoticed.setattr("scalor_pyro.tracks.any_scene.trials.TIMES", 0)
        halves = track(bars(), run)
    assert (halves["frame"] == 12).sum() == 8 and "parts" not in caplog.text
    with caplog.at_level(logging.WARNING):
        tracks = track(bars(), run)
    assert "are parts of larger ones" in caplog.text
    whole = tracks[tracks["frame"] == 12]
    assert len(whole) == 4 and whole["width"].median() > 36


def test_larger_objects_are_looked_for_while_there_are_parts(
    run: TrainedRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    video = squares(20, size=(256, 384), side=16, speed=4)
    usual = tracker_of(run, video)[1].geometry.size
    assert "parts" not in caplog.text
    monkeypatch.setattr("scalor_pyro.tracks.any_scene.trials.share_in_parts", lambda _: 1.0)
    larger = tracker_of(run, video)[1].geometry.size
    assert larger[0] == pytest.approx(usual[0] / LARGER**TIMES, rel=0.1)
    assert caplog.text.count("are parts of larger ones") == 1
    given_size = tracker_of(run, video, Options(object_size=16.0))[1].geometry.size
    assert given_size[0] == pytest.approx(256 * 10 / (0.85 * 16), abs=8), "a size that is given is not corrected"
