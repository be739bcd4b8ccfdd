"""The benchmarks compare what they say they compare, and refuse what they cannot measure."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyro
import pytest
import torch
from torch import Tensor

from scalor_pyro.elbo import ReparamELBO
from scalor_pyro.scalor import Scalor

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("background", ["none", "moving"])
def test_the_plain_loop_computes_what_pyro_does(
    make_scalor: Callable[..., Scalor], videos: Tensor, monkeypatch: pytest.MonkeyPatch, background: str
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from overhead import PlainLoss

    scalor = make_scalor(background=background)
    torch.nn.init.constant_(scalor.discovery_posterior.presence_head.bias, 2.0)
    found = []
    for loss_of in (lambda x: ReparamELBO().differentiable_loss(scalor.model, scalor.guide, x), PlainLoss(scalor)):
        pyro.set_rng_seed(5)
        scalor.zero_grad()
        loss = loss_of(videos)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in scalor.parameters() if p.grad is not None)])
    for plain, program in zip(*found, strict=True):
        torch.testing.assert_close(plain, program, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_nothing_to_measure() -> None:
    done = subprocess.run([sys.executable, BENCHMARKS / "gpu.py"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "this machine has no CUDA device, but one was expected; benchmarks/step.py measures a CPU.\n"
    )
