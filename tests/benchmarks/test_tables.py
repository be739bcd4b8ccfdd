"""The tables of README.md and docs/ match the records, and a record matches its run."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalor_pyro.config import RunConfig, Stage
from scalor_pyro.config.presets import preset
from scalor_pyro.experiments.synthetic import Likelihood, run_experiment
from scalor_pyro.runs.provenance import MadeBy

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import records  # noqa: E402  benchmarks are no package
import tables  # noqa: E402  benchmarks are no package

COMMAND = "python examples/train_mnist.py --mnist /data/mnist.npz --out=/runs/a"


def tiny_run() -> RunConfig:
    """As large as the preset that it pretends to be, and little else."""
    config = preset("sprites", "MD")
    return replace(
        config,
        model=replace(config.model, feature_dim=16, tracker_dim=16, prior_dim=8, z_what_dim=8, glimpse_size=8),
        train=replace(config.train, steps=1, curriculum=(Stage(1.0, 1, 1),), eval_videos=1),
        seed=3,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, scored on one video."""
    folder = tmp_path_factory.mktemp("run")
    made_by = MadeBy(COMMAND, "sprites-md")
    run_experiment(tiny_run(), folder, final_videos=1, progress=False, made_by=made_by)
    return folder


def change(folder: Path, to: Path, **values: Any) -> Path:
    """The results of a run and its config in another folder, the results changed."""
    results = json.loads((folder / "results.json").read_text()) | values
    (to / "results.json").write_text(json.dumps(results))
    (to / "config.json").write_text((folder / "config.json").read_text())
    return to


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.relative_to(tables.ROOT).as_posix())
def test_page_is_what_the_records_give(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == tables.filled(page, tables.Book(tables.RECORDS)), "make tables writes it"


def test_record_is_what_the_run_gave(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Likelihood(samples=2, videos=1)
    written = records.record(records.finished(run, videos=1), tmp_path, how)
    assert [path.name for path in written] == ["sprites-md-3.json", "lg-3.json"]
    results = json.loads((run / "results.json").read_text())
    found, longer = (json.loads(path.read_text()) for path in written)
    for name in ("mota", "mse", "nll", "misses", "steps", "training_minutes", "processor_minutes", "seed"):
        assert found[name] == results[name], name
    assert (found["nll_samples"], found["nll_videos"]) == (2, 1)
    assert found["offline"]["mota"] == results["offline"]["mota"] and found["offline"]["misses"] > 0
    assert longer["offline"]["misses"] > found["offline"]["misses"], "there are twice the frames"
    assert found["command"] == "python examples/train_mnist.py --mnist mnist.npz --out=a", (
        "nothing of the machine's disk"
    )
    assert found["commit"] == longer["commit"] == results["provenance"]["commit"]
    assert (longer["setting"], longer["trained_as"], longer["seed"]) == ("lg", "sprites-md", 3)
    assert longer["misses"] > found["misses"] > 0 and "nll" not in longer, "there are twice the frames"
    assert {each["setting"] for each in records.read(tmp_path)} == {"sprites-md", "lg"}

    before = [path.read_bytes() for path in written]
    monkeypatch.setattr(records, "mean_nll", None)  # it is measured once
    assert records.record(records.finished(run, videos=1), tmp_path, how) == written
    assert [path.read_bytes() for path in written] == before


def test_a_run_is_scored_again_as_its_preset_is_today(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "run", tmp_path / "records"
    shutil.copytree(run, folder)
    model = replace(tiny_run().model, presence_threshold=1.0)  # above which there is nothing
    monkeypatch.setitem(records.PRESETS, "sprites-md", lambda: replace(preset("sprites", "MD"), model=model))
    once = records.finished(folder, videos=1)
    assert once.results["recall"] > 0
    again = records.score_again(once)
    assert again.results["recall"] == 0 and records.finished(folder, videos=1) == again
    records.record(again, out, Likelihood(samples=1, videos=1))
    found = json.loads((out / "sprites-md-3.json").read_text())
    assert found["scored_at"] == records.source_of(records.PACKAGE).commit
    assert tables.shown_commit({**found, "commit": "0123456789", "scored_at": "9876543210"}).endswith(
        "scored at `9876543`"
    )
    (tmp_path / "frames").mkdir()
    without_tracks = change(run, tmp_path / "frames")
    results = json.loads((without_tracks / "results.json").read_text())
    (without_tracks / "results.json").write_text(json.dumps({k: v for k, v in results.items() if k != "mota"}))
    with pytest.raises(records.RecordError, match="cannot be scored again: it has no tracks or no provenance"):
        records.score_again(records.finished(without_tracks, videos=1))


def test_what_is_no_finished_run_of_a_preset_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(records.RecordError, match=r"is not a finished run: it has no results\.json\.$"):
        records.finished(tmp_path)
    with pytest.raises(records.RecordError, match=r"expected scores for at least 200 videos, got 1\.$"):
        records.finished(run)
    unnamed = change(run, tmp_path, provenance={"preset": None})
    with pytest.raises(records.RecordError, match=r"is not a run of a preset; only those can be recorded\.$"):
        records.finished(unnamed, videos=1)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(records.RecordError, match=r"results\.json: expected the results of a run\.$"):
        records.finished(tmp_path)


def test_setting_is_what_the_run_said_when_it_was_trained(run: Path, tmp_path: Path) -> None:
    """Its config is not that of today's preset; and scores on the bundled digits are not those of MNIST."""
    assert records.finished(run, videos=1).setting == "sprites-md"
    other = change(run, tmp_path, provenance={"preset": "paper-digits-vld"}, digits="uci")
    assert records.finished(other, videos=1).setting == "paper-digits-vld-uci"


def made_up(folder: Path, setting: str, seed: int, **figures: Any) -> None:
    """Write a record; times of a minute for ten steps, everything else unknown."""
    plain: dict[str, Any] = dict.fromkeys(("commit", "changed", "resumed", "machine", "command", "processor_minutes"))
    plain |= {"setting": setting, "trained_as": setting, "seed": seed, "steps": 10, "training_minutes": 1.0}
    (folder / f"{setting}-{seed}.json").write_text(json.dumps(plain | figures))


@pytest.fixture
def book(tmp_path: Path) -> Any:
    """Two seeds of one setting, one of another, and the paper's figures."""
    (tmp_path / "paper.json").write_text((tables.RECORDS / "paper.json").read_text())
    made_up(tmp_path, "bg", 0, mota=0.90, mota_strict=0.91, count_mae=0.0301, commit="0123456789", changed=True)
    made_up(tmp_path, "bg", 10, mota=0.9374, mota_strict=0.92, count_mae=0.0387, resumed=False)
    made_up(tmp_path, "sqair-digits-vld", 0, mota=None, nll=-1.5, nll_samples=50, nll_videos=16)
    made_up(tmp_path, "digits-vld-60-minutes", 0, mota=0.5)
    return tables.Book(tmp_path)


def cells_of(table: str) -> list[list[str]]:
    """The cells of each line."""
    return [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in table.splitlines()]


def row(table: str, title: str, column: int = 0) -> list[str]:
    """The cells of the row with a title."""
    return next(cells for cells in cells_of(table) if len(cells) > column and cells[column].startswith(title))


def test_a_row_is_the_mean_over_seeds_beside_the_paper(book: Any) -> None:
    bg = [cell.replace("\u00a0", " ") for cell in row(tables.tracking(book), "BG")]
    assert bg[1:] == "online,2,0.919 ± 0.026,0.915 ± 0.007,–,–,–,–,0.034,–,1.0".split(",")
    assert row(tables.against_paper(book), "BG")[1:8] == "0.919,0.972,0.953,0.034,yes,no,no".split(","), (
        "0.9187 is as high as the paper's 0.919 when it is written so, and 0.0344 not below 0.034"
    )
    assert set(row(tables.tracking(book), "sprites MD")[2:]) == {"–"}, "no record, no figure"
    assert row(tables.against_paper(book), "sprites MD")[-6:] == ["–"] * 6


def test_scores_by_hindsight_stand_beside_those_online(book: Any, tmp_path: Path) -> None:
    seen = {"mota": 0.96, "mota_strict": 0.95, "count_mae": 0.02}
    made_up(tmp_path, "bg", 0, mota=0.90, mota_strict=0.91, count_mae=0.03, offline=seen)
    both = tables.Book(tmp_path)
    offline = [cells for cells in cells_of(tables.tracking(both)) if cells[:2] == [tables.TRACKED["bg"], "offline"]]
    assert [cells[2:5] for cells in offline] == [["1", "0.960", "0.950"]], "of the one seed that has them"
    assert row(tables.against_paper(both), "BG")[-6:] == "yes,no,no,yes,yes,yes".split(",")
    assert row(tables.summary(both), "BG")[1:5] == ["2", "0.919 / 0.915", "0.960 / 0.950", "0.919"]


def test_other_models_have_tables_of_their_own(book: Any) -> None:
    likelihood = tables.likelihood(book)
    assert row(likelihood, "digits VLD")[-4:] == ["–", "–", "–", "-1.500"]
    assert "50 importance samples of each of 16 videos." in likelihood
    assert row(tables.sqair(book), "SQAIR", column=1)[:4] == ["digits VLD, 2–4", "SQAIR", "1", "–"]
    assert row(tables.sqair(book), "SQAIR", column=1)[8] == "6.00", "seconds a step"
    assert row(tables.paper_preset(book), "`digits-vld-60")[4] == "0.500"


def test_natural_scenes_are_measured_in_their_own_way(book: Any, tmp_path: Path) -> None:
    made_up(tmp_path, "vrnn-ped2", 0, nll=-2.5, nll_samples=20, nll_videos=12)
    both = tables.Book(tmp_path)
    assert row(tables.natural(both), "VRNN")[1:3] == ["1", "-2.500"] and row(tables.natural(both), "SCALOR")[1] == "–"
    assert "20 importance samples of each of 12 videos." in tables.natural(both)
    assert "50 importance samples of each of 16 videos." in tables.likelihood(both), (
        "those of other videos are not named"
    )


def test_runs_say_what_their_commit_is_worth(book: Any) -> None:
    lines = tables.runs(book).splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == [
        "bg", "bg", "sqair-digits-vld", "digits-vld-60-minutes"
    ]  # fmt: skip
    assert "| `0123456`, with changes |" in lines[0] and lines[1].startswith("| bg | 10 | 10 | 1.0 | – | – |")


def test_summary_has_what_there_is(book: Any) -> None:
    lines = tables.summary(book).splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == ["BG: sprites MD, moving background"]
    assert row(tables.summary(book), "BG")[1:] == ["2", "0.919 / 0.915", "– / –", "0.919", "1.0"]


def test_a_page_without_its_markers_is_refused(book: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table: runs -->\n<!-- end -->\n")
    monkeypatch.setitem(tables.PAGES, page, {"runs": tables.runs, "summary": tables.summary})
    with pytest.raises(ValueError, match=r"expected one marker for each of .*, got \['runs'\]\."):
        tables.filled(page, book)
