"""Where a run comes from: the source, the packages and the machine that trained it, for its ``results.json``."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyro
import torch

PACKAGE = Path(__file__).parents[1]
# Folder beside the package whose code also affects a training.
EXAMPLES = "examples"


class MadeBy(NamedTuple):
    """What only the program that starts a run knows about it."""

    command: str | None = None  # see command_line
    preset: str | None = None  # the name of its setting, see scalor_pyro.config.presets.setting_of


UNKNOWN = MadeBy()


class Source(NamedTuple):
    """The state of a source tree."""

    commit: str | None = None  # None: not a checkout of this project (an installed wheel), or git is not available
    changed: bool | None = None  # whether package or examples differ from the commit


def provenance(
    made_by: MadeBy, device: torch.device | str, processes: int = 1, resumed: bool = False
) -> dict[str, Any]:
    """Where a run comes from, ready for JSON. Call it before training, since sources may change meanwhile.

    :param device: that trains.
    :param processes: number of processes that train together.
    :param resumed: whether the run was resumed; the processes before that are not recorded here.
    """
    return {
        **made_by._asdict(),
        **source_of(PACKAGE)._asdict(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "machine": machine(torch.device(device)),
        "processes": processes,
        "resumed": resumed,
    }


def command_line(script: str, arguments: Sequence[str] | None) -> str:
    """The command that runs an example.

    :param script: its ``__file__``.
    :param arguments: None for those of this process.
    """
    name = Path(script).parent.name + "/" + Path(script).name
    return shlex.join(["python", name, *(sys.argv[1:] if arguments is None else arguments)])


def source_of(package: Path) -> Source:
    """The commit that a package was loaded from.

    :param package: its folder. A checkout counts only if the folder is tracked and at its top: a wheel inside
        another project's checkout does not belong to that project's commits.
    """
    try:
        top, commit = _git(package, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if Path(top).resolve() != package.resolve().parent or not _git(package, "ls-files", "."):
            return Source()
        changes = _git(package.parent, "status", "--porcelain", "--", package.name, EXAMPLES)
    except (OSError, subprocess.CalledProcessError):  # git is not available, or this is no checkout
        return Source()
    return Source(commit, bool(changes))


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def machine(device: torch.device) -> str:
    """In words: processor, cores, the threads that torch uses, and the GPU if the device is one."""
    threads = torch.get_num_threads()
    words = [_processor(), f"{os.cpu_count()} cores", f"{threads} thread{'s' if threads > 1 else ''}"]
    if device.type == "cuda":
        words.append(torch.cuda.get_device_name(device))
    return ", ".join(words)


def _processor() -> str:
    """The name of the processor, which only Linux has in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
