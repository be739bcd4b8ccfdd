"""Settings as plain values for JSON, and back."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from scalor_pyro.config.checks import require

ConfigT = TypeVar("ConfigT")


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config as plain dicts, lists and numbers, ready for JSON."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def config_from_dict(cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a config from plain values; the inverse of :func:`config_to_dict`.

    :raises ConfigError: for unknown keys, values of the wrong kind, and whatever the config itself refuses.
    """
    parsed = parse_value(cls, values, cls.__name__)
    return typing.cast(ConfigT, parsed)


def parse_value(kind: Any, value: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        require(isinstance(value, Mapping), name, value, "a table of settings")
        types_of = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(types_of))
        require(not unknown, name, unknown, f"only keys among {sorted(types_of)}")
        missing = [
            f.name
            for f in dataclasses.fields(kind)
            if f.name not in value and f.default is f.default_factory is dataclasses.MISSING
        ]
        require(not missing, name, value, f"a value for {', '.join(missing)}")
        return kind(**{key: parse_value(types_of[key], item, f"{name}.{key}") for key, item in value.items()})  # type: ignore[operator]
    if origin in (typing.Union, types.UnionType):
        return None if value is None else parse_value(next(k for k in arguments if k is not type(None)), value, name)
    if origin is tuple:
        require(isinstance(value, list | tuple), name, value, "a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(parse_value(arguments[0], item, name) for item in value)
        require(len(value) == len(arguments), name, value, f"{len(arguments)} values")
        return tuple(parse_value(k, item, name) for k, item in zip(arguments, value, strict=True))
    if origin is Literal:
        require(value in arguments, name, value, " or ".join(map(repr, arguments)))
        return value
    if kind is float:
        require(isinstance(value, int | float) and not isinstance(value, bool), name, value, "a number")
        return float(value)
    require(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), name, value, kind.__name__)
    return value
