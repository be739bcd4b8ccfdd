"""How large objects are, told by the network in the package: at which scale a video is seen."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scalor_pyro.config import AnySceneRunConfig
from scalor_pyro.config.movers import BODIES
from scalor_pyro.config.sizes import SIDE_OF_BOX
from scalor_pyro.data import MoverVideos
from scalor_pyro.data.mover_bodies import LIMBED
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.sizes.program import Said
from scalor_pyro.sizes.videos import sides_of
from scalor_pyro.tracks.any_scene import sizes
from scalor_pyro.tracks.any_scene.looks import Look, look_at
from scalor_pyro.tracks.any_scene.shown import LENGTH, fullest_runs
from scalor_pyro.tracks.any_scene.sizes import MARGIN, told_side
from scalor_pyro.tracks.any_scene.trials import look_for
from scalor_pyro.video import Survey, Video, survey
from tests.tracks.test_parts import bars
from tests.video_files import squares

BAR = SIDE_OF_BOX * (45 * 12) ** 0.5


def seen_at(config: AnySceneRunConfig, video: NDArray[np.uint8], side: float | None = None) -> tuple[Survey, Look]:
    """The survey of a video, and how objects of a side would be seen; None: that of the survey."""
    seen = survey(Video(video))
    return seen, look_at(config, Video(video), seen=seen, side=side)


@pytest.mark.parametrize("closer", [0.7, 1.0, 1.6])
def test_a_bar_of_two_shades_is_told_as_one_at_any_scale(config: AnySceneRunConfig, closer: float) -> None:
    assert told_side(*seen_at(config, bars(), BAR * closer)) == pytest.approx(BAR, rel=0.25)


def test_it_is_nearer_to_the_truth_than_the_survey(config: AnySceneRunConfig) -> None:
    """On movers of which the survey sees parts or groups: of kinds that the network has seen, in sizes and numbers that
    differ."""
    seen_kinds = tuple(kind for kind in BODIES if kind not in LIMBED)
    movers = replace(config.movers, image_size=(160, 192), object_size=13.0, frames=40, most=26, size_spread=0.5)
    movers = replace(movers, bodies=seen_kinds)
    own, surveyed = [], []
    for index in range(8):
        frames, truth, masks, *_ = MoverVideos(movers, seed=11).video(index)
        sides = [np.unique(sides_of(masks[t], truth, t)[masks[t] >= 0]) for t in range(0, 40, 8)]
        true = float(np.nanmedian(np.concatenate(sides).astype(np.float64)))
        seen, look = seen_at(config, np.moveaxis(frames, 1, -1))
        told = told_side(seen, look)
        assert told is not None
        own.append(abs(np.log(told / true)))
        surveyed.append(abs(np.log(seen.side / true)))
    assert np.mean(own) < 0.8 * np.mean(surveyed)


def test_objects_are_seen_as_large_as_is_told_with_a_margin(run: TrainedRun, config: AnySceneRunConfig) -> None:
    video = squares(20, size=(128, 192), side=16, speed=4)
    seen, look = seen_at(config, video)
    told = told_side(seen, look)
    assert told == pytest.approx(SIDE_OF_BOX * 16, rel=0.2)
    found = look_for(run.scalor, config, Video(video), seen)
    assert found.options.size is not None and told is not None
    assert found.options.size[0] == pytest.approx(128 * config.model.object_size / (MARGIN * told), abs=8)


def test_another_size_than_the_survey_has_is_said(
    run: TrainedRun, config: AnySceneRunConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    video = squares(20, size=(128, 192), side=16, speed=4)
    seen, _ = seen_at(config, video)
    monkeypatch.setattr("scalor_pyro.tracks.any_scene.trials.told_side", lambda *_: 2 * seen.side)
    with caplog.at_level(logging.WARNING):
        look_for(run.scalor, config, Video(video), seen)
    said = (
        f"are looked for, not of {seen.middle_side:.0f} px as the survey found; to give their size, use --object-size."
    )
    assert said in caplog.text
    caplog.clear()
    look_for(run.scalor, config, Video(video), seen, correct=False)
    assert not caplog.text, "a size that is given is not corrected"


def test_where_no_object_is_seen_the_survey_counts(
    run: TrainedRun, config: AnySceneRunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(frames: torch.Tensor) -> Said:
        return Said(torch.full((1, 4, 4), -9.0), torch.zeros(1, 4, 4))

    monkeypatch.setattr(sizes, "network", lambda: nothing)
    video = squares(20, size=(128, 192), side=16, speed=4)
    seen, look = seen_at(config, video)
    assert told_side(seen, look) is None
    assert look_for(run.scalor, config, Video(video), seen).options.size == look.options.size


def test_it_does_not_depend_on_the_default_type_of_numbers(config: AnySceneRunConfig) -> None:
    seen, look = seen_at(config, squares(20, size=(128, 192), side=16, speed=4))
    usual = told_side(seen, look)
    sizes.network.cache_clear()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert told_side(seen, look) == usual
    finally:
        torch.set_default_dtype(before)


def test_a_short_video_is_looked_at_as_a_whole() -> None:
    """Where all frames follow each other, as in a short video, too."""
    seen = survey(Video(squares(20, size=(128, 192), side=16, speed=4)))
    runs = fullest_runs(seen)
    assert {len(run) for run in runs} == {LENGTH} and sorted(sum(runs, [])) == list(range(20))
