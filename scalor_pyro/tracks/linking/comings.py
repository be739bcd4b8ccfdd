"""Comings and goings: how often objects that are lost are found again, and how often new ones begin.

A track that ends inside the view was lost, and its object is most likely found again soon. One that ends at the border
has left, and whether it returns is a matter of the video: in a street hardly any does, in an arena all do. Likewise a
track that begins inside the view is mostly of an object that was lost, and one that begins at the border of one that
comes. So with c the place of an end and c' that of a beginning, each *inside* or *at the border*,

- an object that ends in c is found again, within the longest gap, with probability ρ_c, after w frames with probability
  g_c(w), geometric with mean τ_c;
- new objects begin in c' with λ_c' a frame, half of them anywhere in that part of the view, and half where others
  begin: on a path, or at a door. q(x) is the density of that.

That an object that ended began again w frames later at x, where p says how likely that is, rather than that it did not,
and another one began there, has the log-ratio

    log ρ_c g_c(w) p(x) - log(1 - ρ_c G_c) - log λ_c' q(x),

with G_c the probability that it would have been found within the video. With many that may return, each has its own
small share of each moment, so the more there are, the more it takes to tell that it was this one. ρ, τ and λ are
estimated from the links, with priors that a handful of them outweighs.
"""

from typing import NamedTuple

import numpy as np

from scalor_pyro.tracks.linking.assignment import Links
from scalor_pyro.tracks.linking.pieces import Counts, Flags, Numbers, Pieces, wholly_in_view
from scalor_pyro.tracks.table import Tracks

# The two places, as indices.
INSIDE, BORDER = 0, 1
# An object is at the border if this many half-sides round its centre are not in view: tracks begin late and end early.
HALF_SIDES = 1.5
# The least share of the view that either place has.
LEAST_SHARE = 0.1
# Before links tell: ρ inside and at the border, and mean gaps in frames; and how many ends each counts as.
FOUND, RETURNS, WAITS, WORTH = 0.8, 0.5, (8.0, 24.0), 5.0
# ρ at the border, as first guesses: of a street, and of an arena.
GUESSED = (0.2, 0.95)
# What is taken for the share of beginnings inside that are of new objects, before links tell.
NEW_INSIDE = 0.3
# Probability that an object is found in an unlikely place, where its appearance can tell: lost inside, and returned.
ANYWHERE = (0.02, 0.3)
# Share of new objects that begin where others do, and standard deviation of how near, in sizes.
ON_PATHS, NEAR = 0.5, 1.0
# Beginnings of new objects that are added to those of the video, so that none is impossible.
LEAST_NEW = 0.5


class Rates(NamedTuple):
    """How objects come and go; each (2,), inside and at the border."""

    found: Numbers  # ρ
    wait: Numbers  # τ, frames
    new: Numbers  # λ, per frame


class Comings:
    """The ends and beginnings of the pieces of a video.

    :param image_size: H, W in px.
    :param gap: most frames without an object.
    :param returns: ρ at the border before links tell.
    """

    def __init__(
        self, tracks: Tracks, pieces: Pieces, image_size: tuple[int, int], gap: int, returns: float | None
    ) -> None:
        inside = wholly_in_view(tracks, image_size, HALF_SIDES)
        self.begins = _places(inside, [rows[0] for rows in pieces.rows])
        self.ends = _places(inside, [rows[-1] for rows in pieces.rows])
        self.area = _areas(tracks, image_size)
        self.strip = HALF_SIDES * float(np.median(np.sqrt(tracks.width * tracks.height))) / 2
        self.first, self.last, self.gap = pieces.first, pieces.last, gap
        self.start, self.stop = int(tracks.frame.min()), int(tracks.frame.max())
        self.returns = returns
        self.prior = np.array([FOUND, RETURNS if returns is None else returns])
        self.frames = max(self.stop - self.start, 1)
        self.density = self._density(tracks, pieces)
        self.begun = np.bincount(self.begins[self.first > self.start], minlength=2).astype(np.float64)

    def guesses(self) -> list[Rates]:
        """Rates before any link is known."""
        shares = GUESSED if self.returns is None else (self.returns,)
        return [
            Rates(
                np.array([FOUND, share]),
                np.array(WAITS),
                (LEAST_NEW + self.begun * [NEW_INSIDE, 1 - share]) / self.frames,
            )
            for share in shares
        ]

    def rates(self, links: Links) -> Rates:
        """As the links say."""
        count, wait = self.begun.copy(), np.array(WAITS)
        found, waited = np.zeros(2), np.zeros(2)
        for begin, end in links.before.items():
            probability = 1 / (1 + np.exp(-links.ratio[begin]))
            found[self.ends[end]] += probability
            waited[self.ends[end]] += probability * max(self.first[begin] - self.last[end], 1)
            count[self.begins[begin]] -= probability * (self.first[begin] > self.start)
        seen = self._within(self.last, self.ends, wait)
        chances = np.bincount(self.ends, seen, minlength=2)
        wait = (waited + WORTH * wait) / (found + WORTH)
        found = (found + WORTH * self.prior) / (np.maximum(chances, found) + WORTH)
        return Rates(found, wait, (LEAST_NEW + count.clip(0)) / self.frames)

    def log_probability(self, links: Links, rates: Rates) -> float:
        """Of links and rates, up to what is the same for all of them: of these links rather than none, of none, and
        of the rates before anything is known."""
        seen = self._within(self.last, self.ends, rates.wait)
        begun = self.first > self.start
        alone = np.log(1 - rates.found[self.ends] * seen).sum()
        alone += np.log(rates.new[self.begins[begun]] * self.density[begun]).sum()
        usual = WORTH * (self.prior * np.log(rates.found) + (1 - self.prior) * np.log(1 - rates.found))
        return float(sum(links.ratio.values()) + alone - (rates.new * self.frames).sum() + usual.sum())

    def log_odds(self, ends: Counts, begins: Counts, rates: Rates) -> Numbers:
        """All of the log-ratio but p(x), which is per px². (n,)"""
        of_end, of_begin = self.ends[ends], self.begins[begins]
        after = (self.first[begins] - self.last[ends]).clip(1)
        wait, found = rates.wait[of_end], rates.found[of_end]
        whole = 1 - np.exp(-(self.gap + 1) / wait)
        soon = np.exp(-(after - 1) / wait) * (1 - np.exp(-1 / wait)) / whole
        seen = self._within(self.last[ends], of_end, rates.wait)
        odds: Numbers = np.log(found * soon / (1 - found * seen))
        return odds - np.log(rates.new[of_begin] * self.density[begins])

    def anywhere(self, ends: Counts, begins: Counts) -> tuple[Numbers, Numbers]:
        """Probability that an object is found in an unlikely place, and the density of that, per px². (n,), (n,)"""
        returned = self.ends[ends] == BORDER
        unlikely = np.where(returned, ANYWHERE[BORDER], ANYWHERE[INSIDE])
        share = np.where(returned == (self.begins[begins] == BORDER), 1 - LEAST_SHARE, LEAST_SHARE)
        return unlikely, share / self.area[self.begins[begins]]

    def depth(self, ends: Counts, begins: Counts) -> Numbers:
        """How wide the strip is in which an object that left begins again, px; elsewhere infinite. (n,)"""
        return np.where((self.ends[ends] == BORDER) & (self.begins[begins] == BORDER), self.strip, np.inf)

    def _density(self, tracks: Tracks, pieces: Pieces) -> Numbers:
        """q at each beginning, of that and the others, per px². (P,)"""
        deviation = NEAR * float(np.median(np.sqrt(tracks.width * tracks.height)))
        density: Numbers = 1 / self.area[self.begins]
        for place in (INSIDE, BORDER):
            here = np.nonzero(self.begins == place)[0]
            others = here[self.first[here] > self.start]
            apart = ((pieces.begin[here, None] - pieces.begin[others]) ** 2).sum(axis=-1)
            kernel = np.exp(-apart / (2 * deviation**2)) * (here[:, None] != others)
            number = np.maximum(len(others) - np.isin(here, others), 1)
            # At the border, half of each kernel is out of view.
            near = (1 + place) * kernel.sum(axis=1) / number / (2 * np.pi * deviation**2)
            density[here] = (1 - ON_PATHS) * density[here] + ON_PATHS * near
        return density

    def _within(self, last: Counts, places: Counts, wait: Numbers) -> Numbers:
        """G: of the objects that are found, the share that is found before the video ends."""
        left = np.minimum(self.stop - last, self.gap + 1)
        share: Numbers = (1 - np.exp(-left / wait[places])) / (1 - np.exp(-(self.gap + 1) / wait[places]))
        return share


def _places(inside: Flags, rows: list[int]) -> Counts:
    return np.where(inside[rows], INSIDE, BORDER)


def _areas(tracks: Tracks, image_size: tuple[int, int]) -> Numbers:
    """Of the inside and the border, px²."""
    height, width = image_size
    inner = max(width - HALF_SIDES * np.median(tracks.width), 0) * max(
        height - HALF_SIDES * np.median(tracks.height), 0
    )
    share = float(np.clip(inner / (width * height), LEAST_SHARE, 1 - LEAST_SHARE))
    return height * width * np.array([share, 1 - share])
