"""What a survey says of videos whose objects are known, and whether models can be built with what is proposed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import ModelConfig
from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.plots.survey import survey_picture
from scalor_pyro.video import Crop, ReadOptions, Survey, Video, VideoError, propose, survey
from scalor_pyro.video.blobs import Blobs, find_blobs
from tests.video_files import squares

DATA = Path(__file__).parents[3] / "shared" / "data"
PED2 = DATA / "ucsd_ped2" / "training"
COLLOIDS = DATA / "colloids" / "bulk-water.mov"


def saved(tmp_path: Path, frames: np.ndarray) -> Path:
    np.save(tmp_path / "a.npy", frames)
    return tmp_path / "a.npy"


def test_size_speed_and_count_are_found(tmp_path: Path) -> None:
    seen = survey(Video(saved(tmp_path, squares(side=8, speed=2))))
    assert 8 <= seen.height <= 10 and 8 <= seen.width <= 10  # the smoothed edge of a sharp object is a pixel wide
    assert seen.speed == pytest.approx(2, abs=0.2)
    assert seen.count == pytest.approx(5, abs=0.5)
    assert not seen.colour and not seen.camera_moves and not seen.uneven
    inside = seen.objects[0]
    truth = [(7 + 23 * i) % 88 + 4 for i in range(5)]
    assert sorted(inside.x) == pytest.approx(sorted(truth), abs=1)


def test_faint_things_do_not_rule_however_many_they_are(tmp_path: Path) -> None:
    """Leaves that move, or what compression leaves, are ten times as many as objects, and far fainter."""
    noise, frames = np.random.default_rng(0), squares(size=(96, 160), side=10, speed=2).astype(np.int64)
    for frame in frames:
        for y, x in zip(noise.integers(94, size=150), noise.integers(158, size=150), strict=True):
            frame[y : y + 3, x : x + 3] += 14
    seen = survey(Video(saved(tmp_path, frames.clip(0, 255).astype(np.uint8))))
    assert 9 <= seen.height <= 13 and 9 <= seen.width <= 13
    assert seen.contrast > 0.3 and seen.count < 10


def test_an_array_is_surveyed_like_a_file(tmp_path: Path) -> None:
    of_array, of_file = survey(Video(squares())), survey(Video(saved(tmp_path, squares())))
    assert (of_array.height, of_array.count, of_array.contrast) == (of_file.height, of_file.count, of_file.contrast)


def test_the_proposal_is_in_pixels_of_the_file_whatever_the_crop(tmp_path: Path) -> None:
    path = saved(tmp_path, squares(size=(64, 120)))
    given_options = ReadOptions(crop=Crop(20, 0, 100, 64))
    proposal = propose(survey(Video(path, given_options)), given_options)
    assert proposal.crop == Crop(20, 0, 100, 64)
    assert proposal.size[0] % 4 == 0 and proposal.size[1] % 4 == 0
    assert Video(path, proposal.options(given_options)).geometry.size == proposal.size


def test_given_size_and_stride_are_kept(tmp_path: Path) -> None:
    path = saved(tmp_path, squares())
    options = ReadOptions(size=(36, 44), stride=3, grey=True)
    proposal = propose(survey(Video(path, options)), options)
    assert proposal.size == (36, 44) and proposal.stride == 3 and proposal.grey
    assert proposal.crop == Crop(0, 0, 96, 64)
    assert proposal.object_size == pytest.approx(10 * ((36 * 44) / (64 * 96)) ** 0.5, rel=0.2)
    proposal.model(ModelConfig())
    with pytest.raises(VideoError, match="multiples of 4"):
        propose(survey(Video(path, options)), ReadOptions(size=(33, 44)))


@pytest.mark.parametrize("objects, density, size", [("sprites", "LD", 14), ("sprites", "HD", 7), ("digits", "VLD", 20)])
def test_synthetic_videos_get_about_the_sizes_of_their_presets(
    tmp_path: Path, objects: str, density: str, size: float
) -> None:
    from dataclasses import replace

    config = preset(objects, density)
    data = replace(config.data, frames=40, digits="uci")
    frames = SyntheticVideos(data, 0, "train").batch(0, 1).frames[0]
    seen = survey(Video(saved(tmp_path, np.moveaxis(frames, 1, -1))))
    assert (seen.height * seen.width) ** 0.5 == pytest.approx(size, rel=0.2)
    assert seen.colour == (objects == "sprites")
    proposal = propose(seen)
    assert proposal.model(config.model).slots <= 1.5 * config.model.slots
    if objects == "sprites":
        assert proposal.size == (64, 64) and proposal.cells == config.model.cells


def test_objects_that_are_taller_than_wide_are_told_apart_from_square_ones(tmp_path: Path) -> None:
    video = np.full((20, 64, 64), 90, np.uint8)
    for t in range(20):
        for i in range(3):
            video[t, 2 + 20 * i : 18 + 20 * i, (10 + 17 * i + 2 * t) % 56 : (10 + 17 * i + 2 * t) % 56 + 8] = 200
    seen = survey(Video(saved(tmp_path, video)))
    proposal = propose(seen)
    assert proposal.aspect == pytest.approx(2, abs=0.4)
    width, height = Boxes(proposal.model(ModelConfig())).sides(torch.zeros(2)) * torch.tensor(proposal.size[::-1])
    assert height / width == pytest.approx(proposal.aspect, rel=1e-4)
    assert width * height == pytest.approx((1.25 * proposal.object_size) ** 2, rel=1e-4)


def test_a_moving_camera_is_noticed_and_moving_objects_are_not_taken_for_one(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    world = np.kron(generator.integers(0, 255, (40, 60)), np.ones((4, 4))).astype(np.uint8)
    moving = np.stack([world[10 + t : 74 + t, 2 * t : 2 * t + 96] for t in range(24)])
    assert survey(Video(saved(tmp_path, moving))).camera_moves
    still = np.stack([world[:64, :96]] * 24)
    for t in range(24):
        still[t, 10:40, 10 + t : 40 + t] = 250  # a large object
    assert not survey(Video(saved(tmp_path, still))).camera_moves


@pytest.mark.parametrize("across", [0.0, 1.0], ids=["everywhere alike", "from side to side"])
def test_light_that_changes_is_no_object(tmp_path: Path, across: float) -> None:
    frames = squares().astype(int)
    side = 1 + across * np.linspace(-2, 2, frames.shape[2])[:, None]  # (W, 1): the right gets brighter, the left darker
    light = (2 * np.arange(24) - 20)[:, None, None, None] * side
    seen = survey(Video(saved(tmp_path, np.clip(frames + light, 0, 255).astype(np.uint8))))
    assert seen.count == pytest.approx(5, abs=1)
    assert 8 <= seen.height <= 10 and 8 <= seen.width <= 10


def test_a_video_in_which_nothing_moves_is_refused(tmp_path: Path) -> None:
    still = np.repeat(squares(1), 10, 0)
    noise = np.random.default_rng(0).normal(0, 3, still.shape)
    for video in (still, np.clip(still + noise, 0, 255).astype(np.uint8)):
        with pytest.raises(VideoError, match="Nothing was seen to move"):
            survey(Video(saved(tmp_path, video)))
    with pytest.raises(VideoError, match="expected at least 3 frames"):
        survey(Video(saved(tmp_path, still[:1])))


def test_large_frames_are_looked_at_reduced_and_spoken_of_in_their_own_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalor_pyro.video.surveying.LARGEST", 64 * 96)
    large = np.kron(squares(16), np.ones((1, 2, 2, 1))).astype(np.uint8)
    seen = survey(Video(saved(tmp_path, large)))
    assert seen.size == (128, 192) and seen.background.shape[1:] == (64, 96)
    assert 16 <= seen.height <= 20
    assert seen.speed == pytest.approx(4, abs=0.6)
    assert max(blobs.x.max() for blobs in seen.objects) > 100


def test_memory_bounds_the_frames_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, squares(60))
    assert survey(Video(path)).frames == 60
    monkeypatch.setattr("scalor_pyro.video.surveying.MEMORY", 20 * 64 * 96 * 3)
    seen = survey(Video(path))
    assert seen.frames == 20
    assert seen.shown[-1].number == 59


def blob_at(x: float, y: float, side: float) -> Blobs:
    return Blobs(*(np.array([value]) for value in (x, y, side, side, side**2, 0.5)), np.array([True]))


@given(
    st.integers(16, 2000),
    st.integers(16, 2000),
    st.floats(3, 300),
    st.floats(0.3, 3),
    st.integers(1, 400),
    st.floats(0, 50),
    st.floats(0.02, 1),
    st.floats(0.01, 1),
)
def test_a_model_can_be_built_with_whatever_is_proposed(
    height: int, width: int, side: float, aspect: float, count: int, speed: float, contrast: float, used: float
) -> None:
    side = min(side, height / 2, width / 2)
    seen = Survey(
        frames=1,
        size=(height, width),
        height=side * aspect**0.5,
        width=side / aspect**0.5,
        speed=speed,
        count=count,
        most=count,
        contrast=contrast,
        noise=0.004,
        dark=0.5 - used / 2,
        bright=0.5 + used / 2,
        levels=(0.0, 255.0),
        colour=True,
        camera_moves=False,
        uneven=False,
        objects=(blob_at(width / 2, height / 2, side),),
        copies=(np.array([float(count)]),),
        shown=(),
        background=np.zeros((3, 4, 4), np.uint8),
    )
    proposal = propose(seen)
    model = proposal.model(ModelConfig())
    assert model.image_size == proposal.size and max(model.image_size) <= 128
    assert proposal.crop.x + proposal.crop.width <= width and proposal.crop.y + proposal.crop.height <= height
    assert proposal.stride >= 1 and 0 < proposal.sigma < 1


def test_blobs_closer_than_the_gap_are_one() -> None:
    picture = np.zeros((30, 40), np.float32)
    picture[2:10, 5:9] = picture[12:20, 5:9] = 1.0
    picture[0:5, 30:35] = 1.0
    picture[25:27, 20:22] = 1.0  # a speck
    threshold = np.full((30, 40), 0.5, np.float32)
    apart = find_blobs(picture, threshold)
    assert sorted(apart.height) == [5, 8, 8] and apart.whole.sum() == 2
    assert (apart.x[0], apart.y[0]) in [(7.0, 6.0), (32.5, 2.5)]
    together = find_blobs(picture, threshold, gap=2)
    assert sorted(together.height) == [5, 18]
    assert len(find_blobs(np.zeros_like(picture), threshold).x) == 0


def test_the_picture_has_boxes_where_the_objects_are(tmp_path: Path) -> None:
    options = ReadOptions(crop=Crop(4, 0, 92, 64))
    seen = survey(Video(saved(tmp_path, squares()), options))
    figure = survey_picture(seen, propose(seen, options), options)
    panels: list[Any] = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == 6
    boxes = panels[0].patches
    assert len(boxes) == len(seen.objects[0].x) + 1
    assert [box.get_x() + box.get_width() / 2 for box in boxes[:-1]] == pytest.approx(seen.objects[0].x)
    assert boxes[-1].get_xy() == (0, 0)  # the proposed crop, in px of the frames shown


# ------------------------------------------------------------------ real videos


@pytest.mark.skipif(not PED2.is_dir(), reason="UCSD Ped2 is not there")
def test_people_seen_from_above_get_about_the_recipe_that_worked() -> None:
    seen = survey(Video(PED2 / "Train016.mkv"))
    assert 24 <= seen.height <= 36 and 13 <= seen.width <= 21  # 30 × 17 px
    assert not seen.colour and not seen.camera_moves
    proposal = propose(seen)
    assert proposal.size == (96, 96) and proposal.cells == (12, 12) and proposal.stride in (2, 3)
    assert 130 <= proposal.crop.width <= 190
    assert 1.5 <= proposal.aspect <= 2.2 and 8 <= proposal.slots <= 20 and 0.05 <= proposal.sigma <= 0.1


@pytest.mark.skipif(not COLLOIDS.is_file(), reason="the colloids are not there")
def test_hundreds_of_particles_are_found() -> None:
    options = ReadOptions(crop=Crop(200, 100, 200, 200), stop=120)
    seen = survey(Video(COLLOIDS, options))
    assert 4 <= seen.height <= 9 and 4 <= seen.width <= 9
    assert 60 <= seen.count <= 200
    assert propose(seen, options).crop.x >= 200


def test_several_videos_are_looked_at_as_one(tmp_path: Path) -> None:
    """Two halves of a video tell what the whole tells."""
    video = squares(32)
    halves = [tmp_path / "first.npy", tmp_path / "second.npy"]
    for path, part in zip(halves, (video[:16], video[16:]), strict=True):
        np.save(path, part)
    np.save(tmp_path / "whole.npy", video)
    one, two = survey(Video(tmp_path / "whole.npy")), survey(*map(Video, halves))
    assert (two.height, two.width, two.count) == pytest.approx((one.height, one.width, one.count), abs=1)
    assert two.frames == one.frames
    for start in range(20):
        np.save(tmp_path / f"{start}.npy", video[start : start + 8])
    many = survey(*(Video(tmp_path / f"{start}.npy") for start in range(20)))
    assert many.frames == 64 and many.count == pytest.approx(one.count, abs=1)


def test_videos_of_other_sizes_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", squares(8))
    np.save(tmp_path / "other.npy", squares(8, size=(64, 128)))
    with pytest.raises(VideoError, match="other.npy: expected frames of 96 × 64 px .* got 128 × 64 px"):
        survey(Video(tmp_path / "one.npy"), Video(tmp_path / "other.npy"))


@pytest.mark.parametrize("tint", [(0, 0, 0), (40, 0, -50)])
def test_a_faint_video_is_stretched_and_its_levels_are_of_grey(tmp_path: Path, tint: tuple[int, ...]) -> None:
    faint = 100 + 0.15 * squares(32) + np.array(tint)  # grey values of 106 to 135, and a tint
    np.save(tmp_path / "faint.npy", faint.astype(np.uint8))
    video = Video(tmp_path / "faint.npy")
    proposal = propose(survey(video))
    assert proposal.grey and proposal.levels is not None
    options = proposal.options(ReadOptions())
    read = np.stack([frame.image for frame in Video(video.path, options)])
    assert read.min() < 50 and read.max() > 200 and (read == 0).mean() < 0.01 and (read == 255).mean() < 0.01
    as_it_is = ReadOptions(levels=(0, 255))
    unstretched = propose(survey(Video(video.path, as_it_is)), as_it_is)
    assert unstretched.levels == (0, 255) and proposal.sigma > 2 * unstretched.sigma
    np.save(tmp_path / "plain.npy", squares(32))
    assert propose(survey(Video(tmp_path / "plain.npy"))).levels is None


def test_few_frames_are_said_to_be_few(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="expected at least 3 frames, to see what moves, got 2"):
        survey(Video(saved(tmp_path, squares(2))))
    with pytest.raises(VideoError, match="in the 3 frames .*: expected at least 12 frames, to tell objects"):
        survey(Video(saved(tmp_path, squares(1).repeat(3, 0))))


def test_small_objects_in_large_frames_are_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, squares())
    whole = survey(Video(path))
    monkeypatch.setattr("scalor_pyro.video.surveying.QUICK", 64 * 96 // 4)
    again = survey(Video(path))
    assert (again.height, again.width, again.background.shape) == (whole.height, whole.width, whole.background.shape)
    monkeypatch.setattr("scalor_pyro.video.surveying.LEAST_SEEN", 4.0)
    reduced = survey(Video(path))
    assert reduced.background.shape == (3, 32, 48)
    assert (reduced.height, reduced.count) == (pytest.approx(whole.height, rel=0.3), pytest.approx(whole.count, abs=1))
