"""Objects of a frame, and the slots that are carried from one frame to the next."""

from typing import NamedTuple

import torch
from torch import Tensor

from scalor_pyro.layers.constants import made_once


class Objects(NamedTuple):
    """Latents of n objects in one frame, and quantities derived from them."""

    presence: Tensor  # (B, n) z_pres in [0, 1]
    where: Tensor  # (B, n, 4) z_where = (s_x, s_y, t_x, t_y) in image coordinates [-1, 1]
    shape: Tensor  # (B, n, 2) unbounded size and aspect, behind s
    velocity: Tensor  # (B, n, 2) last displacement of the centre, image coordinates per frame
    depth: Tensor  # (B, n, 1) z_depth
    what: Tensor  # (B, n, D) z_what
    glimpse: Tensor  # (B, n, C + 1, S, S) decoded: premultiplied colour, then alpha

    def joined(self, others: "Objects") -> "Objects":
        """These objects, then the others."""
        return Objects(*(torch.cat(pair, 1) for pair in zip(self, others, strict=True)))

    def stacked(self, others: "Objects") -> "Objects":
        """As many objects of these sequences, then of other ones."""
        return Objects(*(torch.cat(pair) for pair in zip(self, others, strict=True)))

    def take(self, index: Tensor) -> "Objects":
        """The objects at an index (B, k)."""
        rows = _rows(index, self.presence.shape[1])
        return Objects(*(_take(values, rows) for values in self))

    def number(self, threshold: float) -> Tensor:
        """The number of objects with z_pres above a threshold. (B,) long"""
        return (self.presence > threshold).sum(-1)

    def detach(self) -> "Objects":
        """The same without gradients."""
        return Objects(*(values.detach() for values in self))


class Slots(NamedTuple):
    """The K slots after a frame; detached, they are all that the next frame sees of its objects."""

    objects: Objects  # n = K; survivors stay in their slots
    alive: Tensor  # (B, K) bool: the slot holds an object
    new: Tensor  # (B, K) bool: … that was discovered in this frame
    identity: Tensor  # (B, K) long, -1 where empty
    origin: Tensor  # (B, K) long: index of a new object among the frame's M proposals, else -1
    next_identity: Tensor  # (B, 1) long: identity of the next discovery

    @property
    def number(self) -> int:
        """K, how many slots there are."""
        return self.alive.shape[1]

    def rearranged(self, order: Tensor) -> "Slots":
        """The same objects in other slots.

        :param order: (B, n) the slot to take each one from; -1: none, it is empty.
        """
        filled, order = order >= 0, order.clamp(min=0)
        objects = self.objects.take(order)
        return Slots(
            objects=objects._replace(presence=objects.presence * filled),
            alive=gather(self.alive, order) & filled,
            new=gather(self.new, order) & filled,
            identity=gather(self.identity, order).masked_fill(~filled, -1),
            origin=gather(self.origin, order).masked_fill(~filled, -1),
            next_identity=self.next_identity,
        )

    def turned(self) -> "Slots":
        """The same where time turns round: objects move the other way."""
        return self._replace(objects=self.objects._replace(velocity=-self.objects.velocity))


def gather(values: Tensor, index: Tensor) -> Tensor:
    """values (B, n, …), index (B, k) → (B, k, …)."""
    return _take(values, _rows(index, values.shape[1]))


def _rows(index: Tensor, n: int) -> Tensor:
    """An index (B, k) into rows that are flattened over the batch. (B, k)"""
    return index + _first_rows(index.device, len(index), n)


@made_once
def _first_rows(device: torch.device, batch: int, n: int) -> Tensor:
    return torch.arange(0, n * batch, n, device=device)[:, None]


def _take(values: Tensor, rows: Tensor) -> Tensor:
    """Copies whole rows, which is faster than single numbers. (B, n, …) → (B, k, …)"""
    return values.flatten(0, 1).index_select(0, rows.flatten()).view(*rows.shape, *values.shape[2:])
