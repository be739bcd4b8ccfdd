"""Linking: which tracks are of one object that was hidden, out of view or lost in between (offline, a whole video).

A track that begins may go on with an object whose track ended before. For each such pair the log-ratio of "one object"
to "two" is the sum of

- appearance (:mod:`scalor_pyro.tracks.linking.appearance`): of all that was seen of the object before, and of all that
  is seen of it afterwards;
- place (:mod:`scalor_pyro.tracks.linking.place`): where it was going, where it was, or anywhere;
- the prior odds π/(1 - π) that a track that begins is of an object seen before.

One assignment of ends to beginnings gives the most likely links (Huang, Wu and Nevatia, ECCV 2008; with gaps, merging
and splitting as Jaqaman et al., Nature Methods 5, 2008, have them). Then everything is estimated again, given these
links: what an object looks like from all its tracks, how much objects differ, π; and all links are decided anew, until
they stay or :data:`ROUNDS` have passed.

Before, a track is cut where its appearance changes for good: there it went over from one object to another. A wrong
cut does little harm, because both parts are linked again where nothing fits better.

Without appearances, as for tracks of another program, place alone decides, and nothing comes back from anywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from scalor_pyro.config import ConfigError, Crop
from scalor_pyro.config.options import option
from scalor_pyro.tracks.linking import appearance as of_appearance
from scalor_pyro.tracks.linking import place as of_place
from scalor_pyro.tracks.linking.appearance import TwoCovariances, pool_of, pooled, two_covariances
from scalor_pyro.tracks.linking.pieces import (
    WELL_KNOWN,
    Counts,
    Flags,
    Numbers,
    Pieces,
    in_order_of_beginning,
    pieces_of,
    rows_of_identities,
    wholly_in_view,
)
from scalor_pyro.tracks.linking.place import motion_of
from scalor_pyro.tracks.table import Tracks, from_dataframe

# Times that links are decided, each time given the ones before.
ROUNDS = 8
# Frames that two tracks of one object may share, while one of them fades.
OVERLAP = 16
# Prior probability that an object comes back in an unlikely place, where its appearance can tell.
ANYWHERE = 0.2
# π before the video tells, with appearances and by place alone, and how many beginnings of tracks that is worth.
RETURNS, RETURNS_BY_PLACE, WORTH = 0.95, 0.5, 5.0
# Share of tracks that are taken to need no cut, when the variance within tracks is measured to find cuts.
UNCUT = 0.75
# A track is cut only between so many frames in which the object is wholly in view, and the most that are compared.
LEAST_AROUND_CUT, MOST_AROUND_CUT = 5, 15


@dataclass(frozen=True)
class LinkOptions:
    """How tracks are linked.

    :raises ConfigError: for values out of their range.
    """

    gap: int = option(60, "most frames without the object; 0: link nothing", metavar="N")
    cut: bool = option(True, "cut tracks where their appearance changes for good")
    returns: float | None = option(
        None,
        "probability that a track that begins is of an object seen before, until the video tells; small where objects"
        " come once",
        metavar="P",
        none=f"{RETURNS:g} with appearances, {RETURNS_BY_PLACE:g} by place alone",
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


def prior_of(returns: float | None, informative: bool) -> tuple[float, float]:
    """What the prior of π is worth: beginnings of known objects, and of new ones.

    :param informative: whether appearances tell objects apart.
    """
    share = (RETURNS if informative else RETURNS_BY_PLACE) if returns is None else returns
    return WORTH * share, WORTH * (1 - share)


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


def link(
    tracks: Tracks | pd.DataFrame,
    appearance: ArrayLike | None = None,
    image_size: tuple[int, int] | None = None,
    options: LinkOptions | None = None,
) -> Linked:
    """Give tracks of one object one identity.

    :param tracks: of one video, or their table (:func:`~scalor_pyro.tracks.table.to_dataframe`).
    :param appearance: (R, D) what the object of each row looks like, by any features: z_what of SCALOR, mean colours,
        … None: place alone decides.
    :param image_size: H, W in px; default: of the smallest rectangle that holds all centres.
    :raises ValueError: for appearances that do not fit the tracks, or are not finite.
    :raises ConfigError: for an image without an area.
    """
    options, rows = options or LinkOptions(), tracks if isinstance(tracks, Tracks) else from_dataframe(tracks)
    looks = appearance_of(appearance, len(rows))
    (x, y), size = ((0, 0), image_size) if image_size is not None else _view_of(rows)
    if not (len(size) == 2 and min(size) > 0):
        raise ConfigError(f"image_size: expected a height and a width above 0 px, got {size!r}.")
    if options.gap == 0 or not len(rows):
        return Linked(rows, rows.identity, np.ones(len(rows), np.bool_), _table([]))
    stride = _stride(rows)
    steps = replace(rows, frame=rows.frame // stride, x=rows.x - x, y=rows.y - y)
    work = _Linking(steps, looks, size, options.gap // stride, options.returns)
    groups = rows_of_identities(steps)
    if options.cut and looks.shape[1]:
        groups = work.cut(groups)
    return work.linked(rows, groups, stride)


def link_in(
    view: Crop | None, tracks: Tracks, appearance: ArrayLike | None, options: LinkOptions | None = None
) -> Linked:
    """The same for tracks in a part of larger frames.

    :param view: where objects were looked for, px; None: the smallest rectangle that holds all centres.
    """
    if view is None:
        return link(tracks, appearance, None, options)
    inside = replace(tracks, x=tracks.x - view.x, y=tracks.y - view.y)
    linked = link(inside, appearance, (view.height, view.width), options)
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


class _Pairs(NamedTuple):
    """E pairs of a piece that ends and one that begins later."""

    end: Counts  # (E,)
    begin: Counts  # (E,)
    place: Numbers  # (E,) log-ratio


class _Links(NamedTuple):
    """What was decided."""

    after: dict[int, int]  # by piece, the one that goes on from it
    before: dict[int, int]  # the inverse
    ratio: dict[int, float]  # by piece that goes on, log-ratio with the prior, in nats

    def first_of(self, piece: int) -> int:
        """The first piece of the object that a piece is of."""
        while piece in self.before:
            piece = self.before[piece]
        return piece


NO_LINKS = _Links({}, {}, {})


class _Hosts(NamedTuple):
    """The other pieces in whose boxes pieces begin and end."""

    at_begin: Counts  # (P,) piece, or -1
    at_end: Counts  # (P,)
    from_begin: Numbers  # (P, 2) px, from the centre of that piece to the beginning
    from_end: Numbers  # (P, 2)


class _Linking:
    """The work on one video, with frames counted in steps of its stride."""

    def __init__(
        self, tracks: Tracks, appearance: Numbers, image_size: tuple[int, int], gap: int, returns: float | None
    ) -> None:
        self.tracks, self.appearance, self.image_size = tracks, appearance, image_size
        self.gap, self.returns = gap, returns
        self.whole = wholly_in_view(tracks, image_size)

    def pieces(self, groups: list[Counts]) -> Pieces:
        return pieces_of(self.tracks, self.appearance, self.whole, groups)

    # ---------------------------------------------------------------- cuts

    def cut(self, groups: list[Counts]) -> list[Counts]:
        """Groups of rows, cut where the appearance changes for good."""
        if not groups:
            return groups
        model = two_covariances(self.pieces(groups), kept=UNCUT)
        along = model.along_axes(self.appearance)
        parts = [part for rows in groups for part in self._parts(rows, along, model)]
        return in_order_of_beginning(self.tracks, parts)

    def _parts(self, rows: Counts, along: Numbers, model: TwoCovariances) -> Iterator[Counts]:
        clear = rows[self.whole[rows]]
        at = _change(along[clear], model)
        if at is None:
            yield rows
        else:
            middle = int(np.searchsorted(self.tracks.frame[rows], self.tracks.frame[clear[at]]))
            yield from self._parts(rows[:middle], along, model)
            yield from self._parts(rows[middle:], along, model)

    # ---------------------------------------------------------------- links

    def linked(self, rows: Tracks, groups: list[Counts], stride: int) -> Linked:
        """The result for rows that are cut into these groups."""
        pieces = self.pieces(groups)
        links = self.links(pieces)
        identity = _identities(rows, pieces, links)
        kept = _kept(rows, identity)
        events = _table(list(_events(rows, pieces, links, identity, self.hosts(pieces), stride)))
        return Linked(replace(rows.rows(kept), identity=identity[kept]), identity, kept, events)

    def links(self, pieces: Pieces) -> _Links:
        """Decide the links, in rounds."""
        motion, candidates, hosts = motion_of(self.tracks, pieces), self.candidates(pieces), self.hosts(pieces)
        informative = bool(self.appearance.shape[1]) and bool(len(two_covariances(pieces).between))
        known, new = prior_of(self.returns, informative)
        occasions = sum(len(np.unique(each)) for each in candidates) / 2
        links, odds = NO_LINKS, np.log(known / new)
        for _ in range(ROUNDS):
            pairs = self._placed(pieces, candidates, hosts, links, motion, ANYWHERE if informative else 0.0)
            ratio = pairs.place + self._appearances(pieces, pairs, links) + odds
            decided = assigned(pairs.end, pairs.begin, ratio, len(pieces))
            if decided.after == links.after:
                return decided
            links = decided
            returns = known + sum(1 / (1 + np.exp(-value)) for value in links.ratio.values())
            share = returns / (occasions + known + new)
            odds = np.log(share / (1 - share))
        return links

    def candidates(self, pieces: Pieces) -> tuple[Counts, Counts]:
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
        return np.concatenate(ends), np.concatenate(begins)

    def _placed(
        self,
        pieces: Pieces,
        candidates: tuple[Counts, Counts],
        hosts: _Hosts,
        links: _Links,
        motion: of_place.Motion,
        anywhere: float,
    ) -> _Pairs:
        """The candidates that are not too far apart."""
        end, begin = candidates
        objects = np.array([links.first_of(piece) for piece in range(len(pieces))])
        before, after = hosts.at_end[end], hosts.at_begin[begin]
        same_host = (before >= 0) & (after >= 0) & (objects[before] == objects[after])
        beside = np.where(same_host[:, None], hosts.from_begin[begin] - hosts.from_end[end], np.nan)
        place = of_place.log_ratio(pieces, end, begin, motion, self.image_size, anywhere, beside)
        together = pieces.first[begin] <= pieces.last[end]
        place[together] = of_place.log_ratio_of_overlap(
            self.tracks, pieces, end[together], begin[together], self.image_size
        )
        near = place > of_place.NEVER
        return _Pairs(end[near], begin[near], place[near])

    def _appearances(self, pieces: Pieces, pairs: _Pairs, links: _Links) -> Numbers:
        """Log-ratios of appearance, of all that is linked to the end and to the beginning. (E,)"""
        if not self.appearance.shape[1] or not len(pairs.end):
            return np.zeros(len(pairs.end))
        objects = np.array([links.first_of(piece) for piece in range(len(pieces))])
        weight = 1 / np.bincount(objects, minlength=len(pieces))[objects]
        model = two_covariances(pieces, weight)
        past = pool_of(pieces, model)
        future = past.copy()
        for piece in np.argsort(pieces.first, kind="stable"):
            if piece in links.before:
                past.add(piece, past, links.before[piece])
        for piece in np.argsort(-pieces.first, kind="stable"):
            if piece in links.after:
                future.add(piece, future, links.after[piece])
        return of_appearance.log_ratio(past.of(pairs.end), future.of(pairs.begin), model.between)

    def hosts(self, pieces: Pieces) -> _Hosts:
        """In whose boxes pieces begin and end."""
        piece_of = np.empty(len(self.tracks), np.int64)
        for index, rows in enumerate(pieces.rows):
            piece_of[rows] = index
        order = np.argsort(self.tracks.frame, kind="stable")
        frames = self.tracks.frame[order]

        def host(row: int, goes_beyond: Flags) -> int:
            here = order[
                np.searchsorted(frames, frame := self.tracks.frame[row]) : np.searchsorted(frames, frame, "right")
            ]
            here = here[goes_beyond[piece_of[here]]]
            apart = np.stack([self.tracks.x[here] - self.tracks.x[row], self.tracks.y[here] - self.tracks.y[row]], 1)
            inside = (2 * abs(apart) <= np.stack([self.tracks.width[here], self.tracks.height[here]], 1)).all(axis=1)
            return int(here[inside][np.argmin((apart[inside] ** 2).sum(axis=1))]) if inside.any() else -1

        begin = [host(rows[0], pieces.first < first) for rows, first in zip(pieces.rows, pieces.first, strict=True)]
        end = [host(rows[-1], pieces.last > last) for rows, last in zip(pieces.rows, pieces.last, strict=True)]
        centre = np.stack([self.tracks.x, self.tracks.y], axis=1)
        of_rows = np.append(piece_of, -1)
        return _Hosts(of_rows[begin], of_rows[end], pieces.begin - centre[begin], pieces.end - centre[end])


def _change(along: Numbers, model: TwoCovariances) -> int | None:
    """Where a track changes its appearance for good: the frame that most likely begins another object, if one does.

    :param along: (n, d) appearances in the frames wholly in view, along the axes.
    """
    at = np.arange(LEAST_AROUND_CUT, len(along) - LEAST_AROUND_CUT + 1)
    if not len(at):
        return None
    sums = np.concatenate([np.zeros((1, along.shape[1])), along.cumsum(axis=0)])
    start, stop = np.maximum(at - MOST_AROUND_CUT, 0), np.minimum(at + MOST_AROUND_CUT, len(along))
    before = (sums[at] - sums[start]) / (at - start)[:, None]
    after = (sums[stop] - sums[at]) / (stop - at)[:, None]
    seen = np.full(len(at), WELL_KNOWN)
    ratio = of_appearance.log_ratio(pooled(before, seen, model), pooled(after, seen, model), model.between)
    return int(at[np.argmin(ratio)]) if ratio.min() < 0 else None


def assigned(ends: Counts, begins: Counts, ratio: Numbers, count: int) -> _Links:
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
    return _Links(after, {b: e for e, b in after.items()}, {b: values[e, b] for e, b in after.items()})


# -------------------------------------------------------------------- results


def _identities(rows: Tracks, pieces: Pieces, links: _Links) -> Counts:
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


def _kept(rows: Tracks, identity: Counts) -> Flags:
    """The rows to keep: of two in a frame that are of one object, the one with the larger presence."""
    order = np.lexsort((rows.y, rows.x, -rows.presence, identity, rows.frame))
    again = (np.diff(rows.frame[order], prepend=-1) == 0) & (np.diff(identity[order], prepend=-1) == 0)
    kept = np.ones(len(rows), np.bool_)
    kept[order[again]] = False
    return kept


_Event = tuple[str, int, int, int, float, float]


def _events(
    rows: Tracks, pieces: Pieces, links: _Links, identity: Counts, hosts: _Hosts, stride: int
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


def _table(events: list[_Event]) -> pd.DataFrame:
    columns = ("event", "frame", "particle", "other", "gap", "log_ratio")
    kinds = {"frame": np.int64, "particle": np.int64, "other": np.int64, "gap": np.float64, "log_ratio": np.float64}
    table = pd.DataFrame(events, columns=columns).astype(kinds)
    return table.sort_values(["frame", "event", "particle", "other"], kind="stable", ignore_index=True)
