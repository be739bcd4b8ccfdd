"""Networks in bfloat16: the loss is nearly the same, and nothing else changes its dtype."""

from collections.abc import Callable

import pyro
import pytest
import torch
from torch import Tensor, nn

from scalor_pyro.config import ConfigError
from scalor_pyro.layers.networks import GlimpseDecoder
from scalor_pyro.layers.rendering import Patches, weighted_patches
from scalor_pyro.model import scalor as program
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.device import device_of
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.precision import networks, networks_in_bfloat16

CPU = torch.device("cpu")
# bfloat16 has 8 bits, between two and three digits. The loss is in nats for each number of the videos.
NEARLY = {"rtol": 1e-2, "atol": 1e-3}


def loss_of(scalor: Scalor, videos: Tensor) -> Tensor:
    pyro.set_rng_seed(3)
    return ReparamELBO().differentiable_loss(scalor.model, scalor.guide, videos)


@pytest.mark.parametrize("background", ["none", "moving", "static"])
def test_the_loss_is_nearly_that_of_float32(
    make_scalor: Callable[..., Scalor], videos: Tensor, background: str
) -> None:
    scalor = make_scalor(background=background)
    exact = loss_of(scalor, videos)
    with networks_in_bfloat16(scalor, CPU):
        loss = loss_of(scalor, videos)
    loss.backward()
    assert loss.dtype == torch.float32 and loss != exact
    torch.testing.assert_close(loss / videos.numel(), exact / videos.numel(), **NEARLY)
    assert all(p.grad is not None and p.grad.dtype == p.dtype == torch.float32 for p in scalor.parameters())
    torch.testing.assert_close(loss_of(scalor, videos), exact, rtol=0, atol=0)


def test_what_is_drawn_is_float32(scalor: Scalor, videos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes = set()

    def watched(*arguments: Tensor) -> Patches:
        patches = weighted_patches(*arguments)  # type: ignore[arg-type]
        parts = (*arguments, *patches)
        dtypes.update(part.dtype for part in parts if isinstance(part, Tensor) and part.is_floating_point())
        return patches

    monkeypatch.setattr(program, "weighted_patches", watched)
    with networks_in_bfloat16(scalor, CPU):
        loss_of(scalor, videos)
    assert dtypes == {torch.float32}


def test_networks_compute_in_bfloat16(scalor: Scalor, videos: Tensor) -> None:
    inside = scalor.frame_encoder.convolutions[0]
    seen: list[torch.dtype] = []
    inside.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with networks_in_bfloat16(scalor, CPU):
        loss_of(scalor, videos)
    loss_of(scalor, videos)
    assert seen == [torch.bfloat16, torch.float32]


def test_every_layer_but_the_rnns_belongs_to_a_network(scalor: Scalor) -> None:
    covered = {id(layer) for network in networks(scalor) for layer in network.modules()}
    layers = [m for m in scalor.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.GRUCell)]
    assert {type(layer) for layer in layers if id(layer) not in covered} == {nn.GRUCell}
    assert not any(isinstance(network, GlimpseDecoder) for network in networks(scalor))


def test_networks_are_as_before_when_something_fails(scalor: Scalor) -> None:
    with pytest.raises(KeyError), networks_in_bfloat16(scalor, CPU):
        raise KeyError
    assert not any("forward" in vars(module) for module in scalor.modules())


def test_an_unknown_device_is_one_sentence() -> None:
    assert device_of("cpu") == CPU
    with pytest.raises(ConfigError, match="device: expected auto, cpu or cuda, got 'tpu'"):
        device_of("tpu")
    if not torch.cuda.is_available():
        for name in ("cuda", "cuda:1"):
            with pytest.raises(ConfigError, match="No CUDA device is available"):
                device_of(name)
