"""Settings of a training: budget, curriculum, optimiser, schedules."""

import math
from dataclasses import dataclass
from typing import Literal

from scalor_pyro.config.checks import positive, probability, require
from scalor_pyro.config.options import option
from scalor_pyro.config.schedule import Schedule, constant

# A box so many times as large holds the centre of whatever overlaps it.
ANYWHERE = 10.0


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum: until this share of the budget, so many frames and videos a step."""

    until: float  # share of the budget, (0, 1]
    frames: int  # T
    batch: int  # B

    def __post_init__(self) -> None:
        require(0 < self.until <= 1, "until", self.until, "a share of the budget above 0, up to 1")
        positive(self, "frames", "batch")


@dataclass(frozen=True)
class TrainConfig:
    """Stochastic variational inference: budget, optimiser, schedules."""

    steps: int = option(3000, "number of training steps", metavar="N")
    # A run with a budget in wall time is not bit-identical when it is resumed.
    minutes: float | None = option(None, "training time in minutes, instead of --steps", metavar="M")
    start_from: str | None = option(
        None,
        "start from the weights of this run, or from packaged weights of this name, as far as they fit",
        metavar="RUN",
        none="random weights",
    )
    curriculum: tuple[Stage, ...] = (Stage(0.1, 2, 32), Stage(0.6, 4, 16), Stage(1.0, 8, 8))
    optimiser: Literal["adam", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4  # reached by a cosine over the last part of the budget
    decay_from: float = 0.6  # share of the budget at which the cosine starts
    clip: float = 1.0  # gradient norm, of the loss per frame
    elbo: Literal["trace", "analytic"] = "trace"  # analytic: closed-form KL where there is one
    # All that is not a network is computed in fp32.
    precision: Literal["fp32", "bf16"] = option(
        "fp32",
        "precision of the networks; bf16 is less exact, and pays off only on GPUs with large batches or images",
    )
    capture: bool = option(
        True,
        "record a step as one CUDA graph and replay it; off: slower, but shows where an error arises. No effect on a "
        "CPU or with several processes",
    )
    temperature: Schedule = Schedule(((0, 1.0), (1000, 0.5)))
    discovery_prior: Schedule = Schedule(((0, 0.1), (300, 1e-4)), log=True)
    reject_propagated: Schedule = constant(0.3)  # overlap with a propagated object above which a proposal is rejected
    reject_within: Schedule = constant(ANYWHERE)  # …, if its centre is in that one's box, so many times as large
    reject_proposals: Schedule = constant(0.5)  # overlap with a stronger proposal above which one is rejected
    discovery_bound: Schedule = constant(8.8)  # bound of discovery logits; small at first, objects cannot vanish
    propagation_release: Schedule = constant(1.0)  # share of the learned propagation logit (0: held at its bias)
    log_every: int = 20  # steps
    eval_every: int = 500
    eval_videos: int = 32  # during training
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        positive(self, "steps", "learning_rate", "clip", "log_every", "eval_every", "eval_videos", "checkpoint_every")
        positive(self, "final_learning_rate")
        if self.minutes is not None:
            positive(self, "minutes")
        require(self.optimiser in ("adam", "rmsprop"), "optimiser", self.optimiser, "'adam' or 'rmsprop'")
        require(self.elbo in ("trace", "analytic"), "elbo", self.elbo, "'trace' or 'analytic'")
        require(self.precision in ("fp32", "bf16"), "precision", self.precision, "'fp32' or 'bf16'")
        probability(self, "decay_from")
        untils = [stage.until for stage in self.curriculum]
        require(
            len(untils) > 0 and untils == sorted(untils) and untils[-1] == 1.0,
            "curriculum",
            untils,
            "stages in order whose last one ends at 1.0",
        )
        for name in ("temperature", "discovery_bound"):
            for value in getattr(self, name).values:
                require(value > 0, name, value, "a number above 0")
        for value in self.reject_within.values:
            require(value >= 0, "reject_within", value, "a number from 0")
        for name in ("reject_propagated", "reject_proposals", "propagation_release"):
            for value in getattr(self, name).values:
                require(0 <= value <= 1, name, value, "a number from 0 to 1")
        for value in self.discovery_prior.values:
            require(0 < value < 1, "discovery_prior", value, "a probability between 0 and 1")

    def stage(self, progress: float) -> Stage:
        """The stage of the curriculum at a share of the budget."""
        return next((stage for stage in self.curriculum if progress < stage.until), self.curriculum[-1])

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at a share of the budget: constant, then a cosine down to the final one."""
        if progress <= self.decay_from or self.decay_from >= 1:
            return self.learning_rate
        share = min(1.0, (progress - self.decay_from) / (1 - self.decay_from))
        low, high = self.final_learning_rate, self.learning_rate
        return low + (high - low) * (1 + math.cos(math.pi * share)) / 2

    def scheduled(self, step: int) -> dict[str, float]:
        """The values at a step of all that :meth:`scalor_pyro.model.scalor.Scalor.schedule` takes."""
        return {name: getattr(self, name)(step) for name in SCHEDULED}

    def settled(self, steps: int) -> dict[str, float]:
        """The same for a model that has learned for so many steps, and is evaluated or saved."""
        return {name: getattr(self, name).after(steps) for name in SCHEDULED}


# Quantities of the model that a schedule of TrainConfig drives, by the name of both.
SCHEDULED = (
    "temperature",
    "discovery_prior",
    "reject_propagated",
    "reject_within",
    "reject_proposals",
    "discovery_bound",
    "propagation_release",
)
