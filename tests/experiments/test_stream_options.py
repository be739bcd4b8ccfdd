"""Options of commands that train on an endless stream of videos: what they describe, and what they refuse."""

import argparse
from pathlib import Path

import pytest

from scalor_pyro.config import AnySceneRunConfig, ConfigError, PublicData, PublicRunConfig
from scalor_pyro.config.options import add_option
from scalor_pyro.experiments.stream_options import (
    add_stream_options,
    config_to_resume,
    ended,
    require_counts,
    training_given,
)
from scalor_pyro.files import OutputError

KINDS = (PublicRunConfig, AnySceneRunConfig)


def parsed(kind: type, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_option(parser, PublicData, "benchmark")
    add_stream_options(parser, kind, Path("runs/a"), "some", eval_videos=7)
    return parser.parse_args(arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_given_is_left_to_the_preset(kind: type) -> None:
    options = parsed(kind)
    assert (options.out, options.eval_videos, options.device) == (Path("runs/a"), 7, "auto")
    assert training_given(options) == {} and not options.resume


def test_a_run_remembers_what_it_started_from() -> None:
    found = training_given(parsed(PublicRunConfig, "--steps", "9", "--start-from", "sprites-md"))
    assert found == {"steps": 9, "start_from": "sprites-md"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [("--steps", "9"), ("--seed", "1"), ("--benchmark", "balls")])
def test_settings_of_a_run_are_not_changed_on_the_way(kind: type, given: tuple[str, str]) -> None:
    options = parsed(kind, "--resume", *given)
    with pytest.raises(ConfigError, match=f"--resume: expected no settings beside it, .* got '{given[0][2:]}'"):
        config_to_resume(options, kind, PublicData)


def test_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no run to resume"):
        config_to_resume(parsed(PublicRunConfig, "--resume", "--out", str(tmp_path)), PublicRunConfig)


def test_counts_are_at_least_one() -> None:
    with pytest.raises(ConfigError, match="--eval-videos: expected at least 1, got 0"):
        require_counts(parsed(PublicRunConfig, "--eval-videos", "0"), "eval_videos")


def test_the_end_says_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert not ended(None, "/somewhere/examples/train_public.py", Path("runs/a"))
    assert "python examples/train_public.py --resume --out runs/a" in capsys.readouterr().out
    assert ended({}, "train_public.py", Path("runs/a")) and "results.json are in runs/a" in capsys.readouterr().out
