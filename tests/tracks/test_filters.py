"""Filters of tracks: what is left out, filled and smoothed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.filters import FilterOptions, filtered, long_enough, present_enough, smoothed
from scalor_pyro.tracks.table import COLUMNS, Tracks, concatenate
from tests.fakes import make_tracks


def straight(frames: list[int], identity: int = 0, noise: float = 0.0, seed: int = 0) -> Tracks:
    """An object that goes 2 px to the right and 1 px up each frame."""
    x_error, y_error = np.random.default_rng(seed).normal(0, noise, (2, len(frames)))
    return make_tracks(
        [(t, identity, 10 + 2 * t + x, 90 - t + y) for t, x, y in zip(frames, x_error, y_error, strict=True)]
    )


def test_short_and_faint_tracks_are_left_out() -> None:
    long, short = straight(list(range(8)), 0), straight([3, 4], 1)
    faint = replace(straight(list(range(8)), 2), presence=np.array([0.4] * 5 + [1.0] * 3))
    tracks = concatenate([long, short, faint])
    assert set(long_enough(tracks, 3).identity) == {0, 2}
    assert set(present_enough(tracks, 0.5).identity) == {0, 1}
    assert set(filtered(tracks, FilterOptions(min_length=3, min_presence=0.5)).identity) == {0}
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(filtered(tracks, FilterOptions()), name), getattr(tracks, name))


def test_gaps_are_filled_by_the_motion_on_both_sides() -> None:
    track = straight([0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 40])
    filled = filtered(track, FilterOptions(fill_gaps=5))
    assert filled.frame.tolist() == [*range(15), 40]  # the gap of 25 stays
    assert filled.frame[filled.predicted].tolist() == [6, 7, 8, 9]
    np.testing.assert_allclose(filled.x, 10 + 2 * filled.frame, atol=0.05)
    np.testing.assert_allclose(filled.y, 90 - filled.frame, atol=0.05)
    seen = filled.rows(~filled.predicted)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(seen, name), getattr(track, name))
    deviation = filled.x_sd[filled.predicted]
    assert deviation[1] >= deviation[0] > 0 and deviation[2] >= deviation[3] > 0  # most in the middle


def test_smoothing_removes_noise_and_says_how_much_is_left() -> None:
    noise = 0.5
    tracks = concatenate([straight(list(range(60)), each, noise, seed=each) for each in range(5)])
    known = replace(tracks, x_sd=np.full(len(tracks), noise), y_sd=np.full(len(tracks), noise))
    for each in (tracks, known):
        result = filtered(each, FilterOptions(smooth=True))
        error, before = result.x - (10 + 2 * result.frame), tracks.x - (10 + 2 * tracks.frame)
        assert np.sqrt((error**2).mean()) < 0.5 * np.sqrt((before**2).mean())
        assert 0.5 < (error / result.x_sd).std() < 1.6  # the deviations are about right
        np.testing.assert_array_equal(result.identity, each.in_order().identity)
        assert not result.predicted.any()


@given(st.integers(0, 1000), st.floats(-50, 50))
def test_smoothing_does_not_depend_on_origin_or_direction(seed: int, shift: float) -> None:
    tracks = concatenate([straight(list(range(25)), each, 0.5, seed=seed + each) for each in range(2)])
    known = replace(tracks, x_sd=np.full(len(tracks), 0.4), y_sd=np.full(len(tracks), 0.4))
    expected = smoothed(known)
    moved = smoothed(replace(known, x=known.x + shift))
    np.testing.assert_allclose(moved.x, expected.x + shift, atol=1e-6)
    np.testing.assert_allclose(moved.x_sd, expected.x_sd, atol=1e-9)
    backwards = smoothed(replace(known, frame=24 - known.frame)).rows(np.arange(50)[::-1])
    order = np.lexsort((backwards.identity, 24 - backwards.frame))
    np.testing.assert_allclose(backwards.x[order], expected.x, atol=0.02)  # the first velocity is all but unknown


def test_strides_and_nothing() -> None:
    track = straight([0, 5, 10, 25, 30])
    filled = filtered(track, FilterOptions(fill_gaps=10))
    assert filled.frame.tolist() == [0, 5, 10, 15, 20, 25, 30]
    empty = concatenate([])
    assert len(filtered(empty, FilterOptions(2, 0.5, 3, True))) == 0
    assert len(filtered(straight([4]), FilterOptions(smooth=True, fill_gaps=3))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": 0}, "min_length: expected at least 1 frame, got 0"),
        ({"min_presence": 1.5}, "min_presence: expected a number from 0 to 1, got 1.5"),
        ({"min_presence": float("nan")}, "min_presence: expected a number from 0 to 1, got nan"),
        ({"fill_gaps": -1}, "fill_gaps: expected 0 or more frames, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FilterOptions(**options)
