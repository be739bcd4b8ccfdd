"""The checks: each is a function of a few numbers that gives a sentence, or None if all is well."""

import math
from dataclasses import replace

from torch import Tensor

from scalor_pyro.config.sizes import SIDE_OF_BOX
from scalor_pyro.inference.masks import FOREGROUND
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.video import Video

# Shares of objects are judged from this many on: fewer may be chance.
LEAST_OBJECTS = 50
# All slots may be taken in this share of the frames before objects are likely to be missed for lack of a slot; more
# slots are proposed by this factor.
FULL_SHARE, MORE_SLOTS = 0.05, 1.5
# Of the objects after the first frame, this share should continue one of the frame before: with healthy weights it is
# above 0.9, and at 0.8 a track lasts five frames on average.
LEAST_PROPAGATED = 0.8
# The side of an object's mask, as a part of its box's: 0.8 for the typical object in the typical box. Where it is under
# the first, boxes are more than about twice too large; above the second, masks are cut off by boxes.
LEAST_FILLED, MOST_FILLED = 0.45, 0.97
# Objects that are cut off are taken to be larger by this factor.
LARGER = 1.5
# A pixel differs from the background image if it does so by this many sigma: half of what a typical object does.
DIFFERS = 1.5
# This share of the picture may do so, where no object is, before the image no longer fits the scene.
MOST_CHANGED = 0.25
# Values of a file of 8 bits.
EIGHT_BITS = (0.0, 255.0)
# Ranges of values that differ by more than this factor are not the same brightness.
OTHER_RANGE = 2.0


def slots_full(full: int, frames: int, slots: int, of_region: int | None = None) -> str | None:
    """Whether objects are likely to be missed for lack of a slot.

    :param full: frames in which all K slots were taken.
    :param slots: K.
    :param of_region: K of the whole region, where the frames are windows of it.
    """
    if full <= FULL_SHARE * frames:
        return None
    more = math.ceil(MORE_SLOTS * (of_region or slots))
    return f"all {slots} slots were taken in {full} of {frames} frames, so objects may be missed; use --slots {more}."


def tracks_break(propagated: int, discovered: int, stride: int = 1) -> str | None:
    """Whether objects are found anew rather than followed.

    :param propagated: objects that continue one of the frame before.
    :param discovered: … that were found anew, after the first frame.
    :param stride: 1 where every frame was read, 2 where every second one was, …
    """
    objects = propagated + discovered
    if objects < LEAST_OBJECTS or propagated >= LEAST_PROPAGATED * objects:
        return None
    cause = "objects move too far from one frame to the next, or boxes are on noise"
    way_out = "use --stride 1" if stride > 1 else "try more frames per second, or check the boxes with --annotate"
    share = propagated / objects
    return f"tracks break: only {share:.2f} of the objects continue one of the frame before; {cause}; {way_out}."


def boxes_do_not_fit(filled: float, size: float) -> str | None:
    """Whether the objects that are drawn have another size than their boxes.

    :param filled: median side of a mask, as a part of its box's side; see :func:`filled_part`.
    :param size: median side of the masks, px of the file: that of a square with their area.
    """
    box = size / SIDE_OF_BOX
    if LEAST_FILLED <= filled <= MOST_FILLED:
        return None
    if filled < LEAST_FILLED:
        found = f"objects fill only {filled:.2f} of the side of their boxes, so boxes are too large"
        return f"{found}; try --object-size {box:.0f}."
    return f"objects fill their boxes up to the border, so they may be larger; try --object-size {LARGER * box:.0f}."


def scene_changed(share: float, frame: int) -> str | None:
    """Whether the background image no longer fits.

    :param share: of the picture without objects that differs from it, see :func:`changed_part`.
    :param frame: from which on.
    """
    if share <= MOST_CHANGED:
        return None
    return (
        f"from frame {frame} on, {share:.0%} of the picture without objects differs from the background image: the"
        " light has changed or the camera has moved, so these tracks are unreliable; track the parts one by one with"
        " --start and --stop."
    )


def another_scene(share: float) -> str | None:
    """Whether the background image of a run is of another scene than the video.

    :param share: of the picture in which the video's own median differs from it, see :func:`changed_part`.
    """
    if share <= MOST_CHANGED:
        return None
    return (
        f"the background image of the run does not fit, because {share:.0%} of the picture differs: the light has"
        " changed or the camera has moved; the median of this video is used, unless --background-image run is given."
    )


def another_depth(trained: tuple[float, float] | None, now: tuple[float, float]) -> str | None:
    """Whether a file has another depth, or another range of values, than the one that a run was trained on.

    :param trained: values that were black and white in training, see :func:`levels_of`; None: they are not known.
    :param now: the same of the file.
    """
    if trained is None or like_in_training(trained, now):
        return None
    (low, high), (dark, bright) = trained, now
    return (
        f"expected values from {low:g} to {high:g}, as in training, got {dark:g} to {bright:g}: another bit depth or"
        " exposure, so objects may look fainter or brighter; convert the file, or train on it."
    )


def like_in_training(trained: tuple[float, float], now: tuple[float, float]) -> bool:
    """Whether two ranges of values are about the same."""
    return 1 / OTHER_RANGE <= (now[1] - now[0]) / (trained[1] - trained[0]) <= OTHER_RANGE


def levels_of(video: Video) -> tuple[float, float]:
    """The values of a file that are black and white where no others are given."""
    return video.again(replace(video.options, levels=None)).levels or EIGHT_BITS


def filled_part(glimpses: Tensor, objects: Tensor) -> Tensor:
    """Side of each object's mask, as a part of its box's side: the square root of the share of the box that is opaque.

    :param glimpses: (…, C + 1, S, S), the last channel is alpha.
    :param objects: (…) bool, which of them are objects.
    :return: (n,)
    """
    opaque = glimpses[objects][:, -1] > FOREGROUND
    return opaque.float().mean((-1, -2)).sqrt()


def changed_part(frames: Tensor, image: Tensor, sigma: float, objects: Tensor | None = None) -> float:
    """Share of the picture that differs from the background image.

    :param frames: (n, C, H, W)
    :param image: (C, H, W)
    :param sigma: standard deviation of a pixel, in the units of these.
    :param objects: (n, 1, H, W) total alpha of the objects, whose pixels do not count.
    """
    differs = (frames - image).abs().mean(1) > DIFFERS * sigma
    if objects is None:
        return float(differs.float().mean())
    without = objects[:, 0] < FOREGROUND
    return float((differs & without).sum() / without.sum().clamp(min=1))


def of_inference(
    inference: Inference, slots: int, side: float, stride: int = 1, of_region: int | None = None
) -> list[str]:
    """What is wrong with the objects that a trained model finds in clips, a sentence each.

    :param slots: K of the clips.
    :param side: of a clip, px of the file: the square root of its area.
    :param stride: 1 where every frame was read, 2 where every second one was, …
    :param of_region: K of the whole region, where clips show windows of it.
    """
    alive = inference.identity >= 0  # (B, T, K)
    filled = filled_part(inference.appearance, alive)
    boxes = (inference.where[alive][:, 0] * inference.where[alive][:, 1]).sqrt() * side
    found = [
        slots_full(int((alive.sum(-1) >= slots).sum()), alive.shape[0] * alive.shape[1], slots, of_region),
        tracks_break(int(inference.propagated.sum()), int(inference.discovered[:, 1:].sum()), stride),
    ]
    if len(filled) >= LEAST_OBJECTS:
        found.append(boxes_do_not_fit(float(filled.median()), float((filled * boxes).median())))
    return [sentence for sentence in found if sentence is not None]
