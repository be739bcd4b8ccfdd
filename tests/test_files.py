"""Output files are complete or absent, and two writers of one path never mix."""

import multiprocessing
import multiprocessing.synchronize
import os
import time
from pathlib import Path

import pytest

from scalor_pyro import files
from scalor_pyro.files import OutputError, remove_stale, require_new, reserved, write_atomically, written_whole

SIZE = 2**20


def _write_often(path: Path, letter: bytes) -> None:
    for _ in range(20):
        write_atomically(path, letter * SIZE, durable=False)


def test_two_processes_that_write_one_path_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out"
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    writers = [context.Process(target=_write_often, args=(path, letter)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            content = path.read_bytes()
            assert content in (b"a" * SIZE, b"b" * SIZE)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_writers_in_one_process_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with written_whole(path) as first, written_whole(path) as second:
        assert first != second and first.parent == second.parent == tmp_path
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first", "the one that finished last"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), written_whole(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyError
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "a:b", "-", " "])
def test_every_name_that_the_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"new")]


def test_errors_name_the_path_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    cases = ["folder", "file/below", "nowhere/out", "x" * 300]
    for path in [*(tmp_path / name for name in cases), Path(""), Path("/")]:
        with pytest.raises(OutputError) as error:
            write_atomically(path, b"new")
        assert str(error.value).startswith(f"{path} could not be written") and "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_existing_output_is_replaced_only_on_demand(tmp_path: Path) -> None:
    require_new(tmp_path / "out", overwrite=False)
    (tmp_path / "out").write_text("")
    require_new(tmp_path / "out", overwrite=True)
    with pytest.raises(OutputError, match=r"out exists: expected another name, or --overwrite\.$"):
        require_new(tmp_path / "out", overwrite=False)


def test_only_stale_temporary_files_are_removed(tmp_path: Path) -> None:
    old, new = (files._temporary(tmp_path / name) for name in ("old", "new"))
    mine = tmp_path / ".mine.tmp"
    for path in (old, new, mine):
        path.write_bytes(b"")
    long_ago = time.time() - 2 * files.STALE
    for path in (old, mine):
        os.utime(path, (long_ago, long_ago))
    remove_stale(tmp_path)
    assert not old.exists() and new.exists() and mine.exists()


def _reserve_and_die(folder: Path, begun: "multiprocessing.synchronize.Event") -> None:
    with reserved(folder, "working"):
        begun.set()
        time.sleep(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="folders cannot be locked")
def test_a_folder_has_one_process_at_a_time_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    other = context.Process(target=_reserve_and_die, args=(tmp_path, begun))
    other.start()
    assert begun.wait(30)
    with pytest.raises(OutputError, match="another process is training in this folder"), reserved(tmp_path, "training"):
        pass
    other.kill()
    other.join()
    for _ in range(2):
        with reserved(tmp_path, "training"):
            assert not list(tmp_path.iterdir())
    with reserved(tmp_path / "none", "training"):
        pass
