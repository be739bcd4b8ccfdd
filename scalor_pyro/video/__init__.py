"""Videos: reading them, taking clips for training, and finding out what moves in them.

Data flows from a file through its source (:mod:`containers`, :mod:`images`, :mod:`pictures`, :mod:`tiff`,
:mod:`arrays`) and :mod:`developing` (levels, crop, grey, size) to :mod:`reading`, which gives the frames in order.
:mod:`background` is what a still camera sees without objects; :mod:`surveying` and :mod:`proposal` give the sizes to
train with, and :mod:`clips` is the stream to train on; :mod:`geometry` leads back to the pixels and frames of the file.
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
