"""Settings of a whole run: what it is trained on, the model and the training."""

from dataclasses import dataclass, field
from typing import Any

from scalor_pyro.config.checks import ConfigError, require
from scalor_pyro.config.data import DataConfig
from scalor_pyro.config.model import ModelConfig
from scalor_pyro.config.options import option
from scalor_pyro.config.reading import Crop, ReadOptions
from scalor_pyro.config.train import TrainConfig

SEED_HELP = "random seed of weights, noise and videos"


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
    seed: int = option(0, SEED_HELP)

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


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run, but for the seed's random numbers and the machine."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test_data: DataConfig | None = None  # what to evaluate on; None: videos like those of training
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        check_run(self)

    @property
    def evaluated(self) -> DataConfig:
        """The videos to evaluate on."""
        return self.data if self.test_data is None else self.test_data


def check_run(config: Any) -> None:
    """Refuse a run, of :class:`RunConfig` or one with another model, whose parts do not fit each other.

    :raises ConfigError: for a seed out of range, images of different sizes, and training on more frames than there are.
    """
    require(0 <= config.seed < 2**32, "seed", config.seed, "a whole number from 0 to 2**32 - 1")
    require(
        config.data.image_size == config.model.image_size == config.evaluated.image_size,
        "data.image_size",
        config.data.image_size,
        f"the model's image_size {config.model.image_size}",
    )
    longest = max(stage.frames for stage in config.train.curriculum)
    require(longest <= config.data.frames, "train.curriculum", f"{longest} frames", f"up to {config.data.frames}")
