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
from scalor_pyro.inference.taught import TOLD, Taught, known_of, with_objects
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO

HEIGHT, WIDTH = 24, 40


def told(*frames: list[tuple[int, tuple[int, int, int, int], int]]) -> Tensor:
    """(1, T, 6, H, W): what clips tell of objects, the last in front: number, box (left, top, right, bottom), area.

    What is seen of an object is the part of its box that is in view and that no other hides.
    """
    identities = np.full((1, len(frames), HEIGHT, WIDTH), -1)
    count = 1 + max((number for objects in frames for number, _, _ in objects), default=0)
    boxes, areas = np.zeros((count, len(frames), 4), int), np.zeros((count, len(frames)), int)
    for t, objects in enumerate(frames):
        for number, box, area in objects:
            left, top, right, bottom = np.maximum(box, 0)
            identities[0, t, top:bottom, left:right] = number
            boxes[number, t], areas[number, t] = box, area
    clips = with_objects(np.zeros((1, len(frames), 1, HEIGHT, WIDTH), np.uint8), identities, [boxes], [areas])
    return torch.from_numpy(clips[:, :, 1:]).float() / 255


@given(
    left=st.integers(-20, 30),
    top=st.integers(-15, 16),
    width=st.integers(21, 50),
    height=st.integers(16, 32),
    number=st.integers(0, 254),
)
def test_what_is_told_is_known(left: int, top: int, width: int, height: int, number: int) -> None:
    """The whole box, however much of it is out of view."""
    known = known_of(told([(number, (left, top, left + width, top + height), width * height)]))
    size = torch.tensor((WIDTH, HEIGHT))
    corner = (known.centre[0, 0, number] + 1) * size / 2 - known.sides[0, 0, number] * size / 2
    assert corner.tolist() == pytest.approx([left, top], abs=1e-4)
    assert (known.sides[0, 0, number] * size).tolist() == pytest.approx([width, height], abs=1e-4)
    seen = (min(left + width, WIDTH) - max(left, 0)) * (min(top + height, HEIGHT) - max(top, 0)) / (width * height)
    assert 0 <= known.share[0, 0, number] - seen < 1 / 255 + 1e-6
    assert (known.share > 0).sum() == 1


def test_an_object_behind_another_is_known_whole() -> None:
    known = known_of(told([(0, (4, 2, 12, 10), 64), (1, (8, 0, 30, 20), 440)], [(0, (4, 2, 12, 10), 64)]))
    assert torch.equal(known.centre[0, 0, 0], known.centre[0, 1, 0])
    assert torch.equal(known.sides[0, 0, 0], known.sides[0, 1, 0])
    assert known.share[0, :, 0].tolist() == pytest.approx([0.5, 1], abs=1 / 255)
    assert known.share[0, :, 1].tolist() == [1, 0]


def test_an_object_far_larger_than_the_frame_is_cut_off() -> None:
    known = known_of(told([(0, (10, 4, 900, 20), 9000)]))
    ends = (known.centre[0, 0, 0] + known.sides[0, 0, 0] + 1) * torch.tensor((WIDTH, HEIGHT)) / 2
    assert ends.tolist() == pytest.approx([2 * WIDTH, 20], abs=1e-4)


def test_where_nothing_is_nothing_is_known() -> None:
    known = known_of(told([], []))
    assert known.share.sum() == 0 and all(torch.isfinite(each).all() for each in known)


def test_clips_that_contradict_themselves_are_refused() -> None:
    frames, identities = np.zeros((1, 2, 3, 4, 5), np.uint8), np.full((1, 2, 4, 5), -1)
    identities[0, 0, 1, 1:3] = 0
    boxes, areas = np.zeros((1, 2, 4), int), np.full((1, 2), 2)
    boxes[0, 0] = 1, 1, 3, 2
    assert np.array_equal(with_objects(frames, identities, [boxes], [areas])[0, 0, 3:, 1, 2], (1, 1, 0, 1, 1, 255))
    few, wide = boxes[:, :1], np.zeros((1, 2, 3, 4, 200), np.uint8)
    for match, changed in (
        ("identities: expected one for each pixel", (frames, identities[:, :1], [boxes], [areas])),
        (r"numbers below 1, those of the boxes, got 3\.", (frames, identities + 3, [boxes], [areas])),
        (r"boxes, areas: expected those of 1 clips, got 1 and 0\.", (frames, identities, [boxes], [])),
        (r"boxes: expected arrays of \[\(1, 2, 4\)\], got \[\(1, 1, 4\)\]", (frames, identities, [few], [areas])),
        (r"areas: expected arrays of \[\(1, 2\)\], got \[\(1, 1\)\]", (frames, identities, [boxes], [areas[:, 1:]])),
        ("boxes: expected each around its object", (frames, identities, [boxes + 1], [areas])),
        ("at most 255 px .* got 0 to 399 px", (wide, np.tile(identities, 40), [boxes + (-1, 0, 999, 0)], [areas])),
    ):
        with pytest.raises(ValueError, match=match):
            with_objects(*changed)


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


def test_the_factor_is_all_that_is_added(scalor: Scalor, videos: Tensor, told_videos: Tensor) -> None:
    pair, elbo = Taught(scalor), ReparamELBO()
    losses = []
    for one, program, frames in ((elbo, scalor, videos), (elbo, pair, told_videos), (Trace_ELBO(), pair, told_videos)):
        pyro.set_rng_seed(0)
        losses.append(one.differentiable_loss(program.model, program.guide, frames).item())  # type: ignore[attr-defined]
    trace = pyro.poutine.trace(pair.model).get_trace(told_videos)
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
    make_scalor: Callable[..., Scalor], videos: Tensor, told_videos: Tensor
) -> None:
    scalor = make_scalor()
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(2.0)  # objects everywhere
    after = learned(scalor, told_videos, 50)
    with torch.no_grad(), ModeMessenger():
        first, *_, last = (frame.slots for frame in after.guide(videos))
    assert first.alive.sum(1).tolist() == [1, 1]
    followed = (last.identity == 0).nonzero(as_tuple=True)
    assert len(followed[0]) == 2
    away = last.objects.where[followed][:, 2:] - known_of(told_videos[:, :, -TOLD:]).centre[:, -1, 0]
    assert (away.abs() * torch.tensor((48, 32)) / 2 < 3).all()
    blank = torch.cat((videos, torch.zeros_like(told_videos[:, :, -TOLD:])), 2)
    none = learned(scalor, blank, 50)
    with torch.no_grad(), ModeMessenger():
        assert not none.guide(videos)[-1].slots.alive.any(), "told that there is none"


def test_what_is_followed_is_not_to_be_discovered_again(
    monkeypatch: pytest.MonkeyPatch, make_scalor: Callable[..., Scalor], videos: Tensor, told_videos: Tensor
) -> None:
    """Beside slots that hold nothing, too."""
    scalor = learned(make_scalor(), told_videos, 50)
    wanted: list[int] = []
    discovery_error = taught._discovery_error

    def noted(*arguments: Any) -> list[Tensor]:
        wanted.append(int(arguments[-1].sum()))
        return discovery_error(*arguments)

    monkeypatch.setattr(taught, "_discovery_error", noted)
    with torch.no_grad(), ModeMessenger():
        Taught(scalor).guide(told_videos)
    assert wanted == [2, 0, 0]


def test_clips_that_tell_nothing_are_refused(scalor: Scalor, videos: Tensor) -> None:
    with pytest.raises(ValueError, match=r"clips: expected 9 channels, the last 6 of which tell where objects"):
        Taught(scalor).guide(videos)
