"""Rendering: from glimpses to a frame and back (paper §3.1 "Rendering", App. A).

An object is drawn in a window of P × P pixels around its centre, whatever the size of the image, so its cost does not
grow with the image. Coordinates: z_where = (s_x, s_y, t_x, t_y) with the image as [-1, 1]².
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scalor_pyro.layers.constants import made_once

# Keeps the division by the summed importance finite where there is no object.
EPSILON = 1e-6


class Canvas(NamedTuple):
    """The foreground of a frame: a set of objects, drawn."""

    colour: Tensor  # (B, C, H, W) premultiplied by alpha
    alpha: Tensor  # (B, 1, H, W) total opacity

    def over(self, background: Tensor) -> Tensor:
        """The frame: foreground in front of a background. (B, C, H, W)"""
        return self.colour + (1 - self.alpha) * background


def extract(image: Tensor, where: Tensor, glimpse_size: int) -> Tensor:
    """Cut a glimpse for each box, by bilinear interpolation; outside the image is 0.

    :param Tensor image: (B, C, H, W)
    :param Tensor where: (B, n, 4) z_where
    :param int glimpse_size: S
    :return: (B, n, C, S, S)
    """
    n = where.shape[1]
    scale, centre = where.chunk(2, -1)
    # Both axes at once, here and below: on small tensors, the number of operations is what costs.
    x, y = torch.addcmul(centre[..., None], scale[..., None], glimpse_centres(glimpse_size, where)).unbind(
        2
    )  # (B, n, S)
    grid = torch.stack(
        (x[:, :, None, :].expand(-1, -1, glimpse_size, -1), y[:, :, :, None].expand(-1, -1, -1, glimpse_size)), -1
    )  # (B, n, S_y, S_x, 2)
    flat = F.grid_sample(image, grid.flatten(1, 2), align_corners=False)  # (B, C, n·S, S)
    return flat.unflatten(2, (n, glimpse_size)).transpose(1, 2)


def glimpse_centres(glimpse_size: int, like: Tensor) -> Tensor:
    """Centres of a glimpse's pixels in its own coordinates, [-1, 1]. (S,)"""
    return _steps(like.device, glimpse_size, 1 / glimpse_size - 1, 1 - 1 / glimpse_size, like.dtype)


@made_once
def _steps(device: torch.device, count: int, first: float, last: float, dtype: torch.dtype) -> Tensor:
    return torch.linspace(first, last, count, dtype=dtype, device=device)


@made_once
def _window_places(device: torch.device, image_size: tuple[int, int], window: tuple[int, int]) -> Tensor:
    """For each pixel of a window in the corner of an image, its index in the flattened image. (P_y, P_x)"""
    y, x = (torch.arange(count, device=device) for count in window)
    return y[:, None] * image_size[1] + x


@made_once
def _pairs(device: torch.device, dtype: torch.dtype, *pairs: tuple[float, float]) -> Tensor:
    """Numbers of both axes, (x, y). (n, 2)"""
    filled = [torch.full((), number, dtype=dtype, device=device) for pair in pairs for number in pair]
    return torch.stack(filled).view(-1, 2)


@made_once
def _pixel_centres(device: torch.device, dtype: torch.dtype, image_size: tuple[int, int], count: int) -> Tensor:
    """Centres of the first pixels of each axis, (x, y), in image coordinates. (2, count)"""
    ends = ((1 / pixels - 1, (2 * count - 1) / pixels - 1) for pixels in reversed(image_size))
    return torch.stack([torch.linspace(*end, count, dtype=dtype, device=device) for end in ends])


def window_size(box: float, glimpse_size: int, limit: int) -> int:
    """P: the side in pixels of a window that contains everything a box of this side draws.

    The outermost pixels of a glimpse fade over half a glimpse pixel beyond the box.
    """
    return min(limit, math.ceil(box * (glimpse_size + 1) / glimpse_size) + 1)


def _window_weights(
    where: Tensor, glimpse_size: int, image_size: tuple[int, int], window: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear weights of the pixels of each object's window, and where the window begins.

    :param where: (B, n, 4)
    :return: weights of columns (B, n, P_x, S) and of rows (B, n, P_y, S); index of the window's first pixel in the
        flattened image, (B, n).
    """
    (height, width), (p_y, p_x) = image_size, window
    device, dtype = where.device, where.dtype
    scale, centre = where.chunk(2, -1)  # (B, n, 2)
    room = (width - p_x, height - p_y)
    nothing, most, middle, half, pixel = _pairs(
        device,
        dtype,
        (0.0, 0.0),
        room,
        (room[0] / 2, room[1] / 2),
        (width / 2, height / 2),
        (2 / width, 2 / height),
    ).unbind()
    with torch.no_grad():
        origin = torch.addcmul(middle, centre, half).round()
        origin = origin.nan_to_num(0.0).clamp(nothing, most)  # NaN becomes NaN pixels, not an index out of range
        at_the_border = _pixel_centres(device, dtype, image_size, max(window))  # as many of both axes
        pixel_centre = torch.addcmul(at_the_border, origin[..., None], pixel[:, None])  # (B, n, 2, P)
        x, y = origin.unbind(-1)
        first = torch.add(x, y, alpha=width).long()
    weights = bilinear_weights((pixel_centre - centre[..., None]) / scale[..., None], glimpse_size)
    of_x, of_y = weights.unbind(2)
    return of_x[:, :, :p_x], of_y[:, :, :p_y], first


def paste(
    glimpses: Tensor, where: Tensor, image_size: tuple[int, int], window: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Render glimpses at their boxes, each in its own window.

    :param Tensor glimpses: (B, n, C', S, S)
    :param Tensor where: (B, n, 4)
    :param image_size: (H, W)
    :param window: (P_y, P_x), see :func:`window_size`.
    :return: patches (B, C', n, P_y, P_x), and for each of their pixels its index in the flattened image,
        (B, n, P_y, P_x).
    """
    of_x, of_y, first = _window_weights(where, glimpses.shape[-1], image_size, window)
    channels, side = glimpses.shape[2:4]
    # One product for all channels of an object: fewer and larger ones.
    columns = (glimpses.flatten(2, 3) @ of_x.mT).unflatten(2, (channels, side))  # (B, n, C', S, P_x)
    patches = of_y[:, None] @ columns.transpose(1, 2)
    return patches, first[..., None, None] + _window_places(first.device, image_size, window)


def draw(
    glimpses: Tensor,
    where: Tensor,
    presence: Tensor,
    depth: Tensor,
    image_size: tuple[int, int],
    window: tuple[int, int],
) -> Canvas:
    """Draw objects; they compete for pixels by their normalised importance α·z_pres·σ(−z_depth) (paper App. A).

    :param Tensor glimpses: (B, n, C + 1, S, S) premultiplied colour α·o, then α
    :param Tensor where: (B, n, 4)
    :param Tensor presence: (B, n) z_pres in [0, 1]
    :param Tensor depth: (B, n, 1) z_depth
    """
    return drawn(weighted_patches(glimpses, where, presence, depth, image_size, window), image_size)


class Patches(NamedTuple):
    """What each of n objects adds to a frame, in its own window, before the division by the summed importance."""

    summed: Tensor  # (B, C + 1, n, P_y, P_x) α·o and α, times the importance
    importance: Tensor  # (B, 1, n, P_y, P_x) α·z_pres·σ(−z_depth)
    pixel: Tensor  # (B, n, P_y, P_x) index of each pixel in the flattened image

    def take(self, index: Tensor) -> "Patches":
        """Those of the objects at an index (B, k)."""
        where = index[:, None, :, None, None]

        def taken(values: Tensor) -> Tensor:
            return values.gather(2, where.expand(-1, values.shape[1], -1, *values.shape[3:]))

        return Patches(taken(self.summed), taken(self.importance), taken(self.pixel[:, None])[:, 0])

    def scaled(self, factor: Tensor) -> "Patches":
        """With the importance of each object times a factor (B, n)."""
        factor = factor[:, None, :, None, None]
        return Patches(self.summed * factor, self.importance * factor, self.pixel)


def weighted_patches(
    glimpses: Tensor,
    where: Tensor,
    presence: Tensor,
    depth: Tensor,
    image_size: tuple[int, int],
    window: tuple[int, int],
) -> Patches:
    """What objects add to a frame; parameters as in :func:`draw`."""
    present = glimpses * presence[..., None, None, None]  # z·α·o and z·α
    patches, index = paste(present, where, image_size, window)
    importance = patches[:, -1:] * torch.sigmoid(-depth)[:, None, ..., None]
    return Patches(patches * importance, importance, index)


class Sum(NamedTuple):
    """Patches, added up, per pixel of the flattened image."""

    summed: Tensor  # (B, C + 1, H·W) colour and alpha, times importance
    importance: Tensor  # (B, 1, H·W)
    image_size: tuple[int, int]

    @classmethod
    def of(cls, patches: Patches, image_size: tuple[int, int]) -> "Sum":
        """All of some objects."""
        batch, channels = patches.summed.shape[:2]
        index = patches.pixel.flatten(1)[:, None]
        empty = patches.summed.new_zeros(batch, channels, image_size[0] * image_size[1])
        # The index is expanded rather than copied: it is kept until the backward pass.
        summed = empty.scatter_add(2, index.expand(-1, channels, -1), patches.summed.flatten(2))
        return cls(summed, empty[:, :1].scatter_add(2, index, patches.importance.flatten(2)), image_size)

    def plus(self, patches: Patches, kept: Tensor) -> "Sum":
        """With more drawn.

        :param kept: (B, n) how many times each object is drawn: 1, 0 for those that are not, or a part.
        """
        more = Sum.of(patches.scaled(kept), self.image_size)
        return Sum(self.summed + more.summed, self.importance + more.importance, self.image_size)

    def drawn(self) -> Canvas:
        """The frame that the patches add up to."""
        normalised = (self.summed / (self.importance + EPSILON)).unflatten(2, self.image_size)
        return Canvas(*normalised.split((normalised.shape[1] - 1, 1), 1))


class Layer(NamedTuple):
    """What objects draw: each of them, and all together."""

    patches: Patches
    total: Sum


def drawn(patches: Patches, image_size: tuple[int, int]) -> Canvas:
    """The frame that patches add up to."""
    return Sum.of(patches, image_size).drawn()


def bilinear_weights(positions: Tensor, glimpse_size: int) -> Tensor:
    """Weights that sample a glimpse at positions (…, Q) in its coordinates [-1, 1]; 0 outside. (…, Q, S)"""
    # In glimpse pixels from the middle; positions are converted to the same unit.
    last = (glimpse_size - 1) / 2
    centres = _steps(positions.device, glimpse_size, -last, last, positions.dtype)
    return F.relu(1 - centres.sub(positions[..., None], alpha=glimpse_size / 2).abs())


def look_through(glimpses: Tensor, own: Tensor, other: Tensor, points: int) -> Tensor:
    """Glimpses, sampled inside other boxes.

    :param Tensor glimpses: (…, C', S, S)
    :param Tensor own: (…, 4) the glimpses' own boxes.
    :param Tensor other: (…, 4) the boxes to sample in.
    :param int points: Q, the number of points per side.
    :return: (…, C', Q, Q)
    """
    (own_scale, own_centre), (scale, centre) = own.split(2, -1), other.split(2, -1)
    shift, zoom = (centre - own_centre) / own_scale, scale / own_scale  # of the other box in the glimpse's coordinates
    positions = torch.addcmul(shift[..., None], zoom[..., None], glimpse_centres(points, own))  # (…, 2, Q)
    columns, rows = bilinear_weights(positions, glimpses.shape[-1])[..., None, :, :].unbind(-4)
    return rows @ glimpses @ columns.mT


def resample(glimpses: Tensor, points: int) -> Tensor:
    """Glimpses at another resolution. (…, S, S) → (…, Q, Q)"""
    weights = bilinear_weights(glimpse_centres(points, glimpses), glimpses.shape[-1])
    return weights @ glimpses @ weights.mT
