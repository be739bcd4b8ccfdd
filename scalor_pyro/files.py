"""Files that get to their place whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RunFolderError(ValueError):
    """A folder or file that cannot hold the run; the message names the path and what was expected."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in one sentence that a file could not be written.

    :raises RunFolderError: for what the system says of it (a full disk, …).
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"{path} could not be written ({error.strerror}); what was there before is kept, and a folder with room "
            "and the right to write is needed."
        ) from error


@contextmanager
def written_whole(path: Path, durable: bool = True) -> Iterator[Path]:
    """Where to write a file that is then moved to its place: after a crash the old one or the new one is there.

    :param durable: after a power cut, too; thousands of small files would wait for the disk longer than they take.
    :return: a path beside it; its suffix does not tell what it is.
    :raises RunFolderError: if it cannot be written (a full disk, …); what was there before is kept.
    """
    temporary = path.with_name(f".{path.name}.tmp")
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
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Put a file in its place whole, see :func:`written_whole`.

    :raises RunFolderError: if it cannot be written; what was there before is kept.
    """
    with written_whole(path, durable) as temporary, open(temporary, "wb") as file:
        file.write(content)


def require_new(path: Path, overwrite: bool) -> None:
    """Refuse to replace an output that exists unless that is asked for.

    :raises RunFolderError: saying so.
    """
    if path.exists() and not overwrite:
        raise RunFolderError(f"{path} exists, but another name, or to overwrite it (--overwrite), was expected.")


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
