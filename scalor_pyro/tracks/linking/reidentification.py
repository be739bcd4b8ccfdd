"""Re-identification: which pieces look like one object over the whole video, however far apart they are in time.

Links are decided between neighbours in time. One wrong link then spoils the identity of all that follows, and an object
that is away for longer than the longest gap is a new one. But what is well seen of an object mostly looks like the rest
of it, so all pieces of a video can be sorted by appearance first:

1. *Clusters*. Of all pieces that are well seen, the two groups that are most likely of one object are joined, again and
   again (agglomerative clustering by the log-ratio of the two-covariance model, as in speaker diarization), but never
   two that are in view together, and only while appearance outweighs the odds that objects return at all.
2. *Labels*. Along each chain of links, every piece has a log-ratio for each cluster. A change of cluster costs what the
   link was worth, up to :data:`CHANGE`. The best sequence of clusters is found by dynamic programming (Viterbi).
3. *One at a time*. Of two stretches with one label that are in view together, the less likely one loses it.

Pieces with one label are of one object. All others keep their links.

All this holds only if looks stay. Where they drift, over minutes, two objects look alike at different times, and what
is linked from moment to moment is right. The clusters tell: in a video without drift, pieces of a cluster that follow
each other differ as much as those that are far apart in time. Where they differ by less than half as much
(:data:`STEADY`), or there are too few to tell, links stay as they are.
"""

from typing import NamedTuple

import numpy as np

from scalor_pyro.tracks.linking.appearance import Pool, TwoCovariances, pool_of, unlimited_log_ratio
from scalor_pyro.tracks.linking.assignment import Links
from scalor_pyro.tracks.linking.pieces import WELL_KNOWN, Counts, Flags, Numbers, Pieces

# The most pieces that are clustered, those seen best: time and memory grow with their square.
MOST_CLUSTERED = 2000
# Groups are joined if appearance says so by this many nats more than how seldom objects return.
JOINS = 4.0
# A cluster that is seen wholly in fewer frames, or of fewer pieces, says nothing about others.
LEAST_SEEN, LEAST_PIECES = 60, 2
# What one piece says counts this many times as much as in a link, because it is compared with all of a cluster, whose
# mean is known well.
WEIGHT = 2.0
# The most that a change of cluster along a link costs, in nats: a link can be wrong, however likely it seemed.
CHANGE = 5.0
# Looks are steady if neighbours in time differ by at least this share of what others do, seen in so many pairs.
STEADY, LEAST_PAIRS = 0.5, 8
NO_LABEL = -1


def reidentified(
    pieces: Pieces, model: TwoCovariances, believed: float, links: Links, returns: float, overlap: int
) -> Links:
    """Links by which all pieces are joined that are known again.

    :param model: of the appearances.
    :param believed: how far log-ratios of appearance can be believed.
    :param links: between neighbours in time.
    :param returns: the probability that an object that left comes back, between 0 and 1.
    :param overlap: frames that two tracks of one object may share.
    """
    pool = pool_of(pieces, model)
    least = JOINS - np.log(returns / (1 - returns))
    clusters = _clusters(pieces, pool, model.between, least / believed, overlap)
    if not _steady(pieces, pool, clusters):
        return links
    score = np.zeros((len(pieces), len(clusters)))
    known = pieces.seen >= WELL_KNOWN
    score[known] = WEIGHT * believed * _log_ratios(pool, clusters, model.between)[known]
    label = np.full(len(pieces), NO_LABEL)
    for chain in _chains(links, len(pieces)):
        label[chain] = _best_labels(score[chain], np.array([links.ratio[piece] for piece in chain[1:]]))
    stretches = _one_at_a_time(pieces, _stretches(links, label, score), overlap)
    return _joined(pieces, links, stretches)


class _Stretch(NamedTuple):
    """Pieces of a chain that follow each other and have one label."""

    label: int
    pieces: list[int]
    score: float  # nats for that label


def _clusters(pieces: Pieces, pool: Pool, between: Numbers, least: float, overlap: int) -> list[Counts]:
    """Pieces that look alike, each cluster a set of them.

    :param least: nats by which two groups are more likely of one object, for them to be joined.
    """
    best_seen = np.argsort(-pieces.seen, kind="stable")[:MOST_CLUSTERED]
    nodes = best_seen[pieces.seen[best_seen] >= WELL_KNOWN]
    groups = _Groups(pool.of(nodes), _in_view(pieces, nodes, overlap), between)
    members = groups.joined(least)
    clusters = [nodes[each] for each in members]
    return [c for c in clusters if len(c) >= LEAST_PIECES and pieces.seen[c].sum() >= LEAST_SEEN]


def _steady(pieces: Pieces, pool: Pool, clusters: list[Counts]) -> bool:
    """Whether looks of one object do not depend on when it is seen."""
    near, far = [], []
    for members in clusters:
        in_time = members[np.argsort(pieces.first[members], kind="stable")]
        looks = pool.weighted[in_time] / pool.precision[in_time]
        half = len(looks) // 2
        near.append(((looks[1:] - looks[:-1]) ** 2).sum(axis=1))
        far.append(((looks[half : 2 * half] - looks[:half]) ** 2).sum(axis=1))
    if sum(map(len, far)) < LEAST_PAIRS:
        return False
    return bool(np.median(np.concatenate(near)) >= STEADY * np.median(np.concatenate(far)))


def _in_view(pieces: Pieces, nodes: Counts, overlap: int) -> Flags:
    """In which parts of the video, of `overlap` frames each, a piece is there throughout. (n, parts)"""
    start = int(pieces.first.min())
    parts = start + np.arange((int(pieces.last.max()) - start) // overlap + 1) * overlap
    first, last = pieces.first[nodes, None], pieces.last[nodes, None]
    there: Flags = (first <= parts) & (last >= parts + overlap - 1)
    return there


class _Groups:
    """Groups of pieces, each of them one piece at first.

    :param pool: what was seen of each, changed in place.
    :param in_view: (n, parts) in which parts of the video each is there, changed in place.
    :param between: (d,) variance between objects.
    """

    def __init__(self, pool: Pool, in_view: Flags, between: Numbers) -> None:
        self.pool, self.in_view, self.between = pool, in_view, between
        count = len(in_view)
        self.alive = np.ones(count, np.bool_)
        self.ratio = np.full((count, count), -np.inf, np.float32)
        for one in range(count):
            self.ratio[one, one + 1 :] = self._with(one, np.arange(one + 1, count))
        self.ratio = np.maximum(self.ratio, self.ratio.T)

    def joined(self, least: float) -> list[Counts]:
        """Join the two most likely groups while they are likelier than that; the members of each that is left."""
        members = [[each] for each in range(len(self.alive))]
        partner = self.ratio.argmax(axis=1) if members else np.zeros(0, np.int64)
        best = self.ratio[np.arange(len(members)), partner]
        while len(members) and best.max() > least:
            one = int(best.argmax())
            other = int(partner[one])
            members[one] += members[other]
            self._join(one, other)
            # Only groups whose best partner was one of the two look for a new one; for others, the new group is tried.
            again = np.nonzero((partner == one) | (partner == other))[0]
            again = np.union1d(again, [one, other])
            partner[again] = self.ratio[again].argmax(axis=1)
            best[again] = self.ratio[again, partner[again]]
            better = self.ratio[:, one] > best
            partner[better], best[better] = one, self.ratio[better, one]
        return [np.array(group) for group, alive in zip(members, self.alive, strict=True) if alive]

    def _join(self, one: int, other: int) -> None:
        self.pool.add(one, self.pool, other)
        self.in_view[one] |= self.in_view[other]
        self.alive[other] = False
        self.ratio[[one, other]] = -np.inf
        self.ratio[:, [one, other]] = -np.inf
        others = np.nonzero(self.alive)[0]
        others = others[others != one]
        self.ratio[one, others] = self.ratio[others, one] = self._with(one, others)

    def _with(self, one: int, others: Counts) -> Numbers:
        """Log-ratio of one group with others; none is possible with those in view together."""
        alone = self.pool.of(np.full(len(others), one))
        ratio = unlimited_log_ratio(alone, self.pool.of(others), self.between)
        ratio[(self.in_view[others] & self.in_view[one]).any(axis=1)] = -np.inf
        return ratio


def _log_ratios(pool: Pool, clusters: list[Counts], between: Numbers) -> Numbers:
    """Log-ratio of each piece with each cluster, without that piece where it is in the cluster. (P, clusters)"""
    found = np.empty((len(pool.precision), len(clusters)))
    for number, members in enumerate(clusters):
        whole = Pool(*(part[members].sum(axis=0) for part in pool))
        rest = Pool(*(np.tile(part, (len(found), 1)) for part in whole))
        for part, own in zip(rest, pool, strict=True):
            part[members] -= own[members]
        found[:, number] = unlimited_log_ratio(pool, rest, between)
    return found


def _chains(links: Links, count: int) -> list[list[int]]:
    """All pieces, each with those that it is linked to, in order of time."""
    chains = []
    for piece in range(count):
        if piece in links.before:
            continue
        chain = [piece]
        while chain[-1] in links.after:
            chain.append(links.after[chain[-1]])
        chains.append(chain)
    return chains


def _best_labels(score: Numbers, ratio: Numbers) -> Counts:
    """The best sequence of labels of n linked pieces.

    :param score: (n, clusters) nats; no label has 0.
    :param ratio: (n - 1,) log-ratio of each link.
    """
    score = np.concatenate([score, np.zeros((len(score), 1))], axis=1)
    total, came = score[0], []
    for now, worth in zip(score[1:], ratio, strict=True):
        best = int(total.argmax())
        changed = total[best] - min(worth, CHANGE)
        came.append(np.where(total >= changed, np.arange(len(total)), best))
        total = np.maximum(total, changed) + now
    label = [int(total.argmax())]
    for before in reversed(came):
        label.append(int(before[label[-1]]))
    found = np.array(label[::-1])
    return np.where(found == score.shape[1] - 1, NO_LABEL, found)


def _stretches(links: Links, label: Counts, score: Numbers) -> list[_Stretch]:
    found: list[_Stretch] = []
    for piece, number in enumerate(label):
        if number == NO_LABEL or (piece in links.before and label[links.before[piece]] == number):
            continue
        run = [piece]
        while run[-1] in links.after and label[links.after[run[-1]]] == number:
            run.append(links.after[run[-1]])
        found.append(_Stretch(int(number), run, float(score[run, number].sum())))
    return found


def _one_at_a_time(pieces: Pieces, stretches: list[_Stretch], overlap: int) -> list[_Stretch]:
    """Those that keep their label: of stretches of one object in view together, the likelier one."""
    start, stop = int(pieces.first.min()), int(pieces.last.max()) + 1
    taken: dict[int, Flags] = {}
    kept = []
    for stretch in sorted(stretches, key=lambda each: -each.score):
        there = np.zeros(stop - start, np.bool_)
        for piece in stretch.pieces:
            there[pieces.first[piece] - start : pieces.last[piece] + 1 - start] = True
        before = taken.setdefault(stretch.label, np.zeros_like(there))
        if (before & there).sum() <= overlap:
            before |= there
            kept.append(stretch)
    return kept


def _joined(pieces: Pieces, links: Links, stretches: list[_Stretch]) -> Links:
    """Links from each piece to the next one with its label; pieces without a label keep theirs."""
    label = np.full(len(pieces), NO_LABEL)
    ratio: dict[int, float] = {}
    for stretch in stretches:
        label[stretch.pieces] = stretch.label
        ratio[stretch.pieces[0]] = stretch.score
    after = {e: b for e, b in links.after.items() if label[e] == label[b] == NO_LABEL}
    for number in np.unique(label[label != NO_LABEL]):
        mine = np.nonzero(label == number)[0]
        mine = mine[np.lexsort((pieces.last[mine], pieces.first[mine]))].tolist()
        after.update(zip(mine[:-1], mine[1:], strict=True))
    before = {b: e for e, b in after.items()}
    own = {b: links.ratio[b] if links.before.get(b) == e else ratio.get(b, 0.0) for b, e in before.items()}
    return Links(after, before, own)
