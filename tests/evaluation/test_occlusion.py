"""Identities through occlusion: what counts as one, and whose identity is kept."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.config import PublicData
from scalor_pyro.data.public import BoxTruth, PublicVideos
from scalor_pyro.evaluation.occlusion import Occlusion, OcclusionScorer, occlusions
from scalor_pyro.experiments.public_scores import tracks_of_truth
from scalor_pyro.tracks.table import Tracks

SIZE = 10.0


def one_object(visible: list[float]) -> BoxTruth:
    """An object that moves by 1 px a frame, and how much of it is seen."""
    count = len(visible)
    time, one = np.arange(count), np.ones(count)
    return BoxTruth(
        time, 0 * time, 20.0 + time, 20 * one, SIZE * one, one, SIZE * one, SIZE * one, np.array(visible, np.float64)
    )


def named(truth: BoxTruth, names: list[int], off: float = 0.0) -> Tracks:
    """Tracks that are right but for their identities; below 0: nothing is found."""
    found = tracks_of_truth(truth).rows(np.array(names) >= 0)
    return replace(found, identity=np.array([name for name in names if name >= 0]), x=found.x + off)


def test_an_occlusion_goes_from_one_good_look_to_the_next() -> None:
    truth = one_object([1, 0.8, 0.5, 0.2, 0, 0.6, 0.75, 0.1, 1])
    assert list(occlusions(truth)) == [Occlusion(0, 1, 6), Occlusion(0, 6, 8)]
    assert list(occlusions(one_object([1, 0.3, 1]))) == [], "half hidden is not hidden"
    assert list(occlusions(one_object([0, 1, 0, 0]))) == [], "before the first good look, and after the last one"


@pytest.mark.parametrize(
    ("names", "off", "followed", "found", "kept"),
    [
        ([4, 4, 4], 0.0, 1, 1, 1),
        ([4, -1, 4], 0.0, 1, 1, 1),
        ([4, 4, 5], 0.0, 1, 1, 0),
        ([4, 4, -1], 0.0, 1, 0, 0),
        ([-1, 4, 4], 0.0, 0, None, None),
        ([4, 4, 4], 0.6 * SIZE, 0, None, None),
    ],
)
def test_the_identity_afterwards_is_what_counts(
    names: list[int], off: float, followed: int, found: int | None, kept: int | None
) -> None:
    truth, scorer = one_object([1, 0, 1]), OcclusionScorer()
    scorer.add(named(truth, names, off), truth)
    total = scorer.total()
    assert (total.occlusions, total.frames, total.followed) == (1, 2, followed)
    for value, wanted in ((total.found, found), (total.kept, kept)):
        assert np.isnan(value) if wanted is None else value == wanted


@given(st.integers(0, 50))
@settings(max_examples=5, deadline=None)
def test_the_truth_keeps_every_identity(index: int) -> None:
    truth = PublicVideos(PublicData("balls", frames=30)).video(index, 30).truth
    scorer = OcclusionScorer()
    scorer.add(tracks_of_truth(truth), truth)
    total = scorer.total()
    assert total.occlusions == 0 or total.followed == total.found == total.kept == 1
