"""A run on a public benchmark: its config, its scores, and how it continues."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scalor_pyro.config import ConfigError, PublicData, PublicRunConfig, Stage, config_to_dict
from scalor_pyro.config.kinds import run_from_dict
from scalor_pyro.config.public import public_preset
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation.masks import MaskScorer
from scalor_pyro.evaluation.mot_challenge import Matching, Scorer
from scalor_pyro.experiments.public import run_public
from scalor_pyro.experiments.public_scores import labels_of, misses_by_size, scores, sequence_scores, tracks_of_truth
from scalor_pyro.experiments.ways import OFFLINE, WAYS
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config, load_config_to_resume
from tests.fake_training import Stop
from tests.fakes import moving_squares

BENCHMARKS = ("sprites-mot", "mnist-mot", "multi-dsprites", "balls")


def tiny(steps: int = 2) -> PublicRunConfig:
    config = public_preset()
    small = {"feature_dim": 8, "tracker_dim": 8, "prior_dim": 8, "z_what_dim": 4, "glimpse_size": 8}
    train = replace(config.train, steps=steps, curriculum=(Stage(1.0, 2, 2),), checkpoint_every=1)
    return replace(config, model=replace(config.model, **small), train=train, videos=5)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_config_survives_saving(benchmark: str) -> None:
    config = public_preset(benchmark)  # type: ignore[arg-type]
    assert run_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config
    assert config.data.benchmark == benchmark


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_boxes_of_the_setting_can_hold_every_object(benchmark: str) -> None:
    config = public_preset(benchmark)  # type: ignore[arg-type]
    data = replace(config.data, digits="uci")
    truths = PublicVideos(data).batch(0, 20, frames=10).truth
    area = np.concatenate([truth.width * truth.height for truth in truths])
    boxes = Boxes(config.model)
    sides = boxes.sides(torch.tensor([[9.0, 0.0], [-9.0, 0.0]])) * torch.tensor(config.model.image_size[::-1])
    largest, smallest = sides.prod(-1).tolist()
    assert area.max() <= largest and area.min() >= 0.5 * smallest


def test_configs_that_do_not_fit_are_refused() -> None:
    config = tiny()
    with pytest.raises(ConfigError, match=r"model\.image_size: expected that of the videos"):
        replace(config, model=replace(config.model, image_size=(32, 32), cells=(4, 4)))
    with pytest.raises(ConfigError, match=r"train\.curriculum: expected stages of at most data\.frames = 4"):
        replace(config, data=replace(config.data, frames=4), train=public_preset().train)


def test_masks_at_another_threshold_are_the_same_owners() -> None:
    scene = moving_squares()
    strict, loose = labels_of(scene.inference), labels_of(scene.inference, 0.4)
    assert strict.shape == loose.shape == (2, 3, 24, 32)
    both = (strict > 0) & (loose > 0)
    assert both.any() and (strict[both] == loose[both]).mean() > 0.9


def test_an_untrained_model_is_scored() -> None:
    config = tiny()
    videos = PublicVideos(config.data, 0, "test")
    found = scores(Scalor(config.model), videos, 2, start=1, way=OFFLINE)
    assert found["mask_objects"] > 0 and {"mask_mota", "mask_motp", "mota", "mse"} <= found.keys()
    with pytest.raises(ValueError):
        scores(Scalor(config.model), videos, 2, start=-1)


def test_a_sequence_is_scored_by_boxes(tmp_path: Path) -> None:
    config = tiny()
    scalor = Scalor(config.model)
    torch.nn.init.constant_(scalor.discovery_posterior.presence_head.bias, 5.0)  # it finds something untrained, too
    videos = PublicVideos(config.data, 0, "test")
    for online in (True, False):
        found = sequence_scores(TrainedRun(tmp_path, config, scalor.eval()), videos, 30, online)
        assert found["objects"] == len(PublicVideos(PublicData(frames=30), 0, "test").batch(0, 1).truth[0].frame) > 0
        assert found["reports"] > 0 and found["mota"] <= 1


def test_the_truth_is_perfect_by_the_protocol_for_boxes() -> None:
    truth = tracks_of_truth(PublicVideos(PublicData(frames=50)).batch(0, 1).truth[0])
    scorer = Scorer(Matching("iou", 0.5))
    scorer.add("sequence", truth, truth)
    assert scorer.total()["mota"] == scorer.total()["idf1"] == scorer.total()["motp"] == 1


def test_misses_are_counted_by_the_size_of_what_is_missed() -> None:
    videos = PublicVideos(PublicData("multi-dsprites"), 0, "test").batch(0, 6)
    scorer = MaskScorer()
    for masks, truth in zip(videos.masks, videos.truth, strict=True):
        labels = masks.astype(np.int64) + 1
        small = [one for one in set(truth.identity) if np.median(truth.size[truth.identity == one]) < 9]
        scorer.add(np.where(np.isin(labels, np.array(small) + 1), 0, labels), labels)
    groups = misses_by_size(scorer.objects(), videos.truth, (0.0, 9.0, float("inf")))
    assert [group["miss"] for group in groups] == [1, 0]
    assert groups[0]["objects"] and groups[0]["to"] == groups[1]["from"] == 9 and groups[1]["to"] is None
    everything = misses_by_size(scorer.objects(), videos.truth, (0.0, float("inf")))[0]
    assert everything["miss"] == pytest.approx(scorer.total().miss) and everything["frames"] == scorer.total().objects
    assert {each.video for each in scorer.objects()} == set(range(6))


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run_public(tiny(), tmp_path / "whole", final_videos=1, progress=False)
    assert whole is not None and whole["steps"] == 2 and json.loads((tmp_path / "whole/results.json").read_text())
    assert load_config(tmp_path / "whole", PublicRunConfig) == tiny() and {*WAYS} <= whole.keys()

    assert run_public(tiny(), tmp_path / "again", final_videos=1, callbacks=[Stop()], progress=False) is None
    run_public(tiny(), tmp_path / "again", final_videos=1, progress=False, resume=True)
    one, other = (Scalor.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "again"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_resumed_run_takes_its_digits_from_the_same_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    splits = ("train", "test")
    images = {f"x_{split}": rng.integers(1, 255, (20, 28, 28), dtype=np.uint8) for split in splits}
    np.savez(tmp_path / "mnist.npz", **images, **{f"y_{split}": np.arange(20) % 10 for split in splits})
    config = tiny()
    config = replace(config, data=PublicData("mnist-mot"))
    options: dict[str, Any] = {"final_videos": 1, "progress": False}
    assert run_public(config, tmp_path / "run", mnist=tmp_path / "mnist.npz", callbacks=[Stop()], **options) is None
    saved = load_config_to_resume(RunFolder.open(tmp_path / "run"), PublicRunConfig)
    assert saved.data.digits == "mnist"
    assert run_public(saved, tmp_path / "run", resume=True, **options) is not None
    with pytest.raises(ValueError, match="but sprites-mot shows no digits"):
        run_public(tiny(), tmp_path / "other", mnist=tmp_path / "mnist.npz", **options)
