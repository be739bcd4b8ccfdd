"""Runs of every kind come back as what they are; what no run holds is refused, and names file and field."""

import json
import math
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import (
    SCHEDULED,
    ModelConfig,
    ReadOptions,
    RunConfig,
    TrainConfig,
    VideoData,
    VideoRunConfig,
    config_to_dict,
)
from scalor_pyro.config.baselines import SequentialVAEConfig, SequentialVAERun, SQAIRRun, VRNNConfig, VRNNRun
from scalor_pyro.inference.trained import load
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.cards import synthetic_names
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.configs import CheckpointError, read_bytes, require_same_config
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config, load_config_to_resume, load_model, load_run, load_weights, located
from scalor_pyro.runs.sources import SOURCES, mnist_of, mnist_to_train_on, remember_mnist
from scalor_pyro.runs.weights import put_weights, read_about, read_weights, write_weights
from tests.fake_training import FakeScalor, fake_config, fake_train

VIDEO = VideoRunConfig(
    VideoData(("street.mp4",), ReadOptions(size=(64, 64))), ModelConfig(background="static"), TrainConfig()
)
RUNS: dict[str, Any] = {
    "synthetic": RunConfig(),
    "video": VIDEO,
    "vrnn": VRNNRun(),
    "sequential-vae": SequentialVAERun(),
    "sqair": SQAIRRun(),
}
TRAINERS = {
    "synthetic": "examples/train_mnist.py",
    "video": "scalor train",
    "vrnn": "examples/baselines.py vrnn",
    "sequential-vae": "examples/baselines.py sequential-vae",
    "sqair": "examples/baselines.py sqair",
}


def save(folder: Path, config: Any, older: bool = False, weights: dict[str, torch.Tensor] | None = None) -> Path:
    """A run folder with that config, without its kind as version 0.1 saved it."""
    plain = json.loads(json.dumps(config_to_dict(config)))
    if older:
        del plain["kind"]
    folder.mkdir(exist_ok=True)
    write_weights(folder / "weights.safetensors", weights or {"a": torch.ones(2)}, plain, {})
    (folder / "config.json").write_text(json.dumps(plain))
    return folder


def sentence(load_it: Callable[[], Any], match: str) -> str:
    """The one sentence that it is refused with."""
    with pytest.raises(CheckpointError, match=match) as error:
        load_it()
    message = str(error.value)
    assert "\n" not in message and message.endswith(".") and len(message) < 500 and message.isprintable()
    return message


# ---------------------------------------------------------------------- kinds


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", RUNS)
def test_a_run_of_every_kind_comes_back(kind: str, older: bool, tmp_path: Path) -> None:
    config = RUNS[kind]
    folder = save(tmp_path / "run", config, older)
    for run in (folder, folder / "weights.safetensors"):
        assert load_run(run)[0] == load_config(run) == load_config(run, type(config)) == config
        assert type(load_config(run)) is type(config)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", RUNS)
def test_a_run_of_another_kind_is_refused_with_the_command_that_trained_it(
    kind: str, older: bool, tmp_path: Path
) -> None:
    folder = save(tmp_path / "run", RUNS[kind], older)
    for other, config in RUNS.items():
        if other == kind or (older and {kind, other} == {"vrnn", "sequential-vae"}):
            continue  # a config of these two without its kind does not say which
        message = sentence(partial(load_run, folder, type(config)), "config.json: expected a run trained by")
        assert message.endswith(f"trained by `{TRAINERS[other]}`, got one trained by `{TRAINERS[kind]}`.")


def test_a_model_of_whole_frames_without_its_kind_is_the_expected_one(tmp_path: Path) -> None:
    vrnn = VRNNRun(model=VRNNConfig(latent_dim=64))  # as large as the other model is by default
    assert load_config(save(tmp_path / "vrnn", vrnn, older=True), VRNNRun) == vrnn
    sequential = SequentialVAERun(model=SequentialVAEConfig(latent_dim=128))
    assert load_config(save(tmp_path / "vae", sequential, older=True), SequentialVAERun) == sequential


@pytest.mark.parametrize("kind", ["vrnn", "sequential-vae", "sqair"])
def test_a_baseline_is_no_scalor(kind: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "run", RUNS[kind])
    for load_it in (load_model, Scalor.from_pretrained, load):
        sentence(lambda load_it=load_it: load_it(folder), f"trained by `{TRAINERS[kind]}`")


def test_a_run_saved_before_its_kind_was_is_resumed(tmp_path: Path) -> None:
    fake_train(tmp_path / "run", config=fake_config(steps=12))
    state = torch.load(tmp_path / "run" / "training_state.pt", weights_only=True)
    older = json.loads(state["config"])
    del older["kind"]
    state["config"] = json.dumps(older)
    torch.save(state, tmp_path / "run" / "training_state.pt")
    assert load_config_to_resume(RunFolder(tmp_path / "run"), RunConfig) == fake_config(steps=12)
    assert fake_train(tmp_path / "run", config=fake_config(steps=12), resume=True).step == 12
    require_same_config(tmp_path, older, fake_config(steps=12))
    sentence(lambda: require_same_config(tmp_path, older, fake_config(steps=13)), "train.steps: expected 13, got 12")
    sentence(lambda: load_config_to_resume(RunFolder(tmp_path / "run"), VideoRunConfig), "expected a run trained by")


@pytest.mark.parametrize("name", synthetic_names())
def test_shipped_weights_are_known_those_of_version_0_1_among_them(name: str) -> None:
    """Which did not save the kind of a run. Digits VLD were trained later."""
    assert ("kind" in read_about(located(name))["config"]) == (name == "digits-vld")
    assert load_run(name, RunConfig)[0].kind == "synthetic"


# ---------------------------------------------------------------------- configs

CONFIGS = {
    "digits of a number": ('{"data": {}, "model": {"slots": %s}}' % ("9" * 400), "model.slots: expected"),
    "a number of the other kind": ('{"data": {}, "model": {"sigma": %s}}' % ("9" * 400), "model.sigma: expected"),
    "more digits than Python reads": ('{"data": {}, "seed": %s}' % ("9" * 9999), "expected JSON"),
    "nesting": ("[" * 10**5 + "]" * 10**5, "nested"),
    "half a surrogate": ('{"data": {}, "train": {"start_from": "\\ud800"}}', "train.start_from: expected a path"),
    "NaN": ('{"data": {}, "model": {"sigma": NaN}}', "expected finite numbers, got NaN"),
    "infinity": ('{"data": {}, "train": {"clip": Infinity}}', "expected finite numbers, got Infinity"),
    "overflow": ('{"data": {}, "model": {"aspect": 1e308}}', "model.aspect: expected"),
    "beyond floats": ('{"data": {}, "model": {"aspect": 1e309}}', "expected finite numbers"),
    "twice": ('{"data": {}, "seed": 1, "seed": 2}', "each key once, got 'seed' twice"),
    "a long field": ('{"data": {"objects": "%s"}}' % ("x" * 10**6), "data.objects: expected"),
    "a long key": ('{"data": {"%s": 1}}' % ("x" * 10**6), "data: expected keys among"),
    "an unknown kind": ('{"kind": "cat", "data": {}}', "kind: expected one of"),
    "a list": ("[]", "config: expected a table"),
    "zeros": ("\0" * 100, "expected JSON"),
    "Latin-1": (b'{"data": "\xe9"}', "expected JSON"),
    "too large": (" " * (16 * 2**20 + 1), "expected at most 16 MB"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_config_is_refused_in_a_short_sentence_that_names_file_and_field(case: str, tmp_path: Path) -> None:
    content, match = CONFIGS[case]
    folder = save(tmp_path / "run", RunConfig())
    (folder / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    message = sentence(lambda: load_config(folder), match)
    assert "config.json" in message


@pytest.mark.parametrize(
    ("video", "match"),
    [
        ({"region_slots": -1}, "video.region_slots"),
        ({"region_slots": 0}, "video.region_slots"),
        ({"paths": []}, "video.paths"),
    ],
)
def test_video_config_is_refused(video: dict[str, Any], match: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "run", VIDEO)
    plain = config_to_dict(VIDEO)
    plain["video"].update(video)
    (folder / "config.json").write_text(json.dumps(plain))
    sentence(lambda: load_config(folder), f"config.json, {match}: expected")


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", RunConfig())
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    sentence(lambda: load_config(folder), "config.json could not be read .Is a directory")
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").mkdir()
    sentence(lambda: load_weights(folder, FakeScalor()), "weights.safetensors could not be read .Is a directory")


def test_a_path_that_no_file_can_have_is_one_sentence() -> None:
    with pytest.raises(CheckpointError, match="could not be read .embedded null byte"):
        read_bytes(Path("a\0b"))


@pytest.mark.parametrize("name", ["no:where", "a\0b", "x" * 5000, "run/weights.safetensors/below"])
def test_a_name_that_no_run_has_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no run .* expected a run folder"):
        located(str(tmp_path / name))


# ---------------------------------------------------------------------- weights


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    weights = {"one": torch.ones(3), "other": torch.tensor([1.0, value])}
    folder = save(tmp_path / "run", RunConfig(), weights=weights)
    for load_it in (load_run, load_model, Scalor.from_pretrained):
        sentence(
            lambda load_it=load_it: load_it(folder),
            "weights.safetensors, other: expected finite weights, got NaN or infinity",
        )


OUT_OF_RANGE = {
    "temperature": [0.0, -1.0, 1e30],
    "discovery_prior": [0.0, 1.0, -0.5],
    "reject_propagated": [-0.1, 1.1],
    "reject_within": [-1.0, 1e30],
    "reject_proposals": [-0.1, 2.0],
    "discovery_bound": [0.0, 1e30],
    "propagation_release": [-0.1, 1.5],
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_scheduled_values_out_of_range_are_refused(name: str, tmp_path: Path) -> None:
    for value in OUT_OF_RANGE[name]:
        folder = save(tmp_path / "run", RunConfig(), weights={f"annealed.{name}": torch.tensor(value)})
        sentence(partial(load_run, folder), rf"weights.safetensors, annealed\.{name}: expected")


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    scalor = FakeScalor()
    weights = {**scalor.state_dict(), "encode.bias": torch.ones(2, dtype=torch.int64)}
    sentence(lambda: put_weights(tmp_path, weights, scalor), "encode.bias: expected torch.float32, got torch.int64")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_less_precision_are_read_in_single(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = save(tmp_path / "run", RunConfig(), weights={"one": torch.tensor([0.5, -2.0]).to(dtype)})
    _, weights = load_run(folder)
    assert weights["one"].dtype == torch.float32 and weights["one"].tolist() == [0.5, -2.0]


def header(length: int, text: bytes) -> bytes:
    return struct.pack("<Q", length) + text


LYING = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
WRAPPING = json.dumps({"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}).encode()
OVERLAPPING = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in ("a", "b")}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        header(0, b""),
        header(2**63, b"{}"),
        header(2**64 - 1, b"{}"),
        header(10**8, b"{}"),
        header(3, b"{}"),
        header(2, b"{}"),
        header(len(LYING), LYING + bytes(8)),
        header(len(WRAPPING), WRAPPING + bytes(4)),
        header(len(OVERLAPPING), OVERLAPPING + bytes(4)),
        header(10**5, b"[" * 10**5),
    ],
    ids=lambda content: str(content[:24]),
)
def test_a_header_that_is_huge_or_lies_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    sentence(lambda: read_weights(tmp_path / "w.safetensors"), "w.safetensors (is damaged|was not written by)")


@given(st.data())
def test_damaged_weights_are_refused_in_one_sentence_or_are_weights(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = save(tmp_path_factory.mktemp("runs") / "run", RunConfig())
    content = bytearray((folder / "weights.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "weights.safetensors").write_bytes(content)
    try:
        _, weights = load_run(folder)
    except CheckpointError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
    else:
        assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())


# ---------------------------------------------------------------------- training states


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    fake_train(folder)
    return folder


def equal(one: Any, other: Any) -> bool:
    """Whether two training states hold the same numbers."""
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)


@given(st.data())
def test_flipped_bits_never_change_a_number(
    trained: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((trained / "training_state.pt").read_bytes())
    whole = load_training_state(trained / "training_state.pt")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / "training_state.pt"
    path.write_bytes(content)
    try:
        state = load_training_state(path)
    except CheckpointError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:  # a byte that carries nothing, as those between the entries
        assert equal(vars(state), vars(whole))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config", 3),
        ("config", "{"),
        ("config", "[]"),
        ("config", '{"a": NaN}'),
        ("weights", [torch.ones(2)]),
        ("weights", {"a": 3}),
        ("weights", {3: torch.ones(2)}),
        ("weights", {"a": torch.tensor([math.nan])}),
        ("weights", {"annealed.temperature": torch.tensor(math.inf)}),
        ("weights", {"annealed.temperature": torch.tensor(-1.0)}),
        ("optimiser", []),
        ("optimiser", {"state": []}),
        ("optimiser", {"state": {0: 3}}),
        ("optimiser", {"state": {"0": {}}}),
        ("optimiser", {"state": {0: {"exp_avg": torch.tensor([math.inf])}}}),
        ("optimiser", {"state": {0: {"exp_avg": "x"}}}),
        ("step", "12"),
        ("step", -1),
        ("step", 1.5),
        ("step", True),
        ("step", 10**400),
        ("next_video", None),
        ("seconds", "1"),
        ("seconds", math.inf),
        ("seconds", math.nan),
        ("processor_seconds", -1.0),
        ("window", []),
        ("window", {"loss": "x", "norm": 0.0, "steps": 0}),
        ("window", {"loss": 0.0, "norm": 0.0, "steps": 0.5}),
        ("weights.a", torch.zeros(3, dtype=torch.float8_e4m3fn)),
        ("weights.a", torch.eye(3).to_sparse()),
        ("optimiser.state", {0: {"exp_avg": torch.zeros(3, dtype=torch.float8_e4m3fn)}}),
        ("optimiser.state", {0: {"exp_avg": torch.full((3,), math.inf)}}),
        ("random", []),
        ("random", {}),
        ("random", {"python": [3, [1, 2], None]}),
        ("random.python", [3, [1, 2], None]),
        ("random.numpy", ["MT19937", [-1] * 624, 0, 0, 0.0]),
        ("random.numpy", 5),
        ("random.torch", torch.zeros(3)),
        ("random.torch", [1, 2]),
        ("random.cuda", 5),
    ],
    ids=str,
)
def test_values_of_another_type_are_refused(trained: Path, tmp_path: Path, field: str, value: Any) -> None:
    state = torch.load(trained / "training_state.pt", weights_only=True)
    outer, _, inner = field.partition(".")
    state[outer] = {**state[outer], inner: value} if inner else value
    path = tmp_path / "training_state.pt"
    torch.save(state, path)
    before = torch.get_rng_state()
    name = "annealed.temperature|a: expected finite|weights.'a': expected plain" if "weights" in field else field
    sentence(lambda: load_training_state(path), rf"training_state.pt, ({name}|{field})")
    assert torch.equal(before, torch.get_rng_state())


# ---------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    "line",
    [
        "3",
        "[]",
        "null",
        "{}",
        '{"step": "1"}',
        '{"step": -1}',
        '{"step": NaN}',
        "\0\0",
        '{"step": 1.5}',
        "\\",
        "[" * 9999,
    ],
)
def test_a_line_that_is_no_row_is_refused(line: str, trained: Path, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.state.write_bytes((trained / "training_state.pt").read_bytes())
    folder.metrics.write_text('{"step": 1}\n' + line + '\n{"step": 2}\n')
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    sentence(folder.rows, "metrics.jsonl, line 2: expected")
    sentence(lambda: RunFolder.open(folder.path), "metrics.jsonl, line 2: expected")
    assert before == {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}


def test_a_last_line_of_zeros_after_a_power_cut_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.append({"step": 1})
    folder.metrics.write_bytes(folder.metrics.read_bytes() + b"\0" * 50)
    assert folder.rows() == [{"step": 1}]


# ---------------------------------------------------------------------- where digits came from

DIGITS = RunConfig().data


@pytest.fixture
def of_digits(tmp_path: Path) -> Path:
    """A run that was trained on digits of a file."""
    (tmp_path / "mnist.npz").write_bytes(b"digits")
    folder = save(tmp_path / "run", RunConfig())
    remember_mnist(folder, tmp_path / "mnist.npz")
    return folder


def test_the_file_of_the_digits_is_found_again(of_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = of_digits.parent / "mnist.npz"
    for run in (of_digits, str(of_digits), of_digits / "weights.safetensors"):
        assert mnist_of(run, DIGITS) == mnist
    assert mnist_to_train_on(of_digits, DIGITS, None) == mnist
    assert mnist_of(of_digits, DIGITS, Path("other.npz")) == Path("other.npz")
    monkeypatch.chdir(of_digits.parent)
    remember_mnist(of_digits, Path("mnist.npz"))
    assert json.loads((of_digits / SOURCES).read_text()) == {"mnist": str(mnist)}, "wherever it is read from"
    assert load_config(of_digits) == RunConfig(), "it is no part of the config"


def test_it_is_not_asked_for_where_there_is_none(of_digits: Path, tmp_path: Path) -> None:
    for data in (RunConfig().data.__class__(objects="sprites"), RunConfig().data.__class__(digits="uci")):
        assert mnist_of(of_digits, data) is None
    assert mnist_of(save(tmp_path / "other", RunConfig()), DIGITS) is None
    assert mnist_of("digits-vld", DIGITS) is None


def test_digits_that_are_gone_are_named(of_digits: Path) -> None:
    (of_digits.parent / "mnist.npz").unlink()
    message = sentence(
        lambda: mnist_of(of_digits, DIGITS), "mnist.npz, which the digits of .*run came from, does not exist"
    )
    assert "--mnist" in message


@pytest.mark.parametrize("content", ["", "[]", '{"mnist": 3}', '{"mnist": ""}', '{"mnist": "a\\u0000b"}', "{}"])
def test_a_damaged_record_is_named(of_digits: Path, content: str) -> None:
    (of_digits / SOURCES).write_text(content)
    sentence(lambda: mnist_of(of_digits, DIGITS), "sources.json: expected")


def test_the_record_of_another_run_stays(of_digits: Path, tmp_path: Path) -> None:
    before = (of_digits / SOURCES).read_bytes()
    (of_digits / "training_state.pt").write_bytes(b"")
    remember_mnist(of_digits, tmp_path / "other.npz")
    assert (of_digits / SOURCES).read_bytes() == before
    remember_mnist(of_digits, tmp_path / "other.npz", resumed=True)
    assert (of_digits / SOURCES).read_bytes() != before
