"""Tracking a whole video: its tracks as a table."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from scalor_pyro.config import ConfigError
from scalor_pyro.config.sizes import Example, ObjectSize
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks import linking
from scalor_pyro.tracks.any_scene.alike import Sizes
from scalor_pyro.tracks.opening import LOOKAHEAD, BoxesOf, Options, VideoLike
from scalor_pyro.tracks.side_by_side import parts_of, tracked
from scalor_pyro.tracks.table import concatenate, to_dataframe
from scalor_pyro.tracks.tracker import load_for_tracking, tracker_of
from scalor_pyro.tracks.units import Units, with_units
from scalor_pyro.training.device import device_of
from scalor_pyro.video import Crop


def track(
    video: VideoLike,
    weights: str | Path | TrainedRun = ANY_SCENE,
    *,
    crop: Crop | tuple[int, int, int, int] | None = None,
    start: int = 0,
    stop: int | None = None,
    stride: int | None = None,
    slots: int | None = None,
    object_size: ObjectSize | None = None,
    example: Example | None = None,
    sizes: Sizes = "auto",
    background_image: str | Path = "auto",
    lookahead: int = LOOKAHEAD,
    decide_by: Literal["evidence", "masks"] = "evidence",
    boxes: BoxesOf | None = None,
    device: str = "auto",
    link: bool = True,
    fps: float | None = None,
    um_per_px: float | None = None,
    processes: int = 1,
) -> pd.DataFrame:
    """Follow the objects of a video from its beginning to its end.

    The same tracks as ``scalor track``. Random states are not changed, and the global default dtype does not matter.

    :param video: a file, a folder of images, or an array (T, H, W) or (T, H, W, C) of 8-bit or other real numbers.
    :param weights: a run folder, a file of weights, the name of weights that come with the package
        (``scalor weights`` lists them), or a run that is loaded already; load it once to track many videos. Default:
        weights for any scene, which need no training.
    :param crop: where objects are looked for, px of the file: x, y, width, height; default: the region of the run.
    :param start: first frame.
    :param stop: frame before which to stop; default: the end.
    :param stride: track every n-th frame; default: as in training. 1 tracks all frames.
    :param slots: K, most objects at a time; default: as in the run, in proportion to the area.
    :param object_size: side of the box of a typical object, or its width and height, px of the file; default: found in
        the video, or, for weights that are not for any scene, the scale of training.
    :param example: box around one typical object, instead: x, y, width, height.
    :param sizes: how far the sizes of objects differ, with weights for any scene: "alike" (by 10 %), "any" (from 0.6
        to 1.4 of the typical one), or "auto" (a trial on some frames says).
    :param background_image: "run" (the image in the run folder), "video" (what is found in the video), "auto" (the
        first if it fits, else the second), or a picture of the empty scene.
    :param lookahead: frames after the first that are seen before it; 0: online, no frame depends on later ones.
    :param decide_by: whether an object is new, and still there, is decided by evidence
        (:mod:`~scalor_pyro.inference.evidence`) or by the overlap of masks.
    :param boxes: "mask" (the smallest box around the object's mask) or "glimpse" (that of z_where, usually somewhat
        wider); default: see :func:`~scalor_pyro.tracks.opening.boxes_for`.
    :param device: "auto" (a GPU if there is one), "cpu" or "cuda"; a run that is loaded already stays where it is.
    :param link: give tracks of one object one identity (:func:`~scalor_pyro.tracks.linking.link`).
    :param fps: frames per second of the recording; default: the file's, if it says, where `um_per_px` is given.
    :param um_per_px: µm per pixel of the file. With this or `fps`, the table also has columns in seconds and µm, see
        :mod:`~scalor_pyro.tracks.units`.
    :param processes: track so many parts of a long video at the same time, each by a process of its own
        (:mod:`~scalor_pyro.tracks.side_by_side`). As with all of Python's processes, the call then has to stand below
        ``if __name__ == "__main__":`` in a script.
    :return: a row for each object in each frame, see :func:`~scalor_pyro.tracks.table.to_dataframe`: frames from 0, px
        of the file.
    :raises ValueError: if the video or the weights cannot be read, or do not fit each other.
    """
    if processes < 1:
        raise ConfigError(f"processes: expected at least 1, got {processes}.")
    rectangle = crop if crop is None or isinstance(crop, Crop) else Crop(*crop)
    options = Options(
        rectangle,
        start,
        stop,
        stride,
        slots,
        object_size,
        example,
        sizes,
        os.fspath(background_image),
        lookahead=lookahead,
        decide_by=decide_by,
        boxes=boxes,
    )
    units = Units(fps, um_per_px)
    run = weights if isinstance(weights, TrainedRun) else load_for_tracking(weights, device_of(device))
    tracker, reader = tracker_of(run, video, options)
    parts = parts_of(tracker, reader, processes)
    found = [(each.tracks, each.appearance) for _, each in tracked(tracker, reader, video, parts)]
    tracks = concatenate([part for part, _ in found])
    if link and len(tracks):
        appearance = np.concatenate([part for _, part in found if len(part)])
        tracks = linking.link_in(reader.geometry.crop, tracks, appearance, within=tracker.within).tracks
    return with_units(to_dataframe(tracks), tracks, units.or_rate(reader.info.rate) if units else units)
