"""Frame numbers and times of video files with holes, joined parts, pauses and variable rates."""

import shutil
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.config import ReadOptions
from scalor_pyro.video import Video, VideoError, containers
from scalor_pyro.video.containers import _interval, clock_of
from tests.video_files import level, shades, squares, write_video


def numbers(path: Path, **options: Any) -> list[int]:
    return [frame.number for frame in Video(path, ReadOptions(**options))]


def shown(path: Path, **options: Any) -> list[int]:
    """Which frames of `shades` are read."""
    frames = Video(path, ReadOptions(**options))
    return [round((int(frame.image[0, -2, -2]) - level(0)) / 9) for frame in frames]


def with_frames(path: Path, kept: list[int], rate: Fraction = Fraction(10), codec: str = "mpeg4") -> Path:
    """A video of constant rate, of which only some frames are there."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.qmax = 3
        if codec == "mpeg4":
            stream.bit_rate = 4_000_000
        stream.codec_context.time_base = 1 / rate
        for t in kept:
            frame = av.VideoFrame.from_ndarray(shades(t % 20 + 1)[-1], format="rgb24")
            frame.pts, frame.time_base = t, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# ------------------------------------------------------------------ frames that are kept


def test_a_video_that_is_kept_is_decoded_once(tmp_path: Path) -> None:
    path = with_frames(tmp_path / "a.mp4", [*range(6), *range(11, 20)])
    as_read = list(Video(path))
    video = Video(path)
    video.keep()
    begun = iter(video)
    first = [next(begun) for _ in range(4)]
    whole = list(video)
    path.unlink()
    again, rest = list(video.again(ReadOptions(stride=2))), list(begun)
    for found, expected in ((first + rest, as_read), (whole, as_read), (again, as_read[::2])):
        assert [(frame.number, frame.time) for frame in found] == [(frame.number, frame.time) for frame in expected]
        assert all(np.array_equal(*(each.image for each in pair)) for pair in zip(found, expected, strict=True))


def test_a_video_too_long_to_be_kept_is_decoded_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_frames(tmp_path / "a.mp4", [*range(12)])
    monkeypatch.setattr(containers, "KEPT", 11 * 48 * 32 * 3 // 2)
    video = Video(path)
    video.keep()
    assert len(list(video)) == len(list(video)) == 12
    path.unlink()
    with pytest.raises(VideoError, match=r"a\.mp4"):
        list(video)


def test_a_video_that_is_kept_is_whole_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, decoded = with_frames(tmp_path / "a.mp4", [*range(12)]), containers._decoded

    def interrupted(*arguments: Any) -> Iterator[Any]:
        yield from islice(decoded(*arguments), 5)
        raise KeyboardInterrupt

    video = Video(path)
    video.keep()
    with monkeypatch.context() as once, pytest.raises(KeyboardInterrupt):
        once.setattr(containers, "_decoded", interrupted)
        list(video)
    assert [frame.number for frame in video] == [*range(12)]
    assert all(np.array_equal(*(each.image for each in pair)) for pair in zip(video, Video(path), strict=True))


def test_damage_is_said_of_a_video_that_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "a.mkv", shades(24), "ffv1", "bgr0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = Video(path)
    video.keep()
    assert len(list(video)) == len(list(video)) < 24
    assert caplog.text.count("of about 24 frames could be read") == 1


# ------------------------------------------------------------------ holes


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.mov"])
@pytest.mark.parametrize("rate", [Fraction(10), Fraction(30000, 1001), Fraction(25)])
def test_a_hole_does_not_shift_the_frames_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, rate: Fraction
) -> None:
    kept = [*range(6), *range(11, 20)]
    path = with_frames(tmp_path / name, kept, rate)
    assert numbers(path) == kept and shown(path) == kept
    assert numbers(path, start=8, stop=15) == [11, 12, 13, 14]
    assert numbers(path, stride=2) == kept[::2]
    assert caplog.text.count("has a hole: 5 frames (6 to 10) are missing") == 1
    assert "cut off" not in caplog.text
    assert Video(path).info.rate == pytest.approx(float(rate), rel=0.01)


def test_a_hole_in_a_file_whose_frames_are_stored_in_another_order(tmp_path: Path) -> None:
    """B-frames are stored after the frames that they lie between."""
    kept = [*range(9), *range(14, 20)]
    assert numbers(with_frames(tmp_path / "a.mp4", kept, codec="libx264")) == kept


@settings(deadline=None, max_examples=200)
@given(
    st.sets(st.integers(1, 300), max_size=40),
    st.sampled_from([Fraction(10), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60), Fraction(120)]),
    st.sampled_from([1 / 1000, 1 / 90000, 1 / 12800]),
)
def test_the_interval_is_found_whatever_is_missing(missing: set[int], rate: Fraction, tick: float) -> None:
    kept = np.array([t for t in range(302) if t not in missing])
    times = np.rint(kept / float(rate) / tick) * tick
    interval = _interval(np.diff(times), tick, len(kept))
    assert interval is not None
    assert np.array_equal(np.cumsum([0, *np.rint(np.diff(times) / interval)]), kept)


# ------------------------------------------------------------------ joined, paused and variable


@pytest.mark.parametrize("options", [{}, {"rate": 10.0}])
def test_joined_transport_streams_are_read_to_their_end(tmp_path: Path, options: dict[str, Any]) -> None:
    part = with_frames(tmp_path / "part.ts", list(range(12)))
    path = tmp_path / "a.ts"
    path.write_bytes(part.read_bytes() * 2)
    assert shown(path, **options) == [*range(12), *range(12)]
    assert numbers(path, **options) == list(range(24))
    times = [frame.time for frame in Video(path)]
    assert np.diff(times) == pytest.approx(0.1, abs=1e-4)  # type: ignore[arg-type]


def test_a_variable_rate_is_numbered_by_position_and_never_called_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = np.random.default_rng(0)
    times = np.cumsum(generator.integers(1, 9000, 20)).tolist()
    for name in ("a.mkv", "b.mp4"):
        path = write_video(tmp_path / name, shades(20), "mpeg4", "yuv420p", times=times)
        assert numbers(path) == list(range(20))
    assert caplog.text == ""


def test_a_long_pause_is_no_hole_and_no_frame_rate_fills_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = [*range(0, 1000, 100), *range(36_000_000, 36_001_000, 100)]
    path = write_video(tmp_path / "a.mkv", shades(20), "mpeg4", "yuv420p", times=times)
    assert numbers(path) == list(range(20))
    with pytest.raises(VideoError, match="would repeat frame 9 more than 1000 times, because .* 35999 s later"):
        numbers(path, rate=10)
    assert "cut off" not in caplog.text


def test_a_file_cut_off_is_said_to_be_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = with_frames(tmp_path / "a.mkv", list(range(60)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for _ in range(2):
        read = numbers(path)
    assert caplog.text.count(f"seems to be cut off: {len(read)} of about 60 frames could be read") == 1


@pytest.mark.parametrize(("hidden", "kept"), [(0, 20), (4, 16), (7, 13)])
def test_frames_that_an_edit_list_hides_are_not_missed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, hidden: int, kept: int
) -> None:
    path = with_frames(tmp_path / "a.mp4", list(range(-hidden, 20 - hidden)), codec="libx264")
    assert numbers(path) == list(range(kept))
    assert Video(path).expected_frames == kept
    assert caplog.text == ""


@pytest.mark.parametrize("options", [{}, {"level": "3", "slicecrc": "0"}, {"level": "1"}])
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_damaged_frames_that_have_checksums_are_said(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, str], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("ffv1") / "a.mkv"
    write_video(path, squares(6), options=options)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    clock = clock_of(path, 0, len(content))
    assert (clock.packets, clock.damaged) == (6, 0)
    hit = data.draw(st.sets(st.integers(0, 5), min_size=1, max_size=3))
    for packet in (packets[index] for index in hit):
        place = content.index(packet) + data.draw(st.integers(0, len(packet) - 1))
        content = content[:place] + bytes([content[place] ^ 1 << data.draw(st.integers(0, 7))]) + content[place + 1 :]
    path.write_bytes(content)
    assert clock_of(path, 1, len(content)).damaged == (0 if options else len(hit))


def test_damaged_frames_are_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "a.mkv", squares(6))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    for _ in range(2):
        numbers(path)
    assert caplog.text.count("is damaged: 1 of 6 frames differ from their checksums") == 1


# ------------------------------------------------------------------ names and playlists


@pytest.mark.parametrize("name", ["a:b.mkv", "concat:a.mkv", "a%d.mkv", "-a.mkv", "a b#?.mkv", "\udce9.mkv", "ü.mkv"])
@pytest.mark.parametrize("relative", [True, False])
def test_any_name_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, relative: bool) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "x.mkv", shades(3))
    shutil.copy("x.mkv", name)
    assert numbers(Path(name) if relative else tmp_path / name) == [0, 1, 2]


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile x.mkv\n", "#EXTM3U\n#EXTINF:10,\nx.mkv\n#EXT-X-ENDLIST\n"]
)
def test_a_list_of_other_files_is_no_video(tmp_path: Path, text: str) -> None:
    write_video(tmp_path / "x.mkv", shades(3))
    (tmp_path / "a.mkv").write_text(text)
    with pytest.raises(VideoError, match="a.mkv: expected a"):
        Video(tmp_path / "a.mkv")
