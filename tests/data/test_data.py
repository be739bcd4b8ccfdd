import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.config import DataConfig
from scalor_pyro.data import GroundTruth, SyntheticVideos, VideoBatch, load_digits
from scalor_pyro.data.background import BACKGROUND_NUMBERS, backgrounds
from scalor_pyro.data.glyphs import resize
from scalor_pyro.data.motion import reflect
from scalor_pyro.data.painting import paint
from scalor_pyro.data.sprites import ROTATIONS, sprite_glyphs
from scalor_pyro.data.worlds import Worlds, hue_to_rgb

DIGITS = DataConfig(digits="uci")
SPRITES = DataConfig(objects="sprites", count_min=3, count_max=5, object_size=11.0)
CONFIGS = {
    "digits": DIGITS,
    "sprites": SPRITES,
    "background": replace(SPRITES, background=True, frames=5),
    "meet": replace(SPRITES, motion="meet"),
    "arrivals": replace(SPRITES, arrivals=(1, 5, 9), arrival_min=2, arrival_max=4, object_size=7.5),
    "wide": replace(DIGITS, image_size=(24, 40), object_size=6.0, background=True),
}


@cache
def stream(name: str, seed: int = 0, split: Any = "train") -> SyntheticVideos:
    return SyntheticVideos(CONFIGS[name], seed, split)


def truths_equal(a: GroundTruth, b: GroundTruth) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)


def hand_made(centre: list[list[list[float]]], glyph: list[int], colour: list[list[float]]) -> Worlds:
    """One video; centre (N, T, 2)."""
    count, frames, _ = np.shape(centre)
    return Worlds(
        identity=np.arange(count)[None],
        glyph=np.array([glyph]),
        colour=np.array([colour], np.float32),
        centre=np.array([centre], float),
        alive=np.ones((1, count, frames), bool),
        backdrop=np.zeros((1, BACKGROUND_NUMBERS)),
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_batch_has_the_shape_of_the_config(name: str) -> None:
    config = CONFIGS[name]
    batch = stream(name).batch(3, 2)
    assert batch.frames.shape == (2, config.frames, 3, *config.image_size)
    assert batch.frames.dtype == np.uint8
    assert len(batch.truth) == 2
    tensor = batch.tensor()
    assert tensor.dtype == torch.float32
    assert 0 <= tensor.min() and 0.5 < tensor.max() <= 1
    assert torch.equal((tensor * 255).round().byte(), torch.from_numpy(batch.frames))


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(list(CONFIGS)), start=st.integers(0, 2**40), count=st.integers(1, 4), data=st.data())
def test_video_does_not_depend_on_its_batch(name: str, start: int, count: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, count - 1))
    batch = stream(name).batch(start, count)
    alone = stream(name).batch(start + offset, 1)
    assert np.array_equal(batch.frames[offset], alone.frames[0])
    assert truths_equal(batch.truth[offset], alone.truth[0])


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(list(CONFIGS)), start=st.integers(0, 99), frames=st.integers(1, 5))
def test_short_video_is_the_beginning_of_the_long_one(name: str, start: int, frames: int) -> None:
    short, full = stream(name).batch(start, 2, frames), stream(name).batch(start, 2)
    assert np.array_equal(short.frames, full.frames[:, :frames])
    for a, b in zip(short.truth, full.truth, strict=True):
        seen = b.frame < frames
        cut = GroundTruth(**{field: getattr(b, field)[seen] for field in b.__dataclass_fields__})
        assert truths_equal(a, cut)


def test_drifting_videos_go_on_in_a_longer_config() -> None:
    longer = SyntheticVideos(replace(SPRITES, frames=20), 0, "train").batch(4, 2)
    assert np.array_equal(longer.frames[:, :10], stream("sprites").batch(4, 2).frames)


def test_seed_split_and_index_give_other_videos() -> None:
    batches = [stream("sprites"), stream("sprites", seed=1), stream("sprites", split="test")]
    videos = [video.tobytes() for batch in batches for video in batch.batch(0, 5).frames]
    assert len(set(videos)) == 15


# The frames as every machine has to make them; where a change of the data is wanted, these change, too.
GOLDEN = {
    "digits": "144ffc5bed28129f",
    "sprites": "8d570e3f262705bd",
    "background": "5376cb912c4ced57",
    "meet": "84a74ce100d4bd9e",
    "arrivals": "25d6d8c1bcc18c52",
    "wide": "1d765cb69b50c529",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_frames_are_the_same_everywhere(name: str) -> None:
    frames = stream(name, seed=7, split="test").batch(5, 3).frames
    assert hashlib.sha256(frames.tobytes()).hexdigest()[:16] == GOLDEN[name]


@settings(deadline=None)
@given(start=st.floats(0, 9), speed=st.floats(-3, 3))
def test_reflection_is_what_bouncing_step_by_step_gives(start: float, speed: float) -> None:
    path = reflect(start + speed * np.arange(20.0, dtype=np.float64), 0.0, 9.0)
    position, velocity = start, speed
    for expected in path:
        assert expected == pytest.approx(position, abs=1e-9)
        position += velocity
        if not 0 <= position <= 9:
            position, velocity = (-position if position < 0 else 18 - position), -velocity


def test_objects_move_as_the_config_says() -> None:
    config = replace(SPRITES, frames=20, speed_min=1.0, speed_max=2.0)
    batch = SyntheticVideos(config, 0, "train").batch(0, 40)
    world = 1.25 * config.object_size / 2
    bounced = 0
    for truth in batch.truth:
        assert truth.x.min() >= -world and truth.x.max() <= 64 + world
        for identity in np.unique(truth.identity):
            own = truth.identity == identity
            assert list(truth.frame[own]) == list(range(20))
            step = np.hypot(np.diff(truth.x[own]), np.diff(truth.y[own]))
            speed = step.max()
            assert 1.0 - 0.01 <= speed <= 2.0 + 0.01
            free = np.abs(step - speed) < 0.02
            bounced += int((~free).any())
            assert (~free).sum() <= 6
    assert bounced > 0


def test_numbers_of_objects_fill_the_range_of_the_config() -> None:
    counts = {len(np.unique(truth.identity)) for truth in stream("sprites").batch(0, 60).truth}
    assert counts == {3, 4, 5}


def test_world_may_be_empty() -> None:
    batch = SyntheticVideos(replace(SPRITES, count_min=0, count_max=0), 0, "train").batch(0, 2)
    assert not batch.frames.any()
    assert [len(truth.frame) for truth in batch.truth] == [0, 0]


def test_arrivals_appear_inside_the_view_at_their_frames() -> None:
    config = replace(CONFIGS["arrivals"], arrivals=(1, 4), count_min=0, count_max=0)
    batch = SyntheticVideos(config, 0, "train").batch(0, 9)
    assert not batch.frames[:, 0].any()
    for truth in batch.truth:
        first = {identity: truth.frame[truth.identity == identity].min() for identity in truth.identity}
        born = np.array(list(first.values()))
        assert set(born) == {1, 4}
        assert all(2 <= (born == frame).sum() <= 4 for frame in (1, 4))
        new = np.array([first[identity] == frame for identity, frame in zip(truth.identity, truth.frame, strict=True)])
        assert truth.share[new] == pytest.approx(1.0)


def test_meeting_objects_overlap_in_the_middle_only() -> None:
    config = replace(SPRITES, motion="meet", count_min=4, count_max=4, speed_min=3.0, speed_max=4.0, frames=11)
    start, middle = [], []
    for truth in SyntheticVideos(config, 0, "train").batch(0, 20).truth:
        for pair in ((0, 1), (2, 3)):
            (xa, ya), (xb, yb) = ((truth.x[truth.identity == i], truth.y[truth.identity == i]) for i in pair)
            distance = np.hypot(xa - xb, ya - yb)
            start.append(distance[0])
            middle.append(distance[5])
    assert max(middle) <= 0.36 * config.object_size
    assert np.median(start) > 2 * config.object_size


def ink_centre(frame: np.ndarray) -> tuple[float, float]:
    y, x = np.indices(frame.shape) + 0.5
    return float((frame * x).sum() / frame.sum()), float((frame * y).sum() / frame.sum())


@cache
def sprites_of_9_px() -> np.ndarray:
    return sprite_glyphs(9.0)


def lone_ellipse(x: float, y: float) -> np.ndarray:
    worlds = hand_made([[[x, y]]], [ROTATIONS + 30], [[1, 1, 1]])
    return np.asarray(paint(worlds, sprites_of_9_px(), (32, 32), None)[0, 0, 0])


@settings(max_examples=50, deadline=None)
@given(x=st.floats(6, 26, width=16), y=st.floats(6, 26, width=16))
def test_object_is_painted_at_its_subpixel_centre(x: float, y: float) -> None:
    assert ink_centre(lone_ellipse(x, y)) == pytest.approx((x, y), abs=1e-3)


def test_truth_says_where_the_ink_is() -> None:
    config = DataConfig(objects="sprites", count_min=1, count_max=1, object_size=12.0)
    batch = SyntheticVideos(config, 0, "train").batch(0, 60)
    checked = 0
    for video, truth in zip(batch.frames, batch.truth, strict=True):
        for frame, x, y, share in zip(truth.frame, truth.x, truth.y, truth.share, strict=True):
            if share == 1:
                # A heart's centre of mass is a little off the centre of its box.
                assert ink_centre(video[frame].max(0)) == pytest.approx((x, y), abs=1.0)
                checked += 1
    assert checked > 100


@pytest.mark.parametrize("name", ["digits", "wide"])
def test_share_is_the_part_of_the_ink_inside_the_view(name: str) -> None:
    config = replace(CONFIGS[name], count_min=1, count_max=1, background=False)
    batch = SyntheticVideos(config, 0, "train").batch(0, 30)
    shares = []
    for video, truth in enumerate(batch.truth):
        seen = batch.frames[video, :, 0].sum((1, 2), dtype=float)
        whole = batch.bank[batch.worlds.glyph[video, 0]].sum(dtype=float)
        assert truth.share == pytest.approx(seen / whole, abs=0.02)
        shares.append(truth.share)
    assert np.min(shares) < 0.2 and np.max(shares) == 1.0


def test_occlusion_by_others_does_not_lower_the_share() -> None:
    config = replace(DIGITS, motion="meet", count_min=6, count_max=6, object_size=6.0)
    truth = SyntheticVideos(config, 0, "train").batch(0, 1).truth[0]
    assert truth.share[truth.frame == 4] == pytest.approx(1.0)


def test_later_objects_lie_on_top_in_all_frames() -> None:
    red, green = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    worlds = hand_made([[[8, 8], [9, 8]], [[10, 8], [8, 8]]], [0, 0], [red, green])
    painted = paint(worlds, np.full((1, 4, 4), 255, np.uint8), (16, 16), None)
    assert painted[0, 0, :, 8, 7].tolist() == red
    assert painted[0, :, :, 8, 9].tolist() == [green, green]
    assert painted[0, :, :, 0, 0].tolist() == [[0, 0, 0], [0, 0, 0]]


def test_objects_cover_the_background_and_nothing_else() -> None:
    plain = replace(SPRITES, background=True, count_min=0, count_max=0)
    empty = SyntheticVideos(plain, 0, "train").batch(0, 3).frames
    full = SyntheticVideos(replace(SPRITES, background=True), 0, "train").batch(0, 3)
    black = SyntheticVideos(SPRITES, 0, "train").batch(0, 3).frames
    change = np.abs(full.frames.astype(int) - empty)
    assert np.where(black.max(2, keepdims=True) == 0, change, 0).max() <= 1  # faintest borders round to black
    assert change.max() > 100


def test_background_drifts_within_its_bounds() -> None:
    numbers = np.random.default_rng(0).random((20, BACKGROUND_NUMBERS))
    values = backgrounds(numbers, 3, (16, 24))
    assert values.shape == (20, 3, 3, 16, 24)
    assert values.min() >= 0 and values.max() <= 0.91
    assert np.abs(values[:, 1:] - values[:, :-1]).max() <= 2 * 0.2 * 0.4 + 1e-3
    assert (values[:, 0] != values[:, 2]).any(axis=(1, 2, 3)).all()
    assert values.std((3, 4)).mean() > 0.03


def test_background_is_the_formula() -> None:
    numbers = np.full((1, BACKGROUND_NUMBERS), 0.5)
    # The first wave points along +blue, with 0.75 cycles along x and a drift of 0.2 rad; the second one stands still.
    numbers[0, 3:9] = [0.0, 1.0, 0.75, 0.5, 0.0, 0.75]
    x, t = (np.arange(8) + 0.5) / 8, np.arange(2)[:, None]
    expected = 0.35 + 0.2 * np.cos(2 * np.pi * 0.75 * x + 0.2 * t)
    values = backgrounds(numbers, 2, (4, 8))
    assert values[0, :, 2, 0] == pytest.approx(expected, abs=1e-3)
    assert values[0, :, 1] == pytest.approx(0.35, abs=1e-3)


def test_sprites_are_what_they_are_called() -> None:
    bank = sprite_glyphs(20.0).reshape(3, ROTATIONS, 20, 20).astype(float) / 255
    square, ellipse, heart = bank.sum((2, 3)).mean(1)
    assert square == pytest.approx(200, rel=0.02)  # inscribed in the circle of diameter 20
    assert ellipse == pytest.approx(np.pi * 100 * 0.55, rel=0.02)
    assert np.array_equal(bank[0, 0], bank[0, 90])
    assert np.array_equal(bank[2, 0], bank[2, 0, :, ::-1])  # a heart is symmetric…
    assert bank[2, 0, :6].sum() > bank[2, 0, 14:].sum()  # …and stands on its tip
    assert np.array_equal(np.rot90(bank[2, 0], -1), bank[2, 90])


def test_colours_are_pure_hues() -> None:
    assert hue_to_rgb(np.array([0, 1 / 3, 2 / 3])) == pytest.approx(np.eye(3), abs=1e-6)
    colours = hue_to_rgb(np.linspace(0, 1, 50))
    assert colours.min(1) == pytest.approx(0) and colours.max(1) == pytest.approx(1)


def test_digits_are_white_and_shrink_with_their_mean() -> None:
    frames = stream("digits").batch(0, 2).frames
    assert np.array_equal(frames[:, :, 0], frames[:, :, 2])
    images = (np.random.default_rng(0).integers(0, 256, (3, 20, 20)) / 255).astype(np.float32)
    assert resize(images, 20.0) == pytest.approx(images * 255, abs=1e-3)
    assert resize(images, 10.0) == pytest.approx(images.reshape(3, 10, 2, 10, 2).mean((2, 4)) * 255, abs=0.6)
    assert resize(images, 6.5).shape == (3, 7, 7)


def test_digit_classes_choose_the_digits() -> None:
    _, labels = load_digits("uci", "test")
    few = SyntheticVideos(replace(DIGITS, digit_classes=(6, 9)), 0, "test")
    assert len(few.bank) == np.isin(labels, (6, 9)).sum()


def test_train_and_test_show_other_digits() -> None:
    train, test = ({glyph.tobytes() for glyph in stream("digits", split=split).bank} for split in ("train", "test"))
    assert not train & test


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -1, "count": 2}, "start: expected .* got -1"),
        ({"start": 0, "count": 0}, "count: expected .* got 0"),
        ({"start": 0, "count": 2, "frames": 0}, "frames: expected .* got 0"),
        ({"start": 0, "count": 2, "frames": 11}, "1 to 10"),
    ],
)
def test_batch_refuses_numbers_out_of_range(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stream("sprites").batch(**arguments)


@pytest.mark.parametrize(
    ("seed", "split", "message"),
    [(-1, "train", "seed: expected .* got -1"), (0, "valid", "split: expected .* got 'valid'")],
)
def test_stream_refuses_what_it_does_not_know(seed: int, split: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticVideos(SPRITES, seed, split)


def test_mnist_at_hand_gives_videos() -> None:
    mnist = Path(__file__).parents[2].parent / "shared" / "data" / "mnist" / "mnist.npz"
    if not mnist.exists():
        pytest.skip(f"MNIST is not at {mnist}")
    batch: VideoBatch = SyntheticVideos(DataConfig(object_size=14.0), 0, "test", mnist).batch(0, 2)
    assert batch.bank.shape == (10000, 14, 14)
    assert batch.frames.any()
