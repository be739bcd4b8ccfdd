"""Tracking an array for the widget, chunk after chunk; nothing here needs napari or Qt."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.filters import FilterOptions
from scalor_pyro.tracks.finishing import finish
from scalor_pyro.tracks.linking import LinkOptions
from scalor_pyro.tracks.masks import labels_in_source
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.tracker import chunk_of, load_for_tracking, tracker_of


@dataclass(frozen=True)
class Wanted:
    """What the user of the widget asks for."""

    weights: str = ANY_SCENE
    object_size: float = 0.0  # px; 0: found by a survey
    masks: bool = False
    link: bool = True


class Found(NamedTuple):
    """What was found."""

    tracks: Tracks
    labels: NDArray[np.int32] | None  # (T, H, W): 0 background, else identity + 1


def frames_of_image(data: Any, rgb: bool) -> NDArray[Any]:
    """The data of an image layer as frames, (T, H, W) or (T, H, W, C).

    :raises ConfigError: if it is no film.
    """
    shape = tuple(data.shape)
    if len(shape) - rgb != 3:
        axes = "time, y, x and colour" if rgb else "time, y and x"
        raise ConfigError(f"image: expected the axes {axes}, got shape {shape}; slice it, or convert it, first.")
    return np.asarray(data)


def follow_array(frames: NDArray[Any], wanted: Wanted) -> Generator[int, None, Found]:
    """Track an array; after each chunk, how many frames it had.

    :param frames: (T, H, W) or (T, H, W, C).
    :raises ValueError: if it cannot be tracked with these options.
    """
    run = load_for_tracking(wanted.weights)
    tracker, video = tracker_of(run, frames, Options(object_size=wanted.object_size or None))
    parts: list[tuple[Tracks, NDArray[np.float32]]] = []
    owners: list[tuple[int, NDArray[np.int64]]] = []
    for chunk in video.chunks(chunk_of(tracker)):
        found = tracker.advance(chunk)
        parts.append((found.tracks, found.appearance))
        if wanted.masks:
            owners += zip(found.numbers.tolist(), found.segments(), strict=True)
        yield len(chunk.numbers)
    tracks = concatenate([part for part, _ in parts])
    appearance = np.concatenate([part for _, part in parts])
    linking = LinkOptions() if wanted.link else LinkOptions(gap=0)
    finished = finish(tracks, appearance, video.geometry.crop, linking, FilterOptions(), tracker.within)
    labels = None
    if wanted.masks:
        labels = np.zeros((len(frames), *video.info.size), np.int32)
        for number, owner in owners:
            labels[number] = labels_in_source(finished.renaming.of(number, owner), video.geometry)
    return Found(finished.tracks, labels)
