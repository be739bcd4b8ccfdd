"""The benchmark of pairs: halves lie on the objects of a pair, and scores are what they are called."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.inference.trained import load
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import glimpse_centres
from scalor_pyro.model.scalor import Scalor

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import pairs as module

    return module


def two_disks(scalor: Scalor, angle: float) -> Objects:
    """One box of the largest size that holds two disks, opposite each other at this angle."""
    size = scalor.config.glimpse_size
    steps = glimpse_centres(size, torch.zeros(1))
    x, y = torch.meshgrid(steps, steps, indexing="xy")
    across, down = 0.5 * np.cos(angle), 0.5 * np.sin(angle)
    alpha = torch.zeros(size, size)
    for sign in (-1, 1):
        alpha[(x - sign * across) ** 2 + (y - sign * down) ** 2 < 0.35**2] = 1
    glimpse = torch.ones(1, 1, scalor.config.channels + 1, size, size) * alpha
    where = torch.cat((scalor.boxes.base, torch.tensor([0.1, -0.2])))[None, None]
    one = torch.ones(1, 1)
    return Objects(one, where, one[..., None].expand(-1, -1, 2), one, one[..., None], one, glimpse)


@pytest.mark.parametrize("angle", [0.0, 0.8, 1.6, 2.6])
def test_halves_lie_on_the_two_objects_of_a_pair(
    benchmark: ModuleType, make_scalor: Callable[..., Scalor], angle: float
) -> None:
    scalor = make_scalor(glimpse_size=16)
    pair = two_disks(scalor, angle)
    boxes, shape = benchmark.halves(scalor, pair)
    middle, sides = pair.where[0, 0, 2:], pair.where[0, 0, :2]
    offsets = ((boxes[0, 0, :, 2:] - middle) / sides).numpy()
    expected = 0.5 * np.array([np.cos(angle), np.sin(angle)])
    nearest = min(np.abs(offsets - sign * np.stack((-expected, expected))).max() for sign in (-1, 1))
    assert nearest < 0.06
    assert (boxes[0, 0, :, :2] < pair.where[0, 0, :2]).all()  # each half is smaller than the pair
    assert float(shape["long"][0]) > 1.5 and float(shape["gap"][0]) > -0.5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40))
def test_scores_of_cues_are_those_of_their_definitions(benchmark: ModuleType, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    score, label = rng.integers(0, 8, n).astype(float), rng.random(n) < 0.5
    label[:2] = True, False
    more = score[label][:, None] - score[~label][None]
    assert benchmark.area_under_curve(score, label) == pytest.approx(((more > 0) + 0.5 * (more == 0)).mean())
    assert benchmark.precision_at(label.astype(float), label, 0.5) == 1


def test_a_second_box_helps_where_an_object_has_none(benchmark: ModuleType) -> None:
    truth = np.array([[10.0, 10, 8], [16, 10, 8], [40, 40, 8]])
    one, two = np.array([[13.0, 10]]), np.array([[10.0, 10], [16, 10]])
    assert benchmark.matches(truth, one) == 1 and benchmark.matches(truth, two) == 2
    assert benchmark.held(truth, np.concatenate((one, [[40, 40]]))).tolist() == [2, 1]
    assert benchmark.held(truth[:0], one).tolist() == [0]


def test_a_few_movers_are_measured_from_their_frames_to_the_table(benchmark: ModuleType) -> None:
    options = benchmark.parse(["--videos", "2"])
    with torch.inference_mode():
        boxes = benchmark.collected(load(options.weights), options)
    helps = boxes.values["helps"]
    everything = benchmark.by_rule(boxes, 1.0, -np.inf, -np.inf)
    assert everything["boxes"] == len(helps) > 0
    assert everything["net"] == pytest.approx(100 * (2 * helps.sum() - len(helps)) / boxes.true)
    assert benchmark.tables(benchmark.figures_of(boxes, 40.0)).count("| fresh |") == 1
