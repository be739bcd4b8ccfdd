"""Linking in a stream: an object that was lost gets its identity back when it is found again, without later frames.

The log-ratios of appearance and place of :mod:`scalor_pyro.tracks.linking`, with everything estimated from the past:
what objects look like, how they move, and π, how often a track that begins is of an object seen before. A track is
decided on once, `delay` frames after it began, together with those that began in the same frame; it is not decided
again, and tracks are not cut. (trackpy's `memory` does this by place alone.)
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.linking import appearance as of_appearance
from scalor_pyro.tracks.linking import place as of_place
from scalor_pyro.tracks.linking.appearance import Pool, TwoCovariances, pool_of, two_covariances
from scalor_pyro.tracks.linking.assignment import assigned
from scalor_pyro.tracks.linking.offline import OVERLAP, appearance_of, require_probability, require_variance
from scalor_pyro.tracks.linking.pieces import Numbers, Pieces, pieces_of, wholly_in_view
from scalor_pyro.tracks.linking.place import Motion, motion_of
from scalor_pyro.tracks.table import Tracks, concatenate

# Prior probability that an object comes back in an unlikely place, where its appearance can tell.
ANYWHERE = 0.2
# π before the stream tells, with appearances and by place alone, and how many beginnings of tracks that is worth.
RETURNS, RETURNS_BY_PLACE, WORTH = 0.95, 0.5, 5.0
# Rows of a track that are kept: the first ones, and the last ones.
FIRST_KEPT, LAST_KEPT = 16, 48
# Tracks of an object that are kept, the latest ones.
LIVES_KEPT = 16
# Tracks from which the model is estimated, the latest ones, and how many frames apart that is done.
ESTIMATED_FROM, ESTIMATED_EVERY = 300, 16


def prior_of(returns: float | None, informative: bool) -> tuple[float, float]:
    """What the prior of π is worth: beginnings of known objects, and of new ones.

    :param informative: whether appearances tell objects apart.
    """
    share = (RETURNS if informative else RETURNS_BY_PLACE) if returns is None else returns
    return WORTH * share, WORTH * (1 - share)


@dataclass(eq=False)
class _Life:
    """A track of the tracker: its rows, as far as they are kept, and the object that it was found to be of."""

    first: int
    number: int  # in the order of tracks
    boxes: list[tuple[float, ...]] = field(default_factory=list)  # frame, x, y, width, height
    appearances: list[Numbers] = field(default_factory=list)
    last: int = -1
    known: "_Known | None" = None

    def add(self, frame: int, box: Numbers, appearance: Numbers) -> None:
        self.boxes.append((frame, *box))
        self.appearances.append(appearance)
        if len(self.boxes) > FIRST_KEPT + LAST_KEPT:
            del self.boxes[FIRST_KEPT], self.appearances[FIRST_KEPT]
        self.last = frame


@dataclass(eq=False)
class _Known:
    """An object: its tracks, in their order."""

    name: int
    lives: list[_Life]

    @property
    def last(self) -> int:
        return self.lives[-1].last


@dataclass(frozen=True)
class _Model:
    motion: Motion
    appearances: TwoCovariances | None


class OnlineLinker:
    """Gives tracks of a stream their identities, frame after frame::

        linker = OnlineLinker((480, 640), memory=60, within=tracker.within)
        for found in chunks:  # of Tracker.advance
            tracks = linker.add(found.tracks, found.appearance, last=int(found.numbers[-1]))
        tracks = linker.finish()

    What is returned for a frame depends on no frame later than that one plus `delay`, and not on how the stream is cut
    into chunks. Memory does not grow with the stream. Identities count from 0 in the order in which objects begin.

    :param image_size: H, W in px.
    :param memory: frames after which an object that is gone is forgotten.
    :param delay: frames after the first of a track in which its identity is decided. Rows are returned so much later;
        0: at once, by a single look.
    :param returns: π, the probability that a track that begins is of an object seen before, until the stream tells;
        None: 0.95 with appearances, 0.5 by place alone.
    :param within: see :func:`~scalor_pyro.tracks.linking.link`.
    :raises ConfigError: for values out of their range.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        memory: int = 60,
        delay: int = 5,
        returns: float | None = None,
        within: float | None = None,
    ) -> None:
        if memory < 1:
            raise ConfigError(f"memory: expected at least 1 frame, got {memory}.")
        if delay < 0:
            raise ConfigError(f"delay: expected 0 or more frames, got {delay}.")
        if not (len(image_size) == 2 and min(image_size) > 0):
            raise ConfigError(f"image_size: expected a height and a width above 0 px, got {image_size!r}.")
        require_probability("returns", returns)
        require_variance(within)
        self.image_size, self.memory, self.delay, self.returns = image_size, memory, delay, returns
        self.within = within
        self._frame = -1  # the last one that was added
        self._waiting: list[tuple[Tracks, list[_Life]]] = []  # rows of frames that are not returned yet
        self._lives: dict[int, _Life] = {}  # by identity of the tracker, those that may go on
        self._known: list[_Known] = []
        self._past: list[_Life] = []  # the latest tracks, for the model
        self._model: _Model | None = None
        self._estimated = -1
        self._begun = self._named = 0
        self._decided, self._returned = 0, 0.0  # tracks that might have been of a known object, and that were

    def add(self, tracks: Tracks, appearance: ArrayLike | None = None, last: int | None = None) -> Tracks:
        """Go on with the frames after those of the call before.

        :param tracks: rows of these frames.
        :param appearance: (R, D), or None.
        :param last: the last of these frames, which may be without objects; default: that of the last row.
        :return: rows whose identities are decided, in order of frames.
        :raises ValueError: for frames that were added before, and appearances that do not fit.
        """
        looks = appearance_of(appearance, len(tracks))
        if len(tracks) and tracks.frame.min() <= self._frame:
            raise ValueError(f"tracks: expected frames from {self._frame + 1} on, got frame {tracks.frame.min()}.")
        end = int(tracks.frame.max(initial=self._frame)) if last is None else last
        done = []
        for frame in range(self._frame + 1, end + 1):
            here = np.nonzero(tracks.frame == frame)[0]
            here = here[np.argsort(tracks.identity[here])]
            done += self._advance(frame, tracks.rows(here), looks[here])
        return concatenate(done)

    def finish(self) -> Tracks:
        """The rows of the last frames, when no more will come; tracks that began there are decided by what there is."""
        born = sorted({life.first for life in self._lives.values() if life.known is None})
        done: list[Tracks] = []
        for frame in born:
            done += self._returned_until(frame - 1)
            self._decide(frame)
        return concatenate([*done, *self._returned_until(self._frame)])

    def _advance(self, frame: int, rows: Tracks, appearance: Numbers) -> list[Tracks]:
        self._frame = frame
        lives = [self._life_of(int(name)) for name in rows.identity]
        for life, box, seen in zip(lives, rows.box, appearance, strict=True):
            life.add(frame, box, seen)
        self._waiting.append((rows, lives))
        due = frame - self.delay
        if any(life.first == due and life.known is None for life in self._lives.values()):
            self._decide(due)
        self._forget()
        return self._returned_until(due)

    def _life_of(self, name: int) -> _Life:
        """The track that goes on under this name of the tracker, or a new one."""
        life = self._lives.get(name)
        if life is not None and life.known is not None and life.known.lives[-1] is not life:
            if life.last < self._frame - 1:  # it was gone, and another track took its object over
                life = None
        if life is None:
            life = self._lives[name] = _Life(self._frame, self._begun)
            self._begun += 1
            self._past = [*self._past, life][-ESTIMATED_FROM:]
        return life

    # ------------------------------------------------------------ decisions

    def _decide(self, first: int) -> None:
        """Decide on the tracks that began in a frame."""
        new = [life for life in self._lives.values() if life.first == first and life.known is None]
        new.sort(key=lambda life: life.number)
        lost = [each for each in self._known if self._may_return(each, first)]
        taken: dict[int, int] = {}
        if lost:
            scores = self._scores([each.lives for each in lost], new)
            ends, begins = np.indices(scores.shape).reshape(2, -1)
            links = assigned(ends, begins + len(lost), scores.reshape(-1), len(lost) + len(new))
            taken = {begin - len(lost): end for begin, end in links.before.items()}
            self._decided += len(new)
            self._returned += sum(1 / (1 + np.exp(-value)) for value in links.ratio.values())
        for index, life in enumerate(new):
            if index in taken:
                life.known = lost[taken[index]]
                life.known.lives = [*life.known.lives, life][-LIVES_KEPT:]
            else:
                life.known = _Known(self._named, [life])
                self._known.append(life.known)
                self._named += 1

    def _may_return(self, known: _Known, first: int) -> bool:
        """Whether an object is gone, or fades, when a track begins."""
        fading = known.last - first < min(self.delay, OVERLAP) and known.last < self._frame
        return known.lives[-1].first < first and fading and first - known.last <= self.memory

    def _scores(self, lost: list[list[_Life]], new: list[_Life]) -> Numbers:
        """Log-ratios, with the prior, of each object that may return and each track that begins. (N, n)"""
        model = self._estimate()
        flat = [life for lives in lost for life in lives]
        tracks, pieces = self._pieces([*flat, *new])
        of_object = np.repeat(np.arange(len(lost)), [len(lives) for lives in lost])
        latest = np.cumsum([len(lives) for lives in lost]) - 1
        starts = np.append(0, latest[:-1] + 1)
        ends, begins = np.repeat(latest, len(new)), np.tile(np.arange(len(flat), len(pieces)), len(lost))
        known, fresh = prior_of(self.returns, model.appearances is not None)
        anywhere = ANYWHERE if model.appearances is not None else 0.0
        nowhere = np.full((len(ends), 2), np.nan)
        ratio = of_place.log_ratio(pieces, ends, begins, model.motion, self.image_size, anywhere, nowhere)
        together = pieces.first[begins] <= pieces.last[ends]
        overlap = of_place.log_density_of_overlap(tracks, pieces, ends[together], begins[together])
        ratio[together] = overlap + np.log(self.image_size[0] * self.image_size[1])
        if model.appearances is not None:
            pool = pool_of(pieces, model.appearances)
            past = Pool(*(np.add.reduceat(part[: len(flat)], starts, axis=0) for part in pool))
            ratio += of_appearance.log_ratio(past.of(of_object[ends]), pool.of(begins), model.appearances.between)
        share = (known + self._returned) / (known + fresh + self._decided)
        scores: Numbers = (ratio + np.log(share / (1 - share))).reshape(len(lost), len(new))
        return scores

    def _estimate(self) -> _Model:
        """How objects move and what they look like, from the latest tracks; estimated anew now and then."""
        if self._model is None or self._frame - self._estimated >= ESTIMATED_EVERY:
            tracks, pieces = self._pieces(self._past)
            appearances = two_covariances(pieces, known_within=self.within) if pieces.appearance.shape[1] else None
            if appearances is not None and not len(appearances.between):
                appearances = None  # they tell nothing apart
            self._model, self._estimated = _Model(motion_of(tracks, pieces), appearances), self._frame
        return self._model

    def _pieces(self, lives: Iterable[_Life]) -> tuple[Tracks, Pieces]:
        """Pieces of these tracks, in their order."""
        kept = list(lives)
        boxes = np.array([box for life in kept for box in life.boxes])
        counts = [len(life.boxes) for life in kept]
        frame, x, y, width, height = boxes.T
        identity, one = np.repeat(np.arange(len(kept)), counts), np.ones(len(boxes))
        tracks = Tracks(frame.astype(np.int64), identity, x, y, width, height, one, one)
        appearance = np.array([seen for life in kept for seen in life.appearances])
        ends = np.cumsum([0, *counts])
        groups = [np.arange(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)]
        return tracks, pieces_of(tracks, appearance, wholly_in_view(tracks, self.image_size), groups)

    # ------------------------------------------------------------ results

    def _returned_until(self, frame: int) -> list[Tracks]:
        """Rows up to a frame, under the names of their objects; of two of one object, the fainter one is left out."""
        done = []
        while self._waiting and (not len(self._waiting[0][0]) or self._waiting[0][0].frame[0] <= frame):
            rows, lives = self._waiting.pop(0)
            names = np.array([-1 if life.known is None else life.known.name for life in lives], np.int64)
            order = np.lexsort((-rows.presence, names))
            kept = order[np.diff(names[order], prepend=-1) > 0]
            done.append(replace(rows.rows(kept), identity=names[kept]))
        return done

    def _forget(self) -> None:
        """Forget objects that are gone for too long, and the tracker's names for their tracks."""
        oldest = self._frame - self.delay - self.memory
        self._known = [known for known in self._known if known.last >= oldest]
        self._lives = {name: life for name, life in self._lives.items() if life.last >= oldest}
