"""How large are the objects of a video? A Pyro program without latents, which brings videos to the scale of a model."""

from collections.abc import Mapping
from typing import NamedTuple

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor

from scalor_pyro.config import SizeModelConfig
from scalor_pyro.model.program import StoredModule
from scalor_pyro.sizes.network import CELL, SizeNetwork

# Three frames are seen at once, of which the second is the one that is asked about: how parts move together tells whose
# they are. The last is farther away, because slow objects hardly move from one frame to the next.
SEEN, ASKED = (0, 1, 3), 1
# px, the side whose logarithm is 0: that of the objects of a model for any scene.
UNIT = 10.0
# A log side of an object of UNIT px is known to about this; that of others in proportion to their side, so that an
# object counts by its side, not by its area.
SCALE = 0.2
# Pictures tell a log side from -LARGEST to LARGEST, which is from 1 to 100 px.
LARGEST = 2.3
# In training, differences are multiplied by a number within this factor of 1, because the gain of a video varies.
GAIN = 1.7


class Said(NamedTuple):
    """What is said of each square of :data:`~scalor_pyro.sizes.network.CELL` px; (B, h, w) each."""

    logit: Tensor  # of the probability that it belongs to an object
    log_side: Tensor  # log of the object's side / UNIT; see :class:`ObjectSizes`


class Told(NamedTuple):
    """What is known of each square; (B, h, w) each."""

    covered: Tensor  # 1 or 0: whether most of it belongs to an object
    known: Tensor  # bool: whether the side is known
    log_side: Tensor


class ObjectSizes(StoredModule):
    """p(covered, side | frames): at every place of a frame, whether there is an object, and how large it is.

    The side of an object is that of the square with its area, by its box: SIDE_OF_BOX · √(w · h) of the box around its
    mask. Nothing is latent, so the guide is empty, and inference is maximum likelihood.

    Not part of the paper.

    :param config: of the network.
    """

    def __init__(self, config: SizeModelConfig) -> None:
        super().__init__()
        self.config = config
        self.network = SizeNetwork(len(SEEN) * config.channels, config.widths)
        self.last_statistics: dict[str, Tensor] = {}

    def schedule(self, values: Mapping[str, float]) -> None:
        """Does nothing: there are no scheduled quantities."""

    def forward(self, frames: Tensor) -> Said:
        """Look at frames.

        :param frames: (B, 3, C, H, W) in [0, 1], as :func:`scalor_pyro.data.movers.differences` shows them.
        """
        return Said(*self.network(2 * frames.flatten(1, 2) - 1).unbind(1))

    def model(self, clips: Tensor) -> None:
        """Observe what is known of clips.

        :param clips: (B, 4, C, H, W), see :class:`scalor_pyro.sizes.videos.SizedMovers`.
        """
        self.store_name.register(self)
        clips = _turned(clips) if self.training else clips
        frames, told = clips[:, : len(SEEN)], told_in(clips[:, len(SEEN)])
        said = self(_amplified(frames) if self.training else frames)
        with pyro.plate("videos", len(clips), device=str(clips.device)):
            pyro.sample("covered", dist.Bernoulli(logits=said.logit).to_event(2), obs=told.covered)
            sides = dist.Laplace(said.log_side, SCALE * told.log_side.exp()).mask(told.known)
            pyro.sample("log_side", sides.to_event(2), obs=told.log_side)

    def guide(self, clips: Tensor) -> None:
        """Nothing is latent."""


def coded(covered: Tensor, side: Tensor) -> Tensor:
    """A picture in [0, 1] that tells the sizes in a frame, to be kept beside the frames of a clip.

    (…, H, W) → (…, 3, H, W)

    :param covered: whether there is an object.
    :param side: px; NaN where it is not known.
    """
    known = ~torch.isnan(side)
    log_side = torch.where(known, side, UNIT).div(UNIT).log()
    level = ((log_side + LARGEST) / (2 * LARGEST)).clamp(0, 1)
    return torch.stack((covered.to(level.dtype), known.to(level.dtype), level), -3)


def told_in(picture: Tensor) -> Told:
    """What a picture of :func:`coded` tells of each square.

    :param picture: (B, 3, H, W).
    """
    covered, known, level = F.avg_pool2d(picture, CELL, ceil_mode=True).unbind(1)
    level = F.avg_pool2d(picture[:, 1] * picture[:, 2], CELL, ceil_mode=True) / known.clamp(min=1e-6)
    return Told((covered > 0.5).to(picture.dtype), known > 0.5, 2 * LARGEST * level - LARGEST)


def _turned(clips: Tensor) -> Tensor:
    """Each flipped, transposed, or light for dark, or not. (B, T, C, H, W)"""

    def half() -> Tensor:
        return torch.rand(len(clips), 1, 1, 1, 1, device=clips.device) < 0.5

    for axis in (-1, -2):
        clips = torch.where(half(), clips.flip(axis), clips)
    if clips.shape[-1] == clips.shape[-2]:
        clips = torch.where(half(), clips.mT, clips)
    frames, told = clips.split((len(SEEN), 1), 1)
    return torch.cat((torch.where(half(), 1 - frames, frames), told), 1)


def _amplified(frames: Tensor) -> Tensor:
    """Differences, multiplied. (B, T, C, H, W)"""
    gain = GAIN ** (2 * torch.rand(len(frames), 1, 1, 1, 1, device=frames.device) - 1)
    return (0.5 + gain * (frames - 0.5)).clamp(0, 1)


def typical_side(log_side: Tensor, weight: Tensor) -> float:
    """The side of a typical object, in units of :data:`UNIT`: the median over places, each by one over its side.

    :param log_side: of any shape.
    :param weight: how much of each place belongs to an object; some of it is above 0.
    """
    order = log_side.flatten().argsort()
    total = (weight * (-log_side).exp()).flatten()[order].cumsum(0)
    middle = int(torch.searchsorted(total, total[-1] / 2).clamp(max=len(order) - 1))
    return float(log_side.flatten()[order[middle]].exp())
