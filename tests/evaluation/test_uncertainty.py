"""How sure tracks are, against samples whose spread and identities are known."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyro
import pytest
import torch
from torch import Tensor

from scalor_pyro.evaluation.uncertainty import Comparison, Sampled, TrackUncertainty, uncertainty
from scalor_pyro.inference.posterior import infer
from scalor_pyro.layers.networks import SMALLEST_SCALE
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.table import Tracks, tracks_of
from tests.fakes import make_tracks

Row = tuple[float, float, float, float]  # frame, identity, x, y


def sampled(rows: list[Row], side: float = 10.0) -> Sampled:
    tracks = make_tracks(rows, side)
    return Sampled(tracks.frame, tracks.identity, np.stack([tracks.x, tracks.y, tracks.width, tracks.height], 1))


def compared(tracks: Tracks, *samples: list[Row], reach: float = 5.0) -> TrackUncertainty:
    comparison = Comparison(tracks, reach)
    for rows in samples:
        comparison.add(sampled(rows))
    return comparison.result()


MODE = [(0, 0, 10, 10), (0, 1, 40, 20), (1, 0, 12, 10), (1, 1, 38, 20), (2, 0, 14, 10)]


def test_samples_like_the_mode_are_sure() -> None:
    found = compared(make_tracks(MODE), MODE, MODE)
    assert found.samples == 2
    assert found.there.tolist() == found.one_thing.tolist() == [1, 1, 1, 1, 1]
    for name in ("spread_x", "spread_y", "spread_width", "spread_height"):
        assert getattr(found, name).tolist() == [0, 0, 0, 0, 0]


def test_share_of_samples_that_have_the_object() -> None:
    without = [row for row in MODE if row[1] == 0]
    found = compared(make_tracks(MODE), MODE, without, without, [])
    assert found.there.tolist() == [0.75, 0.25, 0.75, 0.25, 0.75]
    assert found.one_thing.tolist() == [0.75, 0.25, 0.75, 0.25, 0.75]


def test_spread_is_the_standard_deviation_over_the_samples_that_have_it() -> None:
    generator = np.random.default_rng(3)
    moved = generator.normal(0, [1.0, 0.3], (40, 2))
    sides = 10 + generator.normal(0, 0.5, 40)
    comparison = Comparison(make_tracks([(4, 7, 20, 30)]), reach=6)
    for (x, y), side in zip(moved, sides, strict=True):
        comparison.add(sampled([(4, 0, 21 + x, 30 + y)], side))
        comparison.add(sampled([(4, 0, 28, 30)]))  # another object
    found = comparison.result()
    assert found.there.tolist() == [0.5]
    np.testing.assert_allclose([found.spread_x[0], found.spread_y[0]], moved.std(0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose([found.spread_width[0], found.spread_height[0]], sides.std(ddof=1), rtol=1e-9)


def test_one_sample_has_no_spread() -> None:
    found = compared(make_tracks(MODE), MODE, MODE[:1])
    assert found.spread_x[0] == 0 and np.isnan(found.spread_x[1:]).all()


@pytest.mark.parametrize(("distance", "there"), [(4.9, 1), (5.1, 0)])
def test_an_object_farther_than_the_reach_is_another(distance: float, there: int) -> None:
    assert compared(make_tracks([(0, 0, 10, 10)]), [(0, 0, 10, 10 + distance)]).there.tolist() == [there]


def test_an_object_is_matched_once() -> None:
    twins = make_tracks([(0, 0, 10, 10), (0, 1, 12, 10)])
    found = compared(twins, [(0, 5, 11.9, 10)])
    assert found.there.tolist() == [0, 1], "the nearer one has it"
    assert compared(twins, [(0, 5, 11.9, 10), (0, 6, 14, 10)]).there.tolist() == [1, 1], "as many as can be"


def test_one_thing_throughout() -> None:
    tracks = make_tracks([(t, 0, 10 + t, 10) for t in range(4)] + [(t, 1, 40, 20) for t in range(2, 4)])
    renamed = [(t, 8, 10 + t, 10) for t in range(4)]
    broken = [(t, 8 if t < 2 else 9, 10 + t, 10) for t in range(4)]
    gap = [(t, 8, 10 + t, 10) for t in (0, 1, 3)]
    other = [(t, 3, 40, 20) for t in range(2, 4)]
    found = compared(tracks, [*renamed, *other], [*broken, *other], gap, renamed + other[:1])
    assert found.one_thing.tolist() == [0.5] * 4 + [0.5] * 2
    assert found.there.tolist() == [1, 1, 0.75, 1, 0.75, 0.5]


def test_objects_that_pass_each_other_keep_their_names() -> None:
    tracks = make_tracks([(t, k, 20 + (1 - 2 * k) * (2 * t - 4), 10) for t in range(5) for k in range(2)])
    # The sample's boxes lag behind: where they meet, each is nearer to the other's track.
    late = [(t, k + 4, 20 + (1 - 2 * k) * (2 * t - 7), 10) for t in range(5) for k in range(2)]
    assert compared(tracks, late).one_thing.tolist() == [1] * 10


def test_a_video_without_objects() -> None:
    found = compared(make_tracks([]), MODE, [])
    assert len(found.there) == len(found.spread_x) == len(found.one_thing) == 0


# ---------------------------------------------------------------------- SCALOR


@pytest.fixture
def half_sure(make_scalor: Callable[..., Scalor]) -> Scalor:
    """Every cell holds an object with log-odds of 0.6, its box known to the smallest scale."""
    scalor = make_scalor(
        background="none", slots=12, first_shortlist=0, shortlist=0, rejection=False, cell_reach=0.1, object_size=4.0
    )
    with torch.no_grad():
        for parameters in (scalor.discovery_posterior.presence_head, scalor.discovery_posterior.head[-1]):
            parameters.weight.zero_()
            parameters.bias.zero_()
        scalor.discovery_posterior.presence_head.bias.fill_(0.6)
        scalor.discovery_posterior.head[-1].bias[4:8] = -20
    return scalor


def test_presence_and_spread_are_those_of_the_guide(half_sure: Scalor, videos: Tensor) -> None:
    pyro.set_rng_seed(1)
    results = uncertainty(half_sure, videos[:, :1], samples=60)
    assert [len(found.tracks) for found in results] == [12, 12]
    there = np.concatenate([found.there for found in results])
    # 24 objects in 60 samples: the standard deviation of the mean is 0.013.
    assert there.mean() == pytest.approx(torch.tensor(0.6).sigmoid().item(), abs=0.05)
    reach = 0.1 * np.array([48 / 3, 32 / 4])  # px for a raw offset of 1, where tanh is straight
    for found in results:
        spread = np.array([found.spread_x.mean(), found.spread_y.mean()])
        np.testing.assert_allclose(spread, SMALLEST_SCALE * reach, rtol=0.2)
        np.testing.assert_array_equal(found.one_thing, found.there)


def test_rows_are_those_of_the_mode(half_sure: Scalor, videos: Tensor) -> None:
    pyro.set_rng_seed(1)
    random = torch.get_rng_state()
    results = uncertainty(half_sure, videos, samples=3)
    torch.set_rng_state(random)
    for found, again, tracks in zip(
        results, uncertainty(half_sure, videos, samples=3), tracks_of(infer(half_sure, videos), (32, 48)), strict=True
    ):
        np.testing.assert_array_equal(found.tracks.identity, tracks.identity)
        np.testing.assert_array_equal(found.tracks.x, tracks.x)
        for field in dataclasses.fields(found):
            if field.name not in ("tracks", "samples"):
                values = getattr(found, field.name)
                assert values.shape == (len(tracks),)
                np.testing.assert_array_equal(values, getattr(again, field.name))
        for share in (found.there, found.one_thing):
            assert ((share >= 0) & (share <= 1)).all()
        assert (found.one_thing <= found.there).all()


def test_refuses_no_sample_and_what_is_no_video(half_sure: Scalor, videos: Tensor) -> None:
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        uncertainty(half_sure, videos, samples=0)
    with pytest.raises(ValueError, match="Videos"):
        uncertainty(half_sure, videos[0])
