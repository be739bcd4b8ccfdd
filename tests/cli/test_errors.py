"""How commands fail: one sentence and a status for the user's faults, a traceback for ours."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.cli.errors import LONGEST, command, one_line
from scalor_pyro.config import ConfigError
from scalor_pyro.files import OutputError


def failing(error: BaseException) -> Callable[[], int]:
    @command
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConfigError("--seed: expected a number from 0, got -1."), "--seed: expected a number from 0, got -1."),
        (OutputError("runs/a is full."), "runs/a is full."),
        (FileNotFoundError(2, "No such file or directory", "a.mp4"), "a.mp4: No such file or directory."),
        (OSError(28, "No space left on device"), "No space left on device."),
        (ConnectionError("MNIST is nowhere."), "MNIST is nowhere."),
        (ConfigError("a\nb\x1b[31m is no name."), "a\\nb\\x1b[31m is no name."),
    ],
)
def test_a_fault_of_the_user_is_one_sentence_and_status_2(
    error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(error)() == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,)"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has …"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3221225472 bytes."),
    ],
)
def test_too_little_memory_is_one_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(error)() == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: Out of memory") and printed.count("\n") == 1
    if "3" in str(error):
        assert "3.0" in printed and "GiB more were needed" in printed


def test_memory_that_torch_cannot_have_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def main() -> int:
        return len(torch.empty(2**60))

    assert main() == 2
    assert capsys.readouterr().err.startswith("error: Out of memory")


def test_control_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt())() == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.parametrize("error", [TypeError("a bug"), KeyError("slots"), IndexError("range"), RuntimeError("x")])
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        failing(error)()


def test_a_value_error_that_nobody_raised_on_purpose_is_a_bug() -> None:
    @command
    def broadcasting() -> int:
        return len(np.zeros(2) + np.zeros(3))

    @command
    def parsing() -> int:
        return int(json.loads('"x"'))

    for main in (broadcasting, parsing):
        with pytest.raises(ValueError):
            main()


def test_a_distribution_of_nan_is_a_sentence_and_of_another_value_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def main(loc: float, scale: float) -> int:
        return len(torch.distributions.Normal(torch.tensor([loc]), torch.tensor([scale]), validate_args=True).sample())

    for loc, scale in ((float("nan"), 1.0), (0.0, float("nan"))):
        assert main(loc, scale) == 2
        assert capsys.readouterr().err.startswith("error: The model computed NaN or infinity")
    with pytest.raises(ValueError):
        main(0.0, -1.0)


def test_a_value_error_that_the_package_raises_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    from scalor_pyro.video import Clips

    @command
    def main() -> int:
        return len(Clips([], 3))

    assert main() == 2
    assert capsys.readouterr().err.startswith("error: ")


@given(st.text(max_size=4 * LONGEST))
def test_a_message_is_one_short_line_that_a_terminal_can_show(message: str) -> None:
    shown = one_line(message)
    assert shown.isprintable() and len(shown) <= 10 * (LONGEST + 3)
    if message.isprintable() and len(message) <= LONGEST:
        assert shown == message


def run(command_line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    settings = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    return subprocess.run(["bash", "-c", command_line], cwd=folder, env=settings, capture_output=True, check=False)


def test_output_whose_reader_has_gone_and_names_that_the_terminal_lacks(tmp_path: Path) -> None:
    name = os.fsdecode(b"stra\xdfe.npy")  # Latin-1 in a UTF-8 locale
    try:
        np.save(tmp_path / name, np.zeros((3, 32, 32), np.uint8))
    except OSError:
        pytest.skip("this file system takes no such name")
    shown = run(f"{sys.executable} -m scalor_pyro info stra*.npy", tmp_path, PYTHONIOENCODING="utf-8")
    assert shown.returncode == 2 and b"Traceback" not in shown.stderr and shown.stderr.count(b"\n") == 1
    assert b"stra\\xdfe.npy" in shown.stdout
    closed = run(f"{sys.executable} -m scalor_pyro weights | true; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert closed.returncode in (0, 141) and closed.stderr == b""
