import gzip
import logging
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.data import choose_source, digits, load_digits
from scalor_pyro.data.worlds import Split

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
COUNTS = {"train": 5, "test": 3}


def pictures(split: str) -> tuple[np.ndarray, np.ndarray]:
    """As many pictures as COUNTS says; number i is a box of 2 + i by 4 px of its own grey, away from the middle."""
    count = COUNTS[split]
    images = np.zeros((count, 28, 28), np.uint8)
    for i in range(count):
        images[i, 1 : 3 + i, 2:6] = 50 * (i + 1)
    return images, np.arange(count, dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, change: Callable[[str], str] = lambda name: name) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in NAMES.items():
        for name, array in zip(names, pictures(split), strict=True):
            path = folder / change(name)
            path.write_bytes(gzip.compress(idx(array)) if path.suffix == ".gz" else idx(array))
    return folder


def write_npz(path: Path, **changes: Any) -> Path:
    (x_train, y_train), (x_test, y_test) = pictures("train"), pictures("test")
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "npz": lambda folder: write_npz(folder / "mnist.npz"),
    "npz of another name": lambda folder: write_npz(folder / "digits.npz").rename(folder / "digits.bin"),
    "folder": lambda folder: write_idx(folder),
    "gzipped folder": lambda folder: write_idx(folder, lambda name: name + ".gz"),
    "dots": lambda folder: write_idx(folder, lambda name: name.replace("-idx", ".idx")),
    "one file": lambda folder: write_idx(folder) / "train-labels-idx1-ubyte",
    "one gzipped file": lambda folder: write_idx(folder, lambda name: name + ".gz") / "t10k-images-idx3-ubyte.gz",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source", ["auto", "mnist"])
def test_mnist_is_read_in_every_layout(layout: str, source: Any, tmp_path: Path) -> None:
    path = LAYOUTS[layout](tmp_path)
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        images, labels = load_digits(source, split, path)
        assert images.shape == (COUNTS[split], 20, 20) and images.dtype == np.float32
        assert labels.tolist() == list(range(COUNTS[split]))
        assert images.max((1, 2)) == pytest.approx([50 * (i + 1) / 255 for i in range(COUNTS[split])])


def test_ink_lies_in_the_middle_of_its_box(tmp_path: Path) -> None:
    images, _ = load_digits("mnist", "train", write_npz(tmp_path / "mnist.npz"))
    for i, image in enumerate(images):
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert len(rows) == 2 + i and len(columns) == 4  # nothing is lost
        assert abs(rows.mean() - 9.5) <= 0.5 and columns.mean() == 9.5


def truncated(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-40])
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def folder_with(folder: Path, name: str, content: bytes) -> Path:
    written(write_idx(folder) / name, content)
    return folder


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no arrays here")
    return path


def npy(shape: Any) -> bytes:
    """The header of an array of bytes that says this shape."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def bomb(path: Path, images: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x_train.npy", images)
        archive.writestr("y_train.npy", npy((1,)) + b"1")
    return path


def marked(path: Path, offset: int, value: int) -> Path:
    """The archive with another byte in all headers: that many behind the start of those in the central directory."""
    content = bytearray(path.read_bytes())
    for signature, shift in ((b"PK\x01\x02", 0), (b"PK\x03\x04", -2)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + offset + shift] = value
    path.write_bytes(content)
    return path


def encrypted(path: Path) -> Path:
    return marked(path, 8, 1)


IMAGES = NAMES["train"][0]
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda f: f / "nowhere.npz", "does not exist"),
    "text": (lambda f: written(f / "notes.txt", b"not digits"), "neither an .npz nor named"),
    "text called npz": (lambda f: written(f / "mnist.npz", b"not digits"), "not a whole .npz"),
    "pickle called npz": (lambda f: written(f / "mnist.npz", pickle.dumps([1, 2])), "not a whole .npz"),
    "truncated npz": (lambda f: truncated(write_npz(f / "mnist.npz")), "not a whole .npz"),
    "other zip": (lambda f: zipped(f / "mnist.npz"), "no array x_train"),
    "other arrays": (lambda f: write_npz(f / "mnist.npz", y_train=None), "no array x_train or y_train"),
    "pickled arrays": (lambda f: write_npz(f / "m.npz", x_train=np.array([{}], object)), "Python objects"),
    "wrong size": (lambda f: write_npz(f / "m.npz", x_train=np.ones((5, 32, 32), np.uint8)), r"\(5, 32, 32\)"),
    "wrong type": (lambda f: write_npz(f / "m.npz", x_train=np.ones((5, 28, 28))), "float64"),
    "no pictures": (lambda f: write_npz(f / "m.npz", x_train=np.ones((0, 28, 28), np.uint8)), r"\(0, 28, 28\)"),
    "labels short": (lambda f: write_npz(f / "m.npz", y_train=np.arange(4)), r"labels int64 \(4,\)"),
    "labels of letters": (lambda f: write_npz(f / "m.npz", y_train=np.arange(8, 13)), "from 0 to 9"),
    "empty picture": (lambda f: write_npz(f / "m.npz", x_train=np.zeros((5, 28, 28), np.uint8)), "empty images"),
    "empty folder": (lambda f: f, "holds no train-images"),
    "sibling missing": (lambda f: written(f / IMAGES, idx(pictures("train")[0])), "holds no train-labels"),
    "wrong magic": (lambda f: folder_with(f, IMAGES, b"\x00\x00\x0d\x03" + bytes(40)), "no IDX file"),
    "empty file": (lambda f: folder_with(f, IMAGES, b""), "no IDX file"),
    "truncated idx": (lambda f: folder_with(f, IMAGES, idx(pictures("train")[0])[:-9]), "header says"),
    "swapped": (lambda f: folder_with(f, IMAGES, idx(pictures("train")[1])), r"images uint8 \(5,\)"),
    "truncated gzip": (lambda f: folder_with(f, IMAGES, gzip.compress(idx(pictures("train")[0]))[:-9]), "be read"),
    "gzip of zeros": (lambda f: folder_with(f, IMAGES, gzip.compress(bytes(2**28 + 1), 1)), "holds more than 268 MB"),
    "npz of zeros": (lambda f: bomb(f / "mnist.npz", npy((2**28, 1, 1)) + bytes(2**28)), "holds 268 MB in x_train"),
    "npz that claims more": (lambda f: bomb(f / "mnist.npz", npy((10**12, 28, 28)) + bytes(40)), "its header says"),
    "npz that overflows": (lambda f: bomb(f / "mnist.npz", npy((2**62, 2**62)) + bytes(40)), "its header says"),
    "npz with a strange header": (lambda f: bomb(f / "mnist.npz", npy("(((")), "cannot be read|is not"),
    "encrypted npz": (lambda f: encrypted(write_npz(f / "mnist.npz")), "cannot be read"),
    "other compression": (lambda f: marked(write_npz(f / "mnist.npz"), 10, 99), "cannot be read"),
    "long name": (lambda f: f / ("x" * 300), "cannot be read"),
    "broken gzip": (lambda f: folder_with(f, IMAGES, b"\x1f\x8b" + bytes(90)), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_mnist_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    make, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        load_digits("auto", "train", make(tmp_path))
    assert "expected" in str(caught.value) and "MNIST" in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=60)
@given(data=st.data(), layout=st.sampled_from(["npz", "gzipped folder", "folder"]))
def test_damaged_files_are_refused_in_one_sentence_or_are_whole(
    data: st.DataObject, layout: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = LAYOUTS[layout](tmp_path_factory.mktemp("digits"))
    file = path if path.is_file() else next(path.glob(f"{IMAGES}*"))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        images, _ = load_digits("mnist", "train", path)
    except ValueError as error:
        assert "expected MNIST" in str(error) and "\n" not in str(error) and len(str(error)) < 600
        assert str(path) in str(error)
    else:
        assert images.shape[1:] == (20, 20)


def test_bundled_digits_are_split_by_class() -> None:
    (train, train_labels), (test, test_labels) = load_digits("uci", "train"), load_digits("uci", "test")
    assert train.shape[1:] == test.shape[1:] == (8, 8) and len(train) + len(test) == 1797
    assert test.min() == 0.0 and test.max() == 1.0
    assert np.bincount(test_labels) / np.bincount(train_labels) == pytest.approx(0.25, abs=0.02)
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user's cache, on a machine without network."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(digits, "_reachable", lambda url: False)
    return tmp_path / "scalor_pyro"


def test_auto_without_mnist_takes_bundled_digits_and_says_so(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        images, _ = load_digits("auto", "test")
    assert images.shape[1:] == (8, 8)
    (record,) = caplog.records
    assert "--mnist FILE" in record.getMessage() and "\n" not in record.getMessage()


def test_source_is_chosen_once_for_a_run(cache: Path) -> None:
    assert choose_source("auto") == "uci"
    assert choose_source("auto", Path("mnist.npz")) == choose_source("mnist") == "mnist"
    assert choose_source("uci") == "uci"


def test_mnist_that_cannot_be_had_is_an_error(cache: Path) -> None:
    with pytest.raises(ConnectionError, match="MNIST is not in"):
        load_digits("mnist", "train")


def fake_checksums(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {path.name: f"sha256:{pooch.file_hash(str(path))}" for path in folder.iterdir()}
    monkeypatch.setattr(digits, "CHECKSUMS", {name: sums[name] for name in digits.CHECKSUMS})


def test_cache_is_used_without_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_checksums(write_idx(cache, lambda name: name + ".gz"), monkeypatch)
    assert load_digits("auto", "test")[0].shape == (3, 20, 20)
    assert load_digits("mnist", "train")[0].shape == (5, 20, 20)


class Mirror:
    """Stands for pooch's downloader: gives the files of a folder."""

    folder: Path

    def __init__(self, timeout: float) -> None:
        assert 0 < timeout < 6

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        Path(output_file).write_bytes((self.folder / url.rsplit("/", 1)[1]).read_bytes())


@pytest.fixture
def mirror(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror that answers, with the right files."""
    Mirror.folder = write_idx(tmp_path / "mirror", lambda name: name + ".gz")
    fake_checksums(Mirror.folder, monkeypatch)
    monkeypatch.setattr(pooch, "HTTPDownloader", Mirror)
    monkeypatch.setattr(digits, "_reachable", lambda url: True)
    return Mirror.folder


def test_mnist_is_fetched_once_into_the_cache(mirror: Path, cache: Path) -> None:
    assert load_digits("auto", "train")[0].shape == (5, 20, 20)
    assert sorted(path.name for path in cache.iterdir()) == sorted(digits.CHECKSUMS)
    for path in mirror.iterdir():
        path.unlink()
    assert load_digits("mnist", "train")[0].shape == (5, 20, 20)


def test_download_with_a_wrong_checksum_is_not_kept(mirror: Path, cache: Path) -> None:
    name = next(iter(digits.CHECKSUMS))
    (mirror / name).write_bytes(b"<html>log in to this network</html>")
    with pytest.raises(ConnectionError, match="could not be fetched"):
        load_digits("mnist", "train")
    assert not (cache / name).exists()
    assert load_digits("auto", "train")[0].shape[1:] == (8, 8)


def test_server_that_is_not_there_is_not_reachable() -> None:
    assert not digits._reachable("http://127.0.0.1:9/")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("svhn", "train"), "digits: expected .* got 'svhn'"),
        (("uci", "valid"), "split: expected .* got 'valid'"),
        (("uci", "train", Path("mnist.npz")), "expected 'mnist' with the file mnist.npz, got 'uci'"),
    ],
)
def test_unknown_sources_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_digits(*arguments)
