"""Glimpses: what is seen of an object in a frame, cut out and brought to one size."""

import torch
import torch.nn.functional as F
from torch import Tensor

# px, sides of a glimpse; each of its pixels is the mean of DENSE × DENSE points of the frame.
SIDE, DENSE = 24, 2
# A glimpse shows this many times the object's box.
SHOWN = 1.25
# px: smaller boxes are shown as if they had these sides.
SMALLEST = 3.0
# Channels: the difference from the scene (3), the frame itself (3), and whose the pixels are.
CHANNELS = 7
# What a pixel of the object, and one of others, has in the last channel, beside 0 for those of none. It is then
# smoothed over 3 × 3 px and made stronger: masks of a tracker are softer than those of made-up movers.
OWN, OTHERS, SMOOTHED, STRONGER = 1.0, -1.0, 3, 1.2


def layers(frames: Tensor, scene: Tensor, gain: float) -> Tensor:
    """What glimpses are cut out of, but for whose the pixels are. (n, C, H, W) in [0, 1] → (n, 6, H, W) in [-1, 1]

    :param scene: (C, H, W) in [0, 1]; C is 1 or 3.
    :param gain: with which differences are shown, see :func:`scalor_pyro.data.movers.gain_for`.
    """
    difference = (gain * (frames - scene)).clamp(-1, 1)
    itself = (gain * (frames - scene.mean((-1, -2), keepdim=True))).clamp(-2, 2) / 2
    coloured = (-1, 3, -1, -1)
    return torch.cat((difference.expand(coloured), itself.expand(coloured)), 1)


def glimpses_of(seen: Tensor, owner: Tensor, identity: Tensor, box: Tensor) -> Tensor:
    """Glimpses of the objects of a frame. (n, 7, 24, 24) in [-1, 1]

    :param seen: (6, H, W), of :func:`layers`.
    :param owner: (H, W) identity of the object that owns each pixel, below 0 where none does.
    :param identity: (n,) of the objects.
    :param box: (n, 4) their boxes: centre x, centre y, width and height, px.
    """
    (height, width), count = seen.shape[-2:], len(box)
    others = torch.where(owner >= 0, OTHERS, 0.0).expand(count, -1, -1)
    whose = torch.where(owner == identity[:, None, None], OWN, others)[:, None]
    whose = (STRONGER * F.avg_pool2d(whose, SMOOTHED, 1, SMOOTHED // 2)).clamp(-1, 1)
    centre, side = box[:, :2], box[:, 2:].clamp(min=SMALLEST) * SHOWN
    size = box.new_tensor((width, height))
    affine = torch.cat((torch.diag_embed(side / size), (2 * centre / size - 1)[..., None]), -1)
    grid = F.affine_grid(affine, [count, CHANNELS, DENSE * SIDE, DENSE * SIDE], align_corners=False)
    both = torch.cat((seen.expand(count, -1, -1, -1), whose), 1)
    cut = F.grid_sample(both, grid, padding_mode="border", align_corners=False)
    return F.avg_pool2d(cut, DENSE)
