"""The laws of rejection: what is explained already is not discovered again."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scalor_pyro.layers.objects import Objects
from scalor_pyro.model.rejection import explained, explained_in, strongest_first, touching, within

MASK, OVERLAP, COLOUR = 0.3, 0.5, 0.15
RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
SIDE = 0.4


def make(
    places: list[tuple[float, float]],
    presence: list[float] | None = None,
    colours: list[tuple[float, float, float]] | None = None,
    sides: list[float] | None = None,
) -> Objects:
    """Opaque squares of one video at (t_x, t_y)."""
    n = len(places)
    scale = torch.tensor(sides or [SIDE] * n)[:, None].expand(n, 2)
    colour = torch.tensor(colours or [RED] * n)[:, :, None, None].expand(n, 3, 8, 8)
    return Objects(
        presence=torch.tensor([presence or [0.9] * n]),
        where=torch.cat((scale, torch.tensor(places).view(n, 2)), 1)[None],
        shape=torch.zeros(1, n, 2),
        velocity=torch.zeros(1, n, 2),
        depth=torch.zeros(1, n, 1),
        what=torch.zeros(1, n, 3),
        glimpse=torch.cat((colour, torch.ones(n, 1, 8, 8)), 1)[None],
    )


def rejected(proposals: Objects, others: Objects, colour: float | None = None) -> list[bool]:
    result: list[bool] = explained(proposals, others, OVERLAP, MASK, colour).any(-1)[0].tolist()
    return result


def stay(proposals: Objects, colour: float | None = None) -> list[bool]:
    covers = explained(proposals, proposals, OVERLAP, MASK, colour)
    present = torch.ones_like(proposals.presence, dtype=torch.bool)
    result: list[bool] = strongest_first(covers, proposals.presence, present)[0].tolist()
    return result


def greedy(covers: Tensor, presence: Tensor, present: Tensor) -> list[bool]:
    """The strongest first, each kept unless one that is kept already covers it."""
    kept: list[int] = []
    for i in sorted(range(len(presence)), key=lambda i: (-float(presence[i]), i)):
        if present[i] and not any(covers[i, j] for j in kept):
            kept.append(i)
    return [i in kept for i in range(len(presence))]


def test_same_place_is_rejected_and_another_place_stays() -> None:
    others = make([(0.1, -0.2), (0.8, 0.8)])
    assert rejected(make([(0.1, -0.2), (-0.8, -0.7), (0.8, 0.8)]), others) == [True, False, True]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("shift", "share"), [(0.0, 1.0), (0.2, 0.75), (0.4, 0.5), (0.6, 0.25), (0.9, 0.0)])
def test_overlap_is_the_share_of_the_own_mask(axis: int, shift: float, share: float) -> None:
    mine, other = make([(0.0, 0.0)]), make([(shift, 0.0) if axis == 0 else (0.0, shift)])
    row = 0.13  # of the points at which overlap is measured

    def covered(overlap: float) -> bool:
        return bool(explained(mine, other, overlap, MASK, None).item())

    assert covered(share - row) and not covered(share + row)


def test_covering_is_not_symmetric() -> None:
    small, large = make([(0.0, 0.0)], sides=[0.2]), make([(0.0, 0.0)], sides=[0.6])
    assert rejected(small, large) == [True]
    assert rejected(large, small) == [False]


def test_within_is_the_box_made_larger() -> None:
    boxes = make([(0.0, 0.0)], sides=[0.4])
    proposals = make([(0.39, 0.0), (0.41, 0.0), (0.0, -0.41), (0.6, 0.6), (0.6, 0.61)])
    for reach, inside in ((1.0, [True, False, False, False, False]), (1.5, [True, True, True, True, False])):
        assert within(proposals, boxes, reach)[0, :, 0].tolist() == inside


def test_an_absent_object_explains_nothing_and_an_absent_proposal_is_not_explained() -> None:
    here, gone = make([(0.0, 0.0)]), make([(0.0, 0.0)], presence=[0.0])
    assert rejected(here, gone) == [False]
    assert rejected(gone, here) == [False]


def test_only_alike_colours_explain_each_other_if_asked() -> None:
    red, blue = make([(0.0, 0.0)], colours=[RED]), make([(0.0, 0.0)], colours=[BLUE])
    assert rejected(red, blue, COLOUR) == [False]
    assert rejected(red, red, COLOUR) == [True]
    assert rejected(red, blue) == [True]


def test_colour_is_that_of_the_opaque_part() -> None:
    solid, half = make([(0.0, 0.0)]), make([(0.0, 0.0)])
    glimpse = half.glimpse.clone()
    glimpse[..., 4:] = 0
    assert rejected(half._replace(glimpse=glimpse), solid, COLOUR) == [True]


def test_in_a_crowd_each_pair_is_judged_alone() -> None:
    # Neighbours cover 0.6 of each other, the rest less than half.
    step = 0.8 * SIDE  # SIDE is half a side in image coordinates, [-1, 1]
    crowd = make([(step * i, step * j) for i in range(-3, 4) for j in range(-2, 3)])
    proposals = make([(0.0, 0.0), (step / 3, step / 4), (1.4 * step, -0.5 * step), (2.0, 2.0)])
    together = explained(proposals, crowd, OVERLAP, MASK, None)[0]
    n = crowd.presence.shape[1]
    alone = [explained(proposals, crowd.take(torch.tensor([[i]])), OVERLAP, MASK, None)[0, :, 0] for i in range(n)]
    assert torch.equal(together, torch.stack(alone, 1))
    assert together.any(1).tolist() == [True, True, True, False]


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=18, max_size=18),
    st.lists(st.sampled_from([RED, BLUE]), min_size=9, max_size=9),
    st.sampled_from([None, COLOUR]),
)
def test_pairs_that_touch_are_all_that_counts(
    places: list[tuple[float, float]], colours: list[tuple[float, float, float]], colour: float | None
) -> None:
    frames = [make(centres, colours=colours) for centres in (places[:9], places[9:])]
    covers = [explained(each, each, OVERLAP, MASK, colour) for each in frames]
    near = touching(frames[1])
    found = explained_in(frames, near.nonzero(), OVERLAP, MASK, colour)
    assert torch.equal(found, covers[0] & covers[1])
    assert not (covers[1] & ~near).any()
    assert not explained_in(frames, near.nonzero()[:0], OVERLAP, MASK, colour).any()


@given(st.permutations(range(12)), st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=15, max_size=15))
def test_order_of_the_others_does_not_matter(order: list[int], places: list[tuple[float, float]]) -> None:
    proposals, others = make(places[:3]), make(places[3:])
    shuffled = others.take(torch.tensor([order]))
    assert rejected(proposals, others) == rejected(proposals, shuffled)


@given(st.lists(st.sampled_from((0.6, 0.7, 0.8, 0.9)), min_size=1, max_size=6))
def test_of_identical_proposals_the_strongest_stays(presence: list[float]) -> None:
    proposals = make([(0.2, 0.1)] * len(presence), presence)
    first_of_the_strongest = presence.index(max(presence))
    assert stay(proposals) == [i == first_of_the_strongest for i in range(len(presence))]


def test_a_proposal_that_was_rejected_rejects_nobody() -> None:
    # Each covers the next by 5/8, and does not touch the one after that.
    chain = make([(0.0, 0.0), (0.3, 0.0), (0.6, 0.0)], [0.9, 0.8, 0.7])
    assert stay(chain) == [True, False, True]
    assert stay(chain._replace(presence=torch.tensor([[0.7, 0.9, 0.8]]))) == [False, True, False]
    assert stay(make([(0.0, 0.0)] * 2, [0.9, 0.8], [RED, BLUE]), COLOUR) == [True, True]


def test_one_that_takes_no_part_neither_stays_nor_rejects() -> None:
    covers = torch.ones(1, 3, 3, dtype=torch.bool)
    presence = torch.tensor([[0.9, 0.8, 0.7]])
    assert strongest_first(covers, presence, torch.tensor([[False, True, True]])).tolist() == [[False, True, False]]


matrices = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n),
        st.lists(st.sampled_from((0.2, 0.4, 0.6, 0.8)), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
    )
)


@given(matrices)
def test_rejection_among_proposals_is_greedy(drawn: tuple[list[list[bool]], list[float], list[bool]]) -> None:
    covers, presence, present = (torch.tensor(part) for part in drawn)
    kept: list[bool] = strongest_first(covers[None], presence[None], present[None])[0].tolist()
    expected = greedy(covers, presence, present)
    if len(presence) <= 4:
        assert kept == expected
    # Longer chains may be cut short, but never keep two of which the stronger covers the weaker.
    assert all(e for k, e in zip(kept, expected, strict=True) if k)
    assert any(kept) == any(expected)
