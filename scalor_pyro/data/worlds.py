"""Worlds: the objects of a batch of videos and their positions, before anything is painted.

A counter-based generator, keyed by (seed, split), starts at the index of each video: a video is the same in every
batch, and does not depend on the ones before it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import DataConfig
from scalor_pyro.config.checks import shown
from scalor_pyro.data.background import BACKGROUND_NUMBERS
from scalor_pyro.data.motion import Departure, centres

Split = Literal["train", "test"]
SPLITS: tuple[str, ...] = get_args(Split)
# Random numbers of an object: glyph, hue, height above the others, and its departure (x, y, direction, speed).
OBJECT_NUMBERS = 7


@dataclass(frozen=True, eq=False)
class Worlds:
    """The objects of a batch of videos, from back to front."""

    identity: NDArray[np.int64]  # (B, N), unique within a video
    glyph: NDArray[np.int64]  # (B, N), index into the bank of glyphs
    colour: NDArray[np.float32]  # (B, N, 3) in [0, 1]
    centre: NDArray[np.float64]  # (B, N, T, 2): x, y in px
    alive: NDArray[np.bool_]  # (B, N, T); False before an object appears, and in unused rows
    backdrop: NDArray[np.float64]  # (B, BACKGROUND_NUMBERS), random numbers of the background


def draw_worlds(config: DataConfig, seed: int, split: Split, indices: range, glyphs: int, frames: int) -> Worlds:
    """The worlds of some videos of a stream.

    :param indices: of the videos.
    :param glyphs: number of glyphs to choose from.
    :param frames: T, the number of frames from the first on.
    """
    groups = _group_sizes(config)
    arrivals = len(config.arrivals)
    total = 1 + arrivals + BACKGROUND_NUMBERS + sum(groups) * OBJECT_NUMBERS
    numbers = np.stack([_uniform(seed, split, index, total) for index in indices])
    counts, backdrop, objects = np.split(numbers, [1 + arrivals, 1 + arrivals + BACKGROUND_NUMBERS], axis=1)
    objects = objects.reshape(len(indices), sum(groups), OBJECT_NUMBERS)

    exists = _exist(counts, config)
    born = np.broadcast_to(np.repeat([0, *config.arrivals], groups), exists.shape)
    glyph, hue, height, *departure = np.moveaxis(objects, -1, 0)
    position = centres(Departure(*departure), born, config, frames)
    alive = exists[..., None] & (np.arange(frames) >= born[..., None])
    colour = hue_to_rgb(hue) if config.objects == "sprites" else np.ones((*hue.shape, 3), np.float32)

    # Unused rows go last; those that no video of the batch uses are dropped.
    order = np.argsort(np.where(exists, height, 2.0), axis=1, kind="stable")[:, : exists.sum(1).max()]
    rows = np.arange(len(indices))[:, None]
    return Worlds(
        identity=order,
        glyph=(glyph[rows, order] * glyphs).astype(np.int64),
        colour=colour[rows, order],
        centre=position[rows, order],
        alive=alive[rows, order],
        backdrop=backdrop,
    )


def require_stream(seed: int, split: str) -> None:
    """Refuse a stream of videos that does not exist.

    :raises ValueError: for an unknown split, or a seed out of range.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected 'train' or 'test', got {shown(split)}.")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected a whole number from 0 to 2**64 - 1, got {shown(seed)}.")


def require_batch(start: int, count: int, frames: int, longest: int) -> None:
    """Refuse videos that no stream has.

    :param longest: frames of a whole video.
    :raises ValueError: for a number out of range.
    """
    if start < 0:
        raise ValueError(f"start: expected an index from 0, got {shown(start)}.")
    if count < 1:
        raise ValueError(f"count: expected at least 1 video, got {shown(count)}.")
    if not 1 <= frames <= longest:
        raise ValueError(f"frames: expected 1 to {longest}, got {shown(frames)}.")


def hue_to_rgb(hue: NDArray[np.float64]) -> NDArray[np.float32]:
    """Colours of full saturation and value.

    :param hue: (…) in [0, 1); 0 is red, 1/3 green, 2/3 blue.
    :returns: (…, 3) in [0, 1].
    """
    sector = np.mod(np.array([5.0, 3.0, 1.0]) + hue[..., None] * 6, 6)
    rgb: NDArray[np.float32] = (1 - np.clip(np.minimum(sector, 4 - sector), 0, 1)).astype(np.float32)
    return rgb


def _uniform(seed: int, split: Split, index: int, count: int) -> NDArray[np.float64]:
    key = np.array([seed, SPLITS.index(split)], np.uint64)
    counter = np.array([0, 0, 0, index], np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key)).random(count)


def _group_sizes(config: DataConfig) -> list[int]:
    """The most objects that are there from the start, and that each arrival adds."""
    return [config.count_max] + [config.arrival_max] * len(config.arrivals)


def _exist(numbers: NDArray[np.float64], config: DataConfig) -> NDArray[np.bool_]:
    """Which of the possible objects exist: (B, N)."""
    ranges = [(config.count_min, config.count_max)] + [(config.arrival_min, config.arrival_max)] * len(config.arrivals)
    groups = []
    for number, (low, high) in zip(numbers.T, ranges, strict=True):
        count = low + (number * (high - low + 1)).astype(np.int64)
        groups.append(np.arange(high) < count[:, None])
    return np.concatenate(groups, 1)
