"""The report of a tracked video: one HTML file to look at, which needs no network.

:mod:`findings` computes figures and doubts from the tracks, :mod:`film` encodes the video anew, :mod:`charts` draws,
:mod:`page` puts all into one file. page.html, page.css and page.js are its frame, its style, and what plays the film.
"""

from scalor_pyro.plots.report.page import About, write_report

# The name of a report after the stem of the video.
ENDING = "-report.html"

__all__ = ["ENDING", "About", "write_report"]
