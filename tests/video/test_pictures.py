"""Single pictures, animations and folders: depth, colour, orientation, and the order and numbers of names."""

import itertools
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scalor_pyro.config import ReadOptions
from scalor_pyro.video import Video, VideoError
from scalor_pyro.video.images import frame_numbers, natural_order
from tests.video_files import shades


def read(path: Path, **options: Any) -> np.ndarray:
    """(T, C, H, W)"""
    return np.stack([frame.image for frame in Video(path, ReadOptions(**options))])


def write_png(path: Path, pixels: np.ndarray, bits: int, colour_type: int) -> None:
    """A PNG of any depth; Pillow writes few of them.

    :param pixels: (H, W, C), or (H, bytes) of packed samples.
    """
    height = len(pixels)
    width = pixels.shape[1] if pixels.ndim == 3 else pixels.shape[1] * 8 // bits
    lines = pixels.astype(">u2" if bits == 16 else np.uint8).reshape(height, -1)
    scanlines = b"".join(b"\0" + line.tobytes() for line in lines)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, colour_type, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        content += len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    path.write_bytes(content)


# ------------------------------------------------------------------ depth


@pytest.mark.parametrize("colour_type, channels", [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_keeps_them_all(tmp_path: Path, colour_type: int, channels: int) -> None:
    """Values of one high byte, which 8 bits could not tell from each other."""
    values = np.arange(256, dtype=np.uint16).reshape(16, 16, 1).repeat(channels, -1)
    values = values // np.array([1, 2, 4, 1], np.uint16)[:channels]
    if channels in (2, 4):
        values[..., -1] = 65535
    write_png(tmp_path / "0.png", 0x1200 + values, 16, colour_type)
    if channels in (2, 4):
        values[..., -1] = 65535
        stored = np.where(np.arange(channels) < channels - 1, 0x1200 + values, 65535)
        write_png(tmp_path / "0.png", stored, 16, colour_type)
    found = read(tmp_path, levels=(0x1200, 0x1200 + 255))
    colours = channels - (channels % 2 == 0)
    shown = np.moveaxis(values[..., :colours], -1, 0)
    assert np.array_equal(found[0], np.repeat(shown, 3, 0) if channels == 2 and len(found[0]) == 3 else shown)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_of_few_bits_reaches_from_black_to_white(tmp_path: Path, bits: int) -> None:
    top = (1 << bits) - 1
    values = (np.arange(16 * 16).reshape(16, 16) % (top + 1)).astype(np.uint8)
    packed = np.packbits(np.unpackbits(values[..., None], axis=-1)[..., -bits:].reshape(16, -1), axis=-1)
    write_png(tmp_path / "0.png", packed, bits, 0)
    assert np.array_equal(read(tmp_path)[0, 0], values * (255 // top))


@pytest.mark.parametrize("name, header", [("0.pgm", b"P5"), ("0.ppm", b"P6")])
def test_pnm_of_16_bits_keeps_them_all(tmp_path: Path, name: str, header: bytes) -> None:
    channels = 1 if header == b"P5" else 3
    values = (0x1200 + np.arange(64 * channels)).reshape(8, 8, channels).astype(">u2")
    (tmp_path / name).write_bytes(header + b"\n# a remark\n8 8\n65535\n" + values.tobytes())
    found = read(tmp_path, levels=(0x1200, 0x1200 + 255))
    assert np.array_equal(found[0], np.moveaxis(values.astype(int) - 0x1200, -1, 0))


def test_files_of_8_and_16_bits_in_one_folder_are_refused(tmp_path: Path) -> None:
    for first, second in itertools.permutations(["eight", "sixteen"], 2):
        folder = tmp_path / first
        folder.mkdir()
        write_png(folder / f"{int(first == 'sixteen')}.png", np.zeros((4, 4, 1)), 8, 0)
        write_png(folder / f"{int(second == 'sixteen')}.png", np.zeros((4, 4, 1)), 16, 0)
        with pytest.raises(VideoError, match="expected pixels of one depth"):
            read(folder)


def test_colour_after_grey_is_refused_unless_all_become_grey(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 100, np.uint8)).save(tmp_path / "0.png")
    Image.fromarray(np.full((4, 4, 3), 100, np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(VideoError, match="expected grey in frame 1, as in the first, got colour; --grey"):
        read(tmp_path)
    assert (read(tmp_path, grey=True) == 100).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["pgm", "tif", "png"])
def test_frames_can_be_written_to(tmp_path: Path, suffix: str) -> None:
    """Otherwise torch warns."""
    for t in range(2):
        Image.fromarray(shades(3)[t, ..., 0]).save(tmp_path / f"{t}.{suffix}")
    for chunk in Video(tmp_path).chunks(2):
        chunk.tensor()
    for frame in Video(tmp_path):
        assert frame.image.flags.writeable


# ------------------------------------------------------------------ one file


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_animations_keep_their_frames_and_times(tmp_path: Path, name: str) -> None:
    images = [Image.fromarray(each) for each in shades(4)]
    durations = [100, 300, 100, 100]
    how: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=durations, **how)
    frames = list(Video(tmp_path / name))
    assert np.array_equal(np.stack([each.image for each in frames]), np.moveaxis(shades(4), -1, 1))
    assert [each.time for each in frames] == pytest.approx([0, 0.1, 0.4, 0.5])
    assert [each.number for each in frames] == [0, 1, 2, 3]
    assert len(list(Video(tmp_path / name, ReadOptions(rate=10)))) == 6


def test_the_still_picture_before_an_animation_is_none_of_its_frames(tmp_path: Path) -> None:
    images = [Image.fromarray(each) for each in shades(4)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], default_image=True, duration=100)
    assert np.array_equal(read(tmp_path / "a.png"), np.moveaxis(shades(4)[1:], -1, 1))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp"])
def test_a_single_picture_is_a_video_of_one_frame(tmp_path: Path, name: str) -> None:
    Image.fromarray(shades(1)[0]).save(tmp_path / name)
    assert read(tmp_path / name).shape == (1, 3, 32, 48)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    from PIL import ImageOps

    picture = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    how: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(picture).save(tmp_path / f"0.{suffix}", exif=exif, **how)
    with Image.open(tmp_path / f"0.{suffix}") as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("L"))
    assert np.array_equal(read(tmp_path, grey=True)[0, 0], expected)


# ------------------------------------------------------------------ the order of names

FORMATS = [
    "t{}.png",
    "{}.tif",
    "a_{:03d}.png",
    "x.{:d}.png",
    "frame {:5d}.jpg",
    "img{:+d}.png",
    "n={}.png",
    "s1_{:02d}e.png",
]


@given(st.sets(st.integers(0, 10**7), min_size=2, max_size=20), st.sampled_from(FORMATS), st.randoms())
def test_whole_numbers_come_in_their_order(numbers: set[int], form: str, random: Any) -> None:
    names = [form.format(number) for number in sorted(numbers)]
    shuffled = random.sample(names, len(names))
    assert natural_order(shuffled) == names


@given(
    st.sets(st.integers(-(10**5), 10**5), min_size=2, max_size=20),
    st.sampled_from(["{}.png", "t_{}.png", "t={:+d}.png", "z {:04d}.tif", "t{}.png"]),
    st.randoms(),
)
def test_signed_numbers_come_in_their_order(numbers: set[int], form: str, random: Any) -> None:
    if form == "t{}.png" and max(numbers) < 0:
        numbers = numbers | {0}  # t-1, t-2 alone are names with dashes
    names = [form.format(number) for number in sorted(numbers)]
    assert natural_order(random.sample(names, len(names))) == names


@given(
    st.sets(st.integers(-(10**6), 10**6), min_size=2, max_size=20),
    st.sampled_from(["{}.png", "t_{}.png", "t_{:.4f}.png", "{:09.3f}s.png", "x={:.2e}.png", "T {:g}.png"]),
    st.sampled_from([1, 4, 64, 1000]),
    st.randoms(),
)
def test_decimal_numbers_come_in_their_order(numbers: set[int], form: str, divisor: int, random: Any) -> None:
    by_name = {form.format(number / divisor): number for number in sorted(numbers)}
    names = sorted({form.format(number / divisor) for number in numbers}, key=lambda name: float_in(name))
    assert natural_order(random.sample(names, len(names))) == names and by_name


def float_in(name: str) -> float:
    import re

    found = re.search(r"[+-]?\d+(?:\.\d+)?(?:e[+-]\d+)?(?=\D*$)", name.removesuffix(".png"))
    assert found
    return float(found[0])


@pytest.mark.parametrize(
    "names",
    [
        ["t1.png", "t1.5.png", "t2.png"],
        ["x.2.png", "x.10.png"],
        ["-2.png", "-1.png", "0.png", "1.png"],
        ["t-2.png", "t-1.png", "t0.png", "t1.png"],
        ["frame-1.png", "frame-2.png", "frame-10.png"],
        ["a1b2.png", "a1b10.png", "a2b1.png"],
        ["1.9.png", "1.10.png", "1.11.png", "2.1.png"],
        ["v1.2.3.png", "v1.2.10.png"],
        ["2024-01-02.png", "2024-01-10.png", "2024-02-01.png"],
        ["1.png", "２.png", "10.png", "１１.png"],
        ["t²1.png", "t²2.png"],
        ["٣.png", "١٠.png"],
        ["999.png", "1,000.png"],
        ["−2.png", "−1.png"],
        ["1e-05.png", "1e-04.png", "0.5.png", "1.png"],
        ["A1.png", "a2.png", "A10.png"],
        ["1.png", "02.png", "003.png", "4.png"],
    ],
)
def test_orders_that_people_expect(names: list[str]) -> None:
    assert natural_order(names[::-1]) == names


# ------------------------------------------------------------------ missing numbers


def test_missing_images_leave_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = [0, 1, 2, 5, 6, 8]
    for t in kept:
        Image.fromarray(shades(9)[t]).save(tmp_path / f"f{t + 16:02d}.png")
    frames = list(Video(tmp_path))
    assert [frame.number for frame in frames] == kept
    assert caplog.text.count("has gaps in its names: 3 frames (3 to 4, 7) are missing") == 1
    list(Video(tmp_path))
    assert caplog.text.count("gaps") == 1
    assert [frame.number for frame in Video(tmp_path, ReadOptions(start=4, stop=8))] == [5, 6]


@given(st.sets(st.integers(0, 60), min_size=8, max_size=40), st.integers(0, 10**6), st.integers(1, 3))
def test_frames_are_numbered_as_their_names_count(numbers: set[int], first: int, step: int) -> None:
    ordered = sorted(numbers)
    found, by = frame_numbers([f"a{first + step * number}b.png" for number in ordered])
    assert found[0] == 0 and by % step == 0
    assert [number * (by // step) for number in found] == [number - ordered[0] for number in ordered]


def test_names_without_one_number_are_counted(tmp_path: Path) -> None:
    for names in (["a.png", "b.png"], ["1_1.png", "2_2.png"], ["0.5.png", "1.5.png"]):
        assert frame_numbers(names)[0] == [0, 1]
    assert frame_numbers(["1.png", "2.png", "1000.png"]) == ([0, 1, 2], -1)


@settings(deadline=None, max_examples=20)
@given(st.sets(st.integers(0, 30), min_size=1, max_size=12), st.sampled_from(["{}.png", "a{:02d}.png", "x.{}.png"]))
def test_a_folder_is_read_in_the_order_of_its_numbers(numbers: set[int], form: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            Image.fromarray(np.full((2, 2), 8 * number, np.uint8)).save(Path(folder) / form.format(number))
        assert [int(each[0, 0, 0]) // 8 for each in read(Path(folder))] == sorted(numbers)
