"""Linking: which tracks are of one object that was hidden, out of view or lost in between (offline, a whole video).

A track that begins may go on with an object whose track ended before. For each such pair the log-ratio of "one object"
to "two" is the sum of

- appearance (:mod:`scalor_pyro.tracks.linking.appearance`): of all that was seen of the object before, and of all that
  is seen of it afterwards;
- place (:mod:`scalor_pyro.tracks.linking.place`): where it was going, where it was, or anywhere;
- comings and goings (:mod:`scalor_pyro.tracks.linking.comings`): how often what is lost or leaves is found again, and
  how often something new begins there.

How far appearance is believed depends on the video (:mod:`scalor_pyro.tracks.linking.calibration`).

One assignment of ends to beginnings gives the most likely links (Huang, Wu and Nevatia, ECCV 2008; with gaps, merging
and splitting as Jaqaman et al., Nature Methods 5, 2008, have them). Then everything is estimated again, given these
links: what an object looks like from all its tracks, those near in time first, how much objects differ, how they come
and go; and all links are decided anew, until they stay or :data:`ROUNDS` have passed. Where nothing returns and where
everything does may both be consistent, so this is done from two first guesses, and the more likely result is kept.

Then objects are known again over the whole video (:mod:`scalor_pyro.tracks.linking.reidentification`).

Before, a track is cut where its appearance changes for good (:mod:`scalor_pyro.tracks.linking.cuts`): there it went
over from one object to another. Both parts are linked again where nothing fits better.

Without appearances, as for tracks of another program, place alone decides, and nothing comes back from anywhere.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scalor_pyro.config import ConfigError, Crop
from scalor_pyro.config.options import option
from scalor_pyro.tracks.linking import appearance as of_appearance
from scalor_pyro.tracks.linking import place as of_place
from scalor_pyro.tracks.linking.appearance import pool_of, two_covariances
from scalor_pyro.tracks.linking.assignment import NO_LINKS, Links, assigned
from scalor_pyro.tracks.linking.calibration import belief
from scalor_pyro.tracks.linking.comings import BORDER, Comings, Rates
from scalor_pyro.tracks.linking.cuts import UNCUT, cut
from scalor_pyro.tracks.linking.hosts import Hosts, hosts_of
from scalor_pyro.tracks.linking.pieces import (
    Counts,
    Flags,
    Numbers,
    Pieces,
    pieces_of,
    rows_of_identities,
    wholly_in_view,
)
from scalor_pyro.tracks.linking.place import motion_of
from scalor_pyro.tracks.linking.reidentification import reidentified
from scalor_pyro.tracks.linking.results import Linked, events_of, identities_of, rows_kept, table_of
from scalor_pyro.tracks.table import Tracks, from_dataframe

# Times that links are decided, each time given the ones before.
ROUNDS = 8
# What was seen of an object counts half as much this many tracked frames away: some link in between may be wrong, and
# then it was another one. In 200 frames this hardly matters; in thousands, one wrong link would spoil all that follow.
HALF_LIFE = 200.0
# Frames that two tracks of one object may share, while one of them fades.
OVERLAP = 16


@dataclass(frozen=True)
class LinkOptions:
    """How tracks are linked.

    :raises ConfigError: for values out of their range.
    """

    gap: int = option(
        60, "most frames without the object, unless its looks tell who it is; 0: link nothing", metavar="N"
    )
    cut: bool = option(True, "cut tracks where their appearance changes for good")
    returns: float | None = option(
        None,
        "probability that an object that leaves the view returns within the gap, until the video tells; small where"
        " objects come once",
        metavar="P",
        none="tried low and high",
    )

    def __post_init__(self) -> None:
        if self.gap < 0:
            raise ConfigError(f"gap: expected 0 or more frames, got {self.gap}.")
        require_probability("returns", self.returns)


def require_probability(name: str, value: float | None) -> None:
    """Refuse what is no probability, 0 and 1 among it.

    :raises ConfigError: naming the setting.
    """
    if value is not None and not 0 < value < 1:
        raise ConfigError(f"{name}: expected a number between 0 and 1, got {value}.")


def link(
    tracks: Tracks | pd.DataFrame,
    appearance: ArrayLike | None = None,
    image_size: tuple[int, int] | None = None,
    options: LinkOptions | None = None,
    within: float | None = None,
) -> Linked:
    """Give tracks of one object one identity.

    :param tracks: of one video, or their table (:func:`~scalor_pyro.tracks.table.to_dataframe`).
    :param appearance: (R, D) what the object of each row looks like, by any features: z_what of SCALOR, mean colours,
        … None: place alone decides.
    :param image_size: H, W in px; default: of the smallest rectangle that holds all centres.
    :param within: the variance of the appearance of one object, along any axis, where it is known from elsewhere:
        :attr:`Tracker.within <scalor_pyro.tracks.tracker.Tracker.within>` for those that a tracker gives. None: the
        video tells.
    :raises ValueError: for appearances that do not fit the tracks, or are not finite.
    :raises ConfigError: for an image without an area, and a variance that is not above 0.
    """
    require_variance(within)
    options, rows = options or LinkOptions(), tracks if isinstance(tracks, Tracks) else from_dataframe(tracks)
    looks = appearance_of(appearance, len(rows))
    (x, y), size = ((0, 0), image_size) if image_size is not None else _view_of(rows)
    if not (len(size) == 2 and min(size) > 0):
        raise ConfigError(f"image_size: expected a height and a width above 0 px, got {size!r}.")
    if options.gap == 0 or not len(rows):
        return Linked(rows, rows.identity, np.ones(len(rows), np.bool_), table_of([]))
    stride = _stride(rows)
    steps = replace(rows, frame=rows.frame // stride, x=rows.x - x, y=rows.y - y)
    work = _Linking(steps, looks, size, options.gap // stride, options.returns, within)
    groups = rows_of_identities(steps)
    if options.cut and looks.shape[1]:
        groups = work.cut(groups)
    return work.linked(rows, groups, stride)


def link_in(
    view: Crop | None,
    tracks: Tracks,
    appearance: ArrayLike | None,
    options: LinkOptions | None = None,
    within: float | None = None,
) -> Linked:
    """The same for tracks in a part of larger frames.

    :param view: where objects were looked for, px; None: the smallest rectangle that holds all centres.
    """
    if view is None:
        return link(tracks, appearance, None, options, within)
    inside = replace(tracks, x=tracks.x - view.x, y=tracks.y - view.y)
    linked = link(inside, appearance, (view.height, view.width), options, within)
    return linked._replace(tracks=replace(tracks.rows(linked.kept), identity=linked.identity[linked.kept]))


def _view_of(tracks: Tracks) -> tuple[tuple[int, int], tuple[int, int]]:
    """The smallest rectangle that holds all centres: x, y of its corner, and H, W."""
    if not len(tracks):
        return (0, 0), (1, 1)
    x, y = int(np.floor(tracks.x.min())), int(np.floor(tracks.y.min()))
    return (x, y), (max(1, int(np.ceil(tracks.y.max())) - y), max(1, int(np.ceil(tracks.x.max())) - x))


def appearance_of(values: ArrayLike | None, rows: int) -> Numbers:
    """Appearances as an array (R, D); without any, (R, 0).

    :raises ValueError: for another shape, and numbers that are not finite.
    """
    if values is None:
        return np.zeros((rows, 0))
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or len(array) != rows:
        raise ValueError(
            f"appearance: expected shape ({rows}, D), a row for each row of the tracks, got {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"appearance: expected finite numbers, got {array[~np.isfinite(array)][0]}.")
    return array


def _stride(tracks: Tracks) -> int:
    """Frames from one that was tracked to the next."""
    return int(np.gcd.reduce(np.diff(np.unique(tracks.frame)))) or 1


def require_variance(within: float | None) -> None:
    """Refuse what is no variance.

    :raises ConfigError: saying so.
    """
    if within is not None and not 0 < within < np.inf:
        raise ConfigError(f"within: expected a variance above 0, got {within}.")


class _Candidates(NamedTuple):
    """E pairs of a piece that ends and one that begins later, which may be of one object."""

    end: Counts  # (E,)
    begin: Counts  # (E,)
    together: Flags  # (E,) both are seen in some frames
    density: Numbers  # log-density of how far apart they are then, per px²; of these pairs alone


class _Pairs(NamedTuple):
    """E pairs of a piece that ends and one that begins later."""

    end: Counts  # (E,)
    begin: Counts  # (E,)
    place: Numbers  # (E,) log-ratio


class _Linking:
    """The work on one video, with frames counted in steps of its stride."""

    def __init__(
        self,
        tracks: Tracks,
        appearance: Numbers,
        image_size: tuple[int, int],
        gap: int,
        returns: float | None,
        within: float | None,
    ) -> None:
        self.tracks, self.appearance, self.image_size = tracks, appearance, image_size
        self.gap, self.returns, self.within = gap, returns, within
        self.whole = wholly_in_view(tracks, image_size)

    def pieces(self, groups: list[Counts]) -> Pieces:
        return pieces_of(self.tracks, self.appearance, self.whole, groups)

    def cut(self, groups: list[Counts]) -> list[Counts]:
        """Groups of rows, cut where the appearance changes for good."""
        model = two_covariances(self.pieces(groups), kept=UNCUT, known_within=self.within)
        return cut(self.tracks, self.appearance, self.whole, groups, model)

    def linked(self, rows: Tracks, groups: list[Counts], stride: int) -> Linked:
        """The result for rows that are cut into these groups."""
        pieces = self.pieces(groups)
        hosts = hosts_of(self.tracks, pieces)
        links = self.links(pieces, hosts)
        identity = identities_of(rows, pieces, links)
        kept = rows_kept(rows, identity)
        events = table_of(list(events_of(rows, pieces, links, identity, hosts, stride)))
        return Linked(replace(rows.rows(kept), identity=identity[kept]), identity, kept, events)

    def links(self, pieces: Pieces, hosts: Hosts) -> Links:
        """Decide the links: of those found from different first guesses of the rates, the most likely."""
        comings = Comings(self.tracks, pieces, self.image_size, self.gap, self.returns)
        motion, candidates = motion_of(self.tracks, pieces), self.candidates(pieces)
        found = [self._settled(pieces, hosts, comings, motion, candidates, rates) for rates in comings.guesses()]
        links, rates = max(found, key=lambda each: comings.log_probability(*each))
        return self._known_again(pieces, links, rates)

    def _known_again(self, pieces: Pieces, links: Links, rates: Rates) -> Links:
        """Links by which objects are known again by their looks, over the whole video."""
        believed = self._belief(pieces)
        if not believed:
            return links
        model = two_covariances(pieces, _weights(pieces, links), known_within=self.within)
        return reidentified(pieces, model, believed, links, float(rates.found[BORDER]), OVERLAP)

    def _belief(self, pieces: Pieces) -> float:
        """How far log-ratios of appearance can be believed; 0: they say nothing."""
        model = two_covariances(pieces, known_within=self.within)
        if not len(model.between):
            return 0.0
        return belief(pieces, model.along_axes(self.appearance), self.whole, model)

    def _settled(
        self,
        pieces: Pieces,
        hosts: Hosts,
        comings: Comings,
        motion: of_place.Motion,
        candidates: _Candidates,
        rates: Rates,
    ) -> tuple[Links, Rates]:
        """Links and rates, each estimated from the other in rounds."""
        believed = self._belief(pieces)
        informative = believed > 0
        links = NO_LINKS
        for _ in range(ROUNDS):
            used = rates
            pairs = self._placed(pieces, candidates, hosts, links, motion, comings, informative)
            ratio = pairs.place + comings.log_odds(pairs.end, pairs.begin, rates)
            if believed:
                ratio += believed * self._appearances(pieces, pairs, links)
            decided = assigned(pairs.end, pairs.begin, ratio, len(pieces))
            settled, links = decided.after == links.after, decided
            if settled:
                break
            rates = comings.rates(links)
        return links, used

    def candidates(self, pieces: Pieces) -> _Candidates:
        """Pairs of pieces that may be linked: the gap is small enough, and each goes on beyond the other."""
        ends, begins = [], []
        order = np.argsort(pieces.first, kind="stable")
        first = pieces.first[order]
        for end in range(len(pieces)):
            last = pieces.last[end]
            start, stop = np.searchsorted(first, [last - OVERLAP + 1, last + self.gap + 2])
            near = order[start:stop]
            near = near[(pieces.first[near] > pieces.first[end]) & (pieces.last[near] > last)]
            begins.append(near)
            ends.append(np.full(len(near), end))
        before, after = np.concatenate(ends), np.concatenate(begins)
        together = pieces.first[after] <= pieces.last[before]
        density = of_place.log_density_of_overlap(self.tracks, pieces, before[together], after[together])
        return _Candidates(before, after, together, density)

    def _placed(
        self,
        pieces: Pieces,
        candidates: _Candidates,
        hosts: Hosts,
        links: Links,
        motion: of_place.Motion,
        comings: Comings,
        anywhere: bool,
    ) -> _Pairs:
        """The candidates that are not too far apart, or, if appearance tells objects apart, anywhere."""
        end, begin, together, overlap = candidates
        objects = np.array([links.first_of(piece) for piece in range(len(pieces))])
        before, after = hosts.at_end[end], hosts.at_begin[begin]
        same_host = (before >= 0) & (after >= 0) & (objects[before] == objects[after])
        beside = np.where(same_host[:, None], hosts.from_begin[begin] - hosts.from_end[end], np.nan)
        depth = comings.depth(end, begin)
        density = of_place.density(pieces, end, begin, motion, self.image_size, beside, depth)
        if anywhere:
            unlikely, there = comings.anywhere(end, begin)
            density = unlikely * there + (1 - unlikely) * density
        with np.errstate(divide="ignore"):
            place = np.log(density)
        place[together] = overlap
        far = of_place.too_far(pieces, end, begin, motion, self.image_size) & ~together
        near = ~far & (place > of_place.NEVER)
        return _Pairs(end[near], begin[near], place[near])

    def _appearances(self, pieces: Pieces, pairs: _Pairs, links: Links) -> Numbers:
        """Log-ratios of appearance, of all that is linked to the end and to the beginning, what is near most. (E,)"""
        model = two_covariances(pieces, _weights(pieces, links), known_within=self.within)
        past = pool_of(pieces, model)
        future = past.copy()
        for piece in np.argsort(pieces.first, kind="stable"):
            if piece in links.before:
                before = links.before[piece]
                past.add(piece, past, before, _remembered(pieces, before, piece))
        for piece in np.argsort(-pieces.first, kind="stable"):
            if piece in links.after:
                after = links.after[piece]
                future.add(piece, future, after, _remembered(pieces, piece, after))
        return of_appearance.log_ratio(past.of(pairs.end), future.of(pairs.begin), model.between)


def _weights(pieces: Pieces, links: Links) -> Numbers:
    """Weights of pieces by which all objects count alike. (P,)"""
    objects = np.array([links.first_of(piece) for piece in range(len(pieces))])
    weights: Numbers = 1 / np.bincount(objects, minlength=len(pieces))[objects]
    return weights


def _remembered(pieces: Pieces, earlier: int, later: int) -> float:
    """What was seen in one piece counts so much in the other."""
    return float(0.5 ** (max(pieces.first[later] - pieces.first[earlier], 0) / HALF_LIFE))
