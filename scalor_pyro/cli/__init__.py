"""The command ``scalor``: a subcommand for each thing to do, each in a module of its own with `add_to` and `run`."""

import argparse
import logging
import sys

from scalor_pyro.cli import evaluate, generate, info, track, train, weights

SUBCOMMANDS = (info, train, track, generate, evaluate, weights)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="scalor",
        description="Find, follow and describe many moving objects in video, without labels.",
        epilog="scalor COMMAND --help says more of a command.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for subcommand in SUBCOMMANDS:
        subcommand.add_to(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; 2 for what the user has to put right, 130 when interrupted."""
    logging.basicConfig(level=logging.WARNING, format="warning: %(message)s")
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return status
