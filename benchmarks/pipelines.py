"""What people use to track without training: background subtraction and a linker, and trackpy.

Three pipelines, each as somebody would write it who knows the tools:

- *trackpy*: `locate` on the difference from the background, then `link`.
- *laptrack*: blobs of the difference, touching ones split, linked by laptrack.
- *OC-SORT*: the same blobs, linked by OC-SORT of roboflow's `trackers`.

They need the extra ``rivals``. Boxes are (left, top, width, height) in px.
"""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.tracks.table import Tracks

Bytes = NDArray[np.uint8]
Boxes = NDArray[np.float64]  # (n, 4)

# Frames whose median is the background.
MEDIAN_OF = 60
# px; differences are smoothed by this much against noise.
SMOOTHING = 0.7
# Frames that give the threshold, and how many standard deviations of the noise it is at least.
LOOKED_AT, NOISES = 12, 6.0
# A blob of more typical areas than this holds several objects.
SEVERAL = 1.7
# Peaks of the distance transform are at least this many sizes apart, and this share of the highest.
APART, PEAK = 0.35, 0.5
# A part of a blob is an object from this share of a typical area on.
PART = 0.2
# Larger objects are shrunk to about this many px before trackpy looks for them, as it looks for small spots.
SPOT = 13
# Grey values added before brightness is compared, so that black pictures have a brightness.
OFFSET = 8.0


class Missing(ConfigError):
    """A package that a pipeline needs is not installed."""


@dataclass(frozen=True)
class Blobs:
    """How objects are found in differences.

    :param threshold: in units of Otsu's threshold of what is above the noise.
    :param closing: gaps that are closed, in sizes.
    :param least_area: in squared sizes.
    :param split: split blobs that are larger than one object.
    """

    threshold: float = 0.6
    closing: float = 0.0
    least_area: float = 0.12
    split: bool = True


@dataclass(frozen=True)
class Lap:
    """laptrack: farthest step in sizes, frames of a gap, and frames of the shortest track."""

    reach: float = 1.0
    gap: int = 5
    shortest: int = 4


@dataclass(frozen=True)
class OcSort:
    """OC-SORT: the library's names; its own defaults are 0.3, 30 and 3."""

    minimum_iou_threshold: float = 0.3
    lost_track_buffer: int = 30
    minimum_consecutive_frames: int = 3


@dataclass(frozen=True)
class Spots:
    """trackpy.locate: the diameter in sizes, and the least mass as a share of the median of the strongest spots."""

    diameter: float = 1.0
    mass: float = 0.25


@dataclass(frozen=True)
class Link:
    """trackpy.link: farthest step in sizes, frames of a gap, straight on or nearest, frames of the shortest track."""

    reach: float = 1.0
    memory: int = 5
    velocity: bool = False
    shortest: int = 4


class Detections(NamedTuple):
    """Boxes of all frames."""

    frame: NDArray[np.int64]
    box: Boxes

    def until(self, frame: int) -> "Detections":
        """Those of the first frames."""
        return Detections(self.frame[self.frame < frame], self.box[self.frame < frame])


def tracks_of(frame: NDArray[Any], identity: NDArray[Any], box: Boxes) -> Tracks:
    """Tracks of boxes."""
    left, top, width, height = np.asarray(box, np.float64).reshape(-1, 4).T
    ones, unknown = np.ones(len(left)), np.full(len(left), np.nan)
    number, name = np.asarray(frame, np.int64).reshape(-1), np.asarray(identity, np.int64).reshape(-1)
    return Tracks(number, name, left + width / 2, top + height / 2, width, height, ones, unknown)


# ------------------------------------------------------------------ what moves


def differences(video: Path) -> Bytes:
    """How much each pixel differs from the background, the largest of its channels; (T, H, W).

    :raises ConfigError: if the video cannot be read.
    """
    frames = _frames(video)
    chosen = np.linspace(0, len(frames) - 1, min(MEDIAN_OF, len(frames))).astype(int)
    background = np.median(frames[chosen], 0).astype(np.float32)
    found = np.empty(frames.shape[:3], np.uint8)
    for t, frame in enumerate(frames):
        gain = float(np.median((frame[::4, ::4] + OFFSET) / (background[::4, ::4] + OFFSET)))  # slow light
        apart = np.abs(frame - (background * gain + OFFSET * (gain - 1))).max(-1)
        found[t] = np.clip(cv2.GaussianBlur(apart, (0, 0), SMOOTHING), 0, 255)
    return found


def _frames(video: Path) -> Bytes:
    capture, frames = cv2.VideoCapture(str(video)), []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(frame)
    if not frames:
        raise ConfigError(f"{video}: expected a video that OpenCV can read, got no frame.")
    return np.stack(frames)


def otsu(apart: Bytes) -> tuple[float, float]:
    """Otsu's threshold of what is above the noise, and the least threshold that the noise allows."""
    looked = apart[np.linspace(0, len(apart) - 1, min(LOOKED_AT, len(apart))).astype(int)].astype(np.float32)
    middle = float(np.median(looked))
    noise = middle + NOISES * 1.4826 * max(0.5, float(np.median(np.abs(looked - middle))))
    above = looked[looked > noise].astype(np.uint8)
    return (float(cv2.threshold(above.reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)[0]) if len(above) else noise), noise


def blobs(apart: Bytes, size: float, how: Blobs) -> Detections:
    """A box for each object."""
    level, noise = otsu(apart)
    masks = (_mask(frame, max(noise, how.threshold * level), size, how.closing) for frame in apart)
    found = [(mask, *_components(mask, how.least_area * size**2)) for mask in masks]
    areas = np.concatenate([area for _, _, area in found])
    typical = float(np.median(areas)) if len(areas) else 1.0
    boxes = [_split(mask, box, area, size, typical) if how.split and len(box) else box for mask, box, area in found]
    frame = np.repeat(np.arange(len(boxes)), [len(each) for each in boxes])
    return Detections(frame, np.concatenate([each.reshape(-1, 4) for each in boxes]))


def _mask(apart: Bytes, threshold: float, size: float, closing: float) -> Bytes:
    mask = (apart > threshold).astype(np.uint8)
    if size > 9:
        mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    side = round(closing * size) // 2 * 2 + 1
    if side > 1:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)
    return mask


def _components(mask: Bytes, least: float) -> tuple[Boxes, NDArray[np.float64]]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= least].astype(np.float64)
    return kept[:, :4], kept[:, cv2.CC_STAT_AREA]


def _split(mask: Bytes, box: Boxes, area: NDArray[np.float64], size: float, typical: float) -> Boxes:
    """Blobs of several objects, each pixel given to the nearest peak of the distance transform."""
    parts: list[Boxes] = []
    for each, pixels in zip(box, area, strict=True):
        split = _parts(mask, each.astype(int), size, typical) if pixels > SEVERAL * typical else []
        parts += split or [each]
    return np.array(parts)


def _parts(mask: Bytes, box: NDArray[Any], size: float, typical: float) -> list[Boxes]:
    left, top, width, height = box
    blob = np.pad(mask[top : top + height, left : left + width], 1)
    depth = cv2.GaussianBlur(cv2.distanceTransform(blob, cv2.DIST_L2, 5), (0, 0), max(0.8, size / 12))
    side = 2 * max(2, int(APART * size)) + 1
    peak = (depth == cv2.dilate(depth, np.ones((side, side), np.uint8))) & (depth > PEAK * depth.max())
    peaks = np.argwhere(peak)
    if len(peaks) < 2:
        return []
    pixels = np.argwhere(blob)
    nearest = ((pixels[:, None] - peaks[None]) ** 2).sum(-1).argmin(1)
    split = []
    for k in range(len(peaks)):
        own = pixels[nearest == k] - 1
        if len(own) > PART * typical:
            (y, x), (bottom, right) = own.min(0), own.max(0) + 1
            split.append(np.array([left + x, top + y, right - x, bottom - y], np.float64))
    return split


def typical_size(apart: Bytes) -> float:
    """Side of an object in px, as a user without labels would read it off: of the blob that a typical pixel is in.

    Blobs count by their areas, because specks of noise may be more than objects.
    """
    level, noise = otsu(apart)
    masks = [_mask(frame, max(noise, Blobs().threshold * level), 10, 0) for frame in apart[:: max(1, len(apart) // 50)]]
    found = [_components(mask, 9) for mask in masks]
    box, area = np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])
    if not len(box):
        return 10.0
    side = np.sqrt(box[:, 2] * box[:, 3])
    order = np.argsort(side)
    return float(side[order][np.searchsorted(area[order].cumsum(), area.sum() / 2)])


# ------------------------------------------------------------------ linking


def link_lap(found: Detections, size: float, how: Lap) -> Tracks:
    """Tracks by laptrack: steps and gaps by distance of centres."""
    from laptrack import LapTrack

    if not len(found.frame):
        return tracks_of(found.frame, found.frame, found.box)
    reach = how.reach * size
    tracker = LapTrack(
        cutoff=reach**2,
        gap_closing_cutoff=(1.5 * reach) ** 2,
        gap_closing_max_frame_count=how.gap,
        splitting_cutoff=False,
        merging_cutoff=False,
    )
    table = _table(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linked, _, _ = tracker.predict_dataframe(table, ["x", "y"], frame_col="frame", only_coordinate_cols=False)
    linked = linked.drop(columns=["frame"], errors="ignore").reset_index()
    return _without_short(linked["row"].to_numpy(), linked["track_id"].to_numpy(), found, how.shortest)


def link_oc_sort(found: Detections, how: OcSort) -> Tracks:
    """Tracks by OC-SORT."""
    import supervision
    import trackers

    tracker = trackers.OCSORTTracker(**vars(how))
    frame, identity, box = [], [], []
    starts = np.searchsorted(found.frame, np.arange(int(found.frame.max(initial=-1)) + 2))
    for t, (start, stop) in enumerate(itertools.pairwise(starts)):
        here = found.box[start:stop].astype(np.float32)
        seen = supervision.Detections(
            xyxy=np.hstack([here[:, :2], here[:, :2] + here[:, 2:]]),
            confidence=np.full(len(here), 0.95, np.float32),
            class_id=np.zeros(len(here), int),
        )
        reported = tracker.update(seen)
        if reported.tracker_id is None:
            continue
        for corners, number in zip(reported.xyxy, reported.tracker_id, strict=True):
            if number is not None and number >= 0:
                frame.append(t)
                identity.append(int(number))
                box.append([*corners[:2], *(corners[2:] - corners[:2])])
    return tracks_of(np.array(frame), np.array(identity), np.array(box))


def _table(found: Detections) -> pd.DataFrame:
    centre = found.box[:, :2] + found.box[:, 2:] / 2
    return pd.DataFrame(
        {"frame": found.frame, "x": centre[:, 0], "y": centre[:, 1], "row": np.arange(len(found.frame))}
    )


def _without_short(row: NDArray[Any], identity: NDArray[Any], found: Detections, shortest: int) -> Tracks:
    _, number, count = np.unique(identity, return_inverse=True, return_counts=True)
    kept = count[number] >= shortest
    return tracks_of(found.frame[row[kept]], number[kept], found.box[row[kept]])


# ------------------------------------------------------------------ trackpy


def spots(apart: Bytes, size: float, diameter: float) -> pd.DataFrame:
    """What trackpy locates, of any mass; columns frame, x, y, mass, in px of the video."""
    import trackpy

    trackpy.quiet()
    shrunk = max(1, round(size / SPOT))
    side = max(3, round(diameter * size / shrunk) // 2 * 2 + 1)
    tables = []
    for t, frame in enumerate(apart):
        if shrunk > 1:
            small = (frame.shape[1] // shrunk, frame.shape[0] // shrunk)
            frame = np.asarray(cv2.resize(frame, small, interpolation=cv2.INTER_AREA), np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            located = trackpy.locate(frame, side, minmass=0)[["x", "y", "mass"]].astype(float)  # also where it is empty
        located[["x", "y"]] = (located[["x", "y"]] + 0.5) * shrunk
        tables.append(located.assign(frame=t))
    return pd.concat(tables, ignore_index=True)


def strong(located: pd.DataFrame, mass: float, per_frame: float) -> pd.DataFrame:
    """Spots of at least a share of the median mass of the strongest, which are as many as objects."""
    frames = located["frame"].nunique()
    strongest = located["mass"].nlargest(max(1, round(per_frame * frames)))
    return located[located["mass"] >= mass * strongest.median()].reset_index(drop=True)


def boxed(located: pd.DataFrame, box: tuple[float, float]) -> Detections:
    """Spots as boxes of one size."""
    centre, side = located[["x", "y"]].to_numpy(np.float64), np.array(box)
    return Detections(located["frame"].to_numpy(np.int64), np.hstack([centre - side / 2, 0 * centre + side]))


def link_spots(found: Detections, size: float, how: Link) -> Tracks:
    """Tracks by trackpy; where too many could be linked, it is told to look less far, as its manual says."""
    import trackpy

    trackpy.quiet()
    if not len(found.frame):
        return tracks_of(found.frame, found.frame, found.box)
    table, link = _table(found), trackpy.link
    if how.velocity:
        link = trackpy.predict.NearestVelocityPredict().link_df
    for reach in _shorter(how.reach * size):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a velocity that is not known yet
                linked = link(table.copy(), reach, memory=how.memory, adaptive_stop=reach / 6, adaptive_step=0.9)
        except trackpy.SubnetOversizeException:
            continue
        return _without_short(linked["row"].to_numpy(), linked["particle"].to_numpy(), found, how.shortest)
    return tracks_of(np.empty(0), np.empty(0), np.empty((0, 4)))


def _shorter(reach: float) -> Iterator[float]:
    return (reach * 0.8**k for k in range(8))


def require(names: Sequence[str]) -> None:
    """See that the packages are installed.

    :raises Missing: if one is not.
    """
    import importlib.util

    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise Missing(f"expected {', '.join(missing)} to be installed (pip install 'scalor_pyro[rivals]').")
