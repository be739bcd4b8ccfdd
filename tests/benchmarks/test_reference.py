"""The authors' code is timed from a folder; here a stand-in with its layout and none of its code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reference.py"
STAND_IN = """
import torch

class SCALOR(torch.nn.Module):
    def __init__(self, args):
        super().__init__()
        self.loc, self.sigma = torch.nn.Parameter(torch.zeros(())), args.sigma

    def forward(self, seq):
        like = -((seq - self.loc) ** 2).flatten(1).sum(1) / self.sigma
        zero = like * 0
        return (seq, like, zero, zero, zero, zero, zero, zero, None, [], [], [])
"""
COMMON = """
img_h = img_w = 32
cfg = {"num_cell_h": 4, "num_cell_w": 4, "max_num_obj": 5, "color_num": 3}
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments), "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "SCALOR"
    folder.mkdir()
    for name in ("discovery", "modules", "propagation"):
        (folder / f"{name}.py").write_text("")
    (folder / "common.py").write_text(COMMON)
    (folder / "scalor.py").write_text(STAND_IN)
    return folder


def test_both_are_timed_on_the_same_frames(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, "--videos", 1, "--frames", 2, "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())["steps"]["1"]
    assert found["authors"]["seconds"] > 0 and found["ours"]["seconds"] > 0


def test_a_folder_of_something_else_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "expected a checkout of github.com/JindongJiang/SCALOR, got a folder without common.py" in done.stderr


def test_code_that_does_not_run_is_reported_in_a_sentence(checkout: Path) -> None:
    (checkout / "scalor.py").write_text("raise ImportError('tensorboardX is not installed')")
    done = run(checkout, "--videos", 1, "--frames", 2)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.endswith("ImportError: tensorboardX is not installed\n")
