"""Generation: what is drawn, that it streams, what is refused; forecasts' quality on made-up forecasts whose errors are
known; film strip and player."""

import gc
import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pyro.infer import Predictive
from torch import Tensor

from scalor_pyro.data import GroundTruth
from scalor_pyro.evaluation.forecasts import ForecastEvaluation, table
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.inference.generation import Generated, forecast, imagine, reconstruct
from scalor_pyro.inference.posterior import ModeMessenger, infer
from scalor_pyro.inference.priors import first_frame_presence, no_discovery_from
from scalor_pyro.inference.swap_prior import swap_prior
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.generated import Row, generation_strip, write_generation_player
from tests.fakes import make_truth

B, T, K = 2, 3, 5


def shapes(sample: Generated) -> dict[str, tuple[int, ...]]:
    return {name: tuple(part.shape) for name, part in sample._asdict().items()}


# ------------------------------------------------------------------ what is drawn


def test_forecast_sees_the_first_frames_alone(busy: Scalor, videos: Tensor) -> None:
    torch.manual_seed(0)
    samples = list(forecast(busy, videos, 2, 4, samples=3, at_once=2))
    other = videos.clone()
    other[:, 2:] = 0
    torch.manual_seed(0)
    again = list(forecast(busy, other, 2, 4, samples=3, at_once=2))
    assert len(samples) == len(again) == 3
    for sample, same in zip(samples, again, strict=True):
        assert shapes(sample) == {
            "y": (B, 4, 3, 32, 48),
            "presence": (B, 4, K),
            "where": (B, 4, K, 4),
            "identity": (B, 4, K),
        }
        assert all(torch.equal(a, b) for a, b in zip(sample, same, strict=True))
        assert sample.identity.dtype == torch.long and not sample.y.requires_grad
        assert torch.equal(sample.identity >= 0, sample.presence > 0.5)
    assert not torch.equal(samples[0].where, samples[1].where)


def test_forecast_is_the_posterior_then_the_prior(busy: Scalor, videos: Tensor) -> None:
    seen = infer(busy, videos[:, :2])
    with ModeMessenger(), swap_prior(no_discovery_from(2)):
        (sample,) = forecast(busy, videos, 2, 5, samples=1)
    torch.testing.assert_close(sample.where[:, :2], seen.where)
    torch.testing.assert_close(sample.y[:, :2].clamp(0, 1), seen.reconstruction)
    assert torch.equal(sample.identity[:, :2], seen.identity)
    last = seen.identity[:, -1].max()
    assert last >= 0 and sample.identity[:, 2:].max() <= last, "nothing new"


def test_imagine(busy: Scalor) -> None:
    with swap_prior(first_frame_presence(0.9)):
        samples = list(imagine(busy, frames=2, samples=2, sequences=3))
    assert [sample.y.shape for sample in samples] == [(3, 2, 3, 32, 48)] * 2
    assert (samples[0].identity[:, 0] >= 0).any(-1).all()
    (nothing,) = imagine(busy, frames=1, samples=1)
    assert nothing.y.shape == (1, 1, 3, 32, 48)


def test_reconstructions_are_drawn_from_the_posterior(busy: Scalor, videos: Tensor) -> None:
    with ModeMessenger():
        (likeliest,) = reconstruct(busy, videos, samples=1)
    torch.testing.assert_close(likeliest.y.clamp(0, 1), infer(busy, videos).reconstruction)
    one, other = reconstruct(busy, videos, samples=2)
    assert one.y.shape == videos.shape and not torch.equal(one.y, other.y)


def test_streams(busy: Scalor, videos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are drawn when they are asked for, and none is kept."""
    drawn = 0
    model = busy.model

    def counting(*arguments: object, **others: object) -> object:
        nonlocal drawn
        drawn += 1
        return model(*arguments, **others)

    monkeypatch.setattr(busy, "model", counting)
    stream = forecast(busy, videos, 1, 2, samples=10**9)
    assert drawn == 0, "nothing yet"
    kept = [weakref.ref(next(stream).y) for _ in range(5)]
    gc.collect()
    assert drawn == 5
    assert sum(reference() is not None for reference in kept) <= 1
    assert len(list(forecast(busy, videos, 1, 2, samples=3))) == 3


STREAMS = {
    "forecast": lambda scalor, x, samples, at_once: forecast(scalor, x, 2, 4, samples, at_once),
    "imagine": lambda scalor, x, samples, at_once: imagine(scalor, 3, samples, 2, at_once),
    "reconstruct": lambda scalor, x, samples, at_once: reconstruct(scalor, x, samples, at_once),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_sample_depends_on_its_number_alone(
    busy: Scalor, videos: Tensor, stream: Callable[[Scalor, Tensor, int, int], Iterator[Generated]]
) -> None:
    def drawn(samples: int, at_once: int, seed: int = 3, others: int = 0) -> list[Generated]:
        torch.manual_seed(seed)
        found = []
        for sample in stream(busy, videos, samples, at_once):
            found.append(sample)
            torch.rand(others)
        return found

    def same(one: list[Generated], other: list[Generated]) -> bool:
        return all(torch.equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True))

    expected = drawn(5, 1)
    assert not torch.equal(expected[0].y, expected[1].y)
    for at_once in (2, 3, 4, 7):
        assert same(drawn(5, at_once), expected)
    assert same(drawn(3, 4), expected[:3]) and same(drawn(5, 1, others=9), expected)
    assert not same(drawn(5, 1, seed=4), expected)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_the_global_generator_moves_by_one_draw(
    busy: Scalor, videos: Tensor, stream: Callable[[Scalor, Tensor, int, int], Iterator[Generated]]
) -> None:
    after = []
    for samples in (1, 4):
        torch.manual_seed(3)
        list(stream(busy, videos, samples, 1))
        after.append(torch.get_rng_state())
    assert torch.equal(*after)
    torch.manual_seed(3)
    first, second = (next(stream(busy, videos, 1, 1)) for _ in range(2))
    assert not torch.equal(first.y, second.y), "another call draws other samples"


def test_forecasts_follow_the_distributions_of_the_model(busy: Scalor, videos: Tensor) -> None:
    """As many samples as Predictive draws have the same mean and spread."""
    predictive = Predictive(busy.model, guide=busy.guide, num_samples=200, return_sites=["slot_where_3"])
    with torch.no_grad():
        theirs = predictive(videos[:, :2], frames=4)["slot_where_3"].flatten(1)
    ours = torch.stack([each.where[:, 3].flatten() for each in forecast(busy, videos, 2, 4, samples=200)])
    torch.testing.assert_close(ours.mean(), theirs.mean(), atol=0.02, rtol=0)
    torch.testing.assert_close(ours.std(), theirs.std(), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("observed", "frames", "samples", "match"),
    [
        (2, 2, 1, r"Horizon: expected at least 1 frame, got 0 \(2 frames in all, 2 of them observed\)"),
        (2, 1, 1, "got -1"),
        (4, 6, 1, "Observed frames: expected 1 to 3, which the video has, got 4"),
        (0, 6, 1, "got 0"),
        (2, 4, 0, "samples: expected at least 1, got 0"),
    ],
)
def test_forecast_refuses_at_once(
    busy: Scalor, videos: Tensor, observed: int, frames: int, samples: int, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        forecast(busy, videos, observed, frames, samples)


def test_others_refuse_at_once(busy: Scalor, videos: Tensor) -> None:
    for arguments, match in (
        ((0, 1), "frames: expected at least 1, got 0"),
        ((2, 0), "samples: .* got 0"),
        ((2, 1, 0), "sequences: .* got 0"),
        ((2**32, 1), "frames: expected at most 1,000,000, got 4294967296"),
        ((2, 1, 2**32), "sequences: expected at most 1,000,000"),
    ):
        with pytest.raises(ValueError, match=match):
            imagine(busy, *arguments)
    with pytest.raises(ValueError, match="Videos: expected shape"):
        reconstruct(busy, videos[0], 1)
    with pytest.raises(ValueError, match="at_once: .* got 0"):
        reconstruct(busy, videos, 1, at_once=0)


# ------------------------------------------------------------------ how good forecasts are

# A view of 20 × 40 px; the object goes 2 px to the right a frame.
HEIGHT, WIDTH = 20, 40
START, SPEED, SIZE = 10.0, 2.0, 8.0


def straight(frames: int = 5, share: tuple[float, ...] = (1, 1, 1, 1, 1)) -> GroundTruth:
    return make_truth([(t, 7, START + SPEED * t, 10, SIZE, share[t]) for t in range(frames)])


def made_up(
    x: list[float], identity: tuple[int, ...] = (3, 3, 3, 3, 3), slot: tuple[int, ...] = (1, 1, 1, 1, 1), y: float = 0.5
) -> Generated:
    """One video with one object among K slots, at these places in px; identity -1: not there."""
    frames = len(x)
    where = torch.full((1, frames, K, 4), 0.4)
    where[..., 2:] = 0.9
    ours = torch.full((1, frames, K), -1)
    for t in range(frames):
        where[0, t, slot[t], 2:] = torch.tensor([x[t] / WIDTH * 2 - 1, 0.0])
        ours[0, t, slot[t]] = identity[t]
    presence = (ours >= 0).float() * 0.9
    return Generated(torch.full((1, frames, 3, HEIGHT, WIDTH), y), presence, where, ours)


def measured(
    samples: list[Generated], truth: GroundTruth, observed: int = 3, x: Tensor | None = None
) -> dict[str, dict]:
    evaluation = ForecastEvaluation(observed, 5)
    evaluation.add(iter(samples), torch.zeros(1, 5, 3, HEIGHT, WIDTH) if x is None else x, [truth])
    result = evaluation.result()
    assert table(result).count("\n") == 16
    return result


def test_errors_by_horizon() -> None:
    samples = [made_up([10, 13, 15, 16, 17]), made_up([10, 12, 15, 18, 19])]
    result = measured(samples, straight())  # the truth: 10 12 14 16 18
    expected = {  # velocity: 2 and 3
        "mean": [1, 0],
        "single": [1, 1],
        "hold": [1, 3],
        "velocity": [1.5, 2],
    }
    for name, errors in expected.items():
        np.testing.assert_allclose(result["position_error"][name], errors, atol=1e-5)
    displaced = {"mean": [0, 1], "single": [1, 1], "hold": [2, 4], "velocity": [0.5, 1]}
    for name, errors in displaced.items():
        np.testing.assert_allclose(result["displacement_error"][name], errors, atol=1e-5)
    assert result["located"] == pytest.approx(1)
    assert (result["horizon"], result["objects"], result["missed"], result["ended"]) == ([1, 2], [1, 1], 0, [0, 0])


def test_pictures_by_horizon() -> None:
    x = torch.zeros(1, 5, 3, HEIGHT, WIDTH)
    x[:, 2:] = torch.tensor([0.1, 0.3, 0.6]).view(1, 3, 1, 1, 1)
    samples = [made_up([10, 12, 14, 16, 18], y=y) for y in (0.2, 0.6)]
    mse = measured(samples, straight(), x=x)["mse"]
    np.testing.assert_allclose(mse["mean"], [0.01, 0.04], rtol=1e-5)
    np.testing.assert_allclose(mse["single"], [0.05, 0.08], rtol=1e-5)
    np.testing.assert_allclose(mse["hold"], [0.04, 0.25], rtol=1e-5)


def test_identity_is_followed_from_slot_to_slot() -> None:
    result = measured([made_up([10, 12, 14, 16, 18], slot=(0, 1, 1, 4, 2))], straight())
    np.testing.assert_allclose(result["position_error"]["mean"], [0, 0], atol=1e-5)
    np.testing.assert_allclose(result["position_error"]["velocity"], [0, 0], atol=1e-5)


def test_ended_forecast_keeps_its_last_place_and_counts() -> None:
    result = measured([made_up([10, 12, 14, 17, 0], identity=(3, 3, 3, 3, -1))], straight())
    np.testing.assert_allclose(result["position_error"]["mean"], [1, 1], atol=1e-5)
    assert result["ended"] == [0, 1]
    another = measured([made_up([10, 12, 14, 16, 18], identity=(3, 3, 3, 4, 4))], straight())
    np.testing.assert_allclose(another["position_error"]["mean"], [2, 4], atol=1e-5)
    assert another["ended"] == [1, 1]


def test_just_discovered_or_one_frame_seen_has_no_velocity() -> None:
    for observed, identity in ((3, (-1, -1, 3, 3, 3)), (1, (3, 3, 3, 3, 3))):
        errors = measured([made_up([10, 12, 14, 16, 18], identity=identity)], straight(), observed)["position_error"]
        assert errors["velocity"] == errors["hold"] and errors["hold"][0] == pytest.approx(2)


def test_who_counts() -> None:
    perfect = made_up([10, 12, 14, 16, 18])
    assert measured([perfect], straight(share=(1, 1, 0.5, 0.5, 0.4)))["objects"] == [1, 0]
    unseen = measured([perfect], straight(share=(1, 1, 0.4, 1, 1)))
    assert (unseen["objects"], unseen["missed"]) == ([0, 0], 0)
    assert (
        math.isnan(unseen["position_error"]["mean"][0]) and without_nan(unseen)["position_error"]["mean"] == [None] * 2
    )
    missed = measured([made_up([30, 30, 30, 30, 30])], straight())
    assert (missed["objects"], missed["missed"]) == ([0, 0], 1)
    edge = [measured([made_up([10, 12, 14 + off, 16, 18])], straight())["missed"] for off in (3.9, 4.1)]
    assert edge == [0, 1], "within half a size"


def test_evaluation_refuses() -> None:
    frames, sample = torch.zeros(1, 5, 3, HEIGHT, WIDTH), made_up([10, 12, 14, 16, 18])
    with pytest.raises(ValueError, match="Horizon: .* got 0"):
        ForecastEvaluation(5, 5)
    evaluation = ForecastEvaluation(3, 5)
    with pytest.raises(ValueError, match="expected at least one sample"):
        evaluation.add([], frames, [straight()])
    with pytest.raises(ValueError, match=r"samples: expected shape \(2, 5, .* got \(1, 5, 3, 20, 40\)"):
        evaluation.add([sample], frames.expand(2, -1, -1, -1, -1), [straight()] * 2)
    for x, truths in ((frames[:, :4], 1), (frames, 2)):
        with pytest.raises(ValueError, match="each video of at least 5 frames, got"):
            evaluation.add([sample], x, [straight()] * truths)


# ------------------------------------------------------------------ pictures


def test_strip_shows_the_border(busy: Scalor, videos: Tensor) -> None:
    (sample,) = forecast(busy, videos, 1, 3, samples=1)
    rows = [Row("truth", videos[1]), Row("sample", sample.y[1], sample, 1)]
    figure = generation_strip(rows, observed=1)
    assert [text.get_text() for text in figure.texts] == ["seen", "predicted"]
    assert len(figure.axes) == 6 and len(figure.artists) == 1
    (line,) = figure.artists
    lefts = [axes.get_position().x0 for axes in figure.axes[:3]]
    assert lefts[0] < line.get_xdata()[0] < lefts[1]
    assert lefts[1] - lefts[0] > lefts[2] - lefts[1]
    drawn = [len(axes.patches) for axes in figure.axes]
    assert drawn == [0, 0, 0, *(sample.presence[1] > 0.5).sum(-1).tolist()] and drawn[3] > 0
    imagined = generation_strip(rows, observed=0)
    assert [text.get_text() for text in imagined.texts] == ["imagined"] and not imagined.artists
    for wrong in ([], [rows[0], Row("short", videos[0, :2])]):
        with pytest.raises(ValueError, match="rows: expected at least one, all of one shape"):
            generation_strip(wrong, 1)


def test_player_says_what_was_seen(busy: Scalor, videos: Tensor, tmp_path: Path) -> None:
    write_generation_player(tmp_path / "player.html", [Row("truth", videos[0, :2])], observed=1, title="a < b")
    page = (tmp_path / "player.html").read_text()
    assert "<title>a &lt; b</title>" in page and page.count("data:image/png;base64") == 2
    assert "http://" not in page.replace("http://www.w3.org", "")
