"""Components of one colour: what is one, and what is left over."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scalor_pyro.config import PublicData
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation.masks import MaskScorer
from scalor_pyro.experiments.public_scores import tracks_of_truth

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def rivals(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pytest.importorskip("cv2")
    import public_rivals

    return public_rivals


def test_touching_objects_of_two_colours_are_two(rivals: ModuleType) -> None:
    frame = np.zeros((3, 12, 16), np.uint8)
    frame[0, 2:8, 2:8] = 255
    frame[1, 2:8, 8:14] = 255
    frame[:, 2:7, 7] = 90  # a soft border, too thin to be an object
    frame[:, 10, 15] = 200  # a speck far from both
    labels = rivals.components(frame, np.zeros(3, np.uint8))
    assert set(np.unique(labels)) == {0, 1, 2}
    assert (labels[2:8, 2:7] == 1).all() and (labels[2:8, 8:14] == 2).all()
    assert (labels[2:7, 7] > 0).all() and labels[10, 15] == 0


def test_an_empty_frame_has_none(rivals: ModuleType) -> None:
    assert not rivals.components(np.full((3, 8, 8), 77, np.uint8), np.full(3, 77, np.uint8)).any()


@pytest.mark.parametrize("benchmark", ["sprites-mot", "multi-dsprites"])
def test_right_identities_give_right_masks(rivals: ModuleType, benchmark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a linker that gives each component the identity of the object whose box it fits, nearly all is right."""
    scorer, videos = MaskScorer(), PublicVideos(PublicData(), 0, "test")
    for index in range(6):
        video = videos.video(index, 10)
        truth = tracks_of_truth(video.truth)

        def oracle(found, linker, truth=truth):  # type: ignore[no-untyped-def]  # of the truth of one video
            names = []
            for t, box in zip(found.frame, found.box, strict=True):
                here = truth.rows(truth.frame == t)
                off = np.hypot(here.x - box[0] - box[2] / 2, here.y - box[1] - box[3] / 2)
                names.append(here.identity[off.argmin()])
            return rivals.link_lap.__globals__["tracks_of"](found.frame, np.array(names), found.box)

        monkeypatch.setattr(rivals, "linked", oracle)
        scorer.add(rivals.masks_of(rivals.found_in(video.frames, "laptrack")), video.masks.astype(np.int64) + 1)
    total = scorer.total()
    assert total.match > 0.93 and total.motp > 0.85
