"""Tracks: which objects are reported, where, and as which text."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import make_tracks, moving_squares
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.tracks import Tracks, boxes, read_mot, tracks_of, write_mot

KEYS = st.tuples(st.integers(0, 99), st.integers(0, 99))  # frame, identity
BOXES = st.tuples(*[st.floats(-50, 200)] * 2, *[st.floats(0, 90)] * 2, st.floats(0, 1))


def some_tracks(rows: dict[tuple[int, int], tuple[float, ...]]) -> Tracks:
    keys = np.array(list(rows), dtype=np.int64).reshape(-1, 2)
    numbers = np.array(list(rows.values()), dtype=np.float64).reshape(-1, 5)
    return Tracks(keys[:, 0], keys[:, 1], *numbers.T, np.full(len(keys), 0.5))


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


def test_mot_text_counts_from_one(tmp_path: Path) -> None:
    write_mot(tmp_path / "tracks.txt", make_tracks([(0, 0, 5, 7), (2, 3, 6, 8)], side=4))
    assert (tmp_path / "tracks.txt").read_text().splitlines() == [
        "1,1,4.0000,6.0000,4.0000,4.0000,1.0000,-1,-1,-1",
        "3,4,5.0000,7.0000,4.0000,4.0000,1.0000,-1,-1,-1",
    ]


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(KEYS, BOXES, max_size=8))
def test_mot_text_reads_back(tmp_path_factory: pytest.TempPathFactory, rows: dict) -> None:
    tracks = some_tracks(rows)
    path = tmp_path_factory.mktemp("mot") / "tracks.txt"
    write_mot(path, tracks)
    back, order = read_mot(path), np.lexsort((tracks.identity, tracks.frame))
    for name in ("frame", "identity", "x", "y", "width", "height", "presence"):
        np.testing.assert_allclose(getattr(back, name), getattr(tracks, name)[order], atol=2e-4)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3,4,5", r"line 3: it has 5 columns, but 7 to 10 were expected"),
        ("0,1,1,1,2,2,1,-1,-1,-1", r"line 3: frame is '0', but an integer from 1"),
        ("1,-1,1,1,2,2,1,-1,-1,-1", r"line 3: id is '-1', but an integer from 1"),
        ("1,1.5,1,1,2,2,1,-1,-1,-1", r"line 3: id is '1.5'"),
        ("1,1,one,1,2,2,1,-1,-1,-1", r"line 3: bb_left is 'one', but a finite number"),
        ("1,1,1,nan,2,2,1,-1,-1,-1", r"line 3: bb_top is 'nan'"),
        ("1,1,1,1,-2,2,1,-1,-1,-1", r"line 3: bb_width is -2.0, but a size of 0 or more"),
        ("9,9,1,1,2,2,1,-1,-1,-1", r"line 3: id 9 was already in frame 9, in line 1"),
        ("\x00\xff", r"line 3: it has 1 columns"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "tracks.txt"
    path.write_bytes(f"9,9,1,1,2,2,1,-1,-1,-1\n\n{line}\n".encode("latin-1"))
    with pytest.raises(ValueError, match=complaint):
        read_mot(path)


def test_an_empty_file_is_a_video_without_objects(tmp_path: Path) -> None:
    write_mot(tmp_path / "none.txt", make_tracks([]))
    assert len(read_mot(tmp_path / "none.txt")) == 0


def test_tracks_refuse_arrays_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="Identity 4 appears more than once in frame 1"):
        make_tracks([(1, 4, 0, 0), (1, 4, 5, 5)])
    with pytest.raises(ValueError, match=r"Tracks.identity holds -1 .* integers from 0"):
        make_tracks([(1, -1, 0, 0)])
    with pytest.raises(ValueError, match="Tracks.x holds values that are not finite"):
        make_tracks([(1, 1, np.nan, 0)])
    one = np.ones(2)
    with pytest.raises(ValueError, match=r"Tracks.y has shape \(3,\), but \(2,\) was expected"):
        Tracks(np.arange(2), np.arange(2), one, np.ones(3), one, one, one, one)
