"""The layout of the package: imports go downwards only, and every folder says what it is for."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scalor_pyro"

# From the top floor down: a module imports from its own room, or from floors below.
FLOORS = (
    {"__init__", "__main__"},
    {"cli", "napari"},
    {"experiments"},
    {"plots"},
    {"evaluation"},
    {"tracks"},
    {"video", "baselines"},
    {"training"},
    {"inference", "sizes", "embedding"},
    {"model"},
    {"runs", "data", "layers"},
    {"config"},
    {"files", "colours"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# A room with more modules than this is searched rather than known.
MOST_MODULES = 16
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


def room_of(module: Path) -> str:
    """The folder of a module, or, of one at the top, its own name."""
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(module: Path) -> Iterator[str]:
    """The rooms that a module imports from, wherever in it the import stands."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{module} has a relative import, which hides the room that it is from")
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and node.module == "scalor_pyro":
            names = [f"scalor_pyro.{each.name}" for each in node.names]
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "scalor_pyro" and rest.partition(".")[0] in FLOOR_OF:
                yield rest.partition(".")[0]


def test_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in MODULES} == set(FLOOR_OF)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(module: Path) -> None:
    own = room_of(module)
    upwards = {room for room in imported(module) if room != own and FLOOR_OF[room] <= FLOOR_OF[own]}
    assert not upwards, f"{own} must not import from {sorted(upwards)}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_a_room_says_what_it_is_for_and_is_small_enough_to_know(room: Path) -> None:
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{room.name}/__init__.py has no docstring"
    assert len(list(room.glob("*.py"))) <= MOST_MODULES + 1  # and __init__


@pytest.mark.parametrize("room", [PACKAGE, *ROOMS], ids=lambda path: path.name)
def test_every_exported_name_is_bound(room: Path) -> None:
    package = importlib.import_module(".".join(room.relative_to(PACKAGE.parent).parts))
    for name in getattr(package, "__all__", ()):
        assert hasattr(package, name), f"{package.__name__}.__all__ names {name}, which is not there"
