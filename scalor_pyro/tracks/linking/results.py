"""Results: tracks with the identities of their objects, and what happened to them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from scalor_pyro.tracks.linking.assignment import Links
from scalor_pyro.tracks.linking.hosts import Hosts
from scalor_pyro.tracks.linking.pieces import Counts, Flags, Pieces
from scalor_pyro.tracks.table import Tracks


class Linked(NamedTuple):
    """Tracks with one identity for all that is of one object.

    ============  ========================================================================================
    event         what happened in `frame`
    ============  ========================================================================================
    ``link``      `particle` goes on, after `gap` frames without it, by the track that was `other` before
    ``overlap``   the same, while the earlier track was still there for -`gap` frames; the rows of the
                  fainter one are left out
    ``cut``       the appearance of the track `other` changed for good; from here on it is `particle`
    ``split``     the track of `particle` begins in the box of `other`: they part, or one was behind the other
    ``merge``     the track of `particle` ends in the box of `other`, which goes on
    ============  ========================================================================================

    :param tracks: the rows that were kept, in the order given.
    :param identity: (R,) new identity of each row that was given, also of those that were left out.
    :param kept: (R,) which rows were kept.
    :param events: columns `event`, `frame`, `particle`, `other`, `gap` and `log_ratio` (nats; NaN where it does not
        apply), in order of frames.
    """

    tracks: Tracks
    identity: Counts
    kept: Flags
    events: pd.DataFrame


def identities_of(rows: Tracks, pieces: Pieces, links: Links) -> Counts:
    """The new identity of each row: that of the first track of its object, or, if it is taken, a new number."""
    names: dict[int, int] = {}
    taken: set[int] = set()
    new = int(rows.identity.max(initial=-1)) + 1
    identity = np.empty(len(rows), np.int64)
    for piece, of_piece in enumerate(pieces.rows):
        first = links.first_of(piece)
        if first not in names:
            name = int(rows.identity[pieces.rows[first][0]])
            if name in taken:
                name, new = new, new + 1
            taken.add(name)
            names[first] = name
        identity[of_piece] = names[first]
    return identity


def rows_kept(rows: Tracks, identity: Counts) -> Flags:
    """The rows to keep: of two in a frame that are of one object, the one with the larger presence."""
    order = np.lexsort((rows.y, rows.x, -rows.presence, identity, rows.frame))
    again = (np.diff(rows.frame[order], prepend=-1) == 0) & (np.diff(identity[order], prepend=-1) == 0)
    kept = np.ones(len(rows), np.bool_)
    kept[order[again]] = False
    return kept


_Event = tuple[str, int, int, int, float, float]


def events_of(
    rows: Tracks, pieces: Pieces, links: Links, identity: Counts, hosts: Hosts, stride: int
) -> Iterator[_Event]:
    seen: set[int] = set()  # tracks of which a piece has come by
    for piece, of_piece in enumerate(pieces.rows):
        begin, end = int(of_piece[0]), int(of_piece[-1])
        name, before = int(identity[begin]), int(rows.identity[begin])
        earlier = links.before.get(piece)
        if earlier is not None:
            gap = int(rows.frame[begin] - rows.frame[pieces.rows[earlier][-1]]) - stride
            yield "link" if gap >= 0 else "overlap", int(rows.frame[begin]), name, before, gap, links.ratio[piece]
        joined = earlier is not None and rows.identity[pieces.rows[earlier][-1]] == before
        if before in seen and not joined:
            yield "cut", int(rows.frame[begin]), name, before, np.nan, np.nan
        seen.add(before)
        for event, row, host in (("split", begin, hosts.at_begin[piece]), ("merge", end, hosts.at_end[piece])):
            other = int(identity[pieces.rows[host][0]])
            if host >= 0 and other != name:
                yield event, int(rows.frame[row]), name, other, np.nan, np.nan


def table_of(events: list[_Event]) -> pd.DataFrame:
    columns = ("event", "frame", "particle", "other", "gap", "log_ratio")
    kinds = {"frame": np.int64, "particle": np.int64, "other": np.int64, "gap": np.float64, "log_ratio": np.float64}
    table = pd.DataFrame(events, columns=columns).astype(kinds)
    return table.sort_values(["frame", "event", "particle", "other"], kind="stable", ignore_index=True)
