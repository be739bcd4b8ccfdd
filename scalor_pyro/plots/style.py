"""What all figures have in common: colours, and an empty figure.

Figures are made with matplotlib's objects alone: pyplot's global state is not touched, no window opens.
"""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# What text and lines are drawn with, and what is less important.
INK = "#222222"
PALE = "#8a8a8a"


def empty_figure(width: float, height: float) -> Figure:
    """An empty white figure of a size in inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    return figure
