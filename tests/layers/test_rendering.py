"""The windowed renderer is a full-resolution one, only cheaper."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.layers.rendering import EPSILON, Canvas, draw, extract, look_through, paste, resample, window_size

IMAGE = (24, 40)  # H, W
GLIMPSE = 6
TOLERANCE = {"atol": 1e-6, "rtol": 1e-6}
# Added to what hypothesis draws: bilinear weights have kinks where pixels and glimpse points coincide.
OFF_KINK = math.pi * 1e-3


def grid_sampled(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """images (N, C, H, W) read at x (N, Q_x) and y (N, Q_y), [-1, 1] → (N, C, Q_y, Q_x)"""
    grid = torch.stack((x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])), -1)
    return F.grid_sample(images, grid, align_corners=False, padding_mode="zeros")


def centres(n: int) -> Tensor:
    return (torch.arange(n, dtype=torch.float64) * 2 + 1) / n - 1


def paste_all(glimpses: Tensor, where: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Every glimpse on an image of its own. (B, n, C', H, W)"""
    batch, n = where.shape[:2]
    s_x, s_y, t_x, t_y = where.flatten(0, 1).split(1, -1)
    height, width = image_size
    x, y = (centres(width) - t_x) / s_x, (centres(height) - t_y) / s_y
    return grid_sampled(glimpses.flatten(0, 1), x, y).unflatten(0, (batch, n))


def draw_all(glimpses: Tensor, where: Tensor, presence: Tensor, depth: Tensor, image_size: tuple[int, int]) -> Canvas:
    """The paper's formula, pixel by pixel, at full resolution."""
    layers = paste_all(glimpses, where, image_size) * presence[..., None, None, None]
    importance = layers[:, :, -1:] * torch.sigmoid(-depth)[..., None, None]
    drawn = (layers * importance).sum(1) / (importance.sum(1) + EPSILON)
    return Canvas(drawn[:, :-1], drawn[:, -1:])


def crop_all(image: Tensor, where: Tensor, size: int) -> Tensor:
    """Every box cut from an image of its own. (B, n, C, S, S)"""
    batch, n = where.shape[:2]
    s_x, s_y, t_x, t_y = where.flatten(0, 1).split(1, -1)
    own = image[:, None].expand(-1, n, -1, -1, -1).flatten(0, 1)
    return grid_sampled(own, t_x + s_x * centres(size), t_y + s_y * centres(size)).unflatten(0, (batch, n))


def with_gradients(result: Tensor, *leaves: Tensor) -> list[Tensor]:
    """A result and the gradients of a random projection of it."""
    torch.manual_seed(9)
    return [result, *torch.autograd.grad((result * torch.randn(result.shape, dtype=result.dtype)).sum(), leaves)]


def random_glimpses(*shape: int) -> Tensor:
    """Premultiplied colour, then alpha. (*shape, 4, S, S)"""
    alpha = torch.rand(*shape, 1, GLIMPSE, GLIMPSE, dtype=torch.float64)
    colour = torch.rand(*shape, 3, GLIMPSE, GLIMPSE, dtype=torch.float64)
    return torch.cat((colour * alpha, alpha), -3)


def boxes_up_to(scale: float) -> st.SearchStrategy[tuple[float, float, float, float]]:
    """(s_x, s_y, t_x, t_y), inside the image, across its border or outside."""
    scales, places = st.floats(0.05, scale), st.floats(-1 - 2 * scale, 1 + 2 * scale)
    return st.tuples(scales, scales, places, places)


boxes = boxes_up_to(1.5)
# Two videos of three objects: small ones, whose windows are small, or ones larger than the image.
places_of_all = st.sampled_from((0.15, 0.4, 1.5)).flatmap(
    lambda scale: st.lists(boxes_up_to(scale), min_size=6, max_size=6)
)


def to_where(rows: list[tuple[float, ...]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).view(2, 3, 4) + OFF_KINK * torch.linspace(1, 2, 24).view(2, 3, 4)


def window_for(where: Tensor) -> tuple[int, int]:
    (height, width), (s_x, s_y) = IMAGE, where[..., :2].detach().flatten(0, 1).amax(0).tolist()
    return window_size(s_y * height, GLIMPSE, height), window_size(s_x * width, GLIMPSE, width)


@given(places_of_all)
def test_draw_is_full_resolution_rendering(rows: list[tuple[float, ...]]) -> None:
    torch.manual_seed(0)
    where = to_where(rows).requires_grad_()
    glimpses = random_glimpses(2, 3).requires_grad_()
    presence = torch.rand(2, 3, dtype=torch.float64).requires_grad_()
    depth = torch.randn(2, 3, 1, dtype=torch.float64).requires_grad_()
    ours = draw(glimpses, where, presence, depth, IMAGE, window_for(where))
    plain = draw_all(glimpses, where, presence, depth, IMAGE)
    leaves = (glimpses, where, presence, depth)
    mine, theirs = (with_gradients(torch.cat(canvas, 1), *leaves) for canvas in (ours, plain))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


@given(places_of_all)
def test_paste_is_full_resolution_pasting(rows: list[tuple[float, ...]]) -> None:
    torch.manual_seed(0)
    where = to_where(rows).requires_grad_()
    glimpses = random_glimpses(2, 3).requires_grad_()
    patches, index = paste(glimpses, where, IMAGE, window_for(where))
    pixels = IMAGE[0] * IMAGE[1]
    dense = (
        torch.zeros(2, 3, 4, pixels, dtype=torch.float64)
        .scatter(3, index.flatten(2)[:, :, None].expand(-1, -1, 4, -1), patches.transpose(1, 2).flatten(3))
        .unflatten(3, IMAGE)
    )
    plain = paste_all(glimpses, where, IMAGE)
    for a, b in zip(with_gradients(dense, glimpses, where), with_gradients(plain, glimpses, where), strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


@given(places_of_all)
def test_extract_is_full_resolution_cropping(rows: list[tuple[float, ...]]) -> None:
    torch.manual_seed(0)
    where = to_where(rows).requires_grad_()
    image = torch.rand(2, 3, *IMAGE, dtype=torch.float64).requires_grad_()
    ours, plain = extract(image, where, GLIMPSE), crop_all(image, where, GLIMPSE)
    assert ours.shape == (2, 3, 3, GLIMPSE, GLIMPSE)
    for a, b in zip(with_gradients(ours, image, where), with_gradients(plain, image, where), strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


def test_coordinates_are_pixels_from_the_top_left() -> None:
    # A box 12 px wide and 6 px high whose top-left corner is at pixel (x, y) = (8, 6) of an image 40 px wide, 24 high.
    where = torch.tensor([[[12 / 40, 6 / 24, 2 * 14 / 40 - 1, 2 * 9 / 24 - 1]]])
    image = torch.zeros(1, 1, 24, 40)
    image[:, :, 6:12, 8:20] = torch.arange(12.0)
    glimpse = extract(image, where, GLIMPSE)
    torch.testing.assert_close(glimpse[0, 0, 0], (torch.arange(6.0) * 2 + 0.5).expand(6, 6))
    canvas = draw(torch.ones(1, 1, 2, 6, 6), where, torch.ones(1, 1), torch.zeros(1, 1, 1), IMAGE, (9, 15))
    rows, columns = torch.nonzero(canvas.alpha[0, 0] > 0.99, as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 11, 9, 18)


@given(
    side=st.floats(3, 30),
    margin=st.floats(1, 2),
    size_range=st.floats(0, 0.9),
    aspect=st.floats(0.3, 3),
    aspect_range=st.floats(0, 1.5),
    shape=st.tuples(st.sampled_from((-1e3, 0.0, 1e3)), st.sampled_from((-1e3, 0.0, 1e3))),
    x=st.floats(-1.5, 1.5),
    y=st.floats(-1.5, 1.5),
)
def test_window_holds_the_largest_box(
    side: float,
    margin: float,
    size_range: float,
    aspect: float,
    aspect_range: float,
    shape: tuple[float, float],
    x: float,
    y: float,
) -> None:
    config = ModelConfig(
        image_size=(32, 48),
        cells=(4, 3),
        first_shortlist=2,
        shortlist=2,
        object_size=side,
        box_margin=margin,
        size_range=size_range,
        aspect=aspect,
        aspect_range=aspect_range,
        glimpse_size=8,
    )
    geometry = Boxes(config).double()
    sides = geometry.sides(torch.tensor([[shape]], dtype=torch.float64))
    where = torch.cat((sides, torch.tensor([[[x, y]]], dtype=torch.float64)), -1)
    glimpses = torch.ones(1, 1, 4, 8, 8, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    ours = draw(glimpses, where, one, 0 * one[..., None], config.image_size, geometry.window)
    plain = draw_all(glimpses, where, one, 0 * one[..., None], config.image_size)
    torch.testing.assert_close(ours.alpha, plain.alpha, atol=1e-5, rtol=0)


@given(st.permutations(range(4)))
def test_order_of_objects_does_not_matter(order: list[int]) -> None:
    torch.manual_seed(0)
    glimpses, where = random_glimpses(1, 4), torch.rand(1, 4, 4, dtype=torch.float64) * 0.4 + 0.1
    presence, depth = torch.rand(1, 4, dtype=torch.float64), torch.randn(1, 4, 1, dtype=torch.float64)
    whole = draw(glimpses, where, presence, depth, IMAGE, IMAGE)
    shuffled = draw(glimpses[:, order], where[:, order], presence[:, order], depth[:, order], IMAGE, IMAGE)
    for a, b in zip(whole, shuffled, strict=True):
        torch.testing.assert_close(a, b)


def test_absent_objects_leave_no_trace_and_the_nearer_one_is_in_front() -> None:
    red, blue = torch.zeros(2, 4, GLIMPSE, GLIMPSE, dtype=torch.float64)
    red[0], blue[2], red[3], blue[3] = 1, 1, 1, 1
    glimpses = torch.stack((red, blue))[None]
    where = torch.tensor([[[0.3, 0.3, 0.1, 0.2]]], dtype=torch.float64).expand(1, 2, 4)
    depth = torch.tensor([[[-4.0], [4.0]]], dtype=torch.float64)
    both = draw(glimpses, where, torch.ones(1, 2, dtype=torch.float64), depth, IMAGE, IMAGE)
    assert both.colour[0, 0].max() > 0.95 and both.colour[0, 2].max() < 0.05
    background = torch.full((1, 3, *IMAGE), 0.5, dtype=torch.float64)
    nothing = draw(glimpses, where, torch.zeros(1, 2, dtype=torch.float64), depth, IMAGE, IMAGE)
    assert torch.equal(nothing.over(background), background)


@given(places_of_all)
def test_a_frame_of_colours_stays_a_frame_of_colours(rows: list[tuple[float, ...]]) -> None:
    torch.manual_seed(0)
    where = to_where(rows)
    presence, depth = torch.rand(2, 3, dtype=torch.float64), 3 * torch.randn(2, 3, 1, dtype=torch.float64)
    canvas = draw(random_glimpses(2, 3), where, presence, depth, IMAGE, window_for(where))
    frame = canvas.over(torch.ones(2, 3, *IMAGE, dtype=torch.float64))
    assert (canvas.colour <= canvas.alpha + 1e-12).all()
    assert 0 <= frame.min() and frame.max() <= 1 + 1e-12


@given(boxes)
def test_looking_through_the_own_box_changes_nothing(box: tuple[float, ...]) -> None:
    glimpses = random_glimpses(1, 1)
    own = torch.tensor([[box]], dtype=torch.float64)
    torch.testing.assert_close(look_through(glimpses, own, own, GLIMPSE), glimpses, atol=1e-12, rtol=0)
    torch.testing.assert_close(resample(glimpses, 5), look_through(glimpses, own, own, 5), atol=1e-12, rtol=0)


@given(boxes, boxes)
def test_look_through_reads_the_glimpse_at_the_other_boxes_points(
    mine: tuple[float, ...], other: tuple[float, ...]
) -> None:
    torch.manual_seed(0)
    glimpses = random_glimpses(1, 1).requires_grad_()
    own = (torch.tensor([[mine]], dtype=torch.float64) + OFF_KINK).requires_grad_()
    box = (torch.tensor([[other]], dtype=torch.float64) + 0.7 * OFF_KINK).requires_grad_()
    ours = look_through(glimpses, own, box, 5)
    s, t = (box[0, :, :2] / own[0, :, :2], (box[0, :, 2:] - own[0, :, 2:]) / own[0, :, :2])
    plain = grid_sampled(glimpses[0], t[:, :1] + s[:, :1] * centres(5), t[:, 1:] + s[:, 1:] * centres(5))[None]
    for a, b in zip(with_gradients(ours, glimpses, own, box), with_gradients(plain, glimpses, own, box), strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.1, -0.05), (0.3, 0.2), (2.0, 0.0)])
def test_look_through_sees_what_a_crop_of_the_pasted_image_shows(shift: tuple[float, float]) -> None:
    # On an image so fine that pasting loses nothing.
    image_size = (192, 320)
    glimpses = random_glimpses(1, 1)
    own = torch.tensor([[[0.4, 0.35, 0.1, -0.15]]], dtype=torch.float64)
    other = torch.tensor([[[0.3, 0.4, 0.1 + shift[0], -0.15 + shift[1]]]], dtype=torch.float64)
    crop = extract(paste_all(glimpses, own, image_size)[:, 0], other, 7)
    torch.testing.assert_close(look_through(glimpses, own, other, 7), crop, atol=0.02, rtol=0)


@given(st.floats(1, 200), st.sampled_from((8, 16, 32)), st.integers(16, 128))
def test_window_is_no_larger_than_it_must_be(box: float, glimpse_size: int, limit: int) -> None:
    window = window_size(box, glimpse_size, limit)
    assert window <= limit and window <= box * (1 + 1 / glimpse_size) + 2


@given(st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e38]), st.integers(0, 3), st.integers(0, 1))
def test_a_box_that_is_no_box_becomes_pixels_that_are_none(value: float, place: int, which: int) -> None:
    """What a diverged model draws shows in the picture; it is no index out of range."""
    where = torch.tensor([[[0.3, 0.3, 0.1, -0.2], [0.2, 0.4, -0.3, 0.3]]], dtype=torch.float64)
    where[0, which, place] = value
    canvas = draw(
        random_glimpses(1, 2), where, torch.ones(1, 2), torch.zeros(1, 2, 1, dtype=torch.float64), (24, 32), (16, 16)
    )
    assert canvas.alpha.shape[-2:] == (24, 32)
    assert bool(torch.isfinite(canvas.alpha).all()) != (value != value)
