"""Assignment: the most likely links of ends of tracks with beginnings, given the log-ratio of each pair."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from scalor_pyro.tracks.linking.pieces import Counts, Numbers


class Links(NamedTuple):
    """What was decided."""

    after: dict[int, int]  # by piece, the one that goes on from it
    before: dict[int, int]  # the inverse
    ratio: dict[int, float]  # by piece that goes on, log-ratio with the prior, in nats

    def first_of(self, piece: int) -> int:
        """The first piece of the object that a piece is of."""
        while piece in self.before:
            piece = self.before[piece]
        return piece


NO_LINKS = Links({}, {}, {})


def assigned(ends: Counts, begins: Counts, ratio: Numbers, count: int) -> Links:
    """The links with the largest sum of log-ratios: each end has at most one beginning, and the reverse.

    :param ends: (E,) of each pair.
    :param begins: (E,) likewise.
    :param ratio: (E,) log-ratio; pairs with 0 or less are not linked.
    :param count: P, how many there are.
    """
    good = ratio > 0
    ends, begins, ratio = ends[good], begins[good], ratio[good]
    involved, row = np.unique(ends, return_inverse=True)
    if not len(involved):
        return NO_LINKS
    # Each end may also stay alone, at no gain. Gains count from 1, because a sparse matrix has no zeros.
    alone = count + np.arange(len(involved))
    gains = np.concatenate([1 + ratio, np.ones(len(involved))])
    rows, columns = np.concatenate([row, np.arange(len(involved))]), np.concatenate([begins, alone])
    matrix = coo_array((gains, (rows, columns)), shape=(len(involved), count + len(involved))).tocsr()
    chosen, partner = min_weight_full_bipartite_matching(matrix, maximize=True)
    after = {int(involved[r]): int(c) for r, c in zip(chosen, partner, strict=True) if c < count}
    values = {(int(e), int(b)): float(v) for e, b, v in zip(ends, begins, ratio, strict=True)}
    return Links(after, {b: e for e, b in after.items()}, {b: values[e, b] for e, b in after.items()})
