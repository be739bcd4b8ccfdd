"""Generation: forecasts, videos from nothing, reconstructions.

Samples come one after the other, so any number of them needs the memory of one. They are drawn while they are read:
a handler that changes them (``swap_prior``, ``ModeMessenger``) must be entered around the loop that reads them::

    with swap_prior(no_discovery_from(5)):
        for sample in forecast(scalor, video, observed=5, frames=10, samples=100):
            ...

Each sample has a seed of its own, which follows from its number and from one draw of torch's global generator when the
function is called. So sample 7 is the same whether 8 or 100 are drawn, and whatever else is drawn between them; and
between the samples, the global random state is as the caller left it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pyro
import torch
from pyro import poutine
from torch import Tensor

from scalor_pyro.config import ConfigError
from scalor_pyro.inference.inputs import parameter_of, require_videos, undisturbed
from scalor_pyro.inference.latents import site_of
from scalor_pyro.model import sites
from scalor_pyro.model.program import Program
from scalor_pyro.model.shared import shared_work

# The draw that the seeds of all samples follow from is below this.
SEEDS = 2**62
# A sample has no more frames or videos: nobody could wait for it. Of samples there may be any number, one at a time.
MOST = 1_000_000


class Generated(NamedTuple):
    """One sample of B videos: the model's deterministic sites of all frames. K slots, z_where in [-1, 1].

    A model without objects has no slots: K is 0.
    """

    y: Tensor  # (B, T, C, H, W) the frames without noise
    presence: Tensor  # (B, T, K) z_pres in [0, 1], 0 where the slot is empty
    where: Tensor  # (B, T, K, 4)
    identity: Tensor  # (B, T, K) long, -1 where the slot is empty


class _Asked(NamedTuple):
    """A question of which samples are answers."""

    program: Program
    x: Tensor | None  # (B, T, C, H, W) the observed frames
    frames: int
    sequences: int


def forecast(
    scalor: Program, x: Tensor, observed: int, frames: int, samples: int, at_once: int = 1
) -> Iterator[Generated]:
    """Possible futures: the posterior on the first frames, the prior after them.

    :param Tensor x: (B, T, C, H, W) in [0, 1]; frames after the first `observed` are ignored.
    :param observed: how many frames the guide sees, 1 to T.
    :param frames: how many frames in all, more than `observed`; may be more than T.
    :param samples: how many to draw.
    :param at_once: has no effect; one sample is held at a time. Kept for code written for version 0.1.
    :raises ValueError: if x is not a batch of videos that this model can see, or a number is out of range.
    """
    require_videos(scalor, x)
    check_extent(observed, frames, x.shape[1])
    return _stream(_Asked(scalor, x[:, :observed], frames, 1), samples, at_once)


def imagine(scalor: Program, frames: int, samples: int, sequences: int = 1, at_once: int = 1) -> Iterator[Generated]:
    """Videos from nothing.

    The trained prior hardly ever discovers an object: swap in another one for the first frame, see
    :func:`scalor_pyro.inference.priors.first_frame_presence`.

    :param frames: T
    :param samples: how many to draw.
    :param sequences: B, videos in one sample.
    :param at_once: has no effect, see :func:`forecast`.
    :raises ValueError: for numbers below 1.
    """
    _at_least_1(frames=frames, sequences=sequences)
    return _stream(_Asked(scalor, None, frames, sequences), samples, at_once)


def reconstruct(scalor: Program, x: Tensor, samples: int, at_once: int = 1) -> Iterator[Generated]:
    """The posterior predictive: what the model draws for frames that the guide has seen.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :param samples: how many to draw.
    :param at_once: has no effect, see :func:`forecast`.
    :raises ValueError: if x is not a batch of videos that this model can see, or a number is below 1.
    """
    require_videos(scalor, x)
    return _stream(_Asked(scalor, x, x.shape[1], x.shape[0]), samples, at_once)


def set_seed(seed: int) -> None:
    """Make the samples that follow the same in each run.

    :param seed: from 0, below 2**32.
    :raises ConfigError: for another number.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed: expected a whole number from 0 to 2**32 - 1, got {seed}.")
    pyro.set_rng_seed(seed)


def check_extent(observed: int, frames: int, available: int) -> None:
    """Refuse a forecast that sees nothing, sees more frames than the video has, or predicts nothing.

    :raises ValueError: saying which.
    """
    if not 1 <= observed <= available:
        raise ValueError(f"Observed frames: expected 1 to {available}, which the video has, got {observed}.")
    if frames <= observed:
        raise ValueError(
            f"Horizon: expected at least 1 frame, got {frames - observed} ({frames} frames in all, {observed} of them"
            " observed)."
        )


def _at_least_1(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}.")
        if count > MOST and name != "samples":
            raise ValueError(f"{name}: expected at most {MOST:,}, got {count}.")


def _stream(asked: _Asked, samples: int, at_once: int) -> Iterator[Generated]:
    # Checked here, before the first sample is asked for: a generator function would check only then.
    _at_least_1(samples=samples, at_once=at_once)
    root = int(torch.randint(SEEDS, (), device="cpu"))
    return (_sample(asked, _seed(root, number)) for number in range(samples))


def _seed(root: int, number: int) -> int:
    """The seed of one sample."""
    return int(np.random.SeedSequence((root, number)).generate_state(1, np.uint64)[0])


def _value(trace: poutine.Trace, name: str) -> Tensor:
    """The value of a site of a trace."""
    value: Tensor = site_of(trace, name)["value"]
    return value


def _sample(asked: _Asked, seed: int) -> Generated:
    program, x, frames, sequences = asked
    model, like = program.model, parameter_of(program) if x is None else x
    with undisturbed(), shared_work(), _seeded(seed, torch.device("cpu") if like is None else like.device):
        if x is not None:
            guided = poutine.trace(program.guide).get_trace(x, frames=frames, sequences=sequences)
            drawn = {name: _value(guided, name) for name in guided.nodes if sites.is_latent(name)}
            model = poutine.condition(model, data=drawn)
        found = poutine.trace(model).get_trace(x, frames=frames, sequences=sequences)

    def over_time(family: Callable[[int], str]) -> Tensor:
        return torch.stack([_value(found, family(t)) for t in range(frames)], 1)

    y = over_time(sites.y)[:, :, 0]
    if sites.slot_pres(0) in found:
        return Generated(y, *map(over_time, (sites.slot_pres, sites.slot_where, sites.slot_identity)))
    none = y.new_zeros(*y.shape[:2], 0)
    return Generated(y, none, none[..., None].expand(*none.shape, 4), none.long())


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from a seed; afterwards the generators go on as if nothing had been drawn."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        # Not torch.manual_seed, which reseeds all devices, and only some are put back.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
