"""The benchmark of boxes and shapes knows the whole true masks, and compares each object with its own."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scalor_pyro.config import MoverConfig
from scalor_pyro.data import MoverVideos

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import mask_boxes as module

    return module


def test_true_masks_are_what_the_generator_drew(benchmark: ModuleType) -> None:
    """Where an object is seen whole, its visible mask has the area and the box of the truth."""
    stream = MoverVideos(MoverConfig(frames=4), 5, "test")
    compared = 0
    for index in range(3):
        frames, truth = benchmark.video_of(stream, index)
        again, rows, masks, *_ = stream.video(index)
        np.testing.assert_array_equal(frames, again)
        for row in range(len(truth)):
            y, x = np.nonzero(masks[truth.frame[row]] == truth.identity[row])
            if truth.presence[row] < 0.99 or len(x) < 0.98 * truth.area[row]:
                continue  # hidden in part, or cut off by the border
            compared += 1
            assert len(x) == pytest.approx(truth.area[row], rel=0.2)
            assert truth.width[row] == pytest.approx(np.ptp(x) + 1, abs=1.5)
            assert truth.y[row] == pytest.approx(y.min() + (np.ptp(y) + 1) / 2, abs=1.0)
    assert compared > 10


def test_boxes_and_shapes_are_compared_with_those_of_the_same_object(benchmark: ModuleType) -> None:
    _, truth = benchmark.video_of(MoverVideos(MoverConfig(frames=4), 5, "test"), 0)
    wide = replace(truth, width=2 * truth.width, height=truth.height)
    order = np.random.default_rng(0).permutation(len(truth))
    figures = benchmark.figures_of([benchmark.same(wide.rows(order), truth.rows(order), truth)])
    assert figures["objects"] == int((truth.presence >= 0.5).sum()) > 0
    assert figures["mask"]["mean_iou"] == pytest.approx(1) and figures["glimpse"]["mean_iou"] == pytest.approx(0.5)
    assert figures["area_ratio"] == pytest.approx([1, 1, 1])
    assert figures["long"]["objects"] == 0 or figures["long"]["close_angle"] > 0.99
