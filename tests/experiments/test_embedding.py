"""The network that tells objects apart: what it learns from, how it is trained, and that it learns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scalor_pyro.config import ConfigError, EmbeddingModelConfig, EmbeddingRunConfig, config_to_dict
from scalor_pyro.config.kinds import run_from_dict
from scalor_pyro.config.movers import EMBEDDED, embedding
from scalor_pyro.embedding.glimpses import CHANNELS, SIDE, glimpses_of, layers
from scalor_pyro.embedding.program import GlimpseEmbedding, told_apart
from scalor_pyro.experiments.made_up.embedding import clips_of, run_embedding, scores
from scalor_pyro.experiments.made_up.glimpses import GLIMPSES, OBJECTS, TrackedGlimpses, true_objects
from scalor_pyro.runs.loading import load_run
from tests.fake_training import Stop

SMALL = EmbeddingModelConfig(widths=(8, 8, 8, 8), features=8)


def tiny(steps: int = 2, batch: int = 2) -> EmbeddingRunConfig:
    train = replace(embedding().train, steps=steps, checkpoint_every=1, eval_videos=2)
    stage = replace(train.curriculum[0], batch=batch)
    return EmbeddingRunConfig(SMALL, replace(train, curriculum=(stage,)), videos=2)


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    """Of three videos. (3, 96, 7, 24, 24)"""
    return torch.from_numpy(TrackedGlimpses(seed=3).batch(0, 3)).float() / 255


def test_the_config_survives_saving() -> None:
    for config in (embedding(), tiny()):
        assert run_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_networks_that_cannot_be_built_are_refused() -> None:
    wrong: list[dict[str, Any]] = [
        *({"widths": widths} for widths in ((8, 8, 8), (8, 8, 8, 0), (8, 8, 8, 12))),
        *({"channels": 3}, {"image_size": (32, 32)}, {"features": 0}, {"per_object": 4}),
    ]
    for each in wrong:
        with pytest.raises(ConfigError, match=f"{next(iter(each))}: expected"):
            EmbeddingModelConfig(**each)


def test_a_glimpse_shows_the_object_its_surroundings_and_whose_the_pixels_are() -> None:
    """A square of 8 px, of another colour than the scene, with one of another object beside it."""
    scene = torch.full((3, 40, 60), 0.5)
    frame, owner = scene.clone()[None], torch.full((40, 60), -1)
    frame[0, 0, 10:18, 20:28], owner[10:18, 20:28] = 0.6, 7
    frame[0, 1, 10:18, 28:36], owner[10:18, 28:36] = 0.6, 2
    seen = layers(frame, scene, gain=4.0)
    mine, other = glimpses_of(
        seen[0], owner, torch.tensor([7, 2]), torch.tensor([[24.0, 14.0, 8.0, 8.0], [32.0, 14.0, 8.0, 8.0]])
    )
    middle = SIDE // 2
    torch.testing.assert_close(mine[:2, middle, middle], torch.tensor([0.4, 0.0]))
    torch.testing.assert_close(other[:2, middle, middle], torch.tensor([0.0, 0.4]))
    assert mine[-1, middle, middle] == 1 and other[-1, middle, middle] == 1
    assert mine[-1, middle, -1] < -0.5 and other[-1, middle, 0] < -0.5  # each sees the other at its side
    assert mine[0, 0, 0] == 0 and mine[-1, 0, 0].abs() < 0.1  # nothing there


def test_grey_frames_are_seen_like_coloured_ones_without_colour() -> None:
    torch.manual_seed(0)
    frames, scene = torch.rand(2, 1, 8, 9), torch.rand(1, 8, 9)
    coloured = layers(frames.expand(-1, 3, -1, -1), scene.expand(3, -1, -1), 3.0)
    torch.testing.assert_close(layers(frames, scene, 3.0), coloured)


def test_glimpses_are_a_function_of_seed_and_index(clips: torch.Tensor) -> None:
    alone = TrackedGlimpses(seed=3).batch(2, 1)
    np.testing.assert_array_equal((clips[2] * 255).round().numpy(), alone[0])
    assert not np.array_equal(alone, TrackedGlimpses(seed=4).batch(2, 1))
    assert not np.array_equal(alone, TrackedGlimpses(seed=3, split="test").batch(2, 1))
    assert EMBEDDED == OBJECTS * GLIMPSES == clips.shape[1] and clips.shape[2:] == (CHANNELS, SIDE, SIDE)


def test_every_object_has_at_least_two_glimpses_and_owns_the_middle_of_most(clips: torch.Tensor) -> None:
    there = clips.unflatten(1, (OBJECTS, GLIMPSES)).flatten(3).any(-1)
    assert set((there.sum(-1) == 1).flatten().tolist()) == {False} and there.any()
    middle = clips.unflatten(1, (OBJECTS, GLIMPSES))[there][:, -1, SIDE // 2, SIDE // 2]
    assert (middle > 0.75).float().mean() > 0.7


def test_what_is_found_is_the_object_that_owns_most_of_its_pixels() -> None:
    masks = np.full((10, 12), -1, np.int16)
    masks[:5, :4], masks[:5, 4:6], masks[9, 11] = 3, 0, 1
    owner = np.full((10, 12), -2)
    owner[:5, :6] = 8  # two thirds of it are object 3
    owner[7:, 7:] = 2  # hardly anything of it is an object
    assert true_objects(owner, masks, np.array([2, 8, 5])).tolist() == [-1, 3, -1]
    masks[:5, 2:4] = 1  # a third each
    assert true_objects(owner, masks, np.array([8])).tolist() == [-1]


def test_objects_with_glimpses_of_their_own_colour_are_told_apart() -> None:
    """By means of the pixels alone, so that nothing has to be learned."""

    class Means(GlimpseEmbedding):
        def forward(self, glimpses: torch.Tensor) -> torch.Tensor:
            return 10 * glimpses.mean((-1, -2))

    torch.manual_seed(0)
    values = torch.rand(1, 3, 1, CHANNELS, 1, 1).expand(1, 3, GLIMPSES, CHANNELS, SIDE, SIDE)
    clips = torch.zeros(1, OBJECTS, GLIMPSES, CHANNELS, SIDE, SIDE)
    clips[:, :3] = values * 0.9 + 0.05
    assert told_apart(Means(SMALL).eval(), clips.flatten(1, 2)).tolist() == [[1.0, pytest.approx(1 / 3)]]
    clips[:, 1:] = 0
    assert told_apart(Means(SMALL).eval(), clips.flatten(1, 2)).isnan().all()  # one object: nothing to tell


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run_embedding(tiny(), tmp_path / "whole", final_videos=1, progress=False)
    assert whole is not None and whole["steps"] == 2 and whole["videos"] == 1

    assert run_embedding(tiny(), tmp_path / "again", final_videos=1, callbacks=[Stop()], progress=False) is None
    run_embedding(tiny(), tmp_path / "again", final_videos=1, progress=False, resume=True)
    (config, one), (_, other) = (load_run(tmp_path / name, EmbeddingRunConfig) for name in ("whole", "again"))
    assert config == tiny() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
def test_it_learns_to_tell_objects_apart(tmp_path: Path) -> None:
    config = replace(tiny(200, batch=4), model=EmbeddingModelConfig(widths=(16, 24, 32, 48)), videos=60)
    results = run_embedding(config, tmp_path / "run", final_videos=20, progress=False)
    assert results is not None and results["right"] > 2 * results["chance"]


def test_scores_are_those_of_unseen_videos() -> None:
    torch.manual_seed(0)
    program = GlimpseEmbedding(SMALL)
    found = scores(program, seed=0, count=1)
    assert program.training and 0 < found["chance"] < 1 and 0 <= found["right"] <= 1
    assert not np.array_equal(clips_of(0, "test", 1), clips_of(0, "train", 1))
