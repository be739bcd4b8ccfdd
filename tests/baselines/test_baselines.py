"""The baselines: their sites and laws, what training and generation do with them, and runs from config to figures."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor

from scalor_pyro.baselines import SQAIR, VRNN, SequentialVAE, SequentialVAEConfig, SQAIRConfig, VRNNConfig
from scalor_pyro.baselines.sqair import add
from scalor_pyro.config import ConfigError, DataConfig, Stage, TrainConfig, config_from_dict, config_to_dict
from scalor_pyro.config.baselines import BaselineRun, SequentialVAERun, SQAIRRun, VRNNRun
from scalor_pyro.experiments.assessment import reconstruction
from scalor_pyro.experiments.baselines import BASELINES, baseline
from scalor_pyro.experiments.synthetic import Likelihood, run_experiment
from scalor_pyro.inference.generation import forecast, imagine
from scalor_pyro.inference.latents import latents
from scalor_pyro.inference.likelihood import log_evidence, nll
from scalor_pyro.inference.posterior import infer
from scalor_pyro.inference.priors import first_frame_presence, no_discovery_from
from scalor_pyro.inference.swap_prior import swap_prior
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import Canvas, draw
from scalor_pyro.model import sites
from scalor_pyro.model.shared import shared_work
from scalor_pyro.runs.loading import load_run
from scalor_pyro.training.elbo import ReparamELBO

# B = 2, T = 3, 32 × 48 px, as the videos of conftest have.
FRAMES: dict[str, Any] = {
    "image_size": (32, 48),
    "latent_dim": 7,
    "memory_dim": 11,
    "width": 4,
}
OBJECTS: dict[str, Any] = {
    "image_size": (32, 48),
    "slots": 2,
    "object_size": 10.0,
    "z_what_dim": 9,
    "glimpse_size": 8,
    "width": 4,
    "tracker_dim": 16,
    "prior_dim": 11,
}
MODELS: dict[str, Any] = {
    "vrnn": VRNNConfig(**FRAMES),
    "sequential-vae": SequentialVAEConfig(**FRAMES),
    "sqair": SQAIRConfig(**OBJECTS),
}


def make(name: str) -> Any:
    """A tiny baseline, the same one each time."""
    torch.manual_seed(1)
    program = BASELINES[name].build(MODELS[name])
    program.schedule({"temperature": 0.5, "discovery_prior": 0.1})
    return program


def eager_sqair() -> Any:
    """SQAIR that sees opaque objects at every step."""
    sqair = make("sqair")
    with torch.no_grad():
        for head in (sqair.discovery_posterior.head, sqair.propagation_posterior.head):
            head[-1].bias[0] = 4.0
        sqair.decoder.bias[-1] = 2.0
    return sqair


def loss_of(program: Any, x: Tensor, seed: int = 3) -> Tensor:
    pyro.set_rng_seed(seed)
    return ReparamELBO().differentiable_loss(program.model, program.guide, x)


def shapes(trace: poutine.Trace) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Batch and event shape of each site but plates."""
    return {
        name: (tuple(site["fn"].batch_shape), tuple(site["fn"].event_shape))
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not poutine.util.site_is_subsample(site)
    }


# ------------------------------------------------------------------ the programs


@pytest.mark.parametrize("name", ["vrnn", "sequential-vae"])
def test_sites_of_frame_models(name: str, videos: Tensor) -> None:
    program = make(name)
    guide = poutine.trace(program.guide).get_trace(videos)
    model = poutine.trace(poutine.replay(program.model, trace=guide)).get_trace(videos)
    z = {f"z_{t}": ((2, 1), (7,)) for t in range(3)}
    frames = {f"{family}_{t}": ((2, 1), (3, 32, 48)) for family in "xy" for t in range(3)}
    assert shapes(guide) == z
    assert shapes(model) == {**z, **frames}
    assert latents(guide)["z"].values.shape == (2, 3, 7) and latents(guide)["z"].axes == (
        "sequence",
        "frame",
        "feature",
    )


def test_sites_of_sqair(videos: Tensor) -> None:
    sqair = make("sqair")
    guide = poutine.trace(sqair.guide).get_trace(videos)
    model = poutine.trace(poutine.replay(sqair.model, trace=guide)).get_trace(videos)
    events = {"z_pres": (), "z_where": (4,), "z_what": (9,)}
    parts = {"disc": range(3), "prop": range(1, 3)}
    of_objects = {
        f"{latent}_{part}_{n}_{t}": ((2, 1), event)
        for latent, event in events.items()
        for part, times in parts.items()
        for n in range(2)
        for t in times
    }
    of_frames = {
        f"{name}_{t}": shape
        for t in range(3)
        for name, shape in {
            "x": ((2, 1), (3, 32, 48)),
            "y": ((2, 1), (3, 32, 48)),
            "slot_pres": ((2, 2), ()),
            "slot_where": ((2, 2), (4,)),
            "slot_identity": ((2, 2), ()),
        }.items()
    }
    assert shapes(guide) == of_objects
    assert shapes(model) == {**of_objects, **of_frames}
    assert sites.frame_of("z_pres_disc_1_2") == 2


@pytest.mark.parametrize("name", MODELS)
def test_elbo_is_that_of_pyro(name: str, videos: Tensor) -> None:
    """Which would warn of sites that model and guide do not share; warnings are errors here."""
    program = make(name)
    ours = loss_of(program, videos).item()
    pyro.set_rng_seed(3)
    theirs = Trace_ELBO().loss(program.model, program.guide, videos)
    assert ours == pytest.approx(theirs, rel=1e-5)
    svi = SVI(program.model, program.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())
    assert [svi.step(videos) > 0 for _ in range(2)] == [True, True]


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name: str, videos: Tensor) -> None:
    program = eager_sqair() if name == "sqair" else make(name)
    loss_of(program, videos).backward()
    for parameter, value in program.named_parameters():
        assert value.grad is not None and bool(torch.isfinite(value.grad).all()), parameter
        assert bool((value.grad != 0).any()), parameter


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_loss(name: str, videos: Tensor) -> None:
    program = make(name)
    assert loss_of(program, videos) == loss_of(program, videos) == loss_of(make(name), videos)
    assert loss_of(program, videos) != loss_of(program, videos, seed=4)


@pytest.mark.parametrize("name", MODELS)
def test_a_few_steps_lower_the_loss(name: str, videos: Tensor) -> None:
    program = make(name)
    optimiser = torch.optim.Adam(program.parameters(), 3e-3)
    before = loss_of(program, videos).item()
    for seed in range(12):
        optimiser.zero_grad()
        loss_of(program, videos, seed).backward()
        optimiser.step()
    assert loss_of(program, videos).item() < before


@pytest.mark.parametrize("name", MODELS)
def test_sequences_are_independent(name: str, videos: Tensor) -> None:
    """What is seen in one video says nothing of another."""
    program = eager_sqair() if name == "sqair" else make(name)
    other = torch.stack([videos[0], 1 - videos[1]])
    traces = []
    for x in (videos, other):
        pyro.set_rng_seed(2)
        traces.append(poutine.trace(program.guide).get_trace(x))
    changed = []
    for site in shapes(traces[0]):
        first, second = (trace.nodes[site]["value"] for trace in traces)
        torch.testing.assert_close(first[0], second[0], rtol=1e-4, atol=1e-4)
        changed.append(not torch.allclose(first[1], second[1]))
    assert any(changed)


@pytest.mark.parametrize(("name", "remembers"), [("vrnn", True), ("sequential-vae", False)])
def test_what_the_guide_looks_at(name: str, remembers: bool, videos: Tensor) -> None:
    """The VRNN knows the frames before, the sequential VAE only the frame itself; none knows the future."""
    program = make(name)
    other = videos.clone()
    other[:, 1] = 0.0
    distributions = []
    for x in (videos, other):
        pyro.set_rng_seed(2)
        trace = poutine.trace(program.guide).get_trace(x)
        distributions.append([trace.nodes[sites.z(t)]["fn"].mean for t in range(3)])
    same = [torch.allclose(first, second) for first, second in zip(*distributions, strict=True)]
    assert same == [True, False, not remembers]


def square_somewhere(count: int) -> Tensor:
    """Videos of one frame: a white square on black, each in another place. (B, 1, C, H, W)"""
    frames = torch.zeros(count, 1, 3, 32, 48)
    for frame, y, x in zip(frames, torch.randint(24, (count,)), torch.randint(40, (count,)), strict=True):
        frame[..., y : y + 8, x : x + 8] = 1.0
    return frames


@pytest.mark.parametrize("name", ["vrnn", "sequential-vae"])
def test_frame_models_draw_what_they_see(name: str) -> None:
    """And soon: most of a frame is black, and black frames are a plateau of the loss."""
    torch.manual_seed(1)
    program = BASELINES[name].build(replace(MODELS[name], latent_dim=16, width=8))
    optimiser = torch.optim.Adam(program.parameters(), 3e-3)
    for step in range(75):
        optimiser.zero_grad()
        (loss_of(program, square_somewhere(16), step) / 16).backward()
        optimiser.step()
    unseen = square_somewhere(32)
    assert (reconstruction(program, unseen) - unseen).square().mean() < unseen.square().mean() / 2


# ------------------------------------------------------------------ SQAIR


def some_objects(n: int) -> Objects:
    """n objects here and there, one of them half outside."""
    where = torch.rand(2, n, 4) * 0.3 + 0.2
    where[:, 0, 2:] = torch.tensor([0.95, -0.9])
    return Objects(
        torch.rand(2, n),
        where,
        torch.zeros(2, n, 2),
        torch.zeros(2, n, 2),
        torch.zeros(2, n, 1),
        torch.zeros(2, n, 9),
        torch.rand(2, n, 4, 8, 8),
    )


def test_what_objects_draw_is_added_up() -> None:
    objects = some_objects(3)
    canvas = blank = Canvas(torch.zeros(2, 3, 32, 48), torch.zeros(2, 1, 32, 48))
    parts = []
    for n in range(3):
        one = objects.take(torch.full((2, 1), n))
        canvas = add(canvas, one.presence, one.where, one.glimpse)
        parts.append(add(blank, one.presence, one.where, one.glimpse))
        alone = draw(one.glimpse, one.where, one.presence, one.depth, (32, 48), (32, 48))
        torch.testing.assert_close(parts[-1].colour, alone.colour, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(parts[-1].alpha, alone.alpha, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(canvas.colour, sum(part.colour for part in parts))
    torch.testing.assert_close(canvas.alpha, sum(part.alpha for part in parts))


def test_a_frame_shows_all_of_its_objects(videos: Tensor) -> None:
    sqair = eager_sqair()
    trace = poutine.trace(sqair.guide).get_trace(videos)
    for frame in poutine.replay(sqair.model, trace=trace)(videos):
        drawn = frame.discovered if frame.propagated is None else frame.propagated.joined(frame.discovered)
        canvas = Canvas(torch.zeros(2, 3, 32, 48), torch.zeros(2, 1, 32, 48))
        for n in range(drawn.presence.shape[1]):
            one = drawn.take(torch.full((2, 1), n))
            canvas = add(canvas, one.presence, one.where, one.glimpse)
        torch.testing.assert_close(frame.canvas.colour, canvas.colour)
        torch.testing.assert_close(frame.canvas.alpha, canvas.alpha.clamp(max=1))


def test_nothing_is_drawn_twice(videos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the guide has decoded, the model does not decode again."""
    sqair, calls = make("sqair"), []
    decode = sqair.decoder.forward
    monkeypatch.setattr(sqair.decoder, "forward", lambda what: calls.append(what) or decode(what))
    with shared_work():
        trace = poutine.trace(sqair.guide).get_trace(videos)
        once = len(calls)
        poutine.replay(sqair.model, trace=trace)(videos)
    assert once == len(calls) == 2 + 2 * (2 + 2)


def test_the_guide_sees_what_is_drawn_already(videos: Tensor) -> None:
    """Where an object is looked for depends on what is drawn of the frame."""
    localiser = make("sqair").discovery_posterior.localiser
    frame = videos[:, 0]
    nothing = Canvas(torch.zeros_like(frame), torch.zeros_like(frame[:, :1]))
    everything = Canvas(frame, torch.ones_like(frame[:, :1]))
    (seen, place), (other, elsewhere) = (localiser(frame, explained) for explained in (nothing, everything))
    assert not torch.allclose(seen, other) and not torch.allclose(place, elsewhere)
    assert place.shape == (2, 2) and bool((place.abs() < 1).all())


def test_an_object_is_discovered_only_if_the_one_before_is(videos: Tensor) -> None:
    for frame in make("sqair").guide(videos):
        presence = frame.discovered.presence
        assert bool((presence[:, 1:] <= presence[:, :-1]).all())


def test_objects_keep_their_identity(videos: Tensor) -> None:
    found = infer(eager_sqair(), videos)
    assert found.identity.tolist() == [[[0, 1]] * 3] * 2, "both slots are full from the first frame on"
    assert found.new[:, 0].all() and not found.new[:, 1:].any()
    assert found.reconstruction.shape == videos.shape and found.segments.max() >= 0


def test_where_nothing_is_found_nothing_is_drawn(videos: Tensor) -> None:
    sqair = make("sqair")
    torch.nn.init.constant_(sqair.discovery_posterior.head[-1].bias, -50.0)
    found = infer(sqair, videos)
    assert not found.presence.any() and (found.identity == -1).all()
    assert found.reconstruction.max() < 0.01


# ------------------------------------------------------------------ generation, likelihood


@pytest.mark.parametrize("name", MODELS)
def test_forecast_sees_the_first_frames_alone(name: str, videos: Tensor) -> None:
    program = eager_sqair() if name == "sqair" else make(name)
    other = videos.clone()
    other[:, 2:] = 0
    drawn = []
    for x in (videos, other):
        pyro.set_rng_seed(5)
        drawn.append(list(forecast(program, x, observed=2, frames=5, samples=3, at_once=2)))
    slots = 2 if name == "sqair" else 0
    for sample, again in zip(*drawn, strict=True):
        assert sample.y.shape == (2, 5, 3, 32, 48)
        assert sample.presence.shape == sample.identity.shape == (2, 5, slots)
        assert sample.where.shape == (2, 5, slots, 4) and sample.identity.dtype == torch.long
        assert all(torch.equal(a, b) for a, b in zip(sample, again, strict=True))
    assert not torch.equal(drawn[0][0].y[:, 2:], drawn[0][1].y[:, 2:]), "samples differ"


@pytest.mark.parametrize("name", MODELS)
def test_imagine(name: str) -> None:
    (sample,) = imagine(make(name), frames=3, samples=1, sequences=2)
    assert sample.y.shape == (2, 3, 3, 32, 48) and bool(torch.isfinite(sample.y).all())


def test_priors_of_discovery_can_be_swapped() -> None:
    sqair = make("sqair")
    distributions = {"z_pres_disc_*_0": first_frame_presence(0.99)["z_pres_disc_0"]}
    with swap_prior(distributions), swap_prior(no_discovery_from(1)):
        (sample,) = imagine(sqair, frames=3, samples=1, sequences=8)
    assert (sample.identity[:, 0] >= 0).any()
    assert sample.identity[:, 1:].max() <= sample.identity[:, 0].max(), "nothing new"


@pytest.mark.parametrize("name", ["vrnn", "sequential-vae"])
def test_reconstruction_is_the_mode(name: str, videos: Tensor) -> None:
    program = make(name)
    first = reconstruction(program, videos)
    torch.rand(3)
    assert torch.equal(first, reconstruction(program, videos))
    assert first.shape == videos.shape and 0 <= first.min() and first.max() <= 1 and not first.requires_grad


@pytest.mark.parametrize("name", MODELS)
def test_likelihood_is_a_bound_that_grows(name: str, videos: Tensor) -> None:
    program = make(name)
    pyro.set_rng_seed(0)
    evidence = log_evidence(program.model, program.guide, videos, samples=[1, 20])
    assert evidence.bound.shape == (2, 2) and bool(torch.isfinite(evidence.bound).all())
    assert evidence.bound[1].sum() > evidence.bound[0].sum()
    assert nll(program, videos, 2).shape == (2,)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("name", MODELS)
def test_what_is_no_batch_of_videos_is_refused(name: str, videos: Tensor) -> None:
    program = make(name)
    for program_part in (program.model, program.guide):
        with pytest.raises(ValueError, match=r"expected shape \(B, T, 3, 32, 48\), got \(2, 3, 32, 48\)"):
            program_part(videos[:, 0])
        with pytest.raises(ValueError, match="got frames=None, sequences=1"):
            program_part()
        with pytest.raises(ValueError, match="float64"):
            program_part(videos.double())


@pytest.mark.parametrize(
    ("kind", "changes", "match"),
    [
        (VRNNConfig, {"image_size": (64, 60)}, "multiples of 8 px"),
        (VRNNConfig, {"latent_dim": 0}, "latent_dim: expected .* got 0"),
        (SequentialVAEConfig, {"width": 6}, "width: expected .* got 6"),
        (SequentialVAEConfig, {"channels": 2}, "channels: expected .* got 2"),
        (SQAIRConfig, {"slots": 0}, "slots: expected .* got 0"),
        (SQAIRConfig, {"glimpse_size": 7}, "glimpse_size: expected .* got 7"),
        (SQAIRConfig, {"image_size": (66, 64)}, "multiples of 4"),
        (SQAIRConfig, {"width": 6}, "width: expected a multiple of 4, .* got 6"),
    ],
)
def test_configs_that_cannot_be(kind: Any, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        kind(**changes)


def test_runs_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="data.background: expected False"):
        baseline("sqair", "sprites", "VLD", background=True)
    with pytest.raises(ConfigError, match="expected one of vrnn, sequential-vae, sqair, got 'air'"):
        baseline("air")
    with pytest.raises(ConfigError, match=r"the model's image_size \(48, 48\)"):
        VRNNRun(model=VRNNConfig(image_size=(48, 48)))
    with pytest.raises(ConfigError, match="samples of the likelihood: expected at least 1, got 0"):
        Likelihood(0, 8)


# ------------------------------------------------------------------ runs


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("density", ["VLD", "LD"])
def test_presets_survive_json(name: str, density: str) -> None:
    config = baseline(name, "digits", density)
    assert config_from_dict(BASELINES[name].run, json.loads(json.dumps(config_to_dict(config)))) == config
    BASELINES[name].build(config.model)
    if isinstance(config, SQAIRRun):
        assert config.model.slots == config.data.count_max


def small(name: str) -> BaselineRun:
    """Two steps on small videos."""
    data = DataConfig(object_size=10.0, image_size=(32, 48), frames=3, digits="uci")
    train = TrainConfig(steps=2, curriculum=(Stage(1.0, 2, 2),), eval_every=1, eval_videos=1, log_every=1)
    runs = {"vrnn": VRNNRun, "sequential-vae": SequentialVAERun, "sqair": SQAIRRun}
    return runs[name](data=data, model=MODELS[name], train=train, seed=4)


def run(name: str, folder: Path, **options: Any) -> dict[str, Any]:
    """Train and evaluate a tiny baseline."""
    chosen = BASELINES[name]
    results = run_experiment(
        small(name),
        folder,
        build=chosen.build,
        assessment=chosen.assessment,
        likelihood=Likelihood(samples=2, videos=2),
        final_videos=2,
        progress=False,
        **options,
    )
    assert results is not None
    return results


@pytest.mark.parametrize("name", BASELINES)
def test_a_run_leaves_figures_pictures_and_weights(name: str, tmp_path: Path) -> None:
    results = run(name, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert 0 < results["mse"] < 1 and results["steps"] == 2 and results["videos"] == 2
    assert (results["nll_samples"], results["nll_videos"]) == (2, 2) and abs(results["nll"]) < 100
    assert [row["step"] for row in results["evaluations"]] == [1, 2]
    pictures = {path.stem for path in (tmp_path / "pictures").glob("*.png")}
    assert ("mota" in results) == (tmp_path / "player.html").exists() == (name == "sqair")
    expected = {"filmstrip", "objects"} if name == "sqair" else {"reconstruction", "forecast", "imagined"}
    assert {*expected, "learning_curves"} <= pictures
    config, weights = load_run(tmp_path, BASELINES[name].run)
    program = BASELINES[name].build(config.model)
    program.load_state_dict(weights)
    again = run(name, tmp_path, resume=True)
    assert (again["mse"], again["nll"]) == (results["mse"], results["nll"]), "nothing is left to train"


def test_a_run_of_another_budget_is_not_gone_on_with(tmp_path: Path) -> None:
    chosen, config = BASELINES["vrnn"], small("vrnn")
    first = run_experiment(
        replace(config, train=replace(config.train, steps=1)),
        tmp_path,
        build=chosen.build,
        assessment=chosen.assessment,
        final_videos=1,
        progress=False,
    )
    assert first is not None and "nll" not in first
    with pytest.raises(ValueError, match="train.steps: expected 2, got 1"):
        run("vrnn", tmp_path, resume=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_trained_apart_from_its_origin(name: str, videos: Tensor) -> None:
    program = make(name)
    program.guide(videos)
    copied = copy.deepcopy(program)
    before = [parameter.clone() for parameter in program.parameters()]
    SVI(copied.model, copied.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO()).step(videos)
    changed = [not torch.equal(mine, start) for mine, start in zip(copied.parameters(), before, strict=True)]
    assert sum(changed) > len(before) / 2
    assert all(torch.equal(mine, start) for mine, start in zip(program.parameters(), before, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_particles_side_by_side_are_refused(name: str, videos: Tensor) -> None:
    program = make(name)
    elbo = Trace_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=2)
    with pytest.raises(ValueError, match=f"{type(program).__name__} runs one particle at a time"):
        elbo.loss(program.model, program.guide, videos)


def test_models_are_ordinary_modules() -> None:
    """Two of them in one parameter store stay apart."""
    first, second = VRNN(MODELS["vrnn"]), VRNN(MODELS["vrnn"])
    for program in (first, second, SequentialVAE(MODELS["sequential-vae"]), SQAIR(MODELS["sqair"])):
        program.model(frames=1)
    store = pyro.get_param_store()
    assert all(any(value is parameter for value in store.values()) for parameter in second.parameters())
