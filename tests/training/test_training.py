"""The training loop: exact resume, budget, curriculum, interruption, evaluation, and values that are not finite."""

import builtins
import json
import logging
import math
import os
import shutil
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from scalor_pyro.config import ConfigError, Schedule, Stage, TrainConfig, constant
from scalor_pyro.files import OutputError
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.configs import CheckpointError
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_run
from scalor_pyro.training import collapse as watch
from scalor_pyro.training import loop as training
from scalor_pyro.training import meters
from scalor_pyro.training.diagnosis import NonFiniteError
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.optimiser import make_optimiser
from scalor_pyro.training.prefetch import Prefetcher, Request
from tests.fake_training import FakeBatch, FakeScalor, FakeVideos, fake_config, fake_train

TIMES = ("minutes", "data_share", "data_cost", "videos_per_s")


class At:
    """An ELBO that does something at given calls, counted from 0."""

    def __init__(self, **actions: Any) -> None:
        self.actions = {int(name[4:]): action for name, action in actions.items()}
        self.calls = 0

    def differentiable_loss(self, model: Any, guide: Any, frames: Tensor) -> Tensor:
        loss = ReparamELBO().differentiable_loss(model, guide, frames)
        action = self.actions.get(self.calls)
        self.calls += 1
        changed = action(loss) if action else None
        return loss if changed is None else changed


def interrupt(loss: Tensor) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def rows_without_times(folder: Path) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in TIMES} for row in RunFolder(folder).rows()]


def noisy_evaluation(step: int) -> dict[str, Any]:
    torch.rand(step), np.random.random(step)
    return {"mota": np.float32(0.5), "per_size": [step, float("nan")]}


@pytest.fixture(autouse=True)
def clean_thread_end() -> Iterator[None]:
    """Each test leaves no thread of the video stream behind."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("videos")]


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_resumed_run_is_bit_identical(tmp_path: Path, optimiser: str, stop_after: int) -> None:
    config = fake_config(optimiser=optimiser)
    whole, parted = FakeScalor(), FakeScalor()
    fake_train(tmp_path / "whole", whole, config, evaluate=noisy_evaluation)
    elbo = At(**{f"call{stop_after - 1}": interrupt})
    result = fake_train(tmp_path / "parted", parted, config, elbo=elbo, evaluate=noisy_evaluation)
    assert (result.step, result.interrupted, result.evaluation) == (stop_after, True, None)

    torch.rand(3), np.random.random(3)
    resumed = FakeScalor(seed=1)
    result = fake_train(tmp_path / "parted", resumed, config, evaluate=noisy_evaluation, resume=True)
    assert (result.step, result.interrupted) == (12, False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert rows_without_times(tmp_path / "whole") == rows_without_times(tmp_path / "parted")
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("whole", "parted")]
    assert weights[0] == weights[1]


def test_rows_after_the_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    fake_train(tmp_path / "whole")
    with pytest.raises(ZeroDivisionError):
        fake_train(tmp_path / "broken", elbo=At(call7=lambda loss: 1 / 0))  # rows to step 6, checkpoint at 4
    with open(tmp_path / "broken" / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "lo')
    fake_train(tmp_path / "broken", resume=True)
    assert rows_without_times(tmp_path / "whole") == rows_without_times(tmp_path / "broken")


def test_evaluation_and_logging_leave_training_alone(tmp_path: Path) -> None:
    plain, watched = FakeScalor(), FakeScalor()
    fake_train(tmp_path / "plain", plain)
    config = fake_config(eval_every=1, log_every=3, checkpoint_every=5)
    fake_train(tmp_path / "watched", watched, config, evaluate=noisy_evaluation)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters(), strict=True))


def test_finished_run_resumes_to_its_evaluation(tmp_path: Path) -> None:
    assert fake_train(tmp_path).evaluation is None
    result = fake_train(tmp_path, evaluate=lambda step: {"mota": step / 10}, resume=True)
    assert result.step == 12 and result.evaluation["mota"] == 1.2
    again = fake_train(tmp_path, evaluate=lambda step: {"mota": -1.0}, resume=True)
    assert again.evaluation["mota"] == 1.2


def test_rows_say_what_the_step_used(tmp_path: Path) -> None:
    videos = FakeVideos()
    config = fake_config()
    fake_train(tmp_path, config=config, clips=videos, evaluate=noisy_evaluation)
    rows = RunFolder(tmp_path).rows()
    logged = [row for row in rows if not row.get("evaluation")]
    evaluated = [row for row in rows if row.get("evaluation")]
    assert [row["step"] for row in logged] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in evaluated] == [5, 10, 12]
    assert evaluated[0]["per_size"] == [5, None]
    assert [(row["batch"], row["frames"]) for row in logged] == [(5, 2)] + [(2, 3)] * 5
    assert videos.asked[:5] == [(0, 5, 2), (5, 5, 2), (10, 5, 2), (15, 2, 3), (17, 2, 3)]
    assert len(videos.asked) == 12
    for row in logged:
        assert row["temperature"] == config.train.temperature(row["step"] - 1)
        assert row["learning_rate"] == config.train.learning_rate_at((row["step"] - 1) / 12)
        assert {"loss", "gradient_norm", "progress", "objects_per_frame", "propagation_rate", *TIMES} <= set(row)
    json.loads((tmp_path / "config.json").read_text())


def test_what_comes_after_training_is_evaluated_and_saved_but_not_learned_with(tmp_path: Path) -> None:
    plain, other, seen = FakeScalor(), FakeScalor(), []
    fake_train(tmp_path / "plain", plain)
    config = fake_config(temperature=Schedule(((0, 1.0), (10, 0.5)), then=0.25))

    def evaluate(step: int) -> dict[str, float]:
        seen.append((step, float(other.temperature)))
        return {}

    fake_train(tmp_path / "other", other, config, evaluate=evaluate)
    assert seen == [(5, 0.25), (10, 0.25), (12, 0.25)]
    assert float(load_run(tmp_path / "other")[1]["temperature"]) == 0.25
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))


def test_a_run_starts_from_the_parameters_of_another(tmp_path: Path) -> None:
    first, whole, parted = FakeScalor(), FakeScalor(seed=1), FakeScalor(seed=2)
    fake_train(tmp_path / "first", first, fake_config(temperature=constant(0.3)))
    config = fake_config(start_from=str(tmp_path / "first"))
    fake_train(tmp_path / "whole", whole, config)
    with pytest.raises(ZeroDivisionError):
        fake_train(tmp_path / "parted", parted, config, elbo=At(call0=lambda loss: 1 / 0))
    saved = load_run(tmp_path / "parted")[1]
    assert all(torch.equal(saved[name], value) for name, value in first.named_parameters())
    assert float(saved["temperature"]) == config.train.temperature(0) != 0.3, "schedules begin anew"

    shutil.rmtree(tmp_path / "first")  # what has begun does not need it any more
    fake_train(tmp_path / "parted", parted, config, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parted.parameters(), strict=True))


def test_a_start_that_there_is_not_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no run .*nowhere"):
        fake_train(tmp_path / "run", config=fake_config(start_from=str(tmp_path / "nowhere")))
    assert not (tmp_path / "run").exists()


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    fake_train(tmp_path, config=fake_config(steps=60, learning_rate=0.05, log_every=10, checkpoint_every=60))
    losses = [row["loss"] for row in RunFolder(tmp_path).rows()]
    assert losses[-1] < losses[0] - 1


def test_budget_in_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**6))
    clock = types.SimpleNamespace(perf_counter=lambda: float(next(now)), process_time=time.process_time)
    monkeypatch.setattr(meters, "time", clock)  # each look at the clock is a second later
    videos = FakeVideos()
    result = fake_train(tmp_path, config=fake_config(minutes=2.0, steps=1), clips=videos)
    assert 1 < result.step < 120 and not result.interrupted and result.minutes >= 2
    assert {asked[1:] for asked in videos.asked} == {(5, 2), (2, 3)}, "the curriculum follows the time"
    seconds = load_training_state(tmp_path / "training_state.pt").seconds
    assert fake_train(tmp_path, config=fake_config(minutes=2.0, steps=1), resume=True).minutes >= seconds / 60


def test_processor_time_goes_on_after_a_resume(tmp_path: Path) -> None:
    first = fake_train(tmp_path)
    assert first.processor_minutes > 0
    again = fake_train(tmp_path, resume=True)
    assert again.processor_minutes >= load_training_state(tmp_path / "training_state.pt").processor_seconds / 60 > 0
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    del state["processor_seconds"]  # as it was before that was counted
    torch.save(state, tmp_path / "training_state.pt")
    unknown = fake_train(tmp_path, resume=True)
    assert math.isnan(unknown.processor_minutes) and unknown.minutes > 0


def test_sigterm_saves_and_puts_handlers_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    result = fake_train(tmp_path, elbo=At(call2=lambda loss: os.kill(os.getpid(), signal.SIGTERM)))
    assert result.interrupted and load_training_state(tmp_path / "training_state.pt").step == 3
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_second_sigint_leaves_at_once(tmp_path: Path) -> None:
    def twice(loss: Tensor) -> None:
        interrupt(loss)
        interrupt(loss)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fake_train(tmp_path, elbo=At(call5=twice))
    assert signal.getsignal(signal.SIGINT) is before
    assert load_training_state(tmp_path / "training_state.pt").step == 4


class BrokenSite(FakeScalor):
    """A second site whose value or prior breaks when it is told to."""

    broken = ""

    def model(self, frames: Tensor) -> None:
        super().model(frames)
        pyro.sample("w", dist.Normal(0.0, torch.tensor(-1.0 if self.broken == "prior" else 1.0)))

    def guide(self, frames: Tensor) -> None:
        super().guide(frames)
        pyro.sample("w", dist.Normal(torch.tensor(float("nan") if self.broken == "guide" else 0.0), 1.0))


@pytest.mark.parametrize(
    ("broken", "named"),
    [("guide", "value of site w of the guide"), ("prior", "log-probability of site w of the model")],
)
def test_loss_that_is_not_finite_names_the_site(tmp_path: Path, broken: str, named: str) -> None:
    scalor = BrokenSite()
    elbo = At(call5=lambda loss: setattr(scalor, "broken", broken))
    with pytest.raises(NonFiniteError, match=f"loss is nan.*{named}.*at step 6.*step 4 is kept"):
        fake_train(tmp_path, scalor, elbo=elbo)
    assert load_training_state(tmp_path / "training_state.pt").step == 4
    assert all(torch.isfinite(p).all() for p in scalor.parameters())


def test_gradient_that_is_not_finite_names_the_parameter(tmp_path: Path) -> None:
    scalor = FakeScalor()

    def steep(loss: Tensor) -> Tensor:
        return loss + (scalor.decode.bias[0] * 0).sqrt()  # 0, with an infinite slope

    with pytest.raises(NonFiniteError, match="gradient of decode.bias .*at step 5"):
        fake_train(tmp_path, scalor, elbo=At(call5=steep))
    assert all(torch.isfinite(p).all() for p in scalor.parameters())


class BadFrom(FakeVideos):
    """Videos with NaN pixels from an index on."""

    def batch(self, start: int, count: int, frames: int | None = None) -> FakeBatch:
        batch = super().batch(start, count, frames)
        if start >= 21:
            batch.frames[1, 0, 0, 0, 0] = np.nan
        return batch


@pytest.mark.parametrize("each_step", [True, False])
def test_rare_checks_go_back_and_find_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each_step: bool
) -> None:
    monkeypatch.setattr(training, "checks_each_step", lambda device: each_step)
    with pytest.raises(NonFiniteError, match="value of site z of the guide, at step 6; .* step 4 is kept"):
        fake_train(tmp_path, clips=BadFrom())
    assert load_training_state(tmp_path / "training_state.pt").step == 4
    assert [row["step"] for row in RunFolder(tmp_path).rows()] == [2, 4, 6]


def test_rare_checks_train_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    often, rarely = FakeScalor(), FakeScalor()
    fake_train(tmp_path / "often", often)
    monkeypatch.setattr(training, "checks_each_step", lambda device: False)
    fake_train(tmp_path / "rarely", rarely)
    assert all(torch.equal(a, b) for a, b in zip(often.parameters(), rarely.parameters(), strict=True))


def test_gradients_are_clipped(tmp_path: Path) -> None:
    def huge(loss: Tensor) -> Tensor:
        return loss * 1e10

    scalor, calls = FakeScalor(), {f"call{i}": huge for i in range(12)}
    fake_train(tmp_path, scalor, config=fake_config(clip=0.5), elbo=At(**calls))
    norm = torch.nn.utils.get_total_norm([p.grad for p in scalor.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(0.5, rel=1e-4)


def test_collapse_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "WARMUP_STEPS", 20)

    class Empty(FakeScalor):
        def guide(self, frames: Tensor) -> None:
            super().guide(frames)
            self.last_statistics = {"objects_per_frame": torch.tensor(0.0), "propagation_rate": torch.tensor(0.0)}

    with caplog.at_level(logging.WARNING):
        fake_train(tmp_path, Empty(), fake_config(steps=60, log_every=5, checkpoint_every=60))
    assert [record.message.split(".")[0] for record in caplog.records] == ["Collapse (no object) at step 45"]


def test_errors_of_the_videos_come_through(tmp_path: Path) -> None:
    class Ending(FakeVideos):
        def batch(self, start: int, count: int, frames: int | None = None) -> FakeBatch:
            if start >= 21:
                raise OSError("the digits are gone")
            return super().batch(start, count, frames)

    with pytest.raises(OSError, match="the digits are gone"):
        fake_train(tmp_path, clips=Ending())
    assert load_training_state(tmp_path / "training_state.pt").step == 4


def test_prefetching_stays_bounded_and_in_order() -> None:
    videos = FakeVideos()
    drawn = []

    def plan() -> Iterator[Request]:
        for i in range(7):
            drawn.append(i)
            yield Request(2 * i, 2, 3)

    with Prefetcher(videos, plan(), torch.device("cpu")) as feed:
        for i in range(7):
            assert len(drawn) <= i + 2
            request, frames = feed.take()
            assert request.start == 2 * i and frames.shape == (2, 3, 3, 4, 5)
            assert np.array_equal(frames.numpy(), FakeVideos().batch(2 * i, 2, 3).frames)
        waited, worked = feed.collect()
        assert waited >= 0 and worked > 0 and feed.collect() == (0.0, 0.0)


def test_new_run_in_a_used_folder_is_refused(tmp_path: Path) -> None:
    fake_train(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(OutputError, match="holds another run"):
        fake_train(tmp_path)
    assert before == {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}


def test_resume_needs_a_run_of_the_same_config(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no run to resume"):
        fake_train(tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()
    fake_train(tmp_path / "run")
    with pytest.raises(CheckpointError, match="train.clip: expected 2.0, got 1.0"):
        fake_train(tmp_path / "run", config=fake_config(clip=2.0), resume=True)


def test_tensorboard_gets_scalars_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, log_dir: str, purge_step: int) -> None:
            calls.append(("start", purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            calls.append((name, step))

        def add_image(self, name: str, image: Tensor, step: int) -> None:
            calls.append((name, step))

        def close(self) -> None:
            calls.append(("close",))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    fake_train(
        tmp_path,
        tensorboard=True,
        evaluate=lambda step: {"mota": 0.5},
        draw=lambda step: {"boxes": torch.rand(3, 4, 5)},
    )
    assert calls[0] == ("start", 1) and calls[-1] == ("close",)
    assert {("training/loss", 2), ("evaluation/mota", 12), ("boxes", 5)} <= set(calls)


def test_without_tensorboard_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def no_tensorboard(name: str, *args: Any, **options: Any) -> Any:
        if "tensorboard" in name:
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", no_tensorboard)

    def drawn_in_vain(step: int) -> dict[str, Tensor]:
        raise AssertionError(f"pictures of step {step} are seen by nobody")

    with caplog.at_level(logging.DEBUG, logger="scalor_pyro"):
        fake_train(tmp_path, tensorboard=True, evaluate=lambda step: {"mota": 0.5}, draw=drawn_in_vain)
    assert "tensorboard is not installed" in caplog.text
    assert not (tmp_path / "tensorboard").exists()


def test_progress_bar_shows_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake_train(tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert all(f"{name}=" in shown for name in ("loss", "objects", "propagated", "videos/s"))


def test_optimiser_follows_the_config() -> None:
    parameters = list(FakeScalor().parameters())
    assert isinstance(make_optimiser(parameters, fake_config().train), torch.optim.Adam)
    rmsprop = make_optimiser(parameters, fake_config(optimiser="rmsprop", learning_rate=0.25).train)
    assert isinstance(rmsprop, torch.optim.RMSprop) and rmsprop.param_groups[0]["lr"] == 0.25


def test_validation_is_as_before(tmp_path: Path) -> None:
    fake_train(tmp_path)
    with pytest.raises(ValueError, match="scale"):
        dist.Normal(0.0, -1.0)


@pytest.mark.parametrize("way", ["evidence", "taught"])
def test_learning_in_another_way_can_be_resumed(
    way: str, tmp_path: Path, make_scalor: Callable[..., Scalor], videos: Tensor, told_videos: Tensor
) -> None:
    def learned(other: bool, folder: Path, **options: Any) -> tuple[Scalor, bool]:
        scalor = make_scalor()
        with torch.no_grad():
            scalor.discovery_posterior.presence_head.bias.fill_(2.0)
        config = TrainConfig(steps=6, curriculum=(Stage(1.0, 3, 2),), eval_every=99, **{way: other})  # type: ignore[arg-type]
        quiet = {"progress": False, "tensorboard": False}
        shown = told_videos if other and way == "taught" else videos
        return scalor, training.train(scalor, shown, config, folder, **quiet, **options).interrupted

    whole, _ = learned(True, tmp_path / "whole")
    usual, _ = learned(False, tmp_path / "usual")
    _, interrupted = learned(True, tmp_path / "parted", elbo=At(call2=interrupt))
    assert interrupted
    resumed, _ = learned(True, tmp_path / "parted", resume=True)
    differ = [not torch.equal(value, usual.state_dict()[name]) for name, value in whole.state_dict().items()]
    assert any(differ)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_clips_to_be_taught_by_have_more_channels(make_scalor: Callable[..., Scalor], videos: Tensor) -> None:
    config = TrainConfig(steps=1, curriculum=(Stage(1.0, 3, 2),), taught=True)
    with pytest.raises(ValueError, match=r"clips: expected \(N, T, 9, 32, 48\), got shape \(2, 3, 3, 32, 48\)"):
        training.train(make_scalor(), videos, config)
    with pytest.raises(ConfigError, match=r"taught: expected False beside evidence, got True\."):
        TrainConfig(taught=True, evidence=True)


@pytest.mark.parametrize("way", ["evidence", "taught"])
def test_only_scalor_learns_in_another_way(way: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{way}: expected a Scalor to learn with it, got a FakeScalor\."):
        fake_train(tmp_path / "run", FakeScalor(), fake_config(**{way: True}))
    assert not (tmp_path / "run").exists()
