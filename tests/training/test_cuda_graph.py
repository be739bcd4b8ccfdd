"""A recorded step does what the step does; where none can be recorded, training goes on without."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from scalor_pyro.config import RunConfig, Stage, TrainConfig
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training import cuda_graph as captured
from scalor_pyro.training import loop as training
from scalor_pyro.training.cuda_graph import WARM_UP, CapturedStep
from scalor_pyro.training.loop import train
from scalor_pyro.training.optimiser import load_optimiser, set_learning_rate
from tests.fake_training import FakeScalor, FakeVideos, fake_train


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, torch.Size]]:
    """What is done with each call, where the GPU's part is played by the step itself."""
    seen: list[tuple[str, torch.Size]] = []

    def on_side_stream(step: Callable[[Tensor], Any], frames: Tensor) -> Any:
        seen.append(("warm", frames.shape))
        return step(frames)

    def record(step: Callable[[Tensor], Any], frames: Tensor) -> Callable[[Tensor], Any]:
        seen.append(("record", frames.shape))

        def replay(frames: Tensor) -> Any:
            seen.append(("replay", frames.shape))
            return step(frames)

        return replay

    monkeypatch.setattr(captured, "on_side_stream", on_side_stream)
    monkeypatch.setattr(captured, "record", record)
    return seen


def test_each_call_is_one_step(calls: list[tuple[str, torch.Size]]) -> None:
    step = CapturedStep(lambda frames: frames.sum(), enabled=True)
    given = [torch.full((2, 3), float(n)) for n in range(WARM_UP + 2)]
    assert [float(step(frames)) for frames in given] == [6.0 * n for n in range(WARM_UP + 2)]
    assert [what for what, _ in calls] == ["warm"] * WARM_UP + ["record", "replay", "replay"]


def test_another_shape_is_recorded_anew(calls: list[tuple[str, torch.Size]]) -> None:
    step = CapturedStep(lambda frames: frames.sum(), enabled=True)
    for shape in ((2, 3), (4, 5)):
        for _ in range(WARM_UP + 1):
            step(torch.ones(shape))
    assert [shape for what, shape in calls if what == "record"] == [torch.Size((2, 3)), torch.Size((4, 5))]
    calls.clear()
    step.forget()
    step(torch.ones(4, 5))
    assert calls == [("warm", torch.Size((4, 5)))]


def test_what_cannot_be_recorded_runs_as_it_is(
    calls: list[tuple[str, torch.Size]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(step: Any, frames: Tensor) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(captured, "record", fail)
    done: list[float] = []
    step = CapturedStep(lambda frames: done.append(float(frames.sum())), enabled=True)
    for n in range(WARM_UP + 3):
        step(torch.full((1,), float(n)))
    assert done == [float(n) for n in range(WARM_UP + 3)]  # not one left out, not one twice
    (line,) = caplog.messages
    assert "runs eagerly: operation not permitted" in line and "and more" not in line


class FakeGenerator:
    """As far as recording goes: the state of a CUDA generator, which a failed recording leaves marked."""

    def __init__(self, offset: int = 0) -> None:
        self.offset, self.recording = offset, False

    def clone_state(self) -> "FakeGenerator":
        assert not self.recording
        return FakeGenerator(self.offset)

    def graphsafe_set_state(self, state: "FakeGenerator") -> None:
        self.offset, self.recording = state.offset, state.recording

    def draw(self, inside: bool) -> int:
        if self.recording and not inside:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
        self.offset += 4
        return self.offset


class FakeCuda:
    """Streams, a generator, and graphs whose recording fails when it ends, as one that reads a value does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.generator, self.streams, self.begun = FakeGenerator(), ["main"], 0
        for name, stand_in in {
            "default_generators": (self.generator,),
            "current_device": lambda: 0,
            "current_stream": lambda: self.streams[-1],
            "stream": self.stream,
            "CUDAGraph": object,
            "graph": self.graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(captured, "on_side_stream", lambda step, frames: step(frames))

    @contextmanager
    def stream(self, stream: str) -> Iterator[None]:
        before = list(self.streams)
        self.streams.append(stream)
        try:
            yield
        finally:
            self.streams[:] = before

    @contextmanager
    def graph(self, graph: object, capture_error_mode: str) -> Iterator[None]:
        self.begun += 1
        self.streams.append("of the recording")
        self.generator.recording = True
        try:
            yield
        finally:
            raise RuntimeError("operation not permitted when stream is capturing")  # and nothing is put back


def test_after_a_failed_recording_steps_run_eagerly_with_the_same_random_numbers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cuda = FakeCuda(monkeypatch)
    step = CapturedStep(lambda frames: cuda.generator.draw(cuda.streams[-1] != "main"), enabled=True)
    with pyro.validation_enabled(False):
        drawn = [step(torch.ones(1)) for _ in range(WARM_UP + 3)]
    assert drawn == [4 * n for n in range(1, WARM_UP + 4)], "as if nothing had been recorded"
    assert cuda.begun == 1 and cuda.streams == ["main"] and len(caplog.messages) == 1


def test_with_validation_no_recording_begins(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    cuda = FakeCuda(monkeypatch)
    step = CapturedStep(lambda frames: cuda.generator.draw(False), enabled=True)
    with pyro.validation_enabled():
        assert [step(torch.ones(1)) for _ in range(WARM_UP + 2)] == [4 * n for n in range(1, WARM_UP + 3)]
    assert cuda.begun == 0 and "Pyro's validation is on" in caplog.text


def test_nothing_is_recorded_on_a_cpu(
    calls: list[tuple[str, torch.Size]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="scalor_pyro"):
        fake_train(tmp_path)
    assert not calls and not caplog.messages


def test_the_step_of_a_gpu_is_the_step_of_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, blind = FakeScalor(), FakeScalor()
    fake_train(tmp_path / "cpu", looking)
    monkeypatch.setattr(training, "checks_each_step", lambda device: False)
    fake_train(tmp_path / "gpu", blind)
    for name, weight in looking.state_dict().items():
        torch.testing.assert_close(blind.state_dict()[name], weight, rtol=0, atol=0, msg=name)


def test_learning_rates_follow_the_schedule_in_place() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    for rate in (0.1, torch.tensor(0.1)):
        optimiser = torch.optim.Adam([weight], lr=rate, capturable=False)
        set_learning_rate(optimiser, 0.025)
        assert float(optimiser.param_groups[0]["lr"]) == pytest.approx(0.025)
        assert isinstance(rate, float) or optimiser.param_groups[0]["lr"] is rate


def test_an_optimiser_keeps_its_options_when_it_is_loaded() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    on_gpu = torch.optim.Adam([weight], lr=torch.tensor(0.1), capturable=True, foreach=False)
    on_gpu.state[weight] = {"step": torch.tensor(3.0), "exp_avg": torch.ones(2), "exp_avg_sq": torch.ones(2)}
    here = torch.optim.Adam([weight], lr=0.2, fused=True)
    load_optimiser(here, on_gpu.state_dict())
    assert here.param_groups[0]["lr"] == 0.2 and not here.param_groups[0]["capturable"]
    assert float(here.state[weight]["step"]) == 3
    here.step()


# On a GPU sums are taken in no fixed order, and Adam makes much of small differences: two eager trainings differ. A
# captured one may differ from one of them by three times that, or by this share of the way that training went.
ROUNDING = 1e-4


@pytest.mark.cuda
def test_captured_parameters_are_eager_ones(make_scalor: Callable[..., Scalor], tmp_path: Path) -> None:
    def trained(name: str, capture: bool) -> Tensor:
        scalor = make_scalor(image_size=(64, 64), cells=(4, 4)).to("cuda")
        curriculum = (Stage(0.5, 2, 4), Stage(1.0, 3, 2))
        config = RunConfig(model=scalor.config, train=TrainConfig(steps=20, curriculum=curriculum, capture=capture))
        options = {"progress": False, "tensorboard": False}
        train(scalor, FakeVideos((3, 64, 64)), config, tmp_path / name, **options)
        return parameters_to_vector(scalor.parameters()).detach()

    start = parameters_to_vector(make_scalor(image_size=(64, 64), cells=(4, 4)).to("cuda").parameters()).detach()
    eager, again, recorded = trained("eager", False), trained("again", False), trained("recorded", True)
    assert (recorded - eager).norm() <= 3 * (again - eager).norm() + ROUNDING * (eager - start).norm()


@pytest.mark.cuda
def test_a_step_is_captured(make_scalor: Callable[..., Scalor], caplog: pytest.LogCaptureFixture) -> None:
    scalor = make_scalor(image_size=(64, 64), cells=(4, 4)).to("cuda")
    config = RunConfig(model=scalor.config)
    trainer = training.Trainer(scalor, FakeVideos((3, 64, 64)), config)
    with pyro.validation_enabled(False):
        for _ in range(WARM_UP + 2):
            trainer.captured(torch.rand(2, 3, 3, 64, 64, device="cuda"))
    assert trainer.captured._replay is not None and not caplog.messages
