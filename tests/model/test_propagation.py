"""The laws of long tracks: nothing that an object carries grows with time, and an object that is gone ends."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.boxes import KEPT, SHAPE_STEP, Boxes
from scalor_pyro.layers.objects import Objects
from scalor_pyro.model.propagation import next_depth
from scalor_pyro.model.scalor import Scalor

FRAMES = 1000
# What a network may say, however badly trained.
outputs = st.floats(-1e6, 1e6, width=32)


def still(where: Tensor, shape: Tensor) -> Objects:
    """Objects that do not move. where (B, n, 4), shape (B, n, 2)"""
    nothing = where.new_zeros(*where.shape[:2], 1)
    glimpse = nothing[..., None, None].expand(*where.shape[:2], 4, 8, 8)
    return Objects(nothing[..., 0] + 1, where, shape, torch.zeros_like(shape), nothing, nothing, glimpse)


@settings(max_examples=5)
@given(st.lists(outputs, min_size=1, max_size=5), st.floats(-5, 5), st.floats(0.1, 1), st.floats(0.5, 8))
def test_depth_stays_in_range_whatever_the_network_says(
    said: list[float], first: float, step: float, reach: float
) -> None:
    depth, config = torch.tensor([first]), ModelConfig(depth_step=step, depth_range=reach)
    for t in range(FRAMES):
        depth = next_depth(depth, torch.tensor([said[t % len(said)]]), config)
        assert abs(float(depth)) <= max(abs(first), reach) + 1e-5
    assert abs(float(depth)) <= reach + 1e-5, "where it began is forgotten"


def test_depths_keep_their_order_for_some_frames() -> None:
    before = torch.tensor([[[-1.0], [1.0]]])
    after = before
    for _ in range(5):
        after = next_depth(after, torch.zeros_like(after), ModelConfig())
    near, far = after.flatten().tolist()
    assert near == pytest.approx(-far) and near < -0.5


def test_with_a_large_step_a_hidden_object_comes_to_the_front_within_two_frames() -> None:
    config, depth = ModelConfig(depth_step=0.5, depth_range=4.0), torch.tensor([2.0])
    for _ in range(2):
        depth = next_depth(depth, torch.tensor([-9.0]), config)
    assert depth < -2


@settings(max_examples=5)
@given(st.lists(st.tuples(outputs, outputs), min_size=1, max_size=5))
def test_size_and_aspect_stay_where_a_box_still_changes(said: list[tuple[float, float]]) -> None:
    boxes = Boxes(ModelConfig())
    shape = torch.tensor([[[2.0, -2.0]]])
    where = torch.cat((boxes.sides(shape), torch.zeros(1, 1, 2)), -1)
    for t in range(FRAMES):
        raw = torch.tensor([[[*said[t % len(said)], 0.0, 0.0]]])
        where, shape, _ = boxes.propagated(still(where, shape), raw)
    assert float(shape.abs().max()) <= SHAPE_STEP / (1 - KEPT) + 1e-5
    assert bool((boxes.sides(shape + 0.5) != boxes.sides(shape)).all())


@pytest.mark.parametrize(
    ("x", "y", "there"),
    [
        (0.0, 0.0, True),
        (1.15, 0.0, True),  # the centre is outside, but not all of the box
        (1.25, 0.0, False),
        (0.0, -1.25, True),
        (0.0, -1.35, False),
        (-1.15, 1.35, False),
    ],
)
def test_a_track_ends_where_its_box_has_left_the_image(
    make_scalor: Callable[..., Scalor], videos: Tensor, x: float, y: float, there: bool
) -> None:
    scalor = make_scalor(background="none", reject_among_propagated=False)
    before = scalor.guide(videos)[0].slots
    before = before._replace(alive=torch.ones_like(before.alive))
    where = before.objects.where.clone()
    where[:, 0] = torch.tensor([0.2, 0.3, x, y])
    objects = before.objects._replace(presence=torch.ones_like(before.objects.presence), where=where)
    nobody = scalor.guide(videos)[0].discovered
    nobody = nobody._replace(presence=torch.zeros_like(nobody.presence))
    settled = scalor.settle(before, objects, nobody)
    assert settled.slots.alive[:, 0].tolist() == [there] * len(videos)
    assert (settled.slots.identity[:, 0] >= 0).tolist() == [there] * len(videos)
    assert bool(settled.slots.alive[:, 1:].all()), "the others go on"


def test_a_box_as_large_as_the_image_ends_too() -> None:
    boxes = Boxes(ModelConfig(object_size=60.0))
    where = torch.tensor([[[0.9, 0.9, 5.0, 0.0]]])
    centre = boxes.within(where[..., 2:])
    assert not bool(boxes.visible(torch.cat((where[..., :2], centre), -1)))
