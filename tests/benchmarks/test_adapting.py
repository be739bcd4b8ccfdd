"""The benchmark of short trainings compares the same video with and without one."""

import json
from pathlib import Path

import pytest

from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_tracks_with_and_without_training_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import adapting

    from scalor_pyro.config import MoverConfig

    asked: list[list[str]] = []

    def tracked(video: Path, out: Path, options: list[str]) -> tuple[Tracks, float]:
        asked.append(options)
        truth = read_mot(video.with_name("gt.txt"))
        return truth if options else truth.rows(truth.identity > 0), 1.0

    def train(video: Path, run: Path, options: list[str]) -> None:
        (run / "fresh").mkdir(parents=True)
        held_out: dict[str, object] = {
            name: {"start": start, "end": end, "error": error}
            for name, start, end, error in (
                ("elbo", 1.0, 3.5, 0.5),
                ("followed", 9.0, 9.5, 0.2),
                ("propagated", 0.96, 0.95, 0.01),
            )
        }
        held_out["fresh"] = {**held_out, "elbo": {"start": 1.0, "end": 0.0, "error": 0.5}}
        held_out["kept"] = "end"
        (run / "results.json").write_text(json.dumps({"held_out": held_out}))
        assert options == ["--steps", "3"]

    monkeypatch.setattr(adapting, "MOVERS", MoverConfig((48, 64), frames=6))
    monkeypatch.setattr(adapting, "tracked", tracked)
    monkeypatch.setattr(adapting, "train", train)
    monkeypatch.setattr(adapting, "at_the_end", lambda run: run.with_name("end"))
    out = tmp_path / "out"
    assert adapting.main(["--movers", "7", "--out", str(out), "--", "--steps", "3"]) == 0
    trained = [out / "movers-7" / "end", out / "movers-7" / "run" / "fresh"]
    assert asked == [[], *(["--weights", str(each)] for each in trained)]
    _, _, first, second, third = (line for line in capsys.readouterr().out.splitlines() if line.startswith("|"))
    assert first.startswith("| movers 7 | no |") and first.endswith("| end |")
    assert "| any scene |" in second and "+2.5 ± 0.5 | 9.0 → 9.5 ± 0.2 | 0.9600 → 0.9500 ± 0.0100 |" in second
    assert "| random weights |" in third and "-1.0 ± 0.5 |" in third
    of = json.loads((out / "results.json").read_text())["videos"]["movers 7"]
    assert of["before"]["recall"] < of["after"]["recall"] == 1.0
    assert adapting.main(["--out", str(out)]) == 2
