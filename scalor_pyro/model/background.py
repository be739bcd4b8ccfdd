"""Background: a latent of its own with its own transition, prior and posterior side by side (paper §3.1, §3.2).

Differs: when a background has to be learned from nothing, either it learns the objects as well, or the objects learn
it. So part of a moving background's z_bg is the frame itself on a coarse grid, averaged where no object is; and a
static background is an image of what the camera sees without objects, given before training, plus the light, described
by a few numbers.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.networks import enlarged, mlp, positive
from scalor_pyro.model.distributions import normal
from scalor_pyro.model.inputs import check_videos

# Colour 0.5 ± 0.25 is one standard deviation of the grid's latents.
GREY, CONTRAST = 0.5, 0.25
# Standard deviations before training.
PRIOR_SCALE, POSTERIOR_SCALE = 0.3, 0.1
# Channels of the residual decoder and encoder.
WIDTH = 16
# Static: the light is computed at this many points each way, too few to draw an object …
LIGHT_POINTS = 4
# … and changes the image by at most this, of the range from black to white.
LIGHT_RANGE = 0.2
LIGHT_HIDDEN = 32
# σ of a normal distribution / its median absolute deviation.
MAD_TO_SIGMA = 1.4826
# Keeps the average of a wholly covered part of the grid finite.
COVERED = 1e-2
# Weights of a static background that belong to one view, and mean nothing in another.
OF_THE_VIEW = ("background.decoder.image", "background.decoder.sigma")


class BackgroundDistribution(NamedTuple):
    """The background of one frame."""

    z_bg: TorchDistribution  # batch (B, 1), event (D_bg)
    memory: Tensor | None  # (B, R)


def z_bg_dim(config: ModelConfig) -> int:
    """D_bg."""
    if config.has_background_image:
        return config.z_bg_light
    return config.channels * config.z_bg_grid**2 + config.z_bg_extra


class BackgroundPrior(nn.Module):
    """p(z_t^bg | z_{t-1}^bg): standard Normal in the first frame, then around the last one (paper eq. 2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dim = z_bg_dim(config)
        self.rnn = nn.GRUCell(self.dim, config.prior_dim)
        self.head = mlp(config.prior_dim, config.prior_dim, 2 * self.dim)

    def forward(self, last: Tensor | None, memory: Tensor | None, batch: int) -> BackgroundDistribution:
        """:param last: (B, 1, D_bg) the last frame's z_bg; None at the start."""
        if last is None:
            zeros = self.rnn.bias_hh.new_zeros(batch, 1, self.dim)
            return BackgroundDistribution(normal(zeros, torch.ones_like(zeros)), memory)
        memory = self.rnn(last[:, 0], memory)
        shift, raw = self.head(memory)[:, None].chunk(2, -1)
        return BackgroundDistribution(normal(last + shift, positive(raw, PRIOR_SCALE)), memory)


class MovingPosterior(nn.Module):
    """q(z_t^bg | x_t, z_t^fg): sees the frame where no object is (paper §3.2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Sequential(
            nn.Conv2d(config.channels + 1, WIDTH, 4, stride=4),
            nn.CELU(inplace=True),
            nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1),
            nn.CELU(inplace=True),
            nn.AdaptiveAvgPool2d((4, 4)),
            nn.Flatten(),
        )
        self.head = mlp(2 * WIDTH * 16, 128, 2 * z_bg_dim(config))

    def forward(self, frame: Tensor, foreground: Tensor) -> BackgroundDistribution:
        """:param Tensor foreground: (B, 1, H, W) total alpha of the objects."""
        visible = 1 - foreground
        shift, raw = self.head(self.encoder(torch.cat((frame * visible, visible), 1))).chunk(2, -1)
        grid = self.config.z_bg_grid
        share = F.adaptive_avg_pool2d(visible, grid)
        mean = F.adaptive_avg_pool2d(frame * visible, grid)
        start = ((mean + COVERED * GREY) / (share + COVERED) - GREY) / CONTRAST
        loc = shift + F.pad(start.flatten(1), (0, self.config.z_bg_extra))
        return BackgroundDistribution(normal(loc[:, None], positive(raw, POSTERIOR_SCALE)[:, None]), None)


class MovingDecoder(nn.Module):
    """z_bg to an image: the coarse grid, smoothly enlarged, and a small learned residual. (B, D_bg) → (B, C, H, W)"""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        height, width = (size // 8 for size in config.view or config.image_size)  # weights do not know a larger image
        self.residual = nn.Sequential(
            nn.Linear(z_bg_dim(config), 64),
            nn.CELU(inplace=True),
            nn.Linear(64, WIDTH * height * width),
            nn.CELU(inplace=True),
            nn.Unflatten(1, (WIDTH, height, width)),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.CELU(inplace=True),
            nn.Conv2d(WIDTH, config.channels, 3, padding=1),
        )
        last = self.residual[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)

    def forward(self, z_bg: Tensor) -> Tensor:
        grid, channels = self.config.z_bg_grid, self.config.channels
        coarse = z_bg[:, : channels * grid**2].view(-1, channels, grid, grid) * CONTRAST + GREY
        size = self.config.image_size
        return enlarged(coarse, size) + enlarged(self.residual(z_bg), size)


class StaticPosterior(nn.Module):
    """q(z_t^bg | x_t, z_t^fg): sees how the frame differs from the background image, where no object is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head = mlp(config.channels * LIGHT_POINTS**2, LIGHT_HIDDEN, 2 * z_bg_dim(config))

    def forward(self, difference: Tensor, foreground: Tensor) -> BackgroundDistribution:
        """The distribution of z_bg.

        :param Tensor difference: (B, C, H, W) frame minus background image, in [-1, 1].
        :param Tensor foreground: (B, 1, H, W) total alpha of the objects.
        """
        visible = 1 - foreground
        share = F.adaptive_avg_pool2d(visible, LIGHT_POINTS)
        light = F.adaptive_avg_pool2d(difference * visible, LIGHT_POINTS) / (share + COVERED)
        loc, raw = self.head(light.flatten(1) / LIGHT_RANGE)[:, None].chunk(2, -1)
        return BackgroundDistribution(normal(loc, positive(raw, POSTERIOR_SCALE)), None)


class StaticDecoder(nn.Module):
    """z_bg to an image: the background image and a smooth change of light. (B, D_bg) → (B, C, H, W)

    The image is a parameter: it starts as the one given to :meth:`StaticBackground.set_image`, and is learned further.
    Where the background itself moves, as water and leaves do, σ of a pixel is larger.
    """

    points: Tensor  # (P, 2)
    sigma: Tensor  # (C, H, W)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.full((config.channels, *config.image_size), GREY))
        self.light = mlp(z_bg_dim(config) + 2, LIGHT_HIDDEN, config.channels)
        side = torch.linspace(-1, 1, LIGHT_POINTS)
        self.register_buffer("points", torch.cartesian_prod(side, side), persistent=False)
        self.register_buffer("sigma", torch.full_like(self.image.detach(), config.sigma), config.flicker > 0)

    def forward(self, z_bg: Tensor) -> Tensor:
        batch, points = len(z_bg), len(self.points)
        places = self.points.expand(batch, points, 2)
        light = LIGHT_RANGE * torch.tanh(self.light(torch.cat((z_bg[:, None].expand(-1, points, -1), places), -1)))
        coarse = light.mT.unflatten(-1, (LIGHT_POINTS, LIGHT_POINTS))  # (B, C, 4, 4)
        _, height, width = self.image.shape
        return self.image + enlarged(coarse, (height, width))


class Background(nn.Module):
    """The background of a model: how it is drawn, what is expected of it, and what the guide infers.

    A background of your own (:class:`~scalor_pyro.model.parts.Parts`) is a subclass, or any module with the attributes:

    - ``decoder(z_bg)``: (B, D_bg) → (B, C, H, W), values around [0, 1].
    - ``prior(last, memory, batch)`` → :class:`BackgroundDistribution`, see :class:`BackgroundPrior`.
    - ``posterior(seen, foreground)`` → :class:`BackgroundDistribution`: ``seen`` (B, C, H, W) is the frame, or, with an
      ``image``, the frame minus this image; ``foreground`` (B, 1, H, W) is the objects' total alpha.
    - ``image``: (C, H, W) detached, if ``config.background`` is "static"; else None.
    - ``sigma``: (C, H, W) standard deviation of each pixel; None: ``config.sigma`` everywhere.
    """

    def __init__(self, decoder: nn.Module, prior: nn.Module, posterior: nn.Module) -> None:
        super().__init__()
        self.decoder, self.prior, self.posterior = decoder, prior, posterior

    @property
    def image(self) -> Tensor | None:
        """The background image, if it is known."""
        return None

    @property
    def sigma(self) -> Tensor | None:
        """Standard deviation of each pixel, if it varies."""
        return None

    def set_image(self, images: Tensor, flicker: Tensor | None = None) -> None:
        """Give a background its image, if it has one: see :meth:`StaticBackground.set_image`."""
        raise ValueError(f"{type(self).__name__} has no background image to set.")


class MovingBackground(Background):
    """A background that changes from frame to frame, and is part of what is inferred.

    :param prior: a replacement for :class:`BackgroundPrior`.
    """

    def __init__(self, config: ModelConfig, prior: nn.Module | None = None) -> None:
        super().__init__(MovingDecoder(config), prior or BackgroundPrior(config), MovingPosterior(config))


class StaticBackground(Background):
    """What a camera at rest sees without objects: an image, set before training, and the light.

    :param prior: a replacement for :class:`BackgroundPrior`.
    """

    decoder: StaticDecoder

    def __init__(self, config: ModelConfig, prior: nn.Module | None = None) -> None:
        super().__init__(StaticDecoder(config), prior or BackgroundPrior(config), StaticPosterior(config))
        self.config = config

    @property
    def image(self) -> Tensor:
        """(C, H, W) the background image, detached."""
        return self.decoder.image.detach()

    @property
    def sigma(self) -> Tensor:
        """(C, H, W) standard deviation of each pixel."""
        return self.decoder.sigma

    @torch.no_grad()
    def set_image(self, images: Tensor, flicker: Tensor | None = None) -> None:
        """Start from the median of images.

        With ``config.flicker``, σ of a pixel is larger where several images differ, or as ``flicker`` says.

        :param images: (n, C, H, W) in [0, 1]
        :param flicker: (C, H, W), see :meth:`set_flicker`.
        :raises ValueError: for images or a flicker of another shape, or values outside [0, 1]; nothing changes then.
        """
        expected = tuple(self.image.shape)
        if images.dim() != 4 or tuple(images.shape[1:]) != expected:
            shape = ", ".join(map(str, expected))
            raise ValueError(f"Background images: expected shape (n, {shape}), got {tuple(images.shape)}.")
        self._require_flicker(flicker)
        check_videos(images[None], self.config)
        self.decoder.image.copy_(images.median(0).values)
        if flicker is None and self.config.flicker > 0 and len(images) > 1:
            flicker = variation(images - self.image)
        if flicker is not None:
            self.set_flicker(flicker)

    @torch.no_grad()
    def set_flicker(self, flicker: Tensor) -> None:
        """Say how much each pixel of the background varies by itself.

        :param flicker: (C, H, W) a standard deviation, see :func:`variation`.
        :raises ValueError: for another shape.
        """
        self._require_flicker(flicker)
        self.sigma.copy_((self.config.flicker * flicker).clamp(min=self.config.sigma))

    def _require_flicker(self, flicker: Tensor | None) -> None:
        if flicker is not None and flicker.shape != self.image.shape:
            raise ValueError(
                f"The background's flicker: expected shape {tuple(self.image.shape)}, got {tuple(flicker.shape)}."
            )


KINDS: dict[str, type[MovingBackground] | type[StaticBackground]] = {
    "moving": MovingBackground,
    "static": StaticBackground,
}


def make_background(config: ModelConfig, prior: nn.Module | None = None) -> Background | None:
    """The background that a config asks for; None for objects over black.

    :param prior: a replacement for :class:`BackgroundPrior`.
    :raises ValueError: for a prior without a background.
    """
    if prior is not None:
        require_background(config, "background_prior")
    kind = KINDS.get(config.background)
    return None if kind is None else kind(config, prior)


def require_background(config: ModelConfig, given: str) -> None:
    """Refuse a part of the background for a model without one.

    :raises ValueError: naming the part.
    """
    if config.background not in KINDS:
        kinds = " or ".join(map(repr, KINDS))
        raise ValueError(
            f"A {given} was given: expected a config whose background is {kinds}, got {config.background!r}."
        )


def variation(differences: Tensor) -> Tensor:
    """How much each pixel varies apart from the light: a robust standard deviation, unaffected by passing objects.

    :param differences: (n, C, H, W) images minus their median.
    :return: (C, H, W)
    """
    cells = differences.unflatten(-1, (LIGHT_POINTS, -1)).unflatten(-3, (LIGHT_POINTS, -1))  # (n, C, 4, h, 4, w)
    light = cells.transpose(-3, -2).flatten(-2).median(-1).values  # (n, C, 4, 4)
    left = differences - F.interpolate(light, differences.shape[-2:], mode="bilinear")
    return MAD_TO_SIGMA * left.abs().median(0).values
