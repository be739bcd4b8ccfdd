"""From latents to boxes: what z_where of a discovery and of a propagation mean (paper §3.1, App. A).

Sizes and aspects are bounded, a proposal stays near its cell and a propagated centre near where it is expected: a box
that may grow without bound learns to hold two objects.
"""

import math

import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import window_size

# What is left of an object's size, aspect and depth in the next frame, with `inertia`: a half-life of seven frames. If
# all were kept, they would be random walks, and long tracks would come to numbers that no network was trained on.
KEPT = 0.9
# At most so much is added to the unbounded size and aspect of a propagated object: they stay within ± 3, where tanh
# still tells them apart.
SHAPE_STEP = 0.3
# Centres stop this far outside the image (in half-images of training): an object there is lost anyway.
OUTSIDE = 0.5


class Boxes(nn.Module):
    """The bounds of z_where, in image coordinates [-1, 1]."""

    base: Tensor
    cell_centres: Tensor
    cell_reach: Tensor
    move_range: Tensor
    farthest: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        height, width = config.image_size
        rows, columns = config.cells
        side, stretch = config.object_size * config.box_margin, config.aspect**0.5
        y, x = ((torch.arange(n) * 2 + 1) / n - 1 for n in (rows, columns))
        self.register_buffer("base", torch.tensor([side / stretch / width, side * stretch / height]), persistent=False)
        centres = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1).reshape(-1, 2)
        self.register_buffer("cell_centres", centres, persistent=False)  # (N, 2)
        reach = torch.tensor([2 / columns, 2 / rows]) * config.cell_reach
        self.register_buffer("cell_reach", reach, persistent=False)
        view = torch.tensor([1 / views for views in reversed(config.views)])  # a half-image trained on, (x, y)
        self.register_buffer("move_range", config.move_range * view, persistent=False)
        self.register_buffer("farthest", 1 + OUTSIDE * view, persistent=False)
        largest = side * (1 + config.size_range) * math.exp(config.aspect_range / 2)
        p_y = window_size(largest * stretch, config.glimpse_size, config.image_size[0])
        p_x = window_size(largest / stretch, config.glimpse_size, config.image_size[1])
        self.window = p_y, p_x

    def sides(self, shape: Tensor) -> Tensor:
        """(s_x, s_y) from an unbounded size and aspect. (…, 2) → (…, 2)"""
        size = 1 + self.config.size_range * torch.tanh(shape[..., :1])
        half_aspect = self.config.aspect_range / 2 * torch.tanh(shape[..., 1:])
        return self.base * size * torch.cat((half_aspect, -half_aspect), -1).exp()

    def discovered(self, raw: Tensor, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z_where, shape and velocity (none yet) of proposals.

        :param Tensor raw: (B, M, 4) the site z_where_disc: size, aspect, offset from the cell's centre.
        :param Tensor cells: (B, M) index of each proposal's cell.
        """
        centre = self.cell_centres[cells] + self.cell_reach * torch.tanh(raw[..., 2:])
        return torch.cat((self.sides(raw[..., :2]), centre), -1), raw[..., :2], torch.zeros_like(centre)

    def expected(self, objects: Objects) -> Tensor:
        """Where objects will be if nothing deviates. (B, K, 4)

        Differs: with `constant_velocity`, where the last displacement leads; in the paper, the last place.
        """
        centre = objects.where[..., 2:]
        if self.config.constant_velocity:
            centre = self.within(centre + objects.velocity)
        return torch.cat((objects.where[..., :2], centre), -1)

    def propagated(self, objects: Objects, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z_where, shape and velocity of objects in the next frame.

        :param Tensor raw: (B, K, 4) the site z_where_prop: deviation of size, aspect and centre.
        """
        shape = KEPT * objects.shape + SHAPE_STEP * raw[..., :2].tanh() if self.config.inertia else raw[..., :2]
        centre = self.within(self.expected(objects)[..., 2:] + self.move_range * torch.tanh(raw[..., 2:]))
        return torch.cat((self.sides(shape), centre), -1), shape, centre - objects.where[..., 2:]

    def within(self, centre: Tensor) -> Tensor:
        """Centres, none farther outside the image than an object goes. (…, 2) → (…, 2)"""
        return centre.clamp(-self.farthest, self.farthest)

    def visible(self, where: Tensor) -> Tensor:
        """Whether a box reaches into the image, so that a frame can say anything of it. z_where (…, 4) → (…) bool

        A box so large that it reaches in from as far as centres go counts as gone there.
        """
        return (where[..., 2:].abs() < torch.minimum(1 + where[..., :2], self.farthest)).all(-1)

    # ------------------------------------------------------------------ the other way, for the centre

    def share_of_reach(self, centre: Tensor, cells: Tensor) -> Tensor:
        """How far centres are from their cells' centres, as a share of what :meth:`discovered` allows.

        Within (-1, 1), its artanh is what the last two numbers of z_where_disc have to be; beyond, there are none.

        :param Tensor centre: (B, M, 2)
        :param Tensor cells: (B, M)
        """
        return (centre - self.cell_centres[cells]) / self.cell_reach

    def share_of_move(self, objects: Objects, centre: Tensor) -> Tensor:
        """How far centres are from where objects are expected, as a share of what :meth:`propagated` allows.

        Within (-1, 1), its artanh is what the last two numbers of z_where_prop have to be; beyond, there are none.

        :param objects: K objects, of the frame before.
        :param Tensor centre: (B, K, 2)
        """
        return (centre - self.expected(objects)[..., 2:]) / self.move_range
