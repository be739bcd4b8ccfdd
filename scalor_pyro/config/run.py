"""Settings of a whole run: what it is trained on, the model and the training."""

from dataclasses import dataclass, field
from typing import Any, Literal

from scalor_pyro.config.checks import at_least_1, positive, require, require_choice, require_path
from scalor_pyro.config.data import MOST_OBJECTS, DataConfig
from scalor_pyro.config.model import ModelConfig
from scalor_pyro.config.options import option
from scalor_pyro.config.reading import Crop, ReadOptions
from scalor_pyro.config.train import TrainConfig

# Far above any use, as in scalor_pyro.config.data: a gain of 255 makes one step of 8 bits all of the range.
MOST_GAIN = 255.0
# Seeds that all random generators take.
SEEDS = 2**32
SEED_HELP = "random seed of weights, noise and videos"


@dataclass(frozen=True)
class VideoData:
    """The videos of a run, and how they are read; the same frames are found again with it.

    :raises ConfigError: without a path, or for a number of slots or a gain out of range.
    """

    paths: tuple[str, ...]
    options: ReadOptions  # of all videos, for training
    seen_as: Literal["frames", "differences"] = "frames"  # differences from the background image, as in any scene
    gain: float = 1.0  # … multiplied by this; see scalor_pyro.data.movers.differences
    levels: tuple[float, float] | None = (
        None  # values of the first file that became black and white; None: it has 8 bits
    )
    region: Crop | None = None  # px of the file: where to look for objects after training; None: the whole frame
    region_slots: int | None = None  # K there; None: in proportion to its area

    def __post_init__(self) -> None:
        require(len(self.paths) > 0, "paths", self.paths, "at least one path of a video")
        for path in self.paths:
            require_path("paths", path)
        require_choice(self, "seen_as", "frames", "differences")
        positive(self, "gain", most=MOST_GAIN)
        if self.region_slots is not None:
            at_least_1(self, "region_slots", most=MOST_OBJECTS)


# What a second model has in common with the first, so that their ELBOs compare.
ALIKE = ("image_size", "channels", "background", "sigma")


@dataclass(frozen=True)
class FreshConfig:
    """A model that is trained from random weights, beside one that starts from trained ones, on the same clips.

    :raises ConfigError: for a training that starts from weights.
    """

    model: ModelConfig
    train: TrainConfig

    def __post_init__(self) -> None:
        start = self.train.start_from
        require(start is None, "train.start_from", start, "null, because the weights are random")


@dataclass(frozen=True)
class VideoRunConfig:
    """All settings of a run on videos, except for the machine.

    Frames are seen as they are, in the size that they are read in; or as differences from the background image, of
    which the model is trained on windows.

    :raises ConfigError: if the model's frames have another size than those that are read, or are no window of them, or
        its background is not static; for a fresh model that does not see what the model sees.
    """

    video: VideoData
    model: ModelConfig
    train: TrainConfig
    fresh: FreshConfig | None = None  # a second model; the better one is kept
    seed: int = option(0, SEED_HELP)
    restarted: bool = False  # with half the sigma, because objects vanished at first; it happens once
    kind: Literal["video"] = "video"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        size, window = self.video.options.size, self.model.image_size
        if self.sees_differences:
            fits = size is not None and all(side >= part for side, part in zip(size, window, strict=True))
            require(fits, "video.options.size", size, f"at least the model's image_size {window}")
        else:
            require(size == window, "video.options.size", size, f"the model's image_size {window}")
        background = self.model.background
        require(background == "static", "model.background", background, "'static', because the camera stands still")
        if self.fresh is not None:
            self._require_alike(self.fresh.model)

    def _require_alike(self, fresh: ModelConfig) -> None:
        """Refuse a second model whose ELBO says nothing beside that of the first."""
        require(self.sees_differences, "fresh", "a model", "null, because the model sees frames as they are")
        for name in ALIKE:
            own, expected = getattr(fresh, name), getattr(self.model, name)
            require(own == expected, f"fresh.model.{name}", own, f"that of the model, {expected}")

    @property
    def sees_differences(self) -> bool:
        """Whether the model sees differences from the background image."""
        return self.video.seen_as == "differences"

    @property
    def clip_length(self) -> int:
        """T: the most frames in a step of training."""
        trainings = [self.train] if self.fresh is None else [self.train, self.fresh.train]
        return max(stage.frames for train in trainings for stage in train.curriculum)


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run on synthetic videos, except for the machine.

    :raises ConfigError: see :func:`check_run`.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test_data: DataConfig | None = None  # videos to evaluate on; None: the same kind as in training
    seed: int = option(0, SEED_HELP)
    kind: Literal["synthetic"] = "synthetic"

    def __post_init__(self) -> None:
        check_run(self)

    @property
    def evaluated(self) -> DataConfig:
        """The videos to evaluate on."""
        return self.data if self.test_data is None else self.test_data


@dataclass(frozen=True)
class ClipRunConfig:
    """The settings of a run on clips from an array or a dataset, which are not part of it.

    :raises ConfigError: for a seed out of range.
    """

    model: ModelConfig
    train: TrainConfig
    seed: int = 0
    kind: Literal["clips"] = "clips"

    def __post_init__(self) -> None:
        check_seed(self.seed)


def check_seed(seed: int) -> None:
    """Refuse a seed that some random generator does not take.

    :raises ConfigError: for one out of range.
    """
    require(0 <= seed < SEEDS, "seed", seed, "a whole number from 0 to 2**32 - 1")


def check_run(config: Any) -> None:
    """Refuse a run on synthetic videos, of :class:`RunConfig` or a baseline's, whose parts do not fit together.

    :raises ConfigError: for a seed out of range, images of different sizes, or stages longer than a video.
    """
    check_seed(config.seed)
    expected = f"the model's image_size {config.model.image_size}"
    for name, data in (("data", config.data), ("test_data", config.evaluated)):
        require(data.image_size == config.model.image_size, f"{name}.image_size", data.image_size, expected)
    longest = max(stage.frames for stage in config.train.curriculum)
    most = config.data.frames
    require(longest <= most, "train.curriculum", longest, f"stages of at most data.frames = {most} frames")
