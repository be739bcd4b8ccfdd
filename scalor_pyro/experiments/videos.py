"""A run on the user's videos: its config, and from there a trained model and pictures.

The camera stands still; all videos of a run show one scene and are read with the same options.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pyro
import torch

from scalor_pyro.config import ConfigError, ModelConfig, TrainConfig, VideoData, VideoRunConfig
from scalor_pyro.config.presets import HELD_AT_FIRST
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import Inference, infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.pictures import save_pictures
from scalor_pyro.plots.player import write_player
from scalor_pyro.runs.configs import read_json
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.training.distributed import ALONE, World
from scalor_pyro.training.loop import train
from scalor_pyro.video import Clips, Proposal, ReadOptions, Video
from scalor_pyro.video.background_files import save_background_image
from scalor_pyro.video.background_image import BACKGROUND_FRAMES

RESULTS = "results.json"
# Number of clips for the figures at the end, and their first index in the stream: beyond all that training reads.
LOOKED_AT, LOOKED_AT_FROM = 16, 1_000_000_000


class VideoFigures(NamedTuple):
    """What a trained model finds in its training videos."""

    objects_per_frame: float
    propagation_rate: float  # of the objects drawn after a clip's first frame, the share that was propagated
    foreground_share: float  # of the picture, drawn by objects


def proposed_run(paths: tuple[str, ...], given: ReadOptions, proposal: Proposal) -> VideoRunConfig:
    """The config of a run with the proposed sizes, and with the schedules that a static background needs at first.

    :param given: the options that the survey read the first video with.
    :param proposal: from that survey.
    """
    model = ModelConfig(background="static", colour_start=True)
    slots = max(proposal.slots, proposal.region_slots)
    return VideoRunConfig(
        video=VideoData(paths, proposal.options(given), given.crop, slots),
        model=proposal.model(model),
        train=TrainConfig(**HELD_AT_FIRST),
    )


def run_on_videos(
    config: VideoRunConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    resume: bool = False,
    progress: bool = True,
    world: World = ALONE,
) -> VideoFigures | None:
    """Train on videos, and leave weights, pictures of a clip and figures in the run folder.

    :param folder: of the run; see :mod:`scalor_pyro.runs.folder`. Beside the files of training it then holds
        ``results.json``, ``pictures/`` and ``player.html``.
    :param device: where to compute.
    :param resume: continue the run in the folder.
    :param progress: show a progress bar.
    :param world: the processes that train together; each keeps the frames of all videos in memory.
    :return: the figures, or None if training was interrupted.
    :raises ValueError: for anything that the user has to fix, in one sentence.
    """
    videos = [Video(path, config.video.options) for path in config.video.paths]
    clips = Clips(videos, config.clip_length, config.seed)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = Scalor(config.model).to(device)
    scalor.set_background_image(clips.batch(0, BACKGROUND_FRAMES, frames=1).tensor(device).flatten(0, 1))
    ended = train(scalor, clips, config, folder, resume=resume, progress=progress, world=world)
    world.on_rank_0(lambda: save_background_image(config, folder))
    return None if ended.interrupted else world.on_rank_0(lambda: report(scalor, clips, RunFolder.open(folder)))


def report(scalor: Scalor, clips: Clips, folder: RunFolder) -> VideoFigures:
    """Apply the model to some clips: write figures, pictures and the player."""
    frames = clips.batch(LOOKED_AT_FROM, LOOKED_AT).tensor()
    inference = infer(scalor, frames.to(next(scalor.parameters()).device))
    figures = figures_of(inference)
    write_atomically(folder.path / RESULTS, json.dumps(figures._asdict(), indent=1).encode())
    save_pictures(folder.pictures, frames, inference, rows=folder.rows())
    write_player(folder.path / "player.html", frames, inference)
    return figures


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
