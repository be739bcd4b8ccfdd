"""Questions leave everything else alone, and refuse bad videos in one sentence."""

import gc
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

from scalor_pyro.inference.generation import forecast, imagine, reconstruct
from scalor_pyro.inference.likelihood import nll
from scalor_pyro.inference.posterior import follow, infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.spread import box_spread

QUESTIONS: dict[str, Callable[[Scalor, Tensor], Any]] = {
    "infer": infer,
    "follow": follow,
    "box_spread": lambda scalor, x: box_spread(scalor, follow(scalor, x), draws=8),
}
SAMPLING: dict[str, Callable[[Scalor, Tensor], Any]] = {
    "forecast": lambda scalor, x: list(forecast(scalor, x, 1, 3, samples=2)),
    "imagine": lambda scalor, x: list(imagine(scalor, 2, samples=2)),
    "reconstruct": lambda scalor, x: list(reconstruct(scalor, x, samples=2)),
    "nll": lambda scalor, x: nll(scalor, x, samples=2),
}
ALL_QUESTIONS = {**QUESTIONS, **SAMPLING}


@contextmanager
def default_double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_the_mode_draws_nothing(busy: Scalor, videos: Tensor, ask: Callable[[Scalor, Tensor], Any]) -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    ask(busy, videos)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1]) and random.getstate() == states[2]


@pytest.mark.parametrize("ask", ALL_QUESTIONS.values(), ids=ALL_QUESTIONS)
def test_the_model_stays_as_it_was(busy: Scalor, videos: Tensor, ask: Callable[[Scalor, Tensor], Any]) -> None:
    busy.train()
    parameters = list(busy.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    values = {name: value.clone() for name, value in busy.state_dict().items()}
    with warnings.catch_warnings():  # Pyro warns of parameters that are not trained
        warnings.simplefilter("ignore", UserWarning)
        ask(busy, videos)
    assert busy.training and torch.is_grad_enabled() and all(module.training for module in busy.modules())
    assert [each.requires_grad for each in parameters] == [False] + [True] * (len(parameters) - 1)
    assert torch.equal(parameters[1].grad, torch.ones_like(parameters[1]))
    assert all(each.grad is None for each in parameters[2:])
    assert all(torch.equal(value, values[name]) for name, value in busy.state_dict().items())


@pytest.mark.parametrize("ask", ALL_QUESTIONS.values(), ids=ALL_QUESTIONS)
def test_the_parameter_store_stays_as_it_was(
    busy: Scalor, videos: Tensor, ask: Callable[[Scalor, Tensor], Any]
) -> None:
    mine = pyro.param("mine", torch.ones(2))
    ask(busy, videos)
    assert list(pyro.get_param_store().keys()) == ["mine"] and pyro.param("mine") is mine


def test_parameters_in_the_store_are_used(busy: Scalor, videos: Tensor) -> None:
    """A program's own pyro.param is read from the store, where training put it."""
    pyro.param("shift", torch.tensor(0.5))

    class Shifted:
        config = busy.config

        def guide(self, x: Tensor, **others: Any) -> Any:
            return busy.guide(x, **others)

        def model(self, x: Tensor, **others: Any) -> Any:
            seen.append(float(pyro.param("shift", torch.tensor(0.0))))
            seen.append(float(pyro.param("unknown", lambda: torch.tensor(2.0))))
            return busy.model(x, **others)

    seen: list[float] = []
    infer(Shifted(), videos)
    assert seen == [0.5, 2.0] and "unknown" not in pyro.get_param_store()


def test_memory_does_not_grow(busy: Scalor, videos: Tensor, make_scalor: Callable[..., Scalor]) -> None:
    """Nothing is kept of a call, or of a model: counted in tensors, which do not depend on the allocator."""

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())

    for some in (videos, videos[:1, :1]):  # constants of each size are made once
        follow(busy, some)
    before = tensors()
    for _ in range(200):
        follow(busy, videos[:1, :1])
    # The guide keeps the figures of its last call.
    assert tensors() <= before
    for _ in range(3):
        infer(make_scalor(), videos[:1, :1])
    assert tensors() <= before


@pytest.mark.parametrize("ask", ALL_QUESTIONS.values(), ids=ALL_QUESTIONS)
def test_the_default_dtype_is_the_users_business(
    busy: Scalor, make_scalor: Callable[..., Scalor], videos: Tensor, ask: Callable[[Scalor, Tensor], Any]
) -> None:
    with default_double():
        ask(busy, videos)
        double = make_scalor()
        assert double.decoder.bias.dtype == torch.float64
        ask(double, videos.double())


def test_infer_is_the_same_in_every_mode(busy: Scalor, videos: Tensor) -> None:
    expected = infer(busy, videos)
    with torch.inference_mode():
        found = [infer(busy, videos), infer(busy, videos.clone())]
    with default_double():
        found.append(infer(busy, videos))
    for each in (*found, infer(busy, videos)):
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(expected, each, strict=True))


BAD = {
    "a list": (lambda x: x.tolist(), "expected a tensor of shape .*, got list"),
    "an array": (lambda x: x.numpy(), "got ndarray"),
    "NaN": (lambda x: torch.where(x > 0.8, torch.nan, x), "NaN"),
    "float64": (lambda x: x.double(), "expected dtype torch.float32, as the model has, got torch.float64"),
    "uint8": (lambda x: (255 * x).to(torch.uint8), "uint8"),
    "another device": (lambda x: x.to("meta"), "expected device cpu, where the model is, got meta"),
    "one video": (lambda x: x[0], "shape"),
    "no frame": (lambda x: x[:, :0], "shape"),
}


@pytest.mark.parametrize(("spoil", "match"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", sorted(set(ALL_QUESTIONS) - {"imagine"}))
def test_bad_videos_are_refused_in_one_sentence(
    busy: Scalor, videos: Tensor, name: str, spoil: Callable[[Tensor], Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        ALL_QUESTIONS[name](busy, spoil(videos))
    assert "\n" not in str(caught.value)


def test_what_is_asked_of_a_trace_is_not_lost(busy: Scalor, videos: Tensor) -> None:
    """Gradients and the store are for training, outside of these questions."""
    infer(busy, videos)
    trace = poutine.trace(busy.guide).get_trace(videos)
    assert trace.nodes["z_where_disc_0"]["value"].requires_grad and len(pyro.get_param_store()) > 0
