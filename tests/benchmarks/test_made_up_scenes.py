"""Scenes to report on: drawn alike every time, with a truth that fits what is in the picture."""

import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalor_pyro.tracks.text import read_mot

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCENES = (
    "ants bacteria balls bees birds boats cars cells drops insects leaves letters spots starfish walkers worms".split()
)


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import made_up_scenes

    return made_up_scenes


@pytest.fixture
def painting(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from scenes import painting as scene_painting

    return scene_painting


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_the_same_every_time(scenes: ModuleType, name: str) -> None:
    (picture, rows), again = (next(scenes.drawn(name)) for _ in range(2))
    other, _ = next(scenes.drawn(name, seed=scenes.SEED + 1))
    assert np.array_equal(picture, again[0]) and rows == again[1] and not np.array_equal(picture, other)
    height, width, _ = picture.shape
    numbers = [row.identity for row in rows]
    assert len(rows) >= 4 and len(set(numbers)) == len(numbers)
    for row in rows:
        left, top, wide, high = row.box
        assert 0 <= left < left + wide <= width and 0 <= top < top + high <= height and 0 <= row.seen <= 1 + 1e-9
    assert sum(row.seen >= scenes.SEEN for row in rows) >= 4


def test_all_scenes_are_tested_and_none_comes_from_the_generators(scenes: ModuleType) -> None:
    assert sorted(scenes.SCENES) == SCENES
    for path in (BENCHMARKS / "made_up_scenes.py", *BENCHMARKS.glob("scenes/*.py")):
        text = path.read_text(encoding="utf-8")
        imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        assert not any("scalor_pyro.data" in line for line in imports)


@given(x=st.floats(-30, 70), y=st.floats(-30, 60), radius=st.floats(4, 12))
@settings(max_examples=40, deadline=None)
def test_a_disc_is_seen_as_far_as_it_is_in_view(x: float, y: float, radius: float) -> None:
    """The share in view is that of its pixels, and the box ends at the border."""
    import sys

    sys.path.insert(0, str(BENCHMARKS))
    from scenes.painting import Thing, painted

    thing = Thing(3, x, y, radius + 2)
    thing.ellipse((x, y), (radius, radius), 0, (1, 1, 1))
    picture, rows = painted(np.zeros((30, 40, 3)), [thing])
    area = np.pi * radius**2
    assert picture[..., 0].sum() == pytest.approx(area * rows[0].seen if rows else 0, abs=0.06 * area)
    if 12 <= x <= 28 and 12 <= y <= 18:
        left, top, width, height = rows[0].box
        assert rows[0].seen == pytest.approx(1)
        assert (left + width / 2, top + height / 2) == pytest.approx((x, y), abs=1)
        assert (width, height) == pytest.approx((2 * radius, 2 * radius), abs=1.6)


def test_what_is_hidden_need_not_be_found(painting: ModuleType) -> None:
    def disc(identity: int | None, x: float) -> object:
        thing = painting.Thing(identity, x, 20, 12)
        thing.ellipse((x + 6, 20), (8, 8), 0, (0, 0, 0), 0.5, body=False)  # a shadow is no part of it
        thing.ellipse((x, 20), (8, 8), 0, (1, 0, 0))
        return thing

    _, rows = painting.painted(np.ones((40, 80, 3)), [disc(0, 20), disc(1, 24), disc(None, 60), disc(2, 58)])
    seen = {row.identity: row.seen for row in rows}
    assert set(seen) == {0, 1, 2}, "scenery is not in the truth"
    assert seen[0] < 0.5 and seen[1] == seen[2] == pytest.approx(1)
    assert rows[1].box[2] == pytest.approx(16, abs=1), "without its shadow"


def test_files_hold_what_was_drawn(scenes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = list(itertools.islice(scenes.drawn("spots"), 4))
    monkeypatch.setattr(scenes, "drawn", lambda name, seed: iter(few))
    assert scenes.main([str(tmp_path / "scenes"), "--only", "spots", "--sheets", str(tmp_path / "sheets")]) == 0
    from scalor_pyro.video import Video

    found = [np.moveaxis(frame.image, 0, -1) for frame in Video(tmp_path / "scenes" / "spots" / scenes.VIDEO)]
    assert np.array_equal(np.stack(found), np.stack([picture for picture, _ in few])), "the video is lossless"
    truth, rows = read_mot(tmp_path / "scenes" / "spots" / scenes.TRUTH), few[2][1]
    here = truth.frame == 2
    assert truth.identity[here].tolist() == [row.identity for row in rows]
    assert np.allclose(truth.x[here], [row.box[0] + row.box[2] / 2 for row in rows])
    assert truth.presence[here].tolist() == [float(row.seen >= scenes.SEEN) for row in rows]
    assert (tmp_path / "sheets" / "spots.png").stat().st_size > 0
