"""The benchmark of linking: the oracle is one, and a short run writes what the study quotes."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.test_benchmarks import BENCHMARKS
from tests.fakes import make_tracks, make_truth


def test_the_oracle_knows_each_tracks_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from linking import Tracked, by_truth

    truth = make_truth([(t, each, 10 + t + 40 * each, 20, 10, 1) for t in range(20) for each in range(2)])
    rows = [(t, 5 if t < 10 else 6, 10 + t, 20) for t in range(20)]
    rows += [(t, 7, 50 + t, 21) for t in range(20)] + [(t, 8, 51 + t, 20) for t in range(15, 20)]
    tracks = make_tracks(rows + [(3, 9, 200, 200)])
    identity = by_truth(Tracked(tracks, np.zeros((len(tracks), 1), np.float32), truth, (64, 128))).identity
    assert set(identity[:20]) == {0}
    assert set(identity[20:40]) == {1}
    assert not {0, 1} & set(identity[40:].tolist())  # a second track of an object, and one of none


def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import linking

    monkeypatch.setattr(linking, "FRAMES", 20)
    out, picture = tmp_path / "a.json", tmp_path / "a.png"
    line = ["linking.py", "--out", str(out), "--settings", "sprites-md", "--seeds", "1", "--videos", "1"]
    monkeypatch.setattr("sys.argv", [*line, "--picture", str(picture)])
    linking.main()
    figures = json.loads(out.read_text())["sprites-md"]["1"]
    assert set(figures) == set(linking.METHODS)
    assert figures["as tracked"]["identities"] >= figures["linked"]["identities"] > 0
    assert picture.stat().st_size > 1000
    assert "| sprites-md | linked |" in capsys.readouterr().out
