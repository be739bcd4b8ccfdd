"""A run on videos of one's own: its config, and the way from there to a trained model and pictures.

The camera stands still: all videos of a run show one scene, and are read in the same way.
"""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from PIL import Image

from scalor_pyro.config import ConfigError, ModelConfig, TrainConfig
from scalor_pyro.distributed import ALONE, World
from scalor_pyro.elbo import ReparamELBO
from scalor_pyro.pictures import save_pictures
from scalor_pyro.player import write_player
from scalor_pyro.posterior import Inference, infer
from scalor_pyro.presets import HELD_AT_FIRST
from scalor_pyro.run_folder import RunFolder, write_atomically
from scalor_pyro.scalor import Scalor
from scalor_pyro.training import train
from scalor_pyro.video import Clips, Crop, Proposal, ReadOptions, Video
from scalor_pyro.video.scene import SCENE_FRAMES, Scenery, scenery_of
from scalor_pyro.views import nearest_size

# In the run folder: the scene of the whole region at the scale of training, and how much it moves by itself.
SCENE, FLICKER = "scene.png", "flicker.png"
RESULTS = "results.json"
# Clips that the figures at the end are of, and where they begin in the stream: far from where training will come.
LOOKED_AT, LOOKED_AT_FROM = 16, 1_000_000_000


@dataclass(frozen=True)
class VideoData:
    """What is read; a later reader finds the same frames with it."""

    paths: tuple[str, ...]
    options: ReadOptions  # of all videos, for training
    region: Crop | None = None  # px of the file: where objects are looked for after training; None: the whole frame
    region_slots: int | None = None  # K there; None: in proportion to its area

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


def proposed_run(paths: tuple[str, ...], given: ReadOptions, proposal: Proposal) -> VideoRunConfig:
    """The config of a run with the proposed sizes, and the start that a static background needs.

    :param given: how the survey read the first video.
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
    world.lead(lambda: save_scene(config, folder))
    return None if ended.interrupted else world.lead(lambda: report(scalor, clips, RunFolder.open(folder)))


def report(scalor: Scalor, clips: Clips, folder: RunFolder) -> VideoFigures:
    """Look at some clips: write figures, pictures and the player."""
    frames = clips.batch(LOOKED_AT_FROM, LOOKED_AT).tensor()
    inference = infer(scalor, frames.to(next(scalor.parameters()).device))
    figures = figures_of(inference)
    write_atomically(folder.path / RESULTS, json.dumps(figures._asdict(), indent=1).encode())
    save_pictures(folder.pictures, frames, inference, rows=folder.rows())
    write_player(folder.path / "player.html", frames, inference)
    return figures


def figures_of(inference: Inference) -> VideoFigures:
    """The figures of clips, as training has them in the rows of its metrics."""
    propagated, rediscovered = int(inference.propagated.sum()), int(inference.discovered[:, 1:].sum())
    return VideoFigures(
        objects_per_frame=float((inference.identity >= 0).sum(-1).float().mean()),
        propagation_rate=propagated / max(1, propagated + rediscovered),
        foreground_share=float(inference.foreground.mean()),
    )


def load_figures(folder: str | Path) -> VideoFigures:
    """The figures that :func:`report` wrote.

    :raises ConfigError: if there are none (the training was interrupted), or the file is damaged.
    """
    path = Path(folder) / RESULTS
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        return VideoFigures(*(float(figures[name]) for name in VideoFigures._fields))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{path} does not hold the figures of a finished run, which were expected.") from error


def region_options(
    config: VideoRunConfig,
    source_size: tuple[int, int],
    region: Crop | None = None,
    object_size: float | None = None,
) -> ReadOptions:
    """How to read the whole region of a video with frames of this size, at the scale and stride of training.

    :param region: another one than that of the run, in px of the file.
    :param object_size: side of an object in px of the file, where that is not as in training; the scale follows.
    """
    trained = config.video.options
    region = region or config.video.region or Crop(0, 0, source_size[1], source_size[0])
    crop = trained.crop or Crop(0, 0, source_size[1], source_size[0])
    if object_size is None:
        vertical, horizontal = (side / of for side, of in zip(config.model.image_size, crop.size, strict=True))
    else:
        vertical = horizontal = config.model.object_size / object_size
    size = nearest_size(config.model, (region.height * vertical, region.width * horizontal))
    return replace(trained, crop=region, size=size, start=0, stop=None)


def save_scene(config: VideoRunConfig, folder: Path) -> None:
    """Keep the scene of the region as two pictures in the run folder."""
    first = Video(config.video.paths[0])
    options = region_options(config, first.info.size)
    within = replace(options, start=config.video.options.start, stop=config.video.options.stop)
    scenery = scenery_of([Video(path, within) for path in config.video.paths])
    for name, values in zip((SCENE, FLICKER), scenery, strict=True):
        pixels, picture = np.moveaxis(values, 0, -1), io.BytesIO()
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(picture, "png")
        write_atomically(folder / name, picture.getvalue())


def load_scene(folder: str | Path) -> Scenery | None:
    """What :func:`save_scene` kept; None where there is none. A run of before has no flicker.

    :raises ConfigError: if a file is not a picture, or the two are not of one size.
    """
    image, flicker = (_load_picture(Path(folder) / name) for name in (SCENE, FLICKER))
    if image is None:
        return None
    if flicker is None:
        flicker = np.zeros_like(image)
    if flicker.shape != image.shape:
        raise ConfigError(
            f"{Path(folder) / FLICKER} has shape {flicker.shape}, but {image.shape}, that of {SCENE}, was expected."
        )
    return Scenery(image, flicker)


def _load_picture(path: Path) -> NDArray[np.uint8] | None:
    """(C, H, W)"""
    if not path.exists():
        return None
    try:
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("L" if picture.mode in ("1", "L", "LA", "I", "I;16") else "RGB"))
    except (OSError, SyntaxError) as error:
        raise ConfigError(f"{path} is not a picture ({error}), but the scene of the run was expected.") from error
    return np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0)
