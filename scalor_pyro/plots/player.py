"""A player: one HTML file that plays a video beside what the model makes of it, with a slider.

It is matplotlib's own HTML animation. The file holds all that it needs: it opens without a network, and can be
mailed or put on a page.
"""

import os
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.plots.pictures import check_video, draw_boxes, parts_of, show, to_image

# Inches of one panel; at 100 dots per inch.
PANEL = 3.1

# Inches above the panels, for their titles and the number of the frame, and below.
TITLES, BELOW = 0.62, 0.05

FRAMES_PER_SECOND = 4

# matplotlib's page fetches the signs of its buttons from the network; these take their place.
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
    path: str | os.PathLike[str], frames: Tensor, inference: Inference, video: int = 0, title: str = "SCALOR"
) -> None:
    """Write one HTML file with a slider: input with boxes, reconstruction, background and masks side by side.

    :param path: of the file; it appears whole or not at all.
    :param frames: (B, T, C, H, W) in [0, 1].
    :param inference: what the posterior says of them.
    :param video: which of the B videos.
    :param title: of the page.
    :raises ValueError: where frames, inference and video do not fit each other.
    """
    check_video(frames, inference, video)
    figure, draw = _animate(frames, inference, video)
    write_animation(path, figure, draw, frames.shape[1], title)


def write_animation(
    path: str | os.PathLike[str], figure: Figure, draw: Callable[[int], list[Any]], length: int, title: str
) -> None:
    """Write one HTML file that plays a figure, with a slider.

    :param path: of the file; it appears whole or not at all.
    :param draw: draws frame t into the figure.
    :param length: how many frames.
    :param title: of the page.
    """
    animation = FuncAnimation(figure, draw, frames=length, interval=1000 / FRAMES_PER_SECOND, repeat=True)
    html: str = animation.to_jshtml(fps=FRAMES_PER_SECOND, default_mode="loop")
    player = _STYLESHEET.sub("", html)
    signs = "\n".join(f'.fa-{name}::before {{ content: "{sign}"; }}' for name, sign in _SIGNS.items())
    write_atomically(Path(path), _PAGE.format(title=escape(title), signs=signs, player=player).encode())


def _animate(frames: Tensor, inference: Inference, video: int) -> tuple[Figure, Callable[[int], list[Any]]]:
    height, width = frames.shape[-2:]
    high = PANEL * height / width + TITLES + BELOW
    figure = Figure(figsize=(4.15 * PANEL, high), dpi=100, facecolor="white")
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
        figure.suptitle(f"t = {t}", fontsize=12, color="#222222", y=1 - 0.05 / high, va="top")
        return []

    return figure, draw
