"""Linking: one identity for the tracks of one object, whatever they are called and in whatever order they come."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import multivariate_normal

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.linking import appearance as of_appearance
from scalor_pyro.tracks.linking.appearance import Pool, log_ratio
from scalor_pyro.tracks.linking.offline import Linked, LinkOptions, assigned, link
from scalor_pyro.tracks.table import Tracks, concatenate, to_dataframe
from tests.fakes import make_tracks

SIZE = (100, 100)
seeds = st.integers(0, 10_000)


def piece(identity: int, frames: range, start: tuple[float, float], velocity: tuple[float, float]) -> Tracks:
    """An object that goes straight on from where it is in frame 0."""
    (x, y), (u, v) = start, velocity
    return make_tracks([(t, identity, x + u * t, y + v * t) for t in frames])


def of_identity(tracks: Tracks, looks: dict[int, NDArray[np.float64]], seed: int = 0) -> NDArray[np.float64]:
    """An appearance for each row: that of its identity, and a little noise."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (len(tracks), len(next(iter(looks.values())))))
    return np.array([looks[int(identity)] for identity in tracks.identity]) + noise


def crowd(seed: int, objects: int = 8, frames: int = 80) -> tuple[Tracks, NDArray[np.float64], NDArray[np.int64]]:
    """Objects that wander about and are lost now and then: tracks, appearances, and the true object of each row."""
    random = np.random.default_rng(seed)
    looks = random.normal(0, 3, (objects, 5))
    rows, true, identity = [], [], 0
    for index in range(objects):
        place, velocity = random.uniform(10, 90, 2), random.normal(0, 1.5, 2)
        lost = 0
        for t in range(frames):
            velocity = np.where((place < 5) | (place > 95), np.sign(50 - place) * abs(velocity), velocity)
            place = place + velocity + random.normal(0, 0.2, 2)
            if lost:
                lost -= 1
                identity += lost == 0
            elif random.random() < 0.04:
                lost = int(random.integers(2, 9))
            else:
                rows.append((t, identity, *place))
                true.append(index)
        identity += 1
    tracks, of = make_tracks(rows), np.array(true)
    return tracks, looks[of] + random.normal(0, 0.2, (len(of), 5)), of


def groups(linked: Linked) -> set[frozenset[int]]:
    """Which rows have one identity."""
    return {frozenset(np.nonzero(linked.identity == identity)[0].tolist()) for identity in np.unique(linked.identity)}


def agreement(identity: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Share of rows whose identity is the most frequent one of their object."""
    return sum(np.bincount(identity[true == each]).max() for each in np.unique(true)) / len(true)


def test_an_object_that_was_lost_goes_on_and_two_that_look_different_are_not_mixed_up() -> None:
    # They cross while nobody sees them: place says one thing, appearance the other.
    tracks = concatenate(
        [
            piece(0, range(0, 20), (10, 50), (1, 0)),
            piece(1, range(0, 20), (70, 50), (-1, 0)),
            piece(2, range(30, 50), (10, 50), (1, 0)),
            piece(3, range(30, 50), (70, 50), (-1, 0)),
            piece(4, range(0, 50), (20, 90), (0.5, 0)),
        ]
    )
    first, second, third = np.array([3.0, 0, 1]), np.array([-3.0, 2, 1]), np.array([0.0, -4, -1])
    going_on = link(tracks, of_identity(tracks, {0: first, 1: second, 2: first, 3: second, 4: third}), SIZE)
    assert np.unique(going_on.identity[tracks.identity == 2]).tolist() == [0]
    assert np.unique(going_on.identity[tracks.identity == 3]).tolist() == [1]
    turned = link(tracks, of_identity(tracks, {0: first, 1: second, 2: second, 3: first, 4: third}), SIZE)
    assert np.unique(turned.identity[tracks.identity == 2]).tolist() == [1]
    assert np.unique(turned.identity[tracks.identity == 3]).tolist() == [0]
    assert set(np.unique(going_on.identity)) == {0, 1, 4}


def test_place_alone_links_what_goes_on_and_nothing_else() -> None:
    tracks = concatenate(
        [
            piece(0, range(0, 20), (10, 20), (2, 0)),
            piece(1, range(24, 40), (10, 20), (2, 0)),  # goes on
            piece(2, range(24, 40), (20, 90), (0, 0)),  # far away
        ]
    )
    linked = link(tracks, image_size=SIZE)
    assert [np.unique(linked.identity[tracks.identity == each]).tolist() for each in range(3)] == [[0], [0], [2]]
    (event,) = linked.events.to_dict("records")
    assert (event["event"], event["frame"], event["particle"], event["other"], event["gap"]) == ("link", 24, 0, 1, 4)
    assert event["log_ratio"] > 0


def test_a_crowd_gets_its_identities_back() -> None:
    for seed in range(3):
        tracks, appearance, true = crowd(seed)
        assert agreement(tracks.identity, true) < 0.75
        assert agreement(link(tracks, appearance, SIZE).identity, true) > 0.95
        assert agreement(link(tracks, None, SIZE).identity, true) > 0.8


def absent(tracks: Tracks, appearance: NDArray[np.float64], true: NDArray[np.int64], frames: int) -> tuple:
    """The same, where each object in turn is away for some frames, longer than any gap."""
    here = np.ones(len(tracks), np.bool_)
    for each in np.unique(true):
        start = 200 + 150 * int(each)
        here &= ~((true == each) & (tracks.frame >= start) & (tracks.frame < start + frames))
    return tracks.rows(here), appearance[here], true[here]


def test_an_object_is_known_again_after_any_time_if_looks_stay() -> None:
    for seed in range(2):
        tracks, appearance, true = absent(*crowd(seed, frames=2000), frames=120)
        linked = link(tracks, appearance, SIZE, LinkOptions(gap=60))
        assert agreement(linked.identity, true) > 0.95
        assert not len(linked.events.query("event == 'link' and log_ratio < 0"))
        assert linked.events.query("event == 'link'").gap.max() >= 120
        # Looks that all have in common tell nothing of who is who, and nobody comes back from so far.
        alike = np.random.default_rng(seed).normal(0, 0.2, appearance.shape)
        assert link(tracks, alike, SIZE, LinkOptions(gap=60)).events.query("event == 'link'").gap.max() <= 60


def test_objects_whose_appearance_drifts_over_thousands_of_frames_keep_their_identities() -> None:
    """What was seen of them long ago would speak for another one by now."""
    for seed in range(2):
        tracks, appearance, true = crowd(seed, frames=2000)
        drift = np.random.default_rng(seed).normal(0, 0.1, (8, 2000, 5)).cumsum(axis=1)
        assert agreement(link(tracks, appearance + drift[true, tracks.frame], SIZE).identity, true) > 0.95


@given(seeds)
def test_order_and_names_do_not_matter(seed: int) -> None:
    tracks, appearance, _ = crowd(seed, objects=5, frames=50)
    random = np.random.default_rng(seed)
    expected = groups(link(tracks, appearance, SIZE))
    names = random.permutation(tracks.identity.max() + 1)
    assert groups(link(replace(tracks, identity=names[tracks.identity]), appearance, SIZE)) == expected
    order = random.permutation(len(tracks))
    mixed = link(tracks.rows(order), appearance[order], SIZE)
    assert {frozenset(order[list(group)].tolist()) for group in groups(mixed)} == expected


@given(seeds, st.booleans())
def test_rows_stay_as_they_are_and_an_object_is_once_in_a_frame(seed: int, with_appearance: bool) -> None:
    tracks, appearance, _ = crowd(seed, objects=5, frames=50)
    linked = link(tracks, appearance if with_appearance else None, SIZE)
    assert len(np.unique(linked.identity)) <= len(np.unique(tracks.identity))
    np.testing.assert_array_equal(linked.tracks.box, tracks.box[linked.kept])  # Tracks itself refuses two in a frame
    np.testing.assert_array_equal(linked.tracks.identity, linked.identity[linked.kept])


@given(seeds, st.floats(-100, 100))
def test_only_differences_of_appearance_matter(seed: int, shift: float) -> None:
    tracks, appearance, _ = crowd(seed, objects=4, frames=40)
    assert groups(link(tracks, appearance + shift, SIZE)) == groups(link(tracks, appearance, SIZE))


def test_a_gap_of_0_links_nothing_and_a_longer_gap_reaches_further() -> None:
    tracks = concatenate([piece(0, range(0, 10), (10, 50), (1, 0)), piece(1, range(20, 30), (10, 50), (1, 0))])
    for gap, identities in ((0, 2), (9, 2), (10, 1)):
        linked = link(tracks, None, SIZE, LinkOptions(gap=gap))
        assert len(np.unique(linked.identity)) == identities
    untouched = link(tracks, None, SIZE, LinkOptions(gap=0))
    np.testing.assert_array_equal(untouched.tracks.identity, tracks.identity)
    assert untouched.kept.all()
    assert not len(untouched.events)


def test_frames_may_be_tracked_in_strides() -> None:
    tracks = concatenate([piece(0, range(0, 40), (10, 50), (1, 0)), piece(1, range(50, 80), (10, 50), (1, 0))])
    linked = link(replace(tracks, frame=5 * tracks.frame), None, SIZE, LinkOptions(gap=60))
    assert len(np.unique(linked.identity)) == 1
    assert linked.events["gap"].tolist() == [50]
    assert linked.events["frame"].tolist() == [250]


def test_of_two_tracks_of_one_object_one_is_left() -> None:
    old, new = piece(0, range(0, 20), (10, 50), (1, 0)), piece(1, range(15, 40), (10.5, 50), (1, 0))
    tracks = concatenate([replace(old, presence=0.6 * old.presence), new])
    linked = link(tracks, None, SIZE)
    assert linked.identity.tolist() == [0] * 45
    assert sorted(linked.tracks.frame) == list(range(40))
    assert tracks.identity[linked.kept].tolist() == [0] * 15 + [1] * 25  # the one with the larger presence
    assert linked.events.query("event == 'overlap'")[["frame", "gap"]].values.tolist() == [[15, -5]]


def meeting() -> tuple[Tracks, NDArray[np.int64]]:
    """Two objects meet in frame 20, and each track goes on with the other's object; six more objects, and the truth."""
    tracks = concatenate(
        [
            piece(0, range(0, 20), (20, 50), (1, 0)),
            piece(0, range(20, 40), (60, 50), (-1, 0)),
            piece(1, range(0, 20), (60, 52), (-1, 0)),
            piece(1, range(20, 40), (20, 52), (1, 0)),
            *(piece(each, range(0, 40), (20, 10 * each), (0.5, 0)) for each in range(2, 9) if each != 5),
        ]
    )
    return tracks, np.concatenate([np.repeat([0, 1, 1, 0], 20), np.repeat([2, 3, 4, 6, 7, 8], 40)])


def test_a_track_that_goes_over_to_another_object_is_cut() -> None:
    tracks, true = meeting()
    looks = np.random.default_rng(0).normal(0, 3, (9, 4))
    appearance = looks[true] + np.random.default_rng(1).normal(0, 0.1, (len(true), 4))
    linked = link(tracks, appearance, SIZE)
    assert agreement(linked.identity, true) == 1
    assert len(np.unique(linked.identity)) == 8
    assert linked.events.query("event == 'cut'")["frame"].tolist() == [20, 20]
    assert agreement(link(tracks, appearance, SIZE, LinkOptions(cut=False)).identity, true) < 1


def test_where_objects_meet_looks_that_say_little_are_enough_for_a_cut() -> None:
    tracks, true = meeting()
    agreed = []
    for seed in range(12):
        looks = np.random.default_rng(seed).normal(0, 3, (9, 4))
        appearance = looks[true] + np.random.default_rng(100 + seed).normal(0, 2, (len(true), 4))
        agreed.append(agreement(link(tracks, appearance, SIZE).identity, true))
    assert np.mean(agreed) > 0.98


def test_a_track_that_ends_in_anothers_box_merges_and_one_that_begins_there_splits() -> None:
    tracks = concatenate(
        [
            piece(0, range(0, 60), (10, 50), (1, 0)),
            piece(1, range(0, 20), (46, 50), (-1, 0)),  # at 27, in the box of 0 at 29
            piece(2, range(40, 60), (90, 50), (-1, 0)),  # at 50, as 0
        ]
    )
    events = link(tracks, None, SIZE, LinkOptions(gap=5)).events
    assert events.query("event == 'merge'")[["frame", "particle", "other"]].values.tolist() == [[19, 1, 0]]
    assert events.query("event == 'split'")[["frame", "particle", "other"]].values.tolist() == [[40, 2, 0]]


def test_tables_are_linked_like_tracks() -> None:
    tracks, appearance, _ = crowd(0, objects=3, frames=40)
    assert groups(link(to_dataframe(tracks), appearance, SIZE)) == groups(link(tracks, appearance, SIZE))
    empty = concatenate([])
    assert len(link(empty).tracks) == 0


@pytest.mark.parametrize(
    ("appearance", "message"),
    [
        (np.zeros(10), r"appearance: expected shape \(10, D\)"),
        (np.zeros((9, 2)), r"appearance: expected shape \(10, D\), .*got \(9, 2\)"),
        (np.full((10, 2), np.nan), "appearance: expected finite numbers, got nan"),
    ],
)
def test_appearances_that_do_not_fit_are_refused(appearance: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        link(piece(0, range(10), (0, 0), (1, 1)), appearance, SIZE)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="gap: expected 0 or more frames, got -1"):
        LinkOptions(gap=-1)
    for returns in (0, 1, float("nan")):
        with pytest.raises(ConfigError, match="returns: expected a number between 0 and 1, got"):
            LinkOptions(returns=returns)
    with pytest.raises(ConfigError, match="image_size: expected a height and a width above 0 px"):
        link(piece(0, range(3), (0, 0), (1, 1)), None, (0, 10))
    for within in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="within: expected a variance above 0, got"):
            link(piece(0, range(3), (0, 0), (1, 1)), np.ones((3, 2)), SIZE, within=within)


def test_looks_that_are_known_to_change_say_less() -> None:
    """Two objects that are lost as they meet: by place they go straight on, by their looks they turn round."""
    tracks = concatenate(
        [
            piece(0, range(0, 20), (10, 50), (1, 0)),
            piece(1, range(0, 20), (70, 50), (-1, 0)),
            piece(2, range(30, 50), (10, 50), (1, 0)),
            piece(3, range(30, 50), (70, 50), (-1, 0)),
            piece(4, range(0, 50), (20, 90), (0.5, 0)),
        ]
    )
    one, other, third = np.zeros(4), np.full(4, 0.5), np.array([0.5, -0.5, 0.5, -0.5])
    turned = of_identity(tracks, {0: one, 1: other, 2: other, 3: one, 4: third})
    begins = [0, 20, 40, 60]
    assert link(tracks, turned, SIZE, within=0.005).identity[begins].tolist() == [0, 1, 1, 0]
    assert link(tracks, turned, SIZE, within=5.0).identity[begins].tolist() == [0, 1, 0, 1]


@given(seed=seeds, scale=st.floats(0.01, 100))
@settings(max_examples=10)
def test_units_of_appearances_do_not_matter(seed: int, scale: float) -> None:
    tracks, appearance, _ = crowd(seed, objects=5, frames=50)
    expected = groups(link(tracks, appearance, SIZE, within=0.04))
    assert groups(link(tracks, scale * appearance, SIZE, within=0.04 * scale**2)) == expected


def test_strangers_stay_strangers() -> None:
    """Objects that cross the view once, one after the other."""
    random = np.random.default_rng(0)
    rows, seen = [], []
    for each in range(40):
        start, y, speed, look = int(random.integers(0, 280)), *random.uniform(2, 98, 2), random.normal(0, 3, 16)
        for t in range(int(100 / (1 + speed / 50))):
            rows.append((start + t, each, (1 + speed / 50) * t, y))
            seen.append(look + random.normal(0, 0.2, 16))
    tracks, appearance = make_tracks(rows), np.array(seen)
    assert len(np.unique(link(tracks, appearance, SIZE).identity)) >= 36
    assert len(np.unique(link(tracks, appearance, SIZE, LinkOptions(returns=0.05)).identity)) == 40


def street(seed: int) -> tuple[Tracks, NDArray[np.float64], NDArray[np.int64]]:
    """Strangers who cross the view once, lost now and then, whose appearance drifts: tracks, appearances, objects."""
    random = np.random.default_rng(seed)
    rows, seen, true, identity = [], [], [], 0
    for each in range(24):
        start, x, y, speed = int(random.integers(0, 200)), 0.0, random.uniform(10, 90), random.uniform(0.8, 1.6)
        look, lost = random.normal(0, 3, 6), 0
        for t in range(start, start + int(100 / speed)):
            x, look = x + speed, look + random.normal(0, 0.25, 6)
            identity += lost == 1
            lost = lost - 1 if lost else int(random.integers(2, 9)) * (random.random() < 0.02)
            if not lost:
                rows.append((t, identity, x, y + random.normal(0, 0.2)))
                seen.append(look + random.normal(0, 0.2, 6))
                true.append(each)
        identity += 1
    return make_tracks(rows), np.array(seen), np.array(true)


def test_strangers_whose_appearance_drifts_are_followed_and_stay_apart() -> None:
    for seed in range(3):
        tracks, appearance, true = street(seed)
        found = {with_it: link(tracks, seen, SIZE) for with_it, seen in ((True, appearance), (False, None))}
        for linked in found.values():
            assert all(len(np.unique(true[list(group)])) == 1 for group in groups(linked))
            assert agreement(linked.identity, true) > 0.97 > agreement(tracks.identity, true)
        # Never much worse than by place alone.
        assert agreement(found[True].identity, true) > agreement(found[False].identity, true) - 0.02


def test_a_track_whose_appearance_drifts_is_not_cut() -> None:
    for seed in range(3):
        tracks, appearance, _ = street(seed)
        assert not len(link(tracks, appearance, SIZE).events.query("event == 'cut'"))


def test_constant_appearances_say_nothing() -> None:
    tracks, _, _ = crowd(0, objects=3, frames=40)
    assert len(link(tracks, np.ones((len(tracks), 3)), SIZE).tracks) == len(tracks)


@given(seeds)
def test_the_log_ratio_is_that_of_normal_distributions(seed: int) -> None:
    """Against the joint density of all pieces, with covariances written out."""
    random = np.random.default_rng(seed)
    between = random.uniform(0.5, 20)
    variances = [random.uniform(0.5, 5, count) for count in random.integers(1, 4, 2)]
    seen = [random.normal(0, 3, len(each)) for each in variances]

    def log_density(values: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
        covariance = np.diag(variance) + between
        return float(multivariate_normal.logpdf(values, np.zeros(len(values)), covariance))

    one, other = (
        Pool((1 / v).sum().reshape(1, 1), (m / v).sum().reshape(1, 1)) for m, v in zip(seen, variances, strict=True)
    )
    expected = (
        log_density(np.concatenate(seen), np.concatenate(variances))
        - log_density(seen[0], variances[0])
        - log_density(seen[1], variances[1])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_appearance, "MOST", np.inf)
        found = log_ratio(one, other, np.array([between]), factors=((1.0, 1.0),))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(seeds)
def test_the_assignment_is_the_best_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 8))
    ratio = random.normal(0, 2, (count, count))
    listed = np.argwhere(random.random((count, count)) < 0.6)
    found = assigned(listed[:, 0], listed[:, 1], ratio[tuple(listed.T)], count)
    gain = np.zeros((count, count))
    gain[tuple(listed.T)] = ratio[tuple(listed.T)].clip(0)
    best = gain[linear_sum_assignment(gain, maximize=True)].sum()
    np.testing.assert_allclose(sum(found.ratio.values()), best)
    assert len(set(found.after.values())) == len(found.after)
