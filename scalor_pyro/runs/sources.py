"""Where the data of a run came from on the machine that trained it: ``sources.json`` in its folder.

It is no part of the config: the same run on another machine has the same config, and its files elsewhere.
"""

import json
from pathlib import Path

from scalor_pyro.config import DataConfig, PublicData
from scalor_pyro.config.checks import shown
from scalor_pyro.files import explained, write_atomically
from scalor_pyro.runs.configs import CheckpointError, read_json
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import located

SOURCES = "sources.json"


def remember_mnist(folder: Path, mnist: Path, resumed: bool = False) -> None:
    """Record where MNIST is, for readers of the run, who need the same digits.

    :param folder: of the run.
    :param mnist: the file or folder of MNIST.
    :param resumed: the folder holds the run already; that of another run is left as it is.
    :raises OutputError: if it cannot be written.
    """
    if not resumed and RunFolder(folder).state.exists():
        return
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / SOURCES, (json.dumps({"mnist": str(mnist.absolute())}, indent=1) + "\n").encode())


def mnist_of(run: str | Path, data: DataConfig | PublicData, given: Path | None = None) -> Path | None:
    """The file or folder of MNIST to take the digits of a run from.

    :param run: see :func:`scalor_pyro.runs.loading.located`; of a file of weights, the folder that it is in.
    :param data: the videos of the run.
    :param given: takes precedence.
    :return: None if the run does not use MNIST, or used that in the user's cache.
    :raises CheckpointError: if the recorded file is gone, or the record is damaged.
    """
    if given is not None or not _needs_mnist(data):
        return given
    return _existing(located(run).parent, run)


def mnist_to_train_on(folder: Path, data: DataConfig | PublicData, given: Path | None) -> Path | None:
    """The same for the run in a folder that is to be resumed, which may have no weights yet."""
    return given if given is not None or not _needs_mnist(data) else _existing(folder, folder)


def _needs_mnist(data: DataConfig | PublicData) -> bool:
    return data.objects == "digits" and data.digits != "uci"


def _existing(folder: Path, run: str | Path) -> Path | None:
    mnist = _recorded(folder / SOURCES)
    if mnist is not None and not mnist.exists():
        raise CheckpointError(
            f"{mnist}, which the digits of {run} came from, does not exist: expected its new place, given by --mnist."
        )
    return mnist


def _recorded(path: Path) -> Path | None:
    """The path in a record; None if there is none."""
    if not path.exists():
        return None
    values = read_json(path)
    mnist = values.get("mnist") if isinstance(values, dict) else None
    if not isinstance(mnist, str) or not mnist or "\0" in mnist:
        raise CheckpointError(f"{path}: expected the path of MNIST, got {shown(values)}.")
    return Path(mnist)
