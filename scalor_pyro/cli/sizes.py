"""Options that say how large an object is: ``--object-size 40``, ``--object-size 29 81`` and ``--example X Y W H``."""

import argparse
import re
from typing import TYPE_CHECKING

from scalor_pyro.config.options import PAIR, add_option, given
from scalor_pyro.config.sizes import SizeOptions, require_inside

if TYPE_CHECKING:  # to read videos is not needed for help
    from scalor_pyro.video import Video

SIZE = "--object-size"
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+")


def add_size_options(parser: argparse._ActionsContainer) -> None:
    """Add them to a subcommand."""
    add_option(parser, SizeOptions, "object_size")
    add_option(parser, SizeOptions, "example")


def box_given(options: argparse.Namespace, *videos: "Video") -> tuple[float, float] | None:
    """H, W of a typical object, px of the file; None: not given.

    :raises ConfigError: for a size that no object of these videos can have.
    """
    sizes = SizeOptions(**given(options, SizeOptions))
    for video in videos:
        require_inside(sizes.example, video.info.size)
    return sizes.box


def with_pairs(arguments: list[str]) -> list[str]:
    """A command line in which the two numbers of a size are one word.

    Where the option took as many words as are numbers, it would also take a VIDEO that follows it.
    """
    joined: list[str] = []
    for word in arguments:
        if len(joined) >= 2 and joined[-2] == SIZE and _NUMBER.fullmatch(joined[-1]) and _NUMBER.fullmatch(word):
            joined[-1] += PAIR + word
        else:
            joined.append(word)
    return joined
