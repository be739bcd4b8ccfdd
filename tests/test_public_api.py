"""The names that users import from scalor_pyro: all there, typed, and imported when they are used."""

import ast
import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import scalor_pyro

PACKAGE = Path(scalor_pyro.__file__).parent
# Imported by some names only, and each takes as long as all the rest.
HEAVY = ("av", "matplotlib", "motmetrics", "pandas", "pyro", "scipy", "torch")


def typed_imports() -> dict[str, str]:
    """The module of each name that a type checker sees."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_names_are_sorted_and_each_is_the_one_of_its_module() -> None:
    assert scalor_pyro.__all__ == sorted(set(scalor_pyro.__all__))
    typed = typed_imports()
    assert set(scalor_pyro.__all__) == {*typed, "__version__"}
    for name, module in typed.items():
        assert getattr(scalor_pyro, name) is getattr(importlib.import_module(module), name), name
    assert set(scalor_pyro.__all__) <= set(dir(scalor_pyro))


def test_no_name_hides_a_sub_package() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {p.stem for p in PACKAGE.glob("*.py")}
    assert not rooms & set(scalor_pyro.__all__)
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} <= set(dir(scalor_pyro))


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'scalor_pyro' has no attribute 'Scalar'"):
        _ = scalor_pyro.Scalar
    with pytest.raises(ImportError, match="cannot import name 'Scalar'"):
        exec("from scalor_pyro import Scalar")


def test_version_is_that_of_the_installed_package() -> None:
    assert scalor_pyro.__version__ == version("scalor_pyro")


@pytest.mark.parametrize(
    ("program", "unused"),
    [
        ("import scalor_pyro", HEAVY),
        ("from scalor_pyro import ModelConfig, RunConfig, preset", ("av", "matplotlib", "motmetrics", "pandas")),
        ("from scalor_pyro import Scalor, infer, follow, train", ("av", "matplotlib", "motmetrics", "pandas")),
        ("import scalor_pyro; assert scalor_pyro.config.ConfigError", ("matplotlib", "motmetrics", "pandas")),
    ],
)
def test_what_is_not_used_is_not_imported(program: str, unused: tuple[str, ...]) -> None:
    code = f"{program}\nimport sys\nprint([name for name in {unused!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
