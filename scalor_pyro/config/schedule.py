"""Schedules: quantities that change during training."""

import math
from dataclasses import dataclass

from scalor_pyro.config.checks import require

# A step that no training reaches, as in scalor_pyro.config.data.
LAST_STEP = 1_000_000_000


@dataclass(frozen=True)
class Schedule:
    """A quantity as a pure function of the training step: linear between ``points``.

    :param points: ((step, value), …), in rising steps; before the first and after the last, the value is constant.
    :param log: interpolate the logarithm instead, for probabilities that fall by orders of magnitude.
    :param then: the value to evaluate and save the model with; None: the last one of the training.
    :raises ConfigError: without points, if the steps do not rise, or, with ``log``, for a value that is not above 0.
    """

    points: tuple[tuple[int, float], ...]
    log: bool = False
    then: float | None = None

    def __post_init__(self) -> None:
        require(len(self.points) > 0, "points", self.points, "at least one (step, value) pair")
        steps = [step for step, _ in self.points]
        in_range = all(abs(step) <= LAST_STEP for step in steps)
        require(in_range, "points", self.points, f"steps up to {LAST_STEP:,}")
        require(all(a < b for a, b in zip(steps, steps[1:], strict=False)), "points", self.points, "rising steps")
        above_0 = all(value > 0 for value in self.values)
        require(above_0 or not self.log, "points", self.points, "values above 0, since log is true")

    def __call__(self, step: int) -> float:
        """The value at a training step."""
        before = self.points[0]
        for after in self.points:
            if step < after[0]:
                if after[0] == before[0]:
                    return before[1]
                share = (step - before[0]) / (after[0] - before[0])
                if self.log:
                    return math.exp(math.log(before[1]) * (1 - share) + math.log(after[1]) * share)
                return before[1] * (1 - share) + after[1] * share
            before = after
        return before[1]

    def after(self, steps: int) -> float:
        """The value to evaluate and save a model with that was trained for this many steps."""
        return self(steps - 1) if self.then is None else self.then

    @property
    def values(self) -> tuple[float, ...]:
        """The values of the points, and ``then``."""
        named = tuple(value for _, value in self.points)
        return named if self.then is None else (*named, self.then)


def constant(value: float, then: float | None = None) -> Schedule:
    """A schedule that does not change during training."""
    return Schedule(((0, value),), then=then)
