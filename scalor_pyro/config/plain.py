"""Settings as plain values for JSON, and back."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeVar

from scalor_pyro.config.checks import ConfigError, is_finite, require, shown

ConfigT = TypeVar("ConfigT")

# Tables and lists within each other in a JSON text, at most; configs have 5.
MOST_DEPTH = 100


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config as plain dicts, lists and numbers, ready for JSON."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def config_from_dict(cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a config from plain values; the inverse of :func:`config_to_dict`.

    :raises ConfigError: for unknown keys, values of another type, and all that the config itself refuses; the message
        begins with the name of the field, as in ``model.slots``.
    """
    return typing.cast(ConfigT, _parse(cls, values, ""))


def parse_json(text: str | bytes) -> Any:
    """Read JSON as the standard has it, strictly.

    :param text: bytes are UTF-8.
    :raises ConfigError: for text that is not JSON, NaN and Infinity, numbers too large for a float, nesting deeper
        than :data:`MOST_DEPTH`, and a key that a table has twice (readers disagree on which one counts).
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(text, object_pairs_hook=_table, parse_constant=_refuse_constant, parse_float=_number)
    except ConfigError:
        raise
    except RecursionError as error:
        raise ConfigError(
            f"expected JSON of at most {MOST_DEPTH} nested tables and lists, got a deeper one."
        ) from error
    except ValueError as error:
        raise ConfigError(f"expected JSON, got something else ({shown(str(error)).strip(chr(39))}).") from error
    if _deeper_than(value, MOST_DEPTH):
        raise ConfigError(f"expected JSON of at most {MOST_DEPTH} nested tables and lists, got a deeper one.")
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"expected each key once, got {shown(twice)} twice.")
    return table


def _refuse_constant(name: str) -> NoReturn:
    raise ConfigError(f"expected finite numbers, got {name}.")


def _number(text: str) -> float:
    number = float(text)
    if not is_finite(number):
        raise ConfigError(f"expected finite numbers, got {shown(text)}.")
    return number


def _deeper_than(value: Any, most: int) -> bool:
    """Whether tables and lists are nested deeper than that; found without recursion."""
    level = [value]
    for _ in range(most):
        level = [item for each in level if isinstance(each, dict | list) for item in _items(each)]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _parse(kind: Any, value: Any, name: str) -> Any:
    """A plain value as the type that a field is declared with.

    :param name: of the field; "" for the config as a whole.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _parse_table(kind, value, name)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _parse(next(k for k in arguments if k is not type(None)), value, name)
    if origin is tuple:
        require(isinstance(value, list | tuple), name, value, "a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_parse(arguments[0], item, name) for item in value)
        require(len(value) == len(arguments), name, value, f"{len(arguments)} values")
        return tuple(_parse(k, item, name) for k, item in zip(arguments, value, strict=True))
    if origin is Literal:
        require(isinstance(value, str) and value in arguments, name, value, " or ".join(map(repr, arguments)))
        return value
    return _parse_number_or_text(kind, value, name)


# What a value of each type is called in messages.
_NAMES = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}


def _parse_number_or_text(kind: type, value: Any, name: str) -> Any:
    if kind is float:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        require(numeric and is_finite(value), name, value, _NAMES[float])
        return float(value)
    require(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), name, value, _NAMES[kind])
    return value


def _parse_table(kind: Any, value: Any, name: str) -> Any:
    """A dataclass; its own errors get the name of the field that it is in."""
    require(isinstance(value, Mapping), name or "config", value, "a table of settings")
    types_of = typing.get_type_hints(kind)
    prefix = f"{name}." if name else ""
    for key in value:
        known = key in types_of
        require(known, name or "config", key, f"keys among {', '.join(sorted(types_of))}")
    for field in dataclasses.fields(kind):
        required = field.default is field.default_factory is dataclasses.MISSING
        require(field.name in value or not required, f"{prefix}{field.name}", None, "a value")
    parsed = {key: _parse(types_of[key], item, f"{prefix}{key}") for key, item in value.items()}
    try:
        return kind(**parsed)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from error
