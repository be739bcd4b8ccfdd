"""Scores against a MOTChallenge truth: by hand, by laws, and as another package has them."""

import math
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scalor_pyro.config import ConfigError
from scalor_pyro.data import GroundTruth
from scalor_pyro.evaluation import metrics
from scalor_pyro.evaluation.hota import Similar, trackeval_data
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer, frames_of, iou
from scalor_pyro.tracks.table import Tracks
from tests.fakes import make_tracks

HAS_TRACKEVAL = find_spec("trackeval") is not None

BOX = (50.0, 40.0, 10.0, 20.0)  # centre x, centre y, width, height

BOXES = st.tuples(*[st.floats(-20, 20)] * 2, *[st.floats(0.5, 30)] * 2)


def boxed(rows: list[tuple[float, ...]]) -> Tracks:
    """Tracks from rows of (frame, identity, x, y, width, height, flag)."""
    frame, identity, *numbers = np.array(rows, dtype=np.float64).reshape(-1, 7).T
    return Tracks(frame.astype(np.int64), identity.astype(np.int64), *numbers, np.full(len(frame), np.nan))


def still(frames: int, identity: int = 0, box: tuple[float, ...] = BOX, flag: float = 1.0) -> list[tuple[float, ...]]:
    return [(t, identity, *box, flag) for t in range(frames)]


def shifted(x: float = 0.0, y: float = 0.0) -> tuple[float, ...]:
    return BOX[0] + x, BOX[1] + y, *BOX[2:]


def score(tracks: list[tuple[float, ...]], truth: list[tuple[float, ...]], **matching: Any) -> dict[str, float]:
    scorer = Scorer(Matching(**matching))
    scorer.add("video", boxed(tracks), boxed(truth))
    return scorer.total()


def scattered(seed: int, objects: int = 6, frames: int = 12, side: float = 400.0) -> tuple[Tracks, Tracks]:
    """Reports that are off, missing, invented, exchanged and renamed, and their truth; objects are far apart."""
    generator = np.random.default_rng(seed)
    start, speed = generator.uniform(0, side, (objects, 2)), generator.normal(0, 3, (objects, 2))
    size = generator.uniform(8, 14, (objects, 2))
    names, truth, reports = np.arange(objects), [], []
    for t in range(frames):
        if generator.uniform() < 0.3:
            names = generator.permutation(names)
        if generator.uniform() < 0.2:
            names[generator.integers(objects)] = names.max() + 1
        for i, centre in enumerate(start + t * speed):
            if generator.uniform() < 0.95:
                truth.append((t, i, *centre, *size[i], 1))
            if generator.uniform() < 0.85:
                off = generator.normal(0, 1.5, 2)
                reports.append((t, names[i], *(centre + off), *(size[i] * generator.uniform(0.8, 1.2, 2)), 1))
        reports += [
            (t, 500 + 10 * t + k, *generator.uniform(0, side, 2), 10, 10, 1) for k in range(generator.poisson(0.4))
        ]
    return boxed(reports), boxed(truth)


# ------------------------------------------------------------------ overlap


def test_overlap_by_hand() -> None:
    boxes = np.array([BOX, shifted(x=5), shifted(y=20), (50, 40, 0, 0), (50, 40, 5, 10)])
    np.testing.assert_allclose(iou(np.array([BOX]), boxes), [[1, 1 / 3, 0, 0, 1 / 4]], atol=1e-12)
    assert iou(boxes[3:4], boxes[3:4]) == 0 and iou(boxes[:0], boxes).shape == (0, 5)


@given(BOXES, BOXES, st.floats(-50, 50), st.floats(0.2, 5))
def test_overlap_is_symmetric_and_knows_neither_place_nor_scale(
    one: tuple[float, ...], other: tuple[float, ...], shift: float, scale: float
) -> None:
    a, b = np.array([one]), np.array([other])
    share = iou(a, b)
    assert 0 <= share <= 1 + 1e-12
    move = np.array([shift, -shift, 0, 0])
    for same in (iou(b, a), iou(a + move, b + move), iou(scale * a, scale * b)):
        np.testing.assert_allclose(same, share, atol=1e-9)
    np.testing.assert_allclose(iou(a, a), 1)


# ------------------------------------------------------------------ scores


def test_every_count_by_hand() -> None:
    # Four objects over ten frames. The first is found by identity 5, then 6: a switch. The second is lost in frames 3
    # and 4: a fragmentation. The third is found in one frame, the last never. One report is of nothing.
    places = [shifted(x=100 * i) for i in range(4)]
    truth = [row for i, box in enumerate(places) for row in still(10, i, box)]
    tracks = [(t, 5 + (t >= 4), *places[0], 1) for t in range(10)]
    tracks += [(t, 7, *places[1], 1) for t in range(10) if t not in (3, 4)]
    tracks += [(0, 8, *places[2], 1), (2, 9, *shifted(y=100), 1)]
    scores = score(tracks, truth)
    assert (scores["switches"], scores["misses"], scores["false_alarms"]) == (1, 2 + 9 + 10, 1)
    assert scores["mota"] == pytest.approx(1 - 23 / 40)
    assert scores["recall"] == pytest.approx(19 / 40) and scores["precision"] == pytest.approx(19 / 20)
    assert scores["idf1"] == pytest.approx(2 * (6 + 8 + 1) / (40 + 20))
    assert (scores["identities"], scores["mostly_tracked"]) == (4, 2)
    assert (scores["partly_tracked"], scores["mostly_lost"], scores["fragmentations"]) == (0, 2, 1)
    assert (scores["objects"], scores["reports"], scores["motp"]) == (40, 20, 1)


def test_at_the_threshold_is_a_match() -> None:
    half = [(0, 0, 52.5, 40, 5, 20, 1)]  # half of the box: IoU 0.5
    assert score(half, still(1))["recall"] == 1
    assert score(half, still(1))["motp"] == pytest.approx(0.5)
    assert score(half, still(1), threshold=0.51)["recall"] == 0
    for by, reach in (("distance", 5.0), ("sizes", 5 / math.sqrt(200))):
        near = [(0, 0, *shifted(x=3, y=4), 1)]
        assert score(near, still(1), by=by, threshold=reach)["motp"] == pytest.approx(reach)
        assert score(near, still(1), by=by, threshold=0.99 * reach)["recall"] == 0


def test_rows_with_flag_0_neither_help_nor_hurt() -> None:
    truth = still(3) + still(3, 1, shifted(x=100), flag=0)
    perfect = score(still(3), still(3))
    assert score(still(3), truth) == perfect
    assert score(still(3) + still(3, 1, shifted(x=101)), truth) == perfect  # what is found there is dropped
    assert score(still(3) + still(3, 1, shifted(x=130)), truth)["false_alarms"] == 3
    crossing = still(1) + still(1, 1, shifted(x=2), flag=0)
    assert score(still(1, 7), crossing)["misses"] == 0  # nearest to what counts


def test_scores_of_several_sequences_are_ratios_of_sums() -> None:
    scorer = Scorer(Matching())
    scorer.add("good", boxed(still(9, 3)), boxed(still(9)))
    scorer.add("bad", boxed(still(1, 0, shifted(x=50))), boxed(still(1)))
    sequences, total = scorer.sequences(), scorer.total()
    assert [scores["recall"] for scores in sequences.values()] == [1, 0]
    assert total["recall"] == total["idf1"] == total["precision"] == 0.9
    assert total["mota"] == pytest.approx(1 - 2 / 10)
    assert (total["mostly_tracked"], total["identities"], total["motp"]) == (1, 2, 1)


def test_nothing_found_and_nothing_to_find() -> None:
    blind = score([], still(2))
    assert (blind["recall"], blind["mota"], blind["mostly_lost"]) == (0, 0, 1) and math.isnan(blind["motp"])
    dreaming = score(still(2), [])
    assert dreaming["false_alarms"] == 2 and math.isnan(dreaming["mota"])


@given(st.integers(0, 10_000), st.sampled_from(["iou", "distance"]))
def test_neither_names_nor_the_order_of_rows_matter(seed: int, by: str) -> None:
    tracks, truth = scattered(seed)
    generator = np.random.default_rng(seed)
    names = generator.permutation(1000)
    renamed = tracks.rows(generator.permutation(len(tracks)))
    renamed.identity[:] = names[renamed.identity]
    results = []
    for reports, objects in ((tracks, truth), (renamed, truth.rows(generator.permutation(len(truth))))):
        scorer = Scorer(Matching(by))  # type: ignore[arg-type]
        scorer.add("video", reports, objects)
        results.append(scorer.total())
    assert results[0] == pytest.approx(results[1], nan_ok=True)


@pytest.mark.parametrize(
    ("matching", "complaint"),
    [
        ({"by": "area"}, "match: expected iou, distance or sizes, got 'area'"),
        ({"threshold": 1.5}, "threshold: expected an IoU above 0 and up to 1, got 1.5"),
        ({"by": "distance", "threshold": 0.0}, "threshold: expected a distance above 0, got 0.0"),
        ({"by": "sizes", "threshold": math.nan}, "threshold: expected a distance above 0, got nan"),
    ],
)
def test_a_matching_that_there_is_not_is_refused(matching: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Matching(**matching)


# ------------------------------------------------------------------ trackeval


def trackeval_metrics() -> Any:
    return pytest.importorskip(
        "trackeval.metrics", reason="trackeval is not installed: pip install 'scalor_pyro[hota]'"
    )


@given(st.integers(0, 10_000), st.sampled_from([("iou", 0.5), ("iou", 0.7), ("distance", 4.0), ("sizes", 0.3)]))
def test_trackeval_counts_the_same(seed: int, measure: tuple[Any, float]) -> None:
    metrics = trackeval_metrics()
    (tracks, truth), matching = scattered(seed), Matching(*measure)
    scorer = Scorer(matching)
    scorer.add("video", tracks, truth)
    ours = scorer.total()
    frames = [Similar(a, b, matching.similarity(costs)) for a, b, costs in frames_of(tracks, truth, matching)]
    settings = {"THRESHOLD": measure[1] if measure[0] == "iou" else 0.5, "PRINT_CONFIG": False}
    clear = metrics.CLEAR(settings).eval_sequence(trackeval_data(frames))
    identity = metrics.Identity(settings).eval_sequence(trackeval_data(frames))
    for name, theirs in {
        "mota": clear["MOTA"],
        "misses": clear["CLR_FN"],
        "false_alarms": clear["CLR_FP"],
        "switches": clear["IDSW"],
        "precision": clear["CLR_Pr"],
        "recall": clear["CLR_Re"],
        "mostly_lost": clear["ML"],
        "idf1": identity["IDF1"],
    }.items():
        assert ours[name] == pytest.approx(float(theirs), abs=1e-9), name
    if measure[0] == "iou":
        assert ours["motp"] == pytest.approx(float(clear["MOTP"]))


def test_hota_by_hand() -> None:
    trackeval_metrics()
    scorer = Scorer(Matching(), hota=True)
    scorer.add("perfect", boxed(still(4, 9)), boxed(still(4)))
    scorer.add("renamed", boxed([*still(4, 1)[:2], *still(4, 2)[2:]]), boxed(still(4)))
    scorer.add("half", boxed(still(2)), boxed(still(4)))
    scorer.add("blind", boxed([]), boxed(still(4)))
    scores = scorer.sequences()
    expected = {
        "perfect": (1, 1, 1),
        "renamed": (math.sqrt(0.5), 1, 0.5),
        "half": (0.5, 0.5, 0.5),  # a track of 2 of 4 frames: half found, half of it the same thing
        "blind": (0, 0, 0),
    }
    for name, (hota, detection, association) in expected.items():
        figures = [scores[name][key] for key in ("hota", "deta", "assa")]
        assert figures == pytest.approx([hota, detection, association]), name
    assert scorer.total()["deta"] == pytest.approx(10 / 16)


def test_hota_of_distances_falls_with_the_distance() -> None:
    trackeval_metrics()
    figures = []
    for distance in (0.0, 2.0, 4.0, 8.0):
        scorer = Scorer(Matching("distance", 4.0), hota=True)
        scorer.add("video", boxed(still(3, 0, shifted(x=distance))), boxed(still(3)))
        figures.append(scorer.total()["hota"])
    assert figures == pytest.approx([1, 15 / 19, 10 / 19, 0])  # similarities 1, 0.75, 0.5, 0


def test_without_trackeval_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "trackeval.metrics", None)
    monkeypatch.setitem(sys.modules, "trackeval", None)
    with pytest.raises(
        ConfigError, match=r"HOTA needs trackeval, which is not installed: pip install 'scalor_pyro\[hota\]'"
    ):
        Scorer(Matching(), hota=True)


ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 30), st.integers(0, 30)),
    unique_by=lambda row: row[:2],
    min_size=1,
    max_size=14,
)
NAMES = st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=4, unique=True)


@given(ROWS, ROWS, NAMES, NAMES)
@example(
    [(t, i, 20 * i, t) for t in range(4) for i in range(2)],
    [(t, i, 20 * i, t) for t in range(4) for i in range(2)],
    [2**53, 2**53 + 1, 0, 1],
    [2**63 - 1, 2**63 - 2, 0, 1],
)
def test_the_names_of_identities_do_not_matter(
    reported: list[tuple[int, ...]], true: list[tuple[int, ...]], names: list[int], true_names: list[int]
) -> None:
    tracks, truth = make_tracks(reported), make_tracks(true)
    renamed = replace(tracks, identity=np.array(names)[tracks.identity])
    renamed_truth = replace(truth, identity=np.array(true_names)[truth.identity])
    scores = []
    for each, other in ((tracks, truth), (renamed, renamed_truth)):
        scorer = Scorer(Matching("distance", 12.0), hota=HAS_TRACKEVAL)
        scorer.add("a", each, other)
        centres = GroundTruth(other.frame, other.identity, other.x, other.y, other.width, np.ones(len(other)))
        scores.append((scorer.total(), asdict(metrics.score([each], [centres]))))
    for mine, other in zip(*scores, strict=True):
        assert mine.keys() == other.keys()
        np.testing.assert_allclose(list(mine.values()), list(other.values()), rtol=1e-12)
