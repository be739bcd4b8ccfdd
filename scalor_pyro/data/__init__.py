"""Synthetic videos of moving digits and sprites, with their ground truth.

The way of the data: random numbers of a video → :mod:`scenes` (what moves where, by :mod:`motion`) →
:mod:`painting` (with glyphs of :mod:`digits` or :mod:`sprites`, over a :mod:`background`) → :mod:`synthetic`,
the stream; :mod:`truth` tells of a scene what a tracker should find.
"""

from scalor_pyro.data.digits import choose_source, load_digits
from scalor_pyro.data.synthetic import SyntheticVideos, VideoBatch
from scalor_pyro.data.truth import GroundTruth

__all__ = ["GroundTruth", "SyntheticVideos", "VideoBatch", "choose_source", "load_digits"]
