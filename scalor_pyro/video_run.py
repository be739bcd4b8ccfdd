"""A run on videos of one's own: its config, and the way from there to a trained model and pictures.

The camera stands still: all videos of a run show one scene, and are read in the same way.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pyro
import torch

from scalor_pyro.checkpoint import load_run_as
from scalor_pyro.config import ConfigError, ModelConfig, TrainConfig
from scalor_pyro.distributed import ALONE, World
from scalor_pyro.elbo import ReparamELBO
from scalor_pyro.pictures import save_pictures
from scalor_pyro.player import write_player
from scalor_pyro.posterior import infer
from scalor_pyro.presets import HELD_AT_FIRST
from scalor_pyro.run_folder import RunFolder, write_atomically
from scalor_pyro.scalor import Scalor
from scalor_pyro.training import train
from scalor_pyro.video import Clips, Proposal, ReadOptions, Video

# Frames, from anywhere in the videos, whose median is the scene.
SCENE_FRAMES = 200
# Clips that the figures at the end are of, and where they begin in the stream: far from where training will come.
LOOKED_AT, LOOKED_AT_FROM = 16, 1_000_000_000


@dataclass(frozen=True)
class VideoData:
    """What is read; a later reader finds the same frames with it."""

    paths: tuple[str, ...]
    options: ReadOptions  # of all videos

    def __post_init__(self) -> None:
        if not self.paths:
            raise ConfigError("paths is (), but the path of at least one video was expected.")


@dataclass(frozen=True)
class VideoRunConfig:
    """All that decides a run on videos, but for the machine: as :class:`~scalor_pyro.config.RunConfig` elsewhere.

    :raises ConfigError: if the model is for other frames than those that are read, or has no static background.
    """

    video: VideoData
    model: ModelConfig
    train: TrainConfig
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}, but a whole number from 0 to 2**32 - 1 was expected.")
        if self.video.options.size != self.model.image_size:
            raise ConfigError(
                f"video.options.size is {self.video.options.size}, but the model's image_size {self.model.image_size}"
                " was expected."
            )
        if self.model.background != "static":
            raise ConfigError(f"background is {self.model.background!r}, but 'static' was expected for a video.")

    @property
    def clip_length(self) -> int:
        """T: the most frames in a step of training."""
        return max(stage.frames for stage in self.train.curriculum)


class VideoFigures(NamedTuple):
    """How a trained model sees the videos it was trained on."""

    objects_per_frame: float
    propagation_rate: float  # of the objects drawn after a clip's first frame, the share that was propagated
    foreground_share: float  # of the picture, drawn by objects


def proposed_run(
    paths: tuple[str, ...], given: ReadOptions, proposal: Proposal, budget: TrainConfig, seed: int = 0
) -> VideoRunConfig:
    """The config of a run with the proposed sizes.

    :param given: how the survey read the first video.
    :param proposal: from that survey.
    :param budget: steps or minutes, and all that the start over a static background does not say.
    """
    model = ModelConfig(background="static", colour_start=True)
    return VideoRunConfig(
        video=VideoData(paths, proposal.options(given)),
        model=proposal.model(model),
        train=replace(budget, **HELD_AT_FIRST),
        seed=seed,
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

    :param folder: where the run is kept; see :mod:`scalor_pyro.run_folder`. Beside what training writes:
        ``results.json``, ``pictures/`` and ``player.html``.
    :param device: where to compute.
    :param resume: go on with the run in the folder.
    :param progress: show a progress bar.
    :param world: the processes that train together; each keeps the frames of all videos in memory.
    :return: the figures, or None if training was interrupted.
    :raises ValueError: for whatever cannot be done, in one sentence.
    """
    videos = [Video(path, config.video.options) for path in config.video.paths]
    clips = Clips(videos, config.clip_length, config.seed)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = Scalor(config.model).to(device)
    scalor.set_scene(clips.batch(0, SCENE_FRAMES, frames=1).tensor(device).flatten(0, 1))
    elbo = ReparamELBO(analytic_kl=config.train.elbo == "analytic")
    ended = train(scalor, elbo, clips, config, folder, resume=resume, progress=progress, world=world)
    return None if ended.interrupted else world.lead(lambda: report(scalor, clips, RunFolder.open(folder)))


def report(scalor: Scalor, clips: Clips, folder: RunFolder) -> VideoFigures:
    """Look at some clips: write figures, pictures and the player."""
    frames = clips.batch(LOOKED_AT_FROM, LOOKED_AT).tensor()
    inference = infer(scalor, frames.to(next(scalor.parameters()).device))
    seen = scalor.last_statistics
    figures = VideoFigures(*(float(seen[name]) for name in VideoFigures._fields))
    write_atomically(folder.path / "results.json", json.dumps(figures._asdict(), indent=1).encode())
    save_pictures(folder.pictures, frames, inference, rows=folder.rows())
    write_player(folder.path / "player.html", frames, inference)
    return figures


def load_video_run(folder: str | Path) -> tuple[VideoRunConfig, Scalor]:
    """The config of a run on videos, and its trained model on the CPU.

    :raises CheckpointError: if the folder holds no such run.
    """
    config, weights = load_run_as(folder, VideoRunConfig)
    scalor = Scalor(config.model)
    scalor.load_state_dict(weights)
    return config, scalor
