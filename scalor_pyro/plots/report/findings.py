"""What a report says of tracks: figures of each track, and the places worth checking.

Everything comes from the tracks and from the events of linking; nothing here knows the truth. In px and frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.units import Speeds, rows_of_tracks

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

# A track seen in no more frames than this may be a false alarm.
SHORT = 5
# A track whose median presence is below this is faint.
FAINT = 0.6
# So many tracked frames in a row without the object are a long gap.
LONG_GAP = 10
# Nats: a link that is less likely than this (20 to 1) is doubtful.
WEAK_LINK = 3.0
# A longer step from one tracked frame to the next is a jump; in sides of the box.
JUMP = 2.0
# Two tracks whose boxes overlap in several frames may be of one object: the least IoU, the fewest frames.
SAME_PLACE, SAME_FRAMES = 0.5, 5
# Frames in which overlaps are looked for; of a longer video, evenly spaced ones.
LOOKED_AT = 4000


@dataclass(frozen=True, eq=False)
class TrackFigures:
    """Figures of P tracks, in order of identities."""

    identity: Counts
    first: Counts  # frame
    last: Counts
    seen: Counts  # frames with a row that is not predicted
    gaps: Counts  # how many times the object was not seen
    longest_gap: Counts  # tracked frames
    lost: Counts  # last frame before the longest gap; of a track without gaps, its first
    presence: Numbers  # median
    size: Numbers  # px, median side: of the mask's area where it is known, else of the box
    speed: Numbers  # px per frame, median; NaN for a track of one frame
    distance: Numbers  # px along the path

    def __len__(self) -> int:
        """P, the number of tracks."""
        return len(self.identity)


# Figures that count something.
WHOLE_NUMBERS = ("identity", "first", "last", "seen", "gaps", "longest_gap", "lost")


class Doubt(NamedTuple):
    """A place worth checking."""

    kind: str  # of KINDS
    identity: int
    frame: int
    about: str  # what was found, in words
    other: int | None = None  # another identity that it concerns


# Kinds of doubts, in the order of the page: title, and what it may mean.
KINDS = {
    "link": ("Doubtful links", "Two tracks were joined though that is less than 20 times as likely as two objects."),
    "cut": ("Cuts", "The appearance changed for good, so the track was cut: it had gone over to another object."),
    "jump": ("Jumps", f"From one frame to the next by more than {JUMP:g} sides of the box: perhaps another object."),
    "overlap": ("Same place", f"Two boxes overlap by half for {SAME_FRAMES} frames or more: perhaps one object twice."),
    "gap": ("Long gaps", f"Not seen for {LONG_GAP} tracked frames or more within the track."),
    "faint": ("Faint tracks", f"Median presence below {FAINT:g}: perhaps no object."),
    "short": ("Short tracks", f"Seen in {SHORT} frames or fewer: perhaps no object, or a part of another track."),
}


def side_of(tracks: Tracks) -> tuple[Numbers, str]:
    """px, the side of each object, and what it is measured by. (R,)"""
    if np.isfinite(tracks.area).any():
        return np.sqrt(tracks.area), "square root of the area of the mask"
    return np.sqrt(tracks.width * tracks.height), "square root of width × height of the box"


def speed_of(tracks: Tracks) -> Numbers:
    """px per frame of each row since the one before; NaN in the first row of a track, and where rows are predicted."""
    return np.where(tracks.predicted, np.nan, Speeds().of(tracks))


def figures_of(tracks: Tracks, stride: int = 1) -> TrackFigures:
    """Figures of each track.

    :param stride: frames from one that was tracked to the next.
    """
    side, speed, found = side_of(tracks)[0], speed_of(tracks), []
    for rows in rows_of_tracks(tracks):
        seen = rows[~tracks.predicted[rows]] if not tracks.predicted[rows].all() else rows
        frame = tracks.frame[seen]
        missing = np.diff(frame) // stride - 1
        known = speed[rows][np.isfinite(speed[rows])]
        path = np.hypot(np.diff(tracks.x[rows]), np.diff(tracks.y[rows])).sum()
        found.append(
            (
                *(tracks.identity[rows[0]], frame[0], frame[-1], len(seen)),
                *((missing > 0).sum(), missing.max(initial=0), frame[np.argmax(missing)] if len(missing) else frame[0]),
                *(np.median(tracks.presence[seen]), _median(side[seen])),
                *(np.median(known) if len(known) else np.nan, path),
            )
        )
    names = [each.name for each in fields(TrackFigures)]
    columns: dict[str, Any] = dict(zip(names, np.array(found, np.float64).reshape(-1, len(names)).T, strict=True))
    return TrackFigures(**columns | {name: columns[name].astype(np.int64) for name in WHOLE_NUMBERS})


def counts_of(tracks: Tracks, frames: Counts) -> Counts:
    """How many objects each of these frames has."""
    numbers, counts = np.unique(tracks.frame, return_counts=True)
    at = np.searchsorted(numbers, frames)
    found = np.append(counts, 0)[at]
    there: Counts = np.where(np.append(numbers, -1)[at] == frames, found, 0)
    return there


def doubts_of(tracks: Tracks, figures: TrackFigures, events: pd.DataFrame | None, stride: int = 1) -> list[Doubt]:
    """Everything worth checking, by kind, in order of frames.

    :param events: of :class:`~scalor_pyro.tracks.linking.Linked`; None where tracks were not linked.
    """
    found = [
        *_of_events(events, set(figures.identity.tolist())),
        *_jumps(tracks, stride),
        *_overlaps(tracks, stride),
        *_of_figures(figures),
    ]
    order = list(KINDS)
    return sorted(found, key=lambda each: (order.index(each.kind), each.frame, each.identity))


def _of_events(events: pd.DataFrame | None, identities: set[int]) -> Iterator[Doubt]:
    if events is None:
        return
    for kind, frame, particle, gap, ratio in zip(
        *(events[name].tolist() for name in ("event", "frame", "particle", "gap", "log_ratio")), strict=True
    ):
        if particle not in identities:
            continue
        if kind in ("link", "overlap") and ratio < WEAK_LINK:
            missed = f"after {gap:.0f} frames without it" if gap > 0 else "without a gap"
            yield Doubt("link", particle, frame, f"joined {missed}, {ratio:.1f} nats")
        if kind == "cut":
            yield Doubt("cut", particle, frame, "begins where another track was cut")


def _jumps(tracks: Tracks, stride: int) -> Iterator[Doubt]:
    side = np.sqrt(tracks.width * tracks.height)
    for rows in rows_of_tracks(tracks.rows(~tracks.predicted)):
        seen = np.nonzero(~tracks.predicted)[0][rows]
        step = np.hypot(np.diff(tracks.x[seen]), np.diff(tracks.y[seen]))
        next_frame = np.diff(tracks.frame[seen]) == stride
        sides = step / np.maximum(side[seen][:-1], 1e-9)
        for at in np.nonzero(next_frame & (sides > JUMP))[0].tolist():
            there = int(tracks.frame[seen[at + 1]])
            yield Doubt("jump", int(tracks.identity[seen[0]]), there, f"by {step[at]:.0f} px, {sides[at]:.1f} sides")


def _overlaps(tracks: Tracks, stride: int) -> Iterator[Doubt]:
    frames = np.unique(tracks.frame)
    every = -(-len(frames) // LOOKED_AT) or 1
    ordered = tracks.in_order()
    together: dict[tuple[int, int], list[int]] = {}
    for frame in frames[::every]:
        begin, end = np.searchsorted(ordered.frame, [frame, frame + 1])
        for pair in _overlapping(ordered.rows(np.arange(begin, end))):
            together.setdefault(pair, []).append(int(frame))
    for (one, other), shared in together.items():
        if len(shared) * every >= SAME_FRAMES:
            yield Doubt("overlap", one, shared[0], f"in {len(shared) * every} frames", other)


def _overlapping(here: Tracks) -> Iterator[tuple[int, int]]:
    """Pairs of identities in a frame whose boxes overlap."""
    area, inside = here.width * here.height, np.ones((len(here), len(here)))
    for centre, side in ((here.x, here.width), (here.y, here.height)):
        low = np.maximum.outer(centre - side / 2, centre - side / 2)
        inside *= np.maximum(np.minimum.outer(centre + side / 2, centre + side / 2) - low, 0)
    union = np.add.outer(area, area) - inside
    pairs = np.argwhere(np.triu((inside >= SAME_PLACE * union) & (union > 0), k=1))
    for i, j in pairs.tolist():
        yield int(here.identity[i]), int(here.identity[j])


def _of_figures(figures: TrackFigures) -> Iterator[Doubt]:
    for i, identity in enumerate(figures.identity.tolist()):
        first = int(figures.first[i])
        if figures.longest_gap[i] >= LONG_GAP:
            yield Doubt("gap", identity, int(figures.lost[i]), f"not seen for up to {figures.longest_gap[i]} frames")
        if figures.presence[i] < FAINT:
            yield Doubt("faint", identity, first, f"median presence {figures.presence[i]:.2f}")
        if figures.seen[i] <= SHORT:
            frames = "1 frame" if figures.seen[i] == 1 else f"{figures.seen[i]} frames"
            yield Doubt("short", identity, first, f"seen in {frames}")


def _median(values: Numbers) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
