"""TIFF files of every kind give the frames that were put in, or one sentence."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scalor_pyro.config import ReadOptions
from scalor_pyro.video import Video, VideoError

FRAMES, SIZE = 4, (5, 7)


def film(frames: int = FRAMES, dtype: Any = np.uint8, colours: int | None = None) -> np.ndarray:
    """(T, H, W[, 3]) Every number occurs once at most; black and white occur."""
    shape = (frames, *SIZE) if colours is None else (frames, *SIZE, colours)
    count = int(np.prod(shape))
    values = np.round(np.linspace(0, 255, count)) if np.dtype(dtype).itemsize == 1 else np.arange(count)
    return values.reshape(shape).astype(dtype)


def read(path: Path, **options: Any) -> np.ndarray:
    """(T, C, H, W)"""
    return np.stack([frame.image for frame in Video(path, ReadOptions(**options))])


def stretched(values: np.ndarray) -> np.ndarray:
    """(T, H, W) → (T, 1, H, W) in 8 bits, the range of values from black to white."""
    values = values.astype(np.float64)
    return np.rint((values - values.min()) * (255 / (values.max() - values.min()))).astype(np.uint8)[:, None]


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Alike but for rounding."""
    return found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= 1


# ------------------------------------------------------------------ axes


@settings(deadline=None, max_examples=60)
@given(
    st.permutations("TYXS"),
    st.booleans(),
    st.sampled_from([None, "zlib"]),
    st.booleans(),
    st.sampled_from([np.uint8, np.uint16]),
)
def test_any_order_of_axes_gives_the_same_frames(
    order: list[str], colour: bool, compression: str | None, bigtiff: bool, dtype: Any
) -> None:
    """tifffile writes any axes with their names; S, the samples, only where TIFF can hold them."""
    axes = "".join(order if colour else [axis for axis in order if axis != "S"]).replace("S", "C")
    video = film(dtype=dtype, colours=3 if colour else None)
    arranged = video.transpose(*("TYXC".index(axis) for axis in axes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        tifffile.imwrite(
            path,
            arranged,
            metadata={"axes": axes},
            photometric="minisblack",
            compression=compression,
            bigtiff=bigtiff,
        )
        found = read(path)
    expected = np.moveaxis(video, -1, 1) if colour else video[:, None]
    if dtype == np.uint16:
        expected = np.rint(expected * (255 / video.max()))
    assert close(found, expected)


@pytest.mark.parametrize("kind", ["imagej", "ome", "bigtiff", "plain", "one IFD"])
@pytest.mark.parametrize("axes", ["TYX", "ZYX", "TYXS"])
def test_every_kind_of_stack(tmp_path: Path, kind: str, axes: str) -> None:
    video = film(colours=3 if "S" in axes else None)
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    how: dict[str, Any] = {"photometric": "rgb"} if "S" in axes else {"photometric": "minisblack"}
    if kind == "one IFD":
        write_one_ifd(path, video, axes)
    elif kind == "plain":
        tifffile.imwrite(path, video, metadata=None, **how)
    else:
        how["imagej"] = kind == "imagej"
        how["bigtiff"] = kind == "bigtiff"
        tifffile.imwrite(path, video, metadata={"axes": axes}, **how)
    assert np.array_equal(read(path), np.moveaxis(video, -1, 1) if "S" in axes else video[:, None])
    assert Video(path).source_frames == FRAMES


def write_one_ifd(path: Path, video: np.ndarray, axes: str) -> None:
    """As ImageJ writes stacks above 4 GB: one page, and the frames behind it."""
    dimensions = {"T": "frames", "Z": "slices"}
    text = f"ImageJ=1.11a\nimages={len(video)}\n{dimensions[axes[0]]}={len(video)}\nhyperstack=true\n"
    photometric: Any = "rgb" if "S" in axes else "minisblack"
    tifffile.imwrite(path, video[0], photometric=photometric, description=text, metadata=None)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.dataoffsets[0] + page.databytecounts[0] == path.stat().st_size  # type: ignore[union-attr]
    with open(path, "ab") as behind:
        behind.write(video[1:].tobytes())


@pytest.mark.parametrize(
    "axes, shape",
    [
        ("TZYX", (3, 4, 5, 7)),
        ("TCYX", (3, 2, 5, 7)),
        ("CYX", (4, 5, 7)),
        ("TZCYX", (2, 2, 2, 5, 7)),
        ("ZCYX", (3, 2, 5, 7)),
    ],
)
@pytest.mark.parametrize("imagej", [True, False])
def test_axes_that_are_neither_time_nor_colour_are_refused(
    tmp_path: Path, axes: str, shape: tuple[int, ...], imagej: bool
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros(shape, np.uint8), imagej=imagej, metadata={"axes": axes}, photometric="minisblack"
    )
    with pytest.raises(VideoError, match=rf"a.tif: expected one .*got axes {axes} \(.*{shape[0]} ") as refused:
        Video(tmp_path / "a.tif")
    assert "save one" in str(refused.value)


@pytest.mark.parametrize(
    ("axes", "warned"), [("ZYX", True), ("TYX", False), ("TZYX", True), ("YX", False), ("ZYXS", True)]
)
def test_slices_that_are_read_as_frames_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, axes: str, warned: bool
) -> None:
    path = tmp_path / "a.tif"
    shape = tuple({"T": 1 if "Z" in axes else 5, "Z": 3, "Y": 16, "X": 24, "S": 3}[axis] for axis in axes)
    photometric = "rgb" if "S" in axes else "minisblack"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), imagej=True, photometric=photometric, metadata={"axes": axes})
    for _ in range(2):
        read(path)
    assert caplog.text.count("its 3 slices (Z) are read as frames") == warned


def test_three_channels_are_colours_and_an_axis_of_length_1_is_nothing(tmp_path: Path) -> None:
    video = film(colours=3)
    arranged = np.moveaxis(video, -1, 1)[:, None]  # TZCYX
    tifffile.imwrite(tmp_path / "a.tif", arranged, imagej=True, metadata={"axes": "TZCYX"}, photometric="minisblack")
    assert np.array_equal(read(tmp_path / "a.tif"), np.moveaxis(video, -1, 1))


def test_pages_of_several_sizes_are_refused_but_a_small_copy_is_left_out(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(film(), photometric="minisblack")
        writer.write(np.zeros((9, 9), np.uint8), photometric="minisblack")
    with pytest.raises(VideoError, match="expected pages of one size and depth, got 2 series"):
        Video(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        writer.write(film(), photometric="minisblack")
        writer.write(np.zeros((2, 3), np.uint8), photometric="minisblack", subfiletype=1)
    assert np.array_equal(read(tmp_path / "b.tif"), film()[:, None])


# ------------------------------------------------------------------ pixels


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "dtype",
    [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.float32, np.float64, np.float16],
)
def test_every_depth_gives_the_same_frames(
    tmp_path: Path, dtype: Any, compression: str | None, white_is_zero: bool
) -> None:
    kind = np.dtype(dtype)
    if white_is_zero and kind.kind == "f":
        pytest.skip("nobody says what white is")
    light = np.arange(FRAMES * 35).reshape(FRAMES, *SIZE)
    values = light - (70 if kind.kind == "i" else 0)
    if kind.kind in "ui" and kind.itemsize == 4:
        values = values + (1 << 30)  # more digits than float32 has
    stored = values.astype(dtype)
    expected = light[:, None] if dtype == np.uint8 else stretched(light)
    tifffile.imwrite(
        tmp_path / "a.tif",
        ~stored if white_is_zero else stored,
        photometric="miniswhite" if white_is_zero else "minisblack",
        compression=compression,
    )
    assert close(read(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_byte_order_planes_and_tiles(tmp_path: Path, order: Any, planar: str, tile: Any) -> None:
    video = film(dtype=np.uint16, colours=3)
    arranged = video if planar == "contig" else np.moveaxis(video, -1, 1)
    tifffile.imwrite(
        tmp_path / "a.tif",
        arranged,
        photometric="rgb",
        planarconfig=planar,
        tile=tile,
        byteorder=order,  # type: ignore[arg-type]
    )
    assert close(read(tmp_path / "a.tif"), np.rint(np.moveaxis(video, -1, 1) * (255 / video.max())))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw", "tiff_deflate"])
@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "P", "F"])
def test_compressions_that_other_programs_write(tmp_path: Path, compression: str, mode: str) -> None:
    video = film()
    if mode == "1":
        video = np.where(video > 128, 255, 0).astype(np.uint8)
    images = [Image.fromarray(each) for each in video]
    if mode == "I;16":
        images = [Image.fromarray(each.astype(np.uint16)) for each in video]
    elif mode == "P":
        for image in images:
            image.putpalette([255 - i // 3 for i in range(768)])
    elif mode != "L":
        images = [image.convert(mode) for image in images]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:], compression=compression)
    found = read(tmp_path / "a.tif", levels=(0, 255) if mode in ("F", "I;16") else None)
    expected = 255 - video if mode == "P" else video
    assert np.array_equal(found, np.repeat(expected[:, None], 3 if mode in ("RGB", "P") else 1, axis=1))


def test_white_is_zero_is_inverted_once_in_16_bits_of_lzw(tmp_path: Path) -> None:
    light = film(dtype=np.uint16)
    images = [Image.fromarray(65535 - each) for each in light]
    images[0].save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={262: 0})
    images[0].save(tmp_path / "b.tif", compression="raw", tiffinfo={262: 0})
    assert np.array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))
    assert close(read(tmp_path / "a.tif"), stretched(light[:1]))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_reach_from_black_to_white(tmp_path: Path, bits: int) -> None:
    top = (1 << bits) - 1
    values = np.arange(8 * 8, dtype=np.uint8).reshape(8, 8) % (top + 1)
    packed = np.packbits(np.unpackbits(values[..., None], axis=-1)[..., -bits:].reshape(8, -1), axis=-1)
    write_packed(tmp_path / "a.tif", packed, bits)
    assert np.array_equal(read(tmp_path / "a.tif")[0, 0], values * (255 // top))


def write_packed(path: Path, packed: np.ndarray, bits: int) -> None:
    """A TIFF of 8 × 8 px with few bits per sample."""
    tifffile.imwrite(path, np.zeros((8, packed.shape[1]), np.uint8), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        page: Any = file.pages[0]
        offset = page.dataoffsets[0]
        page.tags["ImageWidth"].overwrite(8)
        page.tags["BitsPerSample"].overwrite(bits)
    content = bytearray(path.read_bytes())
    content[offset : offset + packed.size] = packed.tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize("extra, kept", [("unassalpha", 100), ("assocalpha", 200), ("unspecified", 200)])
def test_transparency_lies_over_black_once(tmp_path: Path, extra: str, kept: int) -> None:
    video = np.full((2, *SIZE, 4), 200, np.uint8)
    video[..., 3] = 128
    tifffile.imwrite(tmp_path / "a.tif", video, photometric="rgb", extrasamples=[extra])
    found = read(tmp_path / "a.tif")
    assert found.shape == (2, 3, *SIZE) and np.abs(found.astype(int) - kept).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_orientation_is_heeded_once(tmp_path: Path, orientation: int, compression: str | None) -> None:
    picture = film(1)[0]
    upright = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.T,
        6: picture.T[:, ::-1],
        7: picture.T[::-1, ::-1],
        8: picture.T[::-1],
    }
    if compression is None:
        tifffile.imwrite(tmp_path / "a.tif", picture, extratags=[(274, 3, 1, orientation, True)])
    else:
        Image.fromarray(picture).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={274: orientation})
    assert np.array_equal(read(tmp_path / "a.tif")[0, 0], upright[orientation])


def test_what_cannot_be_decoded_is_refused_in_one_sentence(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", film(dtype=np.uint16, colours=3), photometric="rgb", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        for page in file.pages:
            page.tags["Compression"].overwrite(50001)  # type: ignore[union-attr]  # WebP
    with pytest.raises(VideoError, match="a.tif: expected a kind of TIFF that can be decoded, got .*imagecodecs"):
        read(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", film(dtype=np.complex64), photometric="minisblack")
    with pytest.raises(VideoError, match="b.tif: expected real numbers, got complex64"):
        Video(tmp_path / "b.tif")


def test_a_file_that_is_cut_off_says_how_many_frames_there_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, how in (("a.tif", {"imagej": True, "metadata": {"axes": "TYX"}}), ("b.tif", {"metadata": None})):
        tifffile.imwrite(tmp_path / name, np.zeros((20, 64, 64), np.uint8), photometric="minisblack", **how)  # type: ignore[arg-type]
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        try:
            found = read(tmp_path / name)
        except VideoError as error:
            assert "\n" not in str(error) and name in str(error)
        else:
            assert f"{name} seems to be cut off or damaged: {len(found)} frame" in caplog.text


# ------------------------------------------------------------------ folders of TIFF files


def test_a_folder_of_stacks_is_read_one_after_the_other(tmp_path: Path) -> None:
    video = film(10)
    for name, part in {"a1": video[:4], "a2": video[4:5], "a10": video[5:]}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", part, photometric="minisblack")
    assert np.array_equal(read(tmp_path), video[:, None])
    assert [frame.number for frame in Video(tmp_path)] == list(range(10))
    assert Video(tmp_path).info.kind == "folder of stacks"


def test_a_stack_among_single_images_is_refused(tmp_path: Path) -> None:
    for t, part in enumerate([film()[0], film()[1], film()]):
        tifffile.imwrite(tmp_path / f"{t}.tif", part, photometric="minisblack")
    with pytest.raises(VideoError, match="2.tif: expected one frame, as in the first file of the folder, got 4"):
        read(tmp_path)


@pytest.mark.parametrize("first, second", list(itertools.permutations([np.uint8, np.uint16, np.float32], 2)))
def test_files_of_different_depths_in_a_folder_are_refused(tmp_path: Path, first: Any, second: Any) -> None:
    for t, dtype in enumerate([first, first, second]):
        tifffile.imwrite(tmp_path / f"{t}.tif", film(1, dtype)[0], photometric="minisblack")
    with pytest.raises(VideoError, match="expected pixels of one depth .* in frame 2"):
        read(tmp_path)


def test_one_file_of_a_data_set_in_several_gives_its_own_pages(tmp_path: Path) -> None:
    """Every file of such an OME data set describes them all."""
    video = film()
    for t in range(FRAMES):
        tifffile.imwrite(tmp_path / f"{t}.ome.tif", video[t], photometric="minisblack")
    assert np.array_equal(read(tmp_path), video[:, None])
