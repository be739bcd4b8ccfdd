"""The Pyro program: its sites, its gradients, what it refuses, and what Pyro can do with it."""

import dataclasses
from collections.abc import Callable
from functools import wraps
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.networks import GlimpseDecoder
from scalor_pyro.layers.objects import Slots
from scalor_pyro.model import scalor as scalor_module
from scalor_pyro.model import sites
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import AppearancePrior
from scalor_pyro.model.background import BackgroundDistribution, BackgroundPrior
from scalor_pyro.model.discovery import DiscoveryDistributions, DiscoveryPrior
from scalor_pyro.model.distributions import normal
from scalor_pyro.model.propagation import PropagationDistributions, PropagationPrior
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO

Make = Callable[..., Scalor]

# D = 9, D_bg = 2 · 2 · 3 + 3 = 15, N = 12, M = 7 and 6, K = 5, B = 2; in the first frame nothing is propagated.
GUIDE_SITES = """
Sample Sites:
sequences dist |
value 2 |
slots dist |
value 5 |
cells dist |
value 12 |
first_proposals dist |
value 7 |
proposals dist |
value 6 |
z_pres_disc_0 dist 2 12 |
value 2 12 |
z_where_disc_0 dist 2 7 | 4
value 2 7 | 4
z_depth_disc_0 dist 2 7 | 1
value 2 7 | 1
z_what_disc_0 dist 2 7 | 9
value 2 7 | 9
z_bg_0 dist 2 1 | 15
value 2 1 | 15
z_pres_prop_1 dist 2 5 |
value 2 5 |
z_where_prop_1 dist 2 5 | 4
value 2 5 | 4
z_depth_prop_1 dist 2 5 | 1
value 2 5 | 1
z_what_prop_1 dist 2 5 | 9
value 2 5 | 9
z_pres_disc_1 dist 2 12 |
value 2 12 |
z_where_disc_1 dist 2 6 | 4
value 2 6 | 4
z_depth_disc_1 dist 2 6 | 1
value 2 6 | 1
z_what_disc_1 dist 2 6 | 9
value 2 6 | 9
z_bg_1 dist 2 1 | 15
value 2 1 | 15
""".strip()


def of_the_frame(t: int) -> str:
    """What the model has after the background of a frame: what follows from the latents, then the frame."""
    shapes = {"y": "2 1 | 3 32 48", "slot_pres": "2 5 |", "slot_where": "2 5 | 4", "slot_identity": "2 5 |"}
    return "".join(f"\n{name}_{t} dist {shape}\nvalue {shape}" for name, shape in {**shapes, "x": shapes["y"]}.items())


Z_BG_0, Z_BG_1 = (f"z_bg_{t} dist 2 1 | 15\nvalue 2 1 | 15" for t in (0, 1))
MODEL_SITES = GUIDE_SITES.replace(Z_BG_0, Z_BG_0 + of_the_frame(0)).replace(Z_BG_1, Z_BG_1 + of_the_frame(1))


def traces(scalor: Scalor, x: Tensor, **arguments: Any) -> tuple[poutine.Trace, poutine.Trace]:
    """Of the guide, and of the model replayed against it."""
    guide = poutine.trace(scalor.guide).get_trace(x, **arguments)
    model = poutine.trace(poutine.replay(scalor.model, trace=guide)).get_trace(x, **arguments)
    return guide, model


def latents(trace: poutine.Trace) -> dict[str, Any]:
    """Latent sites by name."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site["is_observed"] and not poutine.util.site_is_subsample(site)
    }


def loss_of(scalor: Scalor, x: Tensor, seed: int = 3) -> Tensor:
    pyro.set_rng_seed(seed)
    return ReparamELBO().differentiable_loss(scalor.model, scalor.guide, x)


def busy(scalor: Scalor) -> Scalor:
    """With many objects, opaque enough that they are seen and reject each other."""
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(2.0)
        scalor.decoder.bias[-1] = 2.0
    return scalor


def table(trace: poutine.Trace) -> str:
    """Names, batch and event shapes of all sites but parameters."""
    lines = [" ".join(line.split()) for line in trace.format_shapes().splitlines()]
    return "\n".join(lines[lines.index("Sample Sites:") :])


# ---------------------------------------------------------------------- sites


def test_golden_table_of_sites(scalor: Scalor, videos: Tensor) -> None:
    guide, model = traces(scalor, videos[:, :2])
    assert table(guide) == GUIDE_SITES
    assert table(model) == MODEL_SITES


@pytest.mark.parametrize("background", ["moving", "static", "none"])
def test_model_and_guide_agree_on_every_latent(make_scalor: Make, videos: Tensor, background: str) -> None:
    guide, model = (latents(trace) for trace in traces(make_scalor(background=background), videos))
    assert list(guide) == list(model)
    assert any(name.startswith("z_bg") for name in guide) == (background != "none")
    for name, site in guide.items():
        prior, posterior = model[name]["fn"], site["fn"]
        assert prior.batch_shape == posterior.batch_shape, name
        assert prior.event_shape == posterior.event_shape, name
        assert str(prior.support) == str(posterior.support), name
        assert posterior.has_rsample, name
        assert [frame.name for frame in site["cond_indep_stack"]] == [
            frame.name for frame in model[name]["cond_indep_stack"]
        ]


def test_frames_are_observed_one_site_each(scalor: Scalor, videos: Tensor) -> None:
    _, model = traces(scalor, videos)
    for t in range(3):
        site = model.nodes[sites.x(t)]
        assert site["is_observed"] and torch.equal(site["value"][:, 0], videos[:, t])


def test_model_and_guide_return_the_same_scenes(scalor: Scalor, videos: Tensor) -> None:
    scalor = busy(scalor)
    guide, model = traces(scalor, videos)
    for mine, theirs in zip(guide.nodes["_RETURN"]["value"], model.nodes["_RETURN"]["value"], strict=True):
        assert torch.equal(mine.slots.identity, theirs.slots.identity)
        assert torch.equal(mine.slots.objects.presence, theirs.slots.objects.presence)
        assert torch.equal(mine.canvas.alpha, theirs.canvas.alpha)
        assert theirs.background is not None and theirs.background.shape == (2, 3, 32, 48)


def test_an_empty_slot_counts_nothing(scalor: Scalor, videos: Tensor) -> None:
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.bias.fill_(-30)
    for trace in traces(scalor, videos):
        trace.compute_log_prob()
        for t in (1, 2):
            for name in (sites.z_pres, sites.z_where, sites.z_depth, sites.z_what):
                assert trace.nodes[name("prop", t)]["log_prob_sum"] == 0


# ---------------------------------------------------------------------- inference


@pytest.mark.parametrize("background", ["moving", "static"])
@pytest.mark.parametrize("elbo", [Trace_ELBO, ReparamELBO])
def test_svi_changes_every_part(make_scalor: Make, videos: Tensor, elbo: Callable[[], Any], background: str) -> None:
    scalor = make_scalor(background=background)
    before = {name: parameter.clone() for name, parameter in scalor.named_parameters()}
    svi = SVI(scalor.model, scalor.guide, pyro.optim.Adam({"lr": 1e-3}), elbo())
    for _ in range(2):
        svi.step(videos)
    stuck = [name for name, parameter in scalor.named_parameters() if torch.equal(parameter, before[name])]
    assert stuck == []


def test_svi_learns(scalor: Scalor, videos: Tensor) -> None:
    before = loss_of(scalor, videos).item()
    svi = SVI(scalor.model, scalor.guide, pyro.optim.Adam({"lr": 3e-3}), ReparamELBO())
    for _ in range(15):
        svi.step(videos)
    assert loss_of(scalor, videos).item() < before


def without_gradient(scalor: Scalor, videos: Tensor) -> list[str]:
    """Parameters that do not count, or only by rounding."""
    loss_of(scalor.double(), videos.double()).backward()
    return [name for name, p in scalor.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9]


@pytest.mark.parametrize("background", ["moving", "static"])
def test_every_parameter_gets_a_gradient(make_scalor: Make, videos: Tensor, background: str) -> None:
    scalor = make_scalor(background=background)
    assert without_gradient(scalor, videos) == []


def test_without_attention_only_its_encoders_get_no_gradient(make_scalor: Make, videos: Tensor) -> None:
    without = {name.split(".")[1] for name in without_gradient(make_scalor(attention=False), videos)}
    assert without == {"attention"}


# Switches that mean something only over another background than the tiny model's.
NEEDED: dict[str, dict[str, Any]] = {"difference_input": {"background": "static"}}
SWITCHES: list[dict[str, Any]] = [
    {field.name: not field.default, **NEEDED.get(field.name, {})}
    for field in dataclasses.fields(ModelConfig)
    if isinstance(field.default, bool)
]
SIZES: list[dict[str, Any]] = [
    {"background": "none"},
    {"background": "static"},
    {"background": "static", "channels": 1, "contrast_input": True, "z_bg_light": 1},
    {"first_shortlist": 0, "shortlist": 0},
    {"size_range": 0.0, "aspect_range": 0.0},
    {"z_bg_extra": 0},
    {"slots": 1},
    {"slots": 13},
    {"cells": (1, 1), "first_shortlist": 1, "shortlist": 1},
    {"channels": 1},
    {"channels": 1, "colour_start": True, "contrast_input": True},
    {"attention": False, "explain_away": False},
    {"object_size": 60.0},
    {"glimpse_size": 16},
    {"feature_dim": 8},
    {"reject_by_colour": True, "reject_among_proposals": False},
]


def as_name(changes: dict[str, Any]) -> str:
    return "-".join(f"{name}={value}" for name, value in changes.items())


@pytest.mark.parametrize("changes", SWITCHES + SIZES, ids=as_name)
def test_every_switch_runs_forward_and_backward(make_scalor: Make, videos: Tensor, changes: dict[str, Any]) -> None:
    scalor = busy(make_scalor(**changes))
    loss = loss_of(scalor, videos[:, :, : scalor.config.channels])
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in scalor.parameters() if p.grad is not None)


@pytest.mark.parametrize("changes", [c for c in SWITCHES if not next(iter(c)).startswith("reject")], ids=as_name)
def test_every_switch_does_something(make_scalor: Make, videos: Tensor, changes: dict[str, Any]) -> None:
    plain, switched = busy(make_scalor(**NEEDED.get(next(iter(changes)), {}))), busy(make_scalor(**changes))
    assert loss_of(plain, videos).item() != loss_of(switched, videos).item()


def test_rejection_switches_reach_the_model(make_scalor: Make, videos: Tensor) -> None:
    # Boxes that are larger than the cells: proposals cover each other.
    wide: dict[str, Any] = {"cell_reach": 0.01, "object_size": 40.0, "size_range": 0.0, "aspect_range": 0.0}

    def drawn(t: int, reach: float = 10.0, **changes: Any) -> int:
        """How many proposals are drawn in a frame."""
        scalor = busy(make_scalor(**wide, **changes))
        scalor.schedule({"reject_proposals": 0.2, "reject_propagated": 0.2, "reject_within": reach})
        pyro.set_rng_seed(0)
        frame = scalor.guide(videos)[t]
        return int((frame.drawn.presence[:, -scalor.config.proposals(first=t == 0) :] > 0).sum())

    assert drawn(0, rejection=False) == drawn(0, reject_among_proposals=False) == 2 * 7
    assert drawn(0, reject_by_colour=True, colour_threshold=0.0) == 2 * 7
    assert drawn(0) < 2 * 7
    assert drawn(1, rejection=False) == 2 * 6
    assert drawn(1, reject_among_proposals=False) < 2 * 6  # the propagated objects reject
    assert drawn(1, reach=0.0, reject_among_proposals=False) == 2 * 6


@pytest.mark.parametrize(("batch", "frames"), [(1, 3), (2, 1), (1, 1)])
def test_one_video_and_one_frame(scalor: Scalor, videos: Tensor, batch: int, frames: int) -> None:
    x = videos[:batch, :frames]
    guide, model = traces(scalor, x)
    assert len(guide.nodes["_RETURN"]["value"]) == len(model.nodes["_RETURN"]["value"]) == frames
    loss = loss_of(scalor, x)
    loss.backward()
    assert loss.isfinite()


def test_double_precision(scalor: Scalor, videos: Tensor) -> None:
    scalor.double()
    for trace in traces(scalor, videos.double()):
        assert all(site["value"].dtype == torch.float64 for site in latents(trace).values())
    assert loss_of(scalor, videos.double()).dtype == torch.float64
    (frame,) = scalor.model(None, frames=1)
    assert frame.canvas.colour.dtype == torch.float64


@pytest.mark.parametrize(
    ("part", "frames"),
    [
        ("decoder", 1),
        ("frame_encoder", 1),
        ("discovery_posterior", 1),
        ("propagation_prior", 2),
        ("propagation_posterior", 2),
        ("background.decoder", 1),
        ("background.prior", 2),
        ("background.posterior", 1),
    ],
)
def test_gradients_are_finite_differences(make_scalor: Make, videos: Tensor, part: str, frames: int) -> None:
    """Where no gradient is cut on purpose: a scene that is carried on is detached."""
    scalor = busy(make_scalor(background="moving" if part.startswith("background") else "none")).double()
    with torch.no_grad():
        scalor.discovery_posterior.explained_encoder[0].weight.zero_()  # sees propagated objects, detached
    x = videos[:, :frames].double()
    # The appearance encoder belongs to discovery, too, which comes earlier.
    parameters = {
        name: value
        for name, value in scalor.get_submodule(part).named_parameters()
        if not name.startswith("appearance")
    }
    loss = loss_of(scalor, x)
    gradients = dict(
        zip(parameters, torch.autograd.grad(loss, list(parameters.values()), allow_unused=True), strict=True)
    )
    chosen = [name for name in parameters if gradients[name] is not None and gradients[name].any()]
    assert chosen
    step = 1e-6
    for name in chosen[:: max(1, len(chosen) // 6)]:
        gradient, parameter = gradients[name].flatten(), parameters[name].detach().view(-1)
        at = int(gradient.abs().argmax())
        start = parameter[at].item()
        values = []
        for value in (start + step, start - step):
            parameter[at] = value
            values.append(loss_of(scalor, x).item())
        parameter[at] = start
        difference = (values[0] - values[1]) / (2 * step)
        assert difference == pytest.approx(gradient[at].item(), rel=1e-4, abs=1e-4), name


def test_two_models_train_apart(make_scalor: Make, tiny: Callable[..., ModelConfig], videos: Tensor) -> None:
    first = make_scalor()
    torch.manual_seed(2)
    second = Scalor(tiny())
    for scalor in (first, second):
        before = [parameter.clone() for parameter in scalor.parameters()]
        SVI(scalor.model, scalor.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO()).step(videos)
        assert any(not torch.equal(a, b) for a, b in zip(before, scalor.parameters(), strict=True))


# ---------------------------------------------------------------------- shared work


def test_no_glimpse_is_decoded_twice(scalor: Scalor, videos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Tensor] = []
    original = GlimpseDecoder.forward

    @wraps(original)
    def counted(self: GlimpseDecoder, z_what: Tensor) -> Tensor:
        calls.append(z_what)
        return original(self, z_what)

    monkeypatch.setattr(GlimpseDecoder, "forward", counted)
    loss_of(scalor, videos)
    assert len(calls) == 3 + 2  # discovered in three frames, propagated in two


def test_slots_are_chosen_once_a_frame(scalor: Scalor, videos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    original = scalor_module.fill_slots

    def counted(*arguments: Any) -> Slots:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(scalor_module, "fill_slots", counted)
    loss_of(scalor, videos)
    assert len(calls) == 3


def test_sharing_changes_no_number(make_scalor: Make, videos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome() -> tuple[Tensor, list[Tensor]]:
        scalor = busy(make_scalor()).double()
        loss = loss_of(scalor, videos.double())
        return loss, list(torch.autograd.grad(loss, list(scalor.parameters())))

    loss, gradients = outcome()
    monkeypatch.setattr(scalor_module, "once", lambda function, *arguments: function(*arguments))
    alone, expected = outcome()
    torch.testing.assert_close(loss, alone, rtol=1e-12, atol=0)  # added up in another order
    for mine, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-8)


def test_nothing_is_remembered_after_an_evaluation(scalor: Scalor, videos: Tensor) -> None:
    first = loss_of(scalor, videos).item()
    with torch.no_grad():
        scalor.decoder.bias += 0.5
    changed = loss_of(scalor, videos).item()
    assert changed != first
    assert loss_of(scalor, videos).item() == changed


# ---------------------------------------------------------------------- what Pyro can do with it


def test_predictive_forecasts(scalor: Scalor, videos: Tensor) -> None:
    predictive = Predictive(scalor.model, guide=scalor.guide, num_samples=2)
    samples = predictive(videos[:, :2], frames=4)
    for t in (2, 3):
        assert samples[sites.x(t)].shape == (2, 2, 1, 3, 32, 48)
        assert samples[sites.z_where("prop", t)].shape == (2, 2, 5, 4)
        assert not torch.equal(samples[sites.x(t)][0], samples[sites.x(t)][1])
    assert sites.x(4) not in samples and sites.z_bg(4) not in samples


def test_the_guide_stops_where_frames_end(scalor: Scalor, videos: Tensor) -> None:
    assert len(scalor.guide(videos[:, :2], frames=4)) == 2
    assert len(scalor.model(videos[:, :2], frames=4)) == 4
    assert len(scalor.guide(videos, frames=1)) == len(scalor.model(videos, frames=1)) == 1


@pytest.mark.parametrize("background", ["moving", "static", "none"])
def test_generates_from_nothing(make_scalor: Make, background: str) -> None:
    scalor = make_scalor(background=background)
    trace = poutine.trace(scalor.model).get_trace(None, frames=3, sequences=2)
    frames = trace.nodes["_RETURN"]["value"]
    assert len(frames) == 3
    for t, frame in enumerate(frames):
        assert frame.canvas.colour.shape == (2, 3, 32, 48)
        assert trace.nodes[sites.x(t)]["value"].shape == (2, 1, 3, 32, 48)
        assert not trace.nodes[sites.x(t)]["is_observed"]
    assert scalor.guide(None, frames=3, sequences=2) == []
    samples = Predictive(scalor.model, num_samples=3)(None, frames=2, sequences=1)
    assert samples[sites.x(1)].shape == (3, 1, 1, 3, 32, 48)


def test_sites_are_conditioned_and_intervened_by_name(scalor: Scalor) -> None:
    depth = torch.full((1, 7, 1), 4.0)
    conditioned = poutine.condition(scalor.model, data={sites.z_depth("disc", 0): depth})
    (frame,) = conditioned(None, frames=1)
    assert (frame.drawn.depth == 4.0).all()
    done = poutine.do(scalor.model, data={sites.z_pres("disc", 0): torch.full((1, 12), -9.0)})
    (frame,) = done(None, frames=1)
    assert not frame.slots.alive.any()


# ---------------------------------------------------------------------- priors


class EagerDiscovery(DiscoveryPrior):
    def forward(self, t: int, batch: int, annealed: Annealed) -> DiscoveryDistributions:
        distribution = super().forward(t, batch, annealed)
        return distribution._replace(
            presence=type(distribution.presence)(annealed.temperature, torch.full((batch, 12), 3.0))
        )


class BrightAppearance(AppearancePrior):
    def forward(self, where: Tensor) -> Any:
        distribution = super().forward(where)
        return normal(distribution.mean + 2, distribution.stddev)


class FarBackground(BackgroundPrior):
    def forward(self, last: Tensor | None, memory: Tensor | None, batch: int) -> BackgroundDistribution:
        distribution = super().forward(last, memory, batch)
        return distribution._replace(
            z_bg=type(distribution.z_bg)(
                type(distribution.z_bg.base_dist)(distribution.z_bg.mean + 7, distribution.z_bg.stddev), 1
            )
        )


class DoubtfulPropagation(PropagationPrior):
    def forward(self, slots: Slots, memory: Tensor | None, annealed: Annealed) -> PropagationDistributions:
        distribution = super().forward(slots, memory, annealed)
        return distribution._replace(
            presence=type(distribution.presence)(annealed.temperature, torch.full((2, 5), -4.0))
        )


def test_priors_are_taken_from_the_constructor(tiny: Callable[..., ModelConfig], videos: Tensor) -> None:
    config = tiny()
    scalor = Scalor(
        config,
        propagation_prior=DoubtfulPropagation(config),
        discovery_prior=EagerDiscovery(config),
        background_prior=FarBackground(config),
    )
    _, model = traces(scalor, videos)
    assert (model.nodes[sites.z_pres("prop", 2)]["fn"].logits == -4).all()
    assert (model.nodes[sites.z_pres("disc", 1)]["fn"].logits == 3).all()
    assert (model.nodes[sites.z_bg(0)]["fn"].mean == 7).all()


def test_the_appearance_prior_is_that_of_discoveries(tiny: Callable[..., ModelConfig], videos: Tensor) -> None:
    config = tiny()
    _, model = traces(Scalor(config, appearance_prior=BrightAppearance(config)), videos)
    assert (model.nodes[sites.z_what("disc", 1)]["fn"].mean == 2).all()
    with pytest.raises(ValueError, match="appearance_prior: expected none beside a discovery_prior"):
        Scalor(config, discovery_prior=DiscoveryPrior(config), appearance_prior=AppearancePrior(config))


def test_refuses_a_background_prior_without_a_background(tiny: Callable[..., ModelConfig]) -> None:
    config = tiny(background="none")
    with pytest.raises(ValueError, match="background"):
        Scalor(config, background_prior=BackgroundPrior(config))


# ---------------------------------------------------------------------- schedules and weights


def test_schedule_reaches_the_distributions(scalor: Scalor, videos: Tensor) -> None:
    scalor.schedule({"temperature": 0.25, "discovery_prior": 0.2, "discovery_bound": 0.5, "propagation_release": 0.0})
    guide, model = traces(scalor, videos)
    prior, posterior = (trace.nodes[sites.z_pres("disc", 1)]["fn"] for trace in (model, guide))
    assert prior.temperature == posterior.temperature == 0.25
    torch.testing.assert_close(prior.logits.sigmoid(), torch.full((2, 12), 0.2))
    assert posterior.logits.abs().max() <= 0.5
    held = guide.nodes[sites.z_pres("prop", 1)]["fn"].logits
    assert (held == held[0, 0]).all() and held[0, 0] > 0


@pytest.mark.parametrize("values", [{"temprature": 0.5}, {"temperature": 0.7, "sigma": 0.1}])
def test_schedule_refuses_unknown_names(scalor: Scalor, values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="temprature|sigma"):
        scalor.schedule(values)


@pytest.mark.parametrize("background", ["moving", "static"])
def test_weights_round_trip(
    make_scalor: Make, tiny: Callable[..., ModelConfig], videos: Tensor, background: str
) -> None:
    scalor = make_scalor(background=background)
    if background == "static":
        scalor.set_background_image(videos.flatten(0, 1))
    scalor.schedule({"temperature": 0.8, "reject_proposals": 0.7})
    expected = loss_of(scalor, videos)
    torch.manual_seed(77)
    other = Scalor(tiny(background=background))
    assert loss_of(other, videos) != expected
    other.load_state_dict(scalor.state_dict())
    assert torch.equal(loss_of(other, videos), expected)


def test_statistics_count_what_the_guide_sees(make_scalor: Make, videos: Tensor) -> None:
    scalor = busy(make_scalor())
    frames = scalor.guide(videos)
    seen = {name: float(value) for name, value in scalor.last_statistics.items()}
    alive = torch.stack([frame.slots.alive for frame in frames], 1)
    discovered = torch.stack([(frame.discovered.presence > 0.5).sum(-1) for frame in frames], 1)
    propagated = sum(float((frame.propagated.presence > 0.5).sum()) for frame in frames[1:])
    later = float(discovered[:, 1:].sum())
    assert propagated > 0 and later > 0
    assert seen["objects_per_frame"] == pytest.approx(float(alive.sum()) / 6)
    assert seen["discoveries"] == pytest.approx(float(discovered.sum()) / 2)
    assert seen["propagation_rate"] == pytest.approx(propagated / (propagated + later))
    assert 0 < seen["foreground_share"] < 1


# ---------------------------------------------------------------------- bad input


def spoiled(videos: Tensor, value: float) -> Tensor:
    wrong = videos.clone()
    wrong[1, 2, 0, 5, 5] = value
    return wrong


BAD: list[tuple[str, Callable[[Tensor], Tensor], str]] = [
    ("rank", lambda x: x[0], r"shape \(B, T, 3, 32, 48\), got \(3, 3, 32, 48\)"),
    ("channels", lambda x: x[:, :, :1], r"\(B, T, 3, 32, 48\)"),
    ("size", lambda x: x.transpose(-1, -2), r"\(B, T, 3, 32, 48\)"),
    ("no frame", lambda x: x[:, :0], "at least one"),
    ("no sequence", lambda x: x[:0], "at least one"),
    ("bytes", lambda x: (x * 255).byte(), "dtype.*got torch.uint8"),
    ("other precision", lambda x: x.double(), "dtype torch.float32, got torch.float64"),
    ("above 1", lambda x: spoiled(x, 1.5), r"\[0, 1\] without NaN, got 0.*1\.5"),
    ("below 0", lambda x: spoiled(x, -0.5), r"\[0, 1\] without NaN, got -0\.5"),
    ("NaN", lambda x: spoiled(x, float("nan")), "NaN"),
    ("infinite", lambda x: spoiled(x, float("inf")), r"\[0, 1\]"),
]


@pytest.mark.parametrize("program", ["model", "guide"])
@pytest.mark.parametrize(("spoil", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_refuses_what_is_not_a_batch_of_videos(
    scalor: Scalor, videos: Tensor, program: str, spoil: Callable[[Tensor], Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(scalor, program)(spoil(videos))


@pytest.mark.parametrize("arguments", [{}, {"frames": 0}, {"frames": -1}, {"frames": 2, "sequences": 0}], ids=str)
def test_refuses_to_imagine_nothing(scalor: Scalor, arguments: dict[str, int]) -> None:
    for program in (scalor.model, scalor.guide):
        with pytest.raises(ValueError, match="frames"):
            program(None, **arguments)


@pytest.mark.parametrize("frames", [0, -1])
def test_refuses_a_horizon_below_one_frame(scalor: Scalor, videos: Tensor, frames: int) -> None:
    for program in (scalor.model, scalor.guide):
        with pytest.raises(ValueError, match="frames"):
            program(videos, frames=frames)


@pytest.mark.parametrize("switch", [True, False])
def test_of_two_tracks_on_one_object_the_older_goes_on(make_scalor: Make, videos: Tensor, switch: bool) -> None:
    scalor = make_scalor(reject_among_propagated=switch, background="none")
    slots = scalor.guide(videos)[0].slots
    one = slots.objects.take(torch.zeros(2, 3, dtype=torch.long))  # three times the same object
    alpha = torch.ones_like(one.glimpse)
    twins = one._replace(presence=torch.ones(2, 3), glimpse=alpha)
    apart = twins.where.clone()
    apart[..., 2:] = 0
    apart[:, 2, 2:] = 0.9  # but the last is elsewhere
    together = twins._replace(where=apart)
    previous = slots._replace(
        objects=together, identity=torch.tensor([[4, 2, 3], [0, 7, 5]]), alive=torch.ones(2, 3, dtype=torch.bool)
    )
    kept = scalor.carried_on(previous, together)
    assert kept.tolist() == ([[0, 1, 1], [1, 0, 1]] if switch else [[1, 1, 1], [1, 1, 1]])
    parted = apart.clone()
    parted[:, 1, 2:] = -0.9
    passing = previous._replace(objects=twins._replace(where=parted))
    assert scalor.carried_on(passing, together).tolist() == [[1, 1, 1], [1, 1, 1]], "in one frame alone they may pass"
