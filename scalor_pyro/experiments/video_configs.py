"""The configs of runs on the user's videos, from what a survey saw in them and from the weights to start from."""

import math
from dataclasses import replace

from scalor_pyro.config import (
    ConfigError,
    FreshConfig,
    ModelConfig,
    ReadOptions,
    TrainConfig,
    VideoData,
    VideoRunConfig,
)
from scalor_pyro.config.checks import require
from scalor_pyro.config.kinds import sees_differences
from scalor_pyro.config.model import bounds_of
from scalor_pyro.config.movers import fresh_on_a_video, on_a_video
from scalor_pyro.config.presets import HELD_AT_FIRST
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.views import nearest_size, viewing
from scalor_pyro.tracks.any_scene.alike import Sizes
from scalor_pyro.tracks.any_scene.looks import require_suitable
from scalor_pyro.tracks.any_scene.trials import look_for
from scalor_pyro.tracks.checks.sentences import levels_of
from scalor_pyro.video import Proposal, Survey, Video
from scalor_pyro.video.proposal import ASPECT_RANGE, SIZE_RANGE

# A window needs so many times the slots that are its share of the region's: objects are not spread evenly.
CROWDED = 2.0
# Windows that are as high as the frame are at least so wide, as a share of those that the model knows.
NARROWEST = 0.5
# Shorter clips leave no time to follow an object; the clips of a short video are this part of its frames.
LEAST_CLIP, CLIP_SHARE = 2, 0.25


def proposed_run(paths: tuple[str, ...], given: ReadOptions, proposal: Proposal) -> VideoRunConfig:
    """The config of a run from scratch with the proposed sizes, and with the schedules that a static background needs
    at first.

    :param given: the options that the survey read the first video with.
    :param proposal: from that survey.
    """
    model = ModelConfig(background="static", colour_start=True)
    slots = max(proposal.slots, proposal.region_slots)
    return VideoRunConfig(
        video=VideoData(
            paths,
            proposal.options(given),
            levels=levels_of(Video(paths[0])),
            region=given.crop,
            region_slots=slots,
        ),
        model=proposal.model(model),
        train=TrainConfig(**HELD_AT_FIRST),
    )


def run_from(
    start: TrainedRun,
    paths: tuple[str, ...],
    given: ReadOptions,
    seen: Survey,
    slots: int | None = None,
    correct: bool = True,
    sizes: Sizes = "auto",
    fresh: bool = True,
) -> VideoRunConfig:
    """The config of a run that starts from weights that see differences.

    The model keeps its sizes, and the video is brought to their scale. Windows of the frames are trained on, as large
    as the images that the model knows.

    A fresh model sees the same windows, but knows from the survey how large objects are, and in which aspect, so that
    two of them do not fit into one box.

    :param start: these weights.
    :param given: the options that the survey read the first video with.
    :param seen: by that survey.
    :param slots: K for the whole region; None: enough for the fullest frame.
    :param correct: see :func:`~scalor_pyro.tracks.any_scene.trials.look_for`.
    :param sizes: likewise.
    :param fresh: train a second model, from random weights.
    :raises ConfigError: if the given size does not consist of whole cells, or these weights see frames as they are.
    :raises VideoError: if the video does not suit such weights.
    """
    config, video = start.config, Video(paths[0], given)
    if not sees_differences(config):
        raise ConfigError(f"start_from: expected weights that see differences, got those in {start.folder}.")
    require_suitable(seen, video)
    look = look_for(start.scalor, config, video, seen, slots, correct and given.size is None, sizes)
    if given.size is not None:  # which says the scale
        fitting = nearest_size(config.model, given.size)
        require(fitting == given.size, "size", given.size, f"whole cells of the model, such as {fitting}")
        require(sizes != "alike", "sizes", sizes, "another one where the size of frames is given")
        look = look._replace(options=replace(look.options, size=given.size), boxes=None)
    size = look.options.size
    assert size is not None
    boxes = look.boxes or bounds_of(config.model)
    window = _window(config.model, size, boxes.perspective != 0)
    crowded = math.ceil(CROWDED * look.slots * math.prod(window) / math.prod(size))
    model = viewing(boxes.of(config.model), window, max(config.model.slots, min(look.slots, crowded)))
    shortest = min(Video(path, look.options).expected_frames for path in paths)
    frames = max(LEAST_CLIP, int(CLIP_SHARE * shortest))
    data = VideoData(
        paths,
        look.options,
        seen_as="differences",
        gain=look.gain,
        levels=levels_of(video),
        region=given.crop,
        region_slots=look.slots,
    )
    run = VideoRunConfig(data, model, on_a_video(config.train, frames))
    if not fresh:
        return run
    narrow = replace(model, size_range=SIZE_RANGE, aspect_range=ASPECT_RANGE, aspect=round(seen.height / seen.width, 2))
    return replace(run, fresh=FreshConfig(narrow, fresh_on_a_video(run.clip_length)))


def _window(model: ModelConfig, size: tuple[int, int], nearer_larger: bool) -> tuple[int, int]:
    """The size (H, W) of the windows that are trained on, in frames of a size.

    In a perspective they are as high as the frame, because how large objects are depends on how far down they are.
    """
    known, height = model.view or model.image_size, size[0]
    if not nearer_larger:
        return min(height, known[0]), min(size[1], known[1])
    _, width = nearest_size(model, (height, max(NARROWEST * known[1], math.prod(known) / height)))
    return height, min(size[1], width)


def fresh_run(config: VideoRunConfig) -> VideoRunConfig:
    """The run of the second model, as if it were the only one."""
    assert config.fresh is not None
    return replace(config, model=config.fresh.model, train=config.fresh.train, fresh=None)


def may_restart(config: VideoRunConfig) -> bool:
    """Whether a run may begin again with half the sigma: once, and not where trained weights know the objects."""
    return config.train.start_from is None and not config.restarted


def with_half_the_sigma(config: VideoRunConfig) -> VideoRunConfig:
    """The config of the second attempt."""
    return replace(config, model=replace(config.model, sigma=config.model.sigma / 2), restarted=True)
