"""Learning from clips in which it is known where the objects are."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro.infer import Trace_ELBO
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.inference import taught
from scalor_pyro.inference.posterior import ModeMessenger
from scalor_pyro.inference.taught import MOST_IDENTITIES, Taught, known_of, with_identities
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO

HEIGHT, WIDTH = 24, 40


def told(*frames: list[tuple[int, int, int, int, int]]) -> Tensor:
    """(1, T, H, W): rectangles of each frame, the last in front: identity, left, top, width, height."""
    identities = torch.zeros(1, len(frames), HEIGHT, WIDTH)
    for t, rectangles in enumerate(frames):
        for identity, left, top, width, height in rectangles:
            identities[0, t, top : top + height, left : left + width] = (identity + 1) / MOST_IDENTITIES
    return identities


@given(
    left=st.integers(0, 30),
    top=st.integers(0, 16),
    width=st.integers(1, 10),
    height=st.integers(1, 8),
    identity=st.integers(0, 254),
)
def test_a_box_is_the_smallest_around_what_is_seen(left: int, top: int, width: int, height: int, identity: int) -> None:
    known = known_of(told([(identity, left, top, width, height)]))
    size = torch.tensor((WIDTH, HEIGHT))
    corner = (known.centre[0, 0, identity] + 1) * size / 2 - known.sides[0, 0, identity] * size / 2
    assert corner.tolist() == pytest.approx([left, top], abs=1e-4)
    assert (known.sides[0, 0, identity] * size).tolist() == pytest.approx([width, height], abs=1e-4)
    assert known.share[0, 0, identity] == 1 and known.share.sum() == 1


def test_a_share_is_of_the_most_that_a_clip_shows() -> None:
    known = known_of(told([(0, 0, 0, 8, 8), (2, 30, 0, 8, 8)], [(0, 0, 0, 8, 8), (1, 2, 0, 8, 8)], [(1, 2, 0, 8, 8)]))
    assert known.share[0, :, 0].tolist() == [1, 0.25, 0]
    assert known.share[0, :, 1].tolist() == [0, 1, 1] and known.share[0, :, 2].tolist() == [1, 0, 0]
    sliver = known_of(told([(0, 0, 0, 8, 8), (1, 38, 0, 2, 4), (2, 12, 0, 8, 8)]))
    assert sliver.share[0, 0].tolist() == [1, 0.25, 1], "what shows at the border is not all of an object"


def test_where_nothing_is_nothing_is_known() -> None:
    known = known_of(told([], []))
    assert known.share.sum() == 0 and all(torch.isfinite(each).all() for each in known)


@given(
    size=st.floats(-0.9, 0.9),
    aspect=st.floats(-0.9, 0.9),
    down=st.floats(-1, 1),
    perspective=st.sampled_from([0.0, 0.8]),
)
def test_a_box_that_can_be_is_its_own_nearest(size: float, aspect: float, down: float, perspective: float) -> None:
    config = ModelConfig(image_size=(32, 64), cells=(4, 8), size_range=0.4, aspect_range=0.8, perspective=perspective)
    boxes = Boxes(config).double()
    raw = torch.tensor([size, aspect, 0.1, down], dtype=torch.double).atanh().clamp(-9, 9)[None, None]
    where, _, _ = boxes.discovered(raw, torch.tensor([[9]]))
    assert torch.allclose(boxes.nearest(where[..., :2], where[..., 2:]), where)
    for far in (1e-9, 9.0):
        other = boxes.nearest(torch.full_like(where[..., :2], far), where[..., 2:])
        assert torch.isfinite(other).all() and (other[..., :2] > 0).all()


def test_identities_are_kept_as_they_are() -> None:
    frames = np.zeros((2, 3, 3, 4, 5), np.uint8)
    identities = np.arange(-1, 119).reshape(2, 3, 4, 5)
    clips = with_identities(frames, identities)
    assert clips.shape == (2, 3, 4, 4, 5) and np.array_equal(clips[:, :, 3].astype(int) - 1, identities)
    with pytest.raises(ValueError, match=r"identities: expected one for each pixel of \(2, 3, 3, 4, 5\), got shape"):
        with_identities(frames, identities[:1])
    with pytest.raises(ValueError, match=r"identities: expected numbers below 255, got 255\."):
        with_identities(frames, identities + 137)


@pytest.fixture
def clips(videos: Tensor) -> Tensor:
    """The clips of a moving square, told where it is."""
    return torch.cat((videos, (videos == 0.9).any(2, keepdim=True) / MOST_IDENTITIES), 2)


def test_the_factor_is_all_that_is_added(scalor: Scalor, videos: Tensor, clips: Tensor) -> None:
    pair, elbo = Taught(scalor), ReparamELBO()
    losses = []
    for one, program, frames in ((elbo, scalor, videos), (elbo, pair, clips), (Trace_ELBO(), pair, clips)):
        pyro.set_rng_seed(0)
        losses.append(one.differentiable_loss(program.model, program.guide, frames).item())  # type: ignore[attr-defined]
    trace = pyro.poutine.trace(pair.model).get_trace(clips)
    factor = trace.nodes["taught"]["fn"].log_prob(trace.nodes["taught"]["value"]).item()
    assert factor < 0 and losses[1] - losses[0] == pytest.approx(-factor, rel=1e-4)
    assert losses[2] == pytest.approx(losses[1], rel=1e-4)


def learned(scalor: Scalor, clips: Tensor, steps: int) -> Scalor:
    """A copy of a model that has followed the factor alone."""
    scalor = copy.deepcopy(scalor)
    pair, optimiser = Taught(scalor), torch.optim.Adam(scalor.parameters(), lr=5e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        pair.guide(clips)
        (-pyro.poutine.trace(pair.model).get_trace(clips).nodes["taught"]["fn"].log_factor).backward()
        optimiser.step()
    return scalor


def test_a_guide_learns_where_the_object_is_and_that_it_is_one(
    make_scalor: Callable[..., Scalor], videos: Tensor, clips: Tensor
) -> None:
    scalor = make_scalor()
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(2.0)  # objects everywhere
    after = learned(scalor, clips, 50)
    with torch.no_grad(), ModeMessenger():
        first, *_, last = (frame.slots for frame in after.guide(videos))
    assert first.alive.sum(1).tolist() == [1, 1]
    followed = (last.identity == 0).nonzero(as_tuple=True)
    assert len(followed[0]) == 2
    away = last.objects.where[followed][:, 2:] - known_of(clips[:, :, -1]).centre[:, -1, 0]
    assert (away.abs() * torch.tensor((48, 32)) / 2 < 3).all()
    blank = torch.cat((videos, torch.zeros_like(clips[:, :, -1:])), 2)
    none = learned(scalor, blank, 50)
    with torch.no_grad(), ModeMessenger():
        assert not none.guide(videos)[-1].slots.alive.any(), "told that there is none"


def test_what_is_followed_is_not_to_be_discovered_again(
    monkeypatch: pytest.MonkeyPatch, make_scalor: Callable[..., Scalor], videos: Tensor, clips: Tensor
) -> None:
    """Beside slots that hold nothing, too."""
    scalor = learned(make_scalor(), clips, 50)
    wanted: list[int] = []
    discovery_error = taught._discovery_error

    def noted(*arguments: Any) -> list[Tensor]:
        wanted.append(int(arguments[-1].sum()))
        return discovery_error(*arguments)

    monkeypatch.setattr(taught, "_discovery_error", noted)
    with torch.no_grad(), ModeMessenger():
        Taught(scalor).guide(clips)
    assert wanted == [2, 0, 0]


def test_clips_without_identities_are_refused(scalor: Scalor, videos: Tensor) -> None:
    with pytest.raises(ValueError, match=r"clips: expected 4 channels, the last of which tells objects apart, got sha"):
        Taught(scalor).guide(videos)
