"""Videos of public benchmarks: what is published about them holds, and the truth fits the pixels."""

from pathlib import Path

import numpy as np
import pytest

from scalor_pyro.config import ConfigError, PublicData
from scalor_pyro.config.public import STREAM_FRAMES
from scalor_pyro.data.public import BoxTruth, PublicVideos, mot
from scalor_pyro.data.public.layers import Layers, composed

BENCHMARKS = ("sprites-mot", "mnist-mot", "multi-dsprites", "balls")


def videos(benchmark: str, seed: int = 0, frames: int = 10, **options: object) -> PublicVideos:
    data = PublicData(benchmark, frames, digits="uci")  # type: ignore[arg-type]
    return PublicVideos(data, seed, **options)  # type: ignore[arg-type]


def same(one: BoxTruth, other: BoxTruth) -> bool:
    return all(np.array_equal(values, getattr(other, name)) for name, values in vars(one).items())


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_video_is_a_pure_function_of_seed_split_and_index(benchmark: str) -> None:
    stream = videos(benchmark)
    batch = stream.batch(4, 3)
    alone = videos(benchmark).batch(5, 1)
    assert batch.frames.shape == (3, 10, 3, 64, 64) and batch.masks.shape == (3, 10, 64, 64)
    assert np.array_equal(batch.frames[1], alone.frames[0]) and np.array_equal(batch.masks[1], alone.masks[0])
    assert same(batch.truth[1], alone.truth[0])
    short = stream.batch(5, 1, frames=3)
    assert np.array_equal(short.frames[0], alone.frames[0, :3]), "a short video is the beginning of a long one"
    others = videos(benchmark, seed=1), videos(benchmark, split="test")
    assert not any(np.array_equal(each.batch(5, 1).frames, alone.frames) for each in others)
    assert batch.tensor().max() <= 1


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_truth_fits_the_masks_and_the_masks_fit_the_pixels(benchmark: str) -> None:
    batch = videos(benchmark).batch(0, 5)
    for frames, truth, masks in zip(batch.frames, batch.truth, batch.masks, strict=True):
        assert set(np.unique(masks)) - {-1} <= set(truth.identity.tolist())
        if benchmark.endswith("mot"):
            dark = frames.max(1) == 0
            assert not (dark & (masks >= 0)).any() and (frames.max(1)[masks < 0] < 2).all()
        for row in range(len(truth.frame)):
            ys, xs = np.nonzero(masks[truth.frame[row]] == truth.identity[row])
            if len(xs) == 0:
                assert truth.visible[row] < 0.3
                continue
            left, top = truth.x[row] - truth.width[row] / 2, truth.y[row] - truth.height[row] / 2
            inside = (xs + 0.5 >= left - 0.6) & (xs + 0.5 <= left + truth.width[row] + 0.6)
            inside &= (ys + 0.5 >= top - 0.6) & (ys + 0.5 <= top + truth.height[row] + 0.6)
            assert inside.all(), "masks are within their boxes"
        assert np.allclose(truth.size, np.sqrt(truth.width * truth.height))
        assert ((truth.share > 0) & (truth.share <= 1) & (truth.visible >= 0) & (truth.visible <= 1)).all()


def test_boxes_of_sprites_are_tight() -> None:
    batch = videos("sprites-mot").batch(0, 10)
    for truth, masks in zip(batch.truth, batch.masks, strict=True):
        for row in np.flatnonzero((truth.visible > 0.999) & (truth.share > 0.999)):
            ys, xs = np.nonzero(masks[truth.frame[row]] == truth.identity[row])
            # Every second pixel may miss the tips of diamonds and triangles.
            for pixels, middle, side in ((xs, truth.x[row], truth.width[row]), (ys, truth.y[row], truth.height[row])):
                assert side - 2.1 <= np.ptp(pixels) + 1 <= side + 1
                assert (pixels.min() + pixels.max() + 1) / 2 == pytest.approx(middle, abs=1.1)


def test_the_stream_goes_on_from_video_to_video() -> None:
    stream = videos("sprites-mot")
    whole = videos("sprites-mot", frames=40).batch(1, 1)
    parts = stream.batch(4, 4)
    assert np.array_equal(np.concatenate(list(parts.frames)), whole.frames[0])
    names = [{*truth.identity} for truth in stream.batch(0, 9).truth]
    assert any(one & next_one for one, next_one in zip(names, names[1:], strict=False)), "objects keep their identities"


def test_a_long_video_is_drawn_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its memory does not grow with objects times frames."""
    stream = videos("sprites-mot", frames=50)
    whole = stream.batch(3, 1)
    monkeypatch.setattr("scalor_pyro.data.public.videos.PART", 7)
    parts = stream.batch(3, 1)
    assert np.array_equal(parts.frames, whole.frames) and np.array_equal(parts.masks, whole.masks)
    assert same(parts.truth[0], whole.truth[0]) and len(whole.truth[0].frame) > 50


def test_objects_enter_and_leave_as_published() -> None:
    found = mot.visits(3, "test", 0, mot.SPRITE_MARGIN)
    last = mot.VIEW - 1 - mot.SPRITE_MARGIN
    here = np.zeros(STREAM_FRAMES + 400, int)
    for visit in found:
        here[visit.first : visit.first + len(visit.centre)] += 1
        assert (visit.centre >= mot.SPRITE_MARGIN).all() and (visit.centre <= last).all()
        start = visit.centre[0]
        assert (start == mot.SPRITE_MARGIN).any() or (start == last).any(), "it appears near a side"
        if len(visit.centre) > 9:
            speed = np.linalg.norm(visit.centre[9] - start) / 9
            assert speed == pytest.approx(mot.SPEED, abs=0.2)
    assert here.max() == mot.PLACES and here[:6].max() == 0 and (here[:STREAM_FRAMES] == 0).any()
    # The published test sequences have about 980 to 1,000 objects.
    assert 950 < len(found) < 1040
    for place in range(mot.PLACES):
        own = [visit for visit in found if visit.place == place]
        gaps = [after.first - before.first - len(before.centre) for before, after in zip(own, own[1:], strict=False)]
        assert min(gaps) == mot.EMPTY + 2 and np.mean(gaps) == pytest.approx(mot.EMPTY + 3, abs=0.3)


def test_sizes_of_sprites_are_as_published() -> None:
    drawn = [mot.sprite(looks) for looks in np.random.default_rng(0).random((400, mot.LOOKS))]
    height, width = np.array([each.opacity.shape for each in drawn]).T
    side, ratio = np.sqrt(height * width), height / width
    assert side.min() > 0.86 * 21 and side.max() < 1.14 * 21 and side.mean() == pytest.approx(21, abs=0.3)
    assert ratio.min() > 0.75 and ratio.max() < 1.28
    assert len({tuple(each.colour) for each in drawn}) == 6
    assert all(each.opacity.max() == 1 for each in drawn)


def test_digits_add_up_and_have_boxes_of_their_whole_picture() -> None:
    batch = videos("mnist-mot", split="test").batch(2, 6)
    boxes = np.concatenate([np.stack([truth.width, truth.height]) for truth in batch.truth], 1)
    assert (boxes == 14).all()
    assert (batch.frames[:, :, 0] == batch.frames[:, :, 2]).all(), "digits are grey"


def test_training_videos_come_again() -> None:
    stream = videos("sprites-mot", repeat=3)
    assert np.array_equal(stream.batch(2, 2).frames[1], stream.batch(0, 1).frames[0])


def test_the_next_stream_begins_with_an_empty_view() -> None:
    per_stream = STREAM_FRAMES // 10
    stream = videos("sprites-mot")
    assert (stream.batch(per_stream, 1, frames=5).masks == -1).all()
    assert not np.array_equal(stream.batch(per_stream + 1, 1).frames, stream.batch(1, 1).frames)


def test_sprites_of_multi_dsprites_differ_in_size_and_stay_inside() -> None:
    batch = videos("multi-dsprites").batch(0, 30)
    sizes = np.concatenate([truth.size for truth in batch.truth])
    assert sizes.min() < 6 and sizes.max() > 16
    assert {len(np.unique(truth.identity)) for truth in batch.truth} == {1, 2, 3, 4}
    assert min(truth.share.min() for truth in batch.truth) == 1


def test_balls_of_a_layer_do_not_overlap_and_keep_their_speed() -> None:
    truth = videos("balls", frames=60).batch(0, 1).truth[0]
    place = np.stack([truth.x, truth.y], -1).reshape(60, 16, 2)
    for layer in (place[:, :8], place[:, 8:]):
        apart = np.linalg.norm(layer[:, :, None] - layer[:, None], axis=-1)[:, ~np.eye(8, dtype=bool)]
        assert apart.min() > 9
    speed = np.linalg.norm(np.diff(place, axis=0), axis=-1)
    energy = (speed**2).mean(1)
    assert energy.min() > 0.6 * energy.max(), (
        "a collision changes directions; a frame in which one happens looks slower"
    )
    assert truth.visible.min() < 0.5, "balls of one layer hide those of the other"


def test_the_front_hides_the_back() -> None:
    opacity = np.zeros((2, 1, 4, 4), np.float32)
    opacity[0, 0, :, :3], opacity[1, 0, :, 2:] = 1, 1
    colour = np.eye(3, dtype=np.float32)[:2]
    box, here, ink = np.ones((2, 1, 4)), np.ones((2, 1), bool), opacity.sum((2, 3))
    for adds, seen, mixed in ((False, 8 / 12, (0, 255, 0)), (True, 1.0, (255, 255, 0))):
        layers = Layers(np.array([7, 3]), opacity, colour, box, here, ink, np.zeros(3, np.float32), adds)
        video = composed(layers)
        assert tuple(video.frames[0, :, 0, 2]) == mixed
        assert video.truth.identity.tolist() == [3, 7] and video.truth.visible.tolist() == pytest.approx([1, seen])
        assert video.masks[0, 0].tolist()[:2] == [7, 7] and video.masks[0, 0, 3] == 3


def test_whole_digits_are_those_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(1, 255, (4, 28, 28), dtype=np.uint8)
    arrays = {f"x_{split}": images for split in ("train", "test")} | {
        f"y_{split}": np.arange(4) for split in ("train", "test")
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    stream = PublicVideos(PublicData("mnist-mot", digits="mnist"), 0, "test", tmp_path / "mnist.npz")
    assert stream.bank is not None and np.allclose(stream.bank, images / 255, atol=1e-6)


def test_what_no_video_can_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="benchmark: expected"):
        PublicData("clevr")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="frames: expected"):
        PublicData("sprites-mot", frames=STREAM_FRAMES + 1)
    with pytest.raises(ValueError, match="start: expected"):
        videos("sprites-mot").batch(-1, 1)
    with pytest.raises(ValueError, match="split: expected"):
        videos("sprites-mot", split="validation")
