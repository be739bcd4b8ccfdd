"""Masks: which object a pixel belongs to, and how much of a pixel each object draws."""

import torch
from torch import Tensor

from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import EPSILON, paste, window_size
from scalor_pyro.model.frame import FrameLatents

# A pixel belongs to an object where the objects' total alpha is above this.
FOREGROUND = 0.5
# The owner of a pixel that belongs to no object. Not -1, which is the identity of an empty slot: a slot without an
# object owns no pixel.
BACKGROUND = -2


def owners(frame: FrameLatents) -> Tensor:
    """The identity of the most important object at each pixel; :data:`BACKGROUND` where there is none. (B, H, W)"""
    objects, alpha = frame.slots.objects, frame.canvas.alpha
    batch, size = len(alpha), (alpha.shape[-2], alpha.shape[-1])
    patches, index = _importance_of(objects, size)
    whose = frame.slots.identity[..., None, None].expand_as(patches).flatten(1)
    patches, index = patches.flatten(1), index.flatten(1)
    most = patches.new_zeros(batch, size[0] * size[1]).scatter_reduce(1, index, patches, "amax")
    wins = (patches > 0) & (patches == most.gather(1, index))
    owner = torch.full_like(most, BACKGROUND, dtype=torch.long)
    owner = owner.scatter_reduce(1, index, torch.where(wins, whose, BACKGROUND), "amax").view(batch, *size)
    return torch.where(alpha[:, 0] > FOREGROUND, owner, BACKGROUND)


def importance(frame: FrameLatents) -> Tensor:
    """Total importance α·z_pres·σ(−z_depth) at each pixel of all objects drawn (paper App. A). (B, 1, H, W)"""
    alpha = frame.canvas.alpha
    total = torch.zeros_like(alpha).flatten(1)
    for objects in (frame.propagated, frame.discovered):
        if objects is not None:
            patches, index = _importance_of(objects, (alpha.shape[-2], alpha.shape[-1]))
            total.scatter_add_(1, index.flatten(1), patches.flatten(1))
    return total.view_as(alpha)


def shares(glimpses: Tensor, where: Tensor, presence: Tensor, depth: Tensor, total: Tensor) -> Tensor:
    """The share of each pixel that each object draws, as :func:`~scalor_pyro.layers.rendering.draw` blends them.

    :param Tensor glimpses: (n, K, C + 1, S, S), the last channel is alpha.
    :param Tensor where: (n, K, 4) z_where
    :param Tensor presence: (n, K) z_pres in [0, 1]
    :param Tensor depth: (n, K) z_depth
    :param Tensor total: (n, 1, H, W), see :func:`importance`.
    :return: (n, K, H, W) in [0, 1]
    """
    size = (total.shape[-2], total.shape[-1])
    alphas, index = _pasted(glimpses[:, :, -1:] * presence[..., None, None, None], where, size)
    index = index.flatten(2)
    around = total.flatten(1).gather(1, index.flatten(1)).view_as(alphas)
    drawn = alphas * (alphas * torch.sigmoid(-depth)[..., None, None]) / (around + EPSILON)
    masks = alphas.new_zeros(*presence.shape, size[0] * size[1])
    return masks.scatter_(2, index, drawn.flatten(2)).unflatten(2, size)


def _importance_of(objects: Objects, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """α·z_pres·σ(−z_depth) of each object, see :func:`_pasted`."""
    weight = objects.presence * torch.sigmoid(-objects.depth[..., 0])
    return _pasted(objects.glimpse[:, :, -1:] * weight[..., None, None, None], objects.where, size)


def _pasted(glimpses: Tensor, where: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Glimpses (n, K, 1, S, S), each in a window around its object, and where the pixels are in the flattened image.

    :return: twice (n, K, P_y, P_x)
    """
    sides = where[..., 1].max(), where[..., 0].max()  # largest box, vertical and horizontal
    rows, columns = (
        window_size(float(share) * pixels, glimpses.shape[-1], pixels)
        for share, pixels in zip(sides, size, strict=True)
    )
    patches, index = paste(glimpses, where, size, (rows, columns))
    return patches[:, 0], index
