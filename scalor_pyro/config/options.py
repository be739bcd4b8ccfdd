"""Options of the command line that set a field of a dataclass: type, help and default come from the field."""

import argparse
import typing
from argparse import ArgumentTypeError
from collections.abc import Collection
from dataclasses import MISSING, Field, field, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar

# Between the two numbers of a pair that is one word of a command line.
PAIR = "x"

ValueT = TypeVar("ValueT")


def option(default: ValueT, help: str, metavar: str | tuple[str, ...] | None = None, none: str = "") -> ValueT:
    """A field of a dataclass that an option of the command line may set.

    :param default: of the field.
    :param help: what it means, for readers of ``--help``; without the default.
    :param metavar: stands for its value there.
    :param none: what the value None means, where that is the default.
    """
    made: ValueT = field(default=default, metadata={"help": help, "metavar": metavar, "none": none})
    return made


def add_option(
    parser: argparse._ActionsContainer,
    kind: type,
    name: str,
    flag: str | None = None,
    default: str | None = None,
    help: str | None = None,
    also: str | None = None,
) -> None:
    """Add the option that sets a field. One that is not given is None, so that a given default can be told from it.

    :param parser: the command line, or a group of it.
    :param kind: the dataclass.
    :param name: of the field, made with :func:`option`.
    :param flag: the option's name; None: the field's, with hyphens.
    :param default: what is shown as the default, where the command has another than the dataclass.
    :param help: of the option, where the command means something narrower than the dataclass.
    :param also: another name of the option, which earlier versions had.
    """
    made = field_of(kind, name)
    about, value = made.metadata, made.default
    if default is None:
        default = about["none"] if value is None else "" if isinstance(value, bool) else _shown(value)
    text = f"{help or about['help']}{f' (default: {default})' if default else ''}".replace("%", "%%")
    parser.add_argument(
        *filter(None, (flag or f"--{name.replace('_', '-')}", also)),
        dest=name,
        default=None,
        help=text,
        **_reading(typing.get_type_hints(kind)[name], about["metavar"]),
    )


def given(options: argparse.Namespace, kind: type, names: Collection[str] | None = None) -> dict[str, Any]:
    """The fields that the command line sets, defaults among them, as values of the dataclass.

    :param options: of a parser with options made by :func:`add_option`.
    :param kind: the dataclass.
    :param names: of the fields that may be set; None: all that :func:`add_option` could have added.
    :raises ConfigError: for a value that the field's own dataclass refuses (a crop, say).
    """
    hints = typing.get_type_hints(kind)
    found = {}
    for each in fields(kind):
        value = getattr(options, each.name, None) if each.metadata and (names is None or each.name in names) else None
        if value is not None:
            found[each.name] = _built(hints[each.name], value)
    return found


def field_of(kind: type, name: str) -> Field[Any]:
    """A field of a dataclass by its name."""
    return next(each for each in fields(kind) if each.name == name)


def default_of(kind: type, name: str) -> Any:
    """The default of a field."""
    made = field_of(kind, name)
    return made.default if made.default_factory is MISSING else made.default_factory()


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _without_none(hint: Any) -> Any:
    """X of ``X | None``."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        kinds = [each for each in typing.get_args(hint) if each is not type(None)]
        return typing.Union[tuple(kinds)]  # noqa: UP007  of one: that one
    return hint


def number_or_pair(text: str) -> float | tuple[float, float]:
    """``40`` as a number, ``29x81`` as two.

    :raises ArgumentTypeError: for anything else.
    """
    try:
        numbers = [float(each) for each in text.split(PAIR)]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise ArgumentTypeError(f"expected a number, or two for width and height, got {text!r}")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _reading(hint: Any, metavar: str | tuple[str, ...] | None) -> dict[str, Any]:
    """How argparse reads a value of a type."""
    hint = _without_none(hint)
    if hint == float | tuple[float, float]:
        return {"type": number_or_pair, "metavar": metavar}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is Literal:
        return {"choices": typing.get_args(hint)}
    if is_dataclass(hint):
        return {"type": int, "nargs": len(fields(hint)), "metavar": metavar}
    if typing.get_origin(hint) is tuple:
        kinds = typing.get_args(hint)
        return {"type": kinds[0], "nargs": len(kinds), "metavar": metavar}
    return {"type": hint, "metavar": metavar}


def _built(hint: Any, value: Any) -> Any:
    hint = _without_none(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return hint(*value)
    return tuple(value) if isinstance(value, list) else value
