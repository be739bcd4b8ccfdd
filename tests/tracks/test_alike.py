"""Boxes of one size where all objects have it."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from scalor_pyro.config import BoxRanges, ConfigError, ModelConfig
from scalor_pyro.config.movers import any_scene
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.any_scene.alike import (
    LEAST_OBJECTS,
    MOST_PERSPECTIVE,
    Sizes,
    box_ranges,
    median_slope,
    perspective_of,
)
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.tracker import load_for_tracking, tracker_of
from scalor_pyro.tracks.tracking import track
from tests.video_files import squares, squares_in_perspective

CONFIG = any_scene().model


def boxes(sides: NDArray[np.float64], aspect: NDArray[np.float64] | float = 1.0) -> NDArray[np.float64]:
    """Heights and widths of objects of these sides, with the margin that boxes have."""
    root = np.sqrt(np.broadcast_to(aspect, sides.shape))
    return CONFIG.box_margin * np.stack((sides * root, sides / root), 1)


def ranges_of(
    sides: NDArray[np.float64],
    sizes: Sizes,
    aspect: NDArray[np.float64] | float = 1.0,
    places: NDArray[np.float64] | float = 0.0,
) -> BoxRanges | None:
    return box_ranges(CONFIG, boxes(sides, aspect), sides, np.broadcast_to(places, sides.shape), sizes)


def found(sides: NDArray[np.float64], aspect: NDArray[np.float64] | float = 1.0) -> BoxRanges | None:
    return ranges_of(sides, "auto", aspect)


@given(side=st.floats(6.5, 11.5), aspect=st.floats(0.4, 2.5), seed=st.integers(0, 99), spread=st.floats(0, 0.1))
def test_the_boxes_of_like_objects_surround_most_of_them(side: float, aspect: float, seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    sides, aspects = (each * np.exp(spread * random.normal(size=60)) for each in (side, aspect))
    ranges = found(sides, aspects)
    assert ranges is not None
    assert ranges.size_range < CONFIG.size_range / 2 and ranges.aspect_range < CONFIG.aspect_range / 2
    low, high = (ranges.object_size * (1 + sign * ranges.size_range) for sign in (-1, 1))
    flat, tall = (ranges.aspect * np.exp(sign * ranges.aspect_range) for sign in (-1, 1))
    assert ((sides > low) & (sides < high)).mean() > 0.3
    assert ((aspects > flat) & (aspects < tall)).mean() > 0.3
    assert CONFIG == any_scene().model and ranges.of(CONFIG).object_size == ranges.object_size


def test_pairs_do_not_widen_the_boxes() -> None:
    sides = np.repeat([10.0, 14.0], [30, 8])  # a pair side by side covers twice the area
    ranges = found(sides, np.repeat([1.0, 2.0], [30, 8]))
    assert ranges is not None
    assert ranges.object_size * (1 + ranges.size_range) < 14


def test_objects_of_different_sizes_keep_the_boxes_of_training() -> None:
    sides = np.geomspace(6, 14, 40)
    assert found(sides) is None
    forced = ranges_of(sides, "alike")
    assert forced is not None and forced.size_range < CONFIG.size_range


@given(perspective=st.floats(0.35, 1.2), nearer=st.sampled_from([-1, 1]), seed=st.integers(0, 99))
def test_objects_that_are_alike_at_one_distance_get_boxes_that_grow(perspective: float, nearer: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    places, perspective = random.uniform(-0.9, 0.9, 200), nearer * perspective
    sides = 8 * np.exp(perspective * places / 2 + 0.07 * random.normal(size=200))
    ranges = ranges_of(sides, "auto", places=places)
    assert ranges is not None and ranges.perspective == pytest.approx(perspective, abs=0.15)
    assert ranges.object_size == pytest.approx(8, rel=0.05) and ranges.size_range < CONFIG.size_range / 2
    assert ranges_of(sides, "any", places=places) is None


@given(noise=st.floats(0.25, 0.28), seed=st.integers(0, 99))
def test_more_may_be_left_of_a_spread_that_a_perspective_lessens(noise: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    places = np.linspace(-0.9, 0.9, 200)
    left = noise * stats.norm.ppf(random.permutation(np.linspace(0.01, 0.99, 200)))
    near = ranges_of(8 * np.exp(0.5 * places + left), "auto", places=places)
    assert near is not None and near.perspective > 0.7
    assert ranges_of(8 * np.exp(left), "auto", places=places) is None
    assert ranges_of(8 * np.exp(0.5 * places + 2 * left), "auto", places=places) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(-99, 99)), min_size=3, max_size=40, unique_by=lambda point: point[1]
    )
)
def test_the_median_slope_and_its_interval_are_those_of_scipy(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, np.float64).T
    assume(np.ptp(x) > 0)
    line = stats.theilslopes(y, x)
    assert median_slope(x, y) == pytest.approx((line.slope, line.low_slope, line.high_slope))


def test_few_objects_and_those_of_one_distance_show_no_perspective() -> None:
    sides, places = np.geomspace(6, 14, 60), np.linspace(-0.8, 0.8, 60)
    assert perspective_of(places, sides) == pytest.approx(np.log(14 / 6) / 0.8, rel=0.01)
    assert perspective_of(places, sides**9) == pytest.approx(MOST_PERSPECTIVE)
    assert perspective_of(places / 4, sides) == 0
    assert perspective_of(places[::4], sides[::4]) == 0
    assert perspective_of(places, np.random.default_rng(0).permutation(sides)) == 0
    assert perspective_of(places, np.full(60, 10.0)) == 0
    assert perspective_of(places, 10 * np.exp(0.09 * places)) == 0, "less than boxes of one size hold"
    assert perspective_of(places, 10 * np.exp(0.11 * places)) == pytest.approx(0.22)


@given(perspective=st.floats(-1.3, 1.3), top=st.floats(0, 0.6), height=st.floats(0.2, 0.4), place=st.floats(0, 1))
def test_a_part_of_the_image_has_the_boxes_of_the_whole(
    perspective: float, top: float, height: float, place: float
) -> None:
    whole = BoxRanges(10.0, 0.1, 1.0, 0.2, perspective)
    part = whole.between(top, top + height)
    shape, lower = torch.tensor([[[0.4, -0.3]]]), top + place * height
    for ranges, down in ((whole, 2 * lower - 1), (part, 2 * place - 1)):
        boxes = Boxes(ranges.of(CONFIG))
        cells = torch.zeros(1, 1, dtype=torch.long)
        boxes.cell_centres[0] = torch.tensor([0.0, down])
        where, _, _ = boxes.discovered(torch.cat((shape, torch.zeros(1, 1, 2)), -1), cells)
        assert float(where[0, 0, 3]) == pytest.approx(down, abs=1e-6)
        side = float((where[0, 0, :2] * torch.tensor(CONFIG.image_size[::-1])).prod().sqrt())
        expected = CONFIG.box_margin * 10 * (1 + 0.1 * np.tanh(0.4)) * np.exp(perspective * (2 * lower - 1) / 2)
        assert side == pytest.approx(expected, rel=1e-4)


def test_bodies_that_turn_keep_the_aspects_of_training() -> None:
    ranges = found(np.full(40, 10.0), np.geomspace(0.5, 2, 40))
    assert ranges is not None
    assert (ranges.aspect, ranges.aspect_range) == (CONFIG.aspect, CONFIG.aspect_range)
    assert ranges.size_range < CONFIG.size_range


def test_objects_as_large_as_boxes_can_be_do_not_tell() -> None:
    largest = np.full(40, CONFIG.object_size * (1 + CONFIG.size_range))
    assert found(0.85 * largest) is not None and found(0.97 * largest) is None
    assert ranges_of(0.97 * largest, "alike") is not None


def test_few_objects_do_not_tell_unless_the_user_does() -> None:
    few = np.full(LEAST_OBJECTS - 1, 10.0)
    assert found(few) is None and found(np.append(few, 10.0)) is not None
    assert ranges_of(few, "alike") is not None
    assert ranges_of(few[:0], "alike") is None
    many = np.full(50, 10.0)
    assert ranges_of(many, "any") is None


def test_boxes_are_never_wider_than_in_training() -> None:
    narrow = ModelConfig(size_range=0.05, aspect_range=0.1)
    sides = np.full(50, narrow.object_size)
    ranges = box_ranges(narrow, boxes(sides), sides, np.zeros(50), "alike")
    assert ranges is not None and (ranges.size_range, ranges.aspect_range) == (0.05, 0.1)


# ------------------------------------------------------------------ in a video


@pytest.fixture(scope="module")
def run() -> TrainedRun:
    return load_for_tracking(ANY_SCENE)


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    """Five squares of 16 px."""
    return squares(20, size=(128, 192), side=16, speed=4)


def test_a_trial_tells_that_squares_are_alike(run: TrainedRun, street: NDArray[np.uint8]) -> None:
    (usual, video), (wide, _) = (tracker_of(run, street, Options(sizes=each)) for each in ("auto", "any"))
    one, any_size = usual.scalor.config, wide.scalor.config
    assert any_size.size_range == run.config.model.size_range and any_size.object_size == run.config.model.object_size
    assert one.size_range < any_size.size_range and one.aspect_range < any_size.aspect_range
    scale = video.geometry.size[0] / 128
    assert one.object_size == pytest.approx(16 * scale, rel=0.2)


def test_boxes_of_nearer_squares_are_larger(run: TrainedRun) -> None:
    frames = squares_in_perspective(24)
    tracker, _ = tracker_of(run, frames)
    config = tracker.scalor.config
    assert 0.5 < config.perspective < 1.4 and config.size_range < run.config.model.size_range
    tracks = track(frames, run)
    sides = np.sqrt(tracks.width * tracks.height)
    upper, lower = sides[tracks.y < 40].median(), sides[tracks.y > 150].median()
    assert 1.5 < lower / upper < 2.8


def test_a_video_without_objects_to_try_says_so(
    run: TrainedRun, street: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scalor_pyro.tracks.any_scene.trials.box_ranges", lambda *_: None)
    with caplog.at_level(logging.WARNING):
        tracker_of(run, street, Options(sizes="alike"))
        tracker_of(run, street)
    assert caplog.text.count("a trial found no object") == 1


def test_sizes_are_those_of_a_run_unless_it_is_for_any_scene(street: NDArray[np.uint8], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sizes: expected 'auto', because only weights for any scene"):
        track(street, "sprites-md", sizes="alike")
    with pytest.raises(ConfigError, match="sizes: expected .*'alike'.*got 'some'"):
        Options(sizes="some")  # type: ignore[arg-type]
