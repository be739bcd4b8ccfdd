"""Calibration: how far log-ratios of appearance can be believed in this video.

What an object looks like varies slowly: it comes nearer, turns, and stands before another background. Looks that
follow each other are then no independent evidence, other faults of the model add to that, and log-ratios are too
large. The video itself says by how much. Two stretches of one track, some time apart, are of one object, and two of
tracks that are in view together are not. So the log-ratio r of such pairs should say which are which with probability
1/(1 + exp(-a r)), and a is found by logistic regression, as scores of speakers are calibrated (Brümmer and du Preez,
Computer Speech & Language 20, 2006), with the prior that it is near :data:`USUAL`, and at most 1.
"""

import numpy as np

from scalor_pyro.tracks.linking.appearance import TwoCovariances, log_ratio, pooled
from scalor_pyro.tracks.linking.pieces import Counts, Flags, Numbers, Pieces

# Frames of a stretch, and the most stretches of a piece, spread over it.
STRETCH, MOST_STRETCHES = 10, 6
# The most pieces that are used, those with the most frames wholly in view.
MOST_PIECES = 60
# a before the video tells, and the standard deviation of its logarithm.
USUAL, SPREAD = 0.5, 0.7
# Values of a that are tried.
TRIED = np.geomspace(0.02, 1.0, 60)


def belief(pieces: Pieces, along: Numbers, whole: Flags, model: TwoCovariances) -> float:
    """The factor a of log-ratios.

    :param along: (R, d) appearances, along the axes of the model.
    :param whole: (R,) where an object is wholly in view.
    """
    of, looks = _stretches(pieces, along, whole)
    if not len(of) or not along.shape[1]:
        return USUAL
    one, other = np.triu_indices(len(of), 1)
    same = of[one] == of[other]
    together = (pieces.first[of[one]] <= pieces.last[of[other]]) & (pieces.first[of[other]] <= pieces.last[of[one]])
    useful = same | together
    pool = pooled(looks, np.full(len(of), STRETCH), model)
    ratio = log_ratio(pool.of(one[useful]), pool.of(other[useful]), model.between)
    return _slope(ratio, same[useful], objects=len(np.unique(of)))


def _stretches(pieces: Pieces, along: Numbers, whole: Flags) -> tuple[Counts, Numbers]:
    """The piece of each stretch, and what was seen in it: (n,), (n, d)."""
    of, looks = [], []
    for piece in np.argsort(-pieces.seen, kind="stable")[:MOST_PIECES]:
        clear = pieces.rows[piece][whole[pieces.rows[piece]]]
        count = min(len(clear) // STRETCH, MOST_STRETCHES)
        for start in np.linspace(0, len(clear) - STRETCH, count).astype(np.int64) if count else ():
            of.append(piece)
            looks.append(np.median(along[clear[start : start + STRETCH]], axis=0))
    return np.array(of, np.int64), np.array(looks).reshape(len(of), along.shape[1])


def _slope(ratio: Numbers, same: Flags, objects: int) -> float:
    """a, where pairs of either kind count as much as there are objects."""
    if not same.any() or same.all():
        return USUAL
    weight = objects / np.where(same, same.sum(), (~same).sum())
    signed = np.where(same, ratio, -ratio)
    fit = [-(weight * np.logaddexp(0, -a * signed)).sum() - np.log(a / USUAL) ** 2 / (2 * SPREAD**2) for a in TRIED]
    return float(TRIED[int(np.argmax(fit))])
