"""A camera that stands still: the scene, what differs from it, and the light."""

from collections.abc import Callable

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive
from torch import Tensor

from scalor_pyro.inference.posterior import infer
from scalor_pyro.model import sites
from scalor_pyro.model.background import LIGHT_RANGE
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO

Make = Callable[..., Scalor]


@pytest.fixture
def background_image() -> Tensor:
    """(3, 32, 48), all places different."""
    return torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(5)) * 0.8 + 0.1


@pytest.fixture
def scalor(make_scalor: Make, background_image: Tensor) -> Scalor:
    scalor = make_scalor(background="static")
    scalor.set_background_image(background_image[None])
    return scalor


def without_objects(scalor: Scalor) -> Scalor:
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(-30)
    return scalor


def still(background_image: Tensor, light: float = 0.0) -> Tensor:
    """(2, 3, 3, 32, 48): nothing moves."""
    return (background_image + light).clamp(0, 1).expand(2, 3, 3, 32, 48)


def test_an_empty_scene_is_rendered_as_it_was_given(scalor: Scalor, background_image: Tensor) -> None:
    seen = infer(without_objects(scalor), still(background_image))
    assert (seen.foreground < 1e-6).all()
    assert (seen.background - background_image).abs().max() < 0.02  # the light has not been learned yet
    torch.testing.assert_close(seen.reconstruction, seen.background)


def test_the_scene_is_the_median_of_what_was_shown(scalor: Scalor, background_image: Tensor) -> None:
    images = background_image.repeat(5, 1, 1, 1)
    for t in range(5):
        images[t, :, 4:12, 6 * t : 6 * t + 6] = 1.0  # an object that is nowhere for long
    scalor.set_background_image(images)
    assert scalor.background_image is not None and torch.equal(scalor.background_image, background_image)


def test_the_frame_encoder_sees_the_difference(scalor: Scalor, make_scalor: Make, background_image: Tensor) -> None:
    seen: list[Tensor] = []
    scalor.frame_encoder.convolutions.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = still(background_image).clone()
    x[1, 2, 0, 3, 7] = 1.0
    scalor.guide(x)
    difference = seen[0][:, 3:].view(2, 3, 3, 32, 48)
    torch.testing.assert_close(difference, 2 * (x - background_image))
    assert difference.count_nonzero() == 1
    assert make_scalor(background="static", difference_input=False).frame_encoder.convolutions[0].in_channels == 3
    assert make_scalor(background="moving").frame_encoder.convolutions[0].in_channels == 3


def rippling(background_image: Tensor, images: int = 60) -> Tensor:
    """(n, 3, 32, 48): the lower half varies by 0.1, the light by more, and an object passes."""
    noise = torch.Generator().manual_seed(1)
    frames = background_image.expand(images, -1, -1, -1) * 0.6 + 0.2
    light = 0.15 * torch.rand(images, 1, 1, 1, generator=noise)
    ripple = 0.1 * torch.randn(images, 3, 16, 48, generator=noise)
    frames = frames + light
    frames[:, :, 16:] += ripple
    for t in range(images):
        frames[t, :, 4:9, 3 * t % 43 : 3 * t % 43 + 5] = 1.0
    return frames.clamp(0, 1)


def test_a_pixel_says_less_where_the_scene_moves_by_itself(make_scalor: Make, background_image: Tensor) -> None:
    scalor = make_scalor(background="static", sigma=0.08, flicker=2.0)
    scalor.set_background_image(rippling(background_image))
    assert (scalor.sigma[:, :16] == 0.08).all()  # neither light nor objects
    assert float(scalor.sigma[:, 16:].median()) == pytest.approx(0.2, rel=0.15)
    scalor.set_background_image(background_image[None])  # the light may move the scene
    assert float(scalor.sigma[:, 16:].median()) == pytest.approx(0.2, rel=0.15)
    trace = poutine.trace(scalor.model).get_trace(still(background_image))
    assert torch.equal(trace.nodes[sites.x(0)]["fn"].base_dist.scale[0, 0], scalor.sigma)


def test_what_differs_counts_less_where_the_scene_moves_by_itself(make_scalor: Make, background_image: Tensor) -> None:
    seen: list[Tensor] = []
    scalor = make_scalor(background="static", sigma=0.08, flicker=2.0)
    scalor.frame_encoder.convolutions.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    scalor.set_background_image(rippling(background_image))
    assert scalor.background_image is not None
    x = (scalor.background_image + 0.1).clamp(0, 1).expand(1, 1, 3, 32, 48)
    scalor.guide(x)
    torch.testing.assert_close(seen[0][0, 3:], 2 * (x[0, 0] - scalor.background_image) * 0.08 / scalor.sigma)


def test_a_scene_without_movement_of_its_own_is_as_it_was(make_scalor: Make, background_image: Tensor) -> None:
    """Pictures of it, with noise and an object, change nothing; runs of before have no such weights."""
    plain, told = (make_scalor(background="static", flicker=flicker) for flicker in (0.0, 2.0))
    assert set(told.state_dict()) - set(plain.state_dict()) == {"background.decoder.sigma"}
    frames = background_image.expand(20, -1, -1, -1) + 0.01 * torch.randn(20, 3, 32, 48)
    for scalor in (plain, told):
        scalor.set_background_image(frames.clamp(0, 1))
        assert (scalor.sigma == scalor.config.sigma).all()


def test_the_encoder_does_not_teach_the_scene(scalor: Scalor, background_image: Tensor) -> None:
    features = []
    scalor.frame_encoder.register_forward_hook(lambda module, inputs, output: features.append(output))
    scalor.guide(still(background_image, 0.1))
    features[0].cells.sum().backward()
    assert scalor.background.decoder.image.grad is None


def test_light_is_smooth_and_bounded(scalor: Scalor, background_image: Tensor) -> None:
    with torch.no_grad():
        scalor.background.decoder.light[-1].weight.normal_(std=5)
    z_bg = 3 * torch.randn(16, 4)
    light = scalor.background.decoder(z_bg) - background_image
    assert light.abs().max() <= LIGHT_RANGE + 1e-6
    assert light.abs().max() > LIGHT_RANGE / 2
    # At most the whole range, up and down, from one of the four points to the next, 12 px further.
    assert (light[..., 1:] - light[..., :-1]).abs().max() <= 2 * LIGHT_RANGE / 12 + 1e-6


def test_light_that_changes_is_learned(scalor: Scalor, background_image: Tensor) -> None:
    x = torch.stack([still(background_image, light)[0, :2] for light in (-0.08, 0.08)])
    scalor = without_objects(scalor)
    parts = (scalor.background.decoder.light, scalor.background.posterior, scalor.background.prior)
    optimiser = torch.optim.Adam([p for part in parts for p in part.parameters()], lr=2e-2)

    def error() -> float:
        return float((infer(scalor, x).background - x).abs().mean())

    before = error()
    for _ in range(25):
        optimiser.zero_grad()
        ReparamELBO().differentiable_loss(scalor.model, scalor.guide, x).backward()
        optimiser.step()
    assert before > 0.07 and error() < before / 2


def test_forecasts_and_imagines_over_the_scene(scalor: Scalor, background_image: Tensor) -> None:
    samples = Predictive(scalor.model, guide=scalor.guide, num_samples=2)(still(background_image), frames=5)
    assert samples[sites.z_bg(4)].shape == (2, 2, 1, 4)
    nothing = {sites.z_pres("disc", 0): torch.full((1, 12), -1e4)}
    trace = poutine.trace(poutine.condition(scalor.model, data=nothing)).get_trace(None, frames=1)
    pyro.clear_param_store()
    imagined = trace.nodes[sites.y(0)]["value"][0, 0]
    torch.testing.assert_close(imagined, scalor.background.decoder(trace.nodes[sites.z_bg(0)]["value"][:, 0])[0])
    assert (imagined - background_image).abs().max() <= LIGHT_RANGE + 1e-6


def test_refuses_a_flicker_of_another_size(scalor: Scalor, background_image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"flicker: expected shape \(3, 32, 48\), got \(1, 32, 48\)"):
        scalor.set_background_image(background_image[None], background_image[:1])


@pytest.mark.parametrize("background", ["none", "moving"])
def test_refuses_a_scene_for_another_background(make_scalor: Make, background_image: Tensor, background: str) -> None:
    scalor = make_scalor(background=background)
    assert scalor.background_image is None
    with pytest.raises(ValueError, match=f"Only a 'static' background has an image; this model's is '{background}'"):
        scalor.set_background_image(background_image[None])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda background_image: background_image, r"expected shape \(n, 3, 32, 48\), got \(3, 32, 48\)"),
        (lambda background_image: background_image[None, :1], r"expected shape \(n, 3, 32, 48\), got \(1, 1, 32, 48\)"),
        (lambda background_image: background_image[:0, None].expand(0, 3, 32, 48), "at least one"),
        (lambda background_image: background_image[None] * 255, r"\[0, 1\]"),
    ],
    ids=["rank", "channels", "none", "bytes"],
)
def test_refuses_what_is_no_scene(
    scalor: Scalor, background_image: Tensor, spoil: Callable[[Tensor], Tensor], message: str
) -> None:
    before = scalor.background_image
    with pytest.raises(ValueError, match=message):
        scalor.set_background_image(spoil(background_image))
    assert before is not None and scalor.background_image is not None and torch.equal(before, scalor.background_image)
