"""A trial: the model looks at some frames, and the masks that it draws say whether it sees them as it should.

A survey sees boxes of whatever moves, and takes parts for objects, or groups. The model has learned what objects are:
where the scale is wrong, it draws them smaller than those that it was trained on, or larger. Where all are alike, its
boxes need no other size (:mod:`~scalor_pyro.tracks.any_scene.alike`). Where it follows parts of objects, their tracks
stay together (:mod:`~scalor_pyro.tracks.any_scene.parts`).
"""

import logging
import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import AnySceneRunConfig, VideoRunConfig
from scalor_pyro.config.sizes import SIDE_OF_BOX
from scalor_pyro.data.movers import STILL, differences
from scalor_pyro.inference.evidence import worth_for
from scalor_pyro.inference.objects import reported
from scalor_pyro.inference.posterior import Inference, infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.views import nearest_size, with_view
from scalor_pyro.tracks.any_scene.alike import Sizes, box_ranges
from scalor_pyro.tracks.any_scene.looks import Look, look_at, size_of
from scalor_pyro.tracks.any_scene.parts import share_in_parts
from scalor_pyro.tracks.any_scene.shown import fullest_runs, resized_for, shown_frames
from scalor_pyro.tracks.any_scene.sizes import MARGIN, told_side
from scalor_pyro.tracks.shape import with_shapes
from scalor_pyro.tracks.table import Tracks, tracks_of
from scalor_pyro.video import Survey, Video
from scalor_pyro.video.blobs import joined

logger = logging.getLogger(__name__)

# Alpha above which a point belongs to a mask.
INSIDE = 0.5
# How many of the fullest runs of frames the model looks at; and px, the largest window of each, either way: a trial
# costs little whatever the video.
RUNS, WINDOW = 3, 128
# A window may hold this many times as many objects as its share of the frame.
DENSER = 3
# The fullest window is looked for round this many objects.
PLACES = 64
# Fewer masks say nothing.
LEAST_MASKS = 8
# Masks whose median side is within this factor of what was expected are right: so much it varies between made-up movers
# that are seen at the right scale.
TOLERATED = 1.35
# The first 40 frames are followed, in a window of 192 px or less each way, to see whether objects are held in parts …
FOLLOWED, FOLLOWED_WINDOW, SEEN_BEFORE = 40, 192, 8
# … as they are where at least this share of the tracks is: people who walk in company reach 0.38, halves of movers have
# 0.4 to 0.8. Then objects are looked for that are larger by this factor, and, if those are parts as well, once more.
# See docs/any_scene.md.
LEAST_IN_PARTS, LARGER, TIMES = 0.4, 1.4, 2
# Objects alike in perspective are more likely whole: made-up people in company reached 0.57.
LEAST_IN_PERSPECTIVE = 0.65


def mask_sides(inference: Inference) -> NDArray[np.float64]:
    """The side of the square that covers as much as an object, by the box around the mask of each that is reported.

    By the box, not by the mask's own area: a long body covers little of its box, and at the scale of its area it is too
    long for the boxes of the model.

    :return: (n,) px of the model; 0 for objects that have no mask.
    """
    kept = reported(inference)
    inside, where = inference.appearance[kept][:, -1] > INSIDE, inference.where[kept].double()
    height, width = inference.segments.shape[-2:]
    high, wide = (inside.any(axis).double().mean(-1) for axis in (-1, -2))
    sides: NDArray[np.float64] = (high * where[:, 1] * height * wide * where[:, 0] * width).sqrt().numpy()
    return SIDE_OF_BOX * sides


def misfit(sides: NDArray[np.float64], expected: float) -> float | None:
    """How many times as large as expected the masks of objects are, where they are clearly smaller or larger.

    :param sides: of masks, px of the model.
    :param expected: the side of the square with the area of an object, px of the model: `object_size` of a model for
        any scene.
    :return: None where they are as expected, or too few to tell.
    """
    if len(sides) < LEAST_MASKS:
        return None
    ratio = float(np.median(sides)) / expected
    return None if 1 / TOLERATED <= ratio <= TOLERATED else ratio


def look_for(
    scalor: Scalor,
    config: AnySceneRunConfig | VideoRunConfig,
    video: Video,
    seen: Survey,
    slots: int | None = None,
    correct: bool = True,
    sizes: Sizes = "auto",
) -> Look:
    """How to see a video: a network tells the scale, and trials correct it, which the log says, and bound the boxes.

    :param scalor: a model that sees differences.
    :param config: of its run.
    :param video: with the crop, the start, the stop and the stride that are asked for.
    :param seen: by a survey of it.
    :param slots: K; None: enough for the fullest frame.
    :param correct: False where the size of the objects was given.
    :param sizes: how far the sizes of objects may differ.
    """

    def seen_as(side: float) -> Look:
        """How objects of a size would be seen."""
        return look_at(config, video, slots=slots, seen=seen, side=side)

    def tried(side: float) -> tuple[Look, NDArray[np.float64]]:
        """The same with the bounds of boxes, and the sides of the objects' masks."""
        look = seen_as(side)
        found = trial(scalor, seen, look)
        return look._replace(boxes=box_ranges(scalor.config, *found, sizes)), found.sides

    told = told_side(seen, seen_as(seen.middle_side)) if correct else None
    side, typical = (seen.middle_side, seen.side) if told is None else (MARGIN * told, told)
    _say_if_not_as_surveyed(video, seen, side)
    with torch.random.fork_rng(devices=[]):
        look, sides = tried(side)
        correct = correct and look.note is None
        # The scale is not that of the typical object.
        ratio = misfit(sides, scalor.config.object_size * typical / side)
        if correct and ratio is not None:
            logger.warning(
                "%s: the masks of objects are %.1f times as large as expected, so objects of %.0f px are looked"
                " for, not of %.0f px; to give their size, use --object-size.",
                video.path,
                ratio,
                ratio * side,
                side,
            )
            side *= ratio
            look, _ = tried(side)
        larger = side
        for _ in range(TIMES if correct and look.note is None else 0):
            followed, least = look, LEAST_IN_PARTS
            if look.boxes is not None and look.boxes.perspective != 0:
                # Its boxes keep apart people in company, who touch as parts do.
                followed, least = look._replace(boxes=None), LEAST_IN_PERSPECTIVE
            if share_in_parts(rehearsed(scalor, video, seen, followed)) < least:
                break
            larger *= LARGER
            look, _ = tried(larger)
    if larger > side:
        logger.warning(
            "%s: objects of %.0f px are parts of larger ones (their tracks stay together), so objects of %.0f px are"
            " looked for; to give their size, use --object-size.",
            video.path,
            side,
            larger,
        )
    if look.note is not None:
        logger.warning("%s", look.note)
    if look.boxes is None and sizes == "alike":
        logger.warning("%s: a trial found no object, so boxes of all sizes are used.", video.path)
    return look


def _say_if_not_as_surveyed(video: Video, seen: Survey, side: float) -> None:
    """Log that the network tells another size than the survey, where it clearly does."""
    if not 1 / TOLERATED <= side / seen.middle_side <= TOLERATED:
        logger.warning(
            "%s: objects of %.0f px are looked for, not of %.0f px as the survey found; to give their size, use"
            " --object-size.",
            video.path,
            side,
            seen.middle_side,
        )


class Trial(NamedTuple):
    """The objects that are reported in a trial, each in every frame, px of the model."""

    boxes: NDArray[np.float64]  # (n, 2) heights and widths, of z_where
    sides: NDArray[np.float64]  # see :func:`mask_sides`
    places: NDArray[np.float64]  # how far down, from -1 at the top of the frame to 1 at its bottom


@torch.no_grad()
def trial(scalor: Scalor, seen: Survey, how: Look) -> Trial:
    """What a model for any scene finds in some of the frames that a survey has looked at.

    :param how: the video would be seen.
    """
    window, fullest = _window_size(scalor, how, WINDOW), fullest_runs(seen)[:RUNS]
    shortest = min(len(run) for run in fullest)
    places = [_place(seen, run, how, window) for run in fullest]
    frames = np.stack(
        [
            _window(shown_frames(seen, run[:shortest], how), place, window)
            for run, place in zip(fullest, places, strict=True)
        ]
    )
    found = infer(*_view(scalor, frames, how))
    kept, height = reported(found), size_of(how)[0]
    sides, where = mask_sides(found), found.where[kept].double().numpy()
    top = np.array(places)[torch.nonzero(kept)[:, 0].numpy(), 0]
    down = (2 * top + (where[:, 3] + 1) * window[0]) / height - 1
    drawn = sides > 0
    return Trial((where[:, 1::-1] * window)[drawn], sides[drawn], down[drawn])


@torch.no_grad()
def rehearsed(scalor: Scalor, video: Video, seen: Survey, how: Look) -> Tracks:
    """The tracks of a video's first frames in a window, px of the model."""
    window, fullest = _window_size(scalor, how, FOLLOWED_WINDOW), fullest_runs(seen)[0]
    options = how.options
    stop = options.start + FOLLOWED * options.stride
    beginning = video.again(replace(options, stop=stop if options.stop is None else min(stop, options.stop)))
    (chunk,) = beginning.chunks(FOLLOWED)
    place = _place(seen, fullest, how, window)
    background = _window(resized_for(seen.background, how), place, window)
    shown = differences(_window(chunk.frames, place, window).astype(np.float32) / 255, background, how.gain)
    view, x = _view(scalor, shown[None], how)
    seen_before = min(SEEN_BEFORE, len(chunk.numbers) - 1)
    found = infer(view, x, lookahead=seen_before, evidence=worth_for(view, differences=True))
    alpha = found.appearance[:, :, :, -1][reported(found)].float().numpy()
    (tracks,) = tracks_of(found, window)
    return with_shapes(tracks, alpha, np.zeros(len(tracks)), fit=True)


def _view(scalor: Scalor, frames: NDArray[np.float32], how: Look) -> tuple[Scalor, Tensor]:
    """A model for a window of frames as large as `how` says, and what it sees of them.

    :param frames: (B, T, C, h, w) differences in the window.
    """
    like, (height, width), window = next(scalor.parameters()), size_of(how), frames.shape[-2:]
    x = torch.from_numpy(frames).to(like.device, like.dtype).expand(-1, -1, scalor.config.channels, -1, -1)
    still = torch.full((scalor.config.channels, *window), STILL, dtype=like.dtype)
    share = window[0] * window[1] / (height * width)
    slots = min(how.slots, math.ceil(DENSER * share * how.slots))
    boxes = None if how.boxes is None else how.boxes.of(scalor.config)
    return with_view(scalor, window, still, slots, config=boxes), x


def _window_size(scalor: Scalor, how: Look, most: int) -> tuple[int, int]:
    """H, W of a window, neither of them larger than `most` px."""
    height, width = size_of(how)
    return nearest_size(scalor.config, (min(height, most), min(width, most)))


def _place(seen: Survey, run: list[int], how: Look, window: tuple[int, int]) -> tuple[int, int]:
    """The upper left corner (y, x) of the window round an object that holds most objects."""
    (height, width), (rows, columns) = size_of(how), window
    objects = joined([seen.objects[i] for i in run])
    y, x = objects.y * height / seen.size[0], objects.x * width / seen.size[1]
    top = np.clip(y - rows / 2, 0, height - rows).astype(int)
    left = np.clip(x - columns / 2, 0, width - columns).astype(int)
    candidates = np.linspace(0, len(y) - 1, min(len(y), PLACES)).astype(int)
    if len(candidates) == 0:
        return 0, 0
    held = [((y >= top[i]) & (y < top[i] + rows) & (x >= left[i]) & (x < left[i] + columns)).sum() for i in candidates]
    best = candidates[int(np.argmax(held))]
    return int(top[best]), int(left[best])


def _window(frames: NDArray[Any], place: tuple[int, int], size: tuple[int, int]) -> NDArray[Any]:
    """(…, H, W) → (…, h, w)"""
    return frames[..., place[0] : place[0] + size[0], place[1] : place[1] + size[1]]
