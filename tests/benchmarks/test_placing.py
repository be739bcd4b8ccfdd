"""The page that places the project, and the tables of public benchmarks: ahead, behind, or not run."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import placing  # noqa: E402  benchmarks are no package
import public_tables  # noqa: E402  benchmarks are no package
import tables  # noqa: E402  benchmarks are no package

MADE = {"command": "python benchmarks/public.py a", "commit": "0123456789", "changed": False, "machine": "a machine"}


def cells(table: str, title: str, column: int = 0) -> list[list[str]]:
    """The cells of the rows with some words in a column."""
    rows = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in table.splitlines()]
    return [row for row in rows if len(row) > column and title in row[column]]


def masks(mota: float, miss: float = 0.01) -> dict[str, float]:
    scores = dict.fromkeys(("motp", "mostly_detected", "mostly_tracked", "match", "switch", "false_alarm"), 0.9)
    return {f"mask_{name}": value for name, value in {**scores, "mota": mota, "miss": miss}.items()}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """The published figures, and no record."""
    for name in ("paper.json", "published.json"):
        shutil.copy(tables.RECORDS / name, tmp_path)
    (tmp_path / "public").mkdir()
    return tmp_path


def add(records: Path, benchmark: str, seed: int | None, weights: str = "run", steps: int = 4000, **parts: Any) -> None:
    """Write a record; without a seed, of something that was not trained on the benchmark."""
    training = None if seed is None else {"seed": seed, "steps": steps, "training_minutes": 25.0, **MADE}
    record = {"benchmark": benchmark, "weights": weights, "training": training, "provenance": MADE, **parts}
    (records / "public" / f"{benchmark}-{weights}-{steps}-{seed}.json").write_text(json.dumps(record))


def table(records: Path, name: str) -> str:
    book = tables.Book(records)
    return placing.tables(records, tables.both_ways(book), {"bg": "BG"})[name]()


def test_nothing_run_is_nothing_claimed(records: Path) -> None:
    for row in cells(table(records, "placing-public"), "studies"):
        assert row[4:7] == ["–"] * 3 and row[-1] == "–"
    assert cells(table(records, "placing-paper"), "BG")[0][3:7] == ["0.919 / 0.034", "–", "–", "–"]
    assert len(cells(table(records, "placing-unseen"), "–")) == 1
    assert cells(table(records, "placing-natural"), "people")[0][3:7] == ["–"] * 4
    for each in public_tables.TABLES.values():
        assert "trained on it" not in each(records)


def test_seeds_are_averaged_and_the_gap_is_that_of_what_is_written(records: Path) -> None:
    for seed, mota in enumerate((0.97, 0.98)):
        both = {"online": masks(0.9), "offline": masks(mota, miss=0.03)}
        add(records, "sprites-mot", seed, masks={"videos": 1000, **both})
    add(records, "sprites-mot", 7, steps=600, masks={"online": masks(0.5), "offline": masks(0.5)})
    (row,) = cells(table(records, "placing-public"), "Sprites-MOT, masks")
    assert row[3:7] == ["0.949 / 0.802 / 0.024", "0.900 / 0.900 / 0.010", "0.975 / 0.900 / 0.030",
                        "+0.026 / +0.098 / **-0.006**"]  # fmt: skip
    assert row[-2:] == ["same procedure", "2"], "the longest training counts"
    lines = cells(public_tables.TABLES["sprites-mot-masks"](records), "trained on it")
    assert [line[0] for line in lines] == [
        f"**trained on it, {steps}**{seeds}, {way}"
        for steps, seeds in (("600 steps", ""), ("4,000 steps", ", 2 seeds"))
        for way in ("online", "offline")
    ]
    assert lines[-1][1] == "97.5"
    origins = cells(public_tables.TABLES["public-records"](records), "sprites-mot-run")
    assert [line[1:4] for line in origins] == [["0", "4000", "25.0"], ["1", "4000", "25.0"], ["7", "600", "25.0"]]
    (origin,) = [row for row in cells(table(records, "placing-origins"), "Sprites-MOT") if "4,000" in row[0]]
    assert origin[1:] == ["`python benchmarks/public.py a`", "`0123456`", "a machine"]


def test_the_best_of_what_needs_no_training_is_the_floor(records: Path) -> None:
    add(records, "multi-dsprites", None, "colour-components-laptrack", masks={"offline": masks(0.95, 0.02)})
    add(records, "multi-dsprites", None, "colour-components-oc-sort", masks={"offline": masks(0.90, 0.01)})
    sizes = [{"from": 0.0, "to": 9.0, "miss": 0.2}, {"from": 9.0, "to": None, "miss": None}]
    add(records, "multi-dsprites", 0, masks={"online": {**masks(0.93, 0.05), "by_size": sizes}})
    published, floor = cells(table(records, "placing-public"), "multi-dSprites")
    assert published[2:7] == ["published: SCALOR", "– / 0.207", "0.930 / 0.050", "–", "– / +0.157"]
    assert published[-2] == "other videos"
    assert floor[2] == "colour components + laptrack" and floor[6] == "**-0.020** / **-0.030**"
    by_size = public_tables.TABLES["multi-dsprites-sizes"](records)
    assert "| up to 9 px | from 9 px |" in by_size and cells(by_size, "online")[0][1:] == ["20.0", "–"]


def test_of_forecasts_less_is_better(records: Path) -> None:
    errors = {"mean": [4.0] * 90, "single": [6.0] * 90, "hold": [3.0] * 90, "velocity": [9.0] * 90}
    add(records, "balls", 0, forecasts={"observed": 10, "position_error": errors})
    velocity, hold = cells(table(records, "placing-public"), "balls, forecasts")
    assert velocity[3:7] == ["9.0 / 9.0 / 9.0", "4.0 / 4.0 / 4.0", "–", "+5.0 / +5.0 / +5.0"]
    assert hold[6] == "**-1.0** / **-1.0** / **-1.0**"
    assert cells(public_tables.TABLES["balls-forecasts"](records), "constant velocity")[0][1:] == ["9.000"] * 6
