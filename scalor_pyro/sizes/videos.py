"""Made-up movers whose sizes are known at every place, for a network that has to tell them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config.movers import BODIES, MoverConfig
from scalor_pyro.config.sizes import SIDE_OF_BOX
from scalor_pyro.data.movers import MoverVideos
from scalor_pyro.data.truth import GroundTruth
from scalor_pyro.data.worlds import SPLITS, Split, require_batch, require_stream

# px, side of the frames; and frames of a video.
FRAME, FRAMES = 96, 4
# Typical objects have from the first to the second side (px), any ratio as likely as any other; those of one video
# differ up to twice as much as those that a model for any scene is trained on; and they cover this part of the frame.
SMALLEST, LARGEST, SPREAD, COVERED = 4.0, 34.0, 0.5, (0.1, 0.45)
# Objects in a frame, at most.
MOST = 70
# In this share of the videos all bodies have parts, or shades, that pass for objects.
OF_PARTS, WITH_PARTS = 0.4, ("long", "chain")
# The box of an object tells its size if so much of the object is in view, and so much of its area is not covered.
IN_VIEW, FREE = 0.95, 0.75


@dataclass(frozen=True, eq=False)
class SizedBatch:
    """Videos, and the sizes of what one of their frames shows."""

    frames: NDArray[np.uint8]  # (B, S, 3, H, W)
    covered: NDArray[np.bool_]  # (B, H, W): there is an object
    sides: NDArray[np.float16]  # (B, H, W): its side by its box, px; NaN: no object, or one of unknown size


class SizedMovers:
    """An endless stream of such videos, a pure function of (seed, split, index).

    :param seen: which of the :data:`FRAMES` frames of a video are shown; S of them.
    :param asked: the frame whose sizes are told.
    :param seed: from 0 to 2**64 - 1; each seed has its own videos.
    :param split: 'train' or 'test'.
    :raises ValueError: for an unknown split or a seed out of range.
    """

    def __init__(self, seen: tuple[int, ...], asked: int, seed: int = 0, split: Split = "train") -> None:
        require_stream(seed, split)
        self.seen, self.asked, self.seed, self.split = seen, asked, seed, split

    def batch(self, start: int, count: int) -> SizedBatch:
        """The videos from start to start + count − 1.

        :raises ValueError: for a number out of range.
        """
        require_batch(start, count, FRAMES, FRAMES)
        videos = [self._video(index) for index in range(start, start + count)]
        frames, covered, sides = (np.stack(each) for each in zip(*videos, strict=True))
        return SizedBatch(frames, covered, sides)

    def _video(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float16]]:
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index, FRAME])
        size = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
        most = int(np.clip(rng.uniform(*COVERED) * (FRAME / size) ** 2, 2, MOST))
        bodies = WITH_PARTS if rng.random() < OF_PARTS else BODIES
        config = MoverConfig((FRAME, FRAME), size, FRAMES, most, SPREAD, bodies)
        frames, truth, masks, *_ = MoverVideos(config, self.seed, self.split).video(index)
        shown = masks[self.asked]
        return frames[list(self.seen)], shown >= 0, sides_of(shown, truth, self.asked)


def sides_of(mask: NDArray[np.int16], truth: GroundTruth, frame: int) -> NDArray[np.float16]:
    """The side of the object at each place, by the box around its mask. (H, W) px; NaN where it is not known

    :param mask: (H, W) the identity of the object in front, −1: none.
    :param truth: of the video.
    :param frame: that the mask is of.
    """
    sides = np.full(mask.shape, np.nan, np.float16)
    whole = (truth.frame == frame) & (truth.share >= IN_VIEW)
    for identity, size in zip(truth.identity[whole], truth.size[whole], strict=True):
        y, x = np.nonzero(mask == identity)
        if len(y) and len(y) >= FREE * size**2:
            sides[y, x] = SIDE_OF_BOX * np.sqrt((np.ptp(y) + 1) * (np.ptp(x) + 1))
    return sides
