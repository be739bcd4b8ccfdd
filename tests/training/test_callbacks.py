"""Callbacks hear of everything in order, leave training alone, and end it in order when they fail."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scalor_pyro.files import OutputError
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.training import loop
from scalor_pyro.training.callbacks import HOOKS, Callback, CallbackError, MetricsFile, TensorBoard
from scalor_pyro.training.diagnosis import NonFiniteError
from tests.fake_training import FakeScalor, FakeVideos, fake_config, fake_train


class Listener(Callback):
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_start(self, training: Any) -> None:
        self.training = training
        self.heard.append(("start", training.step, training.progress, training.folder))

    def on_step(self, step: int, loss: Tensor) -> None:
        assert loss.shape == () and not loss.requires_grad
        self.heard.append(("step", step))

    def on_row(self, row: Any) -> None:
        self.heard.append(("row", row["step"]))

    def on_evaluation(self, row: Any) -> None:
        self.heard.append(("evaluation", row["step"], row["mota"]))

    def on_pictures(self, step: int, pictures: Any) -> None:
        self.heard.append(("pictures", step, *pictures))

    def on_checkpoint(self, folder: Path, step: int) -> None:
        assert load_training_state(folder / "training_state.pt").step == step
        self.heard.append(("checkpoint", step))

    def on_end(self, result: Any) -> None:
        self.heard.append(("end", result.step))

    def on_error(self, error: BaseException) -> None:
        self.heard.append(("error", type(error).__name__))


def test_a_callback_hears_of_everything_in_order(tmp_path: Path) -> None:
    listener = Listener()
    config = fake_config(steps=4, eval_every=3, checkpoint_every=3)
    pictures = {"boxes": torch.zeros(3, 2, 2)}
    result = fake_train(
        tmp_path, config=config, callbacks=[listener], evaluate=lambda step: {"mota": 0.5}, draw=lambda step: pictures
    )
    assert listener.heard == [
        ("start", 0, 0.0, tmp_path), ("checkpoint", 0),
        ("step", 1), ("step", 2), ("row", 2),
        ("step", 3), ("evaluation", 3, 0.5), ("pictures", 3, "boxes"), ("checkpoint", 3),
        ("step", 4), ("row", 4), ("checkpoint", 4),
        ("evaluation", 4, 0.5), ("pictures", 4, "boxes"), ("end", 4),
    ]  # fmt: skip
    assert result.step == listener.training.step == 4 and listener.training.progress == 1.0
    again = Listener()
    fake_train(tmp_path, config=config, callbacks=[again], resume=True)
    assert again.heard == [("start", 4, 1.0, tmp_path), ("end", 4)]


def test_without_a_folder_there_are_no_checkpoints_to_hear_of() -> None:
    listener = Listener()
    fake_train(None, callbacks=[listener])
    assert listener.heard[0] == ("start", 0, 0.0, None) and listener.heard[-1] == ("end", 12)
    assert not any(what == "checkpoint" for what, *_ in listener.heard)


def test_callbacks_leave_the_random_numbers_of_training_alone(tmp_path: Path) -> None:
    class Noisy(Callback):
        def on_row(self, row: Any) -> None:
            torch.rand(3), np.random.random(2)

        on_start = on_evaluation = on_end = on_row

        def on_pictures(self, step: int, pictures: Any) -> None:
            torch.rand(1)

        on_checkpoint = on_pictures

    plain, watched = FakeScalor(), FakeScalor()
    fake_train(tmp_path / "plain", plain)
    fake_train(tmp_path / "watched", watched, callbacks=[Noisy()], evaluate=lambda s: {}, draw=lambda s: {})
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters(), strict=True))


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "on_error"])
def test_an_exception_ends_the_training_in_order(tmp_path: Path, hook: str) -> None:
    def fail(*arguments: Any) -> None:
        raise KeyError("api_key")

    broken, listener = type("ToLogger", (Callback,), {hook: fail})(), Listener()
    with pytest.raises(CallbackError) as failure:
        fake_train(
            tmp_path, callbacks=[listener, broken], evaluate=lambda s: {"mota": 0.5}, draw=lambda s: {}
        )  # fmt: skip
    kept = load_training_state(tmp_path / "training_state.pt").step
    assert str(failure.value) == (
        f"The callback ToLogger failed in {hook} (KeyError: 'api_key'). The checkpoint of step {kept} is kept."
    )
    assert isinstance(failure.value.__cause__, KeyError)
    assert listener.heard[-1] == ("error", "CallbackError")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("videos")]
    result = fake_train(tmp_path, evaluate=lambda s: {"mota": 0.5}, resume=True)
    assert result.step == 12, "the run can be resumed without the callback"


def test_a_failure_while_closing_does_not_hide_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Callback):
        def on_row(self, row: Any) -> None:
            raise OSError("first")

        def on_error(self, error: BaseException) -> None:
            raise OSError("second")

    with pytest.raises(CallbackError, match="on_row .OSError: first."):
        fake_train(tmp_path, callbacks=[Broken()])
    assert "Broken failed in on_error" in caplog.text


def test_a_full_disk_is_said_in_the_words_of_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: RunFolder, row: Any) -> None:
        raise OutputError("metrics.jsonl: no space left.")

    monkeypatch.setattr(RunFolder, "append", full)
    with pytest.raises(OutputError, match="^metrics.jsonl: no space left.$"):
        fake_train(tmp_path)


def test_errors_of_the_training_are_told_to_callbacks(tmp_path: Path) -> None:
    class Broken(FakeVideos):
        def batch(self, start: int, count: int, frames: int | None = None) -> Any:
            batch = super().batch(start, count, frames)
            batch.frames[0, 0, 0] = np.nan if start >= 15 else 0
            return batch

    listener = Listener()
    with pytest.raises(NonFiniteError):
        fake_train(tmp_path, clips=Broken(), callbacks=[listener])
    assert listener.heard[-1] == ("error", "NonFiniteError")


def test_methods_that_would_never_be_called_are_refused(tmp_path: Path) -> None:
    class Misspelt(Callback):
        def on_rows(self, row: Any) -> None: ...

    with pytest.raises(ValueError, match="The callback Misspelt: expected methods among on_start, .*, got on_rows."):
        fake_train(tmp_path / "run", callbacks=[Misspelt()])
    with pytest.raises(ValueError, match="callbacks: expected subclasses of Callback, got function."):
        fake_train(tmp_path / "run", callbacks=[lambda row: None])
    assert not (tmp_path / "run").exists()


def test_pictures_are_drawn_only_for_those_who_show_them(tmp_path: Path) -> None:
    def in_vain(step: int) -> Any:
        raise AssertionError("nobody looks")

    fake_train(tmp_path, callbacks=[MetricsFileTwin()], evaluate=lambda s: {}, draw=in_vain)
    assert RunFolder(tmp_path).rows() == MetricsFileTwin.rows


class MetricsFileTwin(Callback):
    """Keeps the rows that the metrics file has."""

    rows: list[Any] = []

    def on_row(self, row: Any) -> None:
        self.rows.append(dict(row))

    on_evaluation = on_row


def test_metrics_of_a_run_without_a_folder_go_nowhere() -> None:
    fake_train(None, callbacks=[MetricsFile()])


def test_tensorboard_without_a_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    with pytest.raises(CallbackError, match="TensorBoard failed in on_start .ValueError: expected a folder"):
        fake_train(None, callbacks=[TensorBoard()])


def test_rare_checks_go_back_in_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder the last checkpoint is in memory; steps on a GPU are checked now and then."""

    class Bad(FakeVideos):
        def batch(self, start: int, count: int, frames: int | None = None) -> Any:
            batch = super().batch(start, count, frames)
            if start >= 21:
                batch.frames[1, 0, 0, 0, 0] = np.nan
            return batch

    monkeypatch.setattr(loop, "checks_each_step", lambda device: False)
    scalor, expected = FakeScalor(), FakeScalor()
    with pytest.raises(NonFiniteError, match="value of site z of the guide, at step 6; training stopped.$"):
        fake_train(None, scalor, clips=Bad())
    fake_train(None, expected, callbacks=[StopAt(6)])
    assert all(torch.equal(a, b) for a, b in zip(scalor.parameters(), expected.parameters(), strict=True))


class StopAt(Callback):
    """Ends a training after a step."""

    def __init__(self, step: int) -> None:
        self.last = step

    def on_start(self, training: Any) -> None:
        self.training = training

    def on_step(self, step: int, loss: Tensor) -> None:
        if step == self.last:
            self.training.stop()
