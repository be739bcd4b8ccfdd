"""Ground truth: what a tracker should find in a video."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.data.painting import split_position
from scalor_pyro.data.worlds import Worlds


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The objects of one video: a row for each object and frame, sorted by frame, then identity.

    Objects outside the view also have rows, with a share of 0.
    """

    frame: NDArray[np.int64]  # (R,), from 0
    identity: NDArray[np.int64]  # (R,)
    x: NDArray[np.float64]  # (R,), px, centre of the object's box
    y: NDArray[np.float64]  # (R,), px
    size: NDArray[np.float64]  # (R,), px, side of the object's box
    share: NDArray[np.float64]  # (R,), share of the object's ink inside the view; occlusion by others does not count


def ground_truth(
    worlds: Worlds, bank: NDArray[np.uint8], object_size: float, image_size: tuple[int, int]
) -> list[GroundTruth]:
    """The ground truth of each video of a batch.

    :param bank: glyphs (G, S, S).
    :param object_size: px.
    :param image_size: H, W in px.
    """
    return [_of_video(worlds, video, bank, object_size, image_size) for video in range(len(worlds.identity))]


def _of_video(
    worlds: Worlds, video: int, bank: NDArray[np.uint8], object_size: float, image_size: tuple[int, int]
) -> GroundTruth:
    order = np.argsort(worlds.identity[video])
    centre = worlds.centre[video, order]  # (N, T, 2)
    glyph = bank[worlds.glyph[video, order]].astype(np.float64)
    in_x, in_y = (_weights_inside(centre[..., axis], bank.shape[-1], image_size[1 - axis]) for axis in (0, 1))
    total = np.maximum(glyph.sum((1, 2)), 1)[:, None]  # objects far below a pixel may have no ink at all
    share = np.einsum("ntj,nji,nti->nt", in_y, glyph, in_x, optimize=True) / total
    frame, row = np.nonzero(worlds.alive[video, order].T)
    return GroundTruth(
        frame=frame,
        identity=worlds.identity[video, order][row],
        x=centre[row, frame, 0],
        y=centre[row, frame, 1],
        size=np.full(len(row), object_size),
        share=np.clip(share[row, frame], 0, 1),
    )


def _weights_inside(centre: NDArray[np.float64], side: int, view: int) -> NDArray[np.float64]:
    """The part of each column (or row) of a glyph that is painted inside the view: (N, T) -> (N, T, S)."""
    whole, part = split_position(centre, side, view)
    # A shifted column is painted on two neighbouring ones.
    columns = whole[..., None] + np.arange(side + 1)
    inside = (columns >= 0) & (columns < view)
    return (1 - part[..., None]) * inside[..., :-1] + part[..., None] * inside[..., 1:]
