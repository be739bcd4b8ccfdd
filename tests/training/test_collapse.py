"""The watch recognises each kind of collapse, and leaves healthy training alone."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import ModelConfig, SizeModelConfig
from scalor_pyro.training.collapse import (
    ALL_BACKGROUND,
    ALL_FOREGROUND,
    ALL_REDISCOVERED,
    ALL_SCENE,
    NO_OBJECTS_FOUND,
    PATIENCE,
    WARMUP_STEPS,
    CollapseWatch,
    VanishWatch,
    collapse,
    vanished,
)

WELL = {"objects_per_frame": 3.1, "propagation_rate": 0.97, "foreground_share": 0.12}
EMPTY = {"objects_per_frame": 0.0, "propagation_rate": None, "foreground_share": 0.0}
REDISCOVERED = {**WELL, "propagation_rate": 0.03}
# 8 objects of 16 × 16 px cover half of 64 × 64 px.
EIGHT = ModelConfig(image_size=(64, 64), slots=8, object_size=16.0)
PLAIN, MOVING, STATIC = (replace(EIGHT, background=each) for each in ("none", "moving", "static"))


def rows(*statistics: dict[str, Any], first: int = WARMUP_STEPS + 20) -> list[dict[str, Any]]:
    return [{"step": first + 20 * i, **values} for i, values in enumerate(statistics)]


@pytest.mark.parametrize(
    ("statistics", "model", "found"),
    [
        (WELL, MOVING, None),
        (WELL, STATIC, None),
        (WELL, PLAIN, None),
        (EMPTY, PLAIN, NO_OBJECTS_FOUND),
        (EMPTY, MOVING, ALL_BACKGROUND),
        (EMPTY, STATIC, ALL_SCENE),
        (REDISCOVERED, PLAIN, ALL_REDISCOVERED),
        ({**WELL, "foreground_share": 1e-5}, MOVING, ALL_BACKGROUND),
        ({**WELL, "foreground_share": 1e-5}, PLAIN, None),
        ({**WELL, "foreground_share": 0.51}, MOVING, ALL_FOREGROUND),
        ({**WELL, "foreground_share": 0.51}, STATIC, ALL_FOREGROUND),
        ({**WELL, "foreground_share": 0.51}, PLAIN, None),
        ({**WELL, "foreground_share": 0.49}, STATIC, None),
        ({**WELL, "foreground_share": 0.51}, replace(STATIC, slots=9), None),
        ({**WELL, "foreground_share": 1.0}, replace(STATIC, slots=32), None),
        ({**REDISCOVERED, "foreground_share": 0.9}, STATIC, ALL_FOREGROUND),
        ({**WELL, "objects_per_frame": 7.3}, STATIC, ALL_FOREGROUND),
        ({**WELL, "objects_per_frame": 7.3}, MOVING, ALL_FOREGROUND),
        ({**WELL, "objects_per_frame": 8.0}, PLAIN, None),
        ({**WELL, "objects_per_frame": 7.1}, STATIC, None),
        ({**EMPTY, "foreground_share": 0.01}, STATIC, NO_OBJECTS_FOUND),
        ({**EMPTY, "propagation_rate": 0.0}, PLAIN, NO_OBJECTS_FOUND),
        ({**WELL, "propagation_rate": float("nan")}, PLAIN, None),
        ({**WELL, "foreground_share": float("nan")}, STATIC, None),
        ({**WELL, "propagation_rate": None, "objects_per_frame": None}, MOVING, None),
        ({}, MOVING, None),
    ],
)
def test_collapse_is_recognised(statistics: dict[str, Any], model: ModelConfig, found: Any) -> None:
    assert collapse(rows(*[statistics] * PATIENCE), model) is found
    assert collapse(rows(*[WELL] * 3, *[statistics] * PATIENCE), model) is found


@given(
    st.lists(st.sampled_from([EMPTY, REDISCOVERED, WELL]), min_size=PATIENCE, max_size=3 * PATIENCE),
    st.sampled_from([PLAIN, MOVING, STATIC]),
)
def test_one_good_row_among_the_last_is_no_collapse(history: list[dict[str, Any]], model: ModelConfig) -> None:
    last = history[-PATIENCE:]
    found = collapse(rows(*history), model)
    assert (found is not None) == (last in ([EMPTY] * PATIENCE, [REDISCOVERED] * PATIENCE))


def test_start_of_training_is_not_judged() -> None:
    assert collapse(rows(*[EMPTY] * (PATIENCE - 1)), PLAIN) is None
    assert collapse(rows(*[EMPTY] * PATIENCE, first=20), PLAIN) is None


def test_a_model_without_objects_cannot_lose_them() -> None:
    """Its config need not even know of a background."""
    assert collapse(rows(*[{"loss": 1.0}] * PATIENCE), SizeModelConfig()) is None  # type: ignore[arg-type]


def test_each_kind_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = CollapseWatch(PLAIN)
    history = rows(*[EMPTY] * 8, *[WELL] * 2, *[EMPTY] * 8, *[REDISCOVERED] * 8)
    with caplog.at_level(logging.WARNING):
        said = [watch.look(row) for row in history]
    assert [collapse.kind for collapse in said if collapse] == ["no object", "everything rediscovered"]
    assert said[PATIENCE - 1] is NO_OBJECTS_FOUND
    assert ["discovery_prior" in caplog.messages[0], "rejection" in caplog.messages[1]] == [True, True]


def test_objects_that_explain_the_background_are_said_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """What a video's user sees: one line, the step in it, and what can be changed on the command line."""
    watch = CollapseWatch(STATIC)
    with caplog.at_level(logging.WARNING):
        for row in rows(*[{**WELL, "foreground_share": 0.8}] * 8, *[EMPTY] * 8):
            watch.look(row)
    covered, gone = caplog.messages
    assert "at step 300" in covered and "set its image" in covered and "crop" in covered and "flicker" in covered
    assert "half the sigma" in gone and "scalor info" in gone


FAINT = {**WELL, "foreground_share": 4e-4}


@pytest.mark.parametrize(
    ("first", "statistics", "expected"),
    [
        (80, [FAINT, FAINT], True),
        (60, [FAINT, FAINT], False),  # at step 60, they were not free to vanish yet
        (20, [WELL, WELL, WELL, FAINT], False),
        (20, [WELL, WELL, WELL, FAINT, FAINT], True),
        (80, [FAINT, WELL, FAINT], False),
        (300, [FAINT, FAINT], False),
        (80, [WELL, {"objects_per_frame": 1.0}], False),
    ],
)
def test_objects_vanish_at_the_start(first: int, statistics: list[dict[str, Any]], expected: bool) -> None:
    assert vanished(rows(*statistics, first=first)) == expected


def test_a_training_whose_objects_vanish_is_stopped_once() -> None:
    class Stopped:
        calls = 0

        def stop(self) -> None:
            self.calls += 1

    watch, training = VanishWatch(), Stopped()
    watch.on_start(training)  # type: ignore[arg-type]
    for row in rows(WELL, WELL, WELL, WELL, FAINT, FAINT, FAINT, FAINT, first=20):
        watch.on_row(row)
    assert (watch.step, training.calls) == (120, 1)
