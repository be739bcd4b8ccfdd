"""Metrics: numbers that can be checked by hand, and laws that hold for any tracks."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.data import GroundTruth
from scalor_pyro.evaluation.metrics import (
    CARE_SHARE,
    Evaluation,
    Scores,
    hota,
    markdown,
    score,
    table,
    true_tracks,
    without_nan,
)
from scalor_pyro.tracks.table import Tracks
from tests.fakes import make_tracks, make_truth, moving_squares

SIZE = 10.0
KEYS = "mota mota_strict idf1 motp precision recall switches misses false_alarms count_mae"

# Objects of size 10 in 4 frames, their centres at least 15 px apart and not on a line: nothing ties.
PLACES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=6, unique=True)


def truth_at(places: list[tuple[int, int]], frames: int = 4) -> GroundTruth:
    return make_truth(
        [(t, i, 20 * x + t, 20 * y + 2 * t, SIZE, 1) for t in range(frames) for i, (x, y) in enumerate(places)]
    )


def tracks_from(truth: GroundTruth, noise: float = 0.0, drop: float = 0.0, seed: int = 0) -> Tracks:
    """The truth as tracks, some rows moved, some left out."""
    generator = np.random.default_rng(seed)
    keep = generator.uniform(size=len(truth.frame)) >= drop
    x, y = (values + generator.normal(0, noise, len(values)) for values in (truth.x, truth.y))
    return make_tracks([*zip(truth.frame[keep], truth.identity[keep], x[keep], y[keep], strict=True)])


def one_video(tracks: list[tuple[float, ...]], truth: list[tuple[float, ...]]) -> Scores:
    return score([make_tracks(tracks)], [make_truth(truth)])


def test_one_switch_one_miss_one_false_alarm_by_hand() -> None:
    # Two objects in four frames. The first is found by identity 5, 3 px off, from frame 2 on by identity 6: a switch.
    # The second is found exactly, but missed in frame 3. In frame 1 there is a false alarm 60 px away.
    truth = [(t, 0, 20, 20, SIZE, 1) for t in range(4)] + [(t, 1, 70, 20, SIZE, 1) for t in range(4)]
    tracks = [(0, 5, 23, 20), (1, 5, 23, 20), (2, 6, 23, 20), (3, 6, 23, 20)]
    tracks += [(t, 7, 70, 20) for t in range(3)] + [(1, 8, 20, 80)]
    result = one_video(tracks, truth)
    assert (result.switches, result.misses, result.false_alarms) == (1, 1, 1)
    assert result.mota == pytest.approx(1 - 3 / 8)
    assert result.mota_strict == pytest.approx(1 - 3 / 8)
    assert result.precision == pytest.approx(7 / 8)
    assert result.recall == pytest.approx(7 / 8)
    assert result.motp == pytest.approx(4 * 3 / 7)
    assert result.idf1 == pytest.approx(2 * (2 + 3) / (8 + 8))  # identity 5 (or 6) explains two frames, 7 three
    assert result.count_mae == pytest.approx((0 + 1 / 2 + 0 + 1 / 2) / 4)


def test_thresholds_are_two_sizes_and_half_a_size_of_the_object() -> None:
    truth = [(0, 0, 0, 0, 10, 1), (0, 1, 100, 0, 4, 1)]
    loose = one_video([(0, 0, 0, 20), (0, 1, 108, 0)], truth)
    assert (loose.recall, loose.mota, loose.mota_strict) == (1, 1, -1)
    assert one_video([(0, 0, 0, 20.1), (0, 1, 108.1, 0)], truth).recall == 0
    assert one_video([(0, 0, 0, 5), (0, 1, 102, 0)], truth).mota_strict == 1
    assert one_video([(0, 0, 0, 5.1), (0, 1, 102, 0)], truth).mota_strict == 0  # one miss, one false alarm


def test_hota_by_distance_in_sizes() -> None:
    """0.22 sizes off is a similarity of 0.78: enough for 15 of 19 thresholds. What is out of view does not count."""
    pytest.importorskip("trackeval", reason="trackeval is not installed: pip install 'scalor_pyro[hota]'")
    truth = make_truth([(t, i, 40 * i, 20, SIZE * (i + 1), 1 - i) for t in range(4) for i in range(2)])
    tracks = make_tracks([(t, 7, 0, 20 + 0.22 * SIZE) for t in range(4)])
    found = hota([tracks, tracks], [truth, truth])
    assert (found.hota, found.deta, found.assa) == pytest.approx((15 / 19,) * 3)
    assert hota([tracks_from(truth)], [truth]).hota == pytest.approx(1)


def test_objects_that_are_mostly_out_of_view_neither_help_nor_hurt() -> None:
    truth = [(0, 0, 30, 30, 10, 0.5), (0, 1, 0, 0, 10, 0.49)]
    perfect = one_video([(0, 0, 30, 30)], truth)
    assert (perfect.mota, perfect.recall, perfect.misses, perfect.count_mae) == (1, 1, 0, 0)
    assert one_video([(0, 0, 30, 30), (0, 1, 6, 8)], truth) == perfect  # one size away: dropped
    beyond = one_video([(0, 0, 30, 30), (0, 1, 6, 8.1)], truth)
    assert (beyond.false_alarms, beyond.count_mae) == (1, 1)
    nearer = one_video([(0, 0, 30, 30), (0, 1, 4, 4)], [*truth, (0, 2, 5, 5, 10, 1)])
    assert (nearer.misses, nearer.mota) == (0, 1)  # nearest to an object that counts: kept


def test_the_truth_as_tracks_is_all_found_and_says_what_counts() -> None:
    """As files of tracks have it: what is mostly out of view has presence 0."""
    truth = truth_at([(20, 20), (40, 40)])
    share = np.where(truth.identity == 0, CARE_SHARE, CARE_SHARE - 0.01)
    truth = replace(truth, share=share)
    tracks = true_tracks(truth)
    assert (score([tracks], [truth]).mota, score([tracks], [truth]).mota_strict) == (1, 1)
    np.testing.assert_array_equal(tracks.presence, truth.identity == 0)


def test_frames_without_a_true_object_are_left_out_of_the_count_error() -> None:
    result = one_video([(0, 0, 0, 0), (1, 0, 0, 0)], [(0, 0, 0, 0, SIZE, 1), (1, 0, 0, 0, SIZE, 0.1)])
    assert result.count_mae == 0
    result = one_video([(1, 0, 0, 0)], [(0, 0, 0, 0, SIZE, 1)])
    assert (result.count_mae, result.false_alarms, result.misses) == (1, 1, 1)


def test_nothing_to_find_and_nothing_found_is_no_score_and_no_error() -> None:
    nothing = one_video([], [])
    assert math.isnan(nothing.mota) and math.isnan(nothing.recall) and math.isnan(nothing.idf1)
    blind = one_video([], [(0, 0, 0, 0, SIZE, 1)])
    assert (blind.mota, blind.recall, blind.idf1, blind.misses) == (0, 0, 0, 1)
    assert math.isnan(blind.precision) and math.isnan(blind.motp)
    dreaming = one_video([(0, 0, 0, 0)], [])
    assert (dreaming.precision, dreaming.false_alarms) == (0, 1) and math.isnan(dreaming.mota)


def test_scores_of_many_videos_are_ratios_of_sums() -> None:
    few, many = truth_at([(0, 0)]), truth_at([(0, 0), (3, 1), (5, 6)])
    result = score([make_tracks([]), tracks_from(many)], [few, many])
    assert result.recall == pytest.approx(12 / 16)
    assert result.mota == pytest.approx(12 / 16)
    assert result.idf1 == pytest.approx(2 * 12 / (16 + 12))
    with pytest.raises(ValueError, match="truths: expected 2, one for each video, got 1"):
        score([tracks_from(few), tracks_from(many)], [few])


@settings(deadline=None, max_examples=15)
@given(PLACES)
def test_perfect_tracks_score_one(places: list[tuple[int, int]]) -> None:
    result = score([tracks_from(truth_at(places))], [truth_at(places)])
    assert asdict(result) == {
        **dict.fromkeys(("mota", "mota_strict", "idf1", "precision", "recall"), 1.0),
        **dict.fromkeys(("motp", "switches", "misses", "false_alarms", "count_mae"), 0),
    }


@settings(deadline=None, max_examples=15)
@given(PLACES, st.integers(0, 1000))
def test_neither_names_nor_the_order_of_rows_matter(places: list[tuple[int, int]], seed: int) -> None:
    truth = truth_at(places)
    tracks = tracks_from(truth, noise=6, drop=0.2, seed=seed)
    generator = np.random.default_rng(seed)
    order, names = generator.permutation(len(tracks)), generator.permutation(100)
    renamed = Tracks(*(values[order] for values in vars(tracks).values()))
    renamed.identity[:] = names[renamed.identity]
    truth_order = generator.permutation(len(truth.frame))
    renamed_truth = GroundTruth(*(values[truth_order] for values in vars(truth).values()))
    renamed_truth.identity[:] = names[renamed_truth.identity]
    expected, result = asdict(score([tracks], [truth])), asdict(score([renamed], [renamed_truth]))
    assert result == pytest.approx(expected, nan_ok=True)


@settings(deadline=None, max_examples=15)
@given(PLACES, st.floats(0, 2 * math.pi))
def test_tracks_that_are_all_too_far_away_find_nothing(places: list[tuple[int, int]], angle: float) -> None:
    truth, far = truth_at(places), 200 + 2 * SIZE
    tracks = tracks_from(truth)
    tracks.x[:] += far * math.cos(angle)
    tracks.y[:] += far * math.sin(angle)
    result = score([tracks], [truth])
    assert (result.recall, result.precision, result.idf1, result.mota) == (0, 0, 0, -1)


def test_an_evaluation_in_batches_is_that_of_the_whole() -> None:
    scene = moving_squares(videos=5, frames=3, objects=4, seed=3)
    jitter = 0.3 * torch.randn(scene.inference.where.shape, generator=torch.Generator().manual_seed(0))
    jitter[..., :2] = 0
    inference = scene.inference._replace(where=scene.inference.where + jitter)
    whole, parts = Evaluation(), Evaluation()
    whole.add(inference, scene.frames, scene.truths)
    for some in (slice(0, 2), slice(2, 5)):
        part = type(inference)(*(values[some] for values in inference))
        parts.add(part, scene.frames[some], scene.truths[some])
    assert list(whole.result()) == [*KEYS.split(), "mse", "propagation_rate", "discoveries"]
    assert -1 < whole.result()["mota_strict"] < whole.result()["mota"]
    assert parts.result() == pytest.approx(whole.result())


def test_reconstruction_discoveries_and_propagation_are_counted() -> None:
    scene = moving_squares(videos=2, frames=3, objects=2)  # the second object arrives in the last frame
    evaluation = Evaluation()
    evaluation.add(scene.inference._replace(reconstruction=scene.frames + 0.25), scene.frames, scene.truths)
    result = evaluation.result()
    assert result["mse"] == pytest.approx(0.0625)
    assert result["discoveries"] == 2
    assert result["propagation_rate"] == pytest.approx(2 / 3)
    assert result["mota"] == 1


def test_an_evaluation_of_nothing_has_no_scores() -> None:
    results = Evaluation().result()
    assert math.isnan(results["mota"]) and math.isnan(results["mse"])
    assert json.loads(json.dumps(without_nan(results), allow_nan=False))["mota"] is None
    assert "IDF1" in table(results) and "nan" not in table(results)


def test_an_evaluation_refuses_what_does_not_belong_together() -> None:
    scene = moving_squares()
    with pytest.raises(
        ValueError,
        match=r"frames: expected the shape of the reconstruction, \(2, 3, 3, 24, 32\), got \(2, 2, 3, 24, 32\)",
    ):
        Evaluation().add(scene.inference, scene.frames[:, 1:], scene.truths)
    with pytest.raises(ValueError, match="truths: expected 2, one for each video, got 1"):
        Evaluation().add(scene.inference, scene.frames, scene.truths[1:])


def test_the_table_has_a_line_for_each_score() -> None:
    lines = table({"mota": 0.95678, "switches": 12, "mse": 0.00123, "precision": math.nan}).splitlines()
    assert [line.split()[-1] for line in lines] == ["0.957", "-", "12", "0.00123"]
    assert len({len(line) for line in lines}) == 1


def test_markdown_has_a_row_for_each_result_and_a_column_for_what_there_is() -> None:
    text = markdown({"one": {"mota": 0.91234, "misses": 3, "other": 1}, "two": {"mota": None, "misses": 12}}, ["steps"])
    assert text.splitlines() == [
        "|  | MOTA 2× | misses |",
        "| --- | --- | --- |",
        "| one | 0.912 | 3 |",
        "| two | - | 12 |",
    ]
    assert "misses" not in markdown({"one": {"mota": 1.0, "misses": 3}}, ["misses"])
