"""How large objects are: what a survey makes of boxes, of sizes that are given, of perspective and of the camera."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from scalor_pyro.config import ConfigError, MoverConfig
from scalor_pyro.config.sizes import SIDE_OF_BOX, SizeOptions, require_inside
from scalor_pyro.data import MoverVideos
from scalor_pyro.video import Survey, Video, VideoError, propose, survey
from scalor_pyro.video.blobs import Blobs, trend_of
from scalor_pyro.video.camera import camera_moves
from tests.video_files import squares

DATA = Path(__file__).parents[3] / "shared" / "data"
SHAPE = (160, 200)  # H, W of the pictures of a camera


def test_objects_cover_as_much_of_their_box_as_the_survey_takes_them_to() -> None:
    """The law behind SIDE_OF_BOX, on movers whose areas and masks are known."""
    ratios = []
    for index in range(60):
        _, truth, masks, *_ = MoverVideos(MoverConfig((96, 96), 16.0, 1, 6), seed=5).video(index)
        for row in np.nonzero(truth.share > 0.99)[0]:
            y, x = np.nonzero(masks[0] == truth.identity[row])
            if len(y) > 0.8 * truth.size[row] ** 2:  # not hidden
                ratios.append(truth.size[row] / np.sqrt((np.ptp(y) + 1) * (np.ptp(x) + 1)))
    assert len(ratios) > 40
    assert float(np.median(ratios)) == pytest.approx(SIDE_OF_BOX, abs=0.04)


# ------------------------------------------------------------------ sizes that are given


def test_a_size_replaces_that_of_the_survey_and_sets_the_aspect() -> None:
    video = Video(squares())
    found, told = survey(video), survey(video, box=(16.0, 8.0))
    assert (told.height, told.width, told.given) == (16.0, 8.0, True) and not found.given
    assert propose(told).aspect == pytest.approx(2, abs=0.3) and propose(found).aspect == pytest.approx(1, abs=0.2)
    assert told.contrast == pytest.approx(found.contrast, rel=0.3)


def test_contrast_is_measured_on_objects_of_the_size_that_is_given() -> None:
    """Small bright squares and large faint ones: each size has its own contrast."""
    video = np.full((24, 96, 160), 90, np.uint8)
    for t in range(24):
        for i in range(4):
            x = (31 * i + 3 * t) % 152
            video[t, 4 + 11 * i : 10 + 11 * i, x : x + 6] = 240
        x = (20 + 2 * t) % 130
        video[t, 60:84, x : x + 24] = 140
    small, large = (survey(Video(video), box=(side, side)) for side in (7.0, 24.0))
    assert small.contrast > 1.6 * large.contrast
    assert large.count < small.count


@given(st.floats(1, 500), st.floats(1, 500))
def test_a_size_can_be_said_in_three_ways(width: float, height: float) -> None:
    assert SizeOptions(object_size=(width, height)).box == (height, width)
    assert SizeOptions(example=(3, 4, width, height)).box == (height, width)
    assert SizeOptions(object_size=width).box == (width, width)
    assert SizeOptions().box is None


@pytest.mark.parametrize(
    ("given_sizes", "message"),
    [
        ({"object_size": 0.5}, "object_size: expected at least 1 px, got 0.5"),
        ({"object_size": (20.0, float("nan"))}, "object_size: expected at least 1 px, got"),
        ({"example": (1.0, 2.0, 0.0, 9.0)}, "example: expected X, Y, WIDTH, HEIGHT"),
        ({"example": (-1.0, 2.0, 5.0, 9.0)}, "example: expected X, Y, WIDTH, HEIGHT"),
        ({"object_size": 9.0, "example": (1.0, 2.0, 5.0, 9.0)}, "object_size: expected none beside an example"),
    ],
)
def test_sizes_that_no_object_has_are_refused(given_sizes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SizeOptions(**given_sizes)  # type: ignore[arg-type]


def test_an_object_lies_inside_its_frame() -> None:
    require_inside((90, 50, 6, 14), (64, 96))
    with pytest.raises(ConfigError, match="example: expected a box inside the frame of 96 × 64 px"):
        require_inside((90, 50, 8, 14), (64, 96))
    with pytest.raises(VideoError, match="expected objects smaller than the frame of 96 × 64 px"):
        survey(Video(squares()), box=(80.0, 10.0))


# ------------------------------------------------------------------ perspective


def walkers(near: float, frames: int = 40) -> NDArray[np.uint8]:
    """Sixteen squares in eight lanes: of 8 px at the top, and `near` times as large at the bottom."""
    video = np.full((frames, 260, 320), 100, np.uint8)
    lanes, y = 8, 6.0
    for i in range(lanes):
        side = round(8 * near ** (i / (lanes - 1)))
        for t in range(frames):
            for k in range(2):
                x = (160 * k + 17 * i + 4 * t) % (320 - side)
                video[t, round(y) : round(y) + side, x : x + side] = 220
        y += side * 1.35 + 4
    return video


def test_perspective_is_seen_and_objects_of_one_size_have_none() -> None:
    seen, alike = survey(Video(walkers(2.5))), survey(Video(walkers(1.0)))
    assert alike.perspective is None
    assert seen.perspective is not None
    top, bottom = seen.perspective
    assert 8 <= top <= 13 and 17 <= bottom <= 26
    assert seen.middle_side == pytest.approx(SIDE_OF_BOX * (top + bottom) / 2) and alike.middle_side == alike.side
    assert seen.count == pytest.approx(16, abs=2), "the near ones are not groups, and the far ones no specks"


@given(st.floats(0.3, 3), st.integers(60, 200), st.integers(0, 99))
def test_the_trend_of_sizes_is_that_of_the_picture(ratio: float, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    y = random.uniform(0, 400, count)
    side = 20 * ratio ** (y / 400)
    n = np.ones(count)
    trend = trend_of(Blobs(x=n, y=y, width=side, height=side, area=side**2, contrast=n, whole=n > 0))
    if trend.ends is None:
        assert 0.5 < ratio < 2
    else:
        assert (trend.ends[1] > trend.ends[0]) == (ratio > 1)
        np.testing.assert_allclose(trend.area(y, 400 * ratio ** (2 * trend.middle / 400)), side**2, rtol=0.05)


def test_a_cluster_whose_blobs_grow_within_their_own_height_is_not_perspective() -> None:
    y = np.linspace(80, 100, 100)
    side = 30 * np.exp(0.05 * (y - 80))  # to 82 px, over 20 px
    n = np.ones(100)
    assert trend_of(Blobs(x=n, y=y, width=side, height=side, area=side**2, contrast=n, whole=n > 0)).ends is None


# ------------------------------------------------------------------ the camera


def world(blur: float) -> NDArray[np.float64]:
    """A scene with structure of all sizes, like a photograph, or a smooth one."""
    shape = (400, 500)
    spectrum = np.fft.rfft2(np.random.default_rng(0).normal(size=shape))
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    picture = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / 500), shape)
    return ndimage.gaussian_filter(120 + 45 * (picture - picture.mean()) / picture.std(), blur)


def seen_from(scene: NDArray[np.float64], t: int, way: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """A frame (1, H, W) of a camera that moves in some way, with noise and an object."""
    turn = 0.006 * t if way == "turn" else 0.0
    zoom = 1 - 0.006 * t if way == "zoom" else 1.0
    matrix = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([190.0, 230 + (0.6 * t if way == "pan" else 0)])
    middle += random.normal(0, {"shake": 2.0, "tremble": 0.3}.get(way, 0), 2)
    picture = ndimage.affine_transform(scene, matrix, middle - matrix @ np.array(SHAPE) / 2, SHAPE, order=1)
    picture += random.normal(0, 2, SHAPE)
    picture[60:80, 20 + 3 * t : 40 + 3 * t] = 250
    return picture.clip(0, 255).astype(np.uint8)[None]


@pytest.mark.parametrize("blur", [0.0, 4.0], ids=["natural", "smooth"])
@pytest.mark.parametrize(
    ("way", "moves"),
    [("pan", True), ("shake", True), ("zoom", True), ("turn", True), ("rest", False), ("tremble", False)],
)
def test_a_camera_that_moves_is_told_from_one_at_rest(blur: float, way: str, moves: bool) -> None:
    scene, random = world(blur), np.random.default_rng(1)
    frames = [seen_from(scene, t, way, random) for t in range(32)]
    assert camera_moves([(frames[t], frames[t + 3]) for t in range(0, 28, 4)]) == moves


def test_objects_that_fill_the_picture_are_not_a_camera() -> None:
    """Each tile of the picture moves as one, but not all in one way."""
    random = np.random.default_rng(2)
    start, velocity = random.uniform(0, 64, (40, 2)), random.normal(0, 1.5, (40, 2))
    frames = []
    for t in range(32):
        frame = np.zeros((1, 64, 64), np.uint8)
        for i, (y, x) in enumerate(((start + t * velocity) % 56).astype(int)):
            frame[0, y : y + 8, x : x + 8] = 100 + 3 * i
        frames.append(frame)
    assert not camera_moves([(frames[t], frames[t + 3]) for t in range(0, 28, 4)])


def test_light_that_falls_over_a_plain_wall_is_not_a_camera() -> None:
    """Nothing holds a motion there, so it may lead out of the picture: no warning of numpy follows."""
    random = np.random.default_rng(0)
    wall = np.linspace(0.5, -0.5, 60)[:, None]
    frames = [np.rint(level + wall + random.normal(0, 1, (1, 60, 80))).astype(np.uint8) for level in (124.6, 120.6)]
    assert not camera_moves([(frames[0], frames[1])])


# ------------------------------------------------------------------ standard clips

# Width, height and number of the objects that a survey may find, and whether it sees perspective.
CLIPS = {
    "annotated/pets/vtest.avi": ((25, 42), (66, 92), (5, 9), True),
    "annotated/zfish/clip.mp4": ((18, 28), (20, 32), (8, 12), False),
    "annotated/crowd_ld/clip.mp4": ((10, 15), (10, 15), (6, 10), False),
    "annotated/crowd_md/clip.mp4": ((7, 11), (7, 11), (14, 22), False),
    "ucsd_ped2/training/Train001.mkv": ((14, 21), (25, 36), (11, 20), False),
    "colloids/bulk-water.mov": ((4, 7), (4, 7), (450, 800), False),
}


def looked_at(name: str) -> Survey:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    return survey(Video(path))


@pytest.mark.parametrize("name", CLIPS)
def test_standard_clips_get_sizes_that_are_right(name: str) -> None:
    seen = looked_at(name)
    width, height, count, perspective = CLIPS[name]
    assert width[0] <= seen.width <= width[1] and height[0] <= seen.height <= height[1]
    assert count[0] <= seen.count <= count[1]
    assert (seen.perspective is not None) == perspective and not seen.camera_moves
