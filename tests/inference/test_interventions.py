"""Interventions: what they change, and that they change nothing else."""

from collections.abc import Callable
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

from scalor_pyro.inference.interventions import (
    ABSENT,
    FAINT,
    Track,
    Values,
    hold_velocity,
    move,
    remove,
    swap_appearance,
    track,
)
from scalor_pyro.inference.latents import frames_of
from scalor_pyro.model import sites
from scalor_pyro.model.frame import FrameLatents
from scalor_pyro.model.scalor import Scalor

Make = Callable[..., Scalor]
H, W, K = 32, 48, 5


def make_busy(scalor: Scalor, discover: float = -0.5, keep: float = -1.0) -> Scalor:
    """With many opaque objects, which explain each other, and some of which end; biases of presence logits."""
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(discover)
        scalor.propagation_posterior.head[-1].bias[0] = keep
        scalor.decoder.bias[-1] = 2.0
    scalor.schedule({"reject_proposals": 0.2, "reject_propagated": 0.2})
    return scalor


@pytest.fixture
def busy(make_scalor: Make) -> Scalor:
    return make_busy(make_scalor())


@pytest.fixture
def x(videos: Tensor) -> Tensor:
    """(2, 5, 3, 32, 48)"""
    return torch.cat((videos, videos.flip(1)[:, 1:]), 1)


def traced(scalor: Scalor, x: Tensor, seed: int = 0) -> poutine.Trace:
    """Of the guide, drawn rather than its mode: more happens."""
    pyro.set_rng_seed(seed)
    with torch.no_grad():
        return poutine.trace(scalor.guide).get_trace(x)


def rendered(scalor: Scalor, trace: poutine.Trace, x: Tensor, edits: Values | None = None) -> list[FrameLatents]:
    with torch.no_grad():
        return poutine.replay(poutine.do(scalor.model, data=edits or {}), trace=trace)(x)


def image(frame: FrameLatents) -> Tensor:
    assert frame.background is not None
    return frame.canvas.over(frame.background)


def visible(frame: FrameLatents, video: int, but: int = -1) -> Tensor:
    """What is drawn in a frame, a sorted row for each object: z_where, depth, z_what, presence."""
    objects = frame.drawn
    rows = torch.cat((objects.where, objects.depth, objects.what, objects.presence[..., None]), -1)[video]
    seen = objects.presence[video] > FAINT
    if but >= 0:
        seen[but] = False
    rows = rows[seen]
    return rows[rows[:, 2].argsort()]


def row_drawn(subject: Track, t: int) -> int:
    """Which of the objects drawn in a frame it is; -1 where it is not."""
    if not subject.first <= t <= subject.last:
        return -1
    part, row = subject.row(t)
    return row + K if part == "disc" and t > 0 else row


def everyone(trace: poutine.Trace) -> list[Track]:
    """Every object of both videos."""
    found = []
    for video in (0, 1):
        identities = torch.stack([frame.slots.identity[video] for frame in frames_of(trace)]).unique().tolist()
        found += [track(trace, identity, video) for identity in identities if identity >= 0]
    return found


def at(frame: FrameLatents, subject: Track) -> Any:
    """z_where (4,) of an object in a frame, by its identity."""
    (slot,) = (frame.slots.identity[subject.video] == subject.identity).nonzero()[:, 0].tolist()
    return frame.slots.objects.where[subject.video, slot]


def in_pixels(where: Tensor) -> Tensor:
    return (where[..., 2:] + 1) / 2 * torch.tensor([W, H])


# ---------------------------------------------------------------------- remove


def test_the_others_stay_as_they_are_when_one_is_removed(busy: Scalor, x: Tensor) -> None:
    trace = traced(busy, x)
    before, again, taken = rendered(busy, trace, x), 0, 0
    subjects = everyone(trace)
    for index, subject in enumerate(subjects[::2]):
        start = subject.first + index % (subject.last - subject.first + 1)
        edits = remove(busy, trace, subject.identity, frame=start, video=subject.video)
        assert all(sites.parse(name).t >= start for name in edits)  # type: ignore[union-attr]
        for t, (old, new) in enumerate(zip(before, rendered(busy, trace, x, edits), strict=True)):
            row = row_drawn(subject, t) if t >= start else -1
            torch.testing.assert_close(visible(new, subject.video), visible(old, subject.video, row))
            other = 1 - subject.video
            assert torch.equal(image(old)[other], image(new)[other])
            taken += start <= t < subject.last and bool(new.slots.alive[subject.video, subject.slot])
        again += comes_back(busy, trace, x, subject, start)
    assert taken > 3, "free slots were taken by others"
    assert again > 3, "had nothing been done against it"


def comes_back(scalor: Scalor, trace: poutine.Trace, x: Tensor, subject: Track, start: int) -> bool:
    """Whether something is discovered that was not, when the presence of an object is all that is changed."""
    part, row = subject.row(start)
    name = sites.z_pres(part, start)
    value = trace.nodes[name]["value"].clone()
    value[subject.video, subject.cell if part == "disc" else row] = ABSENT
    new = rendered(scalor, trace, x, {name: value})[start]
    return len(visible(new, subject.video)) > len(visible(frames_of(trace)[start], subject.video)) - 1


def test_a_track_that_it_had_ended_does_not_go_on(make_scalor: Make, x: Tensor) -> None:
    wide = make_scalor(reject_among_proposals=False, propagated_overlap=0.1, object_size=30.0)
    scalor = make_busy(wide, discover=4.0, keep=8.0)
    trace = traced(scalor, x)
    before = rendered(scalor, trace, x)
    assert (before[0].slots.alive & ~before[1].slots.alive)[0].sum() > 1
    edits = remove(scalor, trace, 0, frame=1)
    frame = rendered(scalor, trace, x, edits)[1]
    torch.testing.assert_close(visible(frame, 0), visible(before[1], 0, but=0))
    naive = trace.nodes[sites.z_pres("prop", 1)]["value"].clone()
    naive[0, 0] = ABSENT
    frame = rendered(scalor, trace, x, {sites.z_pres("prop", 1): naive})[1]
    assert len(visible(frame, 0)) > len(visible(before[1], 0)) - 1, "had nothing been done against it"


def test_pixels_away_from_what_is_removed_do_not_change(busy: Scalor, x: Tensor) -> None:
    trace = traced(busy, x)
    before = rendered(busy, trace, x)
    columns, rows = torch.arange(W) + 0.5, torch.arange(H)[:, None] + 0.5
    changed = 0
    for subject in everyone(trace)[::3]:
        edits = remove(busy, trace, subject.identity, video=subject.video)
        for t, (old, new) in enumerate(zip(before, rendered(busy, trace, x, edits), strict=True)):
            difference = (image(old) - image(new))[subject.video].abs().amax(0)
            if (row := row_drawn(subject, t)) >= 0:
                where = old.drawn.where[subject.video, row]
                x_, y_ = in_pixels(where)
                half_x, half_y = where[:2] / 2 * torch.tensor([W, H]) * (1 + 1 / 8)  # it fades beyond its box
                away = ((columns - x_).abs() > half_x) | ((rows - y_).abs() > half_y)
                changed += int((difference > 0.1).sum())
                difference = difference * away
            assert difference.max() < 1 / 255 / 2
    assert changed > 100


def test_an_object_is_removed_from_a_frame_on(busy: Scalor, x: Tensor) -> None:
    trace = traced(busy, x)
    before = rendered(busy, trace, x)
    subject = next(each for each in everyone(trace) if each.last - each.first > 2)
    start = subject.first + 2
    new = rendered(busy, trace, x, remove(busy, trace, subject.identity, frame=start, video=subject.video))
    for t, frame in enumerate(new):
        assert (frame.slots.identity[subject.video] == subject.identity).any() == (subject.first <= t < start)
        if t < start:
            assert torch.equal(image(frame), image(before[t]))


def test_only_what_must_change_is_changed(make_scalor: Make, x: Tensor) -> None:
    scalor = make_busy(make_scalor(rejection=False), discover=8.0, keep=8.0)  # all slots are full in the first frame
    trace = traced(scalor, x)
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(-30.0)
    for t in range(1, 5):  # and nothing is discovered in any other
        quiet = traced(scalor, x).nodes[sites.z_pres("disc", t)]["value"]
        trace.nodes[sites.z_pres("disc", t)]["value"] = quiet
    with torch.no_grad():
        trace = poutine.trace(poutine.replay(scalor.guide, trace=trace)).get_trace(x)
    edits = remove(scalor, trace, 3, frame=2, video=1)
    expected = trace.nodes[sites.z_pres("prop", 2)]["value"].clone()
    expected[1, 3] = ABSENT
    assert list(edits) == [sites.z_pres("prop", 2)]
    assert torch.equal(edits[sites.z_pres("prop", 2)], expected)


def test_condition_renders_what_do_renders(busy: Scalor, x: Tensor) -> None:
    trace = traced(busy, x)
    edits = remove(busy, trace, 0)
    with torch.no_grad():
        conditioned = poutine.replay(poutine.condition(busy.model, data=edits), trace=trace)(x)
    for one, two in zip(rendered(busy, trace, x, edits), conditioned, strict=True):
        assert torch.equal(image(one), image(two))


def test_the_model_goes_on_from_edited_frames(busy: Scalor, x: Tensor) -> None:
    trace = traced(busy, x)
    edits = remove(busy, trace, 0)
    with torch.no_grad():
        frames = poutine.replay(poutine.do(busy.model, data=edits), trace=trace)(x, frames=7)
    assert len(frames) == 7
    for one, two in zip(rendered(busy, trace, x, edits), frames, strict=False):
        assert torch.equal(image(one), image(two))


def test_two_interventions_are_joined(busy: Scalor, x: Tensor) -> None:
    trace = traced(busy, x)
    first = remove(busy, trace, 0)
    with torch.no_grad():
        once = poutine.trace(poutine.replay(poutine.condition(busy.model, data=first), trace=trace)).get_trace(x)
    second = remove(busy, once, 0)  # the next one has become the first
    subjects = [each for each in everyone(trace) if each.video == 0 and each.identity in (0, 1)]
    assert [each.first for each in subjects] == [0, 0]
    new = rendered(busy, trace, x, {**first, **second})
    for t, (old, frame) in enumerate(zip(rendered(busy, trace, x), new, strict=True)):
        gone = sum(row_drawn(each, t) >= 0 and bool(old.drawn.presence[0, row_drawn(each, t)] > FAINT)
                   for each in subjects)  # fmt: skip
        assert len(visible(frame, 0)) == len(visible(old, 0)) - gone


def test_a_generated_video_is_edited_as_well(busy: Scalor) -> None:
    busy.schedule({"discovery_prior": 0.5})
    with torch.no_grad():
        trace = poutine.trace(busy.model).get_trace(None, frames=3, sequences=2)
        edits = remove(busy, trace, 0, video=1)
        new = poutine.replay(poutine.do(busy.model, data=edits), trace=trace)(None, frames=3, sequences=2)
    subject = track(trace, 0, 1)
    for t, (old, frame) in enumerate(zip(frames_of(trace), new, strict=True)):
        torch.testing.assert_close(visible(frame, 1), visible(old, 1, row_drawn(subject, t)))


# ---------------------------------------------------------------------- move, hold, swap

SETTINGS: list[dict[str, Any]] = [{}, {"constant_velocity": False}, {"inertia": False}]


@pytest.fixture
def make_free(make_scalor: Make) -> Make:
    """Objects do not end each other, so that a change of one is a change of one."""
    return lambda **changes: make_busy(make_scalor(rejection=False, **changes), discover=-1.0, keep=8.0)


@pytest.fixture
def free(make_free: Make) -> Scalor:
    return make_free()


def check_others(before: list[FrameLatents], after: list[FrameLatents], subjects: list[Track]) -> None:
    """All objects but some are where they were, and look as they did."""
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old.slots.identity, new.slots.identity)
        others = torch.ones_like(old.slots.alive)
        for subject in subjects:
            others[subject.video] &= old.slots.identity[subject.video] != subject.identity
        for mine, theirs in zip(old.slots.objects, new.slots.objects, strict=True):
            torch.testing.assert_close(mine[others], theirs[others])


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_the_rest_of_a_path_is_shifted(make_free: Make, x: Tensor, changes: dict[str, Any]) -> None:
    free = make_free(**changes)
    trace = traced(free, x)
    before = rendered(free, trace, x)
    shift = torch.tensor([1.5, -1.0])
    for subject in everyone(trace)[1::4]:
        for start in (subject.first, subject.first + 1):
            edits = move(free, trace, subject.identity, (1.5, -1.0), frame=start, video=subject.video)
            new = rendered(free, trace, x, edits)
            for t in range(subject.first, subject.last + 1):
                was, now = at(before[t], subject), at(new[t], subject)
                expected = in_pixels(was) + (shift if t >= start else 0)
                torch.testing.assert_close(in_pixels(now), expected, atol=1e-3, rtol=0)
                assert torch.equal(was[:2], now[:2])
            check_others(before, new, [subject])
            changed = [name for name in edits if name.startswith("z_where_prop")]
            assert len(changed) <= (2 if free.config.constant_velocity else 1)


def test_a_shift_of_nothing_changes_nothing(free: Scalor, x: Tensor) -> None:
    trace = traced(free, x)
    assert not any(name.startswith("z_where_prop") for name in move(free, trace, 0, (0.0, 0.0)))


@pytest.mark.parametrize(
    ("shift", "frame", "message"),
    [
        (
            (0.0, 9.0),
            2,
            r"in frame 2: expected less than 3\.2 px along y from its expected place \(move_range\)",
        ),
        (
            (-9.0, 0.0),
            2,
            r"in frame 2: expected less than 4\.8 px along x from its expected place \(move_range\)",
        ),
        (
            (20.0, 0.0),
            0,
            r"in frame 0: expected less than 12\.0 px along x from the centre of its cell \(cell_reach\), got .* px",
        ),
        ((900.0, 0.0), 0, r"in frame 0: expected x from -12 to 60 px, got 9\d\d\.\d px"),
        ((float("nan"), 0.0), 0, "in frame 0: .* px along x .*, got nan px"),
    ],
)
def test_a_shift_out_of_reach_is_refused(
    free: Scalor, x: Tensor, shift: tuple[float, float], frame: int, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^Object 0 {message}"):
        move(free, traced(free, x), 0, shift, frame=frame)


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_a_velocity_is_held(make_free: Make, x: Tensor, changes: dict[str, Any]) -> None:
    free = make_free(**changes)
    trace = traced(free, x)
    before = rendered(free, trace, x)
    subject = next(each for each in everyone(trace) if each.last - each.first == 4)
    edits = hold_velocity(free, trace, subject.identity, subject.first + 2, video=subject.video)
    new = rendered(free, trace, x, edits)
    path, old_path = (torch.stack([in_pixels(at(frame, subject)) for frame in frames]) for frames in (new, before))
    steps = path.diff(dim=0)
    assert torch.equal(path[:2], old_path[:2])
    torch.testing.assert_close(steps[1:], steps[:1].expand(3, 2), atol=1e-3, rtol=0)
    assert (old_path - path).abs().max() > 0.1
    check_others(before, new, [subject])


def test_two_objects_swap_their_looks(free: Scalor, x: Tensor) -> None:
    trace = traced(free, x)
    before = rendered(free, trace, x)
    in_video = [each for each in everyone(trace) if each.video == 1]
    one, two = in_video[0], max(in_video, key=lambda each: (each.first, each.last))
    assert two.first > one.first, "they are not seen in the same frames"
    edits = swap_appearance(free, trace, one.identity, two.identity, video=1)
    new = rendered(free, trace, x, edits)
    assert all("what" in name or "disc" in name for name in edits)
    for mine, theirs in ((one, two), (two, one)):
        for t in range(mine.first, mine.last + 1):
            near = min(max(t, theirs.first), theirs.last)
            expected = before[near].drawn.what[1, row_drawn(theirs, near)]
            (slot,) = (new[t].slots.identity[1] == mine.identity).nonzero()[:, 0].tolist()
            assert torch.equal(new[t].slots.objects.what[1, slot], expected)
            assert torch.equal(at(new[t], mine), at(before[t], mine))
    check_others(before, new, [one, two])
    later = swap_appearance(free, trace, one.identity, two.identity, frame=two.last, video=1)
    assert {sites.parse(name).t for name in later} == {two.last}  # type: ignore[union-attr]


# ---------------------------------------------------------------------- bad input


def test_refuses_objects_and_frames_that_are_not_there(free: Scalor, x: Tensor) -> None:
    trace = traced(free, x)
    late = max(everyone(trace), key=lambda each: each.first)
    known = r"expected one of 0, 1, .*4 in video 0"
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: remove(free, trace, 99), f"identity: {known}, got 99"),
        (lambda: remove(free, trace, -1), f"identity: {known}, got -1"),
        (lambda: remove(free, trace, 0, video=2), "video: expected a number from 0 to 1, got 2"),
        (lambda: remove(free, trace, 0, frame=5), "frame: expected 0 to 4, the frames of object 0, got 5"),
        (
            lambda: move(free, trace, late.identity, (0, 0), frame=0, video=late.video),
            f"frame: expected {late.first} to {late.last}, .* got 0",
        ),
        (
            lambda: hold_velocity(free, trace, 0, 1),
            "frame: expected at least 2, got 1; object 0 is discovered",
        ),
        (lambda: swap_appearance(free, trace, 1, 1), "identity and other: expected two objects, got 1 twice"),
        (
            lambda: swap_appearance(free, trace, 0, 1, frame=-1),
            "frame: expected 0 to 4, .* got -1",
        ),
        (lambda: swap_appearance(free, trace, 0, 77), f"identity: {known}, got 77"),
    ]
    for ask, message in cases:
        with pytest.raises(ValueError, match=message):
            ask()


def test_refuses_a_video_without_objects(scalor: Scalor, x: Tensor) -> None:
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(-30.0)
    with pytest.raises(ValueError, match="identity: expected an object in video 0, which has none, got 0"):
        remove(scalor, traced(scalor, x), 0)
