"""Scores of masks: worked by hand, and what must not change them."""

import math
from dataclasses import asdict, astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.masks import MaskProtocol, MaskScorer, MaskScores, mask_table

Labels = NDArray[np.int64]


def square(frames: int = 10, side: int = 4, label: int = 1, left: int = 0, top: int = 0) -> Labels:
    """A square in a view of 12 × 16 px, the same in all frames."""
    labels = np.zeros((frames, 12, 16), np.int64)
    labels[:, top : top + side, left : left + side] = label
    return labels


def scored(*videos: tuple[Labels, Labels], protocol: MaskProtocol | None = None) -> MaskScores:
    """Of pairs of reported and true masks."""
    scorer = MaskScorer(protocol)
    for reported, true in videos:
        scorer.add(reported, true)
    return scorer.total()


def test_a_perfect_report_is_perfect() -> None:
    scores = scored((square(label=9), square()))
    assert astuple(scores)[:8] == (1, 1, 1, 1, 1, 0, 0, 0)
    assert (scores.objects, scores.identities) == (8, 1), "frames 0 and 1 are not scored"


def test_a_case_worked_by_hand() -> None:
    """Two true squares in frames 2 to 9, 16 masks in all.

    The first is found throughout, by another identity from frame 6 on: 7 matches and one switch. Of the second, 9 of 16
    pixels are found in frames 2 to 8 (IoU 9 / 16), and 4 of 16 in frame 9 (too few for a mask: a miss). A third report
    has no object, for five frames.
    """
    true = square() + square(label=2, left=8)
    reported = square(label=3)
    reported[6:] *= 2
    reported[:9] += square(9, side=3, label=7, left=8)
    reported[9:] += square(1, side=2, label=7, left=8)
    reported[:7] += square(7, side=3, label=8, top=8)
    scores = scored((reported, true))
    assert scores.match == 14 / 16 and scores.switch == 1 / 16 and scores.miss == 1 / 16
    assert scores.false_alarm == 5 / 16
    assert scores.mota == pytest.approx(1 - 7 / 16)
    assert scores.motp == pytest.approx((8 * 1 + 7 * 9 / 16) / 15)
    # Both are found in at least 80 % of 8 frames, and both without a switch in 7 of them.
    assert scores.mostly_detected == 1 and scores.mostly_tracked == 1


def test_switches_count_against_mostly_tracked_but_not_against_mostly_detected() -> None:
    reported = square()
    for t in range(2, 10, 2):
        reported[t] *= 5
    scores = scored((reported, square()))
    assert scores.switch == 7 / 8 and scores.mostly_detected == 1 and scores.mostly_tracked == 0


def test_an_earlier_match_is_kept_while_it_is_allowed() -> None:
    """As in CLEAR MOT: a better overlap does not take an object from the identity that had it."""
    true, reported = square(side=6), square(side=6)
    reported[5:, :2] = 2  # now 24 of 36 pixels are still of identity 1
    assert scored((reported, true)).switch == 0


def test_identities_hold_within_a_video() -> None:
    """The same object under another name in another video is no switch, and the same name is no match."""
    assert scored((square(label=1), square(label=1)), (square(label=2), square(label=1))).switch == 0
    assert scored((square(label=1), square(label=1)), (square(label=1), square(label=2))).identities == 2


def test_small_masks_are_left_out() -> None:
    five, six = square(side=2), square(side=2)
    five[:, 2, 0] = 1
    six[:, 2, :2] = 1
    assert scored((five * 0, five)).objects == 0 and scored((six * 0, six)).objects == 8
    assert scored((five, six)).miss == 1 and scored((five, six)).false_alarm == 0


def test_half_an_overlap_is_enough() -> None:
    true, half = square(side=4), square(side=4)
    half[:, 2:] = 0
    assert scored((half, true)).match == 1 and scored((half, true)).motp == 0.5
    half[:, 1, 0] = 0
    assert scored((half, true)).match == 0


def test_without_anything_to_count_scores_are_nan() -> None:
    nothing = square() * 0
    for scores in (scored(), scored((nothing, nothing))):
        assert scores.objects == 0 and math.isnan(scores.mota) and math.isnan(scores.motp)


@given(
    arrays.arrays(np.int64, (2, 3, 4, 5), elements=st.integers(0, 3)),
    st.permutations([1, 2, 3]),
    st.sampled_from([1, 2**20]),
)
def test_scores_do_not_depend_on_the_numbers_of_identities(pair: Labels, order: list[int], factor: int) -> None:
    every = MaskProtocol(first=0, most_dropped=0)
    names = np.array([0, *order]) * factor
    scores = scored(tuple(pair), protocol=every)  # type: ignore[arg-type]
    again = scored((names[pair[0]], pair[1]), protocol=every)
    np.testing.assert_equal(asdict(again)["miss"], asdict(scores)["miss"])
    np.testing.assert_allclose(scores.match + scores.miss + scores.switch, 1 if scores.objects else np.nan)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reported: expected masks \(10, 12, 16\), as the true ones, got \(9,"):
        MaskScorer().add(square(9), square())
    with pytest.raises(ValueError, match="true: expected masks"):
        MaskScorer().add(square(), square() - 1)
    for wrong in ({"iou": 0.0}, {"first": -1}, {"last": 1}):
        with pytest.raises(ConfigError):
            MaskProtocol(**wrong)  # type: ignore[arg-type]


def test_the_table_has_percent() -> None:
    scores = {f"mask_{name}": value for name, value in asdict(scored((square(), square()))).items()}
    lines = mask_table({"online": scores, "nothing": dict.fromkeys(scores, math.nan)}).splitlines()
    assert lines[0].split() == ["MOTA", "MOTP", "MD", "MT", "match", "miss", "switches", "FP"]
    assert lines[1].split() == ["online", "100.0", "100.0", "100.0", "100.0", "100.0", "0.0", "0.0", "0.0"]
    assert lines[2].split() == ["nothing", *"--------"]
