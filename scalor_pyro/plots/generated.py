"""Pictures of generated videos: a film strip and a player that mark which frames were observed."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from scalor_pyro.colours import identity_colour
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.generation import Generated
from scalor_pyro.inference.objects import REPORTED_PRESENCE, boxes
from scalor_pyro.plots.pictures import PANEL, SHOWN_FRAMES, show, to_image
from scalor_pyro.plots.player import write_animation

# Inches beside the panels of a strip: for the names of its rows, above them, and between two panels.
LEFT, TOP, GAP = 0.95, 0.5, 0.05
# Inches between what was seen and what was not.
BORDER = 0.25
# Inches of a panel of the player, above it and below.
PLAYED, TITLES, BELOW = 2.1, 0.62, 0.05

_INK, _SEEN, _UNSEEN = "#222222", "#8a8a8a", "#c23b22"


class Row(NamedTuple):
    """One video to show."""

    name: str
    frames: Tensor  # (T, C, H, W)
    objects: Generated | None = None  # whose boxes are drawn
    video: int = 0  # which of their videos


def generation_strip(rows: Sequence[Row], observed: int) -> Figure:
    """One column for each frame, one row for each video; a gap and a line part what was seen from what was not.

    :param rows: videos of one length.
    :param observed: how many of their frames were seen; 0 for a video from nothing.
    :raises ValueError: for no rows, or rows of different lengths.
    """
    length, (height, width) = _extent(rows)
    times = [int(t) for t in np.linspace(0, length - 1, min(length, SHOWN_FRAMES)).round()]
    seen = sum(t < observed for t in times)
    parted = BORDER if 0 < seen < len(times) else 0.0
    high = PANEL * height / width
    wide_all = LEFT + len(times) * (PANEL + GAP) + parted
    high_all = TOP + len(rows) * (high + GAP)
    figure = _figure(wide_all, high_all)
    lefts = [LEFT + column * (PANEL + GAP) + (parted if column >= seen else 0.0) for column in range(len(times))]
    for index, row in enumerate(rows):
        bottom = high_all - TOP - (index + 1) * (high + GAP) + GAP
        for column, t in enumerate(times):
            axes = figure.add_axes((lefts[column] / wide_all, bottom / high_all, PANEL / wide_all, high / high_all))
            _show(axes, row, t)
            if index == 0:
                axes.set_title(f"t = {t}", fontsize=9, color=_INK, pad=3)
            if column == 0:
                axes.set_ylabel(row.name, fontsize=9, color=_INK, labelpad=5, rotation=0, ha="right", va="center")
    for first, end, name, colour in ((0, seen, "seen", _SEEN), (seen, len(times), _unseen(observed), _UNSEEN)):
        if first < end:
            middle = (lefts[first] + lefts[end - 1] + PANEL) / 2
            figure.text(middle / wide_all, 1 - 0.06 / high_all, name, fontsize=10, color=colour, ha="center", va="top")
    if parted:
        x = (lefts[seen] - (parted + GAP) / 2) / wide_all
        figure.add_artist(Line2D([x, x], [0.01, 0.99], color=_UNSEEN, linewidth=2))
    return figure


def save_strip(path: Path, rows: Sequence[Row], observed: int) -> None:
    """Write :func:`generation_strip` as a PNG, whole or not at all."""
    png = io.BytesIO()
    generation_strip(rows, observed).savefig(png, format="png", dpi=130)
    write_atomically(path, png.getvalue())


def write_generation_player(
    path: str | os.PathLike[str], rows: Sequence[Row], observed: int, title: str = "SCALOR"
) -> None:
    """Write one HTML file that plays videos side by side and says which frames were seen.

    :param path: of the file; it appears whole or not at all.
    :param rows: videos of one length.
    :param observed: how many of their frames were seen.
    :param title: of the page.
    :raises ValueError: for no rows, or rows of different lengths.
    """
    length, (height, width) = _extent(rows)
    high = PLAYED * height / width + TITLES + BELOW
    figure = _figure(len(rows) * PLAYED, high)
    edges = {"left": 0.005, "right": 0.995, "bottom": BELOW / high, "top": 1 - TITLES / high}
    panels = figure.subplots(1, len(rows), squeeze=False, gridspec_kw={**edges, "wspace": 0.03})[0]

    def draw(t: int) -> list[Any]:
        for axes, row in zip(panels, rows, strict=True):
            axes.clear()
            _show(axes, row, t, PLAYED)
            axes.set_title(row.name, fontsize=10, color=_INK, pad=5)
        name, colour = ("seen", _SEEN) if t < observed else (_unseen(observed), _UNSEEN)
        figure.suptitle(f"t = {t}, {name}", fontsize=12, color=colour, y=1 - 0.05 / high, va="top")
        return []

    write_animation(path, figure, draw, length, title)


def _extent(rows: Sequence[Row]) -> tuple[int, tuple[int, int]]:
    """T, and H and W."""
    shapes = {tuple(row.frames.shape) for row in rows}
    if len(shapes) != 1:
        raise ValueError(f"rows: expected at least one, all of one shape, got the shapes {sorted(shapes)}.")
    length, _, height, width = next(iter(shapes))
    return length, (height, width)


def _unseen(observed: int) -> str:
    return "predicted" if observed else "imagined"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _show(axes: Axes, row: Row, t: int, panel: float = PANEL) -> None:
    """A frame, and the boxes of its objects in the colours of their identities."""
    show(axes, to_image(row.frames[t]))
    if row.objects is None:
        return
    here = (row.video, t)
    present = (row.objects.presence[here] > REPORTED_PRESENCE).nonzero()[:, 0].tolist()
    places = boxes(row.objects.where[here], (row.frames.shape[-2], row.frames.shape[-1]))
    for slot in present:
        x, y, wide, high = places[slot]
        axes.add_patch(
            Rectangle(
                (x - wide / 2, y - high / 2),
                wide,
                high,
                fill=False,
                edgecolor=identity_colour(int(row.objects.identity[(*here, slot)])),
                linewidth=panel,
                path_effects=[withStroke(linewidth=1.6 * panel, foreground="black", alpha=0.5)],
            )
        )
