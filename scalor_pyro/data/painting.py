"""Painting: objects over black or over a background, one after the other in painter's order.

An object touches only the window round its centre. It lies at subpixel positions: its glyph is shifted by a
bilinear filter, one axis after the other. All is elementwise float32, which is the same on every machine.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from scalor_pyro.data.worlds import Worlds

Pixels = NDArray[np.float32]


def paint(worlds: Worlds, bank: NDArray[np.uint8], size: tuple[int, int], background: Pixels | None) -> Pixels:
    """Paint a batch of videos.

    :param bank: glyphs (G, S, S) from 0 to 255.
    :param size: H, W in px.
    :param background: (B, T, 3, H, W) in [0, 1], or None for black.
    :returns: (B, T, C, H, W) in [0, 1]; C is 1 where everything is grey, else 3.
    """
    batch, _, frames, _ = worlds.centre.shape
    height, width = size
    window = bank.shape[-1] + 1
    grey = background is None and bool((worlds.colour == worlds.colour[..., :1]).all())
    channels = 1 if grey else 3
    # A margin as wide as a window takes in the objects outside, so that none has to be cut.
    canvas = np.zeros((batch * frames, channels, height + 2 * window, width + 2 * window), np.float32)
    view = canvas[:, :, window:-window, window:-window]
    if background is not None:
        view[:] = background.reshape(view.shape)
    windows = sliding_window_view(canvas, (window, window), axis=(2, 3), writeable=True).transpose(0, 2, 3, 1, 4, 5)
    every_frame = np.arange(batch * frames)
    for layer in range(worlds.centre.shape[1]):
        alpha, left, top = _layer(worlds, bank, layer, size)
        place = (every_frame, top + window, left + window)
        under = windows[place]  # (B * T, C, P, P)
        colour = np.repeat(worlds.colour[:, layer, :channels], frames, 0)[..., None, None]
        windows[place] = under + alpha[:, None] * (colour - under)
    return view.reshape(batch, frames, channels, height, width)


def _layer(
    worlds: Worlds, bank: NDArray[np.uint8], layer: int, size: tuple[int, int]
) -> tuple[Pixels, NDArray[np.int64], NDArray[np.int64]]:
    """Opacity (B * T, P, P) of one object per video, and the left and top border of its window in px."""
    batch, frames = worlds.centre.shape[0], worlds.centre.shape[2]
    side = bank.shape[-1]
    (left, part_x), (top, part_y) = (
        split_position(worlds.centre[:, layer, :, axis].reshape(-1), side, size[1 - axis]) for axis in (0, 1)
    )
    glyph = np.pad(bank[worlds.glyph[:, layer]], ((0, 0), (1, 1), (1, 1))).astype(np.float32) / np.float32(255)
    glyph = np.repeat(glyph, frames, 0)
    glyph *= worlds.alive[:, layer].reshape(batch * frames, 1, 1)
    shift_x, shift_y = part_x.astype(np.float32)[:, None, None], part_y.astype(np.float32)[:, None, None]
    rows = glyph[:, 1:] + shift_y * (glyph[:, :-1] - glyph[:, 1:])
    return rows[:, :, 1:] + shift_x * (rows[:, :, :-1] - rows[:, :, 1:]), left, top


def split_position(centre: NDArray[np.float64], side: int, view: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Whole and fractional part of where a glyph begins along one axis.

    :param centre: px.
    :param side: S of the glyph.
    :param view: side of the view; windows that lie outside are moved next to it, where they are as invisible.
    """
    begin = centre - side / 2
    whole = np.floor(begin)
    return np.clip(whole, -side - 1, view).astype(np.int64), begin - whole
