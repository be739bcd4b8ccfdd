"""Configs: what they refuse, how they are saved, and schedules as functions of the step."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.config import (
    SCHEDULED,
    ConfigError,
    DataConfig,
    ModelConfig,
    RunConfig,
    Schedule,
    Stage,
    TrainConfig,
    config_from_dict,
    config_to_dict,
    constant,
)
from scalor_pyro.config.baselines import SequentialVAERun, SQAIRRun, VRNNRun
from scalor_pyro.config.checks import shown
from scalor_pyro.config.kinds import KINDS, kind_of, name_of, run_from_dict
from scalor_pyro.config.plain import parse_json
from scalor_pyro.model.scalor import Scalor

values = st.floats(1e-6, 10)
points = st.dictionaries(st.integers(0, 1000), values, min_size=1, max_size=5).map(
    lambda table: tuple(sorted(table.items()))
)


# ---------------------------------------------------------------------- schedules


@given(points, st.booleans(), st.integers(-10, 1200))
def test_schedule_stays_between_its_points(table: tuple[tuple[int, float], ...], log: bool, step: int) -> None:
    schedule = Schedule(table, log)
    low, high = min(value for _, value in table), max(value for _, value in table)
    assert low * (1 - 1e-9) <= schedule(step) <= high * (1 + 1e-9)
    for at, value in table:
        assert schedule(at) == pytest.approx(value, rel=1e-12)
    assert schedule(table[0][0] - 1) == table[0][1] and schedule(table[-1][0] + 1) == table[-1][1]


@given(values, values, st.booleans(), st.integers(1, 500), st.integers(0, 499))
def test_schedule_goes_one_way_between_two_points(a: float, b: float, log: bool, length: int, step: int) -> None:
    schedule = Schedule(((0, a), (length, b)), log)
    before, after = schedule(min(step, length - 1)), schedule(min(step, length - 1) + 1)
    slack = 1e-9 * max(a, b)
    assert before <= after + slack if a <= b else before >= after - slack


def test_schedule_is_straight_in_the_value_or_in_its_logarithm() -> None:
    assert Schedule(((10, 1.0), (30, 3.0)))(15) == pytest.approx(1.5)
    assert Schedule(((0, 0.1), (300, 1e-4)), log=True)(100) == pytest.approx(0.01)
    assert Schedule(((0, 1.0), (10, 2.0), (20, 0.0)))(15) == pytest.approx(1.0)
    assert constant(0.3)(0) == constant(0.3)(10**9) == 0.3


@pytest.mark.parametrize(
    ("table", "log"), [((), False), (((5, 1.0), (5, 2.0)), False), (((5, 1.0), (4, 2.0)), False), (((0, 0.0),), True)]
)
def test_schedule_refuses(table: tuple[tuple[int, float], ...], log: bool) -> None:
    with pytest.raises(ConfigError, match="points"):
        Schedule(table, log)


# ---------------------------------------------------------------------- training


def test_scheduled_quantities_by_name() -> None:
    train = TrainConfig(temperature=Schedule(((0, 1.0), (10, 0.5))))
    assert set(train.scheduled(5)) == set(SCHEDULED)
    assert train.scheduled(5)["temperature"] == pytest.approx(0.75)


def test_a_model_is_used_with_its_last_value_or_the_one_that_comes_then() -> None:
    train = TrainConfig(temperature=Schedule(((0, 1.0), (10, 0.5))), reject_proposals=constant(0.6, then=0.8))
    assert train.scheduled(6)["reject_proposals"] == 0.6
    settled = train.settled(6)
    assert settled["temperature"] == train.scheduled(5)["temperature"]
    assert settled["reject_proposals"] == 0.8


@given(st.floats(0, 1), st.floats(0, 1))
def test_learning_rate_never_rises_and_ends_at_the_final_one(a: float, b: float) -> None:
    train = TrainConfig(learning_rate=2e-3, final_learning_rate=1e-4, decay_from=0.4)
    early, late = (train.learning_rate_at(share) for share in sorted((a, b)))
    assert 1e-4 - 1e-12 <= late <= early + 1e-12 <= 2e-3 + 2e-12
    assert train.learning_rate_at(0.4) == 2e-3
    assert train.learning_rate_at(1.0) == pytest.approx(1e-4)


def test_a_learning_rate_that_does_not_decay() -> None:
    assert TrainConfig(decay_from=1.0).learning_rate_at(1.0) == TrainConfig().learning_rate


def test_curriculum_by_share_of_the_budget() -> None:
    train = TrainConfig(curriculum=(Stage(0.25, 2, 7), Stage(1.0, 5, 3)))
    assert [train.stage(share).frames for share in (0.0, 0.24, 0.25, 0.9, 1.0)] == [2, 2, 5, 5, 5]


# ---------------------------------------------------------------------- what is refused

TINY: dict[str, Any] = {"image_size": (32, 48), "cells": (4, 3), "first_shortlist": 7, "shortlist": 6}
BAD_MODEL: list[dict[str, Any]] = [
    {"slots": 0},
    {"slots": -3},
    {"object_size": -10.0},
    {"object_size": math.nan},
    {"object_size": math.inf},
    {"sigma": 0.0},
    {"channels": 2},
    {"cells": (5, 3)},
    {"cells": (4, 5)},
    {"cells": (0, 3)},
    {"cells": (-4, 3)},
    {"cells": (16, 3)},
    {"image_size": (-32, 48)},
    {"image_size": (33, 48)},
    {"image_size": (8, 48)},
    {"glimpse_size": 12},
    {"glimpse_size": 0},
    {"z_what_dim": 2},
    {"z_what_dim": 0},
    {"feature_dim": -8},
    {"tracker_dim": 0},
    {"prior_dim": 0},
    {"size_range": 1.0},
    {"size_range": -0.1},
    {"perspective": 3.5},
    {"aspect": 0.0},
    {"aspect_range": 2.0},
    {"cell_reach": 0.0},
    {"move_range": -0.2},
    {"mask_threshold": 1.2},
    {"presence_threshold": -0.1},
    {"colour_threshold": math.nan},
    {"logit_bound": 0.0},
    {"first_shortlist": 13},
    {"shortlist": -1},
    {"background": "still"},
    {"z_bg_grid": 0},
    {"z_bg_extra": -1},
    {"aspect": 1e308},
    {"aspect": 1e-9},
    {"sigma": math.inf},
    {"slots": 10**400},
    {"prior_dim": 10**9},
    {"view": (0, 48)},
    {"flicker": math.inf},
]
BAD_TRAIN: list[dict[str, Any]] = [
    {"steps": 0},
    {"steps": -1},
    {"minutes": 0.0},
    {"curriculum": ()},
    {"curriculum": (Stage(0.5, 2, 2),)},
    {"curriculum": (Stage(1.0, 2, 2), Stage(0.5, 2, 2), Stage(1.0, 2, 2))},
    {"optimiser": "sgd"},
    {"elbo": "iwae"},
    {"learning_rate": 0.0},
    {"learning_rate": math.nan},
    {"final_learning_rate": -1e-4},
    {"decay_from": 1.5},
    {"clip": 0.0},
    {"temperature": constant(0.0)},
    {"temperature": Schedule(((0, 1.0), (10, -0.5)))},
    {"temperature": constant(math.nan)},
    {"discovery_prior": constant(0.0)},
    {"discovery_prior": constant(1.0)},
    {"log_every": 0},
    {"eval_every": 0},
    {"eval_videos": 0},
    {"checkpoint_every": -5},
    {"steps": 10**400},
    {"minutes": math.inf},
    {"clip": math.inf},
    {"temperature": constant(math.inf)},
    {"start_from": ""},
    {"start_from": "a\0b"},
    {"start_from": "\ud800"},
]
BAD_DATA: list[dict[str, Any]] = [
    {"objects": "cats"},
    {"digits": "svhn"},
    {"motion": "spin"},
    {"count_min": -1},
    {"count_min": 5, "count_max": 4},
    {"object_size": 0.0},
    {"object_size": -20.0},
    {"speed_min": 4.0},
    {"speed_min": -1.0},
    {"image_size": (64, -64)},
    {"frames": 0},
    {"digit_classes": ()},
    {"digit_classes": (3, 10)},
    {"arrivals": (10,)},
    {"arrival_min": 16},
    {"count_max": 10**9},
    {"frames": 10**12},
    {"speed_max": math.inf},
]
# Read from the config of schedules that drive a model: values with which it cannot run.
BAD_SCHEDULES: list[dict[str, Any]] = [
    {"discovery_bound": constant(0.0)},
    {"reject_propagated": constant(math.nan)},
    {"reject_proposals": constant(-0.5)},
    {"reject_proposals": constant(0.5, then=1.5)},
    {"reject_within": constant(-1.0)},
    {"propagation_release": constant(2.0)},
]


def as_name(changes: dict[str, Any]) -> str:
    return "-".join(f"{name}={value}" for name, value in changes.items())


@pytest.mark.parametrize("changes", BAD_MODEL, ids=as_name)
def test_model_config_refuses(changes: dict[str, Any]) -> None:
    ModelConfig(**TINY)
    with pytest.raises(ConfigError, match=rf"^{next(iter(changes))}: expected .*, got .*\.$"):
        ModelConfig(**{**TINY, **changes})


@pytest.mark.parametrize("changes", BAD_TRAIN + BAD_SCHEDULES, ids=as_name)
def test_train_config_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^{next(iter(changes))}: expected .*, got .*\.$"):
        TrainConfig(**changes)


@pytest.mark.parametrize("changes", BAD_DATA, ids=as_name)
def test_data_config_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^{next(iter(changes))}: expected .*, got .*\.$"):
        DataConfig(**changes)


def test_run_config_refuses() -> None:
    with pytest.raises(ConfigError, match="seed"):
        RunConfig(seed=-1)
    with pytest.raises(ConfigError, match="image_size"):
        RunConfig(model=ModelConfig(**TINY))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_stage_refuses(share: float) -> None:
    with pytest.raises(ConfigError, match="until"):
        Stage(share, 2, 2)


@pytest.mark.parametrize("feature_dim", [4, 12, 20])
def test_a_config_that_is_accepted_can_be_built(feature_dim: int) -> None:
    try:
        config = ModelConfig(**TINY, feature_dim=feature_dim)
    except ConfigError as error:
        assert "feature_dim" in str(error)
    else:
        Scalor(config)


def test_every_cell_is_shortlisted_on_demand() -> None:
    config = ModelConfig(**{**TINY, "first_shortlist": 0})
    assert (config.proposals(first=True), config.proposals(first=False), config.n_cells) == (12, 6, 12)


# ---------------------------------------------------------------------- saving


def through_json(config: Any) -> Any:
    return config_from_dict(type(config), json.loads(json.dumps(config_to_dict(config))))


def test_a_run_config_survives_json() -> None:
    run = RunConfig(
        DataConfig(objects="sprites", image_size=(32, 48), arrivals=(1, 5), digit_classes=(1, 2)),
        ModelConfig(**TINY, background="moving", colour_start=True),
        TrainConfig(minutes=2.5, curriculum=(Stage(0.5, 2, 7), Stage(1.0, 5, 3)), reject_propagated=constant(0.6)),
        seed=7,
    )
    assert through_json(run) == run
    assert through_json(RunConfig()) == RunConfig()


@given(points, st.booleans())
def test_every_schedule_survives_json(table: tuple[tuple[int, float], ...], log: bool) -> None:
    assert through_json(Schedule(table, log)) == Schedule(table, log)


def test_what_is_left_out_is_the_default() -> None:
    assert config_from_dict(RunConfig, {"train": {"steps": 5}}) == RunConfig(train=TrainConfig(steps=5))


def test_whole_numbers_do_for_real_ones() -> None:
    config = config_from_dict(DataConfig, {"object_size": 12})
    assert config == DataConfig(object_size=12.0) and isinstance(config.object_size, float)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"modle": {}}, "modle"),
        ({"model": {"slot": 5}}, "slot"),
        ({"train": {"temperature": {"points": [[0, 1.0]], "logarithmic": True}}}, "logarithmic"),
        ({"model": {"slots": 5.5}}, "slots: expected a whole number"),
        ({"model": {"slots": "5"}}, "slots: expected a whole number"),
        ({"model": {"slots": True}}, "slots: expected a whole number"),
        ({"model": {"slots": None}}, "slots: expected a whole number"),
        ({"model": {"sigma": "0.2"}}, "sigma.* number"),
        ({"model": {"sigma": True}}, "sigma.* number"),
        ({"model": {"rejection": 1}}, "rejection: expected true or false"),
        ({"model": {"rejection": "yes"}}, "rejection: expected true or false"),
        ({"model": {"image_size": 64}}, "image_size.* list"),
        ({"model": {"image_size": [64]}}, "image_size.* 2 values"),
        ({"model": {"image_size": [64, 64, 3]}}, "image_size.* 2 values"),
        ({"model": {"background": "still"}}, "background.*'none' or 'moving' or 'static'"),
        ({"model": {"background": ["none"]}}, "background.*'none' or 'moving' or 'static'"),
        ({"model": []}, "model.* table"),
        ({"data": {"digit_classes": [1, "2"]}}, "digit_classes: expected a whole number"),
        ({"train": {"temperature": 0.5}}, "temperature.* table"),
        ({"train": {"temperature": {"points": [[0, 0.0]]}}}, "temperature"),
        ({"train": {"temperature": {}}}, "points"),
        ({"train": {"curriculum": [{"until": 1.0}]}}, "frames"),
        ({"train": {"minutes": "2"}}, "minutes.* number"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_reading_refuses(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(RunConfig, plain)


def test_an_error_names_the_field_with_its_parts() -> None:
    for plain, name in [
        ({"model": {"slots": 0}}, "model.slots"),
        ({"model": {"slots": "5"}}, "model.slots"),
        ({"train": {"curriculum": [{"until": 1.0, "frames": 0, "batch": 1}]}}, "train.curriculum.frames"),
        ({"seed": -1}, "seed"),
    ]:
        with pytest.raises(ConfigError, match=rf"^{name}: expected"):
            config_from_dict(RunConfig, plain)


NUMBERS = [
    f"{part.name}.{field.name}"
    for part in dataclasses.fields(RunConfig)
    if part.name in ("data", "model", "train")
    for field in dataclasses.fields(part.default_factory)  # type: ignore[arg-type]  # which is a dataclass
    if field.type in (int, float, "int", "float", "float | None")
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [10**400, -(10**400), 1e308, -1e308, math.nan, math.inf])
def test_every_number_has_a_range(name: str, value: float) -> None:
    part, field = name.split(".")
    with pytest.raises(ConfigError, match=rf"^{part}\.{field}: expected") as error:
        config_from_dict(RunConfig, {part: {field: value}})
    assert len(str(error.value)) < 300


# ---------------------------------------------------------------------- JSON and messages

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_that_python_writes_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value)) == parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON"),
        ('{"a": 1', "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        ('{"a": NaN}', "finite numbers, got NaN"),
        ('{"a": -Infinity}', "finite numbers, got -Infinity"),
        ('{"a": 1e999}', "finite numbers, got '1e999'"),
        ('{"a": 1, "a": 2}', "each key once, got 'a' twice"),
        ("[" * 101 + "]" * 101, "nested"),
        ("[" * 10**6, "nested"),
        ("1" * 10**5, "expected JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_other_text_is_refused_in_a_short_sentence(text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        parse_json(text)
    assert len(str(error.value)) < 200 and "\n" not in str(error.value)


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse_json("[" * 100 + "]" * 100)


@given(json_values, st.integers(8, 80))
def test_a_message_quotes_a_bounded_part_of_a_value_on_one_line(value: Any, most: int) -> None:
    text = shown(value, most)
    assert len(text) <= most and text.isprintable()
    if isinstance(value, int | float):
        assert text == repr(value) or len(repr(value)) > most


def test_a_large_value_is_quoted_at_once() -> None:
    nested: list[Any] = []
    for _ in range(10**5):
        nested = [nested]
    for value in ("x" * 10**7, 10**5000, [0] * 10**6, nested, {"a": "b" * 10**7}):
        assert len(shown(value)) <= 80
    assert shown("digits") == "'digits'" and shown((64, 64)) == "(64, 64)"


# ---------------------------------------------------------------------- kinds of runs

RUNS = [RunConfig(), VRNNRun(), SequentialVAERun(), SQAIRRun()]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.kind)
def test_a_run_says_its_kind_and_an_older_one_is_recognised(run: Any) -> None:
    plain = json.loads(json.dumps(config_to_dict(run)))
    assert plain["kind"] == run.kind == kind_of(plain)
    assert run_from_dict(plain) == run
    del plain["kind"]
    assert kind_of(plain) == run.kind and run_from_dict(plain) == run
    assert config_from_dict(type(run), plain) == run


def test_every_kind_is_that_of_its_config() -> None:
    for name, kind in KINDS.items():
        field = next(field for field in dataclasses.fields(kind.config) if field.name == "kind")
        assert field.default == name == name_of(kind.config)
    with pytest.raises(ConfigError, match="expected that of one of the kinds"):
        name_of(ModelConfig)


@pytest.mark.parametrize("plain", [{}, [], "run", {"kind": "cat"}, {"kind": []}, {"model": 3, "data": {}}, {"lr": 3}])
def test_what_is_not_a_run_has_no_kind(plain: Any) -> None:
    with pytest.raises(ConfigError, match="^(config|kind|model): expected"):
        run_from_dict(plain)


def test_a_config_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="^kind: expected 'synthetic', got 'vrnn'"):
        config_from_dict(RunConfig, {"kind": "vrnn"})


def test_configs_are_frozen_and_hashable() -> None:
    run = RunConfig()
    assert hash(run) == hash(RunConfig())
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.seed = 3  # type: ignore[misc]
