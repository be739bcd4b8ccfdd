"""Configuration of the baselines: frozen dataclasses, as in :mod:`scalor_pyro.config`."""

from dataclasses import dataclass, field

from scalor_pyro.config.checks import ConfigError, positive
from scalor_pyro.config.data import DataConfig
from scalor_pyro.config.model import ModelConfig
from scalor_pyro.config.run import check_run
from scalor_pyro.config.train import TrainConfig

# The encoder halves a frame so many times.
HALVINGS = 3
# Channels are normalised in this many groups.
GROUPS = 4


def _check_width(width: int) -> None:
    if width < 1 or width % GROUPS:
        raise ConfigError(f"width is {width!r}, but a multiple of {GROUPS} was expected.")


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
        positive(self, "latent_dim", "memory_dim", "sigma")
        if self.channels not in (1, 3):
            raise ConfigError(f"channels is {self.channels!r}, but 1 (grey) or 3 (colour) was expected.")
        _check_width(self.width)
        if any(size < 1 or size % 2**HALVINGS for size in self.image_size):
            raise ConfigError(f"image_size is {self.image_size!r}, but multiples of {2**HALVINGS} px were expected.")

    @property
    def background(self) -> str:
        """There is none apart from the rest of the frame."""
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
    """:class:`~scalor_pyro.baselines.sqair.SQAIR`; the fields that SCALOR has, too, mean what they mean there."""

    image_size: tuple[int, int] = (64, 64)  # H, W in px
    channels: int = 3  # C
    slots: int = 4  # K: objects carried from frame to frame, and steps of discovery in a frame
    object_size: float = 20.0  # px, the typical object
    box_margin: float = 1.25  # side of the typical box / object_size
    size_range: float = 0.15  # a box is within 1 ± size_range of the typical one
    aspect_range: float = 0.2  # log aspect is within ± aspect_range
    move_range: float = 0.2  # a propagated centre deviates at most this part of the half-image a frame
    z_what_dim: int = 32  # D
    glimpse_size: int = 16  # S
    width: int = 32  # channels of the feature map in which discovery looks for a place
    tracker_dim: int = 128  # R, of the RNNs of the guide
    prior_dim: int = 64  # of the RNN of the model
    sigma: float = 0.5  # standard deviation of a pixel; with SCALOR's 0.2, two boxes share what is one object
    presence_threshold: float = 0.5  # z_pres above it counts as an object that is carried on
    first_looks: int = 1  # looks at the first frame: its discovery sees at once what is found already
    logit_bound: float = 8.8  # presence logits lie within ± this

    def __post_init__(self) -> None:
        positive(self, "slots")
        _check_width(self.width)
        self.of_objects()

    @property
    def background(self) -> str:
        """Objects are all that a frame shows."""
        return "none"

    def of_objects(self) -> ModelConfig:
        """For what SQAIR has in common with SCALOR: boxes, glimpses, appearance, and the prior of propagation.

        Discovery has no grid: one cell as large as the image, in which an object may be anywhere.
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
    """All that decides a run of a baseline, as :class:`~scalor_pyro.config.RunConfig` does of SCALOR."""

    model: VRNNConfig | SequentialVAEConfig | SQAIRConfig
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test_data: DataConfig | None = None  # what to evaluate on; None: videos like those of training
    seed: int = 0

    def __post_init__(self) -> None:
        check_run(self)
        if isinstance(self.model, SQAIRConfig) and self.data.background:
            raise ConfigError(
                "background is True, but for SQAIR videos over black were expected: it has no background."
            )

    @property
    def evaluated(self) -> DataConfig:
        """The videos to evaluate on."""
        return self.data if self.test_data is None else self.test_data


@dataclass(frozen=True)
class VRNNRun(BaselineRun):
    """A run of :class:`~scalor_pyro.baselines.vrnn.VRNN`."""

    model: VRNNConfig = field(default_factory=VRNNConfig)


@dataclass(frozen=True)
class SequentialVAERun(BaselineRun):
    """A run of :class:`~scalor_pyro.baselines.sequential_vae.SequentialVAE`."""

    model: SequentialVAEConfig = field(default_factory=SequentialVAEConfig)


@dataclass(frozen=True)
class SQAIRRun(BaselineRun):
    """A run of :class:`~scalor_pyro.baselines.sqair.SQAIR`."""

    model: SQAIRConfig = field(default_factory=SQAIRConfig)
