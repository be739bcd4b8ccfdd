"""Masks: who owns which pixel of the video, in files that others read."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scalor_pyro.files import OutputError
from scalor_pyro.tracks.masks import MaskFolder, labels_in_source
from scalor_pyro.video import Crop, Geometry, ReadOptions, Video


def geometry(size: tuple[int, int] = (2, 3), crop: Crop | None = None, source: tuple[int, int] = (8, 9)) -> Geometry:
    return Geometry.of(source, ReadOptions(size=size, crop=crop))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_labels_are_enlarged_into_the_crop_and_zero_outside() -> None:
    identity = np.array([[-1, 0, 70_000], [5, -1, -1]])
    labels = labels_in_source(identity, geometry(crop=Crop(1, 2, 6, 4)))
    expected = np.zeros((8, 9))
    expected[2:4, 3:5], expected[2:4, 5:7], expected[4:6, 1:3] = 1, 70_001, 6
    np.testing.assert_array_equal(labels, expected)


@given(
    st.integers(1, 6),
    st.integers(1, 7),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_each_pixel_has_the_label_of_the_place_it_is_read_from(
    height: int, width: int, x: int, y: int, crop_width: int, crop_height: int, seed: int
) -> None:
    where = geometry((height, width), Crop(x, y, crop_width, crop_height), (12, 13))
    identity = np.random.default_rng(seed).integers(-2, 9, (height, width))
    labels = labels_in_source(identity, where)
    rows, columns = np.mgrid[:12, :13]
    inside = (rows >= y) & (rows < y + crop_height) & (columns >= x) & (columns < x + crop_width)
    assert not labels[~inside].any()
    read_x, read_y = where.from_source(columns[inside] + 0.5, rows[inside] + 0.5)
    np.testing.assert_array_equal(
        labels[inside], (identity[np.floor(read_y).astype(int), np.floor(read_x).astype(int)] + 1).clip(min=0)
    )


def test_labels_that_are_read_as_they_are_come_back(tmp_path: Path) -> None:
    identity = np.random.default_rng(0).integers(-1, 2**31 - 1, (8, 9))
    with MaskFolder(tmp_path, "video", geometry((8, 9))) as masks:
        masks.add(12, identity)
    np.testing.assert_array_equal(read(tmp_path / "video-masks" / "frame_0000012.tif"), identity + 1)


def test_a_picture_for_each_frame_and_the_folder_reads_as_a_video(tmp_path: Path) -> None:
    with MaskFolder(tmp_path, "video", geometry()) as masks:
        for number in (0, 2, 10):
            masks.add(number, np.full((2, 3), number))
            assert (tmp_path / "video-masks.part" / f"frame_{number:07d}.tif").exists()
        assert not masks.path.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["video-masks"]
    frames = list(Video(masks.path, ReadOptions(levels=(0, 255))))
    assert [int(frame.image.max()) for frame in frames] == [1, 3, 11]


def test_masks_that_exist_are_refused_and_replaced_when_asked(tmp_path: Path) -> None:
    for value in (1, 2):
        with MaskFolder(tmp_path, "video", geometry(), overwrite=value == 2) as masks:
            masks.add(value, np.full((2, 3), value))
    assert [path.name for path in masks.path.iterdir()] == ["frame_0000002.tif"]
    with pytest.raises(OutputError, match="video-masks exists: expected another name, or --overwrite"):
        MaskFolder(tmp_path, "video", geometry())


def test_an_interruption_leaves_the_masks_made_so_far(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), MaskFolder(tmp_path, "video", geometry()) as masks:
        masks.add(0, np.zeros((2, 3), int))
        raise KeyboardInterrupt
    assert read(masks.part / "frame_0000000.tif").shape == (8, 9)
    with MaskFolder(tmp_path, "video", geometry()):  # begins anew
        pass
    assert list(masks.path.iterdir()) == [] and not masks.part.exists()


@pytest.mark.parametrize(
    ("identity", "complaint"),
    [
        (np.zeros((3, 2), int), r"expected integers of shape \(2, 3\), got int64 of \(3, 2\)"),
        (np.zeros((2, 3)), "float64"),
        (np.full((2, 3), -3), "got -3 to -3"),
        (np.full((2, 3), 2**31 - 1), "expected values from -2 to 2147483646, got .* to 2147483647"),
    ],
)
def test_labels_that_do_not_fit_are_refused(identity: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        labels_in_source(identity, geometry())


def test_other_programs_read_them(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile, which napari and scikit-image read with, is not here")
    identity = np.array([[-1, 0, 70_000], [5, -1, 2**31 - 2]])
    with MaskFolder(tmp_path, "video", geometry((2, 3), source=(2, 3))) as masks:
        masks.add(0, identity)
    np.testing.assert_array_equal(tifffile.imread(masks.path / "frame_0000000.tif"), identity + 1)
