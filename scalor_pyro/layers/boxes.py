"""From latents to boxes: the meaning of z_where in discovery and propagation (paper §3.1, App. A).

Sizes and aspects are bounded, a proposal stays near its cell, and a propagated centre near its expected place: a box
that can grow without bound learns to hold two objects.
"""

import math

import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import window_size

# With `inertia`, the factor of an object's size and aspect from frame to frame: a half-life of seven frames.
# With 1 they would be random walks, and in long tracks reach values that no network was trained on.
KEPT = 0.9
# At most this is added to the unbounded size and aspect of a propagated object in a frame: they stay within ± 3, where
# tanh is not yet flat.
SHAPE_STEP = 0.3
# A box that is to be reached is within this share of its bounds, where tanh is not yet flat.
FLAT = 0.95
TINY = 1e-6
# Centres stay within this distance of the image (in half-images of training): an object beyond is lost anyway.
OUTSIDE = 0.5


class Boxes(nn.Module):
    """The bounds of z_where, in image coordinates [-1, 1]."""

    base: Tensor
    aspects: Tensor
    cell_centres: Tensor
    cell_reach: Tensor
    move_range: Tensor
    farthest: Tensor
    farthest_back: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        height, width = config.image_size
        rows, columns = config.cells
        side, stretch = config.object_size * config.box_margin, config.aspect**0.5
        y, x = ((torch.arange(n) * 2 + 1) / n - 1 for n in (rows, columns))
        self.register_buffer("base", torch.tensor([side / stretch / width, side * stretch / height]), persistent=False)
        half_range = config.aspect_range / 2
        self.register_buffer("aspects", torch.tensor([half_range, -half_range]), persistent=False)
        centres = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1).reshape(-1, 2)
        self.register_buffer("cell_centres", centres, persistent=False)  # (N, 2)
        reach = torch.tensor([2 / columns, 2 / rows]) * config.cell_reach
        self.register_buffer("cell_reach", reach, persistent=False)
        view = torch.tensor([1 / views for views in reversed(config.views)])  # a half-image trained on, (x, y)
        self.register_buffer("move_range", config.move_range * view, persistent=False)
        self.register_buffer("farthest", 1 + OUTSIDE * view, persistent=False)
        self.register_buffer("farthest_back", -self.farthest, persistent=False)
        nearest = math.exp(abs(config.perspective) / 2)
        largest = side * (1 + config.size_range) * math.exp(config.aspect_range / 2) * nearest
        p_y = window_size(largest * stretch, config.glimpse_size, config.image_size[0])
        p_x = window_size(largest / stretch, config.glimpse_size, config.image_size[1])
        self.window = p_y, p_x

    def sides(self, shape: Tensor) -> Tensor:
        """(s_x, s_y) from an unbounded size and aspect, without perspective. (…, 2) → (…, 2)"""
        return self._bounded_sides(shape.tanh())

    def _bounded_sides(self, shape: Tensor) -> Tensor:
        """(s_x, s_y) from a size and aspect within ± 1. (…, 2) → (…, 2)"""
        size, aspect = shape.chunk(2, -1)
        return torch.addcmul(self.base, self.base, size, value=self.config.size_range) * (aspect * self.aspects).exp()

    def _where(self, sides: Tensor, centre: Tensor) -> Tensor:
        """z_where of boxes at their places: with `perspective`, nearer ones are larger. (…, 2), (…, 2) → (…, 4)"""
        if self.config.perspective != 0:
            sides = sides * self._nearness(centre)
        return torch.cat((sides, centre), -1)

    def _nearness(self, centre: Tensor) -> Tensor:
        """How many times as large objects are at their places as in the middle of the image. (…, 2) → (…, 1)"""
        return (centre[..., 1:].clamp(-1, 1) * (self.config.perspective / 2)).exp()

    def discovered(self, raw: Tensor, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z_where, shape and velocity (none yet) of proposals.

        :param Tensor raw: (B, M, 4) the site z_where_disc: size, aspect, offset from the cell's centre.
        :param Tensor cells: (B, M) index of each proposal's cell.
        """
        shape, offset = raw.tanh().chunk(2, -1)
        centre = torch.addcmul(self.cell_centres[cells], offset, self.cell_reach)
        return self._where(self._bounded_sides(shape), centre), raw[..., :2], torch.zeros_like(centre)

    def expected(self, objects: Objects) -> Tensor:
        """z_where of objects in the next frame without deviation. (B, K, 4)

        Differs: with `constant_velocity`, the last displacement is repeated; in the paper, the last place is kept.
        """
        return torch.cat((objects.where[..., :2], self._expected_centre(objects)), -1)

    def _expected_centre(self, objects: Objects) -> Tensor:
        centre = objects.where[..., 2:]
        return self.within(centre + objects.velocity) if self.config.constant_velocity else centre

    def propagated(self, objects: Objects, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z_where, shape and velocity of objects in the next frame.

        :param Tensor raw: (B, K, 4) the site z_where_prop: deviation of size, aspect and centre.
        """
        step, move = raw.tanh().chunk(2, -1)
        shape = torch.add(KEPT * objects.shape, step, alpha=SHAPE_STEP) if self.config.inertia else raw[..., :2]
        centre = self.within(torch.addcmul(self._expected_centre(objects), move, self.move_range))
        return self._where(self.sides(shape), centre), shape, centre - objects.where[..., 2:]

    def within(self, centre: Tensor) -> Tensor:
        """Centres, clamped to the farthest place outside the image. (…, 2) → (…, 2)"""
        return centre.clamp(self.farthest_back, self.farthest)

    def visible(self, where: Tensor) -> Tensor:
        """Whether a box overlaps the image, so that the frame shows some of it. z_where (…, 4) → (…) bool

        A centre at the farthest place outside counts as gone, even if the box is so large that it overlaps the image.
        """
        return (where[..., 2:].abs() < torch.minimum(1 + where[..., :2], self.farthest)).all(-1)

    # ------------------------------------------------------------------ from centres to latents

    def nearest(self, sides: Tensor, centre: Tensor) -> Tensor:
        """z_where of the boxes next to others that a box can well have. (…, 2), (…, 2) → (…, 4)

        :param sides: (s_x, s_y), from 0.
        :param centre: (t_x, t_y)
        """
        sides = sides.clamp(min=TINY) / self._nearness(centre)
        size = (sides.prod(-1) / self.base.prod()).sqrt() - 1
        aspect = (sides[..., 0] / sides[..., 1] * (self.base[1] / self.base[0])).log()
        ranges = max(self.config.size_range, TINY), max(self.config.aspect_range, TINY)
        shape = torch.stack((size / ranges[0], aspect / ranges[1]), -1).clamp(-FLAT, FLAT)
        return self._where(self._bounded_sides(shape), centre)

    def share_of_reach(self, centre: Tensor, cells: Tensor) -> Tensor:
        """Distance of centres from their cells' centres, as a share of the range of :meth:`discovered`.

        Its artanh gives the last two numbers of z_where_disc; outside (-1, 1) there is no such z_where_disc.

        :param Tensor centre: (B, M, 2)
        :param Tensor cells: (B, M)
        """
        return (centre - self.cell_centres[cells]) / self.cell_reach

    def share_of_move(self, objects: Objects, centre: Tensor) -> Tensor:
        """Distance of centres from their expected places, as a share of the range of :meth:`propagated`.

        Its artanh gives the last two numbers of z_where_prop; outside (-1, 1) there is no such z_where_prop.

        :param objects: K objects of the previous frame.
        :param Tensor centre: (B, K, 2)
        """
        return (centre - self._expected_centre(objects)) / self.move_range
