"""Glimpses of made-up movers, for a network that has to tell which are of one object."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from scalor_pyro.config.movers import MoverConfig
from scalor_pyro.data.movers import MoverVideos, Recorded
from scalor_pyro.data.worlds import SPLITS, Split, require_batch, require_stream
from scalor_pyro.embedding.glimpses import CHANNELS, SIDE, glimpses_of, layers

# K objects of a video, and J glimpses of each of them.
OBJECTS, GLIMPSES = 12, 8
# Frames of a video, and of how many of them there are glimpses.
FRAMES, SEEN = 72, 16
# Kinds of videos, each as likely as any other: side of a typical object and of the frame, px.
SCALES = ((11.0, 80), (14.0, 96), (20.0, 128))
# Objects in view, from the first to below the second number; and spreads of their sizes.
MOST, SPREADS = (6, 22), (0.15, 0.3, 0.45)
# An object is cut out where it has more than so many px, and more than this share of them is not covered by others.
LEAST_AREA, FREE = 12, 0.4
# Boxes are not known exactly: standard deviations of their centres, in sides, and of the logarithms of their sides.
OFF, WIDER = 0.07, 0.1


class _Row(NamedTuple):
    frame: int
    identity: int


class MoverGlimpses:
    """An endless stream of glimpses of the objects of made-up videos, a pure function of (seed, split, index).

    :param seed: from 0 to 2**64 - 1; each seed has its own videos.
    :param split: 'train' or 'test'.
    :raises ValueError: for an unknown split or a seed out of range.
    """

    def __init__(self, seed: int = 0, split: Split = "train") -> None:
        require_stream(seed, split)
        self.seed, self.split = seed, split

    def batch(self, start: int, count: int) -> NDArray[np.uint8]:
        """J glimpses of each of K objects, in order of time, for the videos from start to start + count − 1.

        (B, K · J, 7, 24, 24), 1 to 255 for -1 to 1; all 0 where there is none.

        :raises ValueError: for a number out of range.
        """
        require_batch(start, count, FRAMES, FRAMES)
        return np.stack([self._video(index) for index in range(start, start + count)])

    def _video(self, index: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index, SIDE])
        size, side = SCALES[rng.integers(len(SCALES))]
        config = MoverConfig((side, side), size, FRAMES, int(rng.integers(*MOST)), float(rng.choice(SPREADS)))
        video = MoverVideos(config, self.seed, self.split).recorded(index)
        times = np.sort(rng.choice(FRAMES, SEEN, replace=False))
        chosen = _chosen(rng, _visible(video, times))
        found = np.zeros((OBJECTS, GLIMPSES, CHANNELS, SIDE, SIDE), np.uint8)
        for t in times:
            rows = [(k, j, row.identity) for k, of in enumerate(chosen) for j, row in enumerate(of) if row.frame == t]
            if rows:
                objects, places, identities = (list(each) for each in zip(*rows, strict=True))
                found[objects, places] = _cut_out(rng, video, int(t), np.array(identities))
        return found.reshape(-1, *found.shape[2:])


def _visible(video: Recorded, times: NDArray[np.int64]) -> list[list[_Row]]:
    """For each object, the frames in which enough of it is seen."""
    areas, masks = video.shown.areas, video.shown.masks
    rows: list[list[_Row]] = [[] for _ in areas]
    for t in times:
        seen = np.bincount(masks[t][masks[t] >= 0], minlength=len(areas))
        for identity in np.nonzero((areas[:, t] > LEAST_AREA) & (seen > FREE * areas[:, t]))[0]:
            rows[identity].append(_Row(int(t), int(identity)))
    return rows


def _chosen(rng: np.random.Generator, rows: list[list[_Row]]) -> list[list[_Row]]:
    """Up to J rows, in order of time, of up to K objects of which there are at least two."""
    several = [of for of in rows if len(of) > 1]
    order = rng.permutation(len(several))[:OBJECTS]
    return [[several[k][j] for j in np.sort(rng.permutation(len(several[k]))[:GLIMPSES])] for k in order]


def _cut_out(rng: np.random.Generator, video: Recorded, t: int, identity: NDArray[np.int64]) -> NDArray[np.uint8]:
    left, top, right, bottom = video.shown.boxes[identity, t].T.astype(np.float64)
    sides = np.stack((right - left, bottom - top), 1)
    centres = np.stack((left + right, top + bottom), 1) / 2 + OFF * sides * rng.normal(size=sides.shape)
    sides *= np.exp(WIDER * rng.normal(size=sides.shape))
    frame, scene = (torch.from_numpy(each).float() for each in (video.frames[t : t + 1], video.scene))
    owner = torch.from_numpy(video.shown.masks[t].astype(np.int64))
    box = torch.from_numpy(np.concatenate((centres, sides), 1)).float()
    seen = glimpses_of(layers(frame, scene, video.gain)[0], owner, torch.from_numpy(identity), box)
    shown: NDArray[np.uint8] = (seen * 127 + 128).round().clamp(1, 255).to(torch.uint8).numpy()
    return shown
