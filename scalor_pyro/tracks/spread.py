"""How certain the posterior is of the presence and the box of each object, from the guide's distributions."""

from typing import NamedTuple

import torch
from pyro import poutine
from torch import Tensor

from scalor_pyro.inference.latents import frames_of, site_of
from scalor_pyro.inference.objects import boxes
from scalor_pyro.layers.objects import Slots, gather
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
    presence, box = [], []
    for t, frame in enumerate(frames):
        chance, spread = _discovered(scalor, trace, t, frame.slots, noise)
        if before is not None:
            distribution = site_of(trace, sites.z_where("prop", t))["fn"]
            where, _, _ = scalor.boxes.propagated(before.objects, distribution.mean + distribution.stddev * noise)
            gone_on = frame.slots.alive & ~frame.slots.new
            chance = torch.where(gone_on, site_of(trace, sites.z_pres("prop", t))["fn"].logits.sigmoid(), chance)
            spread = torch.where(gone_on[..., None], _in_pixels(scalor, where), spread)
        before = frame.slots
        presence.append(chance)
        box.append(spread)
    return Spread(torch.stack(presence, 1), torch.stack(box, 1))


def _discovered(scalor: Scalor, trace: poutine.Trace, t: int, slots: Slots, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Presence (B, K) and spread (B, K, 4) of what was discovered in a frame; NaN in all other slots."""
    presence, distribution = site_of(trace, sites.z_pres("disc", t)), site_of(trace, sites.z_where("disc", t))["fn"]
    cells = shortlist(presence["value"], distribution.mean.shape[-2])
    where, _, _ = scalor.boxes.discovered(distribution.mean + distribution.stddev * noise, cells)
    origin = slots.origin.clamp(min=0)
    chance = gather(gather(presence["fn"].logits.sigmoid(), cells), origin)
    spread = gather(_in_pixels(scalor, where), origin)
    return chance.masked_fill(~slots.new, torch.nan), spread.masked_fill(~slots.new[..., None], torch.nan)


def _in_pixels(scalor: Scalor, where: Tensor) -> Tensor:
    """Standard deviations over draws of z_where. (S, B, n, 4) → (B, n, 4)"""
    drawn = torch.from_numpy(boxes(where, scalor.config.image_size))
    return drawn.std(0).to(where)
