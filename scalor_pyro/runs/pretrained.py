"""Weights to start from: trained models that come with the package, each one file, known by name.

What they are, and how good, is in docs/weights.md; ``scalor weights`` lists them.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "weights"
ENDING = ".safetensors"
# Where a run of that name would be, for what is made of it.
RUNS = Path("runs")


def names() -> tuple[str, ...]:
    """The names of all of them."""
    return tuple(sorted(path.name.removesuffix(ENDING) for path in FOLDER.glob(f"*{ENDING}")))


def file_of(name: str) -> Path:
    """The file of a name, whether it is there or not."""
    return FOLDER / f"{name}{ENDING}"


def recorded(run: str) -> str:
    """A run as files say of which they are: the name, or the whole path."""
    return run if run in names() else str(Path(run).absolute())


def own_folder(run: str | Path) -> Path:
    """Where to put what is made of a run, unless told otherwise: into its folder, or, for weights by name, runs/NAME.

    :param run: a run folder, a file of weights, or a name.
    """
    path = Path(run)
    if isinstance(run, str) and run in names():
        return RUNS / run
    return path if path.is_dir() else path.parent
