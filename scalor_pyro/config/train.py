"""Settings of a training: budget, curriculum, optimiser, schedules."""

import math
from dataclasses import dataclass
from typing import Literal

from scalor_pyro.config.checks import at_least_1, positive, probability, require, require_choice, require_path
from scalor_pyro.config.data import MOST_FRAMES
from scalor_pyro.config.options import option
from scalor_pyro.config.schedule import Schedule, constant

# A box enlarged by this factor contains the centre of everything that overlaps it.
ANYWHERE = 10.0
# Limits far above any use, as in scalor_pyro.config.data.
MOST_STEPS, MOST_VIDEOS, MOST_SCHEDULED = 1_000_000_000, 1_000_000, 1000.0
# The model's quantities that a schedule of TrainConfig drives, under the same name.
SCHEDULED = (
    "temperature",
    "discovery_prior",
    "reject_propagated",
    "reject_within",
    "reject_proposals",
    "discovery_bound",
    "propagation_release",
)


def require_scheduled(name: str, value: float) -> None:
    """Refuse a value that a scheduled quantity cannot have.

    :param name: one of :data:`SCHEDULED`.
    :raises ConfigError: naming it.
    """
    if name in ("temperature", "discovery_bound"):
        require(0 < value <= MOST_SCHEDULED, name, value, f"a number above 0, up to {MOST_SCHEDULED:g}")
    elif name == "reject_within":
        require(0 <= value <= MOST_SCHEDULED, name, value, f"a number from 0 to {MOST_SCHEDULED:g}")
    elif name == "discovery_prior":
        require(0 < value < 1, name, value, "a probability between 0 and 1")
    else:
        require(0 <= value <= 1, name, value, "a number from 0 to 1")


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum: the size of its steps, until a share of the budget is spent."""

    until: float  # share of the budget, above 0 and up to 1
    frames: int  # T of each video
    batch: int  # B, videos per step

    def __post_init__(self) -> None:
        require(0 < self.until <= 1, "until", self.until, "a share of the budget above 0, up to 1")
        at_least_1(self, "frames", most=MOST_FRAMES)
        at_least_1(self, "batch", most=MOST_VIDEOS)


@dataclass(frozen=True)
class TrainConfig:
    """Stochastic variational inference: budget, optimiser, schedules."""

    steps: int = option(3000, "number of training steps", metavar="N")
    # A run with a budget in wall time is not bit-exact when it is resumed.
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
    clip: float = 1.0  # largest gradient norm, of the loss per frame
    elbo: Literal["trace", "analytic"] = "trace"  # analytic: closed-form KL where it exists
    evidence: bool = option(
        False,
        "learn with evidence: what a frame gains decides which objects stay, instead of masks; steps on a GPU are then "
        "not recorded",
    )
    taught: bool = option(
        False,
        "learn from clips whose last channels tell where the objects are; steps on a GPU are then not recorded",
    )
    # Everything but the networks is computed in fp32.
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
    reject_within: Schedule = constant(ANYWHERE)  # … if its centre is inside that object's box, enlarged by this factor
    reject_proposals: Schedule = constant(0.5)  # overlap with a stronger proposal above which one is rejected
    discovery_bound: Schedule = constant(
        8.8
    )  # bound of discovery logits; small at first, so that objects cannot vanish
    propagation_release: Schedule = constant(1.0)  # share of the learned propagation logit; 0: only its bias
    log_every: int = 20  # steps
    eval_every: int = 500
    eval_videos: int = 32  # during training
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        at_least_1(self, "steps", "log_every", "eval_every", "checkpoint_every", most=MOST_STEPS)
        at_least_1(self, "eval_videos", most=MOST_VIDEOS)
        positive(self, "learning_rate", "final_learning_rate", most=100)
        positive(self, "clip", most=1e12)
        if self.minutes is not None:
            positive(self, "minutes", most=1e8)
        if self.start_from is not None:
            require_path("start_from", self.start_from)
        require_choice(self, "optimiser", "adam", "rmsprop")
        require_choice(self, "elbo", "trace", "analytic")
        require_choice(self, "precision", "fp32", "bf16")
        probability(self, "decay_from")
        require(not (self.taught and self.evidence), "taught", True, "False beside evidence")
        untils = [stage.until for stage in self.curriculum]
        require(
            len(untils) > 0 and untils == sorted(untils) and untils[-1] == 1.0,
            "curriculum",
            untils,
            "stages in order, the last one until 1.0",
        )
        for name in SCHEDULED:
            for value in getattr(self, name).values:
                require_scheduled(name, value)

    def stage(self, progress: float) -> Stage:
        """The stage of the curriculum at a share of the budget."""
        return next((stage for stage in self.curriculum if progress < stage.until), self.curriculum[-1])

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at a share of the budget: constant, then falling to the final one by a cosine."""
        if progress <= self.decay_from or self.decay_from >= 1:
            return self.learning_rate
        share = min(1.0, (progress - self.decay_from) / (1 - self.decay_from))
        low, high = self.final_learning_rate, self.learning_rate
        return low + (high - low) * (1 + math.cos(math.pi * share)) / 2

    def scheduled(self, step: int) -> dict[str, float]:
        """The values at a step, as :meth:`scalor_pyro.model.scalor.Scalor.schedule` takes them."""
        return {name: getattr(self, name)(step) for name in SCHEDULED}

    def settled(self, steps: int) -> dict[str, float]:
        """The values to evaluate and save a model with that was trained for this many steps."""
        return {name: getattr(self, name).after(steps) for name in SCHEDULED}
