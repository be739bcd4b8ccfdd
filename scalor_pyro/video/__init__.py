"""Videos of one's own: reading them, taking clips of them, and finding out what moves in them.

The way of the data: a file → its source (:mod:`containers`, :mod:`images`, :mod:`arrays`) → :mod:`developing`
(levels, crop, grey, size) → :mod:`reading`, the frames one after the other; :mod:`clips`, the stream to train on;
:mod:`surveying` and :mod:`proposal`, the sizes to train with. :mod:`geometry` leads back to the pixels and frames of
the file.
"""

from scalor_pyro.config import Crop, ReadOptions
from scalor_pyro.video.clips import ClipBatch, Clips, grand_central
from scalor_pyro.video.geometry import Geometry
from scalor_pyro.video.proposal import Proposal, propose
from scalor_pyro.video.reading import Chunk, Frame, Video
from scalor_pyro.video.source import VideoError
from scalor_pyro.video.surveying import Survey, survey

__all__ = [
    "Chunk",
    "ClipBatch",
    "Clips",
    "Crop",
    "Frame",
    "Geometry",
    "Proposal",
    "ReadOptions",
    "Survey",
    "Video",
    "VideoError",
    "grand_central",
    "propose",
    "survey",
]
