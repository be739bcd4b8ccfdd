"""Output files that are complete or absent, whatever interrupts their writer."""

import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The longest name that common file systems take, in bytes.
LONGEST_NAME = 255
# Temporary files of a writer that was killed are removed after so many seconds: nobody writes a file for that long.
STALE = 24 * 3600.0
# Seconds to wait for a folder: processes that loaded data for one that was killed keep it for a few seconds.
PATIENCE = 10.0
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")


class OutputError(ValueError):
    """A file or folder that cannot be written; the message names it and the reason."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's error (a full disk, …) into one sentence.

    :raises OutputError: naming the path.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} could not be written ({error.strerror or error}); what was there before is unchanged."
        ) from error


@contextmanager
def reserved(folder: Path, work: str) -> Iterator[None]:
    """Be the only process that works in a folder; the system ends the reservation with the process, however it ends.

    Where folders cannot be locked (Windows, some network file systems), nothing is reserved.

    :param folder: if it does not exist, nothing is reserved.
    :param work: what the other process does, for the message.
    :raises OutputError: if another process has it.
    """
    descriptor = _lock(folder, work)
    try:
        yield
    finally:
        if descriptor is not None:
            _unlock(descriptor)


if sys.platform == "win32":

    def _lock(folder: Path, work: str) -> int | None:
        return None

    def _unlock(descriptor: int) -> None: ...

else:
    import fcntl

    def _lock(folder: Path, work: str) -> int | None:
        """Lock a folder, and give its descriptor; None if it cannot be locked."""
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError:  # whoever writes to it will say why
            return None
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > until:
                    os.close(descriptor)
                    raise OutputError(f"{folder}: another process is {work} in this folder.") from None
                time.sleep(0.1)
            except OSError:  # a file system without locks
                os.close(descriptor)
                return None

    def _unlock(descriptor: int) -> None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # for processes, too, that were forked meanwhile
        os.close(descriptor)


@contextmanager
def written_whole(path: Path, durable: bool = True) -> Iterator[Path]:
    """Where to write a file that is then moved to its place: after a crash, the old file or the new one is there.

    Two processes that write one path at the same time do not mix: each has its own temporary file, and the one that
    finishes last wins.

    :param durable: after a power cut, too. Turn it off for thousands of small files, which would wait for the disk.
    :return: a path beside it; its suffix does not tell the format.
    :raises OutputError: if it cannot be written; what was there before is kept.
    """
    temporary = _temporary(path)
    try:
        with explained(path):
            yield temporary
            if durable:
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if durable:
                sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            temporary.unlink()


def _temporary(path: Path) -> Path:
    """A hidden name beside a path that no other process, and no other writer in this one, uses."""
    if not path.name:
        raise OutputError(f"{path} could not be written: expected the name of a file.")
    ending = f".{os.getpid()}-{secrets.token_hex(4)}.tmp"
    name = os.fsencode(path.name)[: LONGEST_NAME - len(ending) - 1]
    return path.with_name("." + os.fsdecode(name) + ending)


def remove_stale(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder long ago."""
    for path in folder.glob(".*.tmp"):
        try:
            if _TEMPORARY.fullmatch(path.name) and path.stat().st_mtime < time.time() - STALE:
                path.unlink()
        except OSError:  # gone already, or not ours to remove: it disturbs nobody
            continue


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a whole file, see :func:`written_whole`.

    :raises OutputError: if it cannot be written; what was there before is kept.
    """
    with written_whole(path, durable) as temporary, open(temporary, "wb") as file:
        file.write(content)


def require_new(path: Path, overwrite: bool) -> None:
    """Refuse to replace an existing output, unless that was asked for.

    :raises OutputError: naming it.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: expected another name, or --overwrite.")


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, if the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
