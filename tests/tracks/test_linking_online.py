"""Linking in a stream: the past does not depend on the future, and objects get their identities back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.linking.online import OnlineLinker
from scalor_pyro.tracks.table import COLUMNS, Tracks, concatenate
from tests.fakes import make_tracks
from tests.tracks.test_linking import SIZE, agreement, crowd

seeds = st.integers(0, 10_000)


def streamed(tracks: Tracks, seen: NDArray[np.float64] | None, linker: OnlineLinker, *borders: int) -> list[Tracks]:
    """What is returned for each chunk; chunks end before these frames."""
    returned, start = [], 0
    for stop in borders:
        here = (tracks.frame >= start) & (tracks.frame < stop)
        returned.append(linker.add(tracks.rows(here), None if seen is None else seen[here], last=stop - 1))
        start = stop
    return returned


def same(one: Tracks, other: Tracks) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in COLUMNS)


@given(seeds, st.integers(1, 49), st.sampled_from([0, 1, 5]), st.booleans())
def test_the_past_does_not_depend_on_the_future(seed: int, now: int, delay: int, with_appearance: bool) -> None:
    tracks, appearance, _ = crowd(seed, objects=5, frames=50)
    seen = appearance if with_appearance else None
    (whole,) = streamed(tracks, seen, OnlineLinker(SIZE, delay=delay), 50)
    (past,) = streamed(tracks, seen, OnlineLinker(SIZE, delay=delay), now)
    assert past.frame.max(initial=-1) <= now - 1 - delay
    assert same(past, whole.rows(whole.frame <= now - 1 - delay))


@given(seeds, st.lists(st.integers(1, 49), max_size=6), st.sampled_from([0, 4]))
def test_chunks_do_not_matter_and_every_row_comes_once(seed: int, borders: list[int], delay: int) -> None:
    tracks, appearance, _ = crowd(seed, objects=4, frames=50)
    results = []
    for each in ([], sorted(set(borders))):
        linker = OnlineLinker(SIZE, delay=delay)
        results.append(concatenate([*streamed(tracks, appearance, linker, *each, 50), linker.finish()]))
    assert same(*results)
    ordered, expected = results[0].in_order(), tracks.in_order()
    # Two tracks of one object may share frames, of which one row each is left; otherwise rows are the same.
    assert len(ordered) <= len(expected)
    places = {tuple(row) for row in np.c_[expected.frame, expected.box].tolist()}
    assert {tuple(row) for row in np.c_[ordered.frame, ordered.box].tolist()} <= places


def test_a_crowd_gets_its_identities_back() -> None:
    for seed in range(3):
        tracks, appearance, true = crowd(seed)
        linker = OnlineLinker(SIZE)
        linked = concatenate([linker.add(tracks, appearance), linker.finish()])
        objects = {
            (frame, x, y): each
            for frame, x, y, each in zip(tracks.frame, tracks.x, tracks.y, true.tolist(), strict=True)
        }
        of = np.array([objects[key] for key in zip(linked.frame, linked.x, linked.y, strict=True)])
        assert agreement(tracks.identity, true) < 0.75
        assert agreement(linked.identity, of) > 0.85


def test_an_object_is_forgotten_after_the_memory() -> None:
    there = [(t, 0, 50, 50) for t in range(10)] + [(t, 8, 50, 50) for t in range(30, 40)]
    for memory, identities in ((10, {0, 1}), (30, {0})):
        linker = OnlineLinker(SIZE, memory=memory, delay=2)
        linked = concatenate([linker.add(make_tracks(there)), linker.finish()])
        assert set(linked.identity) == identities


def test_a_track_that_was_gone_may_find_its_object_taken_over() -> None:
    # Track 0 is not reported for a while; track 1 goes on with its object, and then track 0 comes back elsewhere.
    rows = [(t, 0, 50, 50) for t in range(10)] + [(t, 1, 50, 50) for t in range(12, 30)]
    tracks = make_tracks(rows + [(t, 0, 90, 10) for t in range(20, 30)])
    linker = OnlineLinker(SIZE, delay=1)
    linked = concatenate([linker.add(tracks), linker.finish()])
    assert len(linked) == len(tracks)
    assert set(linked.identity[linked.x == 50]) == {0}
    assert set(linked.identity[linked.x == 90]) == {1}


def test_memory_does_not_grow() -> None:
    random = np.random.default_rng(0)
    linker, sizes = OnlineLinker(SIZE, memory=10, delay=2), []
    for start in range(0, 3000, 50):
        rows = [(t, t // 10 + 1000 * k, *random.uniform(0, 100, 2)) for t in range(start, start + 50) for k in range(3)]
        linker.add(make_tracks(rows), random.normal(size=(len(rows), 2)))
        lives = {id(life): life for life in [*linker._lives.values(), *linker._past]}
        kept = [life for known in linker._known for life in known.lives]
        sizes.append(sum(len(life.boxes) for life in [*lives.values(), *kept]))
    assert max(sizes[30:]) < 1.5 * max(sizes[20:30])


def test_frames_without_objects_and_nothing_at_all() -> None:
    linker = OnlineLinker(SIZE)
    assert len(linker.add(concatenate([]), last=10)) == len(linker.finish()) == 0
    tracks = make_tracks([(20, 3, 5, 5)])
    assert len(linker.add(tracks)) == 0
    done = linker.finish()
    assert done.identity.tolist() == [0] and done.frame.tolist() == [20]
    with pytest.raises(ValueError, match="tracks: expected frames from 21 on, got frame 20"):
        linker.add(tracks)
    with pytest.raises(ValueError, match=r"appearance: expected shape \(1, D\)"):
        linker.add(replace(tracks, frame=tracks.frame + 5), np.zeros(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory": 0}, "memory: expected at least 1 frame, got 0"),
        ({"delay": -1}, "delay: expected 0 or more frames, got -1"),
        ({"within": 0.0}, "within: expected a variance above 0, got 0.0"),
        ({"image_size": (0, 5)}, r"image_size: expected a height and a width above 0 px, got \(0, 5\)"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OnlineLinker(**{"image_size": SIZE, **settings})
