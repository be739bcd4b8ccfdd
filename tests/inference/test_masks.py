"""Masks: soft ones are how the renderer blends a frame, hard ones are its segments."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scalor_pyro.inference.masks import BACKGROUND
from scalor_pyro.inference.posterior import ALL, Inference, infer
from scalor_pyro.model.scalor import Scalor

B, T, K, H, W = 2, 3, 5, 32, 48
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def roomy(make_scalor: Callable[..., Scalor]) -> Scalor:
    """A model that sees opaque objects everywhere, and has a slot for each that it draws."""
    scalor = make_scalor(slots=40, first_shortlist=7, shortlist=3)
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(4.0)
        scalor.decoder.bias[-1] = 4.0
    return scalor


def permuted(seen: Inference, order: Tensor) -> Inference:
    of_slots = ("presence", "identity", "new", "where", "depth", "what", "appearance")
    return seen._replace(**{name: getattr(seen, name)[:, :, order] for name in of_slots})


def test_soft_masks_and_the_background_share_out_each_pixel(roomy: Scalor, videos: Tensor) -> None:
    seen = infer(roomy, videos)
    drawn = seen.propagated + seen.discovered
    assert torch.equal(drawn, (seen.identity >= 0).sum(-1)), "every object drawn has a slot"
    masks = seen.soft_masks()
    assert masks.shape == (B, T, 40, H, W) and not masks.requires_grad
    assert 0 <= masks.min() and masks.max() <= 1 and seen.foreground.max() > 0.9
    torch.testing.assert_close(masks.sum(2, keepdim=True), seen.foreground, **CLOSE)


def test_objects_without_a_slot_take_their_share(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos)
    assert (seen.propagated + seen.discovered > (seen.identity >= 0).sum(-1)).any()
    assert (seen.soft_masks().sum(2) <= seen.foreground[:, :, 0] + 1e-5).all()


def test_who_draws_most_of_a_pixel_owns_it(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos)
    soft, hard = seen.soft_masks(), seen.hard_masks()
    dominates = soft > 0.5 + 1e-5
    assert dominates.any() and hard.dtype == torch.bool
    assert (hard >= dominates).all()


def test_an_empty_slot_has_no_pixel(roomy: Scalor, videos: Tensor) -> None:
    seen = infer(roomy, videos)
    empty = seen.identity < 0
    assert empty.any() and (seen.segments == BACKGROUND).any()
    assert not seen.hard_masks()[empty].any() and not seen.soft_masks()[empty].any()
    assert not (seen.segments[:, :, None] == seen.identity[..., None, None])[empty].any()


def test_hard_masks_are_the_segments(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos)
    hard = seen.hard_masks()
    assert torch.equal(hard.any(2), seen.segments != BACKGROUND) and hard.sum(2).max() == 1
    identity = seen.identity[..., None, None].expand_as(hard)
    assert torch.equal(identity[hard], seen.segments[:, :, None].expand_as(hard)[hard])


def test_masks_follow_their_slots(busy: Scalor, videos: Tensor) -> None:
    seen, order = infer(busy, videos), torch.tensor([3, 0, 4, 1, 2])
    other = permuted(seen, order)
    torch.testing.assert_close(other.soft_masks(), seen.soft_masks()[:, :, order])
    assert torch.equal(other.hard_masks(), seen.hard_masks()[:, :, order])


@pytest.mark.parametrize(
    ("video", "frame", "shape"),
    [(1, 2, ()), (1, ALL, (T,)), (ALL, -1, (B,)), (slice(1, 2), slice(0, 2), (1, 2)), (0, slice(3, 3), (0,))],
)
def test_some_frames_are_a_part_of_all(
    busy: Scalor, videos: Tensor, video: int | slice, frame: int | slice, shape: tuple[int, ...]
) -> None:
    seen = infer(busy, videos)
    assert seen.soft_masks(video, frame).shape == (*shape, K, H, W)
    torch.testing.assert_close(seen.soft_masks(video, frame), seen.soft_masks()[video, frame])
    assert torch.equal(seen.hard_masks(video, frame), seen.hard_masks()[video, frame])
