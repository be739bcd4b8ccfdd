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
# Beside the package, what decides a training.
EXAMPLES = "examples"


class MadeBy(NamedTuple):
    """What only the program that starts a run knows of it."""

    command: str | None = None  # see command_line
    preset: str | None = None  # the name of its setting, see scalor_pyro.config.presets.setting_of


UNKNOWN = MadeBy()


class Source(NamedTuple):
    """The state of a source tree."""

    commit: str | None = None  # None: it is no checkout of this project (an installed wheel), or there is no git
    changed: bool | None = None  # whether package or examples differ from the commit


def provenance(
    made_by: MadeBy, device: torch.device | str, processes: int = 1, resumed: bool = False
) -> dict[str, Any]:
    """Values for JSON, as they are now: to be asked before a training, since sources may change during one.

    :param device: where it computes.
    :param processes: how many train together.
    :param resumed: it goes on with an earlier run, of whose process nothing is said here.
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

    :param package: its folder. The checkout is taken for its own only if the folder lies at the top of it and is
        tracked: a wheel installed below another project's checkout has nothing to do with that project's commits.
    """
    try:
        top, commit = _git(package, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if Path(top).resolve() != package.resolve().parent or not _git(package, "ls-files", "."):
            return Source()
        changes = _git(package.parent, "status", "--porcelain", "--", package.name, EXAMPLES)
    except (OSError, subprocess.CalledProcessError):  # there is no git, or it knows no checkout here
        return Source()
    return Source(commit, bool(changes))


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def machine(device: torch.device) -> str:
    """In words: processor, cores, the threads that torch uses, and the GPU if it is one."""
    threads = torch.get_num_threads()
    words = [_processor(), f"{os.cpu_count()} cores", f"{threads} thread{'s' if threads > 1 else ''}"]
    if device.type == "cuda":
        words.append(torch.cuda.get_device_name(device))
    return ", ".join(words)


def _processor() -> str:
    """The name of the processor: Linux alone tells it in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
