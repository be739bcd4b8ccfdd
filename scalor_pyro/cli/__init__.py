"""The command ``scalor``: one subcommand for each task, each in a module of its own with `add_to` and `run`."""

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version

from scalor_pyro.cli import evaluate, generate, info, link, report, track, train, weights
from scalor_pyro.cli.errors import USER_ERROR, command
from scalor_pyro.cli.sizes import with_pairs

SUBCOMMANDS = (info, train, track, link, report, generate, evaluate, weights)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="scalor",
        description="Find, follow and describe many moving objects in video, without labels.",
        epilog="Run scalor COMMAND --help for the options and examples of a command.",
    )
    top.add_argument("--version", action="version", version=f"scalor {_version()}")
    top.set_defaults(run=None)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for subcommand in SUBCOMMANDS:
        subcommand.add_to(commands)
    return top


@command
def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    :param arguments: without the program's name; None: those of the process.
    :return: the exit status, see :func:`scalor_pyro.cli.errors.command`.
    """
    top = parser()
    options = top.parse_args(with_pairs(sys.argv[1:] if arguments is None else arguments))
    if options.run is None:
        top.print_help(sys.stderr)
        return USER_ERROR
    status: int = options.run(options)
    return status


def _version() -> str:
    try:
        return version("scalor_pyro")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"
