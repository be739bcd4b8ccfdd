"""The background image of a still camera, and objects that rest in it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.video import Crop, ReadOptions, Video, VideoError, survey
from scalor_pyro.video.background.image import estimate_background_image
from scalor_pyro.video.background.median import median_frame, temporal_median
from scalor_pyro.video.background.resting import without_resting
from scalor_pyro.video.blobs import difference
from tests.video_files import squares

FRAMES = 50


def scene(size: tuple[int, int] = (64, 96), channels: int = 3) -> NDArray[np.float32]:
    """A textured wall that is brighter on the right. (C, H, W)"""
    texture = np.random.default_rng(1).normal(0, 3, (channels, *size))
    return (texture + np.linspace(90, 140, size[1])).astype(np.float32)


def filmed(background: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frames of a scene, with noise, without objects. (n, C, H, W)"""
    return background + np.random.default_rng(2).normal(0, 2, (FRAMES, *background.shape)).astype(np.float32)


def pixels(frames: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(frames).clip(0, 255).astype(np.uint8)


def cleaned(frames: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The median, and what is left of it without objects that rested."""
    median = temporal_median(pixels(frames))
    return median, without_resting(pixels(frames), median)


@given(st.integers(1, 9), st.integers(0, 99))
def test_the_median_frame_is_that_of_numpy(frames: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 4, (frames, 2, 5, 3)).astype(np.float32)
    assert np.array_equal(median_frame(pixels), np.median(pixels, axis=0))


def test_the_background_is_what_is_there_most_of_the_time() -> None:
    frames = squares(21)
    background = temporal_median(np.moveaxis(frames, -1, 1))
    assert (background < 101).all()
    assert (difference(np.moveaxis(frames[3], -1, 0), background) > 0.2).mean() == pytest.approx(5 * 64 / 6144, rel=0.5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 96), (305, 403)], ids=["small", "in blocks"])
@pytest.mark.parametrize("when", [slice(0, 32), slice(18, None)], ids=["leaves", "comes"])
def test_an_object_that_rests_for_two_thirds_of_the_time_is_taken_out(
    channels: int, size: tuple[int, int], when: slice
) -> None:
    background = scene(size, channels)
    frames = filmed(background)
    frames[when, :, 20:36, 30:50] = 230
    frames += np.linspace(-20, 20, FRAMES)[:, None, None, None]  # the sun comes out
    median, image = cleaned(frames)
    assert np.abs(median - background)[:, 24:32, 34:46].min() > 50
    assert np.abs(image - background).max() < 8


def test_an_object_that_turns_in_its_place_is_replaced_by_what_lies_around_it() -> None:
    background = scene()
    frames = filmed(background)
    y, x = np.mgrid[:64, :96]
    for index, angle in enumerate(np.linspace(0, np.pi, FRAMES)):
        along = (x - 50) * np.cos(angle) + (y - 30) * np.sin(angle)
        across = (x - 50) * np.sin(angle) - (y - 30) * np.cos(angle)
        frames[index, :, (along / 14) ** 2 + (across / 9) ** 2 < 1] = 230
    median, image = cleaned(frames)
    assert (np.abs(median - background).mean(0) > 30).sum() > 250
    assert (np.abs(image - background).mean(0) > 30).sum() == 0


def test_a_post_that_people_pass_stays_to_the_pixel() -> None:
    background = scene()
    background[:, 10:50, 46:50] = 20
    frames = filmed(background)
    shirts = np.random.default_rng(3).integers(30, 230, 20)
    for index in range(FRAMES):
        for person, shirt in enumerate(shirts):  # half of them pass in front of the post, the other half behind it
            left = (11 * person + 4 * index) % 130 - 20
            behind = person % 2 == 0
            frames[index, :, 20:44, max(0, left) : max(0, left + 8)] = shirt
            if behind:
                frames[index, :, 10:50, 46:50] = 20
    median, image = cleaned(frames)
    assert np.array_equal(image[:, 10:50, 46:50], median[:, 10:50, 46:50])


def test_what_never_moves_or_passes_by_is_left_to_the_median() -> None:
    background = scene()
    background[:, 20:36, 30:50] = 230  # a parked car
    frames = filmed(background)
    for index in range(FRAMES):
        frames[index, :, 45:55, 2 * index : 2 * index + 10] = 200
    median, image = cleaned(frames)
    assert image is median


@given(
    st.integers(1, 12),
    st.sampled_from([1, 3]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(),
)
def test_whatever_is_filmed_a_background_image_is_made_of_what_was_seen(
    frames: int, channels: int, height: int, width: int, grain: int, seed: int
) -> None:
    """Pictures of random blocks, each of which changes at random times."""
    random = np.random.default_rng(abs(seed))
    coarse = random.integers(0, 255, (2, channels, -(-height // grain), -(-width // grain))).astype(np.float32)
    which = random.random((frames, 1, *coarse.shape[2:])) < random.random(coarse.shape[2:])
    filmed = np.where(which, coarse[0], coarse[1]).repeat(grain, 2).repeat(grain, 3)[:, :, :height, :width]
    median = temporal_median(pixels(filmed))
    image = without_resting(pixels(filmed), median)
    light = np.ptp(np.median(filmed, axis=(2, 3)))  # by which frames are brought to one brightness
    assert image.shape == median.shape and np.isfinite(image).all()
    assert filmed.min() - light - 1 <= image.min() and image.max() <= filmed.max() + light + 1


def test_one_frame_is_its_own_background() -> None:
    frames = filmed(scene())[:1]
    median, image = cleaned(frames)
    assert image is median and np.array_equal(image, pixels(frames)[0])


def test_where_everything_moves_nothing_is_known_and_the_median_is_kept() -> None:
    frames = np.random.default_rng(4).integers(0, 2, (FRAMES, 1, 32, 48)).astype(np.float32) * 200
    median, image = cleaned(frames)
    assert np.array_equal(image, median)


def test_a_survey_and_the_background_image_see_what_rested_as_an_object(tmp_path: Path) -> None:
    frames = filmed(scene())
    for index in range(FRAMES):
        left = 30 + max(0, index - 34) * 3
        frames[index, :, 20:36, left : left + 20] = 230
    np.save(tmp_path / "a.npy", np.moveaxis(pixels(frames), 1, -1))
    seen = survey(Video(tmp_path / "a.npy"))
    assert (seen.width, seen.height) == pytest.approx((20, 16), abs=2)
    found = estimate_background_image([Video(tmp_path / "a.npy")])
    assert np.abs(found.image - scene()).max() < 20


# ------------------------------------------------------------------ a picture of the empty scene


@pytest.fixture
def parked(tmp_path: Path) -> tuple[Path, Path]:
    """A video in which a car never moves and a person passes by, and a darker picture of the scene before they came."""
    frames = filmed(scene())
    frames[:, :, 20:36, 30:50] = 230
    for index in range(FRAMES):
        frames[index, :, 45:61, 2 * index : 2 * index + 20] = 200
    np.save(tmp_path / "a.npy", np.moveaxis(pixels(frames), 1, -1))
    Image.fromarray(np.moveaxis(pixels(scene() - 10), 0, -1)).save(tmp_path / "empty.png")
    return tmp_path / "a.npy", tmp_path / "empty.png"


@pytest.mark.parametrize("crop", [None, Crop(8, 4, 80, 56)])
@pytest.mark.parametrize("grey", [False, True])
def test_a_picture_of_the_empty_scene_is_the_background_image_in_the_light_of_the_video(
    parked: tuple[Path, Path], crop: Crop | None, grey: bool
) -> None:
    options = ReadOptions(crop=crop, grey=grey)
    empty = next(iter(Video(parked[1], options))).image.astype(np.float32) + 10
    with_picture = replace(options, background_image=str(parked[1]))
    found = estimate_background_image([Video(parked[0], with_picture)])
    assert np.abs(found.image - empty).max() <= 2
    assert np.abs(estimate_background_image([Video(parked[0], options)]).image - empty).max() > 80


def test_a_survey_with_a_picture_of_the_empty_scene_sees_what_never_moves(parked: tuple[Path, Path]) -> None:
    assert survey(Video(parked[0])).count == pytest.approx(1, abs=0.2)
    seen = survey(Video(parked[0], ReadOptions(background_image=str(parked[1]))))
    assert seen.count == pytest.approx(2, abs=0.2)
    assert (seen.width, seen.height) == pytest.approx((20, 16), abs=3)


def test_a_video_of_the_empty_scene_is_taken_by_its_median(parked: tuple[Path, Path], tmp_path: Path) -> None:
    empty = filmed(scene())
    empty[:5] = 0  # the lid is on
    np.save(tmp_path / "empty.npy", np.moveaxis(pixels(empty), 1, -1))
    found = estimate_background_image([Video(parked[0], ReadOptions(background_image=str(tmp_path / "empty.npy")))])
    assert np.abs(found.image - scene()).max() < 5


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((64, 95), np.uint8), r"96 × 64 px of 8 bits, got 95 × 64 px of 8 bits"),
        (np.arange(64 * 96, dtype=np.uint16).reshape(64, 96), r"96 × 64 px of 8 bits, got 96 × 64 px of another depth"),
        (None, r"There is no file or folder .*none\.png"),
    ],
)
def test_a_picture_of_another_scene_is_refused(
    parked: tuple[Path, Path], tmp_path: Path, picture: NDArray[np.uint8] | None, message: str
) -> None:
    if picture is not None:
        Image.fromarray(picture).save(tmp_path / "none.png")
    video = Video(parked[0], ReadOptions(background_image=str(tmp_path / "none.png")))
    for look in (survey, lambda video: estimate_background_image([video])):
        with pytest.raises(VideoError, match=message):
            look(video)


def test_a_grey_picture_is_for_a_video_without_colour_only(tmp_path: Path) -> None:
    frames = filmed(scene())
    Image.fromarray(pixels(scene(channels=1))[0]).save(tmp_path / "grey.png")
    for index in range(FRAMES):
        frames[index, :, 20:36, index : index + 20] = np.array([240, 20, 20])[:, None, None]
    options = ReadOptions(background_image=str(tmp_path / "grey.png"))
    np.save(tmp_path / "red.npy", np.moveaxis(pixels(frames), 1, -1))
    for look in (survey, lambda video: estimate_background_image([video])):
        with pytest.raises(VideoError, match=r"grey\.png: expected .* in colour, like .*red\.npy, got a grey one"):
            look(Video(tmp_path / "red.npy", options))
    np.save(tmp_path / "white.npy", np.moveaxis(pixels(frames.max(1, keepdims=True).repeat(3, 1)), 1, -1))
    assert survey(Video(tmp_path / "white.npy", options)).count == pytest.approx(1, abs=0.2)


def test_a_picture_of_16_bits_has_the_levels_of_the_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    background = 2000 + 40 * (scene(channels=1) - 100)
    frames = np.repeat(background[None], FRAMES, 0)
    frames[:, :, 20:36, 30:50] = 6000
    np.save(tmp_path / "a.npy", frames[:, 0].astype(np.uint16))
    Image.fromarray(background[0].astype(np.uint16)).save(tmp_path / "empty.png")
    video = Video(tmp_path / "a.npy", ReadOptions(background_image=str(tmp_path / "empty.png")))
    low, high = video.levels or (0, 0)
    expected = (background - low) / (high - low) * 255
    assert np.abs(estimate_background_image([video]).image - expected).max() < 2
    assert "empty.png" not in caplog.text
