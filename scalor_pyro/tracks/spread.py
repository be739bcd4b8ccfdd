"""How certain the posterior is of the presence and the box of each object, from the guide's distributions."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from pyro import poutine
from torch import Tensor

from scalor_pyro.inference.latents import frames_of, site_of
from scalor_pyro.inference.objects import boxes
from scalor_pyro.layers.objects import Objects, Slots, gather
from scalor_pyro.model import sites
from scalor_pyro.model.discovery import shortlist
from scalor_pyro.model.scalor import Scalor


class Spread(NamedTuple):
    """Of what is in each slot after each frame; NaN where a slot is empty."""

    presence: Tensor  # (B, T, K) probability that the object is there
    box: Tensor  # (B, T, K, 4) standard deviations in px: of centre x, centre y, width, height


@torch.no_grad()
def box_spread(
    scalor: Scalor, trace: poutine.Trace, draws: int = 256, seed: int = 0, before: Slots | None = None
) -> Spread:
    """How far each object could be from its place, given the frame before in the trace.

    Draws of z_where from the guide's Normal go through :class:`~scalor_pyro.layers.boxes.Boxes`; the guide does not
    run again, and what is uncertain in earlier frames is not added up. With the mode of the guide as trace
    (:class:`~scalor_pyro.inference.posterior.ModeMessenger`), it is the spread around the result of
    :func:`~scalor_pyro.inference.posterior.infer`; with a trace of the model, that of the prior.

    :param trace: of :meth:`Scalor.guide`.
    :param draws: how many, at least 2.
    :param seed: of the draws; pyro's random state is left alone.
    :param before: the slots that the guide continued from, if its first frame was not the first of the video.
    :raises ValueError: for fewer draws, or a trace of something else.
    """
    if draws < 2:
        raise ValueError(f"draws: expected at least 2, got {draws}.")
    frames = frames_of(trace)
    like = frames[0].slots.objects.where
    generator = torch.Generator().manual_seed(seed)
    # The same for every object and frame: all are judged alike.
    noise = torch.randn(draws, 1, 1, 4, generator=generator, dtype=like.dtype).to(like.device)
    slots = [frame.slots for frame in frames]
    # All frames at a time, one after the other along the batch, but the first, which may have more proposals.
    parts = [_discovered(scalor, trace, ts, slots, noise) for ts in (range(1), range(1, len(slots))) if ts]
    chance, spread = (torch.cat(each) for each in zip(*parts, strict=True))
    known = [*([] if before is None else [before]), *slots]
    ts = range(len(slots) - len(known) + 1, len(slots))  # of frames before which there is another
    if ts:
        gone_on = torch.cat([slots[t].alive & ~slots[t].new for t in ts])
        those = slice(-len(gone_on), None)
        going_on, moved = _propagated(scalor, trace, ts, known, noise)
        chance[those] = torch.where(gone_on, going_on, chance[those])
        spread[those] = torch.where(gone_on[..., None], moved, spread[those])
    return Spread(*(each.unflatten(0, (len(slots), -1)).transpose(0, 1) for each in (chance, spread)))


def _drawn(trace: poutine.Trace, name: Callable[[int], str], ts: range, noise: Tensor) -> Tensor:
    """Draws of a site of several frames. (S, T·B, n, 4)"""
    distributions = [site_of(trace, name(t))["fn"] for t in ts]
    mean, stddev = (torch.cat([getattr(each, part) for each in distributions]) for part in ("mean", "stddev"))
    return mean + stddev * noise


def _chance(trace: poutine.Trace, name: Callable[[int], str], ts: range) -> Tensor:
    """The probability of a presence in several frames. (T·B, n)"""
    return torch.cat([site_of(trace, name(t))["fn"].logits for t in ts]).sigmoid()


def _discovered(
    scalor: Scalor, trace: poutine.Trace, ts: range, slots: Sequence[Slots], noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Presence (T·B, K) and spread (T·B, K, 4) of what was discovered in some frames; NaN in all other slots.

    :param slots: after all frames.
    """
    where_of, presence_of = partial(sites.z_where, "disc"), partial(sites.z_pres, "disc")
    raw = _drawn(trace, where_of, ts, noise)
    cells = shortlist(torch.cat([site_of(trace, presence_of(t))["value"] for t in ts]), raw.shape[-2])
    where, _, _ = scalor.boxes.discovered(raw, cells)
    origin = torch.cat([slots[t].origin for t in ts]).clamp(min=0)
    new = torch.cat([slots[t].new for t in ts])
    chance = gather(gather(_chance(trace, presence_of, ts), cells), origin)
    spread = gather(_in_pixels(scalor, where), origin)
    return chance.masked_fill(~new, torch.nan), spread.masked_fill(~new[..., None], torch.nan)


def _propagated(
    scalor: Scalor, trace: poutine.Trace, ts: range, before: Sequence[Slots], noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Presence (T·B, K) and spread (T·B, K, 4) of what was propagated into some frames.

    :param before: the slots before each of them, and any more.
    """
    raw = _drawn(trace, partial(sites.z_where, "prop"), ts, noise)
    parts = zip(*(slots.objects for slots in before[: len(ts)]), strict=True)
    where, _, _ = scalor.boxes.propagated(Objects(*(torch.cat(part) for part in parts)), raw)
    return _chance(trace, partial(sites.z_pres, "prop"), ts), _in_pixels(scalor, where)


def _in_pixels(scalor: Scalor, where: Tensor) -> Tensor:
    """Standard deviations over draws of z_where. (S, B, n, 4) → (B, n, 4)"""
    drawn = torch.from_numpy(boxes(where, scalor.config.image_size))
    return drawn.std(0).to(where)
