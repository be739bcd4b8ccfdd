"""Priors for :func:`~scalor_pyro.inference.swap_prior.swap_prior`, each for one question to the model.

Each function returns a dict of priors by site name::

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

# Log-odds of a presence that never happens: the noise of a relaxed Bernoulli is within ±17. With a logit of minus
# infinity, its density would be NaN.
NEVER = -50.0
# Standard deviation of constant-velocity motion, in the unit of z_where_prop (`move_range` half-images a frame). In a
# view of 64 px this is about a tenth of a pixel a frame, like the synthetic videos between two bounces.
STEADY = 0.02
# Priors of motion by name.
MOTIONS = ("learned", "constant-velocity")
# Probability that a border cell discovers an object in a frame, and that any cell does in the first frame: both make
# a few objects in a video.
ARRIVAL, FIRST = 0.01, 0.2


def no_discovery_from(t: int) -> dict[str, Prior]:
    """Pure forecasting: nothing new appears from frame t on.

    :param t: the first frame without discoveries, from 0.
    :raises ValueError: for a negative frame.
    """
    if t < 0:
        raise ValueError(f"First frame without discoveries: expected a number from 0, got {t}.")

    def distribution(frame: int, prior: Any) -> TorchDistribution:
        return _presence(prior, torch.full_like(prior.logits, NEVER)) if frame >= t else prior

    return {"z_pres_disc_*": distribution}


def first_frame_presence(probability: float = FIRST) -> dict[str, Prior]:
    """Generation: in the first frame each cell holds an object with this probability.

    The trained prior is useless here: its probability was annealed to almost zero, as a price on each discovery.
    Paper: §5.3.

    :param probability: above 0, below 1.
    :raises ValueError: for another probability.
    """
    logit = _logit(probability)
    return {"z_pres_disc_0": lambda frame, prior: _presence(prior, torch.full_like(prior.logits, logit))}


def constant_velocity(config: ModelConfig, deviation: float = STEADY) -> dict[str, Prior]:
    """Motion without a learned RNN: centres keep their last velocity; sizes follow the learned prior.

    :param config: the model's.
    :param deviation: standard deviation of z_where_prop's centre, above 0; 1 is about `move_range` half-images.
    :raises ConfigError: if the model does not expect constant velocity, or the deviation is not above 0.
    """
    if not config.constant_velocity:
        raise ConfigError(
            "constant_velocity: expected a model with True, got False: it expects an object to stay, not to keep its"
            " velocity."
        )
    if not (deviation > 0 and math.isfinite(deviation)):
        raise ConfigError(f"deviation: expected a number above 0, got {deviation}.")

    def distribution(frame: int, prior: Any) -> TorchDistribution:
        loc, scale = prior.mean.clone(), prior.stddev.clone()
        loc[..., 2:], scale[..., 2:] = 0.0, deviation
        return normal(loc, scale)

    return {"z_where_prop_*": distribution}


def motion(config: ModelConfig, name: str) -> dict[str, Prior]:
    """The priors of a motion by name; none for the learned motion.

    :param config: the model's.
    :param name: one of :data:`MOTIONS`.
    :raises ConfigError: for another name, or if the model does not expect constant velocity.
    """
    if name not in MOTIONS:
        raise ConfigError(f"motion: expected {' or '.join(MOTIONS)}, got {name!r}.")
    return constant_velocity(config) if name == "constant-velocity" else {}


def discovery_at_border(config: ModelConfig, probability: float = ARRIVAL) -> dict[str, Prior]:
    """Arrivals: after the first frame, new objects appear only in the cells along the border of the view.

    :param config: the model's, for its grid.
    :param probability: that such a cell discovers an object in a frame, above 0, below 1.
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
        raise ValueError(f"Probability: expected a number above 0 and below 1, got {probability}.")
    return math.log(probability / (1 - probability))
