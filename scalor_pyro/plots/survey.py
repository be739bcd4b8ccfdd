"""A picture of a survey: what was seen to move, and what is proposed, on some frames."""

import io
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scalor_pyro.colours import identity_colour
from scalor_pyro.config import Crop, ReadOptions
from scalor_pyro.files import write_atomically
from scalor_pyro.plots.pictures import show, to_image
from scalor_pyro.video.proposal import Proposal
from scalor_pyro.video.surveying import Survey

# Frames that are shown, evenly spaced among those that were looked at.
SHOWN = 5
# Inches of a panel; dots per inch.
PANEL, RESOLUTION = 4.0, 130
ONE, SEVERAL, PLACE = identity_colour(1), identity_colour(0), "white"


def survey_picture(survey: Survey, proposal: Proposal, given: ReadOptions | None = None) -> Figure:
    """Frames with a box of the proposed size on each object, and the background with the proposed crop and its cells.

    Where several objects touch, the box round all of them is dashed.

    :param given: options that the video was surveyed with.
    """
    height, width = survey.size
    rows, columns = 2, (SHOWN + 2) // 2
    high = PANEL * height / width
    figure = Figure(figsize=(columns * PANEL, rows * (high + 0.3)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    crop = proposal.crop
    if given is not None and given.crop is not None:
        crop = Crop(crop.x - given.crop.x, crop.y - given.crop.y, crop.width, crop.height)
    chosen = np.linspace(0, survey.frames - 1, SHOWN).round().astype(int)
    for axes, index in zip(panels, chosen, strict=False):
        frame = survey.shown[index]
        _show(axes, frame.image, survey.size)
        _draw_objects(axes, survey, int(index))
        axes.add_patch(Rectangle((crop.x, crop.y), crop.width, crop.height, fill=False, edgecolor=PLACE, linewidth=1.5))
        axes.set_title(f"frame {frame.number}", fontsize=9, pad=3)
    _show(panels[SHOWN], survey.background, survey.size)
    _draw_cells(panels[SHOWN], crop, proposal.cells)
    panels[SHOWN].set_title("background, proposed crop and cells", fontsize=9, pad=3)
    for axes in panels[SHOWN + 1 :]:
        axes.set_visible(False)
    return figure


def save_survey_picture(path: Path, survey: Survey, proposal: Proposal, given: ReadOptions | None = None) -> None:
    """Write the picture as PNG; whole or not at all."""
    png = io.BytesIO()
    survey_picture(survey, proposal, given).savefig(png, format="png", dpi=RESOLUTION)
    write_atomically(path, png.getvalue())


def _show(axes: Axes, image: np.ndarray, size: tuple[int, int]) -> None:
    """A frame, enlarged to px of the file where it was looked at reduced."""
    height, width = size
    show(axes, to_image(torch.from_numpy(image).float() / 255))
    axes.images[0].set_extent((0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0))


def _draw_objects(axes: Axes, survey: Survey, index: int) -> None:
    blobs = survey.objects[index]
    for i, copies in enumerate(survey.copies[index]):
        several = copies > 1
        wide, high = (blobs.width[i], blobs.height[i]) if several else (survey.width, survey.height)
        axes.add_patch(
            Rectangle(
                (blobs.x[i] - wide / 2, blobs.y[i] - high / 2),
                wide,
                high,
                fill=False,
                edgecolor=SEVERAL if several else ONE,
                linestyle="--" if several else "-",
                linewidth=1,
            )
        )


def _draw_cells(axes: Axes, crop: Crop, cells: tuple[int, int]) -> None:
    x, y = (
        np.linspace(crop.x, crop.x + crop.width, cells[1] + 1),
        np.linspace(crop.y, crop.y + crop.height, cells[0] + 1),
    )
    axes.vlines(x, y[0], y[-1], color=PLACE, linewidth=0.5, alpha=0.6)
    axes.hlines(y, x[0], x[-1], color=PLACE, linewidth=0.5, alpha=0.6)
    axes.add_patch(Rectangle((crop.x, crop.y), crop.width, crop.height, fill=False, edgecolor=PLACE, linewidth=1.5))
