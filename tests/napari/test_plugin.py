"""The plugin for napari: layers of files, the tracking behind the widget, and, where napari is there, the widget."""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalor_pyro.config import ConfigError, ReadOptions
from scalor_pyro.napari.following import Wanted, follow_array, frames_of_image
from scalor_pyro.napari.reading import masks_reader, tracks_reader
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.masks import MaskFolder
from scalor_pyro.tracks.table import to_napari
from scalor_pyro.tracks.units import Units
from scalor_pyro.video.geometry import Geometry
from tests.fakes import make_tracks
from tests.video_files import squares

MANIFEST = Path(__file__).parents[2] / "scalor_pyro" / "napari" / "napari.yaml"
TRACKS = make_tracks([(t, identity, 5 + t, 10 * identity) for t in range(4) for identity in (0, 2)])


@pytest.mark.parametrize("units", [Units(), Units(10, 0.5)])
def test_a_csv_is_a_layer_of_tracks(tmp_path: Path, units: Units) -> None:
    with TrackFiles(tmp_path, "street", units=units) as files:
        files.add(TRACKS)
    read = tracks_reader(str(tmp_path / "street.csv"))
    assert read is not None
    ((data, about, kind),) = read(str(tmp_path / "street.csv"))
    np.testing.assert_array_equal(data, to_napari(TRACKS)[0])
    assert kind == "tracks" and about["name"] == "street tracks" and set(about["properties"]) >= {"width", "presence"}


def test_other_tables_and_folders_are_left_to_other_plugins(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("index,axis-0,axis-1\n")
    (tmp_path / "a-masks").mkdir()
    for path in (str(tmp_path / "a.csv"), str(tmp_path / "none.csv"), [str(tmp_path / "a.csv")], "a.txt"):
        assert tracks_reader(path) is None
    for path in (str(tmp_path / "a-masks"), str(tmp_path), str(tmp_path / "a.csv")):
        assert masks_reader(path) is None


def test_a_folder_of_masks_is_a_layer_whose_frames_keep_their_numbers(tmp_path: Path) -> None:
    pytest.importorskip("dask.array")
    geometry = Geometry.of((6, 8), ReadOptions())
    masks = [np.where(np.arange(48).reshape(6, 8) < 5 + t, t, -2) for t in range(3)]
    with MaskFolder(tmp_path, "street", geometry) as folder:
        for t, mask in enumerate(masks):
            folder.add(10 + 4 * t, mask)
    read = masks_reader(str(tmp_path / "street-masks"))
    assert read is not None
    ((stack, about, kind),) = read(str(tmp_path / "street-masks"))
    assert kind == "labels" and about["scale"] == (4, 1, 1) and about["translate"] == (10, 0, 0)
    np.testing.assert_array_equal(np.asarray(stack), np.stack([np.maximum(mask, -1) + 1 for mask in masks]))


def finished(steps: Any) -> Any:
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_an_array_is_tracked_with_masks_of_the_same_identities(small_run: Path) -> None:
    wanted = Wanted(str(small_run / "runs" / "street"), masks=True)
    found = finished(follow_array(squares(), wanted))
    assert found.labels.shape == squares().shape[:3]
    assert set(np.unique(found.labels)) <= {0, *(found.tracks.identity + 1).tolist()}


@pytest.mark.parametrize(("shape", "rgb"), [((5, 6), False), ((2, 3, 5, 6), False), ((5, 6, 3), True)])
def test_an_image_that_is_no_film_is_refused(shape: tuple[int, ...], rgb: bool) -> None:
    with pytest.raises(ConfigError, match="image: expected the axes time, y"):
        frames_of_image(np.zeros(shape), rgb)


# ------------------------------------------------------------------ with napari


@pytest.fixture
def napari() -> Any:
    """napari without a screen."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("napari")


@pytest.mark.filterwarnings("ignore")
def test_the_manifest_names_what_is_there(napari: Any) -> None:
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert len(manifest.contributions.readers) == 2 and len(manifest.contributions.widgets) == 1


@pytest.mark.filterwarnings("ignore")
def test_the_widget_adds_layers(napari: Any) -> None:
    from qtpy.QtWidgets import QApplication

    from scalor_pyro.napari.widget import track_widget

    # Without a canvas, which would need OpenGL.
    viewer = napari.components.ViewerModel()
    application = QApplication.instance() or QApplication([])
    image = viewer.add_image(squares(), name="street", rgb=True, scale=(1, 0.5, 0.5))
    track_widget()(viewer, image, masks=True)
    until = time.monotonic() + 60
    while len(viewer.layers) < 3 and time.monotonic() < until:
        application.processEvents()
    assert [layer.name for layer in viewer.layers] == ["street", "street masks", "street tracks"]
    for layer in viewer.layers[1:]:
        np.testing.assert_array_equal(layer.scale, (1, 0.5, 0.5))
