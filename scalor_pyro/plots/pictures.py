"""Pictures of inferences: what the posterior finds in a video, as matplotlib figures.

Every identity has one colour, the same in all pictures and in the player. Images are drawn in pixel coordinates (pixel
i spans [i, i + 1]) and enlarged without smoothing.
"""

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.colours import Colour, identity_colour
from scalor_pyro.data import GroundTruth
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.objects import boxes, reported
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.plots.curves import Row, learning_curves
from scalor_pyro.plots.style import INK, PALE, empty_figure

Image = NDArray[np.float64]  # (H, W, 3) in [0, 1]

# Where no object owns a pixel, a picture of masks has this grey.
MASK_GROUND = 0.13

# Longer videos are shown by this many frames, evenly spaced.
SHOWN_FRAMES = 10

# The picture of single objects shows this many: those seen in most frames.
SHOWN_OBJECTS = 16

# Inches of one panel of a strip.
PANEL = 1.15

# The ring round a new discovery is this many diagonals of its box wide.
RING = 1.15

# Width of a box's line: this part of the box's side, within bounds in points.
LINE = 0.06
LINE_BOUNDS = (1.0, 2.0)

# Luminance, in [0, 1], of the checkerboard behind single objects.
CHECKER = (0.45, 0.6)


def filmstrip(frames: Tensor, inference: Inference, video: int = 0) -> Figure:
    """One column for each frame; rows: input, boxes, reconstruction, background, masks.

    Boxes and masks have the colour of their identity, and a new discovery is circled.

    :param frames: (B, T, C, H, W) in [0, 1].
    :param inference: of these frames.
    :param video: which of the B videos.
    :raises ValueError: where frames, inference and video do not fit each other.
    """
    check_video(frames, inference, video)
    times = _spread(frames.shape[1])
    rows = ("input", "objects", "reconstruction", "background", "masks")
    figure, panels = _strip(len(rows), len(times), frames.shape[-2] / frames.shape[-1], left=1.0)
    for column, t in enumerate(times):
        seen = to_image(frames[video, t])
        images = [seen, seen, *parts_of(inference, video, t)]
        for axes, image in zip(panels[:, column], images, strict=True):
            show(axes, image)
        draw_boxes(panels[1, column], inference, video, t)
        panels[0, column].set_title(f"t = {t}", fontsize=9, color=INK, pad=3)
    for axes, name in zip(panels[:, 0], rows, strict=True):
        _label_row(axes, name, INK)
    return figure


def objects_picture(frames: Tensor, inference: Inference, video: int = 0) -> Figure:
    """Each object on its own: a row for each identity, a column for each frame, over a checkerboard.

    The objects that were seen longest are shown; a circle marks where one was discovered.

    :param frames: (B, T, C, H, W) in [0, 1].
    :param inference: of these frames.
    :param video: which of the B videos.
    :raises ValueError: where frames, inference and video do not fit each other.
    """
    check_video(frames, inference, video)
    times = _spread(frames.shape[1])
    here = reported(inference)[video].cpu().numpy()  # (T, K)
    identity = inference.identity[video].cpu().numpy()
    known, seen = np.unique(identity[here], return_counts=True)
    chosen = np.sort(known[np.argsort(-seen, kind="stable")][:SHOWN_OBJECTS])
    if len(chosen) == 0:
        return _note("no object was found in this video")
    figure, panels = _strip(len(chosen), len(times), 1.0, panel=0.75, bottom=0.22)
    for row, one in enumerate(chosen):
        colour = identity_colour(int(one))
        _label_row(panels[row, 0], f"{one}", colour)
        for column, t in enumerate(times):
            slots = np.nonzero(here[t] & (identity[t] == one))[0]
            _show_object(panels[row, column], inference, (video, t), slots, colour)
    for column, t in enumerate(times):
        panels[0, column].set_title(f"t = {t}", fontsize=9, color=INK, pad=3)
    note = f"{len(chosen)} of {len(known)} objects, by identity; a white dot where one was discovered"
    figure.text(0.5, 0.04 / figure.get_figheight(), note, ha="center", va="bottom", fontsize=8, color=PALE)
    return figure


def trajectories(frames: Tensor, inference: Inference, video: int = 0, truth: GroundTruth | None = None) -> Figure:
    """The paths of all objects over the mean of the frames; a ring where each was first seen, a dot where last.

    :param frames: (B, T, C, H, W) in [0, 1].
    :param inference: of these frames.
    :param video: which of the B videos.
    :param truth: the true paths of this video, drawn dashed.
    :raises ValueError: where frames, inference and video do not fit each other.
    """
    check_video(frames, inference, video)
    height, width = frames.shape[-2:]
    wide, top, edge = 5.6, 0.3, 0.06  # inches
    high = wide * height / width
    figure = empty_figure(wide + 2 * edge, high + top + edge)
    axes = figure.add_axes(
        (edge / (wide + 2 * edge), edge / (high + top + edge), wide / (wide + 2 * edge), high / (high + top + edge))
    )
    show(axes, 0.6 * to_image(frames[video].mean(0)))
    if truth is not None:
        _draw_truth(axes, truth, width, height)
    here = reported(inference)[video].cpu().numpy()  # (T, K)
    identity = inference.identity[video].cpu().numpy()
    box = boxes(inference.where[video], (height, width))  # (T, K, 4)
    for one in np.unique(identity[here]):
        times, slots = np.nonzero(here & (identity == one))
        x, y = _broken(times, box[times, slots, 0]), _broken(times, box[times, slots, 1])
        colour = identity_colour(int(one))
        axes.plot(x, y, color=colour, linewidth=1.8, solid_capstyle="round", zorder=3)
        axes.plot(x[0], y[0], "o", color=colour, markerfacecolor="none", markersize=8, markeredgewidth=1.5, zorder=4)
        axes.plot(x[-1], y[-1], "o", color=colour, markersize=4.5, zorder=4)
    figure.legend(
        handles=_path_legend(truth is not None),
        loc="upper center",
        ncols=4,
        fontsize=8,
        frameon=False,
        borderaxespad=0.3,
    )
    return figure


def save_pictures(
    folder: str | os.PathLike[str],
    frames: Tensor,
    inference: Inference,
    video: int = 0,
    truth: GroundTruth | None = None,
    rows: Sequence[Row] = (),
) -> list[Path]:
    """Save `filmstrip.png`, `objects.png`, `trajectories.png`, and `learning_curves.png` where there are rows.

    :param folder: is made where it does not exist.
    :param frames: (B, T, C, H, W) in [0, 1].
    :param inference: of these frames.
    :param video: which of the B videos.
    :param truth: the true paths of this video.
    :param rows: lines of metrics.jsonl.
    :return: the files written.
    :raises ValueError: where frames, inference and video do not fit each other.
    """
    pictures = {
        "filmstrip": filmstrip(frames, inference, video),
        "objects": objects_picture(frames, inference, video),
        "trajectories": trajectories(frames, inference, video, truth),
    }
    if rows:
        pictures["learning_curves"] = learning_curves(rows)
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in pictures.items():
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=130)
        paths.append(Path(folder) / f"{name}.png")
        write_atomically(paths[-1], png.getvalue())
    return paths


def check_video(frames: Tensor, inference: Inference, video: int) -> None:
    """Refuse frames, an inference and a video number that do not fit each other.

    :raises ValueError: saying which.
    """
    if frames.shape != inference.reconstruction.shape:
        raise ValueError(
            f"frames: expected the shape of the reconstruction, {tuple(inference.reconstruction.shape)}, got"
            f" {tuple(frames.shape)}."
        )
    if not 0 <= video < len(frames):
        raise ValueError(f"video: expected a number from 0 to {len(frames) - 1}, got {video}.")


def to_image(frame: Tensor) -> Image:
    """A frame (C, H, W) as an image (H, W, 3), cut to [0, 1]; a grey frame gives a grey image."""
    image = frame.detach().cpu().double().clamp(0, 1).movedim(0, -1).numpy()
    return np.broadcast_to(image, (*image.shape[:2], 3))


def parts_of(inference: Inference, video: int, t: int) -> tuple[Image, Image, Image]:
    """The parts of one frame: reconstruction, background, masks in the colours of their identities."""
    segments = inference.segments[video, t].cpu().numpy()
    owners, index = np.unique(segments, return_inverse=True)
    colours = [identity_colour(int(owner)) if owner >= 0 else (MASK_GROUND,) * 3 for owner in owners]
    masks = np.array(colours)[index.reshape(segments.shape)]
    return to_image(inference.reconstruction[video, t]), to_image(inference.background[video, t]), masks


def show(axes: Axes, image: Image) -> None:
    """Draw an image in pixel coordinates, without smoothing and without ticks."""
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="nearest", vmin=0, vmax=1)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_boxes(axes: Axes, inference: Inference, video: int, t: int, panel: float = PANEL) -> None:
    """Draw the boxes of the objects in one frame, in the colours of their identities; new discoveries are circled.

    :param panel: inches, width of the panel.
    """
    height, width = inference.reconstruction.shape[-2:]
    box = boxes(inference.where[video, t], (height, width))  # (K, 4)
    for slot in np.nonzero(reported(inference)[video, t].cpu().numpy())[0]:
        x, y, wide, high = box[slot]
        colour = identity_colour(int(inference.identity[video, t, slot]))
        linewidth = float(np.clip(LINE * min(wide, high) / width * panel * 72, *LINE_BOUNDS))
        shade = [withStroke(linewidth=1.6 * linewidth, foreground="black", alpha=0.5)]
        style: dict[str, Any] = {"fill": False, "edgecolor": colour, "linewidth": linewidth, "path_effects": shade}
        axes.add_patch(Rectangle((x - wide / 2, y - high / 2), wide, high, **style))
        if bool(inference.new[video, t, slot]):
            ring = RING * math.hypot(wide, high)
            axes.add_patch(Ellipse((x, y), ring, ring, **style))


def _spread(length: int) -> list[int]:
    """The frames to show: all, or as many as there is room for, evenly spaced with the first and the last."""
    count = min(length, SHOWN_FRAMES)
    return [int(t) for t in np.linspace(0, length - 1, count).round()]


def _strip(
    rows: int, columns: int, aspect: float, panel: float = PANEL, left: float = 0.35, bottom: float = 0.05
) -> tuple[Figure, NDArray[Any]]:
    """A figure with a grid of panels that have the aspect (height / width) of the video; lengths in inches."""
    gap, top = 0.05, 0.3
    width = left + columns * (panel + gap)
    height = top + rows * (panel * aspect + gap) + bottom
    figure = empty_figure(width, height)
    panels = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": left / width,
            "right": 1 - gap / width,
            "top": 1 - top / height,
            "bottom": bottom / height,
            "wspace": gap / panel,
            "hspace": gap / (panel * aspect),
        },
    )
    return figure, panels


def _label_row(axes: Axes, text: str, colour: str | Colour) -> None:
    axes.set_ylabel(text, fontsize=9, color=colour, labelpad=5, rotation=0, ha="right", va="center")


def _note(text: str) -> Figure:
    """A picture with a sentence in place of objects."""
    figure = empty_figure(4.5, 1.2)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=PALE)
    return figure


def _show_object(
    axes: Axes, inference: Inference, place: tuple[int, int], slots: NDArray[np.int64], colour: Colour
) -> None:
    """Draw the glimpse of an object in one frame over a checkerboard, or an empty panel where it is not there."""
    if len(slots) == 0:
        show(axes, np.ones((2, 2, 3)))
        return
    glimpse = inference.appearance[(*place, int(slots[0]))]  # (C + 1, S, S)
    alpha = to_image(glimpse[-1:])
    show(axes, np.clip(to_image(glimpse[:-1]) + (1 - alpha) * _checker(glimpse.shape[-1]), 0, 1))
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=1.5)
    if bool(inference.new[(*place, int(slots[0]))]):
        axes.plot(0.1, 0.9, "o", color=colour, markersize=5, markerfacecolor="white", transform=axes.transAxes)


def _checker(side: int) -> Image:
    """A checkerboard of 4 × 4 fields."""
    field = np.arange(side) * 4 // side
    grey = np.where((field[:, None] + field[None, :]) % 2, *CHECKER)
    return np.broadcast_to(grey[..., None], (side, side, 3))


def _broken(times: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of a path, with NaN put in wherever frames are missing, so that a line breaks there."""
    return np.insert(values, np.nonzero(np.diff(times) > 1)[0] + 1, np.nan)


def _draw_truth(axes: Axes, truth: GroundTruth, width: int, height: int) -> None:
    inside = (truth.x >= 0) & (truth.x <= width) & (truth.y >= 0) & (truth.y <= height)
    for one in np.unique(truth.identity[inside]):
        rows = np.nonzero(inside & (truth.identity == one))[0]
        rows = rows[np.argsort(truth.frame[rows])]
        times = truth.frame[rows]
        x, y = _broken(times, truth.x[rows]), _broken(times, truth.y[rows])
        axes.plot(x, y, "--", color="white", linewidth=1.2, zorder=5, dashes=(2.5, 2.5))


def _path_legend(with_truth: bool) -> list[Line2D]:
    ring: dict[str, Any] = {"marker": "o", "linestyle": "", "markerfacecolor": "none", "markersize": 8}
    handles = [
        Line2D([], [], color=PALE, linewidth=1.8, label="path"),
        Line2D([], [], color=PALE, label="first seen", **ring),
        Line2D([], [], color=PALE, marker="o", linestyle="", markersize=4.5, label="last seen"),
    ]
    if with_truth:
        handles.append(Line2D([], [], color=PALE, linestyle="--", linewidth=1.2, label="truth (white)"))
    return handles
