"""Interventions on the objects of a trace: what would the video look like without this one, or if it had moved on?

Each function returns values by site name, for :func:`poutine.do` or :func:`poutine.condition`::

    edits = remove(scalor, trace, identity=1)
    edited = poutine.replay(poutine.do(scalor.model, data=edits), trace)(video)

``trace`` comes from the guide or the model; :class:`~scalor_pyro.inference.posterior.ModeMessenger` gives the guide's
mode. :func:`~scalor_pyro.inference.posterior.collect` takes the edited frames.

Everything else stays as it is in the trace. That takes two measures:

- *Nothing comes back.* A removed object had explained the proposals around it. Without it they would be accepted, and
  the same object would return under another identity. So a proposal that was rejected in the trace stays rejected. A
  second track on the same object counts as another object, and stays.
- *Rows follow their objects.* A removed object leaves a free slot, which the next discovery takes, and proposals are
  sorted by presence. So the rows of all other sites are moved to where the model will look for them. Removing a
  discovery renumbers the identities after it.

The model still rejects: an object that is moved onto a younger one ends it, and one that is moved to a place where
another would be discovered prevents that discovery.

To intervene twice, trace the program with the first edits under :func:`poutine.condition`, compute the second edits
from that trace, and replay the *first* trace with both, ``{**first, **second}``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pyro import poutine
from torch import Tensor

from scalor_pyro.inference.latents import frames_of, site_of
from scalor_pyro.layers.objects import Objects, Slots, gather
from scalor_pyro.model import sites
from scalor_pyro.model.discovery import shortlist
from scalor_pyro.model.scalor import Scalor

# The first frame has only discoveries.
PARTS: tuple[sites.Part, ...] = ("disc", "prop")
# Added to a logit, it makes presence exactly 0 in any precision, and keeps the order among absent objects.
ABSENT = -1000.0
# A presence below this changes no pixel by half a grey level of 255: it may be drawn, but is invisible.
FAINT = 1 / 512
# A message lists at most this many identities.
LISTED = 10
# Shares of a bound that differ by less than this differ by rounding only.
ROUNDING = 1e-5

Values = dict[str, Tensor]
# The new centre (1, 1, 2) of an object, given the object in the trace in this frame, and the edited object in the frame
# before (None in its first frame).
Aim = Callable[[Objects, Objects | None], Tensor]


class Track(NamedTuple):
    """The place of an object in a trace: one row of the sites of each of its frames."""

    identity: int
    video: int
    first: int  # frame of its discovery
    last: int  # last frame whose sites have a row for it
    proposal: int  # its rank in the shortlist of its first frame
    cell: int  # the grid cell of that proposal
    slot: int  # its slot from then on

    def row(self, t: int) -> tuple[sites.Part, int]:
        """The sites that describe it in a frame, discovery or propagation, and its row there."""
        return ("disc", self.proposal) if t == self.first else ("prop", self.slot)


def track(trace: poutine.Trace, identity: int, video: int = 0) -> Track:
    """Find an object in a trace of the guide or the model.

    :param identity: of the object, as in the slots that the traced program returned.
    :param video: which of the B sequences.
    :raises ValueError: for an identity or a video that is not in the trace.
    """
    frames = frames_of(trace)
    batch = len(frames[0].slots.identity)
    if not 0 <= video < batch:
        raise ValueError(f"video: expected a number from 0 to {batch - 1}, got {video}.")
    identities = torch.stack([frame.slots.identity[video] for frame in frames])  # (T, K)
    here = (identities == identity).nonzero().tolist() if identity >= 0 else []
    if not here:
        known = sorted(set(identities.flatten().tolist()) - {-1})
        expected = (
            f"one of {_listed(known)} in video {video}" if known else f"an object in video {video}, which has none"
        )
        raise ValueError(f"identity: expected {expected}, got {identity}.")
    (first, slot), (last, _) = here[0], here[-1]
    proposal = int(frames[first].slots.origin[video, slot])
    cell = int(_shortlisted(trace, first)[video, proposal])
    return Track(identity, video, first, min(last + 1, len(frames) - 1), proposal, cell, slot)


def _listed(numbers: list[int]) -> str:
    """Some numbers as text: all, or the first and last of many."""
    if len(numbers) > LISTED:
        return f"{', '.join(map(str, numbers[: LISTED - 1]))}, … {numbers[-1]}"
    return ", ".join(map(str, numbers))


def remove(scalor: Scalor, trace: poutine.Trace, identity: int, *, frame: int | None = None, video: int = 0) -> Values:
    """Take an object out of a video.

    :param frame: the first frame without it; None: that of its discovery.
    :return: the sites that change, with the rows of all B sequences.
    :raises ValueError: if the object is not in the trace, or not in that frame.
    """
    subject, start = _subject(trace, identity, frame, video)
    values = _values(trace)
    part, row = subject.row(start)
    values[sites.z_pres(part, start)][video, subject.cell if part == "disc" else row] = ABSENT
    return _arranged(scalor, trace, values, video, start)


def move(
    scalor: Scalor,
    trace: poutine.Trace,
    identity: int,
    shift: tuple[float, float],
    *,
    frame: int | None = None,
    video: int = 0,
) -> Values:
    """Shift an object and the rest of its path in parallel.

    The shift happens in one step, and steps are bounded: a discovery stays near its cell (`cell_reach`), and a
    propagated object near its expected place (`move_range`). That bounds the frame of the shift, and also the next one,
    in which the object is expected to move on as fast.

    :param shift: (dx, dy) in px, right and down.
    :param frame: the first shifted frame; None: that of its discovery.
    :return: the sites that change, with the rows of all B sequences.
    :raises ValueError: if the object is not in the trace or not in that frame, or the shift is out of reach.
    """
    subject, start = _subject(trace, identity, frame, video)
    height, width = scalor.config.image_size

    def aim(there: Objects, before: Objects | None) -> Tensor:
        centre = there.where[..., 2:]
        return centre + centre.new_tensor([2 * shift[0] / width, 2 * shift[1] / height])

    return _arranged(scalor, trace, _steered(scalor, trace, subject, start, aim), video, start)


def hold_velocity(scalor: Scalor, trace: poutine.Trace, identity: int, frame: int, *, video: int = 0) -> Values:
    """Let an object keep its velocity, whatever it does in the video; it ends in the same frame as there.

    :param frame: the first frame in which it keeps its velocity, which the two frames before determine.
    :return: the sites that change, with the rows of all B sequences.
    :raises ValueError: if the object is not in the trace or not in these frames, or, without `constant_velocity`, if
        its velocity is out of reach.
    """
    subject, start = _subject(trace, identity, frame, video)
    if start < subject.first + 2:
        raise ValueError(
            f"frame: expected at least {subject.first + 2}, got {frame}; object {identity} is discovered in frame"
            f" {subject.first}, and has a velocity one frame later."
        )

    def aim(there: Objects, before: Objects | None) -> Tensor:
        assert before is not None, "an object that has a velocity was in the frame before"
        return scalor.boxes.within(before.where[..., 2:] + before.velocity)

    return _arranged(scalor, trace, _steered(scalor, trace, subject, start, aim), video, start)


def swap_appearance(
    scalor: Scalor, trace: poutine.Trace, identity: int, other: int, *, frame: int | None = None, video: int = 0
) -> Values:
    """Exchange the appearance of two objects, their z_what.

    In a frame that has only one of them, it takes the appearance of the other one in the nearest of the other's frames.

    :param frame: the first frame that changes; None: the first of both.
    :return: the sites that change, with the rows of all B sequences.
    :raises ValueError: if one of them is not in the trace, neither is in that frame, or both are the same.
    """
    one, two = track(trace, identity, video), track(trace, other, video)
    if identity == other:
        raise ValueError(f"identity and other: expected two objects, got {identity} twice.")
    start = min(one.first, two.first) if frame is None else frame
    first, last = min(one.first, two.first), max(one.last, two.last)
    if not first <= start <= last:
        raise ValueError(f"frame: expected {first} to {last}, which have one of the two objects, got {frame}.")
    values = _values(trace)
    for mine, theirs in ((one, two), (two, one)):
        for t in range(max(start, mine.first), mine.last + 1):
            part, row = mine.row(t)
            near = min(max(t, theirs.first), theirs.last)
            their_part, their_row = theirs.row(near)
            appearance = site_of(trace, sites.z_what(their_part, near))["value"][video, their_row]
            values[sites.z_what(part, t)][video, row] = appearance.detach()
    return _arranged(scalor, trace, values, video, start)


# ---------------------------------------------------------------------- the one object


def _subject(trace: poutine.Trace, identity: int, frame: int | None, video: int) -> tuple[Track, int]:
    """The object, and the first frame in which it changes."""
    subject = track(trace, identity, video)
    start = subject.first if frame is None else frame
    if not subject.first <= start <= subject.last:
        raise ValueError(
            f"frame: expected {subject.first} to {subject.last}, the frames of object {identity}, got {frame}."
        )
    return subject, start


@torch.no_grad()
def _steered(scalor: Scalor, trace: poutine.Trace, subject: Track, start: int, aim: Aim) -> Values:
    """The values of a trace, with z_where of the object changed so that its centre is the one aimed at."""
    frames, values, before = frames_of(trace), _values(trace), None
    for t in range(subject.first, subject.last + 1):
        part, row = subject.row(t)
        first = 0 if part == "prop" or t == 0 else frames[t].slots.number  # proposals are drawn after the slots
        there = _alone(frames[t].drawn, subject.video, first + row)
        if t >= start:
            centre = aim(there, before)
            if before is None:
                cell = torch.full((1, 1), subject.cell, device=centre.device)
                share, velocity = scalor.boxes.share_of_reach(centre, cell), there.velocity
            else:
                share, velocity = scalor.boxes.share_of_move(before, centre), centre - before.where[..., 2:]
            _require_reach(scalor, subject, t, share[0, 0], centre[0, 0])
            raw = values[sites.z_where(part, t)][subject.video, row, 2:]
            raw.copy_(torch.where((raw.tanh() - share[0, 0]).abs() < ROUNDING, raw, share[0, 0].atanh()))
            there = there._replace(where=torch.cat((there.where[..., :2], centre), -1), velocity=velocity)
        before = there
    return values


def _alone(objects: Objects, video: int, row: int) -> Objects:
    """One object of a batch. (1, 1, …)"""
    return Objects(*(values[video, row][None, None].detach() for values in objects))


def _require_reach(scalor: Scalor, subject: Track, t: int, share: Tensor, centre: Tensor) -> None:
    """Refuse a centre (2,) that no z_where can give."""
    height, width = scalor.config.image_size
    discovery = t == subject.first
    bound = scalor.boxes.cell_reach if discovery else scalor.boxes.move_range
    for axis, side, name in ((0, width, "x"), (1, height, "y")):
        place, reach, farthest = (float(each[axis]) for each in (centre, bound * side / 2, scalor.boxes.farthest))
        if abs(place) > farthest:
            raise ValueError(
                f"Object {subject.identity} in frame {t}: expected {name} from {(1 - farthest) / 2 * side:g} to"
                f" {(1 + farthest) / 2 * side:g} px, got {(place + 1) / 2 * side:.1f} px."
            )
        if not abs(float(share[axis])) < 1:
            raise ValueError(
                f"Object {subject.identity} in frame {t}: expected less than {reach:.1f} px along {name} from"
                f" {'the centre of its cell' if discovery else 'its expected place'}"
                f" ({'cell_reach' if discovery else 'move_range'}), got {float(share[axis]) * reach:.1f} px."
            )


# ---------------------------------------------------------------------- all others


def _values(trace: poutine.Trace) -> Values:
    """Copies of the values of all latents of objects, by name."""
    return {
        name: site_of(trace, name)["value"].detach().clone()
        for t in range(len(frames_of(trace)))
        for part in PARTS[: 1 if t == 0 else 2]
        for name in _names(part, t)
    }


def _names(part: sites.Part, t: int) -> tuple[str, str, str, str]:
    return sites.z_pres(part, t), sites.z_where(part, t), sites.z_depth(part, t), sites.z_what(part, t)


def _shortlisted(trace: poutine.Trace, t: int) -> Tensor:
    """The cells that made the proposals of a frame. (B, M)"""
    proposals: int = site_of(trace, sites.z_where("disc", t))["value"].shape[1]
    return shortlist(site_of(trace, sites.z_pres("disc", t))["value"], proposals)


@torch.no_grad()
def _arranged(scalor: Scalor, trace: poutine.Trace, values: Values, video: int, start: int) -> Values:
    """The sites whose values change, with each row in the place where the model will look for it.

    The model's own :meth:`Scalor.settle` decides, frame by frame, in which slot an object will be.

    :param values: of all latents of objects, in the order of the trace, with changes from frame `start` on.
    :param video: the one in which only objects that were drawn in the trace may appear.
    """
    frames = frames_of(trace)
    alive = frames[0].slots.alive
    edited_video = torch.arange(len(alive), device=alive.device)[:, None] == video
    slots = frames[start - 1].slots if start > 0 else None
    # For the object in each slot, its slot in the trace; -1 if it had none. (B, K)
    source = torch.arange(alive.shape[1], device=alive.device).expand_as(alive)
    edited: Values = {}
    for t, frame in enumerate(frames[start:], start):
        drawn = frame.drawn.presence > 0
        propagated = None
        if slots is not None:
            pres, where, depth, what = _names("prop", t)
            row = source.clamp(min=0)
            edited |= {name: gather(values[name], row) for name in (pres, where, depth, what)}
            unwanted = edited_video & slots.alive & ((source < 0) | ~gather(drawn[:, : alive.shape[1]], row))
            edited[pres] = _silenced(edited[pres], unwanted)
            propagated = _objects(
                scalor,
                edited[pres].sigmoid() * slots.alive,
                scalor.boxes.propagated(slots.objects, edited[where]),
                edited[depth],
                edited[what],
            )
        pres, where, depth, what = _names("disc", t)
        cells = _shortlisted(trace, t)
        of_drawn = torch.zeros_like(values[pres], dtype=torch.bool).scatter(1, cells, drawn[:, -cells.shape[1] :])
        edited[pres] = _silenced(values[pres], edited_video & ~of_drawn)
        cells_now = shortlist(edited[pres], cells.shape[1])
        rank = (cells_now[:, :, None] == cells[:, None]).long().argmax(-1)  # of each proposal in the trace
        edited |= {name: gather(values[name], rank) for name in (where, depth, what)}
        proposals = _objects(
            scalor,
            edited[pres].gather(1, cells_now).sigmoid(),
            scalor.boxes.discovered(edited[where], cells_now),
            edited[depth],
            edited[what],
        )
        slots = scalor.settle(slots, propagated, proposals).slots
        source = _source(slots, frame.slots, rank, source)
    return {name: value for name, value in edited.items() if not torch.equal(value, site_of(trace, name)["value"])}


def _silenced(logits: Tensor, unwanted: Tensor) -> Tensor:
    """Logits without the unwanted objects that would be visible."""
    return torch.where(unwanted & (logits.sigmoid() > FAINT), logits + ABSENT, logits)


def _objects(
    scalor: Scalor, presence: Tensor, box: tuple[Tensor, Tensor, Tensor], depth: Tensor, what: Tensor
) -> Objects:
    return Objects(presence, *box, depth, what, scalor.decoder(what))


def _source(slots: Slots, in_trace: Slots, rank: Tensor, source: Tensor) -> Tensor:
    """For the object in each slot after a frame, its slot in the trace; survivors keep theirs. (B, K)"""
    origin = gather(rank, slots.origin.clamp(min=0))
    same = in_trace.new[:, None] & (origin[:, :, None] == in_trace.origin[:, None])  # (B, K, K)
    found = torch.where(same.any(-1), same.long().argmax(-1), -1)
    return torch.where(slots.new, found, source)
