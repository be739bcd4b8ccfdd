"""Synthetic videos of moving digits and sprites, with their ground truth.

Data flow: the random numbers of a video → :mod:`worlds` (which objects move where, by :mod:`motion`) →
:mod:`painting` (glyphs of :mod:`digits` or :mod:`sprites`, over a :mod:`background`) → :mod:`synthetic`, the stream.
:mod:`truth` derives from a world what a tracker should find.
"""

from scalor_pyro.data.digits import choose_source, load_digits
from scalor_pyro.data.synthetic import SyntheticVideos, VideoBatch
from scalor_pyro.data.truth import GroundTruth

__all__ = ["GroundTruth", "SyntheticVideos", "VideoBatch", "choose_source", "load_digits"]
