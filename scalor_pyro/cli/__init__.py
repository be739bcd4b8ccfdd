"""The command ``scalor``: one subcommand for each task, each in a module of its own with `add_to` and `run`.

Only the module of the subcommand that is run is imported: torch alone takes seconds, which help and typing errors need
not wait for.
"""

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from scalor_pyro.cli.errors import USER_ERROR, command
from scalor_pyro.cli.sizes import with_pairs

SUBCOMMANDS = {
    "info": "show what a video holds, what moves in it, and how it would be tracked and trained on",
    "train": "learn to find and follow what moves in a video",
    "track": "follow the objects of videos of any length",
    "link": "give tracks of one object one identity; filter tracks",
    "report": "make a page to look at from tracks and their video",
    "generate": "forecast how a video continues, or sample new videos",
    "evaluate": "score tracks against a ground truth",
    "weights": "list the packaged weights",
}


def parser(subcommand: str | None = None) -> argparse.ArgumentParser:
    """The command line.

    :param subcommand: the only one whose options are needed; of the others, names and summaries are enough. Default:
        the options of all.
    """
    top = argparse.ArgumentParser(
        prog="scalor",
        description="Find, follow and describe many moving objects in video, without labels.",
        epilog="Run scalor COMMAND --help for the options and examples of a command.",
    )
    top.add_argument("--version", action="version", version=f"scalor {_version()}")
    top.set_defaults(run=None)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for name, summary in SUBCOMMANDS.items():
        if subcommand in (None, name):
            import_module(f"scalor_pyro.cli.{name}").add_to(commands, summary)
        else:
            commands.add_parser(name, help=summary)
    return top


@command
def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    :param arguments: without the program's name; None: those of the process.
    :return: the exit status, see :func:`scalor_pyro.cli.errors.command`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    with _kept_for_good() if arguments is None else nullcontext():
        top = parser(given[0] if given else "")
    options = top.parse_args(with_pairs(given))
    if options.run is None:
        top.print_help(sys.stderr)
        return USER_ERROR
    status: int = options.run(options)
    return status


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """What is imported within stays until the process ends: the garbage collector need not look at it ever again.

    Importing torch makes objects by the hundred thousand: this saves a tenth of the time that a short video takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _version() -> str:
    try:
        return version("scalor_pyro")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"
