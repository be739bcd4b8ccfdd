"""Generation through :class:`pyro.infer.Predictive` alone: forecasts, videos from nothing, reconstructions.

Samples come one after the other, so that any number of them needs the memory of a few. They are drawn while they are
asked for: what is to change them (``swap_prior``, ``ModeMessenger``) must be entered round the loop that reads them::

    with swap_prior(no_discovery_from(5)):
        for sample in forecast(scalor, video, observed=5, frames=10, samples=100):
            ...
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyro
import torch
from pyro.infer import Predictive
from torch import Tensor

from scalor_pyro.config import ConfigError
from scalor_pyro.model import sites
from scalor_pyro.model.inputs import check_videos
from scalor_pyro.model.program import Program
from scalor_pyro.model.shared import shared_work

# Samples that one call of Predictive draws: it runs the program once more than that, to learn the shapes of its sites.
AT_ONCE = 4


class Generated(NamedTuple):
    """One sample of B videos: the model's deterministic sites of all frames. K slots, z_where in [-1, 1].

    A model without objects has no slots: K is 0.
    """

    y: Tensor  # (B, T, C, H, W) the frames without noise
    presence: Tensor  # (B, T, K) z_pres in [0, 1], 0 where the slot is empty
    where: Tensor  # (B, T, K, 4)
    identity: Tensor  # (B, T, K) long, -1 where the slot is empty


def forecast(
    scalor: Program, x: Tensor, observed: int, frames: int, samples: int, at_once: int = AT_ONCE
) -> Iterator[Generated]:
    """What may come: the posterior on the first frames, the prior after.

    :param Tensor x: (B, T, C, H, W) in [0, 1]; only its first frames are looked at.
    :param observed: how many, 1 to T.
    :param frames: how many frames in all, above `observed`; they may be more than T.
    :param samples: how many to draw.
    :param at_once: how many of them to hold in memory.
    :raises ValueError: for no batch of videos, for numbers out of their range.
    """
    check_videos(x, scalor.config)
    check_extent(observed, frames, x.shape[1])
    return _stream(scalor, x[:, :observed], frames, 1, samples, at_once)


def imagine(
    scalor: Program, frames: int, samples: int, sequences: int = 1, at_once: int = AT_ONCE
) -> Iterator[Generated]:
    """Videos from nothing. A trained prior of discovery is close to never: swap in one for the first frame, see
    :func:`scalor_pyro.inference.priors.first_frame_presence`.

    :param frames: T
    :param samples: how many to draw.
    :param sequences: B, videos in one sample.
    :param at_once: how many samples to hold in memory.
    :raises ValueError: for numbers below 1.
    """
    _at_least_1(frames=frames, sequences=sequences)
    return _stream(scalor, None, frames, sequences, samples, at_once)


def reconstruct(scalor: Program, x: Tensor, samples: int, at_once: int = AT_ONCE) -> Iterator[Generated]:
    """The posterior predictive: what the model draws for frames that the guide has seen.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :param samples: how many to draw.
    :param at_once: how many of them to hold in memory.
    :raises ValueError: for no batch of videos, for numbers below 1.
    """
    check_videos(x, scalor.config)
    return _stream(scalor, x, x.shape[1], x.shape[0], samples, at_once)


def set_seed(seed: int) -> None:
    """Make the samples that follow the same on each run.

    :param seed: from 0, below 2**32.
    :raises ConfigError: for another number.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed is {seed}, but a whole number from 0 to 2**32 - 1 was expected.")
    pyro.set_rng_seed(seed)


def check_extent(observed: int, frames: int, available: int) -> None:
    """Refuse a forecast that sees nothing, more than there is, or predicts nothing.

    :raises ValueError: saying which.
    """
    if not 1 <= observed <= available:
        raise ValueError(
            f"{observed} frames were to be observed, but 1 to {available}, as the video has, were expected."
        )
    if frames <= observed:
        raise ValueError(
            f"The horizon is {frames - observed} ({frames} frames in all, {observed} of them observed), but at least 1"
            " was expected."
        )


def _at_least_1(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}, but at least 1 was expected.")


def _stream(
    scalor: Program, x: Tensor | None, frames: int, sequences: int, samples: int, at_once: int
) -> Iterator[Generated]:
    # Checked here, before the first sample is asked for: a generator function would check only then.
    _at_least_1(samples=samples, at_once=at_once)
    return (
        Generated(*(part[index] for part in drawn))
        for first in range(0, samples, at_once)
        for drawn in [_draw(scalor, x, frames, sequences, min(at_once, samples - first))]
        for index in range(len(drawn.y))
    )


def _draw(scalor: Program, x: Tensor | None, frames: int, sequences: int, samples: int) -> Generated:
    """Some samples, stacked in front: y (S, B, T, C, H, W) and so on."""
    of_slots = (sites.slot_pres, sites.slot_where, sites.slot_identity)
    wanted = [family(t) for family in (sites.y, *of_slots) for t in range(frames)]
    predictive = Predictive(
        scalor.model, guide=None if x is None else scalor.guide, num_samples=samples, return_sites=wanted
    )
    with pyro.validation_enabled(False), torch.no_grad(), shared_work():
        found = predictive(x, frames=frames, sequences=sequences)

    def over_time(family: Callable[[int], str]) -> Tensor:
        return torch.stack([found[family(t)] for t in range(frames)], 2)

    y = over_time(sites.y)[:, :, :, 0]
    if sites.slot_pres(0) in found:
        return Generated(y, *map(over_time, of_slots))
    none = y.new_zeros(*y.shape[:3], 0)
    return Generated(y, none, none[..., None].expand(*none.shape, 4), none.long())
