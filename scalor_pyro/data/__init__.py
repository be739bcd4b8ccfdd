"""Made videos with their ground truth: moving digits and sprites, and movers of any kind.

Data flow: the random numbers of a video → :mod:`worlds` (which objects move where, by :mod:`motion`) →
:mod:`painting` (glyphs of :mod:`digits` or :mod:`sprites`, over a :mod:`background`) → :mod:`synthetic`, the stream.
:mod:`truth` derives from a world what a tracker should find.

Videos for a model for any scene: :mod:`movers` puts bodies (:mod:`mover_bodies`) on paths (:mod:`mover_paths`) through
scenes before cameras (:mod:`mover_scenes`), and shows frames as differences from the scene.
"""

from scalor_pyro.data.digits import choose_source, load_digits
from scalor_pyro.data.movers import MoverBatch, MoverVideos
from scalor_pyro.data.synthetic import SyntheticVideos, VideoBatch
from scalor_pyro.data.truth import GroundTruth

__all__ = [
    "GroundTruth",
    "MoverBatch",
    "MoverVideos",
    "SyntheticVideos",
    "VideoBatch",
    "choose_source",
    "load_digits",
]
