"""The programs of docs/extend.md run as they stand, each in a process of its own, and print what the page says."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
# A heading, then a program, then what it prints.
SECTIONS = re.findall(r"^## (.+?)$.*?^```python\n(.+?)^```\n\n```text\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# What a program needs besides the package.
NEEDS = {"Lightning": "pytorch_lightning", "Your decoder": "scalor_pyro.model.parts"}


def without_decimals(printed: str) -> str:
    """Text whose numbers with a decimal point are all alike: they differ between machines."""
    return re.sub(r"-?\d+\.\d+", "#", printed)


def test_every_section_has_a_program() -> None:
    assert [name for name, _, _ in SECTIONS] == re.findall("^## (.+)$", PAGE, re.MULTILINE)
    assert len(SECTIONS) == PAGE.count("```python") == 5


@pytest.mark.parametrize(("name", "program", "printed"), SECTIONS, ids=[name for name, _, _ in SECTIONS])
def test_a_program_prints_what_the_page_says(name: str, program: str, printed: str, tmp_path: Path) -> None:
    module = NEEDS.get(name)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert without_decimals(done.stdout) == without_decimals(printed), done.stdout
