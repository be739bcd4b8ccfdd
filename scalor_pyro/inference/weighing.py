"""Weighing: how many nats a frame gains by what is drawn in it, each object in its own window.

All that one object changes lies in its window, so n objects are weighed at the cost of n windows, not of n frames.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import EPSILON, Layer, Patches, Sum, weighted_patches
from scalor_pyro.model.scalor import Scalor

# Objects of a neighbourhood that may change their depth in one frame.
MOVES = 4


@dataclass(frozen=True, eq=False)
class View:
    """A frame to be explained."""

    frame: Tensor  # (B, C, H, W)
    behind: Tensor  # (B, C, H, W) what is seen where no object is
    sigma: Tensor  # (B, C, H, W)
    window: tuple[int, int]

    @classmethod
    def of(cls, scalor: Scalor, frame: Tensor, behind: Tensor | None) -> "View":
        """A frame as a model sees it; without a background, it is black behind the objects."""
        black = torch.zeros_like(frame) if behind is None else behind.expand_as(frame)
        return cls(frame, black, scalor.sigma.expand_as(frame), scalor.boxes.window)

    def empty(self) -> Sum:
        """Nothing drawn yet."""
        batch, channels, height, width = self.frame.shape
        nothing = self.frame.new_zeros(batch, channels + 1, height * width)
        return Sum(nothing, nothing[:, :1], (height, width))

    def drawn_by(self, objects: Objects) -> Patches:
        """What objects draw in it."""
        parts = (objects.glimpse, objects.where, objects.presence, objects.depth)
        return weighted_patches(*parts, self._size, self.window)

    def layer_of(self, objects: Objects) -> Layer:
        """What objects draw in it, each and all together."""
        patches = self.drawn_by(objects)
        return Layer(patches, Sum.of(patches, self._size))

    def weighed(self, patches: Patches) -> "Weighed":
        """Objects that draw these patches, to be weighed each in its own window."""
        width = self._size[1]
        index = patches.pixel.flatten(1)[:, None].expand(-1, self._parts.shape[1], -1)
        unexplained, behind, precision = self._parts.gather(2, index).chunk(3, 1)
        # Origins of windows are whole pixels: windows overlap where these differ by less than their sides.
        origin = torch.stack((patches.pixel[..., 0, 0] // width, patches.pixel[..., 0, 0] % width), -1)
        apart = (origin[:, :, None] - origin[:, None]).abs()  # (B, n, n, 2)
        near = (apart < torch.tensor(self.window, device=apart.device)).all(-1)
        return Weighed(patches, unexplained, behind, precision, near, self._size)

    @property
    def _size(self) -> tuple[int, int]:
        return self.frame.shape[-2], self.frame.shape[-1]

    @cached_property
    def _parts(self) -> Tensor:
        """The frame minus what is behind, what is behind, and 1, over σ, per pixel of the flattened image."""
        images = torch.cat((self.frame - self.behind, self.behind, torch.ones_like(self.frame)), 1)
        return (images.unflatten(1, (3, -1)) / self.sigma[:, None]).flatten(1, 2).flatten(2)


class Weighed(NamedTuple):
    """Objects that are weighed: all that one of them changes lies in its own window of P pixels."""

    patches: Patches  # of n objects
    unexplained: Tensor  # (B, C, n·P) the frame minus what is behind, over σ
    behind: Tensor  # (B, C, n·P) what is behind, over σ
    precision: Tensor  # (B, C, n·P) 1 over σ
    near: Tensor  # (B, n, n) bool: their windows overlap
    image_size: tuple[int, int]

    def gain(self, canvas: Sum, more: float | Tensor) -> Tensor:
        """Nats by which the frame is likelier if one object alone is changed. (…, B, n)

        :param more: how many times what the object draws is added: 1 draws it as well, −1 leaves it out. One number
            for all, or (…, B, n): several changes are weighed at once.
        """
        if isinstance(more, Tensor):
            more = more.repeat_interleave(self.unexplained.shape[-1] // more.shape[-1], -1)[..., None, :]
        index = self.patches.pixel.flatten(1)[:, None]
        summed = canvas.summed.gather(2, index.expand(-1, canvas.summed.shape[1], -1))
        total = canvas.importance.gather(2, index)
        other = summed + more * self.patches.summed.flatten(2)
        other_total = (total + more * self.patches.importance.flatten(2)).clamp(min=0)
        nats = self._misfit(summed, total) - self._misfit(other, other_total)
        return nats.unflatten(-1, (self.near.shape[1], -1)).sum(-1)

    def _misfit(self, summed: Tensor, total: Tensor) -> Tensor:
        """−log p of each pixel, up to a constant. (…, B, n·P)"""
        seen = summed / (total + EPSILON)
        colour, alpha = seen[..., :-1, :], seen[..., -1:, :]
        left = torch.addcmul(self.unexplained, alpha, self.behind).addcmul(colour, self.precision, value=-1)
        return left.square().sum(-2) / 2


def best_first(weighed: Weighed, canvas: Sum, cost: Tensor, candidates: Tensor) -> tuple[Tensor, Sum]:
    """Which proposals to draw: the one that gains most among its neighbours, then the next over it, while any gains.

    :param cost: (B, n) nats.
    :param candidates: (B, n) bool: the proposals to choose from.
    :return: (B, n) bool, and the canvas with them.
    """
    stays = torch.zeros_like(candidates)
    while True:
        gains = (weighed.gain(canvas, 1) - cost).masked_fill(~candidates | stays, -torch.inf)
        more = _best_nearby(gains, weighed.near)
        if not more.any():
            return stays, canvas
        stays = stays | more
        canvas = canvas.plus(weighed.patches, more.to(cost.dtype))


def _best_nearby(gains: Tensor, near: Tensor) -> Tensor:
    """Which objects gain, and more than all others whose windows overlap theirs. (B, n) bool"""
    rank = gains.argsort(stable=True, dim=1, descending=True).argsort(1)
    first = rank.masked_fill(gains <= 0, rank.shape[1])[:, None].expand_as(near)
    best = first.masked_fill(~near, rank.shape[1]).amin(-1)
    return (gains > 0) & (rank == best)


def best_order(
    weighed: Weighed, canvas: Sum, depth: Tensor, candidates: Tensor, reach: float
) -> tuple[Tensor, Tensor, Sum]:
    """The depths that explain a frame best: the object that gains most among its neighbours moves first.

    :param canvas: with all objects of the frame.
    :param depth: (B, n)
    :param candidates: (B, n) bool: the objects that may move.
    :param reach: depth of an object at the back; −reach at the front.
    :return: (B, n) depths, (B, n) how many times as important each object is with them, and the canvas with them, which
        is the one given if nothing moves.
    """
    ends = torch.stack((torch.full_like(depth, -reach), torch.full_like(depth, reach)))  # (2, B, n)
    times = torch.ones_like(depth)
    for _ in range(MOVES):
        more = torch.sigmoid(-ends) / torch.sigmoid(-depth) - 1
        gains, end = (weighed.gain(canvas, more) - (ends.square() - depth.square()) / 2).max(0)
        chosen = _best_nearby(gains.masked_fill(~candidates, -torch.inf), weighed.near)
        if not chosen.any():
            break
        change = more.gather(0, end[None])[0] * chosen
        canvas = canvas.plus(weighed.patches, change)
        weighed = weighed._replace(patches=weighed.patches.scaled(1 + change))
        times = times * (1 + change)
        depth = torch.where(chosen, ends.gather(0, end[None])[0], depth)
    return depth, times, canvas
