"""Does the camera move? A shift that explains the change from one frame to a later one all over the picture."""

import numpy as np
from numpy.typing import NDArray

# The picture is looked at in this many tiles each way: an object moves in few of them, the camera in all.
TILES = 6
# A tile has texture if its grey values have this standard deviation (of 255).
LEAST_TEXTURE = 4.0
# Fewer textured tiles than this share cannot tell.
TEXTURED = 0.5
# A shift of the camera leaves less than this part of the change, in at least this share of the tiles with texture.
LEFT, AGREEING = 0.7, 0.6
# A camera moves when it does so between this share of the pairs of frames.
OFTEN = 0.5
# Pairs of frames after which a camera is judged.
WATCHED = 8


def camera_moves(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> bool:
    """Whether most pairs of a frame and a later one differ by one shift.

    :param pairs: frames (C, H, W).
    """
    votes = [_shifted(before.mean(0), after.mean(0)) for before, after in pairs]
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


def _shifted(before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
    shift = _shift(before, after)
    if shift == (0, 0):
        return False
    height, width = before.shape
    rows, columns = abs(shift[0]), abs(shift[1])
    inside = (slice(rows, height - rows), slice(columns, width - columns))
    moved = np.roll(before, shift, (0, 1))[inside]
    now, then = after[inside], before[inside]
    if min(now.shape) < TILES:
        return False
    agreeing = []
    for tile in _tiles(now.shape):
        if now[tile].std() > LEAST_TEXTURE:
            agreeing.append(np.abs(now[tile] - moved[tile]).mean() < LEFT * np.abs(now[tile] - then[tile]).mean())
    return len(agreeing) >= TEXTURED * TILES**2 and float(np.mean(agreeing)) >= AGREEING


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
