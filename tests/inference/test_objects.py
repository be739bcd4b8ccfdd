"""The table of objects: the rows of the tracks, with where each comes from and what it looks like."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from scalor_pyro.inference.objects import object_table, reported
from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.table import tracks_of
from tests.fakes import moving_squares

COLUMNS = ["video", "frame", "identity", "slot", "x", "y", "width", "height", "presence", "depth", "new", "mask_area"]
SHARED = ("frame", "identity", "x", "y", "width", "height", "presence", "depth")


@pytest.mark.parametrize("size", [None, (32, 48), (480, 640)])
def test_rows_are_those_of_the_tracks(busy: Scalor, videos: Tensor, size: tuple[int, int] | None) -> None:
    seen = infer(busy, videos)
    table = object_table(seen, size)
    assert len(table) > 0 and list(table.columns) == COLUMNS + [f"what_{d}" for d in range(9)]
    for video, tracks in enumerate(tracks_of(seen, size or (32, 48))):
        rows = table[table.video == video]
        for name in SHARED:
            np.testing.assert_array_equal(rows[name], getattr(tracks, name))


def test_each_row_says_where_it_comes_from(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos)
    table = object_table(seen)
    assert len(table) == reported(seen).sum()
    for row in table.itertuples():
        place = row.video, row.frame, row.slot
        assert row.identity == seen.identity[place] and row.new == seen.new[place]
        assert row.mask_area == seen.hard_masks(row.video, row.frame)[row.slot].sum()
    place = (torch.tensor(table[name].to_numpy()) for name in ("video", "frame", "slot"))
    what = table.filter(regex="^what_").to_numpy()
    assert what.dtype == np.float32
    np.testing.assert_array_equal(what, seen.what[tuple(place)].numpy())


def test_kinds_of_columns_do_not_depend_on_the_rows(busy: Scalor, videos: Tensor, tmp_path: Path) -> None:
    some = object_table(infer(busy, videos))
    seen = infer(busy, videos)
    none = object_table(seen._replace(presence=torch.zeros_like(seen.presence)))
    assert len(none) == 0 and some.dtypes.equals(none.dtypes)
    some.to_csv(tmp_path / "objects.csv", index=False)
    assert len(pd.read_csv(tmp_path / "objects.csv")) == len(some)


def test_units_and_embeddings() -> None:
    scene = moving_squares(side=8.0)
    plain, twice = (object_table(scene.inference, size, embeddings=False) for size in (None, (48, 64)))
    assert list(plain.columns) == COLUMNS
    np.testing.assert_allclose(plain[["width", "height"]], 8, rtol=1e-5)
    for name in ("x", "y", "width", "height"):
        np.testing.assert_allclose(twice[name], 2 * plain[name])
    np.testing.assert_allclose(twice.mask_area, 4 * plain.mask_area)
    assert plain.mask_area.max() == 64
    for b, truth in enumerate(scene.truths):
        np.testing.assert_allclose(plain[plain.video == b].x, truth.x, rtol=1e-5)
    with pytest.raises(ValueError, match=r"image_size: expected a height and a width above 0 px, got \(0, 5\)"):
        object_table(scene.inference, (0, 5))
