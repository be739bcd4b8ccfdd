"""Priors to swap in, each for one question that the model is asked; see
:func:`scalor_pyro.inference.swap_prior.swap_prior`.

They are dicts of laws by site name, to be given to ``swap_prior`` as they are::

    with swap_prior(no_discovery_from(5)), swap_prior(constant_velocity(scalor.config)):
        …
"""

import math
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from scalor_pyro.config import ConfigError, ModelConfig
from scalor_pyro.inference.swap_prior import Prior
from scalor_pyro.model.distributions import RelaxedPresence, normal

# Log-odds of a presence that never happens: the noise of a relaxed Bernoulli is within ±17, and a logit of minus
# infinity would make NaN of its density.
NEVER = -50.0
# Standard deviation of constant-velocity motion, in the unit of z_where_prop (`move_range` half-images a frame): about
# a tenth of a pixel a frame in a view of 64 px, as is the motion of the synthetic videos between two bounces.
STEADY = 0.02
# Priors of motion by name.
MOTIONS = ("learned", "constant-velocity")
# Probability with which a border cell discovers an object in a frame, and a cell of the first frame: a few in a video.
ARRIVAL, FIRST = 0.01, 0.2


def no_discovery_from(t: int) -> dict[str, Prior]:
    """Pure forecasting: from frame t on nothing new appears.

    :param t: the first frame without discoveries, from 0.
    :raises ValueError: for a negative frame.
    """
    if t < 0:
        raise ValueError(f"Discovery was to end at frame {t}, but a frame from 0 was expected.")

    def distribution(frame: int, prior: Any) -> TorchDistribution:
        return _presence(prior, torch.full_like(prior.logits, NEVER)) if frame >= t else prior

    return {"z_pres_disc_*": distribution}


def first_frame_presence(probability: float = FIRST) -> dict[str, Prior]:
    """Generation: in the first frame each cell holds an object with this probability.

    The trained prior is of no use for it: its probability was annealed to almost none, as a price on each discovery.
    Paper: §5.3.

    :param probability: above 0, below 1.
    :raises ValueError: for another probability.
    """
    logit = _logit(probability)
    return {"z_pres_disc_0": lambda frame, prior: _presence(prior, torch.full_like(prior.logits, logit))}


def constant_velocity(config: ModelConfig, deviation: float = STEADY) -> dict[str, Prior]:
    """Motion without a learned RNN: centres go on as they last moved; sizes stay with the learned prior.

    :param config: the model's.
    :param deviation: standard deviation of z_where_prop's centre, above 0; 1 is about `move_range` half-images.
    :raises ConfigError: if the model's motion is not about constant velocity, or the deviation is not above 0.
    """
    if not config.constant_velocity:
        raise ConfigError(
            "constant_velocity is False: the model expects objects where they were, but one that expects them where"
            " their velocity leads was expected."
        )
    if not (deviation > 0 and math.isfinite(deviation)):
        raise ConfigError(f"The deviation is {deviation}, but a number above 0 was expected.")

    def distribution(frame: int, prior: Any) -> TorchDistribution:
        loc, scale = prior.mean.clone(), prior.stddev.clone()
        loc[..., 2:], scale[..., 2:] = 0.0, deviation
        return normal(loc, scale)

    return {"z_where_prop_*": distribution}


def motion(config: ModelConfig, name: str) -> dict[str, Prior]:
    """The laws of a motion by name: none for the one that was learned.

    :param config: the model's.
    :param name: one of :data:`MOTIONS`.
    :raises ConfigError: for another name, or if the model's motion is not about constant velocity.
    """
    if name not in MOTIONS:
        raise ConfigError(f"The motion is {name!r}, but {' or '.join(MOTIONS)} was expected.")
    return constant_velocity(config) if name == "constant-velocity" else {}


def discovery_at_border(config: ModelConfig, probability: float = ARRIVAL) -> dict[str, Prior]:
    """Arrivals: after the first frame, new objects appear in the cells along the border of the view alone.

    :param config: the model's, for its grid.
    :param probability: with which such a cell discovers an object in a frame, above 0, below 1.
    :raises ValueError: for another probability.
    """
    logits = torch.full(config.cells, _logit(probability))  # (G_y, G_x)
    logits[1:-1, 1:-1] = NEVER

    def distribution(frame: int, prior: Any) -> TorchDistribution:
        return prior if frame == 0 else _presence(prior, logits.flatten().to(prior.logits).expand_as(prior.logits))

    return {"z_pres_disc_*": distribution}


def _presence(prior: RelaxedPresence, logits: Tensor) -> RelaxedPresence:
    """The same relaxation with other log-odds."""
    return RelaxedPresence(prior.temperature, logits)


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        raise ValueError(f"The probability is {probability}, but a number above 0 and below 1 was expected.")
    return math.log(probability / (1 - probability))
