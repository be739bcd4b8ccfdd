"""Rejection of proposals that are already explained, and assignment to slots (paper §3.1 "Discovery", §3.2).

Pure functions without parameters or gradients; model and guide use the same.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scalor_pyro.layers.constants import made_once
from scalor_pyro.layers.objects import Objects, Slots, gather
from scalor_pyro.layers.rendering import Canvas, Layer, look_through, resample
from scalor_pyro.model.discovery import Proposed

# Overlap is measured on this many points per side of a proposal's own box.
OVERLAP_POINTS = 8
# A proposal is compared with this many of its nearest neighbours, including itself: boxes are bounded, so objects
# farther away do not overlap it.
NEIGHBOURS = 9
# A rejected proposal rejects no others. This many rounds are exact for chains of one proposal more; in a longer chain
# too many are rejected, never too few.
ROUNDS = 3
# The distance of objects without a mask; centres in one image are never that far apart.
NOWHERE = 1e3


class Kept(NamedTuple):
    """Which objects of a frame stay: 1, or 0 for those that are not drawn."""

    propagated: Tensor | None  # (B, K); None in a first frame
    proposals: Tensor  # (B, M)
    canvas: Canvas | None = None  # those that stay, drawn, where it is known


class Acceptance(Protocol):
    """Decides in place of masks which objects stay, and which are in front, while a guide runs."""

    def order(self, frame: Tensor, propagated: Objects, layer: Layer) -> tuple[Objects, Layer]:
        """Propagated objects of a frame, and what they draw, with the depths that explain it best.

        :param Tensor frame: (B, C, H, W)
        :param propagated: K objects.
        :param layer: what they draw.
        """

    def keep(
        self,
        t: int,
        frame: Tensor,
        previous: Slots | None,
        propagated: Objects | None,
        proposals: Objects,
        proposed: Proposed,
        layer: Layer | None = None,
    ) -> Kept:
        """What stays of frame t.

        :param Tensor frame: (B, C, H, W)
        :param previous: the slots before; None in a first frame.
        :param propagated: K objects; None in a first frame.
        :param proposals: M objects.
        :param proposed: where they come from.
        :param layer: what the propagated objects draw.
        """

    def turn(self) -> None:
        """The next frame is the first of a video, to which the guide comes back from later ones."""

    def infer_behind(self, z_bg: Tensor) -> None:
        """Take the background of a frame, which the guide infers after its objects. (B, 1, D_bg)"""


def explained(
    proposals: Objects, others: Objects, overlap: float | Tensor, mask_threshold: float, colour_threshold: float | None
) -> Tensor:
    """Which proposals are covered by which other objects. (B, M, n) bool

    :param proposals: M objects.
    :param others: n objects; an object covers itself.
    :param overlap: share of the proposal's mask above which it counts as covered.
    :param mask_threshold: α·z_pres above which a point belongs to a mask.
    :param colour_threshold: if given, objects explain each other only if their mean colours differ by less (mean over
        channels). Differs: the paper ignores colour; in crowds, neighbours of another colour are other objects.
    """
    return explained_by_each(proposals, [(others, overlap)], mask_threshold, colour_threshold)[0]


def explained_by_each(
    proposals: Objects,
    groups: Sequence[tuple[Objects, float | Tensor]],
    mask_threshold: float,
    colour_threshold: float | None,
) -> list[Tensor]:
    """:func:`explained` for several groups of other objects, each with its overlap, in one go: its steps are small."""
    nears, before = [], 0
    for others, _ in groups:
        nears.append(nearest(proposals, others, mask_threshold) + before)  # (B, M, J), into all of them
        before += others.presence.shape[1]
    near = _joined(nears, -1)
    alpha = _joined([_alpha(others) for others, _ in groups], 1)
    where = _joined([others.where for others, _ in groups], 1)
    share = covered_share(proposals, alpha, where, near, mask_threshold)
    alike = None
    if colour_threshold is not None:
        theirs = gather(_joined([mean_colour(others) for others, _ in groups], 1), near.flatten(1))
        apart = mean_colour(proposals)[:, :, None] - theirs.unflatten(1, near.shape[1:])
        alike = apart.abs().mean(-1) < colour_threshold
    covers = near.new_zeros(*near.shape[:2], before, dtype=torch.bool)
    counts = [others.shape[-1] for others in nears]
    above = _joined([one > overlap for one, (_, overlap) in zip(share.split(counts, -1), groups, strict=True)], -1)
    covers.scatter_(2, near, above if alike is None else above & alike)
    return list(covers.split([others.presence.shape[1] for others, _ in groups], -1))


def touching(objects: Objects) -> Tensor:
    """Whether two objects may draw in the same pixel. (B, n, n) bool"""
    reach = objects.where[..., :2] * (1 + 1 / objects.glimpse.shape[-1])  # glimpses fade beyond their boxes
    centre = objects.where[..., 2:]
    apart = (centre[:, :, None] - centre[:, None]).abs()
    return (apart < reach[:, :, None] + reach[:, None]).all(-1)


def explained_in(
    frames: Sequence[Objects],
    pairs: Tensor,
    overlap: float,
    mask_threshold: float,
    colour_threshold: float | None,
) -> Tensor:
    """:func:`explained` for some pairs of objects alone, where the host may wait for their number.

    :param frames: the same n objects in F frames.
    :param pairs: (P, 3) sequence, an object, and the other one.
    :return: (B, n, n) bool: the object is covered by the other one in all frames.
    """
    sequence, one, other = pairs.unbind(1)
    covers = frames[0].presence.new_zeros(*frames[0].presence.shape, frames[0].presence.shape[1], dtype=torch.bool)
    if not len(pairs):
        return covers
    covered = []
    for objects in frames:
        alpha = _alpha(objects)
        own = (resample(alpha[sequence, one], OVERLAP_POINTS) > mask_threshold).flatten(1)
        seen = look_through(
            alpha[sequence, other], objects.where[sequence, other], objects.where[sequence, one], OVERLAP_POINTS
        )
        both = own & (seen > mask_threshold).flatten(1)
        above = both.sum(1) > overlap * own.sum(1).clamp(min=1)
        if colour_threshold is not None:
            colour = mean_colour(objects)
            above &= (colour[sequence, one] - colour[sequence, other]).abs().mean(-1) < colour_threshold
        covered.append(above)
    covers[sequence, one, other] = torch.stack(covered).all(0)
    return covers


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts), dim)


def within(proposals: Objects, others: Objects, reach: float | Tensor) -> Tensor:
    """Whether the centre of a proposal lies in the enlarged box of another object. (B, M, n) bool

    :param reach: factor of enlargement, from 0; 1 is the box itself.
    """
    apart = (proposals.where[:, :, None, 2:] - others.where[:, None, :, 2:]).abs()
    return (apart <= reach * others.where[:, None, :, :2]).all(-1)


def nearest(proposals: Objects, others: Objects, mask_threshold: float) -> Tensor:
    """The nearest others with a mask, for each proposal. (B, M, J)"""
    distance = torch.cdist(proposals.where[..., 2:], others.where[..., 2:])
    distance = distance.masked_fill((others.presence <= mask_threshold)[:, None], NOWHERE)
    return distance.topk(min(NEIGHBOURS, distance.shape[-1]), -1, largest=False).indices


def covered_share(proposals: Objects, alpha: Tensor, where: Tensor, near: Tensor, mask_threshold: float) -> Tensor:
    """The share of each proposal's mask that each of its neighbours' masks covers.

    Differs: measured in the proposal's own box rather than on the image, so that the cost does not grow with the image.

    :param alpha: (B, n, 1, S, S) α·z_pres of other objects.
    :param where: (B, n, 4) their boxes.
    :param near: (B, M, J) indices of the others to compare with.
    :return: (B, M, J) in [0, 1].
    """
    own_mask = resample(_alpha(proposals), OVERLAP_POINTS) > mask_threshold
    flat = near.flatten(1)
    alpha, where = (gather(part, flat).unflatten(1, near.shape[1:]) for part in (alpha, where))
    their_mask = look_through(alpha, where, proposals.where[:, :, None], OVERLAP_POINTS) > mask_threshold
    own, their = (mask.flatten(-3).to(proposals.where.dtype) for mask in (own_mask, their_mask))  # (B, M, (J,) Q²)
    both = (their @ own[..., None])[..., 0]  # (B, M, J)
    return both / own.sum(-1, keepdim=True).clamp(min=1)


def _alpha(objects: Objects) -> Tensor:
    """α·z_pres of each object. (B, n, 1, S, S)"""
    return objects.glimpse[:, :, -1:] * objects.presence[..., None, None, None]


def mean_colour(objects: Objects) -> Tensor:
    """Mean colour of each object, weighted by its alpha. (B, n, C)"""
    return objects.glimpse[:, :, :-1].mean((-1, -2)) / objects.glimpse[:, :, -1:].mean((-1, -2)).clamp(min=1e-3)


def strongest_first(covers: Tensor, strength: Tensor, present: Tensor) -> Tensor:
    """Which objects stay when stronger objects reject the weaker ones that they cover.

    Differs: in the paper, only propagated objects reject proposals. Then two proposals of the first frame can share
    one object, and both are tracked; or a track that has lost its object stays on another track's object.

    :param covers: (B, n, n) bool: the second object covers the first.
    :param strength: (B, n) presence among proposals, age among propagated objects.
    :param present: (B, n) bool: which objects take part.
    :return: (B, n) bool
    """
    mine, theirs = strength[:, :, None], strength[:, None, :]
    earlier = _earlier(strength.device, strength.shape[1])
    rivals = covers & torch.where(earlier, theirs >= mine, theirs > mine)  # ties are broken by place
    # As numbers, because a product counts an object's rivals in one operation.
    against, taking_part = rivals.to(torch.get_default_dtype()), present[..., None].to(torch.get_default_dtype())
    keep = taking_part
    for _ in range(ROUNDS):
        keep = torch.baddbmm(taking_part, against, keep, alpha=-1).relu()
    return keep[..., 0] > 0


@made_once
def _earlier(device: torch.device, n: int) -> Tensor:
    """Whether the second of two objects comes before the first. (n, n) bool"""
    place = torch.arange(n, device=device)
    return place < place[:, None]


def fill_slots(
    previous: Slots | None, propagated: Objects | None, proposals: Objects, slots: int, threshold: float
) -> Slots:
    """The slots after a frame.

    Propagated objects above the threshold keep their slot and identity; proposals above it take the free slots, those
    with the highest presence first, and get new identities.

    :param previous: the slots before, whose identities the propagated objects keep; None in the first frame.
    :param propagated: K objects; None in the first frame.
    :param proposals: M objects, presence 0 where they were rejected.
    :param slots: K of a first frame; later frames have as many as before.
    :param threshold: z_pres above which an object counts as present.
    """
    batch, m = proposals.presence.shape
    device = proposals.presence.device
    if previous is None or propagated is None:
        survivors = torch.zeros(batch, slots, dtype=torch.bool, device=device)
        identity = torch.full((batch, slots), -1, device=device)
        next_identity = torch.zeros(batch, 1, dtype=torch.long, device=device)
        candidates, first_proposal = proposals, 0
    else:
        slots, survivors = previous.number, previous.alive & (propagated.presence > threshold)
        identity, next_identity = previous.identity, previous.next_identity
        candidates, first_proposal = propagated.joined(proposals), slots
    order = proposals.presence.argsort(stable=True, dim=1, descending=True)
    turn = (~survivors).cumsum(1) - 1  # which of the free slots this one is
    chosen = order.gather(1, turn.clamp(0, m - 1))
    new = ~survivors & (turn < m) & (gather(proposals.presence, chosen) > threshold)
    own = torch.arange(slots, device=device).expand(batch, -1).clamp(max=candidates.presence.shape[1] - 1)
    objects = candidates.take(torch.where(new, chosen + first_proposal, own))
    alive = survivors | new
    return Slots(
        objects=objects._replace(presence=objects.presence * alive),
        alive=alive,
        new=new,
        identity=torch.where(new, next_identity + new.cumsum(1) - 1, torch.where(survivors, identity, -1)),
        origin=torch.where(new, chosen, -1),
        next_identity=next_identity + new.sum(1, keepdim=True),
    )
