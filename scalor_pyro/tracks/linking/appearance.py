"""Appearance: the log-ratio of "one object" to "two" for what was seen of it in two places, by a two-covariance model.

An object o has a mean appearance, and piece i of its track was seen to look like this:

    b_o ~ Normal(μ, B),   m_i ~ Normal(b_o, s_i W).

B is the covariance between objects, W that within one object, and s_i is larger where little was seen. Axes in which
W = 1 and B = diag(λ) exist for every B and W, and in them everything is a sum over axes. For the pieces S of one
object, b_o can be integrated out; with Λ = Σ 1/s_i, and η = Σ m_i/s_i counted from μ,

    log p(m_S) = f(Λ, η) + (terms of single pieces),   f(Λ, η) = - ½ log(1 + λΛ) + ½ η² / (Λ + 1/λ),

so that two sets of pieces are of one object, rather than of two, by the log-ratio

    f(Λ + Λ', η + η') - f(Λ, η) - f(Λ', η').

This is probabilistic linear discriminant analysis (Ioffe, ECCV 2006; Prince and Elder, ICCV 2007) in its two-covariance
form, with the marginal likelihood of a partition (Brümmer and de Villiers, "The speaker partitioning problem", Odyssey
2010). Appearances have heavy tails: two objects in one box, an object half hidden. So the variance within is known only
up to a factor u of each pair, which is summed over, as in PLDA with heavy tails (Kenny, Odyssey 2010). Differs: there
it belongs to each observation, and its posterior is approximated.

μ, B and W come from the video itself. W: the difference of the two halves of one track, times a factor, because what
changes within a track is less than what changes until the object is seen again. Where the variance of features within
an object is known from elsewhere, as of embeddings that were trained to stay the same, W is mostly that: few tracks
of one video cannot tell it better.
"""

from typing import NamedTuple

import numpy as np

from scalor_pyro.tracks.linking.pieces import (
    KNOWN,
    VARIANCE_KNOWN,
    VARIANCE_WELL_KNOWN,
    WELL_KNOWN,
    Counts,
    Numbers,
    Pieces,
)

Factors = tuple[tuple[float, float], ...]

# Factors of the variance within, and their probabilities.
FACTORS = ((1.0, 0.5), (4.0, 0.25), (16.0, 0.15), (64.0, 0.1))
# The variance within is this many times what the halves of tracks differ by.
WIDER = 2.0
# So much of each covariance between two features is left out, because few tracks cannot tell them all.
SHRINKAGE = 0.3
# What is taken for the variance within, as a share of the whole variance, before any track is seen, and how many tracks
# that counts as.
SHARE_WITHIN, WORTH = 0.1, 5.0
# How many tracks a variance within that is known from elsewhere counts as.
WORTH_KNOWN = 200.0
# Every variance gets this share of the mean variance, so that constant features do no harm.
RIDGE = 1e-3
# Variance of features that never change.
SMALLEST = 1e-12
# Axes with less variance between objects than this, in units of the variance within, say nothing.
LEAST_BETWEEN = 0.5
# Variance of a piece that was never wholly in view, at least, in units of the variance within.
VARIANCE_CUT_OFF = 6.0
# Pieces needed to tell the variance of those that were never wholly in view.
LEAST_CUT_OFF = 3
# The most that a log-ratio of appearances says, in nats, for or against.
MOST = 12.0
# Pairs that are worked on at a time: few enough to stay in the cache.
AT_A_TIME = 250


class TwoCovariances(NamedTuple):
    """Means and covariances of appearances, in axes of their own."""

    mean: Numbers  # (D,) μ
    axes: Numbers  # (d, D); appearance less mean, times these, has variance 1 within objects
    between: Numbers  # (d,) λ
    cut_off: Numbers  # (d,) variance of what is seen where an object is not wholly in view

    def along_axes(self, appearance: Numbers) -> Numbers:
        """(n, D) → (n, d)"""
        along: Numbers = (appearance - self.mean) @ self.axes.T
        return along


class Pool(NamedTuple):
    """What was seen of n objects: Λ and η along each axis."""

    precision: Numbers  # (n, d)
    weighted: Numbers  # (n, d)

    def of(self, which: Counts) -> "Pool":
        """Of some of them."""
        return Pool(self.precision[which], self.weighted[which])

    def add(self, at: int, other: "Pool", which: int, share: float = 1.0) -> None:
        """Add what was seen of another, or a share of it, in place."""
        self.precision[at] += share * other.precision[which]
        self.weighted[at] += share * other.weighted[which]

    def copy(self) -> "Pool":
        """One that can be changed."""
        return Pool(self.precision.copy(), self.weighted.copy())


def two_covariances(
    pieces: Pieces, weight: Numbers | None = None, kept: float = 1.0, known_within: float | None = None
) -> TwoCovariances:
    """The model of the appearances of some pieces.

    :param weight: (P,) how much each counts for the whole variance; by default, all alike.
    :param kept: share of the pieces, those with the most similar halves, that count for the variance within.
    :param known_within: the variance within along any axis, where it is known from elsewhere.
    """
    known = pieces.seen >= KNOWN
    if known.sum() <= 3:  # too few to tell anything: use what there is
        known = np.ones(len(pieces), np.bool_)
    weight = (np.ones(len(pieces)) if weight is None else weight)[known]
    appearance = pieces.appearance[known]
    features = appearance.shape[1]
    mean = weight @ appearance / weight.sum()
    apart = appearance - mean
    total = (weight[:, None] * apart).T @ apart / weight.sum()
    total = _shrunk(total) if known_within is None else total
    ridge = RIDGE * np.trace(total) / max(1, features) + SMALLEST
    total += ridge * np.eye(features)
    within = _within(pieces.change.halves, total, kept, known_within) + ridge * np.eye(features)
    inverse = np.linalg.inv(np.linalg.cholesky(within))
    variance, rotation = np.linalg.eigh(inverse @ total @ inverse.T)
    chosen = variance - 1 > LEAST_BETWEEN
    axes = (rotation.T @ inverse)[chosen]
    cut_off = np.full(len(axes), np.inf)
    if len(pieces.change.cut_off) >= LEAST_CUT_OFF:
        cut_off = np.maximum(2 * ((pieces.change.cut_off @ axes.T) ** 2).mean(axis=0), VARIANCE_CUT_OFF)
    return TwoCovariances(mean, axes, variance[chosen] - 1, cut_off)


def _within(halves: Numbers, total: Numbers, kept: float, known: float | None) -> Numbers:
    if known is None:
        expected, worth = SHARE_WITHIN * np.diag(np.diag(total)), WORTH
    else:
        expected, worth = known * np.eye(len(total)), WORTH_KNOWN
    within = (WIDER * halves.T @ halves / 2 + worth * expected) / (len(halves) + worth)
    within = _shrunk(within) if known is None else within
    if kept == 1 or not len(halves):
        return within
    distance = (halves @ np.linalg.inv(within) * halves).sum(axis=1)
    similar = halves[np.argsort(distance, kind="stable")[: int(np.ceil(kept * len(halves)))]]
    return _within(similar, total, 1, known)


def _shrunk(covariance: Numbers) -> Numbers:
    shrunk: Numbers = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance))
    return shrunk


def pool_of(pieces: Pieces, model: TwoCovariances) -> Pool:
    """What was seen in each piece by itself."""
    return pooled(model.along_axes(pieces.appearance), pieces.seen, model)


def pooled(along: Numbers, seen: Counts, model: TwoCovariances) -> Pool:
    """What was seen in single pieces.

    :param along: (n, d) appearances, along the axes.
    :param seen: (n,) frames in which the object was wholly in view.
    """
    variance = np.where(seen >= WELL_KNOWN, VARIANCE_WELL_KNOWN, VARIANCE_KNOWN)[:, None] * np.ones_like(along)
    variance = np.where((seen < KNOWN)[:, None], model.cut_off, variance)
    return Pool(1 / variance, along / variance)


def log_ratio(one: Pool, other: Pool, between: Numbers, factors: Factors = FACTORS) -> Numbers:
    """Log-ratio of "one object" to "two", for each of n pairs, in nats, at most :data:`MOST` either way. (n,)

    :param between: (d,) λ
    :param factors: of the variance within, each with its probability.
    """
    return np.clip(unlimited_log_ratio(one, other, between, factors), -MOST, MOST)


def unlimited_log_ratio(one: Pool, other: Pool, between: Numbers, factors: Factors = FACTORS) -> Numbers:
    """The same, however much that is. (n,)"""
    starts = range(0, len(one.precision), AT_A_TIME)
    pieces = [slice(start, start + AT_A_TIME) for start in starts]
    parts = [_log_ratio(Pool(*(p[s] for p in one)), Pool(*(p[s] for p in other)), between, factors) for s in pieces]
    return np.concatenate(parts) if parts else np.zeros(0)


def _log_ratio(one: Pool, other: Pool, between: Numbers, factors: Factors) -> Numbers:
    factor, probability = (np.array(part) for part in zip(*factors, strict=True))
    both = Pool(one.precision + other.precision, one.weighted + other.weighted)
    first, second, together = (Pool(*(part / factor[:, None, None] for part in each)) for each in (one, other, both))
    fits = [each.weighted**2 / (each.precision + 1 / between) for each in (first, second, together)]
    # The three logarithms of f in one: (1 + x)(1 + y) / (1 + x + y) = 1 + xy / (1 + x + y).
    odds = np.log1p(between**2 * first.precision * second.precision / (1 + between * together.precision))
    ratios = (fits[2] - fits[0] - fits[1] + odds).sum(axis=-1) / 2  # (F, n)
    ratio: Numbers = np.logaddexp.reduce(np.log(probability)[:, None] + ratios)
    return ratio
