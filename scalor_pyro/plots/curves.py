"""Curves: how trainings went, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scalor_pyro.colours import Colour, identity_colour
from scalor_pyro.plots.style import INK, empty_figure

Row = Mapping[str, Any]  # a line of metrics.jsonl

# A curve's first values may dwarf the rest: the axis of the loss covers this share of its values.
LOSS_SHOWN = 0.97

# Panels of the learning curves: title, and the keys of metrics.jsonl with their labels.
_CURVES: tuple[tuple[str, dict[str, str]], ...] = (
    ("loss", {"loss": "loss"}),
    ("objects per frame", {"objects_per_frame": "objects per frame"}),
    (
        "propagation and foreground",
        {"propagation_rate": "propagated share of objects", "foreground_share": "foreground share of pixels"},
    ),
    ("MOTA at evaluations", {"mota": "within 2 sizes", "mota_strict": "within 0.5 sizes"}),
)

# Keys that are drawn from evaluations. Other keys may be in the rows of both, and are drawn from training.
_OF_EVALUATIONS = ("mota", "mota_strict")


def learning_curves(rows: Sequence[Row]) -> Figure:
    """How training went: loss, objects per frame, propagation rate, foreground share and MOTA, if the rows have them.

    :param rows: lines of metrics.jsonl, with `step` and any of the keys of these curves.
    :raises ValueError: where no row has a step and one of these values.
    """
    chosen = [(title, keys) for title, keys in _CURVES if any(len(_curve(rows, key)[0]) for key in keys)]
    if not chosen:
        names = ", ".join(key for _, keys in _CURVES for key in keys)
        raise ValueError(f"rows: expected at least one with a step and one of {names}, got none among {len(rows)}.")
    figure = empty_figure(3.6 * len(chosen), 2.9)
    figure.set_layout_engine("constrained")
    for axes, (title, keys) in zip(np.atleast_1d(figure.subplots(1, len(chosen))), chosen, strict=True):
        for index, (key, label) in enumerate(keys.items()):
            _draw_curve(axes, *_curve(rows, key), identity_colour(index), label)
        _dress(axes, title)
        if len(keys) > 1:
            axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.05)
            axes.legend(fontsize=8, frameon=False)
    return figure


def compare_curves(trainings: Mapping[str, Sequence[Row]], keys: Mapping[str, str]) -> Figure:
    """Several trainings side by side: a panel for each key, a curve for each training.

    :param trainings: lines of metrics.jsonl by the name of the training.
    :param keys: of the rows, with a title each.
    :raises ValueError: where no training has a value of one of the keys.
    """
    figure = empty_figure(4.4 * len(keys), 3.4)
    figure.set_layout_engine("constrained")
    panels = np.atleast_1d(figure.subplots(1, len(keys)))
    for axes, (key, title) in zip(panels, keys.items(), strict=True):
        curves = {name: _curve(rows, key) for name, rows in trainings.items()}
        if not any(len(steps) for steps, _ in curves.values()):
            raise ValueError(f"trainings: expected at least one value of {key}, got none.")
        for index, (name, (steps, values)) in enumerate(curves.items()):
            _draw_curve(axes, steps, values, identity_colour(index), name)
        _dress(axes, title)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", fontsize=8, frameon=False)
    return figure


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(rows: Sequence[Row], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and finite values of one key, from training or, where it is theirs, from evaluations."""
    chosen = [row for row in rows if key in _OF_EVALUATIONS or not row.get("evaluation")]
    pairs = [(row["step"], row[key]) for row in chosen if row.get("step") is not None and row.get(key) is not None]
    steps, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def _draw_curve(
    axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], colour: Colour, label: str
) -> None:
    """A curve: evaluations as points, many noisy values as a pale line under their running mean."""
    if len(values) == 0:
        return
    window = len(values) // 20
    if window < 2:
        axes.plot(steps, values, "o-", color=colour, linewidth=1.6, markersize=3.5, label=label)
    else:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.35)
        padded = np.pad(values, (window // 2, window - 1 - window // 2), mode="edge")
        axes.plot(
            steps, np.convolve(padded, np.ones(window) / window, "valid"), color=colour, linewidth=1.8, label=label
        )
    if label == "loss" and window >= 2:
        low, high = values.min(), np.quantile(values, LOSS_SHOWN)
        if high > low:
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
