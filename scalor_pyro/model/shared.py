"""Work that guide and model have in common, done once.

When a model is replayed against its guide, it sees the guide's own tensors: decoding, masks, rejection and the choice
of slots need not be computed again. Whoever runs both says so::

    with shared_work():
        trace = poutine.trace(scalor.guide).get_trace(x)
        poutine.replay(scalor.model, trace=trace)(x)

Outside of such a context nothing is remembered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

ResultT = TypeVar("ResultT")
Key = tuple[object, ...]


class _Known(NamedTuple):
    """A result, with the tensors that it was made of: while they are kept, no other tensor can have their identity."""

    function: object
    arguments: object
    result: Any
    versions: Key  # of the result


class _Memo:
    """Results of deterministic functions by the identity and version of their arguments."""

    def __init__(self) -> None:
        self.known: dict[Key, _Known] = {}
        self.state: Key = ()  # of the program that runs

    def forget(self) -> None:
        self.known.clear()


_open: ContextVar[_Memo | None] = ContextVar("shared_work", default=None)


@contextmanager
def shared_work() -> Iterator[None]:
    """Within, a model replayed against its guide reuses the guide's work; for one guide at a time.

    Only the same tensors, unchanged since, are taken for the same: a latent edited in place, other weights and other
    scheduled quantities count. (An edit through ``tensor.data`` goes unnoticed, as it does in autograd.)

    Values do not depend on it; gradients do in their last digits, because they are summed in another order.
    """
    token = _open.set(_Memo())
    try:
        yield
    finally:
        _open.reset(token)


def begin_guide(program: nn.Module) -> None:
    """A guide starts: nothing of an earlier one is of use."""
    if (memo := _open.get()) is not None:
        memo.forget()
        memo.state = _state(program)


def begin_model(program: nn.Module) -> None:
    """A model starts: the guide's work is of use if no weight or scheduled quantity has changed."""
    if (memo := _open.get()) is not None and memo.state != (state := _state(program)):
        memo.forget()
        memo.state = state


def once(function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """function(*arguments), remembered within :func:`shared_work`.

    :param function: deterministic, without effects; a function, or a method of a program or its parts.
    :param arguments: tensors, tuples of them, or anything hashable.
    """
    memo = _open.get()
    if memo is None:
        return function(*arguments)
    tensors = tuple(_identities(arguments))
    if _UNKNOWN in tensors:  # the version of a tensor made in inference mode
        return function(*arguments)
    owner = getattr(function, "__self__", None)
    key = (id(owner), function.__qualname__, torch.is_grad_enabled(), *tensors)
    known = memo.known.get(key)
    if known is None or known.versions != tuple(_identities((known.result,))):
        result = function(*arguments)
        known = memo.known[key] = _Known(function, arguments, result, tuple(_identities((result,))))
    found: ResultT = known.result
    return found


_UNKNOWN = object()


def _identities(values: Any) -> Iterator[object]:
    for value in values:
        if isinstance(value, Tensor):
            yield id(value)
            yield _UNKNOWN if value.is_inference() else value._version
        elif isinstance(value, tuple):
            yield from _identities(value)
        else:
            yield value


def _state(program: nn.Module) -> Key:
    """Which weights and buffers a program has."""
    return (id(program), *_identities((*program.parameters(), *program.buffers())))
