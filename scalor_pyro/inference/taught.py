r"""Learning from videos in which it is known where the objects are, such as made-up ones.

The ELBO alone is content with one box that holds two objects, or with two boxes that share one. Where a generator of
videos tells which pixels belong to whom, the guide can be told as well: beside the ELBO, it maximises its own density
of what is known of the latents,

.. math::

    \sum_t \log q(z^{pres}_t | x_{\le t}, z_{<t}) + \log q(z^{where}_t | x_{\le t}, z_{<t}),

for objects that it has not found yet, and those that it follows, given what it has found in the frames before. This is
the sleep phase of wake-sleep (Hinton et al., Science 268, 1995), for two of the latents, with videos of a generator
other than the model. Differs: boxes are compared in px, by an absolute error, because the Normal of z_where is of
numbers before tanh, in which small differences near the bounds count as much as large ones elsewhere.

Not part of the paper, which learns without supervision; so do all presets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyro
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from scalor_pyro.model.discovery import DiscoveryDistributions
from scalor_pyro.model.distributions import element
from scalor_pyro.model.frame import FrameLatents
from scalor_pyro.model.propagation import PropagationDistributions
from scalor_pyro.model.scalor import Scalor

# The number of identities that a picture can tell apart.
MOST_IDENTITIES = 255
# Nats for each nat of a z_pres, and for each px of a box: so much more than one of the ELBO, because an object that is
# there twice explains its pixels well.
PRESENCE_WEIGHT, BOX_WEIGHT = 60.0, 20.0
# An object that is missed counts as so many false ones: evidence takes false ones away later.
MISSED = 2.0
# A box of z_where is larger than the smallest box around the mask by this factor, so that edges are inside.
AROUND = 1.1
# A slot holds an object whose centre is at most this far away, in sides of the object's box, …
NEAR = 0.5
# … and goes on to hold it up to this distance.
LOST = 1.0
# An object of which less than the first share is seen need not be found, nor given up; its box is known from the second
# share on. Shares are those of the most that a clip shows of it, …
LEAST_SEEN, WHOLE = 0.3, 0.7
# … or of this part of a typical object, so that what only shows at the border is not all of an object.
LEAST_OBJECT = 0.5
# Proposals are asked for within this share of their reach.
REACH = 0.97
# A distance for pairs that cannot be, far above any other.
FORBIDDEN = 1e6


def with_identities(frames: NDArray[np.uint8], identities: NDArray[Any]) -> NDArray[np.uint8]:
    """Clips that tell which object each pixel belongs to, as another channel.

    :param frames: (N, T, C, H, W) uint8.
    :param identities: (N, T, H, W) integers: that of the object in front, below 0 where there is none.
    :return: (N, T, C + 1, H, W) uint8; the last channel is 0 where there is no object.
    :raises ValueError: for other shapes, and for an identity above 254.
    """
    if identities.shape != (*frames.shape[:2], *frames.shape[3:]):
        raise ValueError(f"identities: expected one for each pixel of {frames.shape}, got shape {identities.shape}.")
    if identities.size and identities.max() >= MOST_IDENTITIES:
        raise ValueError(f"identities: expected numbers below {MOST_IDENTITIES}, got {identities.max()}.")
    told = (np.maximum(identities, -1) + 1).astype(np.uint8)
    return np.concatenate((frames, told[:, :, None]), 2)


class Known(NamedTuple):
    """Where the objects of clips are; in image coordinates, as z_where has them."""

    centre: Tensor  # (B, T, n, 2) x, y of the box around what is seen
    sides: Tensor  # (B, T, n, 2) halves of its width and height
    share: Tensor  # (B, T, n) what is seen, as a share of the most that a clip shows of it; 0: nothing


@torch.no_grad()
def known_of(identities: Tensor) -> Known:
    """What identities tell of boxes.

    :param identities: (B, T, H, W) from 0 to 1, in steps of 1 / 255; 0: no object.
    """
    height, width = identities.shape[-2:]
    number = (identities * MOST_IDENTITIES).round().long().flatten(2)  # (B, T, H · W)
    count = max(1, int(number.max())) + 1
    shape = (*number.shape[:2], count)
    area = identities.new_zeros(shape).scatter_add_(-1, number, torch.ones_like(identities).flatten(2))
    y, x = torch.meshgrid(
        torch.arange(height, device=number.device), torch.arange(width, device=number.device), indexing="ij"
    )
    ends = []
    for place in (x, y):
        places = place.flatten().to(identities.dtype).expand(number.shape)
        low = identities.new_zeros(shape).scatter_reduce_(-1, number, places, "amin", include_self=False)
        high = identities.new_zeros(shape).scatter_reduce_(-1, number, places + 1, "amax", include_self=False)
        ends.append((low, high))
    pixels = identities.new_tensor((width, height))
    low, high = (torch.stack(each, -1)[:, :, 1:] / pixels for each in zip(*ends, strict=True))
    area = area[:, :, 1:]
    most = area.amax(1, keepdim=True)  # (B, 1, n)
    typical = most.masked_fill(most == 0, torch.nan).nanmedian(-1, keepdim=True).values.nan_to_num(1.0)
    share = area / torch.maximum(most, LEAST_OBJECT * typical)
    return Known(low + high - 1, (high - low) * (area > 0)[..., None], share)


class Taught:
    """Guide and model of a :class:`~scalor_pyro.model.scalor.Scalor` that learn from clips with identities.

    The model has a factor, ``taught``, beside its own sites::

        taught = Taught(scalor)
        svi = SVI(taught.model, taught.guide, optimiser, ReparamELBO())
        svi.step(torch.from_numpy(with_identities(frames, identities)).float() / 255)

    :param scalor: the model and guide.
    """

    def __init__(self, scalor: Scalor) -> None:
        self.scalor = scalor
        self._factor = torch.zeros(())

    def guide(self, clips: Tensor) -> list[FrameLatents]:
        """q(z | x) of clips (B, T, C + 1, H, W), see :func:`with_identities`.

        :raises ValueError: for clips with another number of channels.
        """
        expected = self.scalor.config.channels + 1
        if clips.ndim != 5 or clips.shape[2] != expected:
            raise ValueError(
                f"clips: expected {expected} channels, the last of which tells objects apart, got shape"
                f" {tuple(clips.shape)}."
            )
        frames, identities = clips[:, :, :-1], clips[:, :, -1]
        with _said_by(self.scalor) as said:
            latents = self.scalor.guide(frames)
        self._factor = -_error(self.scalor, known_of(identities), latents, said)
        return latents

    def model(self, clips: Tensor) -> list[FrameLatents]:
        """p(x, z) of the clips that the guide was run on last."""
        latents = self.scalor.model(clips[:, :, :-1])
        pyro.factor("taught", self._factor)
        return latents


class _Said(NamedTuple):
    """What the guide says of each frame."""

    going_on: list[PropagationDistributions]  # from the second frame on
    discovering: list[DiscoveryDistributions]


@contextmanager
def _said_by(scalor: Scalor) -> Iterator[_Said]:
    """Within, the distributions of the guide are noted."""
    said = _Said([], [])

    def noting(noted: list[Any]) -> Any:
        def note(module: nn.Module, arguments: Any, distributions: Any) -> None:
            noted.append(distributions)

        return note

    hooks = [
        scalor.propagation_posterior.register_forward_hook(noting(said.going_on)),
        scalor.discovery_posterior.register_forward_hook(noting(said.discovering)),
    ]
    try:
        yield said
    finally:
        for hook in hooks:
            hook.remove()


def _error(scalor: Scalor, known: Known, latents: list[FrameLatents], said: _Said) -> Tensor:
    """How far the guide is from what is known, in nats."""
    seen = known.share > 0
    wrong: list[Tensor] = []
    held = slots = None  # after the frame before: which object each slot holds, -1: none. (B, K)
    for t, frame in enumerate(latents):
        where = scalor.boxes.nearest(AROUND * known.sides[:, t], known.centre[:, t])
        share = known.share[:, t]
        if slots is not None and held is not None:
            going_on, there = said.going_on[t - 1], held >= 0
            share_held = _of(share, held)
            counts = slots.alive & (~there | (share_held >= LEAST_SEEN))
            wrong.append(_presence_error(going_on.presence.logits, there, counts))
            box, _, _ = scalor.boxes.propagated(slots.objects, _mean(going_on.where))
            wrong.append(_box_error(scalor, box, _of(where, held), slots.alive & there & (share_held >= WHOLE)))
            old = frame.slots.alive & ~frame.slots.new
            held = torch.where(old, held, -1)
        else:
            held = torch.full_like(frame.slots.identity, -1)
        held = _held(frame, known, t, held)
        slots = frame.slots
        # What no earlier object holds is to be discovered.
        taken = (_is(held, share.shape[1]) & ~slots.new[..., None]).any(1)
        wrong += _discovery_error(scalor, said.discovering[t], where, share, seen[:, t] & ~taken)
    return torch.stack(wrong).sum()


@torch.no_grad()
def _held(frame: FrameLatents, known: Known, t: int, before: Tensor) -> Tensor:
    """Which object each slot holds after a frame, -1: none. (B, K)

    :param before: the same after the frame before.
    """
    alive, where = frame.slots.alive, frame.slots.objects.where
    longer = 2 * known.sides[:, t].amax(-1).clamp(min=1e-6)  # (B, n)
    distance = (where[:, :, None, 2:] - known.centre[:, t, None]).norm(dim=-1) / longer[:, None]
    same = _is(before, longer.shape[1])
    possible = alive[..., None] & (known.share[:, t] > 0)[:, None] & (distance < torch.where(same, LOST, NEAR))
    found = _pairs((distance - LOST * same).masked_fill(~possible, FORBIDDEN))
    unseen = (before >= 0) & (_of(known.share[:, t], before) == 0)  # behind others: it is still held
    return torch.where((found < 0) & unseen & alive, before, found)


def _discovery_error(
    scalor: Scalor, discovering: DiscoveryDistributions, where: Tensor, share: Tensor, wanted: Tensor
) -> list[Tensor]:
    """How far proposals are from the objects that are to be discovered.

    :param where: (B, n, 4) boxes of all objects.
    :param share: (B, n) that is seen of them.
    :param wanted: (B, n) those to be discovered.
    """
    boxes, logits = scalor.boxes, discovering.presence.logits
    away = ((where[:, :, None, 2:] - boxes.cell_centres) / boxes.cell_reach).abs()  # (B, n, N, 2)
    possible = wanted[..., None] & (away < REACH).all(-1)
    cell = _pairs(away.norm(dim=-1).masked_fill(~possible, FORBIDDEN))  # (B, n)
    has_one, cell = cell >= 0, cell.clamp(min=0)
    sure = has_one & (share >= LEAST_SEEN)
    asked, target = (torch.zeros_like(logits).scatter_add(1, cell, each.to(logits.dtype)) for each in (has_one, sure))
    counts = (asked == 0) | (target > 0)
    box, _, _ = boxes.discovered(_mean(discovering.where(cell)), cell)
    return [
        _presence_error(logits, target > 0, counts),
        _box_error(scalor, box, where, has_one & (share >= WHOLE)),
    ]


def _presence_error(logits: Tensor, there: Tensor, counts: Tensor) -> Tensor:
    """Of z_pres, summed. (B, n) each"""
    weight = logits.new_full((), MISSED)
    error = F.binary_cross_entropy_with_logits(logits, there.to(logits.dtype), pos_weight=weight, reduction="none")
    return PRESENCE_WEIGHT * (error * counts).sum()


def _box_error(scalor: Scalor, box: Tensor, known: Tensor, counts: Tensor) -> Tensor:
    """Of boxes, summed: that of centres in px, and half that of half sides. (B, n, 4) each, counts (B, n)"""
    height, width = scalor.config.image_size
    half = box.new_tensor((width, height, width, height)) / 2
    error = F.smooth_l1_loss(box * half, known * half, reduction="none")
    return BOX_WEIGHT * (error @ box.new_tensor((0.5, 0.5, 1.0, 1.0)) * counts).sum()


def _mean(distribution: Any) -> Tensor:
    mean: Tensor = element(distribution).loc
    return mean


def _of(values: Tensor, index: Tensor) -> Tensor:
    """Values of each slot's object. (B, n, …), (B, K) → (B, K, …)"""
    index = index.clamp(min=0)
    return values.gather(1, index.view(*index.shape, *[1] * (values.ndim - 2)).expand(*index.shape, *values.shape[2:]))


def _is(index: Tensor, count: int) -> Tensor:
    """Which of so many objects each slot's is. (B, K) → (B, K, n) bool"""
    return index[..., None] == torch.arange(count, device=index.device)


def _pairs(cost: Tensor) -> Tensor:
    """The cheapest one-to-one pairs: for each row its column, -1: none. (B, m, n) → (B, m)

    :param cost: :data:`FORBIDDEN` for pairs that cannot be.
    """
    chosen = np.full(cost.shape[:2], -1)
    for video, table in enumerate(cost.detach().cpu().numpy()):
        rows, columns = linear_sum_assignment(table)
        there = table[rows, columns] < FORBIDDEN
        chosen[video, rows[there]] = columns[there]
    return torch.from_numpy(chosen).to(cost.device)
