"""A run on the user's videos: its config, and from there a trained model and pictures.

The camera stands still; all videos of a run show one scene and are read with the same options. A run starts from
trained weights, those for any scene unless others are named, or from scratch.
"""

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from scalor_pyro.config import (
    ConfigError,
    ModelConfig,
    TrainConfig,
    VideoData,
    VideoRunConfig,
    config_to_dict,
)
from scalor_pyro.config.checks import require
from scalor_pyro.config.kinds import sees_differences
from scalor_pyro.config.movers import on_a_video
from scalor_pyro.config.presets import HELD_AT_FIRST
from scalor_pyro.data.movers import STILL
from scalor_pyro.experiments.comparing import HeldOut, compare
from scalor_pyro.experiments.windows import SeenBatch, SeenClips, seen_clips
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import Inference, infer
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.views import nearest_size, viewing
from scalor_pyro.plots.pictures import save_pictures
from scalor_pyro.plots.player import write_player
from scalor_pyro.runs.configs import read_json
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import start_from
from scalor_pyro.runs.weights import copy_weights, write_weights
from scalor_pyro.tracks.any_scene import require_suitable
from scalor_pyro.tracks.checks.sentences import levels_of, of_inference
from scalor_pyro.tracks.scaling import look_for
from scalor_pyro.training.collapse import VanishWatch
from scalor_pyro.training.distributed import ALONE, World
from scalor_pyro.training.loop import parameters_to_start, train
from scalor_pyro.video import Clips, Proposal, ReadOptions, Survey, Video
from scalor_pyro.video.background_files import region_background_image, save_background_image
from scalor_pyro.video.background_image import BACKGROUND_FRAMES, BackgroundImage

logger = logging.getLogger(__name__)

RESULTS = "results.json"
# Number of clips for the figures at the end, and their first index in the stream: beyond all that training reads.
LOOKED_AT, LOOKED_AT_FROM = 16, 1_000_000_000
# The part of each video, at its end, that weights are compared on, and the number of clips for that.
HELD_OUT, COMPARED = 0.2, 24
# A window needs so many times the slots that are its share of the region's: objects are not spread evenly.
CROWDED = 2.0
# Shorter clips leave no time to follow an object; the clips of a short video are this part of its frames.
LEAST_CLIP, CLIP_SHARE = 2, 0.25


class VideoFigures(NamedTuple):
    """What a trained model finds in its training videos."""

    objects_per_frame: float
    propagation_rate: float  # of the objects drawn after a clip's first frame, the share that was propagated
    foreground_share: float  # of the picture, drawn by objects


class VideoResult(NamedTuple):
    """How a run ended."""

    figures: VideoFigures
    held_out: HeldOut | None  # None: there was no start to compare with, because it was random
    notes: list[str]  # what seems wrong, a sentence each


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
) -> VideoRunConfig:
    """The config of a run that starts from weights that see differences.

    The model keeps its sizes, and the video is brought to their scale. Windows of the frames are trained on, as large
    as the images that the model knows.

    :param start: these weights.
    :param given: the options that the survey read the first video with.
    :param seen: by that survey.
    :param slots: K for the whole region; None: enough for the fullest frame.
    :param correct: see :func:`~scalor_pyro.tracks.scaling.look_for`.
    :raises ConfigError: if the given size does not consist of whole cells, or these weights see frames as they are.
    :raises VideoError: if the video does not suit such weights.
    """
    config, video = start.config, Video(paths[0], given)
    if not sees_differences(config):
        raise ConfigError(f"start_from: expected weights that see differences, got those in {start.folder}.")
    require_suitable(seen, video)
    look = look_for(start.scalor, config, video, seen, slots, correct and given.size is None)
    if given.size is not None:  # which says the scale
        fitting = nearest_size(config.model, given.size)
        require(fitting == given.size, "size", given.size, f"whole cells of the model, such as {fitting}")
        look = look._replace(options=replace(look.options, size=given.size))
    size = look.options.size
    assert size is not None
    known = config.model.view or config.model.image_size
    window = min(size[0], known[0]), min(size[1], known[1])
    crowded = math.ceil(CROWDED * look.slots * math.prod(window) / math.prod(size))
    model = viewing(config.model, window, max(config.model.slots, min(look.slots, crowded)))
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
    return VideoRunConfig(data, model, on_a_video(config.train, frames))


def run_on_videos(
    config: VideoRunConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    resume: bool = False,
    progress: bool = True,
    world: World = ALONE,
) -> VideoResult | None:
    """Train on videos, and leave weights, pictures of a clip and figures in the run folder.

    A run that starts from trained weights keeps them unless it ends with better ones: both are compared on the end of
    each video, which training does not see (:mod:`~scalor_pyro.experiments.comparing`). A run from scratch whose
    objects vanish at its start begins again with half the sigma, so that fainter objects count; once.

    :param folder: of the run; see :mod:`scalor_pyro.runs.folder`. Beside the files of training it then holds
        ``results.json``, ``pictures/`` and ``player.html``.
    :param device: where to compute.
    :param resume: continue the run in the folder.
    :param progress: show a progress bar.
    :param world: the processes that train together; each keeps the frames of all videos in memory.
    :return: the figures, or None if training was interrupted.
    :raises ValueError: for anything that the user has to fix, in one sentence.
    """
    prepared, watch = prepare(config, device), VanishWatch()
    ended = train(
        prepared.scalor,
        prepared.clips,
        config,
        folder,
        callbacks=[watch] if may_restart(config) else [],
        resume=resume,
        progress=progress,
        world=world,
    )
    if step := world.on_rank_0(lambda: watch.step):
        again = with_half_the_sigma(config)
        world.on_rank_0(lambda: begin_again(config, again, step, RunFolder(folder)))
        return run_on_videos(again, folder, device=device, progress=progress, world=world)
    world.on_rank_0(lambda: save_background_image(config, folder, prepared.background))
    if ended.interrupted:
        return None
    return world.on_rank_0(lambda: finish(prepared, config, ended.step, RunFolder.open(folder)))


def may_restart(config: VideoRunConfig) -> bool:
    """Whether a run may begin again with half the sigma: once, and not where trained weights know the objects."""
    return config.train.start_from is None and not config.restarted


def with_half_the_sigma(config: VideoRunConfig) -> VideoRunConfig:
    """The config of the second attempt."""
    return replace(config, model=replace(config.model, sigma=config.model.sigma / 2), restarted=True)


def begin_again(before: VideoRunConfig, after: VideoRunConfig, step: int, folder: RunFolder) -> None:
    """Say that objects vanished, and empty the folder for the second attempt."""
    logger.warning(
        "By step %d, objects draw nothing any more: training starts again with sigma %g, half of %g.",
        step,
        after.model.sigma,
        before.model.sigma,
    )
    folder.discard()


class Prepared(NamedTuple):
    """What a run is trained with."""

    scalor: Scalor
    clips: Clips | SeenClips  # to train on
    held_out: Clips | SeenClips | None  # to compare on; None: the run starts from scratch
    start: dict[str, Tensor]  # the weights before training
    background: BackgroundImage | None  # of the whole region, if it is known already


def prepare(config: VideoRunConfig, device: torch.device | str) -> Prepared:
    """Read the videos of a run, and make its model as it is before training."""
    videos = [Video(path, config.video.options) for path in config.video.paths]
    whole = Clips(videos, config.clip_length, config.seed)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = Scalor(config.model).to(device)
    clips: Clips | SeenClips = whole
    held_out: Clips | SeenClips | None = None
    background = None
    if config.sees_differences:
        background = region_background_image(config)
        clips = seen_clips(whole, config, background.image)
        _stand_still(scalor)
    if config.train.start_from is not None:
        clips, held_out = clips.split(HELD_OUT)
        start_from(config.train.start_from, parameters_to_start(scalor))
    if not config.sees_differences:
        scalor.set_background_image(clips.batch(0, BACKGROUND_FRAMES, frames=1).tensor(device).flatten(0, 1))
    return Prepared(scalor, clips, held_out, copy_weights(scalor), background)


def _stand_still(scalor: Scalor) -> None:
    """Fix the background image of a model that sees differences: nothing moves in it, in whatever window."""
    image = scalor.background_image
    assert image is not None and scalor.background is not None
    scalor.set_background_image(torch.full_like(image, STILL)[None])
    scalor.background.decoder.get_parameter("image").register_hook(torch.zeros_like)


def finish(prepared: Prepared, config: VideoRunConfig, steps: int, folder: RunFolder) -> VideoResult:
    """Keep the better weights, and write figures, pictures and the player.

    :param steps: of the training.
    """
    scalor, held_out = prepared.scalor, None
    if prepared.held_out is not None:
        learned = dict(scalor.named_parameters())
        scheduled = {name: value for name, value in scalor.state_dict().items() if name not in learned}
        start = {**prepared.start, **scheduled}
        clips = prepared.held_out.batch(0, COMPARED).tensor(next(scalor.parameters()).device)
        held_out = compare(scalor, start, clips)
        if not held_out.is_better:
            scalor.load_state_dict(start)
            write_weights(folder.weights, copy_weights(scalor), config_to_dict(config), {"step": 0})
    figures, notes = report(scalor, prepared.clips, config, folder)
    about: dict[str, Any] = {"steps": steps, **figures._asdict()}
    if held_out is not None:
        kept = "end" if held_out.is_better else "start"
        about["held_out"] = {**held_out._asdict(), "kept": kept}
    write_atomically(folder.path / RESULTS, json.dumps(about, indent=1).encode())
    return VideoResult(figures, held_out, notes)


def report(
    scalor: Scalor, clips: Clips | SeenClips, config: VideoRunConfig, folder: RunFolder
) -> tuple[VideoFigures, list[str]]:
    """Apply the model to some clips: draw pictures and the player.

    :return: the figures, and what seems wrong.
    """
    batch = clips.batch(LOOKED_AT_FROM, LOOKED_AT)
    frames = batch.tensor()
    inference = infer(scalor, frames.to(next(scalor.parameters()).device))
    figures = figures_of(inference)
    options, model = config.video.options, config.model
    crop = Video(config.video.paths[0], options).geometry.crop
    read = options.size or model.image_size
    scale = math.sqrt(crop.height * crop.width / math.prod(read))  # px of the file / px of the model
    side, region = scale * math.sqrt(math.prod(model.image_size)), config.video.region_slots
    notes = of_inference(inference, model.slots, side, options.stride, region if config.sees_differences else None)
    if isinstance(batch, SeenBatch):
        frames, inference = batch.original(), batch.shown(inference)
    save_pictures(folder.pictures, frames, inference, rows=folder.rows())
    write_player(folder.path / "player.html", frames, inference)
    return figures, notes


def figures_of(inference: Inference) -> VideoFigures:
    """The figures of clips, defined as in the metrics of training."""
    propagated, rediscovered = int(inference.propagated.sum()), int(inference.discovered[:, 1:].sum())
    return VideoFigures(
        objects_per_frame=float((inference.identity >= 0).sum(-1).float().mean()),
        propagation_rate=propagated / max(1, propagated + rediscovered),
        foreground_share=float(inference.foreground.mean()),
    )


def load_figures(folder: str | Path) -> VideoFigures:
    """The figures that :func:`report` wrote.

    :raises ConfigError: if there are none, because training was interrupted, or the file is damaged.
    """
    path = Path(folder) / RESULTS
    try:
        figures = read_json(path)
        return VideoFigures(*(float(figures[name]) for name in VideoFigures._fields))
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise ConfigError(f"{path}: expected the figures of a finished run.") from error
