"""Pieces: what linking knows of each track, or of each part of a track that was cut.

Pieces are put in an order of their own (by where and when they begin), so that neither the order of rows nor the
numbers of identities matter to what is linked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.tracks.table import Tracks

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Frames at an end of a piece from which its velocity is measured, and the least of them that give one.
RECENT, LEAST_RECENT = 6, 3
# A box is wholly in view if this many half-sides round its centre are: an object's box has a margin.
HALF_SIDES = 0.7
# An appearance is known if an object was wholly in view in so many frames; well known from this many on.
KNOWN, WELL_KNOWN = 2, 10
# Variance of the appearance of a piece that is known, and of one that is well known, in units of the variance within.
VARIANCE_KNOWN, VARIANCE_WELL_KNOWN = 2.0, 1.0


class Change(NamedTuple):
    """Differences within single pieces, which tell how much the appearance of one object varies; each (n, D)."""

    halves: Numbers  # first against second half of the frames wholly in view
    cut_off: Numbers  # frames not wholly in view against those that are


@dataclass(frozen=True, eq=False)
class Pieces:
    """P pieces of tracks.

    :param rows: of each piece, the rows of its tracks in order of time.
    :param first: (P,) frame.
    :param last: (P,) frame.
    :param begin: (P, 2) px, centre in the first frame.
    :param end: (P, 2) px, centre in the last frame.
    :param velocity_in: (P, 2) px per frame, over the first frames; 0 where there are too few.
    :param velocity_out: (P, 2) likewise, over the last ones.
    :param side: (P,) px, of a square as large as the box, mean over frames.
    :param appearance: (P, D) median over frames in which the object is wholly in view; over all, where it never is.
    :param seen: (P,) how many frames that is; 0 where the object is never wholly in view.
    """

    rows: Sequence[Counts]
    first: Counts
    last: Counts
    begin: Numbers
    end: Numbers
    velocity_in: Numbers
    velocity_out: Numbers
    side: Numbers
    appearance: Numbers
    seen: Counts
    change: Change

    def __len__(self) -> int:
        """P, the number of pieces."""
        return len(self.first)


def rows_of_identities(tracks: Tracks) -> list[Counts]:
    """The rows of each identity in order of time; by where and when they begin."""
    order = np.lexsort((tracks.frame, tracks.identity))
    groups = np.split(order, np.nonzero(np.diff(tracks.identity[order]))[0] + 1) if len(order) else []
    return in_order_of_beginning(tracks, groups)


def in_order_of_beginning(tracks: Tracks, groups: Sequence[Counts]) -> list[Counts]:
    """Groups of rows by when and where they begin, whatever they are called."""
    first = np.array([group[0] for group in groups], np.int64)
    last = np.array([group[-1] for group in groups], np.int64)
    keys = (tracks.y[last], tracks.x[last], tracks.frame[last], tracks.y[first], tracks.x[first], tracks.frame[first])
    return [groups[index] for index in np.lexsort(keys)] if len(groups) else []


def wholly_in_view(tracks: Tracks, image_size: tuple[int, int], half_sides: float = HALF_SIDES) -> Flags:
    """In which rows the object is wholly in view. (R,)

    :param image_size: H, W in px.
    :param half_sides: so many of them round its centre have to be.
    """
    inside = np.ones(len(tracks), np.bool_)
    for centre, length, most in ((tracks.x, tracks.width, image_size[1]), (tracks.y, tracks.height, image_size[0])):
        reach = half_sides * length / 2
        inside &= (centre >= reach) & (centre + reach <= most)
    return inside


def pieces_of(tracks: Tracks, appearance: Numbers, whole: Flags, groups: Sequence[Counts]) -> Pieces:
    """What is known of each group of rows.

    :param appearance: (R, D); D may be 0.
    :param whole: (R,) where an object is wholly in view.
    :param groups: of rows, each in order of time, see :func:`rows_of_identities`.
    """
    place = np.stack([tracks.x, tracks.y], axis=1)
    ends = np.array([(rows[0], rows[-1]) for rows in groups], np.int64).reshape(-1, 2)
    size = np.sqrt(tracks.width * tracks.height)
    looked = [_looked_at(appearance[rows], whole[rows]) for rows in groups]
    features = appearance.shape[1]
    return Pieces(
        rows=groups,
        first=tracks.frame[ends[:, 0]],
        last=tracks.frame[ends[:, 1]],
        begin=place[ends[:, 0]],
        end=place[ends[:, 1]],
        velocity_in=_stacked([_velocity(tracks.frame[rows], place[rows], -1) for rows in groups], 2),
        velocity_out=_stacked([_velocity(tracks.frame[rows], place[rows], 1) for rows in groups], 2),
        side=np.array([size[rows].mean() for rows in groups]),
        appearance=_stacked([each.median for each in looked], features),
        seen=np.array([each.seen for each in looked], np.int64),
        change=Change(
            _stacked([each.halves for each in looked if each.halves is not None], features),
            _stacked([each.cut_off for each in looked if each.cut_off is not None], features),
        ),
    )


class _Looked(NamedTuple):
    median: Numbers  # (D,)
    seen: int
    halves: Numbers | None  # (D,)
    cut_off: Numbers | None  # (D,)


def _looked_at(appearance: Numbers, whole: Flags) -> _Looked:
    """The appearance of one piece. (n, D), (n,)"""
    seen = int(whole.sum())
    if seen < KNOWN or not appearance.shape[1]:
        return _Looked(np.median(appearance, axis=0), 0 if seen < KNOWN else seen, None, None)
    clear, halves, cut_off = appearance[whole], None, None
    median = np.median(clear, axis=0)
    if seen >= WELL_KNOWN:
        halves = np.median(clear[: seen // 2], axis=0) - np.median(clear[seen // 2 :], axis=0)
        if len(whole) - seen >= KNOWN:
            cut_off = np.median(appearance[~whole], axis=0) - median
    return _Looked(median, seen, halves, cut_off)


def _velocity(frame: Counts, place: Numbers, which: int) -> Numbers:
    """px per frame at the beginning (-1) or the end (1) of a piece, by least squares; 0 if it is too short. (2,)"""
    near = frame < frame[0] + RECENT if which < 0 else frame > frame[-1] - RECENT
    if near.sum() < LEAST_RECENT:
        return np.zeros(2)
    time = frame[near] - frame[near].mean()
    slope: Numbers = time @ (place[near] - place[near].mean(axis=0)) / (time @ time)
    return slope


def _stacked(parts: list[Numbers], width: int) -> Numbers:
    return np.array(parts, np.float64).reshape(len(parts), width)
