"""Work that guide and model share: no changed tensor counts as the same."""

import copy
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from pyro import poutine
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from scalor_pyro.model import sites
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.shared import once, shared_work
from scalor_pyro.training.elbo import ReparamELBO

Context = Callable[[], AbstractContextManager[None]]
either = pytest.mark.parametrize("context", [nullcontext, shared_work], ids=["alone", "shared"])


def replayed(scalor: Scalor, trace: poutine.Trace, x: Tensor) -> Tensor:
    """The first frame."""
    nodes = poutine.trace(poutine.replay(scalor.model, trace=trace)).get_trace(x).nodes
    value: Tensor = nodes[sites.y(0)]["value"]
    return value


@either
def test_a_latent_edited_in_place_counts_in_the_first_replay(busy: Scalor, videos: Tensor, context: Context) -> None:
    with torch.no_grad(), context():
        trace = poutine.trace(busy.guide).get_trace(videos)
        pyro_state = torch.get_rng_state()
        before = replayed(busy, trace, videos).clone()
        trace.nodes[sites.z_pres("disc", 0)]["value"].fill_(-1000)
        torch.set_rng_state(pyro_state)
        first = replayed(busy, trace, videos)
        second = replayed(busy, trace, videos)
    assert (first - before).abs().sum() > 1
    assert torch.equal(first, second)


@either
def test_an_edit_before_any_replay_counts(busy: Scalor, videos: Tensor, context: Context) -> None:
    with torch.no_grad(), context():
        trace = poutine.trace(busy.guide).get_trace(videos)
        trace.nodes[sites.z_what("disc", 0)]["value"].mul_(-1)
        edited = replayed(busy, trace, videos)
    with torch.no_grad():
        assert torch.equal(edited, replayed(busy, trace, videos))


@either
def test_weights_that_change_between_guide_and_model_count(busy: Scalor, videos: Tensor, context: Context) -> None:
    with torch.no_grad(), context():
        trace = poutine.trace(busy.guide).get_trace(videos)
        before = replayed(busy, trace, videos)
        busy.decoder.bias += 0.5
        after = replayed(busy, trace, videos)
    assert (after - before).abs().max() > 0.01


@either
def test_schedules_that_change_between_guide_and_model_count(busy: Scalor, videos: Tensor, context: Context) -> None:
    with torch.no_grad(), context():
        trace = poutine.trace(busy.guide).get_trace(videos)
        busy.schedule({"reject_proposals": 0.0})
        before = replayed(busy, trace, videos)
        busy.schedule({"reject_proposals": 1.0})
        after = replayed(busy, trace, videos)
    assert not torch.equal(after, before)


def test_an_edited_result_is_computed_again() -> None:
    calls: list[None] = []

    def doubled(value: Tensor) -> Tensor:
        calls.append(None)
        return 2 * value

    one = torch.ones(3)
    with shared_work():
        once(doubled, one).add_(5)
        assert once(doubled, one).tolist() == [2, 2, 2] and len(calls) == 2
        assert once(doubled, one).tolist() == [2, 2, 2] and len(calls) == 2
        with shared_work():
            once(doubled, one)
            assert len(calls) == 3, "a context of its own"
    once(doubled, one)
    assert len(calls) == 4


def test_inference_mode_remembers_nothing_and_is_right(busy: Scalor, videos: Tensor) -> None:
    with torch.inference_mode(), shared_work():
        trace = poutine.trace(busy.guide).get_trace(videos)
        shown = replayed(busy, trace, videos)
        trace.nodes[sites.z_pres("disc", 0)]["value"].fill_(-1000)
        assert not torch.equal(replayed(busy, trace, videos), shown)


@either
def test_a_model_can_be_copied_and_pickled_after_a_guide_call(busy: Scalor, videos: Tensor, context: Context) -> None:
    with context():
        busy.guide(videos)
        copies = [copy.deepcopy(busy), AveragedModel(busy).module, pickle.loads(pickle.dumps(busy))]
    ReparamELBO().differentiable_loss(busy.model, busy.guide, videos).backward()
    copies.append(copy.deepcopy(busy))
    for copied in copies:
        assert isinstance(copied, Scalor)
        for mine, theirs in zip(copied.parameters(), busy.parameters(), strict=True):
            assert torch.equal(mine, theirs) and mine is not theirs
