"""Configuration of the baselines: frozen dataclasses, as in :mod:`scalor_pyro.config`."""

from dataclasses import dataclass, field
from typing import Literal

from scalor_pyro.config.checks import at_least_1, positive, require, require_sides
from scalor_pyro.config.data import MOST_OBJECTS, MOST_PIXELS, DataConfig
from scalor_pyro.config.model import MOST_FEATURES, ModelConfig
from scalor_pyro.config.run import check_run
from scalor_pyro.config.train import TrainConfig

# How often the encoder halves a frame.
HALVINGS = 3
# Groups of channels that are normalised together.
GROUPS = 4


def _check_width(width: int) -> None:
    fits = 1 <= width <= MOST_FEATURES and width % GROUPS == 0
    require(fits, "width", width, f"a multiple of {GROUPS}, up to {MOST_FEATURES:,}")


@dataclass(frozen=True)
class FrameModelConfig:
    """A model that describes each frame as a whole."""

    latent_dim: int  # D
    image_size: tuple[int, int] = (64, 64)  # H, W in px
    channels: int = 3  # C
    memory_dim: int = 128  # R, of the LSTM
    width: int = 16  # channels of the first convolution; later ones have twice as many
    sigma: float = 0.2  # standard deviation of a pixel

    def __post_init__(self) -> None:
        at_least_1(self, "latent_dim", "memory_dim", most=MOST_FEATURES)
        positive(self, "sigma", most=100)
        require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (colour)")
        _check_width(self.width)
        require_sides("image_size", self.image_size, 1, MOST_PIXELS)
        halves = all(size % 2**HALVINGS == 0 for size in self.image_size)
        require(halves, "image_size", self.image_size, f"multiples of {2**HALVINGS} px")

    @property
    def background(self) -> str:
        """The model has no background of its own."""
        return "none"


@dataclass(frozen=True)
class VRNNConfig(FrameModelConfig):
    """:class:`~scalor_pyro.baselines.vrnn.VRNN`."""

    latent_dim: int = 128


@dataclass(frozen=True)
class SequentialVAEConfig(FrameModelConfig):
    """:class:`~scalor_pyro.baselines.sequential_vae.SequentialVAE`."""

    latent_dim: int = 64


@dataclass(frozen=True)
class SQAIRConfig:
    """:class:`~scalor_pyro.baselines.sqair.SQAIR`; fields shared with SCALOR mean the same there."""

    image_size: tuple[int, int] = (64, 64)  # H, W in px
    channels: int = 3  # C
    slots: int = 4  # K: objects carried from frame to frame, and steps of discovery in a frame
    object_size: float = 20.0  # px, the typical object
    box_margin: float = 1.25  # side of the typical box / object_size
    size_range: float = 0.15  # a box's side / that of the typical box is within 1 ± size_range
    aspect_range: float = 0.2  # a box's log aspect is within ± aspect_range
    move_range: float = 0.2  # a centre deviates by at most this share of half the image per frame
    z_what_dim: int = 32  # D
    glimpse_size: int = 16  # S
    width: int = 32  # channels of the feature map in which discovery searches
    tracker_dim: int = 128  # R, state of the guide's RNNs
    prior_dim: int = 64  # state of the model's RNN
    sigma: float = 0.5  # standard deviation of a pixel; with SCALOR's 0.2, two boxes share one object
    presence_threshold: float = 0.5  # an object with z_pres above this is propagated
    first_looks: int = 1  # passes over the first frame; one is enough, since each discovery sees the earlier ones
    logit_bound: float = 8.8  # presence logits are within ± this

    def __post_init__(self) -> None:
        at_least_1(self, "slots", most=MOST_OBJECTS)
        _check_width(self.width)
        self.of_objects()

    @property
    def background(self) -> str:
        """SQAIR models objects only."""
        return "none"

    def of_objects(self) -> ModelConfig:
        """The parts that SQAIR shares with SCALOR: boxes, glimpses, appearance, and the prior of propagation.

        Discovery has no grid: a single cell, as large as the image, may hold an object anywhere.
        """
        return ModelConfig(
            image_size=self.image_size,
            channels=self.channels,
            cells=(1, 1),
            cell_reach=0.5,
            slots=self.slots,
            first_shortlist=1,
            shortlist=1,
            object_size=self.object_size,
            box_margin=self.box_margin,
            size_range=self.size_range,
            aspect_range=self.aspect_range,
            move_range=self.move_range,
            z_what_dim=self.z_what_dim,
            glimpse_size=self.glimpse_size,
            tracker_dim=self.tracker_dim,
            prior_dim=self.prior_dim,
            sigma=self.sigma,
            presence_threshold=self.presence_threshold,
            logit_bound=self.logit_bound,
            constant_velocity=False,
        )


@dataclass(frozen=True)
class BaselineRun:
    """The settings of a baseline's run, like :class:`~scalor_pyro.config.RunConfig` for SCALOR."""

    model: VRNNConfig | SequentialVAEConfig | SQAIRConfig
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test_data: DataConfig | None = None  # videos to evaluate on; None: the same kind as in training
    seed: int = 0

    def __post_init__(self) -> None:
        check_run(self)
        if isinstance(self.model, SQAIRConfig):
            background = self.data.background
            require(not background, "data.background", background, "False, because SQAIR has no background")

    @property
    def evaluated(self) -> DataConfig:
        """The videos to evaluate on."""
        return self.data if self.test_data is None else self.test_data


@dataclass(frozen=True)
class VRNNRun(BaselineRun):
    """A run of :class:`~scalor_pyro.baselines.vrnn.VRNN`."""

    model: VRNNConfig = field(default_factory=VRNNConfig)
    kind: Literal["vrnn"] = "vrnn"


@dataclass(frozen=True)
class SequentialVAERun(BaselineRun):
    """A run of :class:`~scalor_pyro.baselines.sequential_vae.SequentialVAE`."""

    model: SequentialVAEConfig = field(default_factory=SequentialVAEConfig)
    kind: Literal["sequential-vae"] = "sequential-vae"


@dataclass(frozen=True)
class SQAIRRun(BaselineRun):
    """A run of :class:`~scalor_pyro.baselines.sqair.SQAIR`."""

    model: SQAIRConfig = field(default_factory=SQAIRConfig)
    kind: Literal["sqair"] = "sqair"
