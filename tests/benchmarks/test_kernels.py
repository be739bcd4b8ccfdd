"""A training step does not become more operations than it is."""

import pytest
import torch

from benchmarks import kernels


def test_views_and_memory_launch_nothing() -> None:
    with kernels.Counted() as counted:
        x = torch.empty(3, 4).fill_(2.0)
        x.mT[1:].unflatten(0, (3, 1)).expand(-1, 5, -1).detach()
    assert counted.names[kernels.ELBO] == {"fill_": 1}


def test_gradients_count_for_the_part_of_their_operation() -> None:
    weight = torch.ones(3, requires_grad=True)
    with kernels.Counted() as counted:
        before = counted.enter("decoder")
        part = weight.exp()
        counted.enter(before)
        part.sum().backward()
    assert counted.forward == {"decoder": 1, kernels.ELBO: 2}  # the sum, and the one that the gradient begins with
    assert counted.backward == {"decoder": 1}


@pytest.mark.parametrize(("name", "most"), [("vld", 10_700)])
def test_a_step_is_so_many_operations(name: str, most: int) -> None:
    counted = kernels.count(kernels.MODELS[name], videos=1, frames=10)
    assert counted.forward.total() + counted.backward.total() <= most
    assert counted.backward["rejection"] == 0
