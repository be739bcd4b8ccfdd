"""Settings of made-up movers, and of the model for any scene that is trained on them."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from scalor_pyro.config.checks import at_least_1, positive, require, require_sides
from scalor_pyro.config.data import MOST_FRAMES, MOST_OBJECTS, MOST_PIXELS
from scalor_pyro.config.model import ModelConfig
from scalor_pyro.config.options import option
from scalor_pyro.config.presets import HELD_AT_FIRST
from scalor_pyro.config.run import SEED_HELP, check_seed
from scalor_pyro.config.schedule import Schedule, constant
from scalor_pyro.config.train import MOST_VIDEOS, Stage, TrainConfig

# Kinds of bodies, see :mod:`scalor_pyro.data.mover_bodies`.
BODIES = ("blob", "ellipse", "chain", "box", "spot", "ring", "long", "walker", "crawler")


@dataclass(frozen=True)
class MoverConfig:
    """What videos of made-up movers show.

    :raises ConfigError: for values that no video can have.
    """

    image_size: tuple[int, int] = (64, 64)  # H, W in px
    object_size: float = 10.0  # px; a typical object covers object_size² px
    frames: int = 16
    most: int = 16  # objects in view at a time, at most about this many
    size_spread: float = 0.25  # standard deviation of the log size between videos; within one it is at most this
    bodies: tuple[str, ...] = BODIES  # the kinds that there are; videos show one of them, or all

    def __post_init__(self) -> None:
        require_sides("image_size", self.image_size, 16, MOST_PIXELS)
        positive(self, "object_size", most=MOST_PIXELS)
        at_least_1(self, "frames", most=MOST_FRAMES)
        at_least_1(self, "most", most=MOST_OBJECTS)
        require(0 <= self.size_spread <= 1, "size_spread", self.size_spread, "a number from 0 to 1")
        known = len(self.bodies) > 0 and set(self.bodies) <= set(BODIES)
        require(known, "bodies", self.bodies, f"some of {', '.join(BODIES)}")


@dataclass(frozen=True)
class AnySceneRunConfig:
    """All settings of a run on made-up movers: a model for videos that nobody has trained on.

    It sees frames as differences from the scene, at a scale at which objects are about ``model.object_size`` px.

    :raises ConfigError: for videos that the model cannot see.
    """

    model: ModelConfig
    train: TrainConfig
    movers: MoverConfig = field(default_factory=MoverConfig)
    videos: int = option(4000, "made-up videos to train on", metavar="N")
    seed: int = option(0, SEED_HELP)
    kind: Literal["any-scene"] = "any-scene"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        at_least_1(self, "videos", most=MOST_VIDEOS)
        size, background = self.movers.image_size, self.model.background
        require(size == self.model.image_size, "movers.image_size", size, f"the model's {self.model.image_size}")
        longest = max(stage.frames for stage in self.train.curriculum)
        most = self.movers.frames
        require(longest <= most, "train.curriculum", longest, f"stages of at most movers.frames = {most} frames")
        require(background == "static", "model.background", background, "'static', because the scene is given")

    @property
    def evaluated(self) -> MoverConfig:
        """The videos to evaluate on."""
        return self.movers


@dataclass(frozen=True)
class SizeModelConfig:
    """The network that tells how large objects are, :class:`scalor_pyro.sizes.program.ObjectSizes`.

    :raises ConfigError: for sizes that no network can have.
    """

    image_size: tuple[int, int] = (96, 96)  # H, W in px of the frames to train on; others may have any size
    channels: int = 3
    widths: tuple[int, ...] = (16, 24, 40, 64, 96, 96)  # channels at the scales 1, 1/2, 1/4, … of the frame

    def __post_init__(self) -> None:
        require_sides("image_size", self.image_size, 32, MOST_PIXELS)
        require(self.channels == 3, "channels", self.channels, "3")
        fits = 5 <= len(self.widths) <= 8 and all(0 < width <= 1024 and width % 8 == 0 for width in self.widths)
        require(fits, "widths", self.widths, "5 to 8 multiples of 8, up to 1024")


@dataclass(frozen=True)
class SizesRunConfig:
    """All settings of a run that learns from made-up movers how large objects are.

    :raises ConfigError: for videos that the network cannot see.
    """

    model: SizeModelConfig
    train: TrainConfig
    videos: int = option(16000, "made-up videos to train on", metavar="N")
    seed: int = option(0, SEED_HELP)
    kind: Literal["sizes"] = "sizes"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        at_least_1(self, "videos", most=MOST_VIDEOS)


@dataclass(frozen=True)
class EmbeddingModelConfig:
    """The network that embeds glimpses of objects, :class:`scalor_pyro.embedding.program.GlimpseEmbedding`.

    :raises ConfigError: for sizes that no network can have.
    """

    image_size: tuple[int, int] = (24, 24)  # H, W in px of a glimpse
    channels: int = 7  # the difference from the scene, the frame itself, and whose the pixels are
    widths: tuple[int, int, int, int] = (24, 48, 96, 128)  # channels of the layers
    features: int = 32  # numbers in an embedding
    per_object: int = 8  # glimpses of each object, in training, as the stream of them has

    def __post_init__(self) -> None:
        require(self.image_size == (24, 24), "image_size", self.image_size, "(24, 24)")
        require(self.channels == 7, "channels", self.channels, "7")
        fits = len(self.widths) == 4 and all(0 < width <= 1024 and width % 8 == 0 for width in self.widths)
        require(fits, "widths", self.widths, "4 multiples of 8, up to 1024")
        at_least_1(self, "features", most=1024)
        require(self.per_object == 8, "per_object", self.per_object, "8")


@dataclass(frozen=True)
class EmbeddingRunConfig:
    """All settings of a run that learns from made-up movers which glimpses are of one object.

    :raises ConfigError: for settings that no run can have.
    """

    model: EmbeddingModelConfig
    train: TrainConfig
    videos: int = option(2000, "made-up videos to train on", metavar="N")
    seed: int = option(0, SEED_HELP)
    kind: Literal["embedding"] = "embedding"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        at_least_1(self, "videos", most=MOST_VIDEOS)


def sizes() -> SizesRunConfig:
    """The setting of the network in the package."""
    stages = (Stage(1.0, SIZE_FRAMES, 16),)
    train = TrainConfig(
        steps=6000,
        curriculum=stages,
        learning_rate=2e-3,
        final_learning_rate=4e-5,
        decay_from=0.1,
        clip=1e3,
        log_every=100,
        eval_every=1000,
        eval_videos=400,
        checkpoint_every=500,
    )
    return SizesRunConfig(SizeModelConfig(), train)


def embedding() -> EmbeddingRunConfig:
    """The setting of the network in the package."""
    train = TrainConfig(
        steps=9000,
        curriculum=(Stage(1.0, EMBEDDED, 8),),
        learning_rate=2e-3,
        final_learning_rate=4e-5,
        decay_from=0.0,
        clip=1 / EMBEDDED,  # the loss is that of a glimpse
        log_every=100,
        eval_every=1000,
        eval_videos=100,
        checkpoint_every=500,
    )
    return EmbeddingRunConfig(EmbeddingModelConfig(), train)


def any_scene() -> AnySceneRunConfig:
    """The setting of the weights for any scene.

    Boxes have a wide range of sizes and aspects, so that long bodies and groups of unequal objects fit; pixels have a
    smaller σ than over black, because differences are noisy and objects faint.
    """
    model = ModelConfig(
        background="static",
        cells=(8, 8),
        slots=20,
        first_shortlist=24,
        shortlist=10,
        object_size=10.0,
        size_range=0.4,
        aspect_range=0.8,
        sigma=0.13,
        colour_start=True,
        difference_input=False,  # frames are differences already
    )
    stages = Stage(0.1, 2, 16), Stage(0.5, 4, 8), Stage(1.0, 8, 8)
    train = TrainConfig(steps=4500, curriculum=stages, eval_videos=64, **HELD_AT_FIRST)
    return AnySceneRunConfig(model, train)


# Where a model is told where objects are, movers whose sizes differ more, as MoverConfig.size_spread, …
TAUGHT_SPREAD = 0.5
# … and boxes that can be smaller and larger, and narrower: by itself, it would hold two objects in one of these.
TAUGHT_SIZES, TAUGHT_ASPECTS = 0.65, 1.0
# What the network of sizes is trained on: three frames, and a fourth picture that tells the sizes in one of them.
SIZE_FRAMES = 4
# What the network of embeddings is trained on: 8 glimpses of each of 12 objects.
EMBEDDED = 96
# Where training continues from trained weights: smaller steps, which fall earlier.
FURTHER_RATE, FURTHER_DECAY = 5e-4, 0.4
# … on one video, whose few frames are soon known by heart: still smaller steps, and clips of eight frames.
VIDEO_RATE, VIDEO_FINAL_RATE, VIDEO_DECAY = 1e-4, 1e-5, 0.3
VIDEO_STAGE = Stage(1.0, 8, 4)
# About a minute of one core, and twice as long from random weights.
VIDEO_STEPS, VIDEO_LOG_EVERY = 160, 10
FRESH_STAGES = TrainConfig.curriculum
# … whose objects are released in half the steps of a longer training, so that they are free at its end.
HELD_BRIEFLY: dict[str, Any] = {
    "discovery_bound": Schedule(((30, 1.5), (60, 8.8))),
    "propagation_release": Schedule(((50, 0.0), (100, 1.0))),
}


def further(config: AnySceneRunConfig) -> AnySceneRunConfig:
    """The same setting for a model that is trained already: long clips at once, and schedules at their last values."""
    train = config.train
    stages = train.curriculum[-1:]
    settled = _settled(train)
    train = replace(train, curriculum=stages, learning_rate=FURTHER_RATE, decay_from=FURTHER_DECAY, **settled)
    return replace(config, train=train)


def taught(config: AnySceneRunConfig) -> AnySceneRunConfig:
    """The same setting, for a model that is told where the objects of the made-up videos are."""
    movers = replace(config.movers, size_spread=TAUGHT_SPREAD)
    model = replace(config.model, size_range=TAUGHT_SIZES, aspect_range=TAUGHT_ASPECTS)
    return replace(config, model=model, movers=movers, train=replace(config.train, taught=True))


def on_a_video(train: TrainConfig, frames: int | None = None) -> TrainConfig:
    """How to train a model on a user's video that was trained as `train` says: few, small steps.

    :param frames: T, if clips cannot be longer.
    """
    stage = VIDEO_STAGE if frames is None else replace(VIDEO_STAGE, frames=min(frames, VIDEO_STAGE.frames))
    return TrainConfig(
        steps=VIDEO_STEPS,
        curriculum=(stage,),
        learning_rate=VIDEO_RATE,
        final_learning_rate=VIDEO_FINAL_RATE,
        decay_from=VIDEO_DECAY,
        log_every=VIDEO_LOG_EVERY,
        **_settled(train),
    )


def fresh_on_a_video(frames: int) -> TrainConfig:
    """How to train a model with random weights on a user's video.

    :param frames: T of the longest clips.
    """
    stages = tuple(replace(stage, frames=min(stage.frames, frames)) for stage in FRESH_STAGES)
    return TrainConfig(steps=VIDEO_STEPS, curriculum=stages, log_every=VIDEO_LOG_EVERY, **HELD_BRIEFLY)


def _settled(train: TrainConfig) -> dict[str, Any]:
    """The schedules of a training, at the values that its model is used with."""
    return {name: constant(value) for name, value in train.settled(train.steps).items()}
