"""The examples, each run in a tiny mode; and the command line of the main one, with all that it has to refuse."""

import gzip
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scalor_pyro.config import TrainConfig
from scalor_pyro.config.presets import PRESETS
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.loading import load_config

EXAMPLES = Path(__file__).parents[2] / "examples"
# Seconds instead of minutes; the bundled digits need no network.
TINY = ["--frames", "2", "--batch-size", "1", "--eval-videos", "1"]
TINY_DIGITS = [*TINY, "--no-evidence", "--digits", "uci", "--steps", "6"]
# Stands for the folder of a finished run.
RUN = "RUN"
TINY_ABLATION = ["--preset", "sprites-vld", "--steps", "2", "--eval-videos", "1", "--only", "no rejection"]
# How each example is run; it gets --out, too.
RUNS = {
    "ablate.py": TINY_ABLATION,
    "baselines.py": [*TINY, "--model", "sqair", "--digits", "uci", "--steps", "2", "--nll", "2", "--nll-videos", "1"],
    "evaluate.py": [
        RUN,
        "--on",
        "trained",
        "unseen-digits",
        "--frames",
        "3",
        "--slots",
        "4",
        "--eval-videos",
        "1",
        "--nll",
        "2",
    ],
    "generate.py": [RUN, "--observed", "2", "--frames", "4", "--samples", "2", "--videos", "1"],
    "inspect_latents.py": [RUN, "--video", "1"],
    "train_any_scene.py": ["--videos", "32", "--steps", "2", "--eval-videos", "1", "--taught"],
    "train_embedding.py": ["--videos", "8", "--steps", "2", "--eval-videos", "2"],
    "train_sizes.py": ["--videos", "16", "--steps", "2", "--eval-videos", "2"],
    "train_public.py": [
        "--benchmark",
        "mnist-mot",
        "--digits",
        "uci",
        "--videos",
        "4",
        "--steps",
        "1",
        "--eval-videos",
        "1",
    ],
    "train_mnist.py": [*TINY, "--objects", "sprites", "--background", "--preset", "paper", "--steps", "2"],
}

# … but for this one, which has a test of its own.
AVERAGE = "average_any_scene.py"

OPTIONS = (
    "--objects --density --background --frames --steps --minutes --batch-size --seed --device --precision --capture "
    "--out --resume --eval-videos --digits --mnist --preset"
).split()


def load_example(name: str) -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TRAIN_MNIST = load_example("train_mnist.py")


def command(*arguments: object) -> int:
    """Run train_mnist.py in this process."""
    code: int = TRAIN_MNIST.main([str(argument) for argument in arguments])
    return code


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; none if there is no folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refuses(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """The command ends with code 2 and one sentence."""

    def check(*arguments: object, match: str) -> None:
        assert command(*arguments) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert re.fullmatch(r"error: [^\n]*\.\n", error) and not re.search(r"\. [A-Z]", error), error
        assert re.search(match, error), error

    return check


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the example."""
    folder = tmp_path_factory.mktemp("runs") / "new" / "run"
    assert command(*TINY_DIGITS, "--out", folder) == 0
    return folder


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """SIGINT comes during the given step, counted from 1, of the next training."""

    def arrange(step: int) -> None:
        scheduled, begun = TrainConfig.scheduled, set[int]()

        def interrupted(config: TrainConfig, done: int) -> dict[str, float]:
            if done not in begun and len(begun) == step - 1:
                signal.raise_signal(signal.SIGINT)
            begun.add(done)
            return scheduled(config, done)

        monkeypatch.setattr(TrainConfig, "scheduled", interrupted)

    return arrange


# ------------------------------------------------------------------ what works


def test_results_name_the_command(run: Path) -> None:
    origin = json.loads((run / "results.json").read_text())["provenance"]
    assert origin["command"].startswith("python examples/train_mnist.py --frames 2 --batch-size 1 ")
    assert origin["preset"] is None, "with other frames it is no preset"


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*RUNS, AVERAGE}, "add the example to RUNS"


@pytest.mark.parametrize("name", RUNS)
def test_example(name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(run) if argument == RUN else argument for argument in RUNS[name]]
    assert load_example(name).main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert str(tmp_path / "run") in capsys.readouterr().out, "it says where its output is"


def test_trainings_for_any_scene_are_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, average = load_example("train_any_scene.py").main, load_example(AVERAGE).main
    runs = [str(tmp_path / name) for name in ("one", "two")]
    tiny = ["--start-from", "any-scene", "--videos", "8", "--steps", "1", "--eval-videos", "1"]
    for seed, out in enumerate(runs):
        assert train([*tiny, "--seed", str(seed), "--out", out]) == 0
    assert average([*runs, "--eval-videos", "1", "--out", str(tmp_path / "mean")]) == 0
    assert str(tmp_path / "mean") in capsys.readouterr().out
    Scalor.from_pretrained(tmp_path / "mean")
    assert average([runs[0], "--out", str(tmp_path / "again")]) == 2
    assert capsys.readouterr().err == "error: runs: expected at least 2, got 1.\n"
    assert not (tmp_path / "again").exists()


def test_an_ablation_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = load_example("ablate.py").main
    out = ["--out", str(tmp_path)]
    assert main([*TINY_ABLATION, *out]) == 0
    trained = tmp_path / "sprites-vld-0" / "no-rejection"
    before = contents(trained)
    assert load_config(trained).model.rejection is False
    assert main([*TINY_ABLATION, "no attention", *out]) == 0
    assert contents(trained) == before
    assert (tmp_path / "table.md").read_text().count("\n") == 4
    capsys.readouterr()
    assert main([*TINY_ABLATION, "--steps", "3", *out]) == 2
    assert "other settings" in capsys.readouterr().err
    assert main(["--only", "nothing", *out]) == 2
    assert re.fullmatch(r"error: --only: expected cells among [^\n]* got nothing\.\n", capsys.readouterr().err)


def test_an_ablation_with_the_papers_settings_leaves_out_what_they_do_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ablate = load_example("ablate.py")
    cells = ablate.cells(ablate.parse(["--paper"]))
    assert list(cells) == ["rejection and attention", "no attention", "no rejection", "no rejection, no attention"]
    assert not any(config.model.constant_velocity for config in cells.values())
    asked = ["--paper", "--only", "no rejection among proposals", "--out", str(tmp_path)]
    assert ablate.main(asked) == 2
    assert re.search(r"got no rejection among proposals\.\n$", capsys.readouterr().err)


def test_inspecting_a_model_that_finds_nothing(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_example("inspect_latents.py").main([str(run), "--out", str(tmp_path)]) == 0
    assert "No object was found in this video." in capsys.readouterr().out
    assert contents(tmp_path).keys() == {"objects.png"}


def test_inspecting_shows_what_is_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load_example("inspect_latents.py")
    load = example.load

    def load_eager(options: object) -> tuple[Scalor, torch.Tensor]:
        scalor, video = load(options)
        torch.nn.init.constant_(scalor.discovery_posterior.presence_head.bias, 3.0)
        return scalor, video

    monkeypatch.setattr(example, "load", load_eager)
    assert example.main([str(run), "--out", str(tmp_path / "new" / "folder")]) == 0
    out = capsys.readouterr().out
    assert "z_where_prop_1 dist     1    6    |  4" in out and "slot_identity_1 dist" in out
    objects = re.findall(r"^ +(\d+) +(\d) +([\d.]+)(?: +-?[\d.]+ ± [\d.]+){4} +-?[\d.]+$", out, re.MULTILINE)
    assert objects and all(int(frame) < 2 and 0 <= float(presence) <= 1 for _, frame, presence in objects)
    pictures = contents(tmp_path / "new" / "folder")
    assert "objects.png" in pictures and any("removed" in name for name in pictures)
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ("--eval-videos 0", "at least 1"),
        ("--frames 0", "frames: expected .* got 0"),
        ("--count 3 2", "count_min: expected .* got 3"),
        ("--slots 0", "slots: expected .* got 0"),
        ("--eval-videos 1 --nll 0", "samples: expected"),
        ("--mnist nowhere.npz", "nowhere.npz"),
    ],
)
def test_evaluation_refuses(
    arguments: str, match: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert load_example("evaluate.py").main([str(run), *arguments.split(), "--out", str(out)]) == 2
    assert re.fullmatch(rf"error: [^\n]*{match}[^\n]*\.\n", capsys.readouterr().err)
    assert not out.exists()


def test_evaluation_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_example("evaluate.py").main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert re.fullmatch(r"error: [^\n]*none[^\n]*\.\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--video", "-1"], "--video: expected a number from 0, got -1"),
        (["--frames", "3"], "--frames: expected 1 to 2, got 3"),
        (["--mnist", "mnist.npz"], "expected 'mnist' with the file mnist.npz, got 'uci'"),
    ],
)
def test_inspecting_refuses(
    arguments: list[str], match: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = load_example("inspect_latents.py").main
    for folder, expected in ((run, match), (tmp_path, r"weights\.safetensors could not be read")):
        assert main([str(folder), *arguments, "--out", str(tmp_path / "out")]) == 2
        out, error = capsys.readouterr()
        assert out == "" and re.fullmatch(r"error: [^\n]*\.\n", error) and re.search(expected, error), error
        assert not (tmp_path / "out").exists()


def test_help_tells_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    told = re.findall(
        r"^  (--[a-z-]+)(?:, --no-[a-z]+)?(?: (?:\{\S+\}|[A-Z_]+))?(?:\n {10,}|  +)\w", text, re.MULTILINE
    )
    assert set(OPTIONS) <= set(told), "each with a help text"


def test_run_says_what_came_out(run: Path) -> None:
    assert {"results.json", "player.html", "weights.safetensors", "config.json"} <= contents(run).keys()
    config = load_config(run)
    assert (config.train.steps, config.data.frames, config.data.digits) == (6, 2, "uci")
    results = json.loads((run / "results.json").read_text())
    assert (results["videos"], results["steps"], results["digits"]) == (1, 6, "uci")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_name_on_the_command_line(name: str) -> None:
    assert TRAIN_MNIST.configure(TRAIN_MNIST.parse(["--preset", name])) == PRESETS[name]()


def test_options_reach_the_config() -> None:
    asked = "--objects sprites --density MD --background --steps 7 --batch-size 4 --seed 5 --minutes 2.5"
    config = TRAIN_MNIST.configure(TRAIN_MNIST.parse(asked.split()))
    assert (config.data.objects, config.data.count_max, config.data.background) == ("sprites", 24, True)
    assert (config.train.steps, config.train.curriculum[-1].batch, config.train.minutes) == (7, 4, 2.5)
    assert (config.model.background, config.seed) == ("moving", 5)
    assert (config.train.precision, config.train.capture) == ("fp32", True)


@pytest.mark.parametrize(("example", "arguments"), [("train_mnist.py", []), ("baselines.py", ["--model", "vrnn"])])
def test_how_to_compute_reaches_the_config(example: str, arguments: list[str]) -> None:
    loaded = load_example(example)
    config = loaded.configure(loaded.parse([*arguments, "--precision", "bf16", "--no-capture"]))
    assert (config.train.precision, config.train.capture) == ("bf16", False)


def test_a_run_in_bfloat16_goes_on_in_bfloat16(tmp_path: Path) -> None:
    assert command(*TINY_DIGITS, "--precision", "bf16", "--no-capture", "--out", tmp_path) == 0  # here without effect
    assert command("--resume", "--out", tmp_path, "--eval-videos", 1) == 0
    assert load_config(tmp_path).train.precision == "bf16"


def test_interrupted_and_resumed_is_the_same_as_uninterrupted(
    run: Path, tmp_path: Path, interrupt_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(4)
    assert command(*TINY_DIGITS, "--out", tmp_path) == 130
    assert load_training_state(tmp_path / "training_state.pt").step == 4
    assert not (tmp_path / "results.json").exists()
    monkeypatch.undo()
    torch.rand(3)  # another state of the random numbers than at the start of a run
    assert command("--resume", "--out", tmp_path, "--eval-videos", 1) == 0
    assert (tmp_path / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    resumed, uninterrupted = (json.loads((path / "results.json").read_text()) for path in (tmp_path, run))
    assert [results.pop("provenance")["resumed"] for results in (resumed, uninterrupted)] == [True, False]
    for results in (resumed, uninterrupted):
        del results["training_minutes"], results["processor_minutes"]
        for row in results["evaluations"]:
            del row["minutes"]
    assert resumed == uninterrupted


def test_sigint_saves_and_leaves(tmp_path: Path, interrupt_at: Callable[[int], None]) -> None:
    arguments = [*TINY_DIGITS[:-1], str(10**6), "--out", str(tmp_path)]
    paths = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "train_mnist.py"), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (tmp_path / "metrics.jsonl").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "--resume" in out and "Traceback" not in error
    step = load_training_state(tmp_path / "training_state.pt").step
    assert step >= 20, "it had logged once"
    interrupt_at(1)
    assert command("--resume", "--out", tmp_path) == 130
    assert load_training_state(tmp_path / "training_state.pt").step == step + 1


def test_interrupt_outside_of_training_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TRAIN_MNIST, "run_experiment", interrupted)
    assert command("--out", tmp_path) == 130
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ("--steps 0", "--steps: expected at least 1, got 0"),
        ("--batch-size 0", "--batch-size: expected at least 1, got 0"),
        ("--batch-size -3", "--batch-size: expected at least 1, got -3"),
        ("--frames 0", "--frames: expected at least 1, got 0"),
        ("--eval-videos 0", "at least 1 video to evaluate on, got 0"),
        ("--minutes -1", "minutes: expected a number above 0, .* got -1.0"),
        ("--minutes nan", "minutes: expected a number above 0, .* got nan"),
        ("--seed -1", "seed: expected a whole number from 0 .* got -1"),
        ("--preset lg --density MD", "--preset lg cannot be combined with --objects"),
        ("--preset dense-discovery --frames 5", r"arrivals: expected frames from 0 to 4, got \(1, 5, 9\)"),
        ("--objects sprites --digits uci", "expected videos of digits"),
        ("--objects sprites --mnist mnist.npz", "the videos show sprites"),
        ("--mnist mnist.npz", "expected 'mnist' with the file mnist.npz, got 'uci'"),
        ("--resume", "holds no run to resume: expected a file training_state.pt"),
        ("--resume --steps 7", "holds no run to resume"),
    ],
)
def test_bad_options(arguments: str, match: str, tmp_path: Path, refuses: Callable[..., None]) -> None:
    options = arguments.split()
    digits = [] if "sprites" in options or "--preset" in options or "--resume" in options else ["--digits", "uci"]
    refuses(*digits, *options, "--out", tmp_path / "run", match=match)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [["--density", "XS"], ["--steps", "many"], ["--speed", "3"], ["--device", "tpu"]])
def test_options_that_there_are_not(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    assert stop.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_cuda_where_there_is_none(
    tmp_path: Path, refuses: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refuses(
        *TINY_DIGITS,
        "--device",
        "cuda",
        "--out",
        tmp_path / "run",
        match="No CUDA device is available; use --device auto or cpu",
    )
    assert not (tmp_path / "run").exists()


def idx(*shape: int) -> bytes:
    """The header of an IDX file of bytes."""
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()


def write_mnist(path: Path, kind: str) -> None:
    """A file that is not MNIST, in one of many ways."""
    if kind in ("cut", "foreign"):
        names = ("x_train", "y_train") if kind == "cut" else ("images", "labels")
        np.savez(path, **{names[0]: np.ones((9, 28, 28), np.uint8), names[1]: np.arange(9)})  # type: ignore[arg-type]
        if kind == "cut":
            path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "text":
        path.write_text("these are no digits")
    elif kind == "short":
        path.write_bytes(idx(5, 28, 28) + bytes(4 * 28 * 28))
        path.with_name("train-labels-idx1-ubyte").write_bytes(idx(5) + bytes(5))
    elif kind == "gzip":
        path.write_bytes(gzip.compress(idx(5, 28, 28) + bytes(range(250)))[:-20])


@pytest.mark.parametrize(
    ("name", "kind", "match"),
    [
        ("nowhere.npz", "", "does not exist"),
        ("mnist.npz", "text", "not a whole .npz archive"),
        ("mnist.npz", "cut", "not a whole .npz archive"),
        ("mnist.npz", "foreign", "has no array x_train or y_train"),
        ("digits.png", "text", "neither an .npz nor named like"),
        ("train-images-idx3-ubyte", "text", "is no IDX file"),
        ("train-images-idx3-ubyte", "short", "its header says"),
        ("train-images-idx3-ubyte.gz", "gzip", "cannot be read"),
    ],
)
def test_file_that_is_not_mnist(name: str, kind: str, match: str, tmp_path: Path, refuses: Callable[..., None]) -> None:
    write_mnist(tmp_path / name, kind)
    refuses(*TINY, "--mnist", tmp_path / name, "--out", tmp_path / "run", match=f"{match}.*expected MNIST")
    assert not (tmp_path / "run").exists()


def test_mnist_that_cannot_be_fetched(
    tmp_path: Path, refuses: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> Path:
        raise ConnectionError("MNIST is nowhere.")

    monkeypatch.setattr("scalor_pyro.data.digits._fetch_mnist", no_network)
    refuses(
        *TINY, "--digits", "mnist", "--out", tmp_path / "run", match="nowhere; pass .*--mnist FILE, or --digits uci"
    )
    assert not (tmp_path / "run").exists()


def test_folder_that_cannot_be_written(tmp_path: Path, refuses: Callable[..., None]) -> None:
    (tmp_path / "file").write_text("kept")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        refuses(*TINY_DIGITS, "--out", folder, match="cannot be written")
    assert contents(tmp_path) == {"file": b"kept"}


def test_folder_of_another_run(run: Path, refuses: Callable[..., None]) -> None:
    before = contents(run)
    refuses(*TINY_DIGITS, "--out", run, match="holds another run")
    assert contents(run) == before


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([*TINY_DIGITS[:-1], "7"], "another config .train.steps: expected 7, got 6"),
        ([*TINY_DIGITS, "--precision", "bf16"], "train.precision: expected 'bf16', got 'fp32'"),
        ([*TINY_DIGITS, "--seed", "1"], "seed: expected 1, got 0"),
        (["--objects", "sprites"], "data.objects: expected 'sprites', got 'digits'"),
    ],
)
def test_resume_with_other_options(arguments: list[str], match: str, run: Path, refuses: Callable[..., None]) -> None:
    before = contents(run)
    refuses(*arguments, "--resume", "--out", run, match=match)
    assert contents(run) == before


def test_resume_from_a_damaged_checkpoint(run: Path, tmp_path: Path, refuses: Callable[..., None]) -> None:
    state = (run / "training_state.pt").read_bytes()
    (tmp_path / "training_state.pt").write_bytes(state[: len(state) // 2])
    refuses("--resume", "--out", tmp_path, match="training_state.pt is damaged or cut off")
