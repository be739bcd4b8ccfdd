"""A run for any scene: its config, the videos that are made for it, and how it continues."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scalor_pyro.config import AnySceneRunConfig, ConfigError, MoverConfig, Stage, config_to_dict
from scalor_pyro.config.kinds import run_from_dict
from scalor_pyro.config.movers import any_scene, further, taught
from scalor_pyro.data import MoverVideos
from scalor_pyro.experiments.made_up.any_scene import made, run_any_scene
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.loading import load_config
from tests.fake_training import Stop

SMALL = MoverConfig(image_size=(32, 48), object_size=8.0, frames=3, most=4)


def tiny(steps: int = 2) -> AnySceneRunConfig:
    config = any_scene()
    small = {"feature_dim": 8, "tracker_dim": 8, "prior_dim": 8, "z_what_dim": 4, "glimpse_size": 8, "slots": 5}
    model = replace(config.model, image_size=(32, 48), cells=(4, 6), **small)
    train = replace(config.train, steps=steps, curriculum=(Stage(1.0, 2, 2),), checkpoint_every=1)
    return AnySceneRunConfig(model, train, SMALL, videos=5)


def test_the_config_survives_saving() -> None:
    for config in (any_scene(), tiny()):
        assert run_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_configs_that_do_not_fit_are_refused() -> None:
    config = tiny()
    with pytest.raises(ConfigError, match=r"movers\.image_size: expected the model's"):
        replace(config, movers=MoverConfig())
    with pytest.raises(ConfigError, match=r"model\.background: expected 'static'"):
        replace(config, model=replace(config.model, background="none"))
    with pytest.raises(ConfigError, match=r"train\.curriculum: expected stages of at most movers\.frames = 2"):
        replace(config, movers=replace(SMALL, frames=2), train=any_scene().train)
    with pytest.raises(ConfigError, match="videos: expected"):
        replace(config, videos=0)


def test_further_training_has_no_beginning() -> None:
    """Objects are not held, clips are long, and all schedules are where they ended."""
    before, after = any_scene().train, further(any_scene()).train
    assert after.scheduled(0) == after.scheduled(10**6) == before.scheduled(before.steps)
    assert [stage.frames for stage in after.curriculum] == [8] and after.learning_rate < before.learning_rate


def test_boxes_of_the_setting_hold_the_movers_that_it_makes() -> None:
    """Long bodies and large ones fit into one box, as they lie."""
    config = any_scene()
    boxes = Boxes(config.model)
    extremes = torch.tensor([[9.0, 9.0], [9.0, -9.0], [-9.0, 0.0]])
    sides = boxes.sides(extremes) * torch.tensor(config.model.image_size[::-1])
    widest, smallest = sides.max(0).values, sides[2].max()
    videos, spans = MoverVideos(config.movers), []
    for index in range(40):
        _, truth, masks, *_ = videos.video(index)
        inside = truth.frame[truth.share > 0.999], truth.identity[truth.share > 0.999]
        for frame, identity in zip(*inside, strict=True):
            rows, columns = np.nonzero(masks[frame] == identity)
            if len(rows) > 8:
                spans.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    assert np.quantile(spans, 0.95) < float(widest.min()), "hardly any is longer than the longest box"
    assert np.quantile(spans, 0.05) > 0.4 * float(smallest), "and hardly any is lost in the smallest"


def test_taught_videos_tell_where_objects_are() -> None:
    config, batch = taught(any_scene()), MoverVideos(SMALL, 3).batch(0, 3)
    assert config.train.taught and config.movers.size_spread > any_scene().movers.size_spread
    clips = made(SMALL, 3, 3, workers=2, told=True)
    assert np.array_equal(clips[:, :, :3], batch.frames)
    assert np.array_equal(clips[:, :, 3].astype(int) - 1, batch.masks)
    share = clips[:, :, -1][batch.masks >= 0] / 255
    assert 0 < share.min() < 0.5 and share.max() == 1, "some are hidden or half out of view"


def test_videos_do_not_depend_on_who_makes_them() -> None:
    several = made(SMALL, 3, 3, workers=2)
    assert np.array_equal(several, made(SMALL, 3, 3)) and several.shape == (3, 3, 3, 32, 48)
    assert np.array_equal(several, MoverVideos(SMALL, 3).batch(0, 3).frames)


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run_any_scene(tiny(), tmp_path / "whole", final_videos=1, progress=False)
    assert whole is not None and whole["steps"] == 2 and json.loads((tmp_path / "whole/results.json").read_text())
    assert load_config(tmp_path / "whole", AnySceneRunConfig) == tiny()

    assert run_any_scene(tiny(), tmp_path / "again", final_videos=1, callbacks=[Stop()], progress=False) is None
    run_any_scene(tiny(), tmp_path / "again", final_videos=1, progress=False, resume=True)
    one, other = (Scalor.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "again"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
