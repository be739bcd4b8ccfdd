"""Hosts: the other pieces in whose boxes pieces begin and end, as those of objects that hide each other do."""

from typing import NamedTuple

import numpy as np

from scalor_pyro.tracks.linking.pieces import Counts, Flags, Numbers, Pieces
from scalor_pyro.tracks.table import Tracks


class Hosts(NamedTuple):
    """The other pieces in whose boxes pieces begin and end."""

    at_begin: Counts  # (P,) piece, or -1
    at_end: Counts  # (P,)
    from_begin: Numbers  # (P, 2) px, from the centre of that piece to the beginning
    from_end: Numbers  # (P, 2)


def hosts_of(tracks: Tracks, pieces: Pieces) -> Hosts:
    """In whose boxes pieces begin and end."""
    piece_of = np.empty(len(tracks), np.int64)
    for index, rows in enumerate(pieces.rows):
        piece_of[rows] = index
    order = np.argsort(tracks.frame, kind="stable")
    frames = tracks.frame[order]

    def host(row: int, goes_beyond: Flags) -> int:
        here = order[np.searchsorted(frames, frame := tracks.frame[row]) : np.searchsorted(frames, frame, "right")]
        here = here[goes_beyond[piece_of[here]]]
        apart = np.stack([tracks.x[here] - tracks.x[row], tracks.y[here] - tracks.y[row]], 1)
        inside = (2 * abs(apart) <= np.stack([tracks.width[here], tracks.height[here]], 1)).all(axis=1)
        return int(here[inside][np.argmin((apart[inside] ** 2).sum(axis=1))]) if inside.any() else -1

    begin = [host(rows[0], pieces.first < first) for rows, first in zip(pieces.rows, pieces.first, strict=True)]
    end = [host(rows[-1], pieces.last > last) for rows, last in zip(pieces.rows, pieces.last, strict=True)]
    centre = np.stack([tracks.x, tracks.y], axis=1)
    of_rows = np.append(piece_of, -1)
    return Hosts(of_rows[begin], of_rows[end], pieces.begin - centre[begin], pieces.end - centre[end])
