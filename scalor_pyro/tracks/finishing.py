"""Finishing tracks when a whole video is tracked: linking, filters, and the same identities wherever they are shown."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from scalor_pyro.config import Crop
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.masks import BACKGROUND
from scalor_pyro.tracks.appearance import rows_of
from scalor_pyro.tracks.filters import FilterOptions, filtered
from scalor_pyro.tracks.linking import Linked, LinkOptions, link_in
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.tracker import Pictured

# The name of the table of events after the video's stem.
EVENTS = "-events.csv"


class Finished(NamedTuple):
    """Tracks after linking and filters."""

    tracks: Tracks
    appearance: NDArray[np.floating]  # (S, D) of the rows that are not predicted, in their order
    within: float | None  # see link
    linked: Linked
    renaming: "Renaming"

    @property
    def seen(self) -> Tracks:
        """The rows that are not predicted."""
        return self.tracks.rows(~self.tracks.predicted)


def finish(
    tracks: Tracks,
    appearance: NDArray[np.floating] | None,
    view: Crop | None,
    linking: LinkOptions,
    filters: FilterOptions,
    within: float | None = None,
) -> Finished:
    """Link and filter the tracks of a whole video.

    :param tracks: without predicted rows.
    :param appearance: (R, D), or None.
    :param view: where objects were looked for, px; None: the smallest rectangle that holds them.
    :param within: see :func:`~scalor_pyro.tracks.linking.link`.
    """
    linked = link_in(view, tracks, appearance, linking, within)
    joined = linked.tracks
    final = filtered(joined, filters)
    seen = final.rows(~final.predicted)
    rows = np.nonzero(linked.kept)[0][rows_of(seen, joined.frame, joined.identity)]
    known = np.zeros((len(tracks), 0)) if appearance is None else appearance
    return Finished(final, known[rows], within, linked, Renaming(tracks, linked.identity, final))


class Renaming:
    """What an identity of the tracker is called in the finished tracks; it depends on the frame where tracks were cut.

    :param tracks: as they were tracked.
    :param identity: (R,) the new identity of each row.
    :param final: the finished tracks, which may lack identities that filters left out.
    """

    def __init__(self, tracks: Tracks, identity: NDArray[np.int64], final: Tracks) -> None:
        new = np.where(np.isin(identity, final.identity), identity, BACKGROUND)
        order = np.lexsort((tracks.frame, tracks.identity))
        self._by_name: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for rows in np.split(order, np.nonzero(np.diff(tracks.identity[order]))[0] + 1) if len(order) else ():
            self._by_name[int(tracks.identity[rows[0]])] = tracks.frame[rows], new[rows]

    def of(self, frame: int, identities: NDArray[np.int64]) -> NDArray[np.int64]:
        """Identities in a frame, of any shape; -2, the background, where an object was never reported or left out."""
        names, where = np.unique(identities, return_inverse=True)
        renamed: NDArray[np.int64] = np.array([self._one(frame, int(name)) for name in names], np.int64)
        return renamed[where.reshape(identities.shape)]

    def _one(self, frame: int, name: int) -> int:
        if name not in self._by_name:
            return min(name, -1) if name < 0 else BACKGROUND
        frames, new = self._by_name[name]
        return int(new[max(0, int(np.searchsorted(frames, frame, side="right")) - 1)])


def renamed(pictured: Pictured, renaming: Renaming) -> Pictured:
    """The first frames, with the identities of the finished tracks."""
    inference = pictured.inference
    parts = {"identity": inference.identity.clone(), "segments": inference.segments.clone()}
    for part in parts.values():
        for t, number in enumerate(pictured.numbers.tolist()):
            part[:, t] = torch.from_numpy(renaming.of(number, part[:, t].numpy()))
    return pictured._replace(inference=inference._replace(**parts))


def frame_by_frame(tracks: Tracks) -> Iterator[Tracks]:
    """The rows of each frame that has some."""
    ordered = tracks.in_order()
    for rows in np.split(np.arange(len(ordered)), np.nonzero(np.diff(ordered.frame))[0] + 1) if len(ordered) else ():
        yield ordered.rows(rows)


def write_events(path: str | os.PathLike[str], events: pd.DataFrame) -> None:
    """Write the events of :class:`~scalor_pyro.tracks.linking.Linked` as CSV; the file appears whole or not at all."""
    table = events.astype({"gap": "Int64"})
    write_atomically(Path(path), table.to_csv(index=False, float_format="%.3f", lineterminator="\n").encode())
