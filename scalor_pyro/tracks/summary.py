"""The summary of a tracked video, STEM.json: written last, it says what the tracks beside it were made from.

A video counts as tracked only if its summary is of this very video, these weights and these options
(:func:`state_of`). :func:`locked` keeps two processes from writing the same tracks.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from filelock import SoftFileLock, Timeout

from scalor_pyro.files import OutputError, explained, write_atomically
from scalor_pyro.tracks.opening import Options

# How summaries are recognised, and the number of their layout.
FORMAT, VERSION = "scalor track", 1
# A larger file is no summary.
LARGEST = 1_000_000


class SummaryError(ValueError):
    """A summary that is not of this tracking; the message names it and the difference."""


class State(Enum):
    """How far a video is."""

    NEW = "not tracked"
    CHANGED = "changed since it was tracked"  # the same file by name, with another size or time
    INCOMPLETE = "tracked, but not all files are there"
    DONE = "tracked"


class Made(NamedTuple):
    """What tracks are made from, as values for JSON."""

    video: dict[str, Any]
    weights: dict[str, Any]
    options: dict[str, Any]


def made_from(
    video: Path, weights: str, sha256: str, options: Options, further: Mapping[str, Any] | None = None
) -> Made:
    """What identifies a tracking: the video by path, size and time, the weights by content, and the options.

    A picture of the empty scene counts by its path, size and time, too.

    :param weights: what the summary calls them.
    :param sha256: of their file, see :func:`digest_of`.
    :param further: options of what is done with the tracks afterwards.
    """
    asked_for = {**asdict(options), **(further or {})}
    if (empty := options.empty_scene) is not None:
        asked_for["background_image_file"] = _stamp(Path(empty))
    return Made(
        {"path": os.path.abspath(video), **_stamp(video)},
        {"name": weights, "sha256": sha256},
        json.loads(json.dumps(asked_for)),
    )


def name_of(video: Path) -> str:
    """What the files of a video are called: a file without its suffix, a folder in full.

    :raises SummaryError: for the root of a file system.
    """
    path = Path(os.path.abspath(video))
    name = path.name if path.is_dir() else path.stem
    if not name:
        raise SummaryError(f"{video}: expected a video with a name, got the root of the file system.")
    return name


def printable(value: object) -> str:
    """One line of text for any terminal: control characters, and bytes that are not in the file system's encoding, are
    escaped."""
    text = str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def write_summary(path: Path, made: Made, figures: Mapping[str, Any]) -> None:
    """Write the summary; the video is done.

    :raises OutputError: if it cannot be written.
    """
    about: dict[str, Any] = {"video": made.video["path"], "weights": made.weights["name"]}
    about |= {"format": FORMAT, "version": VERSION, "made_from": made._asdict(), **figures}
    write_atomically(path, json.dumps(about, indent=1).encode())


def read_summary(path: Path) -> dict[str, Any]:
    """What a summary says: :func:`write_summary`.

    :raises SummaryError: if the file is not a summary.
    """
    _read(path)
    about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return about


def state_of(path: Path, made: Made, outputs: Mapping[str, Path]) -> State:
    """How far a video is, by its summary.

    :param path: of the summary.
    :param outputs: the files that are wanted.
    :raises SummaryError: if the file is not a summary, or of another video, other weights or other options.
    """
    if not path.exists():
        return State.NEW
    before = _read(path)
    way_out = "choose another --out, or --overwrite to replace those tracks"
    if before.video["path"] != made.video["path"]:
        mine, other = (_short(each.video["path"], 200) for each in (made, before))
        raise SummaryError(f"{path}: expected tracks of {mine}, got those of {other}; {way_out}.")
    if before.weights["sha256"] != made.weights["sha256"]:
        raise SummaryError(
            f"{path}: expected tracks by the weights {made.weights['name']}, got those by other weights"
            f" ({_short(before.weights.get('name'))}); {way_out}."
        )
    different = [name for name in made.options if made.options[name] != before.options.get(name)]
    if different:
        name = different[0]
        raise SummaryError(
            f"{path}: expected tracks with {name} {_shown(made.options[name])}, got those with"
            f" {_shown(before.options.get(name))}; {way_out}."
        )
    if before.video != made.video:
        return State.CHANGED
    return State.DONE if all(output.exists() for output in outputs.values()) else State.INCOMPLETE


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Be the only process that writes the tracks of this name.

    The lock is a file with the process's id and host, made with O_EXCL; that of a process of this host that is gone is
    removed.

    :raises OutputError: if another process writes them, or the folder cannot be written.
    """
    path, new = folder / f".{name}.lock", not folder.exists()
    with explained(path):
        folder.mkdir(parents=True, exist_ok=True)
        lock = SoftFileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(
                f"{folder / name}: another process ({_holder(path)}) is writing these tracks; if it is gone, remove"
                f" {path}."
            ) from None
    try:
        yield
    finally:
        lock.release()
        if new:
            with suppress(OSError):  # it holds something by now
                folder.rmdir()


def _holder(lock: Path) -> str:
    try:
        lines = lock.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it has just been released
        lines = []
    return f"{_short(lines[0])} on {_short(lines[1])}" if len(lines) > 1 else "unknown"


def _stamp(video: Path) -> dict[str, int]:
    """Size in bytes, and time of the last change in ns; of a folder, of all files in it, and how many there are."""
    if not video.is_dir():
        about = video.stat()
        return {"bytes": about.st_size, "changed_ns": about.st_mtime_ns}
    with os.scandir(video) as entries:
        files = [entry.stat() for entry in entries if entry.is_file()]
    return {
        "bytes": sum(about.st_size for about in files),
        "changed_ns": max((about.st_mtime_ns for about in files), default=0),
        "files": len(files),
    }


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _read(path: Path) -> Made:
    """What a summary says that its tracks were made from.

    :raises SummaryError: if it is none.
    """
    foreign = SummaryError(
        f"{path}: expected the summary of tracked frames, got another file; choose another --out, or --overwrite to"
        " replace it."
    )
    try:
        if path.stat().st_size > LARGEST:
            raise foreign
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise foreign from error
    if isinstance(about, dict) and "format" not in about and {"video", "weights", "propagation_rate"} <= about.keys():
        raise SummaryError(
            f"{path} was written by version 0.1, which did not record weights and options; choose another --out, or"
            " --overwrite to track the video again."
        )
    if not isinstance(about, dict) or (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise foreign
    made = about.get("made_from")
    if not isinstance(made, dict) or not all(isinstance(made.get(name), dict) for name in Made._fields):
        raise foreign
    video, weights, options = (made[name] for name in Made._fields)
    if "path" not in video or "sha256" not in weights:
        raise foreign
    return Made(video, weights, options)


def _short(value: object, most: int = 80) -> str:
    text = printable(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _shown(value: object) -> str:
    return "as in training" if value is None else _short(json.dumps(value))
