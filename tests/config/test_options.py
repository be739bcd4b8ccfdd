"""Options of the command line that are made from fields of a dataclass."""

import argparse
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from scalor_pyro.config import Crop, ModelConfig, ReadOptions, TrainConfig
from scalor_pyro.config.options import add_option, given, option


@dataclass(frozen=True)
class Settings:
    count: int = option(3, "how many, 100 % of them", metavar="N")
    share: float | None = option(None, "which part", none="all")
    kind: Literal["a", "b"] = option("a", "which kind")
    on: bool = option(True, "whether it is on")
    size: tuple[int, int] | None = option(None, "how large", metavar=("H", "W"))
    crop: Crop | None = option(None, "where", metavar=("X", "Y", "W", "H"))
    other: int = 7  # no option


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    for name in ("count", "share", "kind", "on", "size", "crop"):
        add_option(made, Settings, name)
    return made


def test_nothing_given_is_nothing_set(parser: argparse.ArgumentParser) -> None:
    assert given(parser.parse_args([]), Settings) == {}


def test_what_is_given_is_set_equal_to_the_default_or_not(parser: argparse.ArgumentParser) -> None:
    line = "--count 3 --share 0.5 --kind a --on --size 1 2 --crop 0 0 4 5"
    found = given(parser.parse_args(line.split()), Settings)
    assert found == {"count": 3, "share": 0.5, "kind": "a", "on": True, "size": (1, 2), "crop": Crop(0, 0, 4, 5)}
    assert given(parser.parse_args(["--no-on"]), Settings) == {"on": False}
    assert given(parser.parse_args(line.split()), Settings, ("count",)) == {"count": 3}


def test_help_shows_the_default_of_the_field(parser: argparse.ArgumentParser) -> None:
    shown = " ".join(parser.format_help().split())
    for words in ("how many, 100 % of them (default: 3)", "which part (default: all)", "{a,b}", "--on, --no-on"):
        assert words in shown


def test_a_value_of_another_kind_is_refused(parser: argparse.ArgumentParser) -> None:
    for line in ("--count x", "--kind c", "--size 1", "--crop 1 2 3"):
        with pytest.raises(SystemExit):
            parser.parse_args(line.split())


def test_fields_with_an_option_keep_their_defaults() -> None:
    assert (ReadOptions().stride, ModelConfig().slots, TrainConfig().steps, TrainConfig().capture) == (
        1,
        16,
        3000,
        True,
    )


@drawn(st.integers(-5, 5), st.floats(-5, 5))
def test_any_number_is_read_as_it_was_written(count: int, share: float) -> None:
    made = argparse.ArgumentParser()
    add_option(made, Settings, "count")
    add_option(made, Settings, "share")
    assert given(made.parse_args([f"--count={count}", f"--share={share!r}"]), Settings) == {
        "count": count,
        "share": share,
    }
