"""Finished tracks, and their identities in masks and pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scalor_pyro.config import Crop
from scalor_pyro.tracks.filters import FilterOptions
from scalor_pyro.tracks.finishing import Renaming, finish, frame_by_frame, renamed
from scalor_pyro.tracks.linking import LinkOptions
from scalor_pyro.tracks.masks import MaskFolder, rename_masks
from scalor_pyro.tracks.table import concatenate
from scalor_pyro.tracks.tracker import Pictured
from scalor_pyro.video import Geometry
from tests.fakes import make_tracks, moving_squares

WALK = make_tracks([(t, 0 if t < 10 else 1, 210 + t, 150) for t in [*range(10), *range(15, 30)]])
SHORT = make_tracks([(t, 2, 270, 110) for t in range(3)])
VIEW = Crop(200, 100, 100, 100)


def test_tracks_in_a_part_of_the_frame_are_linked_filtered_and_keep_their_appearances() -> None:
    tracks = concatenate([WALK, SHORT])
    appearance = np.where(tracks.identity == 2, 5.0, 0.0)[:, None] + np.arange(2)
    for seen, view in ((appearance, VIEW), (None, VIEW), (appearance, None)):
        done = finish(tracks, seen, view, LinkOptions(), FilterOptions(min_length=4, fill_gaps=5))
        assert set(done.tracks.identity) == {0} and len(done.tracks) == 30
        np.testing.assert_allclose(done.tracks.x, 210 + done.tracks.frame, atol=0.1)
        assert done.tracks.frame[done.tracks.predicted].tolist() == [10, 11, 12, 13, 14]
        assert len(done.appearance) == len(done.seen) == 25
        if seen is not None:
            np.testing.assert_array_equal(done.appearance, appearance[:25])
    assert [len(each) for each in frame_by_frame(done.tracks)] == [1] * 30


def test_an_identity_may_be_called_otherwise_in_later_frames() -> None:
    # Track 4 went over to another object in frame 5, and track 6 was left out.
    tracks = make_tracks([(t, 4, 0, 0) for t in range(10)] + [(t, 6, 9, 9) for t in range(10)])
    identity = np.where(tracks.identity == 4, np.where(tracks.frame < 5, 4, 9), 6)
    final = replace(tracks, identity=identity).rows(tracks.identity == 4)
    of = Renaming(tracks, identity, final).of
    picture = np.array([[4, 6], [-2, -1], [4, 8]])
    np.testing.assert_array_equal(of(2, picture), [[4, -2], [-2, -1], [4, -2]])
    np.testing.assert_array_equal(of(7, picture), [[9, -2], [-2, -1], [9, -2]])
    np.testing.assert_array_equal(of(40, picture), [[9, -2], [-2, -1], [9, -2]])  # a while after it was last reported


def test_masks_and_pictures_follow(tmp_path: Path) -> None:
    scene = moving_squares(videos=1, frames=3, image_size=(24, 32))
    segments = scene.inference.segments[0].numpy()
    geometry = Geometry((24, 32), Crop(0, 0, 32, 24), (24, 32))
    with MaskFolder(tmp_path, "a", geometry) as masks:
        for t, owners in enumerate(segments):
            masks.add(t + 5, owners)

    def swapped(frame: int, identity: np.ndarray) -> np.ndarray:
        return np.where(identity == 0, frame, np.minimum(identity, -1))

    rename_masks(tmp_path / "a-masks", swapped)
    for t, owners in enumerate(segments):
        with Image.open(tmp_path / "a-masks" / f"frame_{t + 5:07d}.tif") as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.where(owners == 0, t + 6, 0))

    tracks = make_tracks([(t, 0, 5, 5) for t in range(3)])
    renaming = Renaming(tracks, tracks.identity + 7, replace(tracks, identity=tracks.identity + 7))
    pictured = Pictured(np.arange(3), torch.zeros(1, 3, 3, 24, 32), scene.inference)
    shown = renamed(pictured, renaming).inference
    assert ((shown.segments == 7) == (scene.inference.segments == 0)).all()
    assert ((shown.identity == 7) == (scene.inference.identity == 0)).all()
