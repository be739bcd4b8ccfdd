"""Parts of a video side by side: each frame once, the same identities across parts, and processes that fail."""

import logging
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from scalor_pyro.config import AnySceneRunConfig, ConfigError, MoverConfig, TrainConfig
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.side_by_side import (
    SHARED,
    Arrived,
    Failed,
    Names,
    Part,
    parts_of,
    same_objects,
    side_by_side,
    tracked,
)
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.tracker import chunk_of, tracker_of
from scalor_pyro.tracks.tracking import track
from scalor_pyro.video import VideoError
from tests.video_files import squares, write_video

FRAMES = 220
# What is asked of all trackers here: fast, and whatever moves is seen.
HOW = Options(object_size=16, decide_by="masks", lookahead=0)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("long") / "street.mkv", squares(FRAMES, size=(64, 96), side=16, speed=1))


@pytest.fixture
def run(make_scalor: Callable[..., Scalor], tmp_path: Path) -> TrainedRun:
    """A model for any scene, which sees opaque objects."""
    scalor = make_scalor(
        background="static", object_size=8.0, image_size=(32, 32), cells=(4, 4), sigma=0.13, channels=3
    )
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.weight.normal_(std=0.8)
        scalor.decoder.bias[-1] = 4.0
    config = AnySceneRunConfig(scalor.config, TrainConfig(steps=1), MoverConfig((32, 32), object_size=8.0))
    return TrainedRun(tmp_path, config, scalor)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in the processes: several threads add in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def boxes(frame: np.ndarray[Any, Any], identity: np.ndarray[Any, Any], x: np.ndarray[Any, Any]) -> Tracks:
    """Objects of 10 × 10 px, 30 px below one another."""
    of = np.ones(len(frame))
    return Tracks(frame, identity, x.astype(float), 30.0 * x.astype(int), 10 * of, 10 * of, of, 0 * of)


@given(
    st.permutations(range(6)),
    st.sets(st.integers(0, 5)),
    st.sets(st.integers(0, 5)),
    st.integers(0, 2**32 - 1),
)
def test_objects_are_recognised_whatever_they_are_called(
    names: list[int], only_earlier: set[int], only_later: set[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    places = np.arange(6)
    frame, which = np.repeat(np.arange(16), 6), np.tile(places, 16)
    x = 20.0 * which + random.uniform(-1, 1, len(which))
    every = boxes(frame, which, 20.0 * which)
    earlier = every.rows(~np.isin(which, list(only_later - only_earlier)))
    moved = replace(every, identity=np.array(names)[which], x=x)
    later = moved.rows(~np.isin(which, list(only_earlier)))
    both = set(places.tolist()) - only_earlier - (only_later - only_earlier)
    assert same_objects(earlier, later) == {names[each]: each for each in both}


def test_an_object_that_only_passes_another_is_not_taken_for_it() -> None:
    frame = np.arange(16)
    resting = boxes(frame, np.zeros(16, int), np.full(16, 50.0))
    passing = replace(resting, x=10.0 * frame)  # three frames of sixteen within reach
    assert same_objects(resting, passing) == {}
    assert same_objects(resting, concatenate([passing, replace(resting, identity=resting.identity + 7)])) == {7: 0}


def test_new_objects_get_identities_that_no_other_has() -> None:
    names, frame = Names(), np.arange(16)
    first = boxes(frame, np.full(16, 3), np.full(16, 20.0))
    assert set(names.of(first.identity)) == {3}
    names.begin(first, replace(first, identity=np.full(16, 5)))
    assert names.of(np.array([[5, 3], [4, 3]])).tolist() == [[3, 4], [5, 4]]
    assert names.of(np.array([5, 6])).tolist() == [3, 6]


def test_tracks_and_masks_are_called_the_same() -> None:
    names, frame = Names(), np.zeros(1, int)
    before = boxes(frame, np.array([8]), np.array([20.0]))
    names.begin(before, replace(before, identity=np.array([1])))
    segments = np.array([[[-2, -1, 0], [1, 1, 2]]])
    there = concatenate([replace(before, identity=np.array([each])) for each in (1, 2)])
    found = Arrived(frame, there, 0, 0, 0.0, np.zeros((2, 3), np.float32), zlib.compress(segments.tobytes()), (2, 3))
    called = found.called(names)
    one, two = called.tracks.identity.tolist()
    (((none, shadow, zero), below),) = called.segments().tolist()
    assert (none, shadow, below, one) == (-2, -1, [8, 8, two], 8)
    assert len({zero, one, two}) == 3


@pytest.mark.parametrize(("stride", "start", "stop"), [(1, 0, None), (2, 0, None), (2, 11, 219)])
def test_parts_share_some_frames_and_hold_each_frame_once(
    run: TrainedRun, video: Path, stride: int, start: int, stop: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalor_pyro.tracks.side_by_side.LEAST_FRAMES", 20)
    tracker, reader = tracker_of(run, video, replace(HOW, stride=stride, start=start, stop=stop))
    parts = parts_of(tracker, reader, 4)
    assert len(parts) == (4 if stride == 1 else 3)
    numbers: list[int] = []
    for part in parts:
        read = [frame.number for frame in reader.again(replace(reader.options, start=part.begin, stop=part.stop))]
        assert sum(number < part.turn for number in read) == (SHARED * chunk_of(tracker) if numbers else 0)
        numbers += [number for number in read if number >= part.turn]
    assert numbers == [frame.number for frame in reader]


def test_a_short_video_is_tracked_by_one_process(run: TrainedRun, video: Path) -> None:
    tracker, reader = tracker_of(run, video, HOW)
    assert len(parts_of(tracker, reader, 16)) == 2
    tracker.to_picture = 150
    assert parts_of(tracker, reader, 16) == [Part(0, 0, None)]


def test_identities_go_on_from_part_to_part(run: TrainedRun, video: Path, one_thread: None) -> None:
    whole, parts = (
        track(video, run, object_size=16, decide_by="masks", lookahead=0, link=False, processes=processes)
        for processes in (1, 2)
    )
    assert sorted(set(parts.frame)) == sorted(set(whole.frame))
    turn = FRAMES // 2
    assert_frame_equal(*(table[table.frame < turn].reset_index(drop=True) for table in (whole, parts)))
    before, after = (set(parts[parts.frame == number].particle) for number in (turn - 1, turn))
    assert before & after


def test_masks_pictures_and_progress_arrive(run: TrainedRun, video: Path, one_thread: None) -> None:
    tracker, reader = tracker_of(run, video, HOW, pictured=3)
    tracker_alone, _ = tracker_of(run, video, HOW)
    told: list[int] = []
    parts, chunks = parts_of(tracker, reader, 2), reader.chunks(chunk_of(tracker))
    for found in side_by_side(tracker, reader, video, parts, masks=True, progress=told.append):
        owners = found.segments()
        assert owners.shape == (len(found.numbers), *reader.geometry.size)
        if found.numbers[-1] < parts[1].turn:
            (alone,) = (each.segments() for each in (tracker_alone.advance(next(chunks)),))
            assert np.array_equal(owners, alone[: len(owners)])  # a part may end within a chunk
    assert sum(told) == FRAMES
    assert tracker.pictured is not None and tracker.pictured.numbers.tolist() == [0, 1, 2]


def test_what_a_file_announces_but_does_not_hold_is_left_out(run: TrainedRun, video: Path) -> None:
    tracker, reader = tracker_of(run, video, HOW)
    parts = [Part(0, 0, 150), Part(134, 150, 900), Part(884, 900, None)]
    numbers = np.concatenate([found.numbers for found in side_by_side(tracker, reader, video, parts)])
    assert np.array_equal(numbers, np.arange(FRAMES))


def test_warnings_of_parts_are_given_once(run: TrainedRun, video: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker, reader = tracker_of(run, video, replace(HOW, slots=1))
    caplog.clear()
    parts = parts_of(tracker, reader, 2)
    with caplog.at_level(logging.WARNING):
        assert sum(len(found.numbers) for _, found in tracked(tracker, reader, video, parts)) == FRAMES
    full = [each for each in caplog.messages if "slots" in each]
    assert len(full) == 1


class _Fatal:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_a_process_that_dies_is_missed(run: TrainedRun, video: Path) -> None:
    tracker, reader = tracker_of(run, video, HOW)
    parts = parts_of(tracker, reader, 2)
    tracker.pictured = _Fatal()  # type: ignore[assignment]
    with pytest.raises(Failed, match=r"frames from (0|110) on ended before it was done \(exit code 3\)"):
        list(side_by_side(tracker, reader, video, parts))


def test_a_file_that_cannot_be_read_is_said_as_ever(run: TrainedRun, video: Path, tmp_path: Path) -> None:
    tracker, reader = tracker_of(run, video, HOW)
    with pytest.raises(VideoError, match="There is no file or folder"):
        list(side_by_side(tracker, reader, tmp_path / "gone.mkv", parts_of(tracker, reader, 2)))


def test_less_than_one_process_is_refused(run: TrainedRun, video: Path) -> None:
    with pytest.raises(ConfigError, match="processes: expected at least 1, got 0"):
        track(video, run, processes=0)
