"""Annotated videos: what is decoded again shows the video, the boxes and their colours, at its own speed."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from scalor_pyro import files
from scalor_pyro.colours import identity_colour
from scalor_pyro.files import OutputError
from scalor_pyro.tracks import annotate as module
from scalor_pyro.tracks.annotate import SHORTER_SIDE, annotate
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import tracks_by_frame, write_mot
from scalor_pyro.video import Crop, ReadOptions, Video, VideoError
from tests.fakes import make_tracks
from tests.video_files import shades, write_video

ZOOM = 11  # of frames of 32 × 48 px
SIDE = 10.0


def frame_of(number: int, *rows: tuple[int, float, float]) -> Tracks:
    """One frame of tracks, from rows of (identity, x, y)."""
    return make_tracks([(number, *row) for row in rows], side=SIDE)


def decoded(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Seconds and pictures (H, W, 3)."""
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        frames = list(container.decode(video=0))
    return [frame.time for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


def is_colour(pixels: NDArray[np.uint8], identity: int) -> NDArray[np.bool_]:
    """Where a picture has the colour of an identity, as well as H.264 keeps it. (H, W)"""
    colour = 255 * np.array(identity_colour(identity))
    near: NDArray[np.bool_] = np.abs(pixels.astype(float) - colour).max(-1) < 90
    return near


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten grey frames of 32 × 48 px, 10 a second."""
    return write_video(tmp_path / "video.mkv", np.minimum(shades(10), 100))


def test_boxes_are_where_the_objects_are_in_the_colours_of_their_identities(video: Path, tmp_path: Path) -> None:
    tracks = [frame_of(t, (0, 12, 20), (1, 36, 20)) for t in range(10)]
    assert annotate(video, tracks, tmp_path / "out.mp4") == 10
    times, pictures = decoded(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, np.arange(10) / 10, atol=1e-4)
    assert pictures[0].shape == (32 * ZOOM, 48 * ZOOM, 3)
    for identity, x in ((0, 12), (1, 36)):
        rows, columns = np.nonzero(is_colour(pictures[5], identity))
        low, high = np.array([20 - SIDE / 2, x - SIDE / 2]), np.array([20 + SIDE / 2, x + SIDE / 2])
        edges = np.array([[rows.max(), columns.max()], [rows.max(), columns.min()]]) / ZOOM
        np.testing.assert_allclose(edges, [high, [high[0], low[1]]], atol=0.4)
        top_edge = is_colour(pictures[5], identity)[round(low[0] * ZOOM) : round(low[0] * ZOOM) + 2]
        assert top_edge.any(0).sum() > 0.8 * SIDE * ZOOM


def test_the_video_is_seen_beside_the_boxes(video: Path, tmp_path: Path) -> None:
    annotate(video, [], tmp_path / "out.mp4", ReadOptions(grey=True, crop=Crop(0, 0, 8, 8), size=(4, 4)))
    _, pictures = decoded(tmp_path / "out.mp4")
    expected = np.minimum(shades(10), 100).repeat(ZOOM, 1).repeat(ZOOM, 2)
    for picture, frame in zip(pictures, expected, strict=True):
        assert np.abs(picture.astype(float) - frame).mean() < 3


def test_a_number_stands_above_its_box_and_a_trail_behind_it(video: Path, tmp_path: Path) -> None:
    moving = [frame_of(t, (2, 8 + 3 * t, 20)) for t in range(10)]
    annotate(video, moving, tmp_path / "out.mp4")
    picture = decoded(tmp_path / "out.mp4")[1][9]
    where = is_colour(picture, 2)
    assert where[20 * ZOOM - 3 : 20 * ZOOM + 3, 10 * ZOOM : 29 * ZOOM].any(0).mean() > 0.9  # where it came from
    above = slice((20 - 5) * ZOOM - 14, (20 - 5) * ZOOM - 3)
    number = picture[above, (35 - 5) * ZOOM : (35 + 5) * ZOOM]
    assert is_colour(number, 2).any() and (number.max(-1) < 30).any()  # the number and its rim


def test_a_trail_is_forgotten() -> None:
    painter = module._Painter((32, 48))
    image = np.zeros((1, 32, 48), np.uint8)
    for t in range(3):
        painter.paint(image, frame_of(t, (t, 10, 10)))
    for _ in range(module.TRAIL - 1):  # the last one was seen a frame ago
        assert len(painter._trails) > 0
        painter.paint(image, None)
    assert painter._trails == {}


def test_the_tracked_frames_are_shown_as_long_as_in_the_file(video: Path, tmp_path: Path) -> None:
    tracks = [frame_of(t, (0, 12, 20)) for t in (2, 5, 8)]
    assert annotate(video, tracks, tmp_path / "out.mp4", ReadOptions(start=2, stride=3)) == 3
    times, pictures = decoded(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, [0, 0.3, 0.6], atol=1e-4)
    assert all(is_colour(picture, 0).any() for picture in pictures)


def test_uneven_time_is_kept(tmp_path: Path) -> None:
    times = [0, 100, 150, 400]
    video = write_video(tmp_path / "video.mkv", shades(4), times=times)
    annotate(video, [], tmp_path / "out.mp4")
    np.testing.assert_allclose(decoded(tmp_path / "out.mp4")[0], np.array(times) / 1000, atol=2e-3)


def test_frames_without_time_stamps_count_as_ten_a_second_and_odd_sides_become_even(tmp_path: Path) -> None:
    np.save(tmp_path / "video.npy", np.zeros((3, SHORTER_SIDE + 5, SHORTER_SIDE + 1, 1), np.uint8))
    annotate(tmp_path / "video.npy", [], tmp_path / "out.mp4")
    times, pictures = decoded(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, [0, 0.1, 0.2], atol=1e-4)
    assert pictures[0].shape == (SHORTER_SIDE + 6, SHORTER_SIDE + 2, 3)


def test_another_frame_rate_shows_the_frames_that_were_read(video: Path, tmp_path: Path) -> None:
    assert annotate(video, [], tmp_path / "out.mp4", ReadOptions(rate=5)) == 5
    np.testing.assert_allclose(decoded(tmp_path / "out.mp4")[0], np.arange(5) / 5, atol=1e-4)


def test_tracks_are_read_while_the_video_is(video: Path, tmp_path: Path) -> None:
    write_mot(tmp_path / "video.txt", make_tracks([(t, 0, 12, 20) for t in (1, 7)], side=SIDE))
    annotate(video, tracks_by_frame(tmp_path / "video.txt"), tmp_path / "out.mp4")
    seen = [bool(is_colour(picture, 0).any()) for picture in decoded(tmp_path / "out.mp4")[1]]
    assert seen == [t in (1, 7) for t in range(10)]


def test_tracks_of_another_video_are_refused_and_nothing_is_left(video: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="video.mkv: expected tracks of .* ends with frame 9, got some of frame 10"):
        annotate(video, [frame_of(t, (0, 12, 20)) for t in (3, 10)], tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["video.mkv"]
    assert annotate(video, [frame_of(10, (0, 12, 20))], tmp_path / "out.mp4", ReadOptions(stop=4)) == 4


def test_a_video_that_exists_is_refused_and_kept_until_the_new_one_is_whole(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    with pytest.raises(OutputError, match="out.mp4 exists: expected another name, or --overwrite"):
        annotate(video, [], out)

    def interrupted() -> Iterator[Tracks]:
        yield frame_of(3, (0, 12, 20))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(video, interrupted(), out, overwrite=True)
    assert out.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2
    annotate(video, [], out, overwrite=True)
    assert len(decoded(out)[1]) == 10


def test_the_video_itself_is_never_overwritten(video: Path, tmp_path: Path) -> None:
    before = video.read_bytes()
    (tmp_path / "link.mp4").symlink_to(video)
    for out in (video, tmp_path / "link.mp4"):
        with pytest.raises(VideoError, match="expected another name .* got that of the video itself"):
            annotate(video, [], out, overwrite=True)
    assert video.read_bytes() == before


def test_a_folder_that_is_not_there_is_said(video: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="out.mp4 could not be written .No such file or directory"):
        annotate(video, [], tmp_path / "nowhere" / "out.mp4")
    with pytest.raises(VideoError, match="There is no file or folder none.mp4"):
        annotate("none.mp4", [], tmp_path / "out.mp4")


def test_a_full_disk_is_said(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(files, "_temporary", lambda path: path.with_name(".full"))
    (tmp_path / ".full").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=f"could not be written .{os.strerror(errno.ENOSPC)}"):
        annotate(video, [], tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["video.mkv"]


def test_without_the_encoder_it_is_said_before_any_work(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENCODER", "libnone")
    with pytest.raises(VideoError, match="The FFmpeg of PyAV has no encoder libnone, which annotated videos need"):
        annotate(video, [], tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["video.mkv"]


@pytest.mark.parametrize(
    ("size", "zoom"),
    [((32, 48), 11), ((20, 1200), 3), ((1200, 20), 3), ((480, 640), 1), ((1, 1), 360), ((2, 30_000), 16_384 / 30_000)],
)
def test_frames_of_any_shape_fit_the_encoder(tmp_path: Path, size: tuple[int, int], zoom: float) -> None:
    assert module.zoom_for(size) == zoom
    np.save(tmp_path / "video.npy", np.full((2, *size), 90, np.uint8))
    tracks = [frame_of(t, (0, size[1] / 2, size[0] / 2)) for t in range(2)]
    assert annotate(tmp_path / "video.npy", tracks, tmp_path / "out.mp4") == 2
    height, width, _ = decoded(tmp_path / "out.mp4")[1][0].shape
    assert (height, width) == tuple(side + side % 2 for side in (max(1, round(zoom * each)) for each in size))


def test_a_size_that_the_encoder_refuses_is_known_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_SIDE", 99_999)
    np.save(tmp_path / "video.npy", np.zeros((1, 2, 30_000), np.uint8))
    with pytest.raises(OutputError, match="An annotated video of 30000 × 2 px could not be written"):
        module.AnnotatedVideo(tmp_path / "out.mp4", Video(tmp_path / "video.npy"))


def test_a_frame_that_was_read_twice_has_its_rows_again() -> None:
    tracks = make_tracks([(3, 0, 1, 1), (3, 1, 2, 2), (5, 0, 3, 3)])
    rows = list(module.rows_of_frames([2, 3, 4, 5], tracks, last=make_tracks([(2, 7, 0, 0)])))
    assert [each.identity.tolist() for each in rows] == [[7], [0, 1], [], [0]]
