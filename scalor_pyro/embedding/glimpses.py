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
# px beyond what a glimpse shows that have a part in it: half a pixel by rounding, one by sampling, one by smoothing.
AROUND = 3


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
    centre, side = box[:, :2], box[:, 2:].clamp(min=SMALLEST) * SHOWN
    # All that glimpses show lies in windows of one size, which are cheaper to smooth and to sample than whole frames.
    first, size = _windows(centre, side, (owner.shape[-1], owner.shape[-2]))
    columns, rows = (first[:, axis, None] + torch.arange(size[axis], device=box.device) for axis in (0, 1))
    place = (rows[:, :, None], columns[:, None, :])
    whose = torch.where(owner[place] >= 0, OTHERS, 0.0)
    whose = torch.where(owner[place] == identity[:, None, None], OWN, whose)[:, None]
    whose = (STRONGER * F.avg_pool2d(whose, SMOOTHED, 1, SMOOTHED // 2)).clamp(-1, 1)
    windows = torch.cat((seen[(slice(None), *place)].transpose(0, 1), whose), 1)
    of_x, of_y = (_weights(centre[:, axis] - first[:, axis], side[:, axis], size[axis]) for axis in (0, 1))
    glimpses: Tensor = of_y[:, None] @ windows @ of_x[:, None].mT
    return glimpses


def _windows(centre: Tensor, side: Tensor, frame: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Windows inside a frame that hold what glimpses show, and AROUND more where the frame does.

    :param centre: (n, 2) x, y of glimpses, px.
    :param side: (n, 2) likewise.
    :param frame: W, H.
    :return: their first pixels (n, 2), and their size.
    """
    largest = side.amax(0).ceil().long() + 2 * AROUND
    size = min(int(largest[0]), frame[0]), min(int(largest[1]), frame[1])
    most = centre.new_tensor([frame[0] - size[0], frame[1] - size[1]])
    first = (centre - centre.new_tensor(size) / 2).round().clamp(min=0).minimum(most)
    return first.long(), size


def _weights(centre: Tensor, side: Tensor, size: int) -> Tensor:
    """How much each pixel of a window has of each pixel of a glimpse, along one axis. (n, 24, size)

    :param centre: (n,) of glimpses in their windows, px.
    :param side: (n,) likewise.
    """
    points = (torch.arange(DENSE * SIDE, device=centre.device) + 0.5) / (DENSE * SIDE) - 0.5
    # Bilinear; outside the frame, all is as at its border.
    places = (centre[:, None] + side[:, None] * points).clamp(0.5, size - 0.5)
    pixels = torch.arange(size, device=centre.device) + 0.5
    weights = (1 - (places[..., None] - pixels).abs()).clamp(min=0)
    return weights.unflatten(1, (SIDE, DENSE)).mean(2)
