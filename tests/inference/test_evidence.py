"""The model decides which objects stay: what it gains, what it costs, and what follows from that."""

from collections.abc import Callable

import pyro
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyro import poutine
from pyro.distributions import Normal
from pyro.infer import Trace_ELBO
from torch import Tensor

from scalor_pyro.config import ConfigError
from scalor_pyro.inference.evidence import ByEvidence, Weigher, Worth, worth_for
from scalor_pyro.inference.posterior import follow, infer, seen_before
from scalor_pyro.inference.weighing import View, best_first, best_order
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import Layer, Patches, Sum, draw, weighted_patches
from scalor_pyro.model.discovery import Proposed
from scalor_pyro.model.rejection import fill_slots
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO

H, W, WINDOW = 24, 32, (9, 11)
SIGMA = 0.2


def disks(centres: list[tuple[float, float]], colours: list[float], side: float = 0.25) -> Objects:
    """Opaque squares of one colour, with centres in [-1, 1]."""
    n = len(centres)
    where = torch.tensor([[side * H / W, side, x, y] for x, y in centres])[None]
    glimpse = torch.ones(1, n, 4, 8, 8)
    glimpse[:, :, :3] *= torch.tensor(colours)[None, :, None, None, None]
    zeros = torch.zeros(1, n, 2)
    return Objects(torch.ones(1, n), where, zeros, zeros, torch.zeros(1, n, 1), torch.zeros(1, n, 9), glimpse)


def picture(objects: Objects, kept: Tensor | None = None) -> Tensor:
    presence = objects.presence if kept is None else objects.presence * kept
    return draw(objects.glimpse, objects.where, presence, objects.depth, (H, W), WINDOW).colour


def view(frame: Tensor) -> View:
    return View(frame, torch.zeros_like(frame), torch.full_like(frame, SIGMA), WINDOW)


def log_likelihood(frame: Tensor, shown: Tensor) -> Tensor:
    return Normal(shown, SIGMA).log_prob(frame).sum()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 6))
def test_a_gain_is_the_difference_of_two_log_likelihoods(seed: int, n: int) -> None:
    """Though it is computed in the object's own window alone."""
    noise = torch.Generator().manual_seed(seed)
    centres = (torch.rand(n, 2, generator=noise) * 2.2 - 1.1).tolist()
    objects = disks([(x, y) for x, y in centres], torch.rand(n, generator=noise).tolist())
    frame = torch.rand(1, 3, H, W, generator=noise)
    behind = torch.rand(1, 3, H, W, generator=noise)
    kept = (torch.rand(1, n, generator=noise) < 0.5).float()
    weighed = View(frame, behind, torch.full_like(frame, SIGMA), WINDOW).weighed(patches_of(objects))
    canvas = view(frame).empty().plus(weighed.patches, kept)

    def seen(chosen: Tensor) -> Tensor:
        canvas = draw(objects.glimpse, objects.where, chosen, objects.depth, (H, W), WINDOW)
        return log_likelihood(frame, canvas.over(behind))

    before = seen(kept)
    added, left_out = weighed.gain(canvas, 1), weighed.gain(canvas, -1)
    for each in range(n):
        changed = kept.clone()
        changed[0, each] = 1 - kept[0, each]
        gain = (left_out if kept[0, each] else added)[0, each]
        torch.testing.assert_close(gain, seen(changed) - before, rtol=1e-3, atol=1e-2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 8), cost=st.floats(0, 50))
def test_the_choice_cannot_be_bettered_by_one_more(seed: int, n: int, cost: float) -> None:
    """And each proposal that was chosen made the frame likelier than the frame without any."""
    noise = torch.Generator().manual_seed(seed)
    centres = (torch.rand(n, 2, generator=noise) * 2 - 1).tolist()
    objects = disks([(x, y) for x, y in centres], torch.rand(n, generator=noise).tolist())
    frame = picture(objects, (torch.rand(1, n, generator=noise) < 0.6).float())
    frame = frame + 0.05 * torch.randn(frame.shape, generator=noise)
    weighed, costs = view(frame).weighed(patches_of(objects)), torch.full((1, n), cost)
    candidates = torch.rand(1, n, generator=noise) < 0.8
    stays, drawn = best_first(weighed, view(frame).empty(), costs, candidates)
    assert not (stays & ~candidates).any()
    canvas = view(frame).empty().plus(weighed.patches, stays.float())
    torch.testing.assert_close(drawn.drawn(), canvas.drawn())
    gains = (weighed.gain(canvas, 1) - costs)[candidates & ~stays]
    assert (gains <= 1e-3).all()
    total = log_likelihood(frame, picture(objects, stays.float())) - log_likelihood(frame, torch.zeros_like(frame))
    assert total >= cost * int(stays.sum()) - 1e-2


def with_depths(objects: Objects, depths: list[float]) -> Objects:
    return objects._replace(depth=torch.tensor(depths)[None, :, None])


def patches_of(objects: Objects) -> Patches:
    return weighted_patches(objects.glimpse, objects.where, objects.presence, objects.depth, (H, W), WINDOW)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), reach=st.floats(0.5, 5))
def test_a_new_order_explains_the_frame_at_least_as_well_as_the_old_one(seed: int, n: int, reach: float) -> None:
    noise = torch.Generator().manual_seed(seed)
    centres = (torch.rand(n, 2, generator=noise) * 1.2 - 0.6).tolist()
    objects = disks([(x, y) for x, y in centres], torch.rand(n, generator=noise).tolist())
    objects = with_depths(objects, torch.randn(n, generator=noise).tolist())
    frame = torch.rand(1, 3, H, W, generator=noise)
    patches, depth = patches_of(objects), objects.depth[..., 0]
    some = torch.rand(1, n, generator=noise) < 0.8
    found, times, total = best_order(view(frame).weighed(patches), Sum.of(patches, (H, W)), depth, some, reach)
    ordered = patches.scaled(times)
    after = objects._replace(depth=found[..., None])
    torch.testing.assert_close(ordered.summed, patches_of(after).summed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ordered.importance, patches_of(after).importance, rtol=1e-4, atol=1e-5)
    assert torch.equal(found[~some], depth[~some])
    torch.testing.assert_close(total.drawn(), Sum.of(ordered, (H, W)).drawn(), rtol=1e-3, atol=1e-4)

    def joint(these: Objects) -> Tensor:
        return log_likelihood(frame, picture(these)) - these.depth.square().sum() / 2

    assert joint(after) >= joint(objects) - 0.05


@pytest.fixture
def weigher(make_scalor: Callable[..., Scalor]) -> Callable[..., Weigher]:
    def build(evidence: Worth) -> Weigher:
        scalor = make_scalor(image_size=(H, W), cells=(3, 4), background="none")
        scalor.boxes.window = WINDOW
        return Weigher(scalor, evidence)

    return build


@pytest.mark.parametrize("front", [0, 1])
def test_of_two_objects_that_meet_the_one_that_is_seen_comes_to_the_front(
    weigher: Callable[..., Weigher], front: int
) -> None:
    apart, meeting = [(-0.8, 0.0), (0.0, 0.0), (0.1, 0.1)], [0.5, 0.2, 0.9]
    truth = with_depths(disks(apart, meeting), [0.0, *((-9.0, 9.0) if front == 0 else (9.0, -9.0))])
    guessed = with_depths(truth, [0.3, 0.1, 0.0])
    patches = patches_of(guessed)
    ordered, layer = weigher(Worth()).order(picture(truth), guessed, Layer(patches, Sum.of(patches, (H, W))))
    alone, *two = ordered.depth.flatten().tolist()
    assert alone == pytest.approx(0.3), "nothing says how near an object is that meets no other"
    assert two[front] < two[1 - front]
    wrong = [(picture(each) - picture(truth)).square().mean() for each in (guessed, ordered)]
    assert wrong[1] < wrong[0] / 4
    torch.testing.assert_close(layer.patches.importance, patches_of(ordered).importance)
    torch.testing.assert_close(layer.total.drawn().colour, Sum.of(patches_of(ordered), (H, W)).drawn().colour)


def free(n: int, loc: float = 0.0) -> Proposed:
    """Proposals whose latents cost loc²/2 nats for each of their 4 + 1 + 9 numbers."""

    def law(size: int) -> Normal:
        return Normal(torch.full((1, n, size), loc), torch.ones(1, n, size)).to_event(1)

    return Proposed(torch.zeros(1, n, dtype=torch.long), torch.zeros(1, n, 4), law(4), law(1), law(9))


def test_of_two_proposals_for_one_object_one_stays_and_two_objects_that_touch_both_stay(
    weigher: Callable[..., Weigher],
) -> None:
    truth = disks([(-0.5, 0.0), (0.3, 0.0), (0.62, 0.0)], [0.9, 0.9, 0.4])
    twice = disks([(-0.5, 0.0), (-0.47, 0.04), (0.3, 0.0), (0.62, 0.0)], [0.9, 0.9, 0.9, 0.4])
    kept = weigher(Worth()).keep(0, picture(truth), None, None, twice, free(4))
    assert kept.propagated is None
    assert kept.proposals.tolist() == [[1, 0, 1, 1]]


def test_a_proposal_must_gain_more_than_it_costs(weigher: Callable[..., Weigher]) -> None:
    faint = disks([(0.0, 0.0)], [0.3])
    frame, rule = picture(faint), Worth()
    gain = float(view(frame).weighed(patches_of(faint)).gain(view(frame).empty(), 1))
    discovery = -float(torch.logit(weigher(rule).scalor.annealed.discovery_prior))
    left = gain - discovery
    assert left > 20

    def stays(evidence: Worth, loc: float = 0.0) -> bool:
        return bool(weigher(evidence).keep(0, frame, None, None, faint, free(1, loc)).proposals[0, 0])

    assert stays(Worth(discover=left - 1)) and not stays(Worth(discover=left + 1))
    nats = (left - 1) / 7  # loc² · 14 / 2 nats
    assert stays(rule, nats**0.5) and not stays(rule, ((left + 1) / 7) ** 0.5)


def test_a_track_ends_when_its_object_is_gone_for_two_frames(weigher: Callable[..., Weigher]) -> None:
    two = disks([(-0.5, 0.0), (0.4, 0.0)], [0.9, 0.8])
    rule = weigher(Worth(go_on=5.0))
    slots = fill_slots(None, None, two, 2, 0.5)
    gone = picture(two, torch.tensor([[1.0, 0.0]]))
    none = disks([(0.9, 0.9)], [0.0])
    none = none._replace(presence=torch.zeros(1, 1))
    frames = [picture(two), gone, picture(two), gone, gone]
    kept = [rule.keep(1, frame, slots, two, none, free(1)).propagated for frame in frames]
    assert [part.tolist() for part in kept if part is not None] == [[[1, 1]], [[1, 1]], [[1, 1]], [[1, 1]], [[1, 0]]]


def test_a_track_ends_also_if_its_object_has_got_another_slot(weigher: Callable[..., Weigher]) -> None:
    two = disks([(-0.5, 0.0), (0.4, 0.0)], [0.9, 0.8])
    rule, slots = weigher(Worth(go_on=5.0)), fill_slots(None, None, two, 2, 0.5)
    gone, none = picture(two, torch.tensor([[1.0, 0.0]])), disks([(0.9, 0.9)], [0.0])
    none = none._replace(presence=torch.zeros(1, 1))
    rule.keep(1, gone, slots, two, none, free(1))
    turned = torch.tensor([[1, 0]])
    kept = rule.keep(2, gone, slots.rearranged(turned), two.take(turned), none, free(1)).propagated
    assert kept is not None and kept.tolist() == [[0, 1]]


def test_an_object_that_is_not_in_the_first_frame_is_not_carried_back_into_it(weigher: Callable[..., Weigher]) -> None:
    two = disks([(-0.5, 0.0), (0.4, 0.0)], [0.9, 0.8])
    rule, slots = weigher(Worth(go_on=5.0)), fill_slots(None, None, two, 2, 0.5)
    none = disks([(0.9, 0.9)], [0.0])._replace(presence=torch.zeros(1, 1))
    rule.keep(1, picture(two), slots, two, none, free(1))
    rule.turn()
    only_first = picture(two, torch.tensor([[1.0, 0.0]]))
    kept = [rule.keep(0, frame, slots, two, none, free(1)).propagated for frame in (only_first, picture(two))]
    assert [part.tolist() for part in kept if part is not None] == [[[1, 0]], [[1, 1]]]


def test_hindsight_says_when_it_comes_to_the_first_frame(make_scalor: Callable[..., Scalor]) -> None:
    scalor = make_scalor()
    turned = []
    acceptance = Weigher(scalor, Worth())
    acceptance.turn = lambda: turned.append(True)  # type: ignore[method-assign]
    x = torch.rand(1, 4, scalor.config.channels, *scalor.config.image_size)
    before = seen_before(scalor, x, None, acceptance)
    assert turned == []
    follow(scalor, x, before, acceptance)
    assert turned == [True], "once, for the first frame"


def test_with_go_on_0_no_track_ends(weigher: Callable[..., Weigher]) -> None:
    two = disks([(-0.5, 0.0), (0.4, 0.0)], [0.9, 0.8])
    rule, slots = weigher(Worth()), fill_slots(None, None, two, 2, 0.5)
    none = disks([(0.9, 0.9)], [0.0])._replace(presence=torch.zeros(1, 1))
    for _ in range(3):
        kept = rule.keep(1, torch.zeros(1, 3, H, W), slots, two, none, free(1))
    assert kept.propagated is not None and kept.propagated.tolist() == [[1, 1]]


@pytest.mark.parametrize("background", ["none", "moving", "static"])
def test_nothing_is_found_that_is_not_worth_it_over_any_background(
    make_scalor: Callable[..., Scalor], videos: Tensor, background: str
) -> None:
    """Over a moving background the first look knows no background yet, and decides by masks; the second ends that."""
    scalor = make_scalor(background=background, first_looks=4)
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(2.0)
        scalor.decoder.bias[-1] = 4.0
    assert (infer(scalor, videos).identity >= 0).any()
    assert not (infer(scalor, videos, evidence=Worth(1e9, 1e9)).identity >= 0).any()


def test_thresholds_grow_with_the_area_of_an_object(make_scalor: Callable[..., Scalor]) -> None:
    small, large = (worth_for(make_scalor(object_size=size)) for size in (5.0, 10.0))
    assert large.discover == pytest.approx(4 * small.discover) and large.go_on == pytest.approx(4 * small.go_on)


@pytest.mark.parametrize("name", ["discover", "go_on"])
@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_impossible_thresholds_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected a number of nats from 0, got "):
        Worth(**{name: value})


def test_in_learning_the_model_keeps_what_the_guide_kept(busy: Scalor, videos: Tensor) -> None:
    by_evidence = ByEvidence(busy, Worth(discover=1e6))
    trace = poutine.trace(by_evidence.guide).get_trace(videos)
    seen = trace.nodes["_RETURN"]["value"]
    frames = poutine.replay(by_evidence.model, trace=trace)(videos)
    by_masks = poutine.replay(busy.model, trace=trace)(videos)
    # The first frame is decided by masks, since no background is known yet; in later ones nothing is worth so much.
    assert [len(frame.slots.identity.unique()) for frame in by_masks] != [len(f.slots.identity.unique()) for f in seen]
    for mine, theirs in zip(frames, seen, strict=True):
        assert torch.equal(mine.slots.identity, theirs.slots.identity)
        assert torch.equal(mine.canvas.colour, theirs.canvas.colour)


def test_what_evidence_decides_is_learned_from_by_any_elbo(busy: Scalor, videos: Tensor) -> None:
    """Loss and gradient are the same, whether model and guide share their work or each does its own."""

    def learned(elbo: ReparamELBO | Trace_ELBO) -> tuple[float, dict[str, Tensor]]:
        pyro.set_rng_seed(2)
        busy.zero_grad()
        by_evidence = ByEvidence(busy, Worth())
        with pyro.validation_enabled(False):
            loss = elbo.loss_and_grads(by_evidence.model, by_evidence.guide, videos)
        return loss, {name: p.grad.clone() for name, p in busy.named_parameters() if p.grad is not None}

    (loss, gradients), (other_loss, others) = learned(ReparamELBO()), learned(Trace_ELBO())
    assert loss == pytest.approx(other_loss, rel=1e-5)
    assert float(gradients["decoder.bias"].abs().max()) > 0
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))
