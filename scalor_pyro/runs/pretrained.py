"""Trained weights that come with the package: one file each, found by name.

docs/weights.md describes them and their scores; ``scalor weights`` lists them.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "weights"
ENDING = ".safetensors"
# The weights for videos that nobody has trained on.
ANY_SCENE = "any-scene"
# The network that brings a video to their scale; it is no model to track with, so it has no name.
SIZES = FOLDER / "any-scene" / f"sizes{ENDING}"
# The network that tells objects apart where videos are seen as differences from their scene; likewise.
EMBEDDING = FOLDER / "any-scene" / f"embedding{ENDING}"
# Outputs made from named weights go where a run of that name would be.
RUNS = Path("runs")


def names() -> tuple[str, ...]:
    """All names."""
    return tuple(sorted(path.name.removesuffix(ENDING) for path in FOLDER.glob(f"*{ENDING}")))


def file_of(name: str) -> Path:
    """The file of a name, whether or not it exists."""
    return FOLDER / f"{name}{ENDING}"


def recorded(run: str) -> str:
    """How files refer to a run: by its name, or by its absolute path."""
    return run if run in names() else str(Path(run).absolute())


def own_folder(run: str | Path) -> Path:
    """The default folder for outputs made from a run: its own folder, or runs/NAME for named weights.

    :param run: a run folder, a file of weights, or a name.
    """
    path = Path(run)
    if isinstance(run, str) and run in names():
        return RUNS / run
    return path if path.is_dir() else path.parent
