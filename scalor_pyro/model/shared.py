"""Work that guide and model have in common, done once."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

ResultT = TypeVar("ResultT")


class SharedWork:
    """Remembers what deterministic functions gave for the very same tensors.

    When the model is replayed against the guide, it sees the guide's own tensors: decoding, masks, rejection and the
    choice of slots are then not computed again. Results are keyed by the identity of the tensors, which are kept so
    that an identity cannot be given away; :meth:`forget` ends an evaluation.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[object, object]] = {}

    def __call__(self, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """function(*arguments), from memory where the tensors are the same."""
        key = (function.__qualname__, torch.is_grad_enabled(), *_identities(arguments))
        if key not in self._known:
            self._known[key] = (arguments, function(*arguments))
        return self._known[key][1]  # type: ignore[return-value]  # the function that is named in the key gave it

    def forget(self) -> None:
        """Drop everything: the evaluation is over."""
        self._known.clear()


def _identities(arguments: Any) -> Iterator[object]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield id(argument)
        elif isinstance(argument, tuple):
            yield from _identities(argument)
        else:
            yield argument
