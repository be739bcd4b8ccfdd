"""Files of appearances: they belong to the rows of the tracks, and other files are refused."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.any_scene.embedding import WITHIN
from scalor_pyro.tracks.appearance import Appearances, read_appearance, records_of
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.text import read_csv
from tests.fakes import make_tracks

TRACKS = make_tracks([(t, i, 10 * i, t) for t in range(5) for i in (3, 0, 7)])
SEEN = np.random.default_rng(0).normal(size=(15, 4)).astype(np.float32)


def written(folder: Path, tracks: Tracks = TRACKS, seen: np.ndarray = SEEN) -> Path:
    with TrackFiles(folder, "street", ("csv", "appearance"), overwrite=True) as files:
        for t in range(5):
            here = tracks.frame == t
            files.add(tracks.rows(here), seen[here])
    return files.paths["appearance"]


def test_appearances_read_back_for_any_order_of_rows(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert path.name == "street-appearance.npy"
    np.testing.assert_allclose(read_appearance(path, TRACKS).values, SEEN, rtol=1e-3)
    table = read_csv(tmp_path / "street.csv")
    order = np.random.default_rng(1).permutation(15)
    shuffled = read_appearance(path, table.rows(order)).values
    np.testing.assert_array_equal(shuffled, read_appearance(path, table).values[order])
    part = TRACKS.rows(TRACKS.identity == 0)  # a user may have removed some
    np.testing.assert_allclose(read_appearance(path, part).values, SEEN[TRACKS.identity == 0], rtol=1e-3)


def test_embeddings_say_that_they_are(tmp_path: Path) -> None:
    with TrackFiles(tmp_path, "street", ["appearance"]) as files:
        files.add(TRACKS, SEEN, WITHIN)
    values, within = read_appearance(files.paths["appearance"], TRACKS)
    assert within == WITHIN and read_appearance(written(tmp_path), TRACKS).within is None
    np.testing.assert_allclose(values, SEEN, rtol=1e-3)
    with pytest.raises(ValueError, match="within: expected None, or 0.03"):
        records_of(TRACKS, Appearances(SEEN, 0.5))


def test_a_video_without_objects_has_an_empty_file(tmp_path: Path) -> None:
    path = written(tmp_path, concatenate([]), np.zeros((0, 4), np.float32))
    assert read_appearance(path, concatenate([])).values.shape == (0, 0)
    with pytest.raises(ConfigError, match="expected the appearance of particle 3 in frame 0"):
        read_appearance(path, TRACKS)


def test_an_interruption_leaves_what_was_seen(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TrackFiles(tmp_path, "street", ["appearance"]) as files:
        files.add(TRACKS, SEEN)
        raise KeyboardInterrupt
    np.testing.assert_allclose(read_appearance(files.parts["appearance"], TRACKS).values, SEEN, rtol=1e-3)


class Trap:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("something in the file was executed",)


def _bytes(values: object) -> bytes:
    file = io.BytesIO()
    np.save(file, values)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an array of appearances, got "),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "expected an array of appearances, got "),
        (pickle.dumps(Trap()), "expected an array of appearances, got "),
        (_bytes(np.array([Trap()], dtype=object)), "expected an array of appearances, got "),
        (_bytes(np.zeros((15, 4))), "expected records of frame, identity and appearance, got float64"),
        (
            _bytes(np.zeros(3, [("frame", "<i8")])),
            r"expected records of frame, identity and appearance, got .*'frame'",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.npy: {message}"):
        read_appearance(tmp_path / "a.npy", TRACKS)


@given(place=st.integers(0, 127), byte=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    path = written(tmp_path_factory.mktemp("damaged"))
    right, content = read_appearance(path, TRACKS).values, bytearray(path.read_bytes())
    content[place] = byte
    path.write_bytes(content)
    try:
        found = read_appearance(path, TRACKS)
    except ValueError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
    else:
        assert np.array_equal(found.values, right) and found.within is None


def test_files_that_are_cut_off_or_of_other_tracks_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(ConfigError, match=r"street-appearance.npy: expected the appearance of particle 5 in frame 2"):
        read_appearance(path, concatenate([TRACKS, make_tracks([(2, 5, 0, 0)])]))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="expected an array of appearances, got "):
        read_appearance(path, TRACKS)
    written(tmp_path, seen=np.full((15, 4), np.nan, np.float32))
    with pytest.raises(ConfigError, match="expected finite numbers, got nan"):
        read_appearance(path, TRACKS)
    with pytest.raises(ValueError, match="none.npy could not be read .No such file"):
        read_appearance(tmp_path / "none.npy", TRACKS)
