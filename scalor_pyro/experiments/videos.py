"""A run on the user's videos: from its config to a trained model and pictures.

The camera stands still; all videos of a run show one scene and are read with the same options. A run starts from
trained weights, those for any scene unless others are named, or from scratch. In the first case, a second model may be
trained on the same clips from random weights, and the better one is kept.

:mod:`~scalor_pyro.experiments.video_configs` makes the configs.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from scalor_pyro.config import ConfigError, VideoRunConfig, config_to_dict
from scalor_pyro.data.movers import STILL
from scalor_pyro.experiments.comparing import Choice, compared, on_clips
from scalor_pyro.experiments.video_configs import fresh_run, may_restart, with_half_the_sigma
from scalor_pyro.experiments.windows import SeenBatch, SeenClips, seen_clips
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import Inference, infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.pictures import save_pictures
from scalor_pyro.plots.player import write_player
from scalor_pyro.runs.checkpoint import export_weights, load_training_state
from scalor_pyro.runs.configs import read_json
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import start_from
from scalor_pyro.runs.weights import copy_weights, write_weights
from scalor_pyro.tracks.checks.sentences import of_inference
from scalor_pyro.training.collapse import VanishWatch
from scalor_pyro.training.distributed import ALONE, World
from scalor_pyro.training.loop import parameters_to_start, train
from scalor_pyro.video import Clips, Video
from scalor_pyro.video.background.files import region_background_image, save_background_image
from scalor_pyro.video.background.image import BACKGROUND_FRAMES, BackgroundImage, estimate_background_image

logger = logging.getLogger(__name__)

RESULTS = "results.json"
# The folder, in that of the run, of the model that begins with random weights.
FRESH = "fresh"
# Number of clips for the figures at the end, and their first index in the stream: beyond all that training reads.
LOOKED_AT, LOOKED_AT_FROM = 16, 1_000_000_000
# The part of each video, at its end, that weights are compared on, and the number of clips for that.
HELD_OUT, COMPARED = 0.2, 24


class VideoFigures(NamedTuple):
    """What a trained model finds in its training videos."""

    objects_per_frame: float
    propagation_rate: float  # of the objects drawn after a clip's first frame, the share that was propagated
    foreground_share: float  # of the picture, drawn by objects


class VideoResult(NamedTuple):
    """How a run ended."""

    figures: VideoFigures
    choice: Choice | None  # None: there was no start to compare with, because it was random
    notes: list[str]  # what seems wrong, a sentence each


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

    A run that starts from trained weights keeps them unless it ends with better ones: those of its training, or those
    of a second model, which is trained next. They are compared on the end of each video, which training does not see
    (:mod:`~scalor_pyro.experiments.comparing`). A run from scratch whose objects vanish at its start begins again with
    half the sigma, so that fainter objects count; once.

    :param folder: of the run; see :mod:`scalor_pyro.runs.folder`. Beside the files of training it then holds
        ``results.json``, ``pictures/`` and ``player.html``, and in ``fresh/`` the run of the second model.
    :param device: where to compute.
    :param resume: continue the run in the folder.
    :param progress: show a progress bar.
    :param world: the processes that train together; each keeps the frames of all videos in memory.
    :return: the figures, or None if training was interrupted.
    :raises ValueError: for anything that the user has to fix, in one sentence.
    """
    prepared, watch = prepare(config, device), VanishWatch()
    if config.fresh is not None and not resume:
        world.on_rank_0(lambda: RunFolder.create(folder / FRESH))  # refuses another run before minutes are spent
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
    first, second = Trained(prepared.scalor, config, RunFolder(folder), ended.step), None
    if config.fresh is not None:
        second = train_fresh(prepared, config, folder / FRESH, device, resume, progress, world)
        if second is None:
            return None
    return world.on_rank_0(lambda: finish(prepared, first, second))


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
    scalor = _untrained(config, device)
    clips: Clips | SeenClips = whole
    held_out: Clips | SeenClips | None = None
    background = None
    if config.sees_differences:
        background = region_background_image(config)
        clips = seen_clips(whole, config, background.image)
    if config.train.start_from is not None:
        clips, held_out = clips.split(HELD_OUT)
        start_from(config.train.start_from, parameters_to_start(scalor))
    if not config.sees_differences:
        scalor.set_background_image(clips.batch(0, BACKGROUND_FRAMES, frames=1).tensor(device).flatten(0, 1))
        image = torch.from_numpy(estimate_background_image(videos).image).to(device) / 255
        scalor.set_background_image(image[None])  # without what rested; the flicker stays
    return Prepared(scalor, clips, held_out, copy_weights(scalor), background)


def _untrained(config: VideoRunConfig, device: torch.device | str) -> Scalor:
    """The model of a run with random weights."""
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = Scalor(config.model).to(device)
    if config.sees_differences:
        _stand_still(scalor)
    return scalor


def _stand_still(scalor: Scalor) -> None:
    """Fix the background image of a model that sees differences: nothing moves in it, in whatever window."""
    image = scalor.background_image
    assert image is not None and scalor.background is not None
    scalor.set_background_image(torch.full_like(image, STILL)[None])
    scalor.background.decoder.get_parameter("image").register_hook(torch.zeros_like)


class Trained(NamedTuple):
    """A model at the end of its training."""

    scalor: Scalor
    config: VideoRunConfig
    folder: RunFolder
    steps: int


def train_fresh(
    prepared: Prepared,
    config: VideoRunConfig,
    folder: Path,
    device: torch.device | str,
    resume: bool,
    progress: bool,
    world: World,
) -> Trained | None:
    """Train the second model of a run.

    :param prepared: the run; the clips are the same.
    :param folder: of the second model.
    :return: None if training was interrupted.
    """
    own = fresh_run(config)
    begun = resume and world.on_rank_0(lambda: RunFolder(folder).state.exists())
    if resume and not begun:
        world.on_rank_0(lambda: RunFolder(folder).discard())  # what it wrote before its first checkpoint
    scalor = _untrained(own, device)
    ended = train(scalor, prepared.clips, own, folder, resume=begun, progress=progress, world=world)
    scalor.schedule(config.train.scheduled(config.train.steps))  # as the first model, so that their ELBOs compare
    return None if ended.interrupted else Trained(scalor, own, RunFolder(folder), ended.step)


def finish(prepared: Prepared, first: Trained, second: Trained | None) -> VideoResult:
    """Keep the best weights in the folder of the run, and write figures, pictures and the player.

    :param prepared: the run.
    :param first: the model that it has trained.
    :param second: the one that began with random weights, if there is one.
    """
    folder, choice, best = first.folder, None, first
    if prepared.held_out is not None:
        start = at_the_start(prepared, first)
        choice = chosen(prepared.held_out, first, start, second)
        if choice.kept == "fresh" and second is not None:
            best = second
            state = load_training_state(second.folder.state)
            export_weights(folder, replace(state, weights=copy_weights(second.scalor)))
        elif choice.kept == "start":
            first.scalor.load_state_dict(start)
            write_weights(folder.weights, copy_weights(first.scalor), config_to_dict(first.config), {"step": 0})
    figures, notes = report(best.scalor, prepared.clips, best.config, folder, best.folder.rows())
    about: dict[str, Any] = {"steps": best.steps, **figures._asdict()}
    if choice is not None:
        about["held_out"] = choice.plain()
    write_atomically(folder.path / RESULTS, json.dumps(about, indent=1).encode())
    return VideoResult(figures, choice, notes)


def at_the_start(prepared: Prepared, trained: Trained) -> dict[str, Tensor]:
    """The weights that a training began with; what schedules drive is as at its end."""
    learned = dict(trained.scalor.named_parameters())
    scheduled = {name: value for name, value in trained.scalor.state_dict().items() if name not in learned}
    return {**prepared.start, **scheduled}


def chosen(held_out: Clips | SeenClips, first: Trained, start: Mapping[str, Tensor], second: Trained | None) -> Choice:
    """Compare the models of a run on clips that they have not seen."""
    clips = held_out.batch(0, COMPARED).tensor(next(first.scalor.parameters()).device)
    after, trained = on_clips(first.scalor, clips), copy_weights(first.scalor)
    first.scalor.load_state_dict(dict(start))
    before = on_clips(first.scalor, clips)
    first.scalor.load_state_dict(trained)
    if second is None:
        return Choice(compared(before, after))
    fresh = on_clips(second.scalor, clips)
    return Choice(compared(before, after), compared(before, fresh), compared(after, fresh))


def report(
    scalor: Scalor,
    clips: Clips | SeenClips,
    config: VideoRunConfig,
    folder: RunFolder,
    rows: Sequence[Mapping[str, Any]],
) -> tuple[VideoFigures, list[str]]:
    """Apply the model to some clips: draw pictures and the player.

    :param rows: the metrics of its training.
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
    save_pictures(folder.pictures, frames, inference, rows=rows)
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
