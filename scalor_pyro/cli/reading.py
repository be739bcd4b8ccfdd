"""Options of the command line that say how a video is read; those of :class:`~scalor_pyro.video.ReadOptions`."""

import argparse
from dataclasses import fields, replace

from scalor_pyro.config import Crop, ReadOptions


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a subcommand, as a group."""
    group = parser.add_argument_group("which part of the video, and how")
    add = group.add_argument
    corner = "a rectangle in px, X and Y of its upper left corner (default: the whole frame)"
    add("--crop", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"), help=corner)
    add("--start", type=int, metavar="N", help="first frame, counted from 0 (default: 0)")
    add("--stop", type=int, metavar="N", help="frame before which to stop (default: the end)")
    add("--stride", type=int, metavar="N", help="every N-th frame")
    evenly = "frames per second, chosen by their time stamps: for videos whose frame rate varies"
    add("--rate", type=float, metavar="FPS", help=evenly)
    add("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="resize frames to so many px")
    add("--grey", action="store_true", default=None, help="without colour")
    found = "values that are black and white, for files of more than 8 bits (default: found)"
    add("--levels", type=float, nargs=2, metavar=("LOW", "HIGH"), help=found)


def reading_options(options: argparse.Namespace, otherwise: ReadOptions | None = None) -> ReadOptions:
    """What the command line asks for.

    :param otherwise: where it does not say.
    :raises ConfigError: for values that no video can have.
    """
    said = {name: getattr(options, name) for name in (each.name for each in fields(ReadOptions))}
    if said["crop"] is not None:
        said["crop"] = Crop(*said["crop"])
    for name in ("size", "levels"):
        if said[name] is not None:
            said[name] = tuple(said[name])
    return replace(otherwise or ReadOptions(), **{name: value for name, value in said.items() if value is not None})
