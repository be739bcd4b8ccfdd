"""Reading videos: every kind of file, every option, what is refused, and clips for training."""

import itertools
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scalor_pyro.config import ConfigError
from scalor_pyro.training.prefetch import Prefetcher, Request
from scalor_pyro.video import Clips, Crop, Geometry, ReadOptions, Video, VideoError, grand_central
from scalor_pyro.video.images import natural_order
from tests.video_files import SIZE, level, noisy, shades, write_video

FRAMES = 12


def read(path: Path, **options: Any) -> np.ndarray:
    """(T, C, H, W)"""
    return np.stack([frame.image for frame in Video(path, ReadOptions(**options))])


def shown(frames: np.ndarray) -> list[int]:
    """Which frames of `shades` these are, by the grey of their lower right corner."""
    return [round((int(frame[0, -2, -2]) - level(0)) / 9) for frame in frames]


def save_images(folder: Path, frames: np.ndarray, name: str = "{}.png") -> Path:
    folder.mkdir()
    for t, image in enumerate(frames):
        Image.fromarray(image).save(folder / name.format(t))
    return folder


@pytest.fixture
def mkv(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mkv", shades(FRAMES))


# ------------------------------------------------------------------ kinds of file


def test_lossless_video_comes_out_as_it_was_put_in(mkv: Path) -> None:
    frames = read(mkv)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, np.moveaxis(shades(FRAMES), -1, 1))


@pytest.mark.parametrize(
    "name, codec",
    [("a.mp4", "mpeg4"), ("a.avi", "mpeg4"), ("a.mov", "mpeg4"), ("a.mkv", "mpeg4"), ("a.mp4", "libx264")],
)
def test_lossy_video_in_every_container(tmp_path: Path, name: str, codec: str) -> None:
    video = Video(write_video(tmp_path / name, shades(FRAMES), codec, "yuv420p"))
    frames = list(video)
    assert [frame.number for frame in frames] == list(range(FRAMES))
    assert shown(np.stack([frame.image for frame in frames])) == list(range(FRAMES))
    assert video.info.size == SIZE and video.channels == 3
    assert video.source_frames == video.expected_frames == FRAMES
    assert video.info.rate == pytest.approx(10, rel=0.05)
    assert frames[3].time == pytest.approx(0.3, abs=0.01)


def test_grey_video_has_one_channel(tmp_path: Path) -> None:
    video = shades(FRAMES)[..., 0]
    path = write_video(tmp_path / "a.mkv", video, pix_fmt="gray", source="gray")
    assert np.array_equal(read(path), video[:, None])


def test_gif_is_read_with_its_uneven_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [Image.fromarray(each) for each in shades(4)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[100, 300, 100, 100])
    frames = list(Video(tmp_path / "a.gif"))
    assert shown(np.stack([frame.image for frame in frames])) == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.1, 0.4, 0.5])
    assert caplog.text == ""


def test_folder_is_sorted_naturally_and_other_files_are_passed_over(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "f", shades(FRAMES), "frame{}.png")
    (folder / "notes.txt").write_text("not a frame")
    (folder / "._frame0.png").write_text("not a frame either")
    video = Video(folder)
    assert shown(read(folder)) == list(range(FRAMES))
    assert video.source_frames == FRAMES and video.info.rate is None
    assert natural_order(["a10", "a9", "b1", "a09", "10", "9"]) == ["9", "10", "a09", "a9", "a10", "b1"]


def test_tiff_stack(tmp_path: Path) -> None:
    images = [Image.fromarray(each) for each in shades(FRAMES)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    assert np.array_equal(read(tmp_path / "a.tif"), np.moveaxis(shades(FRAMES), -1, 1))


def test_16_bits_are_scaled_by_their_range_or_by_levels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = np.linspace(1000, 3000, 3 * 32 * 48).reshape(3, 32, 48).round().astype(np.uint16)
    images = [Image.fromarray(each) for each in values]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    frames = read(tmp_path / "a.tif")
    assert frames.shape == (3, 1, 32, 48)
    assert np.abs(frames[:, 0] - (values - 1000.0) / 2000 * 255).max() <= 0.51
    assert caplog.text.count("1000 to 3000") == 1
    caplog.clear()
    assert read(tmp_path / "a.tif", levels=(0, 6000)).max() == 128
    assert caplog.text == ""


def test_16_bits_of_a_video_and_of_an_array_are_the_same(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 3 * 32 * 48).reshape(3, 32, 48).round().astype(np.uint16)
    path = write_video(tmp_path / "a.mkv", values, pix_fmt="gray16le", source="gray16le")
    np.save(tmp_path / "a.npy", values)
    assert np.array_equal(read(path), read(tmp_path / "a.npy"))
    assert read(path).max() == 255


@pytest.mark.parametrize("mode, kept", [("RGBA", 80), ("LA", 80), ("P", 0)])
def test_alpha_is_dropped_over_black_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, kept: int
) -> None:
    pixels = np.full((*SIZE, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[:8, :, 3] = 102
    image = Image.fromarray(pixels)
    if mode == "P":  # a palette's colour 0 is transparent, colour 1 is grey 200
        image = Image.fromarray((pixels[..., 3] == 255).astype(np.uint8)).convert("P")
        image.putpalette([90, 90, 90, 200, 200, 200])
    folder = tmp_path / "f"
    folder.mkdir()
    for t in range(2):
        image.convert(mode).save(folder / f"{t}.png", **({"transparency": 0} if mode == "P" else {}))
    frames = read(folder)
    assert frames.shape == (2, 1 if mode == "LA" else 3, *SIZE)
    assert (frames[:, :, :8] == kept).all() and (frames[:, :, 8:] == 200).all()
    assert caplog.text.count("transparent") == 1


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "<u2", ">u2", "i2", "u4", "i8", "f2", "f4", ">f8"])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_an_array_in_memory_is_read_as_its_file(tmp_path: Path, dtype: str, channels: int | None) -> None:
    shape = (3, 16, 24) if channels is None else (3, 16, 24, channels)
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    frames = np.stack([frame.image for frame in Video(values)])
    assert np.array_equal(frames, read(tmp_path / "a.npy"))


@pytest.mark.parametrize("layout", ["THW", "THWC", "TCHW"])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_in_every_layout(tmp_path: Path, layout: str, suffix: str) -> None:
    video = shades(5)
    arranged = {"THW": video[..., 0], "THWC": video, "TCHW": np.moveaxis(video, -1, 1)}[layout]
    path = tmp_path / f"a.{suffix}"
    np.save(path, arranged) if suffix == "npy" else np.savez_compressed(path, frames=arranged, other=np.zeros(3))
    expected = np.moveaxis(video, -1, 1)[:, : 1 if layout == "THW" else 3]
    assert np.array_equal(read(path), expected)
    assert np.array_equal(read(path, start=1, stride=2), expected[1::2])


def test_floats_within_0_and_1_are_taken_as_they_are_and_truth_values_are_black_and_white(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 16, 16), 0.2, np.float32))
    np.save(tmp_path / "b.npy", np.eye(16, dtype=bool)[None])
    assert (read(tmp_path / "a.npy") == 51).all()
    assert np.array_equal(read(tmp_path / "b.npy")[0, 0], 255 * np.eye(16))


# ------------------------------------------------------------------ options


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_turned_videos_come_out_upright(tmp_path: Path, degrees: int) -> None:
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:16, :24] = 200
    picture[:16, 24:] = 100
    path = write_video(tmp_path / "a.mp4", np.stack([picture] * 2), "mpeg4", "yuv420p", degrees=degrees)
    video = Video(path)
    upright = np.rot90(picture, degrees // 90)
    assert video.info.size == upright.shape[:2]
    image = next(iter(video)).image[0].astype(int)
    assert np.abs(image - upright[..., 0]).mean() < 6


def test_photos_are_turned_by_their_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    folder = tmp_path / "f"
    folder.mkdir()
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:16] = 200
    Image.fromarray(picture).save(folder / "0.png", exif=exif)
    assert np.array_equal(read(folder)[0, 0], np.rot90(picture[..., 0], -1))


def test_range_stride_crop_and_grey(mkv: Path) -> None:
    video = Video(mkv, ReadOptions(start=2, stop=11, stride=3, crop=Crop(20, 10, 8, 12), grey=True))
    frames = list(video)
    assert [frame.number for frame in frames] == [2, 5, 8]
    assert video.expected_frames == 3
    assert frames[0].image.shape == (1, 12, 8)
    original = shades(FRAMES)[2, 10:22, 20:28, 0]
    assert np.array_equal(frames[0].image[0], original)
    assert video.geometry.frame_to_source([0, 1, 2]).tolist() == [2, 5, 8]


def test_colour_becomes_grey_by_luma(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.broadcast_to(np.array([200, 100, 50], np.uint8), (1, 16, 16, 3)))
    assert (read(tmp_path / "a.npy", grey=True) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()


def test_resize_averages_when_it_shrinks_and_keeps_places(tmp_path: Path) -> None:
    picture = np.zeros((1, 32, 48), np.uint8)
    picture[0, 8:16, 12:24] = 240
    np.save(tmp_path / "a.npy", picture)
    video = Video(tmp_path / "a.npy", ReadOptions(size=(16, 12)))
    image = next(iter(video)).image[0].astype(float)
    assert image.shape == (16, 12)
    assert image.mean() == pytest.approx(picture.mean(), rel=0.02)
    rows, columns = np.indices(image.shape) + 0.5
    x, y = video.geometry.to_source((columns * image).sum() / image.sum(), (rows * image).sum() / image.sum())
    assert (x, y) == (pytest.approx(18, abs=0.05), pytest.approx(12, abs=0.05))


def test_frame_rate_goes_by_time_stamps(tmp_path: Path) -> None:
    times = [0, 100, 200, 300, 700, 1100, 1500, 1550, 1600, 1650, 1700, 1750]
    path = write_video(tmp_path / "a.mkv", shades(FRAMES), times=times)
    frames = list(Video(path, ReadOptions(rate=5)))
    nearest = [min(range(FRAMES), key=lambda t: (abs(times[t] - 200 * k), -t)) for k in range(len(frames))]
    assert [frame.number for frame in frames] == nearest
    assert shown(np.stack([frame.image for frame in frames])) == nearest
    assert len(frames) == 10
    every_other = Video(path, ReadOptions(rate=5, stride=2))
    assert [frame.number for frame in every_other] == nearest[::2]
    with pytest.raises(ValueError, match="number that each Frame carries"):
        every_other.geometry.frame_to_source(1)


def test_the_own_frame_rate_changes_nothing_though_time_stamps_are_rounded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", shades(FRAMES), times=[round(1000 * t / 30) for t in range(FRAMES)])
    assert [frame.number for frame in Video(path, ReadOptions(rate=30))] == list(range(FRAMES))


def test_chunks_are_the_frames_in_pieces(mkv: Path) -> None:
    chunks = list(Video(mkv, ReadOptions(stride=2)).chunks(4))
    assert [chunk.numbers.tolist() for chunk in chunks] == [[0, 2, 4, 6], [8, 10]]
    assert np.array_equal(np.concatenate([chunk.frames for chunk in chunks]), read(mkv, stride=2))
    tensor = chunks[0].tensor()
    assert tensor.dtype == torch.float32 and tensor.shape == (4, 3, *SIZE)
    assert torch.equal(tensor, torch.from_numpy(chunks[0].frames) / 255)


def test_only_the_pixels_of_wanted_frames_are_worked_out(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "f", shades(10))
    for t in (1, 2, 4, 5, 7, 8):
        (folder / f"{t}.png").write_bytes(b"damaged")
    assert shown(read(folder, stride=3)) == [0, 3, 6, 9]


def test_an_endless_source_is_read_with_memory_for_one_frame(monkeypatch: pytest.MonkeyPatch, mkv: Path) -> None:
    video = Video(mkv)
    assert video.levels is None
    alive = []

    def endless() -> Any:
        from scalor_pyro.video.source import Shot

        for number in itertools.count():
            alive.append(number)
            yield Shot(number, None, lambda: shades(1)[0])

    monkeypatch.setattr(video._source, "shots", endless)
    chunk = next(iter(video.chunks(3)))
    assert chunk.numbers.tolist() == [0, 1, 2] == alive


@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.data(),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(0, 1000),
    st.integers(1, 20),
)
def test_geometry_there_and_back(
    source: tuple[int, int], data: Any, size: tuple[int, int], start: int, stride: int
) -> None:
    x, y = data.draw(st.integers(0, source[1] - 1)), data.draw(st.integers(0, source[0] - 1))
    crop = Crop(x, y, data.draw(st.integers(1, source[1] - x)), data.draw(st.integers(1, source[0] - y)))
    geometry = Geometry.of(source, ReadOptions(crop=crop, size=size, start=start, stride=stride))
    points = np.array([[0.0, size[1], 3.25], [0.0, size[0], 7.5]])
    there = geometry.to_source(*points)
    np.testing.assert_allclose(geometry.from_source(*there), points, atol=1e-9)
    np.testing.assert_allclose([there[0][:2], there[1][:2]], [[x, x + crop.width], [y, y + crop.height]])
    np.testing.assert_allclose(geometry.lengths_to_source(size[1], size[0]), (crop.width, crop.height))
    assert geometry.frame_to_source([0, 1, 5]).tolist() == [start, start + stride, start + 5 * stride]


# ------------------------------------------------------------------ what is refused


def not_a_video(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 50)
    return tmp_path / "a.mp4"


def text(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("hello\n" * 100)
    return tmp_path / "a.txt"


def without_its_end(tmp_path: Path) -> Path:
    path = write_video(tmp_path / "a.mp4", noisy(FRAMES), "mpeg4", "yuv420p")
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def unknown_codec(tmp_path: Path) -> Path:
    path = write_video(tmp_path / "a.avi", shades(2), "mpeg4", "yuv420p")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"ZZZZ"))
    return path


def empty_folder(tmp_path: Path) -> Path:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "notes.txt").write_text("")
    return tmp_path / "f"


def no_frames(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.zeros((0, 16, 16), np.uint8))
    return tmp_path / "a.npy"


def empty_file(tmp_path: Path) -> Path:
    (tmp_path / "a.mkv").touch()
    return tmp_path / "a.mkv"


def flat(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.zeros((20, 30), np.uint8))
    return tmp_path / "a.npy"


def by_columns(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.asfortranarray(np.zeros((2, 20, 30), np.uint8)))
    return tmp_path / "a.npy"


def pickled(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.array([None, {}, 3], dtype=object), allow_pickle=True)
    return tmp_path / "a.npy"


def many_arrays(tmp_path: Path) -> Path:
    np.savez(tmp_path / "a.npz", left=np.zeros(3), right=np.zeros(3))
    return tmp_path / "a.npz"


def no_archive(tmp_path: Path) -> Path:
    (tmp_path / "a.npz").write_bytes(b"none")
    return tmp_path / "a.npz"


def no_tiff(tmp_path: Path) -> Path:
    (tmp_path / "a.tif").write_bytes(b"none")
    return tmp_path / "a.tif"


REFUSED = [
    (lambda tmp_path: tmp_path / "none.mp4", "no file or folder"),
    (not_a_video, "expected a complete video"),
    (text, "expected a video"),
    (without_its_end, "expected a complete video"),
    (unknown_codec, "codec"),
    (empty_folder, "expected images"),
    (no_frames, "at least 1 frame"),
    (empty_file, "expected a complete video"),
    (flat, r"got \(20, 30\)"),
    (by_columns, "column order"),
    (pickled, "real numbers"),
    (many_arrays, "left, right"),
    (no_archive, "expected an npz file"),
    (no_tiff, "expected a TIFF file"),
]


@pytest.mark.parametrize("make, message", REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(VideoError, match=message) as refused:
        Video(make(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name, codec", [("a.mkv", "ffv1"), ("a.avi", "mpeg4")])
def test_of_a_video_that_is_cut_off_what_is_there_is_read_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str
) -> None:
    path = write_video(tmp_path / name, noisy(24), codec, "bgr0" if codec == "ffv1" else "yuv420p")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    frames = read(path)
    assert 2 < len(frames) < 22
    assert shown(frames[:-1]) == list(range(len(frames) - 1))  # the last one may be half there
    assert caplog.text.count(f"{len(frames)} of about 24 frames could be read") == 1


def test_a_whole_video_is_not_said_to_be_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, codec, pixels in (
        ("a.mkv", "ffv1", "bgr0"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
    ):
        read(write_video(tmp_path / name, shades(24), codec, pixels))
    assert caplog.text == ""


def test_an_array_that_is_cut_off_says_how_many_frames_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, shades(10))
    path.write_bytes(path.read_bytes()[: -2 * SIZE[0] * SIZE[1] * 3 - 5])
    with pytest.raises(VideoError, match="expected 10 frames, got 7"):
        read(path)
    assert len(read(path, stop=7)) == 7


def test_frames_that_change_size_are_refused(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "f", shades(3))
    Image.fromarray(shades(1, (32, 40))[0]).save(folder / "3.png")
    with pytest.raises(VideoError, match="expected 48 × 32 px in frame 3, as in the first, got 40 × 32"):
        read(folder)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    video = np.zeros((40, 16, 16), np.float32)
    video[1, 2, 3] = np.nan
    np.save(tmp_path / "a.npy", video)
    with pytest.raises(VideoError, match="expected finite numbers, got .* in frame 1"):
        read(tmp_path / "a.npy")
    video[0] = np.inf
    np.save(tmp_path / "a.npy", video)
    with pytest.raises(VideoError, match="expected finite numbers"):
        read(tmp_path / "a.npy")


def test_options_that_do_not_fit_the_file_are_refused(tmp_path: Path, mkv: Path) -> None:
    with pytest.raises(VideoError, match=r"crop: expected .* 48 × 32 px .*from \(40, 0\) to \(50, 10\)"):
        Video(mkv, ReadOptions(crop=Crop(40, 0, 10, 10)))
    with pytest.raises(VideoError, match="at least 1 frame from 12 on"):
        list(Video(mkv, ReadOptions(start=12)))
    with pytest.raises(VideoError, match="needs time stamps"):
        Video(save_images(tmp_path / "f", shades(2)), ReadOptions(rate=5))


@pytest.mark.parametrize(
    "options",
    [
        {"start": -1},
        {"start": 5, "stop": 5},
        {"stride": 0},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"size": (0, 4)},
        {"levels": (3.0, 3.0)},
        {"levels": (0.0, float("inf"))},
    ],
)
def test_options_that_no_video_can_have_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r": expected .*, got .*\.$"):
        ReadOptions(**options)


@pytest.mark.parametrize("crop", [(-1, 0, 4, 4), (0, 0, 0, 4), (0, 0, 4, -1)])
def test_crops_that_no_video_can_have_are_refused(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(ConfigError, match="crop: expected"):
        Crop(*crop)


# ------------------------------------------------------------------ clips


def test_clips_are_a_pure_function_of_seed_and_index(mkv: Path) -> None:
    clips = Clips([Video(mkv)], frames=4, seed=3)
    together = clips.batch(5, 6)
    assert together.frames.shape == (6, 4, 3, *SIZE)
    again = Clips([Video(mkv)], frames=4, seed=3)
    for i in range(6):
        assert np.array_equal(again.batch(5 + i, 1).frames[0], together.frames[i])
    assert np.array_equal(clips.batch(5, 6, frames=2).frames, together.frames[:, :2])
    assert not np.array_equal(Clips([Video(mkv)], frames=4, seed=4).batch(5, 6).frames, together.frames)
    assert torch.equal(together.tensor(), torch.from_numpy(together.frames) / 255)


def test_clips_are_consecutive_frames_and_begin_anywhere(mkv: Path) -> None:
    clips = Clips([Video(mkv, ReadOptions(stride=2))], frames=3)
    assert len(clips) == 4
    seen = {tuple(shown(clip)) for clip in clips.batch(0, 200).frames}
    assert seen == {(0, 2, 4), (2, 4, 6), (4, 6, 8), (6, 8, 10)}


def test_clips_of_several_videos_do_not_run_into_each_other(tmp_path: Path) -> None:
    videos = []
    for index in range(2):
        np.save(tmp_path / f"{index}.npy", np.full((5 + index, 16, 16), 100 * index, np.uint8))
        videos.append(Video(tmp_path / f"{index}.npy"))
    batch = Clips(videos, frames=4).batch(0, 200)
    first = batch.frames[:, 0, 0, 0, 0]
    assert (batch.frames == first[:, None, None, None, None]).all()
    assert np.array_equal(first // 100, batch.scene)
    assert 0.45 < batch.scene.mean() < 0.75  # 3 of 5 clips are of the second


def test_windows_show_parts_of_the_frame(tmp_path: Path) -> None:
    picture = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) % 251
    np.save(tmp_path / "a.npy", np.stack([picture.astype(np.uint8)] * 5))
    windows = [Crop(0, 0, 8, 4), Crop(16, 12, 8, 4)]
    batch = Clips([Video(tmp_path / "a.npy")], frames=2, windows=windows).batch(0, 40)
    assert set(batch.scene) == {0, 1}
    for clip, scene in zip(batch.frames, batch.scene, strict=True):
        x, y = windows[scene].x, windows[scene].y
        assert (clip == picture[y : y + 4, x : x + 8]).all()


def test_memory_is_bounded_by_keeping_segments_spread_over_the_video(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = np.repeat(np.arange(1000) // 4, 16 * 16).reshape(1000, 16, 16).astype(np.uint8)
    np.save(tmp_path / "a.npy", video)
    clips = Clips([Video(tmp_path / "a.npy")], frames=2, memory=250 * 256)
    kept = sum(run.nbytes for run in clips._runs)
    assert 200 * 256 <= kept <= (250 + 16) * 256
    assert "25 % of them" in caplog.text
    clip = clips.batch(0, 300).frames[:, :, 0, 0, 0].astype(int)
    assert ((clip[:, 1] - clip[:, 0]) <= 1).all()  # no clip over a seam
    assert np.histogram(clip[:, 0], 4, (0, 250))[0].min() > 40  # from all quarters


def test_clips_feed_training(mkv: Path) -> None:
    plan = iter([Request(0, 2, 3), Request(2, 1, 4)])
    clips = Clips([Video(mkv)], frames=4)
    with Prefetcher(clips, plan, torch.device("cpu")) as prefetcher:
        assert prefetcher.take()[1].shape == (2, 3, 3, *SIZE)
        assert torch.equal(prefetcher.take()[1], clips.batch(2, 1).tensor())


def test_clips_refuse_what_they_cannot_be_made_of(tmp_path: Path, mkv: Path) -> None:
    with pytest.raises(VideoError, match="expected at least 13 frames, .* got 12"):
        Clips([Video(mkv)], frames=13)
    with pytest.raises(VideoError, match="expected .* 48 × 32 px in colour, .* got 48 × 32 px in grey"):
        Clips([Video(mkv), Video(mkv, ReadOptions(grey=True))], frames=2)
    with pytest.raises(ValueError, match="videos: expected at least 1"):
        Clips([], frames=2)
    with pytest.raises(ValueError, match="inside 48 × 32 px"):
        Clips([Video(mkv)], frames=2, windows=[Crop(40, 0, 10, 10)])
    with pytest.raises(ValueError, match="seed: expected .* got -1"):
        Clips([Video(mkv)], frames=2, seed=-1)
    clips = Clips([Video(mkv)], frames=2)
    for arguments in ((-1, 1), (0, 0), (0, 1, 3), (0, 1, 0)):
        with pytest.raises(ValueError, match="expected"):
            clips.batch(*arguments)


def test_a_truncated_video_gives_clips_of_what_there_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "a.avi", noisy(24), "mpeg4", "yuv420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        clips = Clips([Video(path)], frames=3)
    assert "seems to be cut off" in caplog.text
    assert max(max(shown(clip)) for clip in clips.batch(0, 100).frames) < 23


# ------------------------------------------------------------------ the paper's layout


def test_grand_central_has_the_8_crops_of_the_paper(tmp_path: Path) -> None:
    """Frames of 72 × 48 px: in halves of the height, two squares at the top, three in the middle, three below."""
    picture = np.zeros((48, 72, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 3 * np.arange(72), 5 * np.arange(48)[:, None]
    folder = save_images(
        tmp_path / "gc", np.stack([picture + np.array([0, 0, t], np.uint8) for t in range(100)]), "{:06}.png"
    )
    options, windows = grand_central(100, side=24)
    video = Video(folder, options)
    assert [frame.number for frame in video] == list(range(0, 90, 8))
    batch = Clips([video], frames=10, windows=windows).batch(0, 200)
    assert batch.frames.shape == (200, 10, 3, 24, 24)
    corners = {(int(clip[0, 0, 0, 0]) // 3, int(clip[0, 1, 0, 0]) // 5) for clip in batch.frames}
    assert corners == {(12, 0), (36, 0), (0, 12), (24, 12), (48, 12), (0, 24), (24, 24), (48, 24)}
    assert (np.diff(batch.frames[:, :, 2, 0, 0].astype(int), axis=1) == 8).all()
    test_options, _ = grand_central(100, "test", side=24)
    assert [frame.number for frame in Video(folder, test_options)] == [90, 98]
    halved, windows = grand_central(100, side=12)
    assert Clips([Video(folder, halved)], 2, windows=windows).batch(0, 1).frames.shape == (1, 2, 3, 12, 12)


def test_grand_central_refuses_other_splits() -> None:
    for arguments in ((100, "other"), (100, "train", 7), (3,)):
        with pytest.raises(ConfigError, match="expected"):
            grand_central(*arguments)  # type: ignore[arg-type]  # what is refused


def test_an_npz_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, shades(3))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["arr_0.npy"]
    assert len(read(path)) == 3
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(VideoError, match="expected an npz file"):
        Video(path)
