"""Options that say how large an object is, and what is printed of sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.cli import main
from scalor_pyro.cli.rows import notes, survey_rows
from scalor_pyro.cli.sizes import with_pairs
from scalor_pyro.video import Video, survey
from tests.video_files import squares


@pytest.fixture
def video(tmp_path: Path) -> str:
    np.save(tmp_path / "squares.npy", squares())
    return str(tmp_path / "squares.npy")


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("info --object-size 29 81 a.mp4", "info --object-size 29x81 a.mp4"),
        ("track --object-size 40 a.mp4 --out b", "track --object-size 40 a.mp4 --out b"),
        ("track --object-size 29.5 .5", "track --object-size 29.5x.5"),
        ("track --object-size 1 2 3", "track --object-size 1x2 3"),
        ("track --slots 4 5 --object-size", "track --slots 4 5 --object-size"),
    ],
)
def test_two_numbers_of_a_size_are_one_word(words: str, joined: str) -> None:
    assert with_pairs(words.split()) == joined.split()


@given(st.lists(st.text(st.characters(codec="ascii"), max_size=5)))
def test_other_words_stay_as_they_are(words: list[str]) -> None:
    assert with_pairs(words) == words


@pytest.mark.parametrize("words", ["--object-size 8 16", "--object-size 8x16", "--example 3 4 8 16"])
def test_info_prints_the_size_that_is_given(video: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", *words.split(), video]) == 0
    assert "8 × 16 px (given)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--object-size 0", "error: object_size: expected at least 1 px, got 0.0."),
        ("--example 90 4 8 16", "error: example: expected a box inside the frame of 96 × 64 px"),
        ("--example 9 4 8 16 --object-size 9", "error: object_size: expected none beside an example, got 9.0."),
        ("--object-size 90 90", "expected objects smaller than the frame of 96 × 64 px, got 90 × 90 px."),
    ],
)
def test_a_size_that_cannot_be_is_one_sentence(
    video: str, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", *words.split(), video]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("size", ["wide", "8x9x10"])
def test_a_size_is_a_number_or_two(video: str, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["info", "--object-size", size, video])
    assert stopped.value.code == 2
    assert f"expected a number, or two for width and height, got '{size}'" in capsys.readouterr().err


def test_perspective_is_said_and_warned_of_where_one_scale_does_not_suit() -> None:
    seen = survey(Video(squares()))
    assert "perspective" not in dict(survey_rows(seen)) and not notes(seen)
    slight, strong = replace(seen, perspective=(20.0, 70.0)), replace(seen, perspective=(15.0, 70.0))
    assert dict(survey_rows(slight))["perspective"].startswith("20 px at the top and 70 px at the bottom")
    assert not notes(slight)
    assert notes(strong) and "--crop" in notes(strong)[0]
