r"""Learning from videos in which it is known where the objects are, such as made-up ones.

The ELBO alone is content with one box that holds two objects, or with two boxes that share one. Where a generator of
videos tells where all of them are, the guide can be told as well: beside the ELBO, it maximises its own density of what
is known of the latents,

.. math::

    \sum_t \log q(z^{pres}_t | x_{\le t}, z_{<t}) + \log q(z^{where}_t | x_{\le t}, z_{<t}),

for objects that it has not found yet, and those that it follows, given what it has found in the frames before. This is
the sleep phase of wake-sleep (Hinton et al., Science 268, 1995), for two of the latents, with videos of a generator
other than the model. Differs: boxes are compared in px, by an absolute error, because the Normal of z_where is of
numbers before tanh, in which small differences near the bounds count as much as large ones elsewhere.

Not part of the paper, which learns without supervision; so do all presets.
"""

from collections.abc import Iterator, Sequence
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

# What clips tell of each pixel of an object, as further channels: the object's number, from 1 on; how far the left, the
# upper, the right and the lower side of its box are, in px; and the share of the object that is seen.
TOLD = 6
# The largest number that a channel can tell.
MOST_TOLD = 255
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
# An object of which a smaller share is seen need not be found, nor given up; nor is its box asked for.
LEAST_SEEN = 0.3
# Proposals are asked for within this share of their reach.
REACH = 0.97
# A distance for pairs that cannot be, far above any other.
FORBIDDEN = 1e6


def with_objects(
    frames: NDArray[np.uint8],
    identities: NDArray[Any],
    boxes: Sequence[NDArray[Any]],
    areas: Sequence[NDArray[Any]],
) -> NDArray[np.uint8]:
    """Clips that tell where their objects are, in six further channels (:data:`TOLD`).

    Boxes and areas are of all of an object, also where others hide it and where it is out of view.

    :param frames: (N, T, C, H, W) uint8.
    :param identities: (N, T, H, W) integers: that of the object in front, from 0 on; below 0 where there is none.
    :param boxes: N × (n, T, 4) integers: the left, upper, right and lower end of each object's box, in px; they are cut
        off where the frame would end if it were three times as wide and high.
    :param areas: N × (n, T) px.
    :return: (N, T, C + 6, H, W) uint8; the further channels are 0 where there is no object.
    :raises ValueError: for other shapes; for objects that are not in their boxes; and for more than 255 objects, or
        boxes that reach farther than 255 px.
    """
    if identities.shape != (*frames.shape[:2], *frames.shape[3:]):
        raise ValueError(f"identities: expected one for each pixel of {frames.shape}, got shape {identities.shape}.")
    count, length = frames.shape[:2]
    if not len(boxes) == len(areas) == count:
        raise ValueError(f"boxes, areas: expected those of {count} clips, got {len(boxes)} and {len(areas)}.")
    for name, values, end in (("boxes", boxes, (4,)), ("areas", areas, ())):
        shapes, wanted = [each.shape for each in values], [(len(each), length, *end) for each in boxes]
        if shapes != wanted:
            raise ValueError(f"{name}: expected arrays of {wanted}, got {shapes}.")
    told = np.zeros((count, length, TOLD, *frames.shape[3:]), np.uint8)
    for each in range(count):
        told[each] = _told(identities[each], boxes[each], areas[each])
    return np.concatenate((frames, told), 2)


def _told(identities: NDArray[Any], boxes: NDArray[Any], areas: NDArray[Any]) -> NDArray[np.uint8]:
    """What one clip tells. (T, 6, H, W)"""
    told = np.zeros((len(identities), TOLD, *identities.shape[1:]), np.uint8)
    t, y, x = np.nonzero(identities >= 0)
    number = identities[t, y, x]
    if len(number) and number.max() >= min(len(boxes), MOST_TOLD):
        most = min(len(boxes), MOST_TOLD)
        raise ValueError(f"identities: expected numbers below {most}, those of the boxes, got {number.max()}.")
    frame = np.array(identities.shape[:0:-1] * 2)  # W, H, W, H
    left, top, right, bottom = boxes[number, t].clip(-frame, 2 * frame).T
    distances = np.stack((x - left, y - top, right - x, bottom - y))
    if distances.size and not (distances.min() >= 0 and distances.max() <= MOST_TOLD):
        raise ValueError(
            f"boxes: expected each around its object, with sides at most {MOST_TOLD} px from any of its pixels, got"
            f" {distances.min()} to {distances.max()} px."
        )
    seen = np.zeros(areas.shape, np.int64)
    np.add.at(seen, (number, t), 1)
    share = np.clip(np.ceil(MOST_TOLD * seen / np.maximum(areas, 1)), 0, MOST_TOLD)
    told[t, :, y, x] = np.column_stack((number + 1, *distances, share[number, t]))
    return told


class Known(NamedTuple):
    """Where the objects of clips are; in image coordinates, as z_where has them."""

    centre: Tensor  # (B, T, n, 2) x, y of the box
    sides: Tensor  # (B, T, n, 2) halves of its width and height
    share: Tensor  # (B, T, n) of the object that is seen; 0: none, and then nothing is known of its box


@torch.no_grad()
def known_of(told: Tensor) -> Known:
    """What the further channels of clips tell.

    :param told: (B, T, 6, H, W) from 0 to 1, in steps of 1 / 255; see :func:`with_objects`.
    """
    height, width = told.shape[-2:]
    number, *distances, share = (told * MOST_TOLD).round().flatten(3).unbind(2)  # (B, T, H · W)
    index = number.long()
    shape = (*index.shape[:2], max(1, int(index.max())) + 1)

    def of_object(values: Tensor) -> Tensor:
        """Each object's value, which all of its pixels tell. (B, T, H · W) → (B, T, n)"""
        return told.new_zeros(shape).scatter_(-1, index, values)[:, :, 1:]

    rows, columns = (torch.arange(n, device=told.device, dtype=told.dtype) for n in (height, width))
    x, y = columns.repeat(height), rows.repeat_interleave(width)
    left, top, right, bottom = distances
    low = torch.stack((of_object(x - left), of_object(y - top)), -1)
    high = torch.stack((of_object(x + right), of_object(y + bottom)), -1)
    pixels = told.new_tensor((width, height))
    return Known((low + high) / pixels - 1, (high - low) / pixels, of_object(share) / MOST_TOLD)


class Taught:
    """Guide and model of a :class:`~scalor_pyro.model.scalor.Scalor` that learn from clips that tell their objects.

    The model has a factor, ``taught``, beside its own sites::

        taught = Taught(scalor)
        svi = SVI(taught.model, taught.guide, optimiser, ReparamELBO())
        svi.step(torch.from_numpy(with_objects(frames, identities, boxes, areas)).float() / 255)

    :param scalor: the model and guide.
    """

    def __init__(self, scalor: Scalor) -> None:
        self.scalor = scalor
        self._factor = torch.zeros(())

    def guide(self, clips: Tensor) -> list[FrameLatents]:
        """q(z | x) of clips (B, T, C + 6, H, W), see :func:`with_objects`.

        :raises ValueError: for clips with another number of channels.
        """
        channels = self.scalor.config.channels
        if clips.ndim != 5 or clips.shape[2] != channels + TOLD:
            raise ValueError(
                f"clips: expected {channels + TOLD} channels, the last {TOLD} of which tell where objects are, got"
                f" shape {tuple(clips.shape)}."
            )
        frames, told = clips[:, :, :channels], clips[:, :, channels:]
        with _said_by(self.scalor) as said:
            latents = self.scalor.guide(frames)
        self._factor = -_error(self.scalor, known_of(told), latents, said)
        return latents

    def model(self, clips: Tensor) -> list[FrameLatents]:
        """p(x, z) of the clips that the guide was run on last."""
        latents = self.scalor.model(clips[:, :, :-TOLD])
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
            wrong.append(_box_error(scalor, box, _of(where, held), slots.alive & there & (share_held >= LEAST_SEEN)))
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
        _box_error(scalor, box, where, sure),
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
