"""What the trained guide says of videos."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
import torch
from pyro import poutine
from torch import Tensor

from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.metrics import Evaluation
from scalor_pyro.inference.latents import frames_of
from scalor_pyro.inference.masks import BACKGROUND
from scalor_pyro.inference.posterior import Inference, collect, follow, infer, seen_before
from scalor_pyro.model.scalor import Scalor

B, T, K = 2, 3, 5


@pytest.fixture
def busy(make_scalor: Callable[..., Scalor]) -> Scalor:
    """A model that sees opaque objects everywhere, more than it has slots."""
    return make_busy(make_scalor())


def make_busy(scalor: Scalor) -> Scalor:
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(2.0)
        scalor.decoder.bias[-1] = 4.0
    return scalor


def same(one: Inference, other: Inference) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_shapes_and_kinds(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos)
    shapes = {name: tuple(value.shape) for name, value in seen._asdict().items()}
    assert shapes == {
        "presence": (B, T, K),
        "identity": (B, T, K),
        "new": (B, T, K),
        "propagated": (B, T),
        "discovered": (B, T),
        "where": (B, T, K, 4),
        "depth": (B, T, K),
        "what": (B, T, K, 9),
        "appearance": (B, T, K, 4, 8, 8),
        "reconstruction": (B, T, 3, 32, 48),
        "background": (B, T, 3, 32, 48),
        "foreground": (B, T, 1, 32, 48),
        "importance": (B, T, 1, 32, 48),
        "segments": (B, T, 32, 48),
    }
    assert (seen.identity.dtype, seen.segments.dtype, seen.new.dtype) == (torch.long, torch.long, torch.bool)
    for part in (seen.presence, seen.reconstruction, seen.background, seen.foreground, seen.appearance):
        assert 0 <= part.min() and part.max() <= 1 and not part.requires_grad


def test_identities_follow_objects(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos)
    alive = seen.presence > 0.5
    assert alive.any()
    assert torch.equal(alive, seen.identity >= 0)
    assert torch.equal(seen.new[:, 0], alive[:, 0])
    assert not (seen.new & ~alive).any()
    stays = alive[:, 1:] & ~seen.new[:, 1:]
    assert torch.equal(seen.identity[:, 1:][stays], seen.identity[:, :-1][stays])
    for b in range(B):
        found = seen.identity[b][seen.new[b]].tolist()
        assert sorted(found) == list(range(len(found)))


def test_is_deterministic_and_leaves_no_trace(busy: Scalor, videos: Tensor) -> None:
    busy.train()
    flags = [parameter.requires_grad for parameter in busy.parameters()]
    values = {name: value.clone() for name, value in busy.state_dict().items()}
    random_state = torch.get_rng_state()
    first, second = infer(busy, videos), infer(busy, videos)
    assert same(first, second)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert busy.training and torch.is_grad_enabled()
    assert [parameter.requires_grad for parameter in busy.parameters()] == flags
    assert all(parameter.grad is None for parameter in busy.parameters())
    assert all(torch.equal(value, values[name]) for name, value in busy.state_dict().items())


def test_is_not_a_sample(busy: Scalor, videos: Tensor) -> None:
    guide = poutine.trace(busy.guide).get_trace(videos)
    with torch.no_grad():
        sampled = collect(poutine.replay(busy.model, trace=guide)(videos))
    assert not torch.equal(sampled.where, infer(busy, videos).where)


def test_takes_the_mode_of_every_site(busy: Scalor, videos: Tensor) -> None:
    guide = poutine.trace(busy.guide).get_trace(videos[:, :1])
    distribution = guide.nodes["z_pres_disc_0"]["fn"]
    strongest = (distribution.logits / distribution.temperature).sigmoid().topk(7, 1).values
    (frame,) = frames_of(follow(busy, videos[:, :1]))
    assert frame.drawn.presence.count_nonzero() > 0
    kept = frame.drawn.presence > 0  # the others are rejected
    torch.testing.assert_close(frame.drawn.presence[kept], strongest[kept])
    assert frame.background is None


def test_each_video_stands_alone(busy: Scalor, videos: Tensor) -> None:
    both, swapped, alone = infer(busy, videos), infer(busy, videos.flip(0)), infer(busy, videos[:1])
    for a, b, c in zip(both, swapped, alone, strict=True):
        torch.testing.assert_close(a, b.flip(0), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(a[:1], c, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("evidence", [None, "auto"])
@pytest.mark.parametrize(("lookahead", "changed"), [(0, 1), (1, 2)])
def test_a_frame_depends_on_no_frame_after_the_lookahead(
    busy: Scalor, videos: Tensor, lookahead: int, changed: int, evidence: Literal["auto"] | None
) -> None:
    other = videos.clone()
    other[:, changed:] = 1 - other[:, changed:]
    one, two = (infer(busy, x, lookahead=lookahead, evidence=evidence) for x in (videos, other))
    for mine, its in zip(one, two, strict=True):
        torch.testing.assert_close(mine[:, :changed], its[:, :changed])
    assert not torch.equal(one.where[:, changed], two.where[:, changed])


def test_with_a_lookahead_the_first_frame_knows_what_follows(busy: Scalor, videos: Tensor) -> None:
    other = videos.clone()
    other[:, 1:] = 1 - other[:, 1:]
    one, two = (infer(busy, x, lookahead=None).where[:, 0] for x in (videos, other))
    assert not torch.equal(one, two)
    assert same(infer(busy, videos, lookahead=None), infer(busy, videos, lookahead=T - 1))
    assert same(infer(busy, videos, lookahead=100), infer(busy, videos, lookahead=T - 1))


def test_with_a_lookahead_tracks_begin_in_the_first_frame_and_go_forwards(busy: Scalor, videos: Tensor) -> None:
    """Whatever was found on the way back is new in frame 0, and an object's velocity points forwards from there."""
    seen = infer(busy, videos, lookahead=2)
    alive = seen.identity[:, 0] >= 0
    assert alive.any() and torch.equal(seen.new[:, 0], alive) and (seen.propagated[:, 0] == 0).all()
    before = seen_before(busy, videos, 2)
    assert before is not None
    first, *_ = frames_of(follow(busy, videos[:, :1], before))
    survivor = first.slots.alive & (first.slots.identity == before.slots.identity)
    moved = first.slots.objects.where[..., 2:] - before.slots.objects.where[..., 2:]  # from frame 1 back to frame 0
    assert survivor.any()
    torch.testing.assert_close(first.slots.objects.velocity[survivor], -moved[survivor])


@pytest.mark.parametrize("more", [0, 3, 40])
def test_the_guide_goes_on_in_another_number_of_slots(
    make_scalor: Callable[..., Scalor], videos: Tensor, more: int
) -> None:
    """Each object is what it would have been; empty slots are not seen, whatever was in them."""
    scalor, videos = make_busy(make_scalor(slots=30, shortlist=4, first_shortlist=8)).double(), videos.double()
    before = frames_of(follow(scalor, videos[:, :2]))[-1].carried
    assert before is not None
    there = int(before.slots.alive.sum(1).max())
    assert 8 <= there < 30
    one, other = (
        frames_of(follow(scalor, videos[:, 2:], carried))[0].slots
        for carried in (before, before.in_slots(there + 2).in_slots(there + more))
    )
    assert other.number == there + more
    for video in range(B):
        mine, its = (slots.identity[video, slots.alive[video] & ~slots.new[video]] for slots in (one, other))
        assert mine.tolist() == its.tolist() and len(mine) > 0
        rows = [slots.alive[video] & ~slots.new[video] for slots in (one, other)]
        for name in ("presence", "where", "depth", "what", "glimpse"):
            mine, its = (
                getattr(slots.objects, name)[video, row] for slots, row in zip((one, other), rows, strict=True)
            )
            torch.testing.assert_close(mine, its, rtol=0, atol=1e-12)


def test_fewer_slots_than_objects_are_refused(busy: Scalor, videos: Tensor) -> None:
    before = frames_of(follow(busy, videos))[-1].carried
    assert before is not None
    with pytest.raises(ValueError, match="expected a slot for each of 5 objects, got 4"):
        before.in_slots(4)
    with pytest.raises(ValueError, match="expected at least 5 slots, as many as there are, got 4"):
        infer(busy, videos).in_slots(4)


def test_what_was_seen_with_more_slots_has_the_same_masks(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos)
    more = seen.in_slots(8)
    assert more.slots == 8 and (more.identity[:, :, 5:] == -1).all() and not more.new[:, :, 5:].any()
    for masks in ("soft_masks", "hard_masks"):
        wide = getattr(more, masks)()
        torch.testing.assert_close(wide[:, :, :5], getattr(seen, masks)())
        assert not wide[:, :, 5:].any()


def test_a_lookahead_into_a_single_frame_is_none(busy: Scalor, videos: Tensor) -> None:
    assert same(infer(busy, videos[:, :1], lookahead=3), infer(busy, videos[:, :1]))


def test_a_negative_lookahead_is_refused(busy: Scalor, videos: Tensor) -> None:
    with pytest.raises(ValueError, match="lookahead: expected a number of frames from 0, or None for all, got -1"):
        infer(busy, videos, lookahead=-1)


def test_the_past_does_not_depend_on_the_future(busy: Scalor, videos: Tensor) -> None:
    for whole, part in zip(infer(busy, videos), infer(busy, videos[:, :2]), strict=True):
        torch.testing.assert_close(whole[:, :2], part, atol=1e-5, rtol=1e-5)


def test_further_looks_are_a_video_that_stands_still_at_first(
    make_scalor: Callable[..., Scalor], videos: Tensor
) -> None:
    longer = torch.cat((videos[:, :1], videos[:, :1], videos), 1)
    seen, whole = infer(make_busy(make_scalor(first_looks=3)), videos), infer(make_busy(make_scalor()), longer)
    for name in ("presence", "identity", "where", "depth", "appearance", "reconstruction", "segments"):
        assert torch.equal(getattr(seen, name), getattr(whole, name)[:, 2:]), name
    assert torch.equal(seen.new[:, 0], seen.identity[:, 0] >= 0) and seen.new[:, 0].any()
    assert torch.equal(seen.new[:, 1:], whole.new[:, 3:])
    drawn = whole.propagated[:, 2] + whole.discovered[:, 2]
    assert torch.equal(seen.discovered[:, 0], drawn) and not seen.propagated[:, 0].any()
    assert torch.equal(seen.propagated[:, 1:], whole.propagated[:, 3:])


def test_further_looks_find_what_the_first_one_leaves_out() -> None:
    batch = SyntheticVideos(preset("sprites", "MD").data, 5, "test").batch(0, 4, frames=1)
    found = {}
    for looks in (1, 3):
        scalor = Scalor.from_pretrained("sprites-md")
        scalor.config = replace(scalor.config, first_looks=looks)
        evaluation = Evaluation()
        evaluation.add(infer(scalor, batch.tensor()), batch.tensor(), batch.truth)
        found[looks] = evaluation.result()
    assert found[3]["misses"] < found[1]["misses"] and found[3]["false_alarms"] <= found[1]["false_alarms"]
    assert found[3]["mse"] < found[1]["mse"]


def test_following_is_inferring_without_pictures(busy: Scalor, videos: Tensor) -> None:
    seen, frames = infer(busy, videos), frames_of(follow(busy, videos))
    assert torch.equal(torch.stack([frame.slots.identity for frame in frames], 1), seen.identity)
    assert torch.equal(torch.stack([frame.slots.objects.where for frame in frames], 1), seen.where)


@pytest.mark.parametrize("lengths", [(1, 1, 1), (2, 1), (1, 2)])
def test_going_on_where_an_earlier_chunk_ended_is_following_all_at_once(
    busy: Scalor, videos: Tensor, lengths: tuple[int, ...]
) -> None:
    whole, carried, parts = frames_of(follow(busy, videos)), None, []
    for chunk in videos.split(lengths, 1):
        parts += frames_of(follow(busy, chunk, carried))
        carried = parts[-1].carried
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one.slots.identity, other.slots.identity)
        torch.testing.assert_close(one.slots.objects.where, other.slots.objects.where)
        torch.testing.assert_close(one.drawn.presence, other.drawn.presence)


@pytest.mark.parametrize("slots", [1, 5])
def test_segments_belong_to_objects_that_are_there(
    make_scalor: Callable[..., Scalor], videos: Tensor, slots: int
) -> None:
    seen = infer(make_busy(make_scalor(slots=slots)), videos)
    owned = 0
    for b in range(B):
        for t in range(T):
            alive = set(seen.identity[b, t][seen.identity[b, t] >= 0].tolist())
            owners = set(seen.segments[b, t].unique().tolist()) - {BACKGROUND}
            assert owners <= alive
            for identity in owners:
                slot = int((seen.identity[b, t] == identity).nonzero())
                s_x, s_y, t_x, t_y = seen.where[b, t, slot].tolist()
                rows, columns = (seen.segments[b, t] == identity).nonzero(as_tuple=True)
                x, y = (columns + 0.5) / 48 * 2 - 1, (rows + 0.5) / 32 * 2 - 1
                reach = 1 + 1 / 8  # a glimpse of 8 pixels fades over half a pixel beyond the box
                assert ((x - t_x).abs() <= s_x * reach).all() and ((y - t_y).abs() <= s_y * reach).all()
                owned += len(rows)
    assert owned > 0


def test_black_background_is_black(make_scalor: Callable[..., Scalor], videos: Tensor) -> None:
    seen = infer(make_scalor(background="none"), videos)
    assert not seen.background.any()


def test_refuses_what_is_not_a_batch_of_videos(busy: Scalor, videos: Tensor) -> None:
    for ask in (infer, follow):
        with pytest.raises(ValueError, match="Videos"):
            ask(busy, videos[0])
