"""The report as one HTML file of at most 5 MB: the film with what was tracked drawn over it, pictures, and tables."""

import base64
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from importlib import resources
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scalor_pyro.files import write_atomically
from scalor_pyro.plots.report import charts
from scalor_pyro.plots.report.charts import colour_of, number
from scalor_pyro.plots.report.film import Film, film_of
from scalor_pyro.plots.report.findings import (
    KINDS,
    Doubt,
    TrackFigures,
    counts_of,
    doubts_of,
    figures_of,
    side_of,
    speed_of,
)
from scalor_pyro.tracks.summary import printable
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.units import NO_UNITS, Units
from scalor_pyro.video import Video

# Bytes of the page, at most; of all but the film and the rows over it, as a rule; of such a row; and of the film, at
# least. Where the rest takes more, the film is encoded again.
LARGEST_PAGE, REST, ROW, LEAST_FILM, TRIES = 5_000_000, 1_000_000, 22, 300_000, 3
# base64 writes 3 bytes as 4.
BASE64 = 4 / 3
# Frames of the film, at most, and rows that are drawn over it: a film of a crowd is shorter.
FILM_FRAMES, FILM_ROWS = 500, 120_000
# Numbers of a row in the page: place and size as parts of the film's sides, from one side before it to two after it.
UNIT, ZERO, HIGHEST = 16384, 16384, 65535
# Rows of the table of tracks, and names in a list of doubts, at most.
TABLE_ROWS, LISTED = 400, 40


class About(NamedTuple):
    """What a report says of where tracks come from."""

    title: str  # name of the video
    made_with: str = ""  # weights, or another program
    table: str = ""  # name of the file that holds all rows
    frames: tuple[int, int] | None = None  # first and last that were tracked; None: those of the tracks and the film


class _Content(NamedTuple):
    """All that the parts of the page are made from."""

    tracks: Tracks
    figures: TrackFigures
    doubts: list[Doubt]
    film: Film
    video: Video
    units: Units
    about: About
    frames: np.ndarray  # all that were tracked


def write_report(
    path: str | os.PathLike[str],
    tracks: Tracks,
    video: Video,
    about: About,
    events: pd.DataFrame | None = None,
    units: Units = NO_UNITS,
) -> None:
    """Write the report of a tracked video; the video is read once more, up to the end of the film.

    :param path: of the file; it appears whole or not at all.
    :param tracks: of the whole video, in px and frames of the file.
    :param video: with the options it was read with for tracking: they say which frames and which part of them.
    :param events: of linking.
    :param units: what a frame and a pixel are in the world; where it does not say, the file's frame rate counts.
    :raises VideoError: if the video cannot be read.
    :raises OutputError: if the file cannot be written.
    """
    write_atomically(Path(path), report(tracks, video, about, events, units).encode("utf-8", "backslashreplace"))


def report(
    tracks: Tracks, video: Video, about: About, events: pd.DataFrame | None = None, units: Units = NO_UNITS
) -> str:
    """The page; see :func:`write_report`."""
    units, stride = units.or_rate(video.info.rate), video.options.stride
    figures = figures_of(tracks, stride)
    doubts = doubts_of(tracks, figures, events, stride)
    length = frames_for(tracks, video)
    drawn = int((tracks.frame < video.options.start + stride * length).sum())
    left = LARGEST_PAGE - REST - drawn * ROW
    for _ in range(TRIES):
        film = film_of(video, length, units.fps, int(max(LEAST_FILM, left) / BASE64))
        frames = _frames_of(tracks, about, video, film.numbers)
        page = _laid_out(_Content(tracks, figures, doubts, film, video, units, about, frames))
        excess = len(page.encode("utf-8", "backslashreplace")) - LARGEST_PAGE
        if excess <= 0:
            break
        left = int(BASE64 * len(film.mp4)) - excess
    return page


def frames_for(tracks: Tracks, video: Video) -> int:
    """How many frames the film has: few enough that the rows on them fit into the page."""
    frames = np.sort(tracks.frame)
    if len(frames) <= FILM_ROWS:
        return FILM_FRAMES
    steps = int(frames[FILM_ROWS] - video.options.start) // video.options.stride
    return min(FILM_FRAMES, max(1, steps))


def _frames_of(tracks: Tracks, about: About, video: Video, film: np.ndarray) -> np.ndarray:
    """All frames that were tracked, as far as is known."""
    numbers = [*(about.frames or ()), *film[[0, -1]].tolist()]
    numbers += [int(tracks.frame.min()), int(tracks.frame.max())] if len(tracks) else []
    return np.arange(min(numbers), max(numbers) + 1, video.options.stride)


# ------------------------------------------------------------------ the page


def _laid_out(content: _Content) -> str:
    name = escape(printable(content.about.title))
    return Template(_part("page.html")).substitute(
        title=name,
        subtitle=_subtitle(content),
        style=_part("page.css"),
        script=_part("page.js"),
        data=_json(_data(content)),
        film=base64.b64encode(content.film.mp4).decode(),
        film_note=_film_note(content),
        tiles=_tiles(content),
        doubts=_doubts(content),
        paths=charts.paths(content.tracks, content.film.crop, _picture(content.film.background)),
        timeline=_timeline(content),
        charts=_charts(content),
        table=_table(content),
        footer=_footer(content),
    )


@lru_cache
def _part(name: str) -> str:
    return resources.files("scalor_pyro.plots.report").joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _picture(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _data(content: _Content) -> dict[str, Any]:
    """What the script draws over the film: rows in order of its frames."""
    film, tracks = content.film, content.tracks
    place = np.searchsorted(film.numbers, tracks.frame)
    here = np.append(film.numbers, -1)[place] == tracks.frame
    rows, place = tracks.rows(here), place[here]
    order = np.lexsort((rows.identity, place))
    rows, place = rows.rows(order), place[order]
    names, name = np.unique(rows.identity, return_inverse=True)
    sides = {"x": film.crop.width, "y": film.crop.height, "width": film.crop.width, "height": film.crop.height}
    corner = {"x": film.crop.x, "y": film.crop.y}
    numbers = [
        (getattr(rows, part) - corner.get(part, 0)) / side * UNIT + ZERO * (part in corner)
        for part, side in sides.items()
    ]
    columns = [place, name % 65536, name // 65536, *numbers, rows.predicted]
    table = np.stack([np.clip(np.round(column.astype(np.float64)), 0, HIGHEST).astype("<u2") for column in columns])
    return {
        "rate": film.rate,
        "frames": film.numbers.tolist(),
        "fps": content.units.fps,
        "names": names.tolist(),
        "colours": [colour_of(identity) for identity in names.tolist()],
        "rows": base64.b64encode(table.tobytes()).decode(),
        "aspect": content.film.crop.width / content.film.crop.height,
    }


# ------------------------------------------------------------------ words


def _subtitle(content: _Content) -> str:
    height, width = content.video.info.size
    crop, frames = content.film.crop, content.frames
    parts = [f"{width} × {height} px"]
    if (crop.width, crop.height) != (width, height):
        parts.append(f"tracked in {crop.width} × {crop.height} px from ({crop.x}, {crop.y})")
    parts.append(f"{number(len(frames), 9)} frames, {frames[0]} to {frames[-1]}")
    if content.video.options.stride > 1:
        parts.append(f"one in {content.video.options.stride}")
    if content.units.fps is not None:
        seconds = (frames[-1] - frames[0] + content.video.options.stride) / content.units.fps
        parts.append(f"{number(content.units.fps)} per second, {_duration(seconds)}")
    if content.units.um_per_px is not None:
        parts.append(f"{number(content.units.um_per_px)} µm per px")
    if content.about.made_with:
        parts.append(escape(printable(content.about.made_with)))
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _film_note(content: _Content) -> str:
    shown, everything = content.film.numbers, len(content.frames)
    said = "All frames that were tracked."
    if len(shown) and len(shown) < everything:
        said = (
            f"The film shows the first {len(shown)} of {number(everything, 9)} frames ({shown[0]} to {shown[-1]}); the"
            " figures below are of all of them."
        )
    fps = content.units.fps
    real = None if fps is None else fps / content.video.options.stride
    if real is None or abs(real - content.film.rate) > 0.02 * real:
        said += f" It plays at {number(content.film.rate)} frames per second" + (
            "." if real is None else f", {number(content.film.rate / real)} times as fast as recorded."
        )
    return said


def _tiles(content: _Content) -> str:
    figures, (length, length_unit), (time, time_unit) = content.figures, content.units.length, content.units.time
    (speed, speed_unit) = content.units.speed
    counts = counts_of(content.tracks, content.frames)
    tiles = [
        ("tracks", number(len(figures), 9), ""),
        ("objects per frame", number(float(counts.mean()) if len(counts) else 0.0), f"at most {counts.max(initial=0)}"),
        ("median track", f"{number(_median(figures.seen) * time * content.video.options.stride)} {time_unit}", ""),
        ("median speed", f"{number(_median(figures.speed) * speed)} {speed_unit}", ""),
        ("median size", f"{number(_median(figures.size) * length)} {length_unit}", ""),
        ("worth checking", number(len(content.doubts), 9), ""),
    ]
    return "".join(
        f'<div class="tile"><b>{value}</b><span>{name}{f" <i>{more}</i>" if more else ""}</span></div>'
        for name, value, more in tiles
    )


def _doubts(content: _Content) -> str:
    if not content.doubts:
        return "<p>Nothing stands out: no short, faint or jumping track, no long gap, no doubtful link.</p>"
    parts = []
    for kind, group in groupby(content.doubts, key=lambda each: each.kind):
        listed = list(group)
        title, about = KINDS[kind]
        items = "".join(_doubt(each) for each in listed[:LISTED])
        more = f"<li>… and {len(listed) - LISTED} more</li>" if len(listed) > LISTED else ""
        parts.append(
            f"<details{' open' if len(listed) <= 8 else ''}><summary>{title} <b>{len(listed)}</b></summary>"
            f'<p class="note">{about}</p><ul>{items}{more}</ul></details>'
        )
    return f'<div class="doubts">{"".join(parts)}</div>'


def _doubt(doubt: Doubt) -> str:
    also = "" if doubt.other is None else f" and {_name(doubt.other)}"
    return (
        f"<li>{_name(doubt.identity)}{also}: {escape(doubt.about)}"
        f' <button class="to" data-frame="{doubt.frame}" data-id="{doubt.identity}">frame {doubt.frame}</button></li>'
    )


def _name(identity: int) -> str:
    return (
        f'<button class="id" data-id="{identity}"><i style="background:{colour_of(identity)}"></i>{identity}</button>'
    )


def _timeline(content: _Content) -> str:
    time, unit = content.units.time
    frames = (int(content.frames[0]), int(content.frames[-1]))
    drawn = charts.timeline(content.tracks, content.figures, frames, content.video.options.stride, time)
    left_out = len(content.figures) - charts.MOST_LINES
    more = f" The {left_out} shortest tracks are left out." if left_out > 0 else ""
    axis = "frames" if unit == "frames" else "seconds"
    note = f"In {axis}; gaps are left blank, and filled rows are pale.{more}"
    return f'<div class="wide">{drawn}</div><p class="note">{note}</p>'


def _charts(content: _Content) -> str:
    tracks, units = content.tracks, content.units
    (time, time_unit), (length, length_unit), (speed, speed_unit) = units.time, units.length, units.speed
    side, measured = side_of(tracks)
    time_name = "frame" if time_unit == "frames" else f"time, {time_unit}"
    counts = counts_of(tracks, content.frames).astype(np.float64)
    seen = (content.figures.seen * content.video.options.stride).astype(np.float64)
    drawn = [
        ("Objects over time", charts.line_chart(content.frames * time, counts, time_name, "objects"), ""),
        (
            "Speed",
            charts.histogram(speed_of(tracks) * speed, f"speed, {speed_unit}", "rows"),
            "From each row to the next of its track, so errors of position are in it.",
        ),
        ("Size", charts.histogram(side * length, f"size, {length_unit}", "rows"), f"Size: {measured}."),
        (
            "Length of tracks",
            charts.histogram(seen * time, f"length, {time_unit}", "tracks", whole=time_unit == "frames"),
            "Frames in which the object was seen.",
        ),
    ]
    return "".join(
        f"<figure><h3>{title}</h3>{chart}" + (f'<p class="note">{note}</p>' if note else "") + "</figure>"
        for title, chart, note in drawn
    )


def _table(content: _Content) -> str:
    figures, (time, time_unit), (length, length_unit) = content.figures, content.units.time, content.units.length
    speed, speed_unit = content.units.speed
    marked: dict[int, list[str]] = {}
    for doubt in content.doubts:
        for identity in (doubt.identity, doubt.other):
            if identity is not None and doubt.kind not in marked.setdefault(identity, []):
                marked[identity].append(doubt.kind)
    in_seconds = time_unit == "s"
    heads = ["track", "from frame", "to frame", *(["from, s", "to, s"] if in_seconds else []), "frames seen"]
    heads += ["gaps", "longest gap", "presence", f"size, {length_unit}", f"speed, {speed_unit}"]
    heads += [f"path, {length_unit}", "worth checking"]
    longest = np.sort(np.argsort(-figures.seen, kind="stable")[:TABLE_ROWS])
    rows = []
    for i in longest.tolist():
        identity, first, last = int(figures.identity[i]), int(figures.first[i]), int(figures.last[i])
        cells: list[tuple[float, str]] = [(first, f"{first}"), (last, f"{last}")]
        cells += [(frame * time, f"{frame * time:.2f}") for frame in (first, last)] if in_seconds else []
        cells += [(float(n), f"{n}") for n in (figures.seen[i], figures.gaps[i], figures.longest_gap[i])]
        values = (figures.presence[i], figures.size[i] * length, figures.speed[i] * speed, figures.distance[i] * length)
        cells += [(float(value), number(float(value))) for value in values]
        rows.append(_row(identity, cells, [KINDS[kind][0].lower() for kind in marked.get(identity, [])]))
    left_out = len(figures) - len(longest)
    more = ""
    if left_out > 0:
        where = f"; all are in {escape(printable(content.about.table))}" if content.about.table else ""
        more = f'<p class="note">The {left_out} shortest tracks are left out{where}.</p>'
    names = "".join(f'<th><button data-column="{i}">{escape(head)}</button></th>' for i, head in enumerate(heads))
    return (
        f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>{more}'
    )


def _row(identity: int, cells: Sequence[tuple[float, str]], doubts: Sequence[str]) -> str:
    values = "".join(f'<td data-value="{value:.6g}">{text}</td>' for value, text in cells)
    return (
        f'<tr data-id="{identity}"><td data-value="{identity}">{_name(identity)}</td>{values}'
        f'<td data-value="{len(doubts)}">{", ".join(doubts)}</td></tr>'
    )


def _footer(content: _Content) -> str:
    said = ["Everything here is computed from the tracks; no one has checked them."]
    if content.about.table:
        said.append(f"The rows are in {escape(printable(content.about.table))}.")
    said.append("Frames and tracks count from 0; the upper left corner of the image is (0, 0).")
    return f"{' '.join(said)} Made by scalor_pyro."


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
