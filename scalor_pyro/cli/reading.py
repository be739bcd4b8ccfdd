"""Options of the command line that say how a video is read: the fields of :class:`~scalor_pyro.config.ReadOptions`."""

import argparse
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from scalor_pyro.config import ReadOptions, config_from_dict
from scalor_pyro.config.options import add_option, given

# What is done where an option is not given, if that is not the default of reading.
DEFAULTS = {
    "stride": "proposed from the speed of the objects",
    "size": "proposed from the size of the objects",
    "grey": "grey, if the video has no colour",
    "levels": "stretched, if the video uses little of its range",
}


class Reading(NamedTuple):
    """How to read videos, and which part of that the user chose; the rest may be proposed."""

    options: ReadOptions
    given: frozenset[str]  # names of fields, those that are given their defaults among them


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a subcommand, as a group."""
    group = parser.add_argument_group("which part of the video, and how to read it")
    for each in fields(ReadOptions):
        add_option(group, ReadOptions, each.name, default=DEFAULTS.get(each.name))


def reading_of(options: argparse.Namespace, file: Mapping[str, Any] | None = None) -> Reading:
    """What the command line asks for, and a settings file where that says nothing.

    :param file: fields of :class:`~scalor_pyro.config.ReadOptions` as plain values.
    :raises ConfigError: for values that no video can have.
    """
    by_file = config_from_dict(ReadOptions, file or {})
    by_hand = given(options, ReadOptions)
    asked_for = replace(by_file, **by_hand)
    if asked_for.background_image is not None:  # as runs keep the paths of videos
        asked_for = replace(asked_for, background_image=str(Path(asked_for.background_image).absolute()))
    return Reading(asked_for, frozenset(by_hand) | frozenset(file or {}))
