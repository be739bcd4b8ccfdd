"""Frames larger than those of training."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import group_norm

from scalor_pyro.config import ConfigError, ModelConfig
from scalor_pyro.inference.latents import frames_of
from scalor_pyro.inference.posterior import follow, infer
from scalor_pyro.layers.networks import WindowNorm
from scalor_pyro.layers.objects import Objects
from scalor_pyro.model.propagation import in_view
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.views import nearest_size, viewing, with_view
from tests.conftest import TINY

SIZE = (128, 192)  # four views of 32 × 48 each way
CELL = (8, 16)
CONFIG = ModelConfig(**TINY)  # type: ignore[arg-type]


@pytest.fixture
def static(make_scalor: Callable[..., Scalor]) -> Scalor:
    """A model over a static background that sees opaque objects."""
    scalor = make_scalor(background="static", z_bg_light=2)
    with torch.no_grad():
        scalor.decoder.bias[-1] = 4.0
        for name, parameter in scalor.named_parameters():
            if "head" in name and parameter.dim() > 1:
                parameter.normal_(std=0.3)
    return scalor


@given(st.integers(3, 9), st.integers(4, 9), st.integers(0, 6), st.integers(0, 5), st.integers(0, 99))
def test_a_point_is_normalised_as_in_the_window_round_it(height: int, width: int, y: int, x: int, seed: int) -> None:
    """The window of 3 × 4 points begins one row and column before the point, where there is room."""
    norm = WindowNorm(2, 4, (3, 4))
    features = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(seed))
    y, x = min(y, height - 1), min(x, width - 1)
    top, left = min(max(y - 1, 0), height - 3), min(max(x - 1, 0), width - 4)
    window = group_norm(features[..., top : top + 3, left : left + 4], 2)
    expected = window[..., y - top, x - left]
    torch.testing.assert_close(norm(features)[..., y, x], expected, atol=2e-4, rtol=2e-4)


def test_a_large_image_is_normalised_in_float32_beside_networks_in_bfloat16() -> None:
    """A small deviation from a large mean, whose square bfloat16 cannot hold."""
    norm = WindowNorm(1, 1, (4, 4))
    features = 8 + 0.25 * torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)).sign()
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(features.bfloat16())
    torch.testing.assert_close(found, norm(features), atol=2e-2, rtol=2e-2)


@given(place=st.floats(-1.5, 1.5), along=st.sampled_from([0, 1]))
def test_an_object_knows_how_near_it_is_to_a_border(place: float, along: int) -> None:
    """At a distance from a border of the large image, it reads what it would read there in training."""
    config = viewing(CONFIG, SIZE)
    where, velocity = torch.tensor([[[0.1, 0.2, 0.0, 0.0]]]), torch.tensor([[[0.05, 0.05]]])
    where[..., 2 + along] = place
    seen, moving = in_view(where, velocity, config)
    torch.testing.assert_close(seen[0, 0, :2], torch.tensor([0.4, 0.8]))
    torch.testing.assert_close(moving[0, 0], torch.tensor([0.2, 0.2]))
    lower, upper = 4 * (1 + place), 4 * (1 - place)  # distances from the borders in half-views
    expected = lower - 1 if lower < 1 else 1 - upper if upper < 1 else 0.0
    assert float(seen[0, 0, 2 + along]) == pytest.approx(expected, abs=1e-5)


def test_the_same_size_is_the_same_model(static: Scalor, videos: Tensor) -> None:
    background_image = videos[0, 0] * 0.5
    static.set_background_image(background_image[None])
    again = with_view(static, (32, 48), background_image)
    for one, other in zip(frames_of(follow(static, videos)), frames_of(follow(again, videos)), strict=True):
        assert torch.equal(one.slots.objects.where, other.slots.objects.where)


@pytest.mark.parametrize("background", ["none", "moving"])
def test_without_a_scene_there_is_none_to_give(make_scalor: Callable[..., Scalor], background: str) -> None:
    scalor = make_scalor(background=background)
    large = with_view(scalor, SIZE)
    assert all(torch.equal(value, large.state_dict()[name]) for name, value in scalor.state_dict().items())
    frames = infer(large, torch.rand(1, 2, 3, *SIZE)).reconstruction
    assert frames.shape == (1, 2, 3, *SIZE)
    assert bool((frames == 0).any()) == (background == "none"), "black where no object is, or drawn everywhere"
    with pytest.raises(ValueError, match="Only a 'static' background"):
        with_view(scalor, SIZE, torch.zeros(3, *SIZE))


def test_a_static_background_needs_its_scene(static: Scalor) -> None:
    with pytest.raises(ValueError, match="expected a background image for the new size"):
        with_view(static, SIZE)


def test_what_is_seen_does_not_depend_on_where_in_a_large_frame_it_is(static: Scalor) -> None:
    """All moved by two cells down and one to the left: far from the borders, the same features and the same motion."""
    size = 256, 384  # five windows of normalisation reach two and a half views to each side
    large = with_view(static, size, torch.full((3, *size), 0.3))
    frames = torch.rand(1, 2, 3, *size, generator=torch.Generator().manual_seed(3))
    like = frames_of(follow(large, frames))[0]
    found = []
    for down, right in ((0, 0), (2, -1)):
        moved = frames.roll((down * CELL[0], right * CELL[1]), (-2, -1))
        features = large.frame_encoder(moved, moved - large.background_image)
        objects = Objects(*(torch.full_like(values, 0.1) for values in like.slots.objects))
        centre = torch.tensor([200.0 + right * CELL[1], 130.0 + down * CELL[0]])
        objects.where[..., 2:] = centre / torch.tensor([384, 256]) * 2 - 1
        slots = like.slots._replace(objects=objects)
        distribution = large.propagation_posterior(slots, None, large.annealed, moved[:, 1], features.maps[:, 1])
        cells = features.cells[0, 1, :, 15 + down : 17 + down, 11 + right : 13 + right]
        found.append((cells, distribution.where.mean[0, 0], distribution.presence.logits[0, 0]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_slots_grow_with_the_area_and_shortlists_with_the_slots() -> None:
    config = viewing(CONFIG, (64, 64))  # 2⅔ times the area
    assert (config.cells, config.view) == ((8, 4), (32, 48))
    assert (config.slots, config.first_shortlist, config.shortlist) == (14, 20, 17)  # of 5, 7 and 6
    few = viewing(CONFIG, (64, 64), slots=10)
    assert (few.slots, few.first_shortlist, few.shortlist) == (10, 14, 12)
    assert viewing(config, (32, 48)).view is None
    smaller = viewing(CONFIG, (16, 16))
    assert (smaller.slots, smaller.shortlist) == (5, 2)  # no more proposals than cells


@given(height=st.floats(1, 500), width=st.floats(1, 500))
def test_the_nearest_size_is_one_of_whole_cells(height: float, width: float) -> None:
    size = nearest_size(CONFIG, (height, width))
    viewing(CONFIG, size)  # is not refused
    assert all(
        abs(got - asked) <= cell / 2 or got == max(16, cell)
        for got, asked, cell in zip(size, (height, width), CELL, strict=True)
    )


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="cells"):
        viewing(CONFIG, (36, 48))
