"""Does the camera move? A shift, turn and zoom that explains the change from one frame to a later one all over the
picture."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Picture = NDArray[np.float64]

# The picture is looked at in this many tiles each way: an object moves in few of them, the camera in all.
TILES = 6
# A tile has texture if its grey values have this standard deviation (of 255).
LEAST_TEXTURE = 4.0
# Fewer textured tiles than this share cannot tell.
TEXTURED = 0.5
# Larger pictures are reduced to this many px along the longer side, and blurred with these σ (px).
LARGEST, BLURS, STEPS = 128, (3.0, 1.0), 3
# Where half of the picture changes by less than this (of 255), the camera rests, or its motion does not show.
LEAST_CHANGE = 1.0
# A zoom or turn by more than this (factor, or radian) in few frames is no camera's.
LARGEST_TURN = 0.3
# px: a camera that moves by less between two frames trembles, which the background image survives.
LEAST_MOVE = 1.0
# A motion of the camera leaves less than this part of the change, in at least this share of the tiles with texture.
LEFT, AGREEING = 0.7, 0.6
# Two pictures share at least this part of their area, if a motion leads from one to the other.
LEAST_SHARED = 0.25
# A camera moves when it does so between this share of the pairs of frames.
OFTEN = 0.5
# Pairs of frames after which a camera is judged.
WATCHED = 8


def camera_moves(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> bool:
    """Whether most pairs of a frame and a later one differ by a motion of the camera.

    :param pairs: frames (C, H, W).
    """
    votes = [_moved(before.mean(0), after.mean(0)) for before, after in pairs]
    return len(votes) > 0 and float(np.mean(votes)) >= OFTEN


class CameraWatch:
    """Watches the beginning of a video while it is read for another purpose."""

    def __init__(self) -> None:
        self._pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []

    def moves(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
        """Whether the camera moves; True at most once, after enough pairs of frames (C, H, W)."""
        if len(self._pairs) == WATCHED:
            return False
        self._pairs.append((before, after))
        return len(self._pairs) == WATCHED and camera_moves(self._pairs)


def _moved(before: Picture, after: Picture) -> bool:
    """Whether one shift, turn and zoom explains the change from one grey picture to another."""
    step = max(1, math.ceil(max(before.shape) / LARGEST))
    then, now = _reduced(before, step), _reduced(after, step)
    height, width = then.shape
    if min(height, width) < 2 * TILES or float(np.median(np.abs(now - then))) < LEAST_CHANGE:
        return False
    motion = _motion(then, now)
    rows, columns = np.meshgrid(np.linspace(-1, 1, TILES), np.linspace(-1, 1, TILES), indexing="ij")
    down, right = _displacement(motion, rows * height / 2, columns * width / 2)
    if float(np.median(np.hypot(down, right))) * step < LEAST_MOVE:
        return False
    moved, inside = _warped(then, motion)
    agreeing = []
    for tile in _tiles(then.shape):
        seen = inside[tile]
        if seen.mean() > 0.5 and now[tile].std() > LEAST_TEXTURE:
            change, left = (np.abs(now[tile] - each[tile])[seen].mean() for each in (then, moved))
            agreeing.append(left < LEFT * change)
    return len(agreeing) >= TEXTURED * TILES**2 and float(np.mean(agreeing)) >= AGREEING


def _reduced(picture: Picture, step: int) -> Picture:
    """The means of squares of so many px each way."""
    rows, columns = (side // step for side in picture.shape)
    squares: Picture = picture[: rows * step, : columns * step].reshape(rows, step, columns, step).mean((1, 3))
    return squares


def _displacement(motion: Picture, y: Picture, x: Picture) -> tuple[Picture, Picture]:
    """How far a point moves down and to the right. (…) → twice (…)

    :param motion: (4,) shift down and right, zoom and turn.
    :param y: px from the middle of the picture.
    """
    down, right, zoom, turn = motion.tolist()
    return down + zoom * y + turn * x, right + zoom * x - turn * y


def _warped(picture: Picture, motion: Picture) -> tuple[Picture, NDArray[np.bool_]]:
    """A picture after a motion, and where it is known."""
    height, width = picture.shape
    rows, columns = np.indices(picture.shape, dtype=np.float64)
    down, right = _displacement(motion, rows - (height - 1) / 2, columns - (width - 1) / 2)
    y, x = rows - down, columns - right
    inside = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
    moved: Picture = ndimage.map_coordinates(picture, (y, x), order=1, mode="nearest")
    return moved, inside


def _motion(before: Picture, after: Picture) -> Picture:
    """The shift, zoom and turn that lead from one picture to another: by phase correlation, then by the gradient, from
    coarse to fine. See :func:`_displacement`."""
    height, width = before.shape
    y, x = np.indices(before.shape, dtype=np.float64)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    best, least = np.zeros(4), np.inf
    for start in ((0.0, 0.0), _shift(before, after)):
        motion = np.array([*start, 0.0, 0.0])
        for blur in BLURS:
            then, now = (ndimage.gaussian_filter(each, blur) for each in (before, after))
            for _ in range(STEPS):
                moved, inside = _warped(then, motion)
                if inside.mean() < LEAST_SHARED:  # gone astray
                    motion, moved, inside = np.zeros(4), then, np.ones_like(inside)
                slope_y, slope_x = np.gradient(moved)
                effects = [slope_y, slope_x, slope_y * y + slope_x * x, slope_y * x - slope_x * y]
                effect = np.stack([each[inside] for each in effects])
                missing = (now - moved)[inside]
                # Objects change more than the camera's motion leaves: they do not count.
                weight = 1 / (1 + (missing / (np.median(np.abs(missing)) + LEAST_TEXTURE)) ** 2)
                normal = (effect * weight) @ effect.T + 1e-6 * np.eye(4)
                motion = motion - np.linalg.solve(normal, (effect * weight) @ missing)
                if not np.isfinite(motion).all() or np.abs(motion[2:]).max() > LARGEST_TURN:
                    motion = np.zeros(4)
        moved, inside = _warped(before, motion)
        left = float(np.median(np.abs(after - moved)[inside])) if inside.mean() >= LEAST_SHARED else np.inf
        if left < least:
            best, least = motion, left
    return best


def _shift(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[int, int]:
    """The shift (down, right) in px by which two pictures agree best, by phase correlation."""
    cross = np.fft.rfft2(after - after.mean()) * np.conj(np.fft.rfft2(before - before.mean()))
    agreement = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), before.shape)
    down, right = np.unravel_index(int(agreement.argmax()), before.shape)
    height, width = before.shape
    return int((down + height // 2) % height - height // 2), int((right + width // 2) % width - width // 2)


def _tiles(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    rows, columns = ([length * i // TILES for i in range(TILES + 1)] for length in shape)
    return [
        (slice(top, bottom), slice(left, right))
        for top, bottom in zip(rows, rows[1:], strict=False)
        for left, right in zip(columns, columns[1:], strict=False)
    ]
