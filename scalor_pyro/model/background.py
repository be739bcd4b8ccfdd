"""Background: a latent of its own with its own transition, prior and posterior side by side (paper §3.1, §3.2).

Differs: with a background that has to be learned from nothing, either it learns the objects as well, or the objects
learn it. So part of a moving background's z_bg is the frame itself on a coarse grid, averaged where no object is; and
a static background is the scene as the camera sees it without objects, given before training, plus what a few numbers
can say of the light.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.networks import mlp, positive
from scalor_pyro.model.distributions import normal

# Colour 0.5 ± 0.25 is one standard deviation of the grid's latents.
GREY, CONTRAST = 0.5, 0.25
# Standard deviations before training.
PRIOR_SCALE, POSTERIOR_SCALE = 0.3, 0.1
# Channels of the residual decoder and encoder.
WIDTH = 16
# Static: the light is worked out at so many points each way, too few to draw an object …
LIGHT_POINTS = 4
# … and changes the scene by at most this, of the range from black to white.
LIGHT_RANGE = 0.2
LIGHT_HIDDEN = 32
# σ of a normal distribution / its median absolute deviation.
MAD_TO_SIGMA = 1.4826
# Keeps the average of a wholly covered part of the grid finite.
COVERED = 1e-2


class BackgroundDistribution(NamedTuple):
    """The background of one frame."""

    z_bg: TorchDistribution  # batch (B, 1), event (D_bg)
    memory: Tensor | None  # (B, R)


def z_bg_dim(config: ModelConfig) -> int:
    """D_bg."""
    if config.background == "static":
        return config.z_bg_light
    return config.channels * config.z_bg_grid**2 + config.z_bg_extra


class BackgroundPrior(nn.Module):
    """p(z_t^bg | z_{t-1}^bg): standard Normal at first, then round the last one (paper eq. 2)."""

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
        smooth = F.interpolate(coarse, size, mode="bilinear")
        return smooth + F.interpolate(self.residual(z_bg), size, mode="bilinear")


class StaticPosterior(nn.Module):
    """q(z_t^bg | x_t, z_t^fg): sees how the frame differs from the scene, where no object is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head = mlp(config.channels * LIGHT_POINTS**2, LIGHT_HIDDEN, 2 * z_bg_dim(config))

    def forward(self, difference: Tensor, foreground: Tensor) -> BackgroundDistribution:
        """Law of z_bg.

        :param Tensor difference: (B, C, H, W) the frame's from the scene, in [-1, 1].
        :param Tensor foreground: (B, 1, H, W) total alpha of the objects.
        """
        visible = 1 - foreground
        share = F.adaptive_avg_pool2d(visible, LIGHT_POINTS)
        light = F.adaptive_avg_pool2d(difference * visible, LIGHT_POINTS) / (share + COVERED)
        loc, raw = self.head(light.flatten(1) / LIGHT_RANGE)[:, None].chunk(2, -1)
        return BackgroundDistribution(normal(loc, positive(raw, POSTERIOR_SCALE)), None)


class StaticDecoder(nn.Module):
    """z_bg to an image: the scene, and a smooth change of light. (B, D_bg) → (B, C, H, W)

    The scene is a parameter: it starts as what :meth:`set_scene` is given, and goes on learning. Where it moves by
    itself, as water and leaves do, a pixel says less: its σ is larger.
    """

    points: Tensor  # (P, 2)
    sigma: Tensor  # (C, H, W)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scene = nn.Parameter(torch.full((config.channels, *config.image_size), GREY))
        self.light = mlp(z_bg_dim(config) + 2, LIGHT_HIDDEN, config.channels)
        side = torch.linspace(-1, 1, LIGHT_POINTS)
        self.register_buffer("points", torch.cartesian_prod(side, side), persistent=False)
        self.least_sigma, self.flicker = config.sigma, config.flicker
        self.register_buffer("sigma", torch.full_like(self.scene.detach(), config.sigma), config.flicker > 0)

    def forward(self, z_bg: Tensor) -> Tensor:
        batch, points = len(z_bg), len(self.points)
        places = self.points.expand(batch, points, 2)
        light = LIGHT_RANGE * torch.tanh(self.light(torch.cat((z_bg[:, None].expand(-1, points, -1), places), -1)))
        coarse = light.mT.unflatten(-1, (LIGHT_POINTS, LIGHT_POINTS))  # (B, C, 4, 4)
        return self.scene + F.interpolate(coarse, self.scene.shape[-2:], mode="bilinear")

    @torch.no_grad()
    def set_background_image(self, images: Tensor) -> None:
        """Start from the median of images (n, C, H, W); several also tell how much each place varies."""
        self.scene.copy_(images.median(0).values)
        if self.flicker > 0 and len(images) > 1:
            self.set_flicker(variation(images - self.scene))

    @torch.no_grad()
    def set_flicker(self, flicker: Tensor) -> None:
        """Say how much each place of the scene varies by itself; (C, H, W), see :func:`variation`."""
        self.sigma.copy_((self.flicker * flicker).clamp(min=self.least_sigma))


def variation(differences: Tensor) -> Tensor:
    """How much each place varies beyond the light: a robust standard deviation, which objects that pass do not change.

    :param differences: (n, C, H, W) of images from the scene.
    :return: (C, H, W)
    """
    cells = differences.unflatten(-1, (LIGHT_POINTS, -1)).unflatten(-3, (LIGHT_POINTS, -1))  # (n, C, 4, h, 4, w)
    light = cells.transpose(-3, -2).flatten(-2).median(-1).values  # (n, C, 4, 4)
    left = differences - F.interpolate(light, differences.shape[-2:], mode="bilinear")
    return MAD_TO_SIGMA * left.abs().median(0).values
