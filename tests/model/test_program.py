"""Trust in the probabilistic program: what it computes is what its formulas say.

What model and guide have in common, gradients against finite differences and the sync-free ELBO are in test_scalor.py
and test_elbo.py.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from torch import Tensor
from torch.distributions import kl_divergence

from scalor_pyro.inference.posterior import infer
from scalor_pyro.layers.objects import Slots
from scalor_pyro.model import scalor as scalor_module
from scalor_pyro.model import sites
from scalor_pyro.model.distributions import RelaxedPresence
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.table import tracks_of

Make = Callable[..., Scalor]
Values = dict[str, Tensor]
B, T, K = 2, 3, 5


@pytest.fixture
def scalor(make_scalor: Make) -> Scalor:
    """Many opaque objects in double precision; no gradients."""
    scalor = make_scalor().double().eval().requires_grad_(False)
    scalor.discovery_posterior.presence_head.bias.fill_(-0.5)
    scalor.decoder.bias[-1] = 2.0
    scalor.schedule({"discovery_prior": 0.2})
    return scalor


@pytest.fixture
def x(videos: Tensor) -> Tensor:
    return videos.double()


def traces(scalor: Scalor, x: Tensor, values: Values | None = None) -> tuple[poutine.Trace, poutine.Trace]:
    """Of the guide, at chosen values where they are given, and of the model replayed against it."""
    guide = scalor.guide
    if values is not None:
        chosen = poutine.Trace()
        for name, value in values.items():
            chosen.add_node(name, name=name, type="sample", value=value, is_observed=False, infer={})
        guide = poutine.replay(guide, trace=chosen)
    guide_trace = poutine.trace(guide).get_trace(x)
    model_trace = poutine.trace(poutine.replay(scalor.model, trace=guide_trace)).get_trace(x)
    for trace in (guide_trace, model_trace):
        trace.compute_log_prob()
    return guide_trace, model_trace


def latents(trace: poutine.Trace) -> Values:
    """Values of the latent sites by name."""
    return {name: site["value"].clone() for name, site in trace.nodes.items() if name.startswith("z_")}


def elbo(guide: poutine.Trace, model: poutine.Trace) -> float:
    return float(model.log_prob_sum() - guide.log_prob_sum())


# ---------------------------------------------------------------------- the ELBO


def log_normal(value: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """log N(value; loc, scale), summed over the last dimension."""
    return (-(((value - loc) / scale) ** 2) / 2 - scale.log() - math.log(2 * math.pi) / 2).sum(-1)


def log_relaxed(value: Tensor, logits: Tensor, temperature: Tensor) -> Tensor:
    """log-density of the logit of a relaxed Bernoulli: a logistic variable, stretched (Maddison et al., 2017)."""
    standard = value * temperature - logits
    return temperature.log() - standard - 2 * (1 + (-standard).exp()).log()


def log_density(site: dict[str, Any]) -> Tensor:
    distribution = site["fn"]
    if isinstance(distribution, RelaxedPresence):
        return log_relaxed(site["value"], distribution.logits, distribution.temperature)
    return log_normal(site["value"], distribution.mean, distribution.stddev)


def test_elbo_is_the_sum_over_sites_that_one_writes_down(scalor: Scalor, x: Tensor) -> None:
    pyro.set_rng_seed(4)
    loss = Trace_ELBO().loss(scalor.model, scalor.guide, x)
    pyro.set_rng_seed(4)
    guide, model = (trace.nodes for trace in traces(scalor, x))
    total = torch.zeros(())
    alive = torch.zeros(B, K).double()
    weights: Values = {}
    for t in range(T):
        disc, prop = sites.z_pres("disc", t), sites.z_pres("prop", t)
        shortlisted = scalor.config.proposals(first=t == 0)
        weights[disc] = torch.ones(B, 12)
        strongest = guide[disc]["value"].sigmoid().sort(1, descending=True).values[:, :shortlisted]
        present = {"disc": strongest}
        if t > 0:
            weights[prop] = alive
            present["prop"] = alive * guide[prop]["value"].sigmoid()
        for part, presence in present.items():
            for name in (sites.z_where, sites.z_depth, sites.z_what):
                weights[name(part, t)] = presence  # type: ignore[operator]  # functions of the same arguments
        weights[sites.z_bg(t)] = torch.ones(B, 1)
        alive = (guide["_RETURN"]["value"][t].slots.identity >= 0).double()
        y = model[sites.y(t)]["value"][:, 0]
        total = total + log_normal(x[:, t].flatten(1), y.flatten(1), torch.full_like(y.flatten(1), 0.2)).sum()
    assert weights.keys() == {name for name in guide if name.startswith("z_")}
    for name, weight in weights.items():
        total = total + (weight * (log_density(model[name]) - log_density(guide[name]))).sum()
    assert min(float(weight.min()) for weight in weights.values()) == 0, "a slot is empty"
    assert -loss == pytest.approx(float(total), rel=1e-12)


def test_sampled_kl_is_the_analytic_one_in_the_mean(scalor: Scalor, x: Tensor) -> None:
    guide, model = (trace.nodes for trace in traces(scalor, x))
    normals = [name for name in guide if name.startswith(("z_where", "z_depth", "z_what", "z_bg"))]
    assert len(normals) == 3 * (2 * T - 1) + T
    for name in normals:
        q, p = guide[name]["fn"], model[name]["fn"]
        samples = q.sample((400,))
        sampled = (q.log_prob(samples) - p.log_prob(samples)).sum((1, 2))
        error = sampled.std() / 400**0.5
        assert (sampled.mean() - kl_divergence(q, p).sum()).abs() < 4 * error, name


# ---------------------------------------------------------------------- the prior


def assert_moments(values: Tensor, mean: float, deviation: float) -> None:
    """Of independent samples, within four standard errors or more (tails are no heavier than logistic ones)."""
    error = deviation / values.numel() ** 0.5
    assert float(values.mean()) == pytest.approx(mean, abs=4 * error)
    assert float(values.std()) == pytest.approx(deviation, abs=4 * error)


def test_samples_of_the_prior_have_its_moments(scalor: Scalor) -> None:
    scalor.schedule({"temperature": 0.4})
    trace = poutine.trace(scalor.model).get_trace(None, frames=2, sequences=300)
    value = {name: site["value"] for name, site in trace.nodes.items() if site["type"] == "sample"}
    for t in range(2):
        for name in (sites.z_where, sites.z_depth, sites.z_what):
            assert_moments(value[name("disc", t)], 0, 1)
        # A logistic variable has the standard deviation π / √3.
        assert_moments(value[sites.z_pres("disc", t)], math.log(0.2 / 0.8) / 0.4, math.pi / 3**0.5 / 0.4)
        assert_moments((value[sites.z_pres("disc", t)] > 0).double(), 0.2, (0.2 * 0.8) ** 0.5)
        assert_moments(value[sites.x(t)] - value[sites.y(t)], 0, scalor.config.sigma)
    assert_moments(value[sites.z_bg(0)], 0, 1)
    # What goes on does so by laws that the past decides: seen from them, it is standard Normal.
    for name in (sites.z_where("prop", 1), sites.z_depth("prop", 1), sites.z_what("prop", 1), sites.z_bg(1)):
        distribution = trace.nodes[name]["fn"]
        assert_moments((value[name] - distribution.mean) / distribution.stddev, 0, 1)


def test_the_prior_carries_on_what_it_discovered(scalor: Scalor) -> None:
    trace = poutine.trace(scalor.model).get_trace(None, frames=2, sequences=60)
    before, after = (trace.nodes[sites.slot_identity(t)]["value"] for t in range(2))
    alive = before >= 0
    assert 0.2 < alive.double().mean() < 0.9
    expected = trace.nodes[sites.z_pres("prop", 1)]["fn"].logits[alive].sigmoid()
    stayed = (before == after)[alive].double()
    going_on = (trace.nodes[sites.z_pres("prop", 1)]["value"] > 0)[alive]
    assert_moments(going_on.double() - expected, 0, float((expected * (1 - expected)).mean().sqrt()))
    assert (stayed[~going_on] == 0).all(), "who does not go on is gone; who does may still be explained by an older one"


# ---------------------------------------------------------------------- what a program means


@pytest.mark.parametrize("background", ["moving", "static", "none"])
def test_conditioned_on_all_latents_it_renders_the_same(make_scalor: Make, videos: Tensor, background: str) -> None:
    scalor = make_scalor(background=background)
    scalor.schedule({"discovery_prior": 0.2})
    _, replayed = traces(scalor, videos)
    conditioned = poutine.condition(scalor.model, data=latents(replayed))
    trace = poutine.trace(conditioned).get_trace(None, frames=T, sequences=B)
    for t in range(T):
        for name in (sites.y, sites.slot_pres, sites.slot_where, sites.slot_identity):
            assert torch.equal(trace.nodes[name(t)]["value"], replayed.nodes[name(t)]["value"])
    imagined = poutine.trace(scalor.model).get_trace(None, frames=T, sequences=B)
    again = poutine.trace(poutine.condition(scalor.model, data=latents(imagined))).get_trace(None, T, B)
    for t in range(T):
        assert torch.equal(again.nodes[sites.y(t)]["value"], imagined.nodes[sites.y(t)]["value"])
        assert not torch.equal(again.nodes[sites.x(t)]["value"], imagined.nodes[sites.x(t)]["value"])


NOT_THERE = -1e4  # a logit whose sigmoid is exactly 0


def absent(values: Values) -> tuple[Values, dict[str, Tensor]]:
    """The same latents with some presences at exactly 0, and which elements of the other sites that concerns."""
    changed, whom = dict(values), {}
    for t in range(T):
        disc = values[sites.z_pres("disc", t)].clone()
        disc[:, 2:] = NOT_THERE  # two cells of twelve stay
        changed[sites.z_pres("disc", t)] = disc
        shortlisted = values[sites.z_depth("disc", t)].shape[1]
        whom["disc", t] = disc.sort(1, descending=True).values[:, :shortlisted] == NOT_THERE
        if t > 0:
            prop = values[sites.z_pres("prop", t)].clone()
            prop[:, 0] = NOT_THERE  # the first slot ends
            changed[sites.z_pres("prop", t)] = prop
            whom["prop", t] = torch.zeros(B, K, dtype=torch.bool)
            whom["prop", t][:, 0] = True
    others = (sites.z_where, sites.z_depth, sites.z_what)
    return changed, {name(*key): who for key, who in whom.items() for name in others}  # type: ignore[arg-type]


def test_presence_0_makes_an_objects_other_latents_irrelevant(scalor: Scalor, x: Tensor) -> None:
    values, whom = absent(latents(traces(scalor, x)[1]))
    changed = dict(values)
    for name, who in whom.items():
        assert who.any()
        changed[name] = torch.where(who[..., None], 3 * torch.randn_like(values[name]), values[name])
    (guide, model), (other_guide, other_model) = traces(scalor, x, values), traces(scalor, x, changed)
    for t in range(T):
        for name in (sites.y, sites.slot_pres, sites.slot_identity):
            assert torch.equal(model.nodes[name(t)]["value"], other_model.nodes[name(t)]["value"]), name(t)
    assert not torch.equal(model.nodes[sites.z_where("disc", 0)]["value"], changed[sites.z_where("disc", 0)])
    for name in values:
        for trace, other in ((guide, other_guide), (model, other_model)):
            assert torch.equal(trace.nodes[name]["log_prob"], other.nodes[name]["log_prob"]), name
    assert elbo(guide, model) == elbo(other_guide, other_model)


def test_the_order_of_slots_does_not_matter(scalor: Scalor, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    order = torch.tensor([[3, 0, 4, 1, 2], [1, 2, 0, 4, 3]])
    values = latents(traces(scalor, x)[1])
    for t in (1, 2):  # nothing new, which would take the first free slot
        values[sites.z_pres("disc", t)] = torch.full_like(values[sites.z_pres("disc", t)], NOT_THERE)
    guide, model = traces(scalor, x, values)
    assert (model.nodes[sites.slot_identity(2)]["value"] >= 0).any(), "something is carried on to the end"

    original = scalor_module.fill_slots

    def shuffled(previous: Slots | None, *arguments: Any) -> Slots:
        slots = original(previous, *arguments)
        if previous is not None:
            return slots
        own = {name: getattr(slots, name).gather(1, order) for name in ("alive", "new", "identity", "origin")}
        return slots._replace(objects=slots.objects.take(order), **own)

    monkeypatch.setattr(scalor_module, "fill_slots", shuffled)
    moved = {
        name: value.gather(1, order.reshape(B, K, *(1,) * (value.dim() - 2)).expand_as(value))
        if "prop" in name
        else value
        for name, value in values.items()
    }
    other_guide, other_model = traces(scalor, x, moved)
    for t in range(T):
        mine, theirs = (trace.nodes[sites.slot_identity(t)]["value"] for trace in (model, other_model))
        assert torch.equal(mine.gather(1, order), theirs) and not torch.equal(mine, theirs)
        torch.testing.assert_close(other_model.nodes[sites.y(t)]["value"], model.nodes[sites.y(t)]["value"])
    for trace, other in ((guide, other_guide), (model, other_model)):
        for name in (*values, *(sites.x(t) for t in range(T))):
            if name in trace:
                assert float(other.nodes[name]["log_prob_sum"]) == pytest.approx(
                    float(trace.nodes[name]["log_prob_sum"]), rel=1e-9, abs=1e-9
                ), name


# ---------------------------------------------------------------------- a shifted input

CELL = 8  # px
CELLS = (18, 17)
HEIGHT_WIDTH = (CELL * CELLS[0], CELL * CELLS[1])
SHIFT = (3, 2)  # cells down, cells to the right
SQUARE = 6 * CELLS[1] + 6  # the cell of the square


@pytest.fixture
def wide(make_scalor: Make) -> Scalor:
    """So many cells that what the border does to features does not meet what an object does; proposals are all."""
    scalor = make_scalor(
        image_size=HEIGHT_WIDTH, cells=CELLS, first_shortlist=0, shortlist=0, background="none", slots=3
    )
    return scalor.double().eval().requires_grad_(False)


def one_square(down: int = 0, right: int = 0) -> Tensor:
    """(1, 3, 3, 144, 136): a square of 10 px that moves one pixel a frame, on black."""
    video = torch.zeros(1, T, 3, *HEIGHT_WIDTH, dtype=torch.float64)
    for t in range(T):
        y, x = 51 + CELL * down + t, 50 + CELL * right + t
        video[0, t, :2, y : y + 10, x : x + 10] = 0.9
    return video


def discover_the_square(scalor: Scalor, x: Tensor) -> None:
    """Set the head of presence by hand: log-odds are high where features are as in the cell of the square."""
    features: list[Tensor] = []
    head = scalor.discovery_posterior.presence_head
    with head.register_forward_hook(lambda _, inputs, __: features.append(inputs[0])):
        scalor.guide(x[:, :1])
    cells = features[0][0].flatten(1)  # (F, N)
    square = cells[:, SQUARE]
    direction = square - cells.mean(1)
    likeness = (cells - square[:, None]).T @ direction
    margin = -likeness.sort(descending=True).values[1]
    assert margin > 0 and likeness.argmax() == SQUARE
    head.weight.copy_((direction * 6 / margin).view_as(head.weight))
    head.bias.copy_(3 - (square @ direction) * 6 / margin)


def distributions_of_discovery(scalor: Scalor, x: Tensor) -> Iterator[Tensor]:
    """Parameters of the discovery distributions of the first frame, by cell. (18, 17, …)"""
    nodes = poutine.trace(scalor.guide).get_trace(x[:, :1]).nodes
    presence = nodes[sites.z_pres("disc", 0)]
    yield presence["fn"].logits.view(CELLS)
    by_cell = presence["value"].argsort(1, descending=True)[0].argsort()  # where in the shortlist each cell is
    for name in (sites.z_where, sites.z_depth):
        distribution = nodes[name("disc", 0)]["fn"]
        for parameter in (distribution.mean, distribution.stddev):
            yield parameter[0][by_cell].view(*CELLS, -1)


def test_a_shifted_input_shifts_the_distributions_of_discovery(wide: Scalor) -> None:
    down, right = SHIFT
    near, shifted_near = (slice(3, 10), slice(3, 10)), (slice(3 + down, 10 + down), slice(3 + right, 10 + right))
    for distribution, shifted in zip(
        distributions_of_discovery(wide, one_square()),
        distributions_of_discovery(wide, one_square(*SHIFT)),
        strict=True,
    ):
        torch.testing.assert_close(distribution[near], shifted[shifted_near], rtol=1e-7, atol=1e-7)
        assert not torch.allclose(distribution[near], shifted[near], rtol=1e-3, atol=1e-6), "the square is seen"


def test_a_shifted_input_shifts_the_tracks(wide: Scalor) -> None:
    # The trackers also read where in the image an object is, as the paper has it; here, all but that.
    description = wide.propagation_posterior.inputs[0].weight[:, -10:]  # from z_where on, see describe()
    description[:, 2:4] = 0
    discover_the_square(wide, one_square())
    tracks, shifted = (tracks_of(infer(wide, video), HEIGHT_WIDTH)[0] for video in (one_square(), one_square(*SHIFT)))
    assert tracks.frame.tolist() == shifted.frame.tolist() == [0, 1, 2]
    assert tracks.identity.tolist() == shifted.identity.tolist() == [0, 0, 0]
    down, right = SHIFT
    for name, offset in {
        "x": CELL * right,
        "y": CELL * down,
        "width": 0,
        "height": 0,
        "presence": 0,
        "depth": 0,
    }.items():
        assert getattr(shifted, name) == pytest.approx(getattr(tracks, name) + offset, abs=1e-4), name
    assert abs(tracks.x[0] - 55) < CELL and abs(tracks.y[0] - 56) < CELL, "the track is of the square"
