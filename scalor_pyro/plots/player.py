"""A player: one HTML file that plays a video beside what the model sees in it, with a slider.

It is matplotlib's own HTML animation. The file is self-contained: it opens without a network, and can be mailed or put
on a web page.
"""

import io
import logging
import os
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.plots.pictures import check_video, draw_boxes, parts_of, show, to_image

# Inches of one panel.
PANEL = 3.1

# Inches above the panels, for their titles and the number of the frame, and below.
TITLES, BELOW = 0.62, 0.05

FRAMES_PER_SECOND = 4

# Dots per inch of the pictures, unless all of them would take more than this many bytes; then fewer, down to a minimum.
DOTS, FEWEST_DOTS = 100, 40
LARGEST_FILE = 20_000_000
# The size of a player is estimated from this many of its frames.
SAMPLED = 3
# base64 writes 3 bytes as 4.
BASE64 = 4 / 3

logger = logging.getLogger(__name__)

# matplotlib's page loads the icons of its buttons from the network; these replace them.
_STYLESHEET = re.compile(r'<link rel="stylesheet"\s+href="https?://[^"]*">')
_SIGNS = {
    "minus": "−",
    "fast-backward": "⇤",
    "step-backward": "←",
    "play.fa-flip-horizontal": "◂",
    "pause": "❙❙",
    "play": "▸",
    "step-forward": "→",
    "fast-forward": "⇥",
    "plus": "+",
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ margin: 1.5rem; text-align: center; font-family: sans-serif; color: #222; background: #fff; }}
.animation img {{ max-width: 100%; }}
.anim-buttons button {{ height: 30px; font-size: 15px; cursor: pointer; }}
.fa {{ font-style: normal; }}
{signs}
</style>
</head>
<body>
{player}
</body>
</html>
"""


def write_player(
    path: str | os.PathLike[str],
    frames: Tensor,
    inference: Inference,
    video: int = 0,
    title: str = "SCALOR",
    numbers: Sequence[int] | None = None,
) -> None:
    """Write one HTML file with a slider: input with boxes, reconstruction, background and masks side by side.

    :param path: of the file; it appears whole or not at all.
    :param frames: (B, T, C, H, W) in [0, 1].
    :param inference: of these frames.
    :param video: which of the B videos.
    :param title: of the page.
    :param numbers: of the T frames in their file; default: they are counted from 0.
    :raises ValueError: if frames, inference, video and numbers do not fit each other.
    """
    check_video(frames, inference, video)
    if numbers is not None and len(numbers) != frames.shape[1]:
        raise ValueError(f"numbers: expected {frames.shape[1]}, one for each frame, got {len(numbers)}.")
    names = [f"t = {t}" for t in range(frames.shape[1])] if numbers is None else [f"frame {n}" for n in numbers]
    figure, draw = _animate(frames, inference, video, names)
    write_animation(path, figure, draw, frames.shape[1], title)


def write_animation(
    path: str | os.PathLike[str], figure: Figure, draw: Callable[[int], list[Any]], length: int, title: str
) -> None:
    """Write one HTML file that plays a figure, with a slider.

    All frames are in it. If they would take more than about 20 MB, their pictures are smaller; if even small pictures
    take more, a warning says so.

    :param path: of the file; it appears whole or not at all.
    :param draw: draws frame t into the figure.
    :param length: how many frames.
    :param title: of the page.
    """
    figure.set_dpi(_dots(figure, draw, length))
    animation = FuncAnimation(figure, draw, frames=length, interval=1000 / FRAMES_PER_SECOND, repeat=True)
    with rc_context({"animation.embed_limit": float("inf")}):  # beyond it, matplotlib would leave frames out
        html: str = animation.to_jshtml(fps=FRAMES_PER_SECOND, default_mode="loop")
    player = _STYLESHEET.sub("", html)
    signs = "\n".join(f'.fa-{name}::before {{ content: "{sign}"; }}' for name, sign in _SIGNS.items())
    page = _PAGE.format(title=escape(title), signs=signs, player=player).encode("utf-8", "backslashreplace")
    if len(page) > LARGEST_FILE:
        logger.warning("%s: its %d frames take %.0f MB; fewer frames load faster.", path, length, len(page) / 1_000_000)
    write_atomically(Path(path), page)


def _dots(figure: Figure, draw: Callable[[int], list[Any]], length: int) -> float:
    """Dots per inch with which all frames fit into a file; their sizes are about in proportion to their areas."""
    taken = 0
    sampled = sorted({length * i // SAMPLED for i in range(SAMPLED)}) if length else []
    for t in sampled:
        draw(t)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=DOTS)
        taken += png.getbuffer().nbytes
    whole = BASE64 * taken / max(1, len(sampled)) * length
    return DOTS if whole <= 0.9 * LARGEST_FILE else max(FEWEST_DOTS, DOTS * (0.9 * LARGEST_FILE / whole) ** 0.5)


def _animate(
    frames: Tensor, inference: Inference, video: int, frame_names: Sequence[str]
) -> tuple[Figure, Callable[[int], list[Any]]]:
    height, width = frames.shape[-2:]
    high = PANEL * height / width + TITLES + BELOW
    figure = Figure(figsize=(4.15 * PANEL, high), dpi=DOTS, facecolor="white")
    FigureCanvasAgg(figure)
    edges = {"left": 0.005, "right": 0.995, "bottom": BELOW / high, "top": 1 - TITLES / high}
    panels = figure.subplots(1, 4, gridspec_kw={**edges, "wspace": 0.03})
    names = ("input, objects (new ones circled)", "reconstruction", "background", "masks")

    def draw(t: int) -> list[Any]:
        images = (to_image(frames[video, t]), *parts_of(inference, video, t))
        for axes, image, name in zip(panels, images, names, strict=True):
            axes.clear()
            show(axes, image)
            axes.set_title(name, fontsize=11, color="#222222", pad=5)
        draw_boxes(panels[0], inference, video, t, PANEL)
        figure.suptitle(frame_names[t], fontsize=12, color="#222222", y=1 - 0.05 / high, va="top")
        return []

    return figure, draw
