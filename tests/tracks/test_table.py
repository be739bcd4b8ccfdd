"""Tracks: which objects are reported, where, and as which tables."""

import numpy as np
import pytest
import torch

from scalor_pyro.inference.objects import boxes
from scalor_pyro.tracks.table import COLUMNS, Tracks, concatenate, to_dataframe, to_napari, tracks_of
from tests.fakes import make_tracks, moving_squares


def test_boxes_are_in_pixels_of_a_view_that_is_not_square() -> None:
    where = torch.tensor([[0.5, 0.25, -1.0, 1.0], [0.1, 0.2, 0.0, -0.5]])
    np.testing.assert_allclose(boxes(where, (20, 40)), [[0, 20, 20, 5], [20, 5, 4, 4]], rtol=1e-6)


def test_tracks_of_a_video_are_where_the_objects_are() -> None:
    scene = moving_squares(videos=2, frames=3, slots=5, image_size=(24, 32), side=8)
    for tracks, truth in zip(tracks_of(scene.inference, (24, 32)), scene.truths, strict=True):
        for name in ("frame", "identity", "x", "y"):
            np.testing.assert_allclose(getattr(tracks, name), getattr(truth, name), atol=1e-4)
        np.testing.assert_allclose(tracks.width, 8, atol=1e-4)
        np.testing.assert_allclose(tracks.height, 8, atol=1e-4)
        np.testing.assert_allclose(tracks.presence, 0.9, atol=1e-6)


def test_absent_objects_and_those_whose_centre_left_the_view_are_not_reported() -> None:
    inference = moving_squares(videos=1, frames=1, slots=5, objects=5).inference
    presence = torch.tensor([0.5, 0.51, 1.0, 1.0, 1.0]).reshape(1, 1, 5)
    where = torch.full((1, 1, 5, 4), 0.3)
    where[0, 0, :, 2] = torch.tensor([0.0, 0.0, 1.0, 1.01, -1.2])
    tracks = tracks_of(inference._replace(presence=presence, where=where), (24, 32))[0]
    assert tracks.identity.tolist() == [1, 2]


def test_tracks_refuse_arrays_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="expected an identity once per frame, got 4 twice in frame 1"):
        make_tracks([(1, 4, 0, 0), (1, 4, 5, 5)])
    with pytest.raises(ValueError, match=r"Tracks.identity: expected integers from 0, got -1"):
        make_tracks([(1, -1, 0, 0)])
    with pytest.raises(ValueError, match="Tracks.x: expected finite numbers, got nan"):
        make_tracks([(1, 1, np.nan, 0)])
    one = np.ones(2)
    with pytest.raises(ValueError, match=r"Tracks.y: expected shape \(2,\), got \(3,\)"):
        Tracks(np.arange(2), np.arange(2), one, np.ones(3), one, one, one, one)
    with pytest.raises(ValueError, match=r"Tracks.x_sd: expected finite numbers from 0 or NaN, got -1.0"):
        Tracks(np.arange(2), np.arange(2), *[one] * 6, x_sd=np.array([np.nan, -1]))
    with pytest.raises(ValueError, match=r"Tracks.depth: expected finite numbers or NaN, got inf"):
        Tracks(np.arange(2), np.arange(2), *[one] * 5, np.full(2, np.inf))
    with pytest.raises(ValueError, match=r"Tracks.area: expected finite numbers from 0 or NaN, got -1.0"):
        Tracks(np.arange(2), np.arange(2), *[one] * 6, area=np.array([np.nan, -1]))
    with pytest.raises(ValueError, match=r"Tracks.angle: expected degrees from -90 to 90 or NaN, got 91.0"):
        Tracks(np.arange(2), np.arange(2), *[one] * 6, angle=np.array([-90, 91.0]))


def test_deviations_and_shapes_are_not_known_unless_they_are_given() -> None:
    tracks = make_tracks([(0, 0, 5, 7), (1, 0, 6, 7)])
    for name in ("x_sd", "y_sd", "width_sd", "height_sd", "area", "length", "breadth", "angle", "intensity"):
        assert getattr(tracks, name).shape == (2,) and np.isnan(getattr(tracks, name)).all()
    none = make_tracks([])
    assert none.x_sd.shape == (0,)


def test_chunks_are_put_together() -> None:
    whole = make_tracks([(0, 0, 5, 7), (0, 1, 50, 7), (1, 0, 6, 7)])
    parts = [whole.rows(whole.frame == t) for t in range(2)]
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(concatenate(parts), name), getattr(whole, name))
    assert len(concatenate([])) == 0
    with pytest.raises(ValueError, match="expected an identity once per frame, got 0 twice in frame 0"):
        concatenate([parts[0], parts[0]])


def test_a_table_has_the_names_of_trackpy() -> None:
    table = to_dataframe(make_tracks([(2, 7, 5.5, 8.0)], side=4.0))
    assert list(table.columns[:4]) == ["frame", "particle", "x", "y"]
    assert table.iloc[0, :7].tolist() == [2, 7, 5.5, 8.0, 4.0, 4.0, 1.0]
    assert table["frame"].dtype == np.int64 and table["x_sd"].isna().all()


def test_napari_gets_tracks_by_id_then_frame_from_the_centre_of_the_first_pixel() -> None:
    tracks = make_tracks([(1, 2, 10.5, 20.5), (0, 2, 10, 20), (1, 0, 3, 4)])
    data, properties = to_napari(tracks)
    assert data.tolist() == [[0, 1, 3.5, 2.5], [2, 0, 19.5, 9.5], [2, 1, 20, 10]]
    assert list(properties) == ["width", "height", "presence", "depth"]
    assert all(len(values) == 3 for values in properties.values())
    known = Tracks(*(getattr(tracks, name) for name in COLUMNS[:8]), x_sd=np.array([1.0, 2.0, 3.0]))
    assert to_napari(known)[1]["x_sd"].tolist() == [3, 2, 1]
