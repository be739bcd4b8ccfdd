"""Made-up movers: a pure function of seed and index, whose truth and masks agree with the pixels."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from scalor_pyro.config import ConfigError, MoverConfig
from scalor_pyro.config.movers import BODIES
from scalor_pyro.data import GroundTruth, MoverVideos, movers
from scalor_pyro.data.mover_bodies import LIMBED, body
from scalor_pyro.data.mover_paths import paths
from scalor_pyro.data.movers import STILL, Drawn, differences, gain_for

SMALL = MoverConfig(image_size=(32, 48), object_size=8.0, frames=5, most=6)
# How no difference is stored, and differences up to this: the tails of objects without an outline.
GREY, FAINT = 127.5, 20


@cache
def stream(seed: int = 0, split: Any = "train") -> MoverVideos:
    return MoverVideos(SMALL, seed, split)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Movers alone: nothing of camera, light, shadows and posts, and a scene that is known without traces."""

    class Plain:
        def __init__(self, *_: Any) -> None: ...

        def seen(self, difference: Any) -> Any:
            return difference

    def nowhere(_: Any, size: tuple[int, int], __: float) -> Any:
        return np.zeros(size, bool)

    monkeypatch.setattr(movers, "Camera", Plain)
    monkeypatch.setattr(movers, "light", lambda _, frames, size, __: np.zeros((frames, *size), np.float32))
    monkeypatch.setattr(movers, "posts", nowhere)
    monkeypatch.setattr(movers, "_shadow", lambda *_: (0.0, 0, 0))
    monkeypatch.setattr(movers, "_traces", lambda _, still, *__: np.zeros_like(still))


def of_frame(truth: GroundTruth, frame: int) -> list[tuple[int, float, float, float, float]]:
    """(identity, x, y, size, share) of each object."""
    rows = truth.frame == frame
    columns = (truth.identity, truth.x, truth.y, truth.size, truth.share)
    return list(zip(*(column[rows].tolist() for column in columns), strict=True))


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 5))
@settings(max_examples=10)
def test_a_video_is_the_same_in_every_batch(start: int, count: int, frames: int) -> None:
    batch = stream().batch(start, count, frames)
    assert batch.frames.shape == (count, frames, 3, 32, 48) and batch.frames.dtype == np.uint8
    assert batch.masks.shape == (count, frames, 32, 48)
    alone, truth, masks, boxes, areas = stream().video(start + count - 1)
    assert np.array_equal(batch.frames[-1], alone[:frames])
    assert np.array_equal(batch.masks[-1], masks[:frames])
    assert np.array_equal(batch.boxes[-1], boxes[:, :frames]) and np.array_equal(batch.areas[-1], areas[:, :frames])
    assert np.array_equal(batch.truth[-1].x, truth.x[truth.frame < frames])
    assert batch.tensor().max() <= 1 and batch.tensor().dtype == torch.float32


def test_seeds_splits_and_indices_have_videos_of_their_own() -> None:
    first = stream().video(0)[0]
    for other in (stream(1).video(0), stream(0, "test").video(0), stream().video(1)):
        assert not np.array_equal(first, other[0])


@given(
    st.sampled_from([(16, 16), (32, 64), (40, 24)]),
    st.floats(4, 16),
    st.integers(1, 4),
    st.integers(1, 12),
    st.floats(0, 0.5),
    st.integers(0, 2**64 - 1),
)
@settings(max_examples=25)
def test_any_setting_gives_videos_with_a_truth(
    size: tuple[int, int], object_size: float, frames: int, most: int, spread: float, seed: int
) -> None:
    config = MoverConfig(size, object_size, frames, most, spread)
    video, truth, masks, *_ = MoverVideos(config, seed).video(3)
    assert video.shape == (frames, 3, *size) and masks.shape == (frames, *size)
    assert ((truth.share >= 0) & (truth.share <= 1 + 1e-6)).all() and (truth.size > 0).all()
    everybody = {identity for identity, *_ in of_frame(truth, 0)}
    assert everybody and all({row[0] for row in of_frame(truth, t)} == everybody for t in range(frames))
    assert set(np.unique(masks)) <= everybody | {-1}


@pytest.mark.usefixtures("plain")
def test_masks_are_where_movers_differ_from_the_scene() -> None:
    """Without noise, a frame is grey away from all masks; and hardly any pixel of a mask is.

    Soft spots are left out: one that is just out of view has no mask, and shows its halo.
    """
    videos = MoverVideos(replace(SMALL, bodies=tuple(kind for kind in BODIES if kind != "spot")))
    unlike_the_scene = []
    for index in range(30):
        frames, _, masks, *_ = videos.video(index)
        apart = np.abs(frames - GREY).max(1)  # (T, H, W)
        unlike_the_scene.append(apart[masks >= 0] > 1)
        for mask, difference in zip(masks, apart, strict=True):
            away = ~binary_dilation(mask >= 0, iterations=round(SMALL.object_size))
            assert not away.any() or (difference[away] < FAINT).mean() > 0.97
    assert np.concatenate(unlike_the_scene).mean() > 0.9


@pytest.mark.usefixtures("plain")
def test_masks_and_truth_agree() -> None:
    """One object, wholly in view: its mask lies round its centre, and is about as large as the truth says."""
    videos, distances, areas = MoverVideos(replace(SMALL, most=1), 1), [], []
    for index in range(150):
        _, truth, masks, *_ = videos.video(index)
        for frame, mask in enumerate(masks):
            objects = of_frame(truth, frame)
            if len(objects) == 1 and objects[0][-1] > 0.999 and (mask >= 0).any():
                identity, x, y, size, _ = objects[0]
                rows, columns = np.nonzero(mask == identity)
                distances.append(np.hypot(columns.mean() + 0.5 - x, rows.mean() + 0.5 - y) / size)
                areas.append(np.sqrt(len(rows)) / size)
    assert len(distances) > 50
    assert np.quantile(distances, 0.9) < 0.3
    assert 0.8 < np.median(areas) < 1.1 and np.quantile(areas, 0.05) > 0.4 and max(areas) < 1.5


def test_boxes_and_areas_are_of_all_of_an_object() -> None:
    """Those of its mask where all of it is seen; around its mask and more where it is hidden or partly out of view."""
    whole, partly = 0, []
    for index in range(20):
        _, _, masks, boxes, areas = stream().video(index)
        for number, t in np.ndindex(*areas.shape):
            y, x = np.nonzero(masks[t] == number)
            if len(x) == 0:
                continue
            left, top, right, bottom = boxes[number, t]
            seen = x.min(), y.min(), x.max() + 1, y.max() + 1
            if len(x) == areas[number, t]:
                whole += 1
                assert seen == (left, top, right, bottom)
            else:
                assert left <= seen[0] and top <= seen[1] and right >= seen[2] and bottom >= seen[3]
                partly.append((right - left) * (bottom - top) > (seen[2] - seen[0]) * (seen[3] - seen[1]))
                assert len(x) < areas[number, t]
    assert whole > 50 and len(partly) > 50 and np.mean(partly) > 0.5


@given(st.integers(0, 2**32), st.integers(1, 8))
@settings(max_examples=30)
def test_objects_move_little_between_frames_and_stay_in_the_room(seed: int, count: int) -> None:
    room = (60.0, 40.0)
    found = paths(np.random.default_rng(seed), count, 20, 8.0, room)
    assert (np.abs(found.centre[:, 1:]) <= np.array(room) / 2 + 1e-9).all()
    steps = np.linalg.norm(np.diff(found.centre[:, 1:], axis=1), axis=-1)
    near = found.scale[:, 1:-1]
    assert np.median(steps / near) < 8.0 and np.isfinite(found.angle).all()
    assert (found.scale > 0).all()


def test_motion_has_many_manners() -> None:
    """Over many videos: objects at rest and walking, that touch, that turn, and that grow as they come nearer."""
    drawn = [paths(np.random.default_rng(seed), 8, 20, 8.0, (60, 60)) for seed in range(60)]
    steps = [np.linalg.norm(np.diff(each.centre, axis=1), axis=-1) for each in drawn]
    rest = [(each < 0.01).mean() for each in steps]
    assert np.mean(rest) > 0.02, "some rest"
    assert any(((each < 0.01).any(1) & (each > 0.5).any(1)).any() for each in steps), "some stop or start"
    upright = [each for each in drawn if (np.abs(each.angle - np.pi / 2) < 0.5).all()]
    assert 5 < len(upright) < 30
    growing = [np.ptp(each.scale, axis=1).max() for each in drawn]
    assert 0.05 < np.mean(np.array(growing) > 0.1) < 0.5
    beside = [_nearest(each.centre[:, 10]) for each in drawn]
    assert np.mean([(each < 8).mean() for each in beside]) > 0.2, "some touch"


def _nearest(centres: Any) -> Any:
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)
    np.fill_diagonal(apart, np.inf)
    return apart.min(1)


@pytest.mark.parametrize("kind", BODIES)
@given(st.integers(0, 2**32))
@settings(max_examples=15)
def test_a_body_lies_inside_its_picture(kind: str, seed: int) -> None:
    drawn = body(np.random.default_rng(seed), kind, 3)
    assert drawn.alpha.min() >= 0 and drawn.alpha.max() > 0.5 and drawn.alpha.max() <= 1
    border = np.concatenate((drawn.alpha[:, [0, -1]].ravel(), drawn.alpha[:, :, [0, -1]].ravel()))
    assert border.mean() < 0.15
    poses, *size = drawn.alpha.shape
    assert drawn.colour.shape == (poses, 3, *size) and np.isfinite(drawn.colour).all()
    assert drawn.area > 0.1


def test_some_bodies_are_four_times_as_long_as_wide() -> None:
    aspects = []
    for seed in range(100):
        (alpha,) = body(np.random.default_rng(seed), "long", 1).alpha > 0.5
        rows, columns = np.nonzero(alpha)
        aspects.append(np.ptp(columns) / np.ptp(rows))
    assert min(aspects) < 3 and max(aspects) > 5 and np.median(aspects) < 4


@pytest.mark.parametrize("kind", LIMBED)
def test_limbs_swing_and_trunks_do_not(kind: str) -> None:
    """What is opaque in all poses holds most of a body, and each pose shows something that another does not."""
    for seed in range(20):
        opaque = body(np.random.default_rng(seed), kind, 1).alpha > 0.5
        always, ever = opaque.all(0), opaque.any(0)
        assert 0.3 < always.sum() / opaque.sum((1, 2)).mean() < 1
        assert (ever & ~always).any() and not (opaque[0] == opaque[len(opaque) // 4]).all()


def test_people_are_mostly_seen_from_the_side() -> None:
    """The boxes of videos of walkers are higher than wide, those of crawlers as often wider than high."""
    higher = {}
    for kind in LIMBED:
        videos = MoverVideos(MoverConfig(bodies=(kind,), frames=2), seed=3)
        boxes = np.concatenate([each.boxes[:, 0][each.areas[:, 0] > 0] for each in map(videos.video, range(40))])
        higher[kind] = float((boxes[:, 3] - boxes[:, 1] > boxes[:, 2] - boxes[:, 0]).mean())
    assert higher["walker"] > 0.75 and higher["crawler"] < 0.65


def test_each_object_has_a_window_of_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """One large object among small ones does not need the memory of as many large ones, and nothing is cut off."""
    noted: list[Drawn] = []
    draw = movers._drawn

    def drawn_and_noted(*args: Any) -> list[Drawn]:
        noted[:] = draw(*args)
        return noted

    monkeypatch.setattr(movers, "_drawn", drawn_and_noted)
    for index in range(20):
        video = MoverVideos(replace(SMALL, size_spread=0.5), seed=4).video(index)
        for drawn, boxes, areas in zip(noted, video.boxes, video.areas, strict=True):
            edges = (drawn.alpha[:, [0, -1]], drawn.alpha[:, :, [0, -1]])
            assert max(each.max() for each in edges) < movers.MASK
            largest = np.ptp(boxes.reshape(-1, 2, 2), axis=1)[areas > 0]
            assert not len(largest) or drawn.alpha.shape[-1] < 4 * largest.max() + 8


def test_a_scene_may_hold_traces_of_what_stood_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace is seen in all frames at the same place, and is in no mask."""
    still = np.full((1, 32, 48), 0.5, np.float32)
    origin = np.stack((np.full(5, 10), 8 * np.arange(5)), -1)
    drawn = [Drawn(np.ones((5, 8, 8), np.float32), np.full((5, 1, 8, 8), 0.3, np.float32), origin)]
    centre = origin[None, :, ::-1] + 4.0
    monkeypatch.setattr(movers, "TRACES", 1.0)
    left = movers._traces(np.random.default_rng(0), still, drawn, centre, 8.0)
    assert left.shape == still.shape and 0.05 < left.max() <= 0.31 and (left > 0).sum() == 64
    resting = movers._traces(np.random.default_rng(0), still, drawn, centre[:, :1].repeat(5, 1), 8.0)
    assert not resting.any(), "one that never moves is part of the scene, and not in the truth's way"


@given(st.floats(0.02, 1), st.integers(0, 99))
def test_differences_do_not_depend_on_scene_or_contrast(contrast: float, seed: int) -> None:
    """An object of any contrast over any scene looks the same, as long as nothing is cut off."""
    rng = np.random.default_rng(seed)
    scene = rng.uniform(0, 1, (1, 8, 8)).astype(np.float32)
    shape = rng.uniform(-1, 1, (2, 1, 8, 8)).astype(np.float32)
    seen = differences(scene + contrast * shape, scene, gain_for(contrast))
    np.testing.assert_allclose(seen, STILL + 0.35 * shape, atol=1e-4)
    same = differences(torch.from_numpy(scene + contrast * shape), torch.from_numpy(scene), gain_for(contrast))
    np.testing.assert_allclose(same.numpy(), seen, atol=1e-6)


def test_a_frame_like_its_scene_is_grey_and_extremes_are_cut_off() -> None:
    scene = np.linspace(0, 1, 5, dtype=np.float32)
    assert (differences(scene, scene, 50.0) == STILL).all()
    assert (
        differences(np.ones(5), np.zeros(5), 50.0).max() == 1 and differences(np.zeros(5), np.ones(5), 9.0).min() == 0
    )
    assert np.isfinite(gain_for(0.0))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MoverVideos(SMALL, -1), "seed: expected"),
        (lambda: MoverVideos(SMALL, 0, "val"), "split: expected"),  # type: ignore[arg-type]
        (lambda: stream().batch(-1, 1), "start: expected"),
        (lambda: stream().batch(0, 0), "count: expected"),
        (lambda: stream().batch(0, 1, 6), "frames: expected 1 to 5, got 6"),
        (lambda: MoverConfig(image_size=(8, 64)), "image_size: expected"),
        (lambda: MoverConfig(object_size=0), "object_size: expected"),
        (lambda: MoverConfig(size_spread=2), "size_spread: expected"),
        (lambda: MoverConfig(bodies=()), "bodies: expected some of blob, ellipse"),
        (lambda: MoverConfig(bodies=("fish",)), "bodies: expected some of blob, ellipse"),
    ],
)
def test_impossible_videos_are_refused(make: Callable[[], object], match: str) -> None:
    with pytest.raises((ValueError, ConfigError), match=match):
        make()
