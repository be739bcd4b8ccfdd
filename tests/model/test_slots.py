"""The laws of slots: an object keeps its slot and identity, and no identity is given twice."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.model.rejection import fill_slots

K, M, THRESHOLD = 5, 4, 0.5
# Apart from each other, so that presences can be told from each other; some equal, some at the threshold.
presences = st.sampled_from((0.0, 0.2, 0.5, 0.55, 0.6, 0.7, 0.7, 0.8, 0.9, 1.0))
frames_of = st.lists(
    st.tuples(st.lists(presences, min_size=2 * K, max_size=2 * K), st.lists(presences, min_size=2 * M, max_size=2 * M)),
    min_size=1,
    max_size=5,
)


def make(presence: list[float], first_mark: float) -> Objects:
    """Objects of two videos; each has a number of its own in z_what and in the glimpse, so that it can be followed."""
    values = torch.tensor(presence).view(2, -1)
    n = values.shape[1]
    mark = first_mark + torch.arange(2.0 * n).view(2, n)
    return Objects(
        presence=values,
        where=mark[..., None].expand(2, n, 4),
        shape=torch.zeros(2, n, 2),
        velocity=torch.zeros(2, n, 2),
        depth=mark[..., None],
        what=mark[..., None].expand(2, n, 3),
        glimpse=mark[..., None, None, None].expand(2, n, 4, 8, 8),
    )


def all_slots(
    frames: list[tuple[list[float], list[float]]],
) -> list[tuple[Slots | None, Objects | None, Objects, Slots]]:
    """For each frame: the scene before, the propagated objects, the proposals, the scene after."""
    history: list[tuple[Slots | None, Objects | None, Objects, Slots]] = []
    previous: Slots | None = None
    for t, (going_on, proposed) in enumerate(frames):
        proposals = make(proposed, 100.0 * t + 1000)
        propagated = None
        if previous is not None:
            propagated = make(going_on, 100.0 * t)
            propagated = propagated._replace(presence=propagated.presence * previous.alive)
        after = fill_slots(previous, propagated, proposals, K, THRESHOLD)
        history.append((previous, propagated, proposals, after))
        previous = after
    return history


@given(frames_of)
def test_survivors_keep_slot_identity_and_latents(frames: list[tuple[list[float], list[float]]]) -> None:
    for before, propagated, _, after in all_slots(frames):
        if before is None or propagated is None:
            assert torch.equal(after.new, after.alive)
            continue
        survivors = propagated.presence > THRESHOLD
        assert torch.equal(after.alive & ~after.new, survivors)
        assert torch.equal(after.identity[survivors], before.identity[survivors])
        for mine, theirs in zip(after.objects, propagated, strict=True):
            assert torch.equal(mine[survivors], theirs[survivors])


@given(frames_of)
def test_free_slots_are_filled_by_presence(frames: list[tuple[list[float], list[float]]]) -> None:
    for _, propagated, proposals, after in all_slots(frames):
        for b in range(2):
            taken = 0 if propagated is None else int((propagated.presence[b] > THRESHOLD).sum())
            present = [i for i in range(M) if proposals.presence[b, i] > THRESHOLD]
            by_presence = sorted(present, key=lambda i: (-float(proposals.presence[b, i]), i))
            expected = proposals.what[b, by_presence[: K - taken], 0].tolist()
            slots = after.new[b].nonzero()[:, 0]
            assert after.objects.what[b, slots, 0].tolist() == expected
            assert after.objects.presence[b, slots].tolist() == [
                float(proposals.presence[b, i]) for i in by_presence[: K - taken]
            ]
            assert int(after.alive[b].sum()) == min(K, taken + len(present))


@given(frames_of)
def test_identities_are_unique_and_never_given_twice(frames: list[tuple[list[float], list[float]]]) -> None:
    given_so_far: list[set[int]] = [set(), set()]
    for *_, after in all_slots(frames):
        for b in range(2):
            alive = after.identity[b, after.alive[b]].tolist()
            fresh = set(after.identity[b, after.new[b]].tolist())
            assert len(set(alive)) == len(alive)
            assert not fresh & given_so_far[b]
            given_so_far[b] |= fresh
            assert given_so_far[b] == set(range(int(after.next_identity[b])))
        assert torch.equal(after.identity >= 0, after.alive)


@given(frames_of)
def test_an_empty_slot_has_no_presence(frames: list[tuple[list[float], list[float]]]) -> None:
    for *_, after in all_slots(frames):
        assert torch.equal(after.objects.presence > THRESHOLD, after.alive)
        assert (after.objects.presence[~after.alive] == 0).all()
        assert after.objects.what.shape == (2, K, 3)
