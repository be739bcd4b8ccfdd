"""Tables: columns line up, and scores have one form."""

import pytest

from scalor_pyro.evaluation.tables import lined_up, markdown_table, named_values, ordinal, shown


def test_names_and_values_line_up() -> None:
    assert named_values([("frames", "24"), ("objects", "3.0 per frame")]) == (
        "  frames       24\n  objects      3.0 per frame"
    )
    assert named_values([("a name of some length", "1"), ("b", "2")]).splitlines()[1] == "  b" + " " * 21 + "2"


def test_numbers_stand_below_each_other() -> None:
    assert lined_up([["", "MOTA", "x"], ["street", "1", "22"], ["a", "0.5", ""]]) == (
        "        MOTA   x\nstreet     1  22\na        0.5"
    )
    assert lined_up([]) == ""


def test_markdown() -> None:
    assert markdown_table(["", "a"], [["x", "1"]]) == "|  | a |\n| --- | --- |\n| x | 1 |\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (float("nan"), "-"), (3, "3"), (0.0, "0.000"), (0.5, "0.500"), (0.0012345, "0.00123")],
)
def test_a_score_has_one_form(value: float | None, text: str) -> None:
    assert shown(value) == text


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "102nd",
        "111th",
    ]
