"""Whether objects are held by several boxes: then the tracks of their parts touch, and stay together.

A survey sees long bodies, and those that are dark at one end and light at the other, as several objects. At the scale
of these, the model follows each part with a box of its own. Objects that merely meet have tracks that separate again,
and those of a dense layer, which stay where they are, touch many others.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from scalor_pyro.tracks.table import Tracks

# Tracks that are together for fewer frames say nothing, nor do those that share less of their frames.
LEAST_FRAMES, LEAST_COMMON = 10, 0.5
# Parts touch in at least this share of the frames in which both are seen: boxes that are larger by this factor, because
# masks leave a gap where shades meet, overlap.
TOUCHING, GAP = 0.9, 1.05
# More tracks that hang together are not parts of one object.
MOST_PARTS = 6


def share_in_parts(tracks: Tracks) -> float:
    """Of the rows of tracks that last, the share in which another part of the same object is seen.

    :param tracks: of one video, with the boxes of masks.
    :return: from 0 to 1; 0 without tracks of :data:`LEAST_FRAMES` frames.
    """
    boxes = _boxes(tracks)  # (N, T, 4)
    here = ~np.isnan(boxes[..., 0])
    length = here.sum(1)
    lasting = length >= LEAST_FRAMES
    if not lasting.any():
        return 0.0
    common = here.astype(np.int64) @ here.T.astype(np.int64)  # (N, N) frames in which both are seen
    never_apart = np.array([_touching(boxes, one) for one in range(len(boxes))]) >= TOUCHING * common
    never_apart &= common >= np.maximum(LEAST_FRAMES, LEAST_COMMON * length[:, None])
    np.fill_diagonal(never_apart, False)
    _, whole = connected_components(never_apart, directed=False)
    few = np.bincount(whole)[whole] <= MOST_PARTS
    beside = np.where(never_apart, common, 0).max(axis=1)
    return float(beside[lasting & few].sum() / length[lasting].sum())


def _touching(boxes: NDArray[np.float64], one: int) -> NDArray[np.int64]:
    """In how many frames the box of each track touches that of one of them. (N,)"""
    with np.errstate(invalid="ignore"):  # NaN where a track is not seen
        apart = np.abs(boxes[..., :2] - boxes[one, :, :2])
        reach = GAP * (boxes[..., 2:] + boxes[one, :, 2:]) / 2
        touching: NDArray[np.int64] = (apart < reach).all(-1).sum(1)
    return touching


def _boxes(tracks: Tracks) -> NDArray[np.float64]:
    """The box of each of N tracks in each of T frames; NaN where it is not seen. (N, T, 4)"""
    identities, track = np.unique(tracks.identity, return_inverse=True)
    frames, frame = np.unique(tracks.frame, return_inverse=True)
    boxes = np.full((len(identities), len(frames), 4), np.nan)
    boxes[track, frame] = tracks.box
    return boxes
