"""The network that tells how large objects are: what it learns from, how it is trained, and that it learns."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scalor_pyro.config import ConfigError, SizeModelConfig, SizesRunConfig, config_to_dict
from scalor_pyro.config.kinds import run_from_dict
from scalor_pyro.config.movers import sizes
from scalor_pyro.config.sizes import SIDE_OF_BOX
from scalor_pyro.data.truth import GroundTruth
from scalor_pyro.experiments.made_up.sizes import clips_of, run_sizes, scores
from scalor_pyro.runs.loading import load_run
from scalor_pyro.sizes.program import ASKED, SEEN, UNIT, ObjectSizes, coded, told_in, typical_side
from scalor_pyro.sizes.videos import FRAME, SizedMovers, sides_of
from tests.fake_training import Stop

SMALL = SizeModelConfig(widths=(8, 8, 8, 8, 8))


def tiny(steps: int = 2, batch: int = 2) -> SizesRunConfig:
    train = replace(sizes().train, steps=steps, checkpoint_every=1, eval_videos=2)
    stage = replace(train.curriculum[0], batch=batch)
    return SizesRunConfig(SMALL, replace(train, curriculum=(stage,)), videos=4)


def test_the_config_survives_saving() -> None:
    for config in (sizes(), tiny()):
        assert run_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_networks_that_cannot_be_built_are_refused() -> None:
    for widths in ((8, 8, 8, 8), (8, 8, 8, 8, 0), (8, 8, 8, 8, 12)):
        with pytest.raises(ConfigError, match="widths: expected 5 to 8 multiples of 8"):
            SizeModelConfig(widths=widths)
    with pytest.raises(ConfigError, match="channels: expected 3"):
        SizeModelConfig(channels=1)


def test_videos_are_a_function_of_seed_and_index() -> None:
    stream = SizedMovers(SEEN, ASKED, seed=3)
    together, alone = stream.batch(0, 3), stream.batch(2, 1)
    np.testing.assert_array_equal(together.frames[2], alone.frames[0])
    np.testing.assert_array_equal(together.sides[2], alone.sides[0])
    assert not np.array_equal(together.frames[2], SizedMovers(SEEN, ASKED, seed=4).batch(2, 1).frames[0])


def test_the_side_of_an_object_is_that_of_its_box_and_known_only_of_whole_ones() -> None:
    masks = np.full((20, 30), -1, np.int16)
    masks[4:10, 5:17] = 0  # whole
    masks[15:20, 20:25] = 1  # half of it is below the border
    masks[0:3, 0:3] = 2  # most of it is covered by others
    truth = GroundTruth(
        frame=np.array([1, 1, 1, 2]),
        identity=np.array([0, 1, 2, 0]),
        x=np.zeros(4),
        y=np.zeros(4),
        size=np.array([8.0, 8.0, 8.0, 1.0]),
        share=np.array([1.0, 0.5, 1.0, 1.0]),
    )
    sides = sides_of(masks, truth, frame=1)
    assert np.isnan(sides[masks != 0]).all()
    np.testing.assert_allclose(sides[masks == 0], SIDE_OF_BOX * np.sqrt(6 * 12), rtol=1e-3)


def test_sizes_survive_the_picture_that_tells_them() -> None:
    """As pictures of a clip are kept: in 8 bits."""
    covered, side = torch.zeros(2, 8, 12, dtype=torch.bool), torch.full((2, 8, 12), torch.nan)
    covered[:, :4, :8] = True
    side[0, :4, :4], side[0, :4, 4:8] = 4.0, 40.0
    kept = (coded(covered, side) * 255).round().to(torch.uint8)
    told = told_in(kept.float() / 255)
    assert told.covered.tolist() == [[[1, 1, 0], [0, 0, 0]]] * 2
    assert told.known.tolist() == [[[True, True, False], [False] * 3], [[False] * 3] * 2]
    np.testing.assert_allclose(told.log_side[0, 0, :2].exp() * UNIT, [4.0, 40.0], rtol=0.01)


def test_frames_may_have_any_size() -> None:
    program = ObjectSizes(SMALL).eval()
    assert program(torch.rand(2, 3, 3, 37, 50)).logit.shape == (2, 10, 13)


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run_sizes(tiny(), tmp_path / "whole", final_videos=2, progress=False)
    assert whole is not None and whole["steps"] == 2 and whole["videos"] == 2

    assert run_sizes(tiny(), tmp_path / "again", final_videos=2, callbacks=[Stop()], progress=False) is None
    run_sizes(tiny(), tmp_path / "again", final_videos=2, progress=False, resume=True)
    (config, one), (_, other) = (load_run(tmp_path / name, SizesRunConfig) for name in ("whole", "again"))
    assert config == tiny() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
def test_it_learns_to_tell_small_objects_from_large_ones(tmp_path: Path) -> None:
    config = replace(tiny(250, batch=8), model=SizeModelConfig(widths=(16, 24, 32, 48, 48)), videos=300)
    results = run_sizes(config, tmp_path / "run", final_videos=40, progress=False)
    assert results is not None
    assert results["covered"] > 0.9 and results["side_error"] < 0.42  # 0.5 if all were said to be alike


def test_the_typical_side_counts_objects_not_places() -> None:
    """Four small objects and one large one that covers as much as all four."""
    side = torch.cat((torch.full((4 * 25,), 5.0), torch.full((100,), 10.0)))
    assert typical_side((side / UNIT).log(), torch.ones(200)) * UNIT == pytest.approx(5.0)


def test_scores_are_those_of_unseen_videos() -> None:
    torch.manual_seed(0)
    program = ObjectSizes(SMALL)
    found = scores(program, seed=0, count=10)
    assert program.training and 0 <= found["covered"] <= 1 and found["side_error"] >= abs(found["bias"])
    assert not np.array_equal(clips_of(0, "test", 1), clips_of(0, "train", 1))


def test_movers_of_a_clip_are_those_of_the_stream() -> None:
    """The frames that are seen, at the places of which sizes are told."""
    clip = clips_of(5, "train", 1)[0]
    assert clip.shape == (4, 3, FRAME, FRAME)
    videos = SizedMovers(SEEN, ASKED, 5).batch(0, 1)
    np.testing.assert_array_equal(clip[:3], videos.frames[0])
    np.testing.assert_array_equal(clip[3, 0] > 0, videos.covered[0])
