"""Identities through crossings: what counts as one, and whose identities are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.data.truth import GroundTruth
from scalor_pyro.evaluation.crossings import Crossing, CrossingScorer, crossings
from scalor_pyro.tracks.table import Tracks
from tests.fakes import make_tracks

SIZE = 10.0
# Two objects that pass through each other: 20 px apart, 10, 0, 10, 20.
PASSING = [[0.0, 5.0, 10.0, 15.0, 20.0], [20.0, 15.0, 10.0, 5.0, 0.0]]


def truth_of(paths: list[list[float]], share: float = 1.0) -> GroundTruth:
    """Objects that move along a line."""
    count, time = len(paths), len(paths[0])
    frame, identity = np.repeat(np.arange(time), count), np.tile(np.arange(count), time)
    x, one = np.array(paths).T.ravel(), np.ones(count * time)
    return GroundTruth(frame, identity, x, 30 * one, SIZE * one, share * one)


def found(paths: list[list[float]], names: list[tuple[int, int]]) -> Tracks:
    """Tracks that are right but for their identities in each frame; below 0: nothing is found."""
    rows = [
        (frame, name, paths[which][frame], 30.0)
        for frame, both in enumerate(names)
        for which, name in enumerate(both)
        if name >= 0
    ]
    return make_tracks(rows)


def test_a_crossing_goes_from_apart_to_apart() -> None:
    assert list(crossings(truth_of(PASSING))) == [Crossing((0, 1), 1, 3)]
    assert list(crossings(truth_of([[0, 0, 0], [20, 6, 20]]))) == [], "nearer than a size is not met"
    assert list(crossings(truth_of([[0, 0, 0], [2, 6, 20]]))) == [], "never seen apart before"
    assert list(crossings(truth_of(PASSING, share=0.2))) == [], "out of view"


@pytest.mark.parametrize(
    "after, kept, swapped",
    [((0, 1), 1, 0), ((1, 0), 0, 1), ((0, 2), 0, 0), ((1, 2), 0, 1), ((0, -1), 0, 0)],
)
def test_both_have_to_keep_their_identities(after: tuple[int, int], kept: float, swapped: float) -> None:
    scorer = CrossingScorer()
    scorer.add(found(PASSING, [(0, 1), (0, 1), (0, -1), after, after]), truth_of(PASSING))
    total = scorer.total()
    assert (total.crossings, total.followed, total.kept, total.swapped) == (1, 1, kept, swapped)


def test_what_was_not_followed_before_is_not_judged() -> None:
    scorer = CrossingScorer()
    scorer.add(found(PASSING, [(0, -1)] * 3 + [(0, 1)] * 2), truth_of(PASSING))
    assert scorer.total().followed == 0 and np.isnan(scorer.total().kept)


@given(st.lists(st.integers(-40, 40), min_size=2, max_size=12), st.permutations(range(2)))
def test_names_do_not_matter(distances: list[int], names: list[int]) -> None:
    paths = [[0.0] * len(distances), [float(each) for each in distances]]
    scorer = CrossingScorer()
    scorer.add(found(paths, [(names[0], names[1])] * len(distances)), truth_of(paths))
    total = scorer.total()
    assert total.crossings == len(list(crossings(truth_of(paths))))
    assert total.crossings == 0 or (total.kept, total.swapped) == (1, 0)
