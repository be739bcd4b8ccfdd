"""A training step asks the device for nothing and sends it nothing: it can be queued, or captured, as a whole.

The step runs on the meta device, which has shapes and no values: whatever would wait for one cannot be computed there,
and whatever is made on the host shows.
"""

from collections.abc import Callable
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scalor_pyro.config import DataConfig, RunConfig
from scalor_pyro.model import inputs
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training import loop as training
from scalor_pyro.training.elbo import ReparamELBO
from tests.fake_training import FakeVideos


class OffDevice(TorchDispatchMode):
    """Notes operations that read a value, or that take or give a tensor of another device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.seen = device, set[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if "_local_scalar_dense" in func.name() or any(tensor.device.type != self.device for tensor in tensors):
            self.seen.add(func.name())
        return result


@pytest.mark.parametrize(
    ("changes", "analytic"),
    [({}, False), ({"background": "static"}, False), ({"background": "none", "reject_by_colour": True}, True)],
)
def test_a_step_stays_on_its_device(make_scalor: Callable[..., Scalor], changes: Any, analytic: bool) -> None:
    scalor = make_scalor(**changes).to("meta")
    scalor.schedule({"temperature": 0.7})
    videos = torch.rand(2, 3, 3, 32, 48, device="meta")
    with pyro.validation_enabled(False), OffDevice("meta") as watched:
        ReparamELBO(analytic).differentiable_loss(scalor.model, scalor.guide, videos).backward()
    assert not watched.seen
    assert all(parameter.grad is not None for parameter in scalor.parameters())


def test_what_would_wait_is_noticed() -> None:
    with OffDevice("cpu") as watched:
        assert bool(torch.ones(()) > 0)
    assert watched.seen == {"aten::_local_scalar_dense"}
    with OffDevice("meta") as watched:
        torch.ones((), device="meta") * torch.zeros(())
    assert watched.seen


def test_the_trainers_step_reads_no_value(busy: Scalor, videos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "check_videos", lambda x, config: None)  # on a GPU it does not look at values
    config = RunConfig(model=busy.config, data=DataConfig(image_size=busy.config.image_size))
    trainer = training.Trainer(busy, FakeVideos(), config)
    trainer.step = 150  # in the middle of a schedule
    trainer.check_each_step = False
    with pyro.validation_enabled(False):
        trainer.update(videos)  # the optimiser makes its state
        with OffDevice("cpu") as watched:
            trainer.update(videos)
    assert not watched.seen
