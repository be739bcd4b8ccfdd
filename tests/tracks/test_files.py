"""Files of tracks while they grow, when they are whole, and when something ends them."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import ConfigError
from scalor_pyro.files import OutputError
from scalor_pyro.tracks.files import TrackFiles
from scalor_pyro.tracks.table import Tracks, to_napari
from scalor_pyro.tracks.text import read_csv, read_mot
from tests.fakes import make_tracks

ALL = ("mot", "csv", "napari")


def chunk(*frames: int) -> Tracks:
    return make_tracks([(t, i, 10 * i + t, 20 + t) for t in frames for i in range(3)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(st.lists(st.integers(0, 3), max_size=5), st.sets(st.sampled_from(ALL), min_size=1))
def test_chunks_make_the_same_files_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], formats: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("out")
    ends = np.cumsum([0, *lengths])
    with TrackFiles(folder / "chunks", "video", sorted(formats)) as files:
        for start, end in zip(ends[:-1], ends[1:], strict=True):
            files.add(chunk(*range(start, end)))
    with TrackFiles(folder / "whole", "video", sorted(formats)) as files:
        files.add(chunk(*range(ends[-1])))
    assert set(files.paths) == formats
    for path in files.paths.values():
        assert path.read_bytes() == (folder / "chunks" / path.name).read_bytes()


def test_each_format_holds_the_tracks(tmp_path: Path) -> None:
    tracks = chunk(0, 3, 4)
    with TrackFiles(tmp_path / "new" / "folder", "a.b", ALL) as files:
        files.add(tracks)
    assert names(tmp_path / "new" / "folder") == ["a.b-napari.npy", "a.b.csv", "a.b.txt"]
    for back in (read_mot(files.paths["mot"]), read_csv(files.paths["csv"])):
        np.testing.assert_allclose(back.box, tracks.box, atol=1e-3)
        assert back.frame.tolist() == tracks.frame.tolist()
    data = np.load(files.paths["napari"])
    np.testing.assert_array_equal(data[np.lexsort((data[:, 1], data[:, 0]))], to_napari(tracks)[0])


def test_what_was_added_is_in_the_files_at_once(tmp_path: Path) -> None:
    with TrackFiles(tmp_path, "video", ALL) as files:
        files.add(chunk(0, 1))
        files.add(chunk())
        files.add(chunk(5))
        assert names(tmp_path) == ["video-napari.npy.part", "video.csv.part", "video.txt.part"]
        for frames in (read_mot(files.parts["mot"]).frame, read_csv(files.parts["csv"]).frame):
            assert frames.tolist() == [0] * 3 + [1] * 3 + [5] * 3
        assert np.load(files.parts["napari"]).shape == (9, 4)
    assert names(tmp_path) == ["video-napari.npy", "video.csv", "video.txt"]


def test_a_video_without_objects_has_files_without_rows(tmp_path: Path) -> None:
    with TrackFiles(tmp_path, "video", ALL) as files:
        files.add(chunk())
    assert len(read_mot(files.paths["mot"])) == len(read_csv(files.paths["csv"])) == 0
    assert np.load(files.paths["napari"]).shape == (0, 4)


def test_files_that_exist_are_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "video.csv").write_text("old")
    with pytest.raises(OutputError, match=r"video.csv exists: expected another name, or --over"):
        TrackFiles(tmp_path, "video")
    assert names(tmp_path) == ["video.csv"]
    TrackFiles(tmp_path, "video", ["mot"])
    with pytest.raises(ConfigError, match="formats: expected some of mot, csv, napari, appearance, got 'xml'"):
        TrackFiles(tmp_path, "video", ["xml"])


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    for content in (chunk(0), chunk(1)):
        with TrackFiles(tmp_path, "video", ["mot"], overwrite=True) as files:
            before = files.paths["mot"].read_bytes() if files.paths["mot"].exists() else None
            files.add(content)
            if before is not None:
                assert files.paths["mot"].read_bytes() == before
    assert set(read_mot(files.paths["mot"]).frame) == {1}


def test_an_interruption_leaves_what_was_tracked(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TrackFiles(tmp_path, "video", ALL) as files:
        files.add(chunk(0, 1))
        raise KeyboardInterrupt
    assert names(tmp_path) == ["video-napari.npy.part", "video.csv.part", "video.txt.part"]
    assert len(read_mot(files.parts["mot"])) == len(read_csv(files.parts["csv"])) == 6
    with TrackFiles(tmp_path, "video", ALL):  # begins anew
        pass
    assert len(read_mot(files.paths["mot"])) == 0


def test_chunks_have_to_come_in_order(tmp_path: Path) -> None:
    with TrackFiles(tmp_path, "video") as files:
        files.add(chunk(3, 4))
        with pytest.raises(
            ValueError, match="tracks: expected frames from 5 on, which follow the last chunk, got frame 4"
        ):
            files.add(chunk(4, 5))


def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A file that takes a part of what is written, then no more."""

        def __init__(self, file: object) -> None:
            self.file, self.left = file, 200  # bytes; a chunk takes about 150

        def write(self, content: bytes) -> int:
            if not self.left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = self.file.write(content[: min(self.left, len(content))])
            self.left -= written
            return written

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    from scalor_pyro.tracks import files as track_files

    monkeypatch.setattr(track_files, "open", lambda *a, **k: Full(open(*a, **k)), raising=False)
    with pytest.raises(OutputError, match="video.txt.part could not be written .No space left on device"):
        with TrackFiles(tmp_path, "video", ["mot"]) as files:
            files.add(chunk(0))
            files.add(chunk(1))
    assert names(tmp_path) == ["video.txt.part"]
    text = files.parts["mot"].read_text()
    assert text.endswith("\n") and set(read_mot(files.parts["mot"]).frame) == {0}


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"), TrackFiles(tmp_path / "file", "video"):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_program_leaves_what_was_tracked(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from itertools import count
        sys.path.insert(0, sys.argv[2])
        from tests.fakes import make_tracks
        from scalor_pyro.tracks.files import TrackFiles
        with TrackFiles(sys.argv[1], "video", ("mot", "csv", "napari")) as files:
            for t in count():
                files.add(make_tracks([(t, i, 1.0 * i, 2.0 * i) for i in range(200)]))
                if t == 3:
                    print("begun", flush=True)
        """
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        process.kill()
    mot, csv = read_mot(tmp_path / "video.txt.part"), read_csv(tmp_path / "video.csv.part")
    array = np.load(tmp_path / "video-napari.npy.part")
    for frames in (mot.frame, csv.frame, array[:, 1].astype(int)):
        assert set(frames) >= {0, 1, 2, 3}
        assert frames.tolist() == np.repeat(np.arange(1000), 200)[: len(frames)].tolist()
