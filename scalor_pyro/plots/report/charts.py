"""Charts of a report as SVG: text and lines take their colours from the page, so that they fit light and dark."""

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.colours import identity_colour
from scalor_pyro.config import Crop
from scalor_pyro.plots.report.findings import TrackFigures
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.units import rows_of_tracks

Numbers = NDArray[np.float64]

# Units of the drawing of a chart, and its margins: left, right, top, bottom.
WIDTH, HEIGHT = 380, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 36
# About so many bars in a histogram, points in a line, and marks at an axis.
BARS, POINTS, MARKS = 30, 300, 5
# A histogram ends where so many percent of the values lie below, so that one outlier does not squeeze the rest.
SHOWN_PERCENT = 99.5
# Points of a path, at most, and of all paths.
PATH_POINTS, ALL_POINTS = 300, 30_000
# Tracks in the timeline, at most: the longest. Its units: a line of text, or of a thin bar where there are many.
MOST_LINES, TEXT_LINE, THIN_LINE, FEW_LINES = 150, 15, 7, 60
TIMELINE_WIDTH, NAMES = 760, 44
# Opacity of what was not seen, but filled.
PALE = 0.35
# Parts of the timeline's width below which a gap is not drawn.
FINEST = 1 / 1000


def colour_of(identity: int) -> str:
    """The colour of an identity, as everywhere else."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in identity_colour(identity))


def marks_between(low: float, high: float, about: int = MARKS) -> list[float]:
    """Round numbers from low to high."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [round(i * step, 10) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent, and with thin spaces between thousands."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(decimals, 6)}f}".replace(",", "\u2009")
    return text.rstrip("0").rstrip(".") if "." in text else text


def line_chart(x: Numbers, y: Numbers, x_name: str, y_name: str) -> str:
    """A quantity over time; where it has more values than can be seen, means of consecutive ones."""
    ends = (float(x[0]), float(x[-1])) if len(x) else (0.0, 1.0)
    if len(x) > POINTS:
        parts = np.array_split(np.arange(len(x)), POINTS)
        x, y = (np.array([values[part].mean() for part in parts]) for values in (x, y))
    axes = _Axes(ends, (0, float(y.max(initial=1)) * 1.05))
    points = " ".join(f"{axes.x(a):.1f},{axes.y(b):.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return axes.svg(f'<polyline class="line" points="{points}"/>', x_name, y_name, f"{y_name} by {x_name}")


def histogram(values: Numbers, x_name: str, y_name: str, whole: bool = False) -> str:
    """How often values occur; those beyond the last bar are counted in a note.

    :param whole: of whole numbers, whose bars are whole numbers wide.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return '<p class="note">Nothing to show.</p>'
    low, high = float(known.min()), float(np.percentile(known, SHOWN_PERCENT))
    low = 0.0 if low >= 0 and low < high / 2 else low
    edges = _edges(low, high, whole)
    counts, _ = np.histogram(known, edges)
    axes = _Axes((edges[0], edges[-1]), (0, float(counts.max()) * 1.05))
    bars = "".join(
        f'<rect class="bar" x="{axes.x(a) + 0.5:.1f}" y="{axes.y(n):.1f}"'
        f' width="{max(0.5, axes.x(b) - axes.x(a) - 1):.1f}"'
        f' height="{axes.y(0) - axes.y(n):.1f}"><title>{number(a)} to {number(b)}: {n}</title></rect>'
        for a, b, n in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        if n
    )
    beyond = int((known > edges[-1]).sum())
    note = f'<p class="note">{beyond} larger, up to {number(float(known.max()))}, not shown.</p>' if beyond else ""
    return axes.svg(bars, x_name, y_name, f"Histogram: {x_name}") + note


def _edges(low: float, high: float, whole: bool) -> Numbers:
    high = high if high > low else low + (1 if whole else max(abs(low), 1e-6) * 0.5)
    width = (high - low) / BARS
    power = 10 ** math.floor(math.log10(width))
    width = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= width * (1 - 1e-9))
    width = max(1.0, math.ceil(width)) if whole else width
    first = math.floor(low / width)
    return width * np.arange(first, math.ceil(high / width + (1e-9 if not whole else 1e-3)) + 1)


class _Axes:
    """Two axes, and where values lie between them."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = (values if values[1] > values[0] else (values[0], values[0] + 1) for values in (x, y))

    def x(self, value: float) -> float:
        low, high = self._x
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def svg(self, inside: str, x_name: str, y_name: str, title: str) -> str:
        """The whole drawing."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        grid = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}"/>'
            f'<text x="{LEFT - 5}" y="{self.y(v) + 3.5:.1f}" text-anchor="end">{number(v)}</text>'
            for v in marks_between(*self._y, about=4)
            if v == round(v)  # counts
        )
        marks = "".join(
            f'<text x="{self.x(v):.1f}" y="{bottom + 14}" text-anchor="middle">{number(v, 6)}</text>'
            for v in marks_between(*self._x)
        )
        middle = (LEFT + right) / 2, (TOP + bottom) / 2
        names = (
            f'<text x="{middle[0]}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x_name)}</text>'
            f'<text transform="translate(10 {middle[1]}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
        )
        base = f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
            f"{grid}{inside}{base}{marks}{names}</svg>"
        )


def paths(tracks: Tracks, crop: Crop, picture: str) -> str:
    """All paths on the background, each to be selected.

    :param crop: px of the file: what the picture shows.
    :param picture: its address.
    """
    points = min(PATH_POINTS, max(2, ALL_POINTS // max(1, len(np.unique(tracks.identity)))))
    lines = "".join(_path(tracks.rows(rows), crop, points) for rows in rows_of_tracks(tracks))
    return (
        f'<svg class="paths" viewBox="0 0 {crop.width} {crop.height}" role="img" aria-label="Paths of all tracks">'
        f'<image href="{picture}" width="{crop.width}" height="{crop.height}" preserveAspectRatio="none"/>{lines}</svg>'
    )


def _path(track: Tracks, crop: Crop, points: int) -> str:
    chosen = np.unique(np.linspace(0, len(track) - 1, min(points, len(track))).round().astype(int))
    x, y = track.x[chosen] - crop.x, track.y[chosen] - crop.y
    steps = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    identity = int(track.identity[0])
    colour = colour_of(identity)
    end = f'<circle cx="{x[-1]:.1f}" cy="{y[-1]:.1f}" r="{max(crop.width, crop.height) / 240:.1f}" fill="{colour}"/>'
    return (
        f'<g data-id="{identity}"><title>track {identity}</title><polyline class="hit" points="{steps}"/>'
        f'<polyline points="{steps}" stroke="{colour}"/>{end}</g>'
    )


def timeline(tracks: Tracks, figures: TrackFigures, frames: tuple[int, int], stride: int, time: float) -> str:
    """When each track was seen, with its gaps; rows that were filled are pale.

    :param frames: first and last frame that were tracked.
    :param time: of a frame, in the unit of the axis.
    """
    longest = np.sort(np.argsort(-figures.seen, kind="stable")[:MOST_LINES])
    shown = {int(figures.identity[i]): place for place, i in enumerate(longest[np.argsort(figures.first[longest])])}
    high = TEXT_LINE if len(shown) <= FEW_LINES else THIN_LINE
    first, last = frames
    scale = (TIMELINE_WIDTH - NAMES) / max(stride, last - first + stride)
    bars = []
    for rows in rows_of_tracks(tracks):
        track = tracks.rows(rows)
        identity = int(track.identity[0])
        if identity in shown:
            top = high * shown[identity]
            spans = "".join(
                f'<rect x="{NAMES + (a - first) * scale:.1f}" y="{top + high * 0.2:.1f}" height="{high * 0.6:.1f}"'
                f' width="{max(0.8, (b - a + stride) * scale):.1f}" fill="{colour_of(identity)}"'
                f' opacity="{PALE if pale else 1}"/>'
                for a, b, pale in _spans(track, stride, FINEST * TIMELINE_WIDTH / scale)
            )
            name = f'<text x="{NAMES - 6}" y="{top + high * 0.72:.1f}" text-anchor="end">{identity}</text>'
            strip = f'<rect class="hit" x="0" y="{top}" width="{TIMELINE_WIDTH}" height="{high}"/>'
            bars.append(
                f'<g data-id="{identity}"><title>track {identity}</title>{strip}'
                f"{name if high == TEXT_LINE else ''}{spans}</g>"
            )
    bottom = high * len(shown)
    marks = "".join(
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}"/>'
        f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{number(value, 6)}</text>'
        for value in marks_between(first * time, last * time, 8)
        for x in [NAMES + (value / time - first + stride / 2) * scale]
    )
    return (
        f'<svg class="timeline" viewBox="0 0 {TIMELINE_WIDTH + 8} {bottom + 20}" role="img"'
        f' aria-label="When each track was seen">{marks}{"".join(bars)}</svg>'
    )


def _spans(track: Tracks, stride: int, finest: float) -> Iterator[tuple[int, int, bool]]:
    """First and last frame of each part without a gap that can be seen, and whether it was filled."""
    apart = np.diff(track.frame) - stride > max(finest, 0)
    parts: Sequence[NDArray[np.int64]] = np.split(
        np.arange(len(track)), np.nonzero(apart | (np.diff(track.predicted.astype(int)) != 0))[0] + 1
    )
    for part in parts:
        yield int(track.frame[part[0]]), int(track.frame[part[-1]]), bool(track.predicted[part[0]])
