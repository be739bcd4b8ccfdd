"""Files that are damaged, or are no videos at all, get one sentence: no traceback, and no wait."""

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scalor_pyro.video import Video, VideoError
from tests.video_files import shades, write_video


def refusal(path: Path | str) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(VideoError) as refused:
        for chunk in Video(path).chunks(8):
            chunk.tensor()
    text = str(refused.value)
    assert "\n" not in text and len(text) < 400 and Path(path).name in text, text
    return text


def npy(array: np.ndarray, **how: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def npy_with_header(header: str) -> bytes:
    content = header.encode("latin1").ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(content)) + content + bytes(1000)


# ------------------------------------------------------------------ arrays


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10, 100000, 100000)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10, 9999999999999999999999, 4)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-3, 4, 4)}",
        "{'descr': '<f16', 'fortran_order': False, 'shape': (3, 4, 4)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (3, 4, 4)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 4, 4)}",
        "{'descr': [('a', '<u1')], 'fortran_order': False, 'shape': (3, 4, 4)}",
        "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (3, 4, 4)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4",
        "{'descr': '|u1'}",
        "((((((((((((((((((((",
        "__import__('os').system('true')",
        "\\x00\\x01",
        "{'descr': '|zz', 'fortran_order': False, 'shape': (3, 4, 4)}",
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_headers_that_lie(tmp_path: Path, header: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        path.write_bytes(npy_with_header(header))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("frames.npy", npy_with_header(header))
    assert ": expected " in refusal(path)


def test_archives_of_every_wrong_kind(tmp_path: Path) -> None:
    content = npy(shades(4))
    path = tmp_path / "a.npz"

    def zipped(name: str = "frames.npy", how: int = zipfile.ZIP_STORED) -> bytearray:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", how) as archive:
            archive.writestr(name, content)
        return bytearray(file.getvalue())

    encrypted = zipped()
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    unknown = zipped()
    unknown[8] = unknown[unknown.index(b"PK\1\2") + 10] = 99
    flipped, deflated = zipped(), zipped(how=zipfile.ZIP_DEFLATED)
    flipped[3000] ^= 4
    deflated[len(deflated) // 2] ^= 255
    for archive in (encrypted, unknown, flipped, deflated, zipped("other.txt"), zipped()[:200], b"PK\3\4", b""):
        path.write_bytes(archive)
        assert ": expected " in refusal(path)


# ------------------------------------------------------------------ pictures


def test_pictures_that_are_bombs_or_half_there(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(shades(1)[0]).save(content, "png")
    whole = content.getvalue()
    huge = bytearray(whole)
    huge[16:24] = struct.pack(">II", 100_000, 100_000)
    large = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(large, "png")
    flipped = bytearray(whole)
    flipped[60] ^= 1
    for picture in (
        bytes(huge),
        large.getvalue(),
        bytes(flipped),
        whole[:70],
        whole[:8],
        b"",
        b"text",
        b"P5 1 1",
        b"BM",
    ):
        for name in ("0.png", "0.jpg", "0.webp", "0.pgm"):
            folder = tmp_path / "f"
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes(picture)
            assert ": expected " in refusal(folder / name)
            with pytest.raises(VideoError, match="expected"):
                list(Video(folder))
            (folder / name).unlink()


def test_no_program_is_run_for_a_picture(tmp_path: Path) -> None:
    """Pillow runs Ghostscript for PostScript, whatever the name says."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert "expected a picture" in refusal(tmp_path / "a.png")


# ------------------------------------------------------------------ whatever has a name


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "gone.tif").symlink_to("nowhere")
    for path in ("pipe.mp4", "loop.mp4", "gone.tif", "a\0b.mp4", "\udcff.npy", "x" * 300 + ".png"):
        with pytest.raises(VideoError) as refused:
            Video(tmp_path / path)
        assert "\n" not in str(refused.value)
    with pytest.raises(VideoError, match="got a device or a pipe"):
        Video("/dev/zero")
    (tmp_path / "folder.mp4").mkdir()
    assert "expected images" in refusal(tmp_path / "folder.mp4")


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "ts", "npy", "npz", "tif", "png", "gif", "webp", "pgm", "jpg"])
@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"hello\n" * 500, b"{}", bytes(range(256)) * 20])
def test_other_content_under_every_name(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    assert ": expected " in refusal(tmp_path / f"a.{suffix}")


# ------------------------------------------------------------------ any change of any byte


def valid_files(folder: Path) -> dict[str, bytes]:
    video = shades(4, (16, 24))
    images = [Image.fromarray(each) for each in video]
    images[0].save(folder / "a.gif", save_all=True, append_images=images[1:])
    images[0].save(folder / "a.png", save_all=True, append_images=images[1:])
    images[0].save(folder / "lzw.tif", save_all=True, append_images=images[1:], compression="tiff_lzw")
    tifffile.imwrite(folder / "a.tif", video, photometric="rgb", compression="zlib")
    tifffile.imwrite(folder / "ij.tif", video[..., 0], imagej=True, metadata={"axes": "TYX"})
    np.save(folder / "a.npy", video)
    np.savez_compressed(folder / "a.npz", video)
    for name in ("a.mkv", "a.mp4", "a.avi", "a.ts"):
        write_video(folder / name, video, "mpeg4", "yuv420p")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("valid")
    return tmp_path_factory.mktemp("changed"), valid_files(folder)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32))
def test_any_change_is_read_or_refused_in_one_sentence(valid: tuple[Path, dict[str, bytes]], seed: int) -> None:
    folder, files = valid
    generator = np.random.default_rng(seed)
    name = generator.choice(sorted(files))
    content = bytearray(files[name])
    for _ in range(generator.integers(1, 5)):
        place = int(generator.integers(0, min(len(content), 400) if generator.random() < 0.5 else len(content)))
        match generator.integers(0, 4):
            case 0:
                content[place:] = b""
            case 1:
                content[place : place + 3] = b""
            case 2:
                content[place : place + 4] = b"\xff\xff\xff\x7f"
            case _:
                content[place : place + 1] = generator.bytes(generator.integers(1, 4))
        content = content or bytearray(1)
    path = folder / name
    path.write_bytes(content)
    try:
        for chunk in Video(path).chunks(4):
            chunk.tensor()
    except VideoError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
