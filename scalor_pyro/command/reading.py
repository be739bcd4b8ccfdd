"""Options of the command line that say how a video is read; those of :class:`~scalor_pyro.video.ReadOptions`."""

import argparse

from scalor_pyro.video.options import Crop, ReadOptions


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a subcommand, as a group."""
    group = parser.add_argument_group("which part of the video, and how")
    add = group.add_argument
    corner = "a rectangle in px, X and Y of its upper left corner (default: the whole frame)"
    add("--crop", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"), help=corner)
    add("--start", type=int, default=0, metavar="N", help="first frame, counted from 0 (default: 0)")
    add("--stop", type=int, metavar="N", help="frame before which to stop (default: the end)")
    add("--stride", type=int, default=1, metavar="N", help="every N-th frame")
    evenly = "frames per second, chosen by their time stamps: for videos whose frame rate varies"
    add("--rate", type=float, metavar="FPS", help=evenly)
    add("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="resize frames to so many px")
    add("--grey", action="store_true", help="without colour")
    found = "values that are black and white, for files of more than 8 bits (default: found)"
    add("--levels", type=float, nargs=2, metavar=("LOW", "HIGH"), help=found)


def reading_options(options: argparse.Namespace) -> ReadOptions:
    """What the command line asks for.

    :raises ConfigError: for values that no video can have.
    """
    return ReadOptions(
        crop=None if options.crop is None else Crop(*options.crop),
        start=options.start,
        stop=options.stop,
        stride=options.stride,
        rate=options.rate,
        size=None if options.size is None else (options.size[0], options.size[1]),
        grey=options.grey,
        levels=None if options.levels is None else (options.levels[0], options.levels[1]),
    )
