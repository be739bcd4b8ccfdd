"""Checkpoints: they come back whole, and whatever is not one is refused in a sentence."""

import errno
import json
import os
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from scalor_pyro import files
from scalor_pyro.config import ANYWHERE, ModelConfig, RunConfig, config_to_dict
from scalor_pyro.files import OutputError, write_atomically
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.runs.checkpoint import load_training_state, random_state, set_random_state
from scalor_pyro.runs.configs import CheckpointError, config_hash, config_to_json, first_difference, require_same_config
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config, load_run, load_weights, start_from
from scalor_pyro.runs.weights import put_weights, read_about
from tests.fake_training import FakeScalor, fake_config, fake_train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fake_train(folder, evaluate=lambda step: {"mota": 0.5})
    return folder


def refused(load: Callable[[], Any], *, match: str) -> None:
    """Loading raises one sentence."""
    with pytest.raises(CheckpointError, match=match) as error:
        load()
    message = str(error.value)
    assert "\n" not in message and message.endswith(".") and len(re.findall(r"\. [A-Z]", message)) == 0


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_run_comes_back(run: Path) -> None:
    config, weights = load_run(run)
    assert config == fake_config() == load_config(run)
    state = load_training_state(run / "training_state.pt")
    assert (state.step, state.next_video) == (12, 3 * 5 + 9 * 2)
    scalor = FakeScalor(seed=1)
    load_weights(run, scalor)
    for name, value in scalor.state_dict().items():
        assert torch.equal(value, weights[name]) and torch.equal(value, state.weights[name]), name
    assert load_file(run / "weights.safetensors").keys() == weights.keys()
    assert (run / "pictures").is_dir()
    assert not list(run.glob(".*")), "no temporary file stays"


def test_parts_of_its_own_are_kept_and_asked_for(tmp_path: Path, run: Path) -> None:
    scalor = FakeScalor()
    scalor.own_parts = {"decoder": "mine.Decoder"}  # type: ignore[assignment]
    fake_train(tmp_path / "own", scalor)
    state = load_training_state(tmp_path / "own" / "training_state.pt")
    assert state.parts == read_about(tmp_path / "own" / "weights.safetensors")["parts"] == scalor.own_parts
    message = r"trained with its own decoder \(mine.Decoder\); pass parts=Parts\(decoder=…\)"
    refused(lambda: load_run(tmp_path / "own"), match=message)
    assert load_run(tmp_path / "own", parts={"decoder"})[1].keys() == state.weights.keys()
    refused(lambda: fake_train(tmp_path / "own", FakeScalor(), resume=True), match=message)
    fake_train(tmp_path / "own", scalor, resume=True)
    assert "parts" not in read_about(run / "weights.safetensors"), "files of standard models are as before"
    assert "parts" not in torch.load(run / "training_state.pt", weights_only=True)


def test_random_states_come_back() -> None:
    random.seed(3), np.random.seed(4), torch.manual_seed(5)
    np.random.normal()  # leaves a cached second normal
    random.gauss(0, 1)
    state = random_state()

    def draw() -> tuple[float, ...]:
        return random.gauss(0, 1), random.random(), np.random.normal(), np.random.random(), torch.rand(()).item()

    first = draw()
    assert draw() != first
    set_random_state(state)
    assert draw() == first


def test_equal_configs_have_equal_hashes() -> None:
    one, other = (config_to_json(fake_config(clip=clip)) for clip in (1.0, 2.0))
    assert config_hash(one) == config_hash(config_to_json(fake_config())) != config_hash(other)


def test_fields_newer_than_a_checkpoint_have_their_defaults(tmp_path: Path) -> None:
    saved = json.loads(json.dumps(config_to_dict(ModelConfig())))
    del saved["mask_threshold"]
    require_same_config(tmp_path, saved, ModelConfig())
    with pytest.raises(CheckpointError, match="mask_threshold: expected 0.5, got 0.3"):
        require_same_config(tmp_path, saved, ModelConfig(mask_threshold=0.5))
    with pytest.raises(CheckpointError, match="old: expected None, got 3"):
        require_same_config(tmp_path, {**saved, "old": 3, "mask_threshold": 0.3}, ModelConfig())


def test_first_difference_names_the_field() -> None:
    one, other = (json.loads(config_to_json(fake_config(clip=clip))) for clip in (1.0, 2.0))
    assert first_difference(one, one) is None
    assert first_difference(one, other) == "train.clip: expected 2.0, got 1.0"
    assert first_difference({"old": 3}, {}) == "old: expected None, got 3"


def test_missing_files_are_named(tmp_path: Path) -> None:
    refused(lambda: load_training_state(tmp_path / "training_state.pt"), match="training_state.pt could not be read")
    refused(lambda: load_weights(tmp_path, FakeScalor()), match="weights.safetensors could not be read")
    refused(lambda: load_run(tmp_path / "nowhere"), match="There is no run .*nowhere: expected a run folder")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_cut_off_files_are_refused(run: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cut")
    for name in ("training_state.pt", "weights.safetensors", "config.json"):
        content = (run / name).read_bytes().rstrip()
        (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    refused(lambda: load_training_state(folder / "training_state.pt"), match="cut off|not a checkpoint")
    refused(lambda: load_weights(folder, FakeScalor()), match="cut off")
    refused(lambda: load_config(folder), match="config.json: expected JSON")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 10**6))
def test_overwritten_bytes_never_do_worse_than_being_refused(
    run: Path, tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    for name, load in (("training_state.pt", load_training_state), ("weights.safetensors", load_file)):
        content = bytearray((run / name).read_bytes())
        at %= len(content)
        content[at : at + len(noise)] = noise
        (folder / name).write_bytes(content)
        try:
            if load is load_file:
                load_weights(folder, FakeScalor())
            else:
                load_training_state(folder / name)
        except CheckpointError:
            pass


@pytest.mark.parametrize("content", [b"", b"hello", b"PK", pickle.dumps({"weights": 1}), bytes(range(256))])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("training_state.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(content)
    refused(lambda: load_training_state(tmp_path / "training_state.pt"), match="not a checkpoint|cut off")
    refused(lambda: load_weights(tmp_path, FakeScalor()), match="of another kind")


def test_files_of_other_projects_are_refused(tmp_path: Path) -> None:
    weights = {"linear": torch.ones(2)}
    torch.save({"state_dict": weights}, tmp_path / "training_state.pt")
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text('{"lr": 3}')
    refused(lambda: load_training_state(tmp_path / "training_state.pt"), match="not written by scalor_pyro")
    refused(lambda: load_weights(tmp_path, FakeScalor()), match="not written by scalor_pyro")
    refused(lambda: load_config(tmp_path), match="config.json, config: expected the settings of a run")
    save_file(weights, tmp_path / "weights.safetensors", {"scalor_pyro": "[]"})
    refused(lambda: load_weights(tmp_path, FakeScalor()), match="its header: expected the config of a run")
    torch.save({"format": "scalor_pyro", "version": 1, "step": 2}, tmp_path / "training_state.pt")
    refused(lambda: load_training_state(tmp_path / "training_state.pt"), match="its fields: expected exactly")


def test_other_versions_are_refused(run: Path, tmp_path: Path) -> None:
    values = torch.load(run / "training_state.pt", weights_only=True)
    torch.save({**values, "version": 2}, tmp_path / "training_state.pt")
    refused(lambda: load_training_state(tmp_path / "training_state.pt"), match="expected format version 1, got 2")
    about = json.dumps({"version": 2, "config": {}})
    save_file({"a": torch.ones(1)}, tmp_path / "weights.safetensors", {"scalor_pyro": about})
    refused(lambda: load_weights(tmp_path, FakeScalor()), match="expected format version 1, got 2")


@pytest.mark.parametrize("container", ["zip", "pickle", "legacy"])
def test_malicious_checkpoint_is_not_run(tmp_path: Path, container: str) -> None:
    path, target = tmp_path / "training_state.pt", tmp_path / "owned"
    payload = {"format": "scalor_pyro", "version": 1, "weights": Malicious(target)}
    if container == "pickle":
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=container == "zip")
    refused(lambda: load_training_state(path), match="would execute code" if container == "zip" else "not a checkpoint")
    assert not target.exists()
    if container == "zip":
        torch.load(path, weights_only=False)
        assert target.exists(), "the payload of this test bites"


def test_weights_of_another_config_are_refused(run: Path) -> None:
    scalor = FakeScalor()
    scalor.config = RunConfig().model.__class__(slots=5)
    before = {name: value.clone() for name, value in scalor.state_dict().items()}
    refused(lambda: load_weights(run, scalor), match="another config .slots: expected 5, got 16")
    assert all(torch.equal(value, scalor.state_dict()[name]) for name, value in before.items())
    load_weights(run, scalor, same_config=False)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda scalor: setattr(scalor, "decode", torch.nn.Linear(2, 3)),
            r"decode.weight: expected shape \(3, 2\), got \(3, 1\)",
        ),
        (lambda scalor: setattr(scalor, "more", torch.nn.Linear(1, 1)), "it lacks more.weight"),
        (lambda scalor: delattr(scalor, "encode"), "the model has no encode.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused(run: Path, change: Callable[[FakeScalor], None], match: str) -> None:
    scalor = FakeScalor()
    change(scalor)
    refused(lambda: load_weights(run, scalor), match=match)


def test_a_scheduled_quantity_that_is_newer_than_the_weights_has_its_default() -> None:
    older, newer = torch.nn.Module(), torch.nn.Module()
    for module in (older, newer):
        module.annealed = Annealed()
    older.annealed.set({"temperature": 0.7, "reject_within": 1.1})
    weights = {name: value for name, value in older.state_dict().items() if name != "annealed.reject_within"}
    put_weights(Path("weights"), weights, newer)
    assert float(newer.annealed.temperature) == pytest.approx(0.7)
    assert float(newer.annealed.reject_within) == ANYWHERE


def test_config_and_weights_of_different_runs_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes((run / "weights.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(config_to_json(fake_config(clip=3.0)))
    refused(lambda: load_run(tmp_path), match="train.clip: expected 3.0, got 1.0")


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    scalor = FakeScalor()
    scalor.decode.weight.data[1] = np.inf
    refused(lambda: fake_train(tmp_path, scalor), match="NaN or infinity in decode.weight")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_full_disk_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FullFile:
        """A file that takes half of what is written."""

        def __init__(self, path: Path, mode: str) -> None:
            self.file = open(path, mode)

        def __enter__(self) -> "FullFile":
            return self

        def __exit__(self, *_: Any) -> None:
            self.file.close()

        def write(self, content: bytes) -> None:
            self.file.write(content[: len(content) // 2])
            full()

    class FillingUp:
        """Evaluation at step 5 fills the disk."""

        def __call__(self, step: int) -> dict[str, float]:
            if failing == "write":
                real = open
                monkeypatch.setattr(
                    files,
                    "open",
                    lambda p, m="r", **o: FullFile(p, m) if m == "wb" else real(p, m, **o),
                    raising=False,
                )
            else:
                monkeypatch.setattr(os, failing, full)
            return {}

    with pytest.raises(OutputError, match="training_state.pt could not be written .No space left on device") as error:
        fake_train(tmp_path, evaluate=FillingUp())
    monkeypatch.undo()
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob(".*"))
    assert load_training_state(tmp_path / "training_state.pt").step == 4
    load_run(tmp_path)
    assert fake_train(tmp_path, resume=True).step == 12


def test_really_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(files, "_temporary", lambda path: path.with_name(".full"))
    (tmp_path / ".full").symlink_to("/dev/full")
    (tmp_path / "weights").write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically(tmp_path / "weights", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("weights", b"old")]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError, match="cannot be written"):
            RunFolder.create(path)


def test_cut_off_last_row_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    folder.append({"step": 1, "loss": float("inf")})
    with open(folder.metrics, "a") as file:
        file.write('{"step": 2')
    assert folder.rows() == [{"step": 1, "loss": None}]
    folder.metrics.write_text('{"step"\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match="metrics.jsonl, line 1: expected JSON"):
        folder.rows()


@pytest.mark.parametrize("missing", [2, 3])
def test_a_start_is_as_much_of_a_run_as_fits_if_that_is_half(run: Path, missing: int) -> None:
    saved = load_file(run / "weights.safetensors")
    fitting = {"encode.weight": torch.zeros(2, 3), "encode.bias": torch.zeros(2)}
    others = {"decode.weight": torch.zeros(9, 1), "new.weight": torch.zeros(3), "new.bias": torch.zeros(3)}
    others = dict(list(others.items())[:missing])
    if missing == len(fitting):
        start_from(run, fitting | others)
    else:
        refused(lambda: start_from(run, fitting | others), match="expected at least half of its 5 parameters, got 2")
    for name, value in fitting.items():
        assert torch.equal(value, saved[name]) == (missing == len(fitting))
    assert not any(value.any() for value in others.values())
