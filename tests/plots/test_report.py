"""The report: what it says of tracks, that it is small and self-contained, and that a browser plays it."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scalor_pyro.config import Crop, ReadOptions
from scalor_pyro.plots.report import About, charts, write_report
from scalor_pyro.plots.report.film import LONGEST_SIDE, film_of, size_for
from scalor_pyro.plots.report.findings import counts_of, doubts_of, figures_of
from scalor_pyro.plots.report.page import LARGEST_PAGE, report
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.units import Units
from scalor_pyro.video import Video
from tests.fakes import make_tracks
from tests.plots.browser import BROWSER, browser
from tests.video_files import squares, write_video

FRAMES = 24


def walk(identity: int, frames: Any, x: float, y: float, speed: float = 0.0) -> Tracks:
    return make_tracks([(t, identity, x + speed * t, y) for t in frames], side=8)


# As tests.video_files.squares moves its five squares, before they come to the border.
TRACKS = concatenate([walk(i, range(5), 11 + 23 * i, 6 + 12 * i, 2) for i in range(4)])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("report") / "street.mkv", squares(FRAMES))


class Elements(HTMLParser):
    """All elements of a page, with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str | None, str] = {}
        self._id: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id") if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._id = None

    def handle_data(self, data: str) -> None:
        if self._id:
            self.texts[self._id] = data


def film_in(page: str) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(base64.b64decode(Elements(page).texts["mp4"]))) as container:
        return list(container.decode(video=0))


# ------------------------------------------------------------------ findings


def test_a_good_track_has_figures_and_no_doubts() -> None:
    tracks = walk(3, range(0, 40), 10, 10, 1.5)
    figures = figures_of(tracks)
    assert (figures.first.tolist(), figures.last.tolist(), figures.seen.tolist()) == ([0], [39], [40])
    assert figures.speed[0] == 1.5 and figures.size[0] == 8 and figures.distance[0] == pytest.approx(39 * 1.5)
    assert doubts_of(tracks, figures, None) == []


def test_gaps_are_counted_in_tracked_frames_and_filled_rows_are_gaps() -> None:
    frames = [t for t in range(0, 120, 3) if not 30 <= t < 66]
    filled = walk(0, range(30, 66, 3), 10, 10)
    tracks = concatenate([walk(0, frames, 10, 10), replace(filled, predicted=np.ones(len(filled), np.bool_))])
    for each in (tracks, tracks.rows(~tracks.predicted)):
        figures = figures_of(each, stride=3)
        assert (figures.gaps[0], figures.longest_gap[0], figures.seen[0]) == (1, 12, len(frames))
        doubts = [(doubt.kind, doubt.frame) for doubt in doubts_of(each, figures, None, stride=3)]
        assert doubts == [("gap", 27)]  # the last frame before it


def test_each_kind_of_doubt_is_found_by_name() -> None:
    jumps = walk(1, range(20), 50, 50)
    jumps.x[10:] += 30
    faint = replace(walk(2, range(20), 90, 90), presence=np.full(20, 0.3))
    parts = [walk(0, range(20), 10, 10), jumps, faint, walk(4, range(3), 130, 30), walk(5, range(8, 18), 11, 11)]
    events = pd.DataFrame(
        [("link", 7, 0, 3, 1.0, 0.4), ("link", 9, 1, 6, 1.0, 30.0), ("cut", 5, 2, 0, np.nan, np.nan)],
        columns=["event", "frame", "particle", "other", "gap", "log_ratio"],
    )
    tracks = concatenate(parts)
    found = [(each.kind, each.identity, each.frame) for each in doubts_of(tracks, figures_of(tracks), events)]
    assert found == [
        *(("link", 0, 7), ("cut", 2, 5), ("jump", 1, 10), ("overlap", 0, 8)),
        *(("faint", 2, 0), ("short", 4, 0)),
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), unique=True, max_size=40))
def test_counts_are_those_of_the_rows(rows: list[tuple[int, int]]) -> None:
    tracks = make_tracks([(frame, identity, 5, 5) for frame, identity in rows])
    frames = np.arange(-2, 12)
    assert counts_of(tracks, frames).tolist() == [sum(frame == t for frame, _ in rows) for t in frames]


# ------------------------------------------------------------------ charts


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=60), st.booleans())
def test_a_histogram_counts_every_value(values: list[float], whole: bool) -> None:
    known = [round(value) if whole else value for value in values if value == value]
    drawn = charts.histogram(np.array(known, np.float64), "speed", "rows", whole)
    counted = sum(int(n) for n in re.findall(r"<title>.*?: (\d+)</title>", drawn))
    beyond = re.search(r"(\d+) larger", drawn)
    assert counted + (int(beyond[1]) if beyond else 0) == len(known)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_marks_are_few_and_lie_between_the_ends(low: float, length: float) -> None:
    marks = charts.marks_between(low, low + length)
    assert len(marks) <= charts.MARKS + 2
    assert all(low - 1e-3 * length <= mark <= low + length * 1.001 for mark in marks) or length < 1e-9 * abs(low)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1\u2009234"), (0.01234, "0.0123"), (float("nan"), "–"), (20.0, "20")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert charts.number(value) == text


# ------------------------------------------------------------------ the film


@given(st.tuples(st.integers(1, 8000), st.integers(1, 8000)), st.floats(0.1, 1))
def test_films_have_even_sides_that_a_page_can_show(size: tuple[int, int], zoom: float) -> None:
    film = size_for(size, zoom)
    assert all(side % 2 == 0 and 2 <= side <= LONGEST_SIDE for side in film)


def test_a_film_of_noise_keeps_to_its_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 240, 320, 3), dtype=np.uint8)
    path = write_video(tmp_path / "noise.mkv", noise)
    film = film_of(Video(path), 60, 10.0, 100_000)
    assert len(film.mp4) <= 100_000 and len(film.numbers) == 60


def test_the_film_shows_what_was_tracked(video: Path) -> None:
    options = ReadOptions(crop=Crop(10, 0, 48, 32), start=3, stop=20, stride=4, size=(16, 24), grey=True)
    film = film_of(Video(video, options), 100, 10.0, 1_000_000)
    assert film.numbers.tolist() == [3, 7, 11, 15, 19] and film.crop == options.crop
    with av.open(io.BytesIO(film.mp4)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    seen = next(iter(Video(video, replace(options, size=None, grey=False)))).image
    small = frames[0].reshape(32, film.size[0] // 32, 48, film.size[1] // 48, 3).mean((1, 3))
    assert len(frames) == 5 and abs(small - seen.transpose(1, 2, 0)).mean() < 12


def test_the_background_of_the_paths_has_no_object_that_rested_for_most_of_the_film() -> None:
    frames = squares(40, side=0)
    frames[:26, 20:32, 40:60] = 230
    film = film_of(Video(frames), 40, 10.0, 1_000_000)
    with Image.open(io.BytesIO(film.background)) as picture:
        assert np.asarray(picture).max() < 170


# ------------------------------------------------------------------ the page


def test_the_page_is_one_file_that_loads_nothing(video: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "a.html", TRACKS, Video(video), About("street.mkv", table="street.csv"))
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    for tag, attributes in Elements(page).found:
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "data:").startswith("data:"), f"<{tag} {name}>"
    assert "http" not in page.replace("http-equiv", "") and "@import" not in page and "url(" not in page
    assert len(film_in(page)) == FRAMES
    assert "The rows are in street.csv." in page


def test_rows_over_the_film_are_those_of_the_tracks(video: Path) -> None:
    page = report(TRACKS, Video(video, ReadOptions(crop=Crop(8, 4, 80, 56), start=1)), About("a"))
    data = json.loads(Elements(page).texts["data"])
    columns = np.frombuffer(base64.b64decode(data["rows"]), "<u2").reshape(8, -1).astype(float)
    shown = TRACKS.rows(TRACKS.frame >= 1).in_order()
    assert [data["frames"][int(i)] for i in columns[0]] == shown.frame.tolist()
    assert [data["names"][int(i)] for i in columns[1]] == shown.identity.tolist()
    np.testing.assert_allclose(8 + (columns[3] / 16384 - 1) * 80, shown.x, atol=0.01)
    np.testing.assert_allclose(4 + (columns[4] / 16384 - 1) * 56, shown.y, atol=0.01)
    np.testing.assert_allclose(columns[5] / 16384 * 80, shown.width, atol=0.01)


@pytest.mark.parametrize("units", [Units(), Units(fps=4), Units(um_per_px=0.5), Units(4, 0.5)])
def test_figures_are_in_the_units_that_are_known(video: Path, units: Units) -> None:
    page = report(TRACKS, Video(video), About("a"), units=units)
    fps = units.fps or 10  # of the file
    scale, length = (1, "px") if units.um_per_px is None else (0.5, "µm")
    assert f"<b>{2 * scale * fps:.3g} {length}/s</b><span>median speed" in page
    assert f"<b>{8 * scale:.3g} {length}</b><span>median size" in page
    assert f'<th><button data-column="9">size, {length}</button></th>' in page


def test_names_cannot_become_markup(video: Path) -> None:
    name = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\udce9.mp4'
    page = report(TRACKS, Video(video), About(name, made_with=name, table=name))
    tags = [tag for tag, _ in Elements(page).found]
    assert tags.count("script") == 3 and "img" not in tags and "alert(1)" in page and "\\xe9.mp4" in page
    page.encode("utf-8")


def test_tracks_without_rows_have_a_page(video: Path) -> None:
    page = report(TRACKS.rows(TRACKS.frame < 0), Video(video), About("empty"))
    assert "<b>0</b><span>tracks" in page and len(film_in(page)) == FRAMES


def test_many_long_tracks_fit_into_five_megabytes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 255, (40, 120, 160, 3), dtype=np.uint8)
    path = write_video(tmp_path / "noise.mkv", noise)
    objects, frames = 120, 1000
    frame, identity = (part.ravel() for part in np.mgrid[:frames, :objects])
    x, y = (generator.uniform(0, side, frames * objects) for side in (160, 120))
    one = np.ones(len(frame))
    tracks = Tracks(frame, identity + objects * (frame // 100), x, y, 6 * one, 6 * one, one, one)
    page = report(tracks, Video(path), About("crowd"))
    assert len(page.encode()) <= LARGEST_PAGE
    assert "shortest tracks are left out" in page


# ------------------------------------------------------------------ a browser


# Pauses at frame 3, and looks at the film where the boxes of that frame are.
CHECK = """(async () => {
  const video = document.querySelector("video"), canvas = document.querySelector("canvas");
  const seek = document.getElementById("seek");
  while (video.readyState < 2 && !video.error) await new Promise((go) => setTimeout(go, 50));
  video.pause();
  await new Promise((go) => {
    video.addEventListener("seeked", go, { once: true });
    seek.value = 3;
    seek.dispatchEvent(new Event("input"));
  });
  await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let drawn = 0;
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i]) drawn++;
  const copy = new OffscreenCanvas(96, 64).getContext("2d", { willReadFrequently: true });
  copy.drawImage(video, 0, 0, 96, 64);
  const bright = PLACES.map(([x, y]) => copy.getImageData(x, y, 1, 1).data[0]);
  const at = document.getElementById("at").textContent;
  document.querySelector("tr[data-id='2'] td:last-child").click();
  return { drawn, bright, duration: video.duration, at, error: String(video.error),
    selected: [...document.querySelectorAll(".selected")].map((each) => each.dataset.id),
    overflow: document.documentElement.scrollWidth - innerWidth };
})()"""


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_a_browser_plays_it(video: Path, tmp_path: Path, width: int, dark: bool) -> None:
    write_report(tmp_path / "a.html", TRACKS, Video(video), About("street <1>.mkv"))
    here = TRACKS.rows(TRACKS.frame == 3)
    with browser(tmp_path / "profile") as page:
        page.open((tmp_path / "a.html").as_uri(), width, 900, dark)
        found = page.value(CHECK.replace("PLACES", json.dumps(np.stack([here.x, here.y], 1).tolist())))
        assert page.complaints == []
    assert found["duration"] == pytest.approx(FRAMES / 10, abs=0.11)
    assert found["at"].startswith("frame 3 ") and min(found["bright"]) > 180, "boxes are on objects"
    assert found["drawn"] > 100 and found["error"] == "null"
    assert found["selected"] == ["2"] * 3  # its path, its line of time and its row
    assert found["overflow"] <= 0
