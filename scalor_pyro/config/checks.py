"""Checks of settings: what refuses a value says the field, the value and what was expected."""

import math


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the field, its value and what was expected."""


def require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise ConfigError(f"{name} is {value!r}, but {expected} was expected.")


def positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        require(value > 0 and math.isfinite(value), name, value, "a number above 0")


def probability(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        require(0.0 <= value <= 1.0, name, value, "a number from 0 to 1")
