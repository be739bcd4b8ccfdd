"""Checks of settings: an error names the field, what was expected, and what it got."""

import math
import reprlib

# Characters of a value that a message quotes at most.
MOST_SHOWN = 80


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the field, what was expected, and the value."""


class _Short(reprlib.Repr):
    """Python's own short ``repr``, which never walks through the whole of a large value."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, most, most
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 10

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write thousands of digits."""
        return repr(x) if x.bit_length() <= 3 * self.maxother else f"<a whole number of {x.bit_length()} bits>"

    repr_long = repr_int


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """A value as messages quote it: its ``repr``, shortened.

    :param most: characters of the result at most; at least 8.
    :return: printable, and on one line.
    """
    text = " ".join(_Short(most).repr(value).split())
    head = (most - 1) * 2 // 3
    return text if len(text) <= most else f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse a value.

    :param name: of the field or option.
    :param expected: what would be accepted, in words.
    :raises ConfigError: unless the condition holds.
    """
    if not condition:
        raise ConfigError(f"{name}: expected {expected}, got {shown(value)}.")


def positive(config: object, *names: str, most: float) -> None:
    """Refuse fields that are not above 0, up to ``most``."""
    for name in names:
        value = getattr(config, name)
        require(0 < value <= most, name, value, f"a number above 0, up to {most:g}")


def at_least_1(config: object, *names: str, most: int) -> None:
    """Refuse counts that are not from 1 to ``most``."""
    for name in names:
        value = getattr(config, name)
        require(1 <= value <= most, name, value, f"a whole number from 1 to {most:,}")


def probability(config: object, *names: str) -> None:
    """Refuse fields that are not from 0 to 1."""
    for name in names:
        value = getattr(config, name)
        require(0.0 <= value <= 1.0, name, value, "a number from 0 to 1")


def require_choice(config: object, name: str, *choices: str) -> None:
    """Refuse a field that is none of the choices."""
    value = getattr(config, name)
    require(value in choices, name, value, " or ".join(map(repr, choices)))


def require_sides(name: str, value: tuple[int, int], least: int, most: int) -> None:
    """Refuse a size (H, W) in px with a side out of range."""
    require(all(least <= side <= most for side in value), name, value, f"{least} to {most:,} px each way")


def is_finite(*values: float) -> bool:
    """Whether all are finite; a whole number too large for a float is not."""
    try:
        return all(math.isfinite(value) for value in values)
    except OverflowError:
        return False


def require_path(name: str, value: str) -> None:
    """Refuse text that cannot name a file: empty, or with characters that no file system takes."""
    try:
        value.encode("utf-8", "surrogateescape")  # as names that are not UTF-8 come from the system
        encodes = True
    except UnicodeEncodeError:
        encodes = False
    require(encodes and value != "" and "\0" not in value, name, value, "a path")
