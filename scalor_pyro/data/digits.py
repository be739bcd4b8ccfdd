"""Digits: MNIST from a local file, from the user's cache, or downloaded once; or scikit-learn's bundled digits."""

import gzip
import http.client
import logging
import lzma
import math
import threading
import tokenize
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pooch
from numpy.typing import NDArray

from scalor_pyro.config.checks import shown
from scalor_pyro.data.worlds import SPLITS, Split

logger = logging.getLogger(__name__)

Source = Literal["auto", "mnist", "uci"]
Digits = tuple[NDArray[np.float32], NDArray[np.int64]]

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
# Seconds to wait for the mirror to answer, so that a machine without network goes on soon.
PATIENCE = 3.0
# Names of the IDX files without ending, by split; some copies write a dot for the second hyphen.
IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Data type of all IDX files of MNIST: unsigned bytes.
IDX_UBYTE = 8
MNIST_SIDE = 28
# MNIST's digits fill a box of this side; their centre of mass is the centre of the 28 x 28 px.
MNIST_INK = 20
# One in five of scikit-learn's digits is kept for testing.
UCI_TEST = 5
# MNIST has 47 MB; a file that unpacks to far more is not read.
MOST_BYTES = 2**28
GZIP = b"\x1f\x8b"
# What the readers of zip, gzip and npy raise for a damaged file; they evaluate the header of an npy as a literal.
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    LookupError,
    TypeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
)
EXPECTED = "expected MNIST: an .npz in the layout of Keras, or one of the four IDX files (or their folder)"


def choose_source(source: Source, mnist_file: Path | None = None) -> Literal["mnist", "uci"]:
    """Where digits come from: 'auto' becomes 'mnist' if it is available, otherwise 'uci', with a warning.

    A run asks once and keeps the answer, so that it trains, tests and resumes on the same digits.

    :raises ValueError: for an unknown source, or 'uci' together with a file.
    """
    if source not in ("auto", "mnist", "uci"):
        raise ValueError(f"digits: expected 'auto', 'mnist' or 'uci', got {shown(source)}.")
    if source == "uci":
        if mnist_file is not None:
            raise ValueError(f"digits: expected 'mnist' with the file {mnist_file}, got 'uci'.")
        return "uci"
    if source == "auto" and mnist_file is None:
        try:
            _fetch_mnist()
        except ConnectionError as error:
            logger.warning("%s Training on scikit-learn's bundled digits; give MNIST with --mnist FILE.", error)
            return "uci"
    return "mnist"


def load_digits(source: Source, split: Split, mnist_file: Path | None = None, whole: bool = False) -> Digits:
    """Images of handwritten digits, cropped to the box that the ink fills.

    :param source: 'mnist'; 'uci' for scikit-learn's bundled 8x8 digits; 'auto': see :func:`choose_source`.
    :param split: 'train' or 'test'; no digit is in both.
    :param mnist_file: a .npz in the layout of Keras, a folder with the four IDX files, or one of these files with
        the others beside it, gzipped or not. None: MNIST is taken from the user's cache, or downloaded once.
    :param whole: the images as they are, with MNIST's margin of 4 px.
    :returns: images (N, h, h) in [0, 1], h = 20 for MNIST (28 whole) and 8 for the bundled digits, and labels (N,).
    :raises ValueError: for a file that is not MNIST, or an unknown source.
    :raises ConnectionError: if 'mnist' is neither given nor cached, and cannot be downloaded.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected 'train' or 'test', got {shown(split)}.")
    if choose_source(source, mnist_file) == "uci":
        return _load_uci(split)
    return _load_mnist(_fetch_mnist() if mnist_file is None else Path(mnist_file), split, whole)


def _load_uci(split: Split) -> Digits:
    # Imported here because it takes a second.
    from sklearn.datasets import load_digits as load_bundled

    bundled = load_bundled()
    labels = bundled.target.astype(np.int64)
    # The last fifth of each class in the file: mostly by writers that training has not seen.
    test = np.zeros(len(labels), bool)
    for digit in range(10):
        of_digit = np.flatnonzero(labels == digit)
        test[of_digit[-(len(of_digit) // UCI_TEST) :]] = True
    chosen = test if split == "test" else ~test
    images = np.rint(bundled.images[chosen] * (255 / 16)).astype(np.uint8)
    return _centred(images, images.shape[-1]), labels[chosen]


def _fetch_mnist() -> Path:
    """The folder in the user's cache with the four IDX files, which are downloaded if missing.

    :raises ConnectionError: if they cannot be downloaded.
    """
    folder = Path(pooch.os_cache("scalor_pyro"))
    if not all((folder / name).exists() for name in CHECKSUMS) and not _reachable(MIRROR + next(iter(CHECKSUMS))):
        raise ConnectionError(f"MNIST is not in {folder} and {MIRROR} gives no answer.")
    files = pooch.create(folder, MIRROR, registry=CHECKSUMS)
    try:
        for name in CHECKSUMS:
            files.fetch(name, downloader=pooch.HTTPDownloader(timeout=PATIENCE))
    # Errors of network and disk are OSErrors; pooch raises ValueError for a wrong checksum.
    except (OSError, ValueError) as error:
        raise ConnectionError(f"MNIST could not be fetched from {MIRROR} into {folder} ({error}).") from error
    return folder


def _reachable(url: str) -> bool:
    """Whether a server answers within a few seconds."""
    answers: list[int] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE) as answer:
                answers.append(answer.status)
        except (OSError, http.client.HTTPException) as error:
            logger.debug("%s: %s", url, error)

    # In a thread that nobody waits for, because no timeout ends a name lookup whose resolver does not answer.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE + 1)
    return bool(answers)


def _load_mnist(path: Path, split: Split, whole: bool = False) -> Digits:
    """MNIST from a file or folder.

    :raises ValueError: if it is not MNIST.
    """
    images, labels = _read_mnist(path, split)
    if images.dtype != np.uint8 or images.shape[1:] != (MNIST_SIDE, MNIST_SIDE) or len(images) == 0:
        raise ValueError(f"{path} holds images {images.dtype} {images.shape}; expected MNIST's, uint8 (N, 28, 28).")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 9:
        raise ValueError(
            f"{path} holds labels {labels.dtype} {labels.shape}; expected MNIST's, ({len(images)},) from 0 to 9."
        )
    if not images.any(axis=(1, 2)).all():
        raise ValueError(f"{path} holds empty images; expected MNIST's, with ink in each.")
    pictures = images.astype(np.float32) / np.float32(255) if whole else _centred(images, MNIST_INK)
    return pictures, labels.astype(np.int64)


def _read_mnist(path: Path, split: Split) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images and labels of a file or folder, as they are."""
    try:
        path.stat()
        if path.is_file() and (path.suffix == ".npz" or zipfile.is_zipfile(path)):
            return _read_npz(path, split)
        if path.is_file() and _idx_name(path) is None:
            raise ValueError(f"{path} is neither an .npz nor named like one of the four IDX files; {EXPECTED}.")
        folder = path if path.is_dir() else path.parent
        images, labels = (_read_idx(_find_idx(folder, name)) for name in IDX_NAMES[split])
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist; {EXPECTED}.") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    return images, labels


def _read_npz(path: Path, split: Split) -> tuple[NDArray[Any], NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole .npz archive; {EXPECTED}.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename: entry for entry in archive.infolist()}
            entries = [members.get(f"{name}_{split}.npy") for name in "xy"]
            if None in entries:
                raise ValueError(f"{path} has no array x_{split} or y_{split}; {EXPECTED}.")
            images, labels = (_read_npy(path, archive, entry) for entry in entries if entry is not None)
            return images, labels
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _read_npy(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """An array of an archive, whose header is checked before anything is allocated for it."""
    if entry.file_size > MOST_BYTES:
        raise ValueError(f"{path} holds {entry.file_size / 1e6:,.0f} MB in {entry.filename}; {EXPECTED}.")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_2_0 if version == (2, 0) else np.lib.format.read_array_header_1_0
        shape, by_columns, dtype = read_header(file)
        content = file.read(MOST_BYTES + 1)
    if dtype.hasobject:
        raise ValueError(f"{path} holds Python objects in {entry.filename}, which are not read; {EXPECTED}.")
    if math.prod(shape) * dtype.itemsize != len(content) or dtype.itemsize == 0:
        raise ValueError(
            f"{path} holds {len(content):,} bytes in {entry.filename}, but its header says {shown(shape)}; {EXPECTED}."
        )
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")


def _unreadable(path: Path, error: Exception) -> ValueError:
    """The error for a file that is damaged, or that the system cannot read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or shown(str(error)).strip("'\"")
    return ValueError(f"{path} cannot be read ({reason.removesuffix('.')}); {EXPECTED}.")


def _idx_name(path: Path) -> str | None:
    """The usual name of an IDX file of MNIST, without .gz; None for any other file."""
    name = path.name.removesuffix(".gz").replace(".idx", "-idx")
    return name if any(name in names for names in IDX_NAMES.values()) else None


def _find_idx(folder: Path, name: str) -> Path:
    for path in sorted(folder.iterdir()):
        if path.is_file() and _idx_name(path) == name:
            return path
    raise ValueError(f"{folder} holds no {name} (or {name}.gz); {EXPECTED}.")


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file: two zero bytes, type, rank, the sizes as big-endian uint32, then the bytes."""
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == GZIP or path.suffix == ".gz"
        with gzip.open(path) if zipped else open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path} holds more than {MOST_BYTES / 1e6:,.0f} MB; {EXPECTED}.")
    rank = data[3] if len(data) > 3 else 0
    if data[:3] != bytes([0, 0, IDX_UBYTE]) or rank not in (1, 3) or len(data) < 4 + 4 * rank:
        raise ValueError(f"{path} begins with {data[:4]!r}, which is no IDX file of bytes; {EXPECTED}.")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", rank, 4))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if len(values) != math.prod(shape):
        raise ValueError(f"{path} holds {len(values)} bytes of data, but its header says {shape}; {EXPECTED}.")
    return values.reshape(shape)


def _centred(images: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Crop images to a square with the box of the ink at its centre.

    :param images: (N, h, h) from 0 to 255, none of them empty.
    :param side: of the square, in px.
    :returns: (N, side, side) in [0, 1].
    """
    inked = images != 0
    rows = _first_to_middle(inked.any(axis=2), side)[:, :, None]
    columns = _first_to_middle(inked.any(axis=1), side)[:, None, :]
    last = images.shape[-1] - 1
    cut = images[np.arange(len(images))[:, None, None], rows.clip(0, last), columns.clip(0, last)]
    outside = (rows < 0) | (rows > last) | (columns < 0) | (columns > last)
    return np.where(outside, 0, cut).astype(np.float32) / np.float32(255)


def _first_to_middle(inked: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """The lines to take, so that those with ink are in the middle: (N, h) -> (N, side)."""
    first = inked.argmax(1)
    end = inked.shape[1] - inked[:, ::-1].argmax(1)
    lines: NDArray[np.int64] = (first + end - side)[:, None] // 2 + np.arange(side)
    return lines
