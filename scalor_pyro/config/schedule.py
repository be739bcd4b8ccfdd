"""Schedules: quantities that change during training."""

import math
from dataclasses import dataclass

from scalor_pyro.config.checks import require


@dataclass(frozen=True)
class Schedule:
    """A quantity as a pure function of the training step: straight lines between ``points``.

    :param points: ((step, value), …), steps rising; the value is constant before the first and after the last.
    :param log: interpolate the logarithm (for probabilities that fall by orders of magnitude).
    :param then: the value with which a model is evaluated and saved; None: the one that it was trained with last.
    """

    points: tuple[tuple[int, float], ...]
    log: bool = False
    then: float | None = None

    def __post_init__(self) -> None:
        require(len(self.points) > 0, "points", self.points, "at least one (step, value) pair")
        steps = [step for step, _ in self.points]
        require(all(a < b for a, b in zip(steps, steps[1:], strict=False)), "points", self.points, "rising steps")
        require(
            not self.log or all(value > 0 for value in self.values), "points", self.points, "values above 0 with log"
        )

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
        """The value after so many steps of training, for what is evaluated or saved then."""
        return self(steps - 1) if self.then is None else self.then

    @property
    def values(self) -> tuple[float, ...]:
        """The values that it names."""
        named = tuple(value for _, value in self.points)
        return named if self.then is None else (*named, self.then)


def constant(value: float, then: float | None = None) -> Schedule:
    """A schedule that does not change during the training."""
    return Schedule(((0, value),), then=then)
