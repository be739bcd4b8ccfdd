"""The shape of a mask is that of what was drawn, in px of the file, wherever and however large it is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scalor_pyro.inference.latents import frames_of
from scalor_pyro.inference.masks import owners
from scalor_pyro.inference.posterior import follow, slots_of
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.filters import FilterOptions, filtered
from scalor_pyro.tracks.shape import corners, intensities, shapes_of, together, with_shapes
from scalor_pyro.tracks.table import Tracks, tracks_of
from tests.fakes import make_tracks

# Points along each side of a glimpse's pixel at which a drawn ellipse is averaged.
DRAWN_AT = 8
SIDES = st.floats(5, 200)


def ellipse(
    side: tuple[float, float], length: float, breadth: float, angle: float, shift: tuple[float, float], size: int = 16
) -> np.ndarray:
    """Alpha of a glimpse that shows an ellipse: axes and shift in px, angle in degrees. (size, size)"""
    place = (np.arange(size * DRAWN_AT) + 0.5) / (size * DRAWN_AT) - 0.5
    x, y = place * side[0] - shift[0], (place * side[1] - shift[1])[:, None]
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    inside = ((cos * x + sin * y) / (length / 2)) ** 2 + ((cos * y - sin * x) / (breadth / 2)) ** 2 < 1
    return inside.reshape(size, DRAWN_AT, size, DRAWN_AT).mean((1, 3))


@given(
    side=st.tuples(SIDES, st.floats(0.5, 2)),
    length=st.floats(0.45, 0.9),
    aspect=st.floats(0.45, 1),
    angle=st.floats(-90, 90),
    shift=st.tuples(*[st.floats(-0.04, 0.04)] * 2),
    centre=st.tuples(*[st.floats(-50, 500)] * 2),
)
def test_an_ellipse_has_its_own_axes_angle_area_and_box(
    side: tuple[float, float],
    length: float,
    aspect: float,
    angle: float,
    shift: tuple[float, float],
    centre: tuple[float, float],
) -> None:
    """Also in a glimpse that is not square, and so where a video was resized by two factors."""
    width, height = side[0], side[0] * side[1]
    shorter = min(width, height)
    length, breadth = length * shorter, length * aspect * shorter
    moved = shift[0] * width, shift[1] * height
    alpha = ellipse((width, height), length, breadth, angle, moved)
    found = shapes_of(alpha[None], np.array([[*centre, width, height]]))
    pixel = max(width, height) / 16
    # The tips of long ellipses are narrower than a pixel, so the length is less certain.
    assert abs(found.length[0] - length) < 0.6 * pixel and abs(found.breadth[0] - breadth) < 0.4 * pixel
    assert found.area[0] == pytest.approx(np.pi / 4 * length * breadth, rel=0.04 + pixel / breadth * 0.5)
    across = np.hypot(length * np.cos(np.radians(angle)), breadth * np.sin(np.radians(angle)))
    down = np.hypot(length * np.sin(np.radians(angle)), breadth * np.cos(np.radians(angle)))
    true_box = np.array([centre[0] + moved[0], centre[1] + moved[1], across, down])
    assert (np.abs(found.box[0] - true_box) < pixel).all()
    if aspect < 0.7:
        assert -90 < found.angle[0] <= 90
        assert abs((found.angle[0] - angle + 90) % 180 - 90) < 12


def test_angles_turn_from_right_to_down() -> None:
    """As y points down: 45° is from the upper left to the lower right."""
    falling = np.eye(16)[None] + np.eye(16, k=1) + np.eye(16, k=-1)
    box = np.array([[50.0, 40, 20, 20]])
    lying = np.zeros((1, 16, 16))
    lying[0, 6:10, 2:14] = 1
    cases = (falling, 45), (falling[:, ::-1], -45), (lying, 0), (lying.transpose(0, 2, 1), 90)
    for alpha, angle in cases:
        assert shapes_of(alpha, box).angle[0] == pytest.approx(angle, abs=1e-3)


def test_a_round_mask_has_no_direction() -> None:
    found = shapes_of(ellipse((20, 20), 14, 14, 0, (0, 0))[None], np.array([[0.0, 0, 20, 20]]))
    assert np.isnan(found.angle[0]) and found.length[0] == pytest.approx(found.breadth[0], rel=0.02)


def test_a_mask_that_fills_its_glimpse_has_its_box_and_deviations() -> None:
    tracks = with_deviations(make_tracks([(0, 0, 5, 7), (0, 1, 50, 7)], side=12.0))
    found = with_shapes(tracks, np.ones((2, 16, 16)), np.array([3.0, np.nan]), fit=True)
    for name in ("x", "y", "width", "height", "x_sd", "y_sd", "width_sd", "height_sd"):
        np.testing.assert_allclose(getattr(found, name), getattr(tracks, name), atol=1e-6)
    np.testing.assert_allclose(found.area, 144, rtol=0.003)  # but for the corners, where alpha fades both ways
    assert found.intensity[0] == 3 and np.isnan(found.intensity[1])


def test_without_a_point_above_a_half_nothing_is_known_and_the_box_stays() -> None:
    tracks = with_deviations(make_tracks([(0, 0, 5, 7), (0, 1, 50, 7)], side=12.0))
    alpha = np.stack([np.full((16, 16), 0.5), np.ones((16, 16))])
    found = with_shapes(tracks, alpha, np.full(2, np.nan), fit=True)
    for name in ("area", "length", "breadth", "angle"):
        assert np.isnan(getattr(found, name)[0])
    np.testing.assert_allclose(found.box, tracks.box, atol=1e-6)
    np.testing.assert_array_equal(found.width_sd, tracks.width_sd)
    assert len(with_shapes(make_tracks([]), np.zeros((0, 16, 16)), np.zeros(0), fit=True)) == 0


def test_a_smaller_box_at_one_side_is_as_uncertain_as_glimpses_make_it() -> None:
    """Against draws of the glimpse's box, in which the mask keeps its place."""
    tracks = with_deviations(make_tracks([(0, 0, 5, 7)], side=12.0))
    alpha = np.zeros((1, 16, 16))
    alpha[0, 4:12, 2:6] = 1
    found = with_shapes(tracks, alpha, np.zeros(1), fit=True)
    rng = np.random.default_rng(0)
    deviations = [tracks.x_sd[0], tracks.y_sd[0], tracks.width_sd[0], tracks.height_sd[0]]
    draws = tracks.box + rng.normal(size=(20_000, 4)) * deviations
    drawn = shapes_of(alpha.repeat(len(draws), 0), draws).box.std(0)
    mine = [found.x_sd[0], found.y_sd[0], found.width_sd[0], found.height_sd[0]]
    np.testing.assert_allclose(mine, drawn, rtol=0.03)
    assert found.width[0] == pytest.approx(3) and found.height[0] == pytest.approx(6)


def test_corners_go_around_the_turned_mask() -> None:
    rows = make_tracks([(0, 0, 10, 20), (0, 1, 50, 7), (0, 2, 5, 5)], side=6.0)
    nan = np.nan
    shaped = replace(
        rows,
        length=np.array([8.0, 9.0, nan]),
        breadth=np.array([2.0, 9.0, nan]),
        angle=np.array([90.0, nan, nan]),
    )
    found = corners(shaped)
    np.testing.assert_allclose(found[0], [[11, 16], [11, 24], [9, 24], [9, 16]], atol=1e-9)
    np.testing.assert_allclose(found[1], [[47, 4], [53, 4], [53, 10], [47, 10]])
    np.testing.assert_allclose(found[2], [[2, 2], [8, 2], [8, 8], [2, 8]])
    assert corners(make_tracks([])).shape == (0, 4, 2)


def test_rows_that_fill_gaps_have_no_shape() -> None:
    rows = make_tracks([(t, 0, 10 + t, 20) for t in (0, 1, 2, 5, 6)], side=6.0)
    found = filtered(replace(rows, area=np.full(5, 30.0)), FilterOptions(fill_gaps=5))
    assert found.predicted.tolist() == [False] * 3 + [True] * 2 + [False] * 2
    assert np.array_equal(np.isnan(found.area), found.predicted)


def test_intensity_is_the_mean_over_the_pixels_that_an_object_owns(busy: Scalor, videos: Tensor) -> None:
    """Also of those that others hide in part, and those that own no pixel."""
    latents = frames_of(follow(busy, videos[:1]))
    (rows,) = tracks_of(slots_of(latents), busy.config.image_size)
    owner = owners(together(latents)).numpy()
    images = np.random.default_rng(0).integers(0, 256, videos[0].shape, np.uint8)
    expected = []
    for t, identity in zip(rows.frame, rows.identity, strict=True):
        owned = (owners(latents[t])[0] == int(identity)).numpy()
        expected.append(images[t][:, owned].mean() if owned.any() else np.nan)
    assert np.isfinite(expected).sum() > 3
    np.testing.assert_allclose(intensities(owner, images, rows), expected)
    stranger = make_tracks([(0, 10**6, 5, 7)])
    assert np.isnan(intensities(owner, images, stranger)).all()


def with_deviations(tracks: Tracks) -> Tracks:
    """Different ones for each axis and row."""
    one = 1 + np.arange(len(tracks)) / 10
    return replace(tracks, x_sd=0.3 * one, y_sd=0.5 * one, width_sd=0.7 * one, height_sd=1.1 * one)
