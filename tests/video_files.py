"""Small video files, made for the tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIZE = (32, 48)  # H, W


def level(t: int) -> int:
    """A grey value that tells frame t from others, even after lossy compression."""
    return 20 + 9 * t


def shades(frames: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """(T, H, W, 3): each frame has its own grey, and its upper left quarter is 20 lighter."""
    video = np.empty((frames, *size, 3), np.uint8)
    for t in range(frames):
        video[t] = level(t)
        video[t, : size[0] // 2, : size[1] // 2] += 20
    return video


def noisy(frames: int) -> NDArray[np.uint8]:
    """(T, 64, 96, 3): like `shades`, with noise that makes a compressed frame large."""
    video = shades(frames, (64, 96))
    video[:, :48] = np.random.default_rng(0).integers(0, 255, (frames, 48, 96, 1), dtype=np.uint8)
    return video


def squares(frames: int = 24, size: tuple[int, int] = (64, 96), side: int = 8, speed: int = 2) -> NDArray[np.uint8]:
    """(T, H, W, 3): five bright squares that move to the right, each in its lane, over a textured background."""
    generator = np.random.default_rng(0)
    ground = np.broadcast_to(generator.integers(40, 100, (*size, 1), dtype=np.uint8), (*size, 3))
    video = np.repeat(ground[None], frames, 0)
    for t in range(frames):
        for i in range(5):
            x = (7 + 23 * i + speed * t) % (size[1] - side)
            video[t, 2 + 12 * i : 2 + 12 * i + side, x : x + side] = 230
    return video


def write_video(
    path: Path,
    frames: NDArray[Any],
    codec: str = "ffv1",
    pix_fmt: str = "bgr0",
    source: str = "rgb24",
    times: Sequence[int] | None = None,
    degrees: float | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode (T, H, W, C) at 10 frames per second.

    :param times: of the frames in ms.
    :param degrees: rotation that the display matrix asks for, counter-clockwise.
    :param options: of the encoder.
    """
    from fractions import Fraction

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pix_fmt
        if codec == "mpeg4":
            stream.bit_rate, stream.codec_context.qmax, stream.gop_size = 4_000_000, 3, 4
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if degrees is not None:
            stream.set_display_rotation(degrees)
        for t, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=source)
            if times is not None:
                frame.pts, frame.time_base = times[t], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def squares_in_perspective(frames: int) -> NDArray[np.uint8]:
    """Pairs of squares that go sideways, of 12 px at the top to 26 px at the bottom of 200 × 240 px. (T, H, W, 3)"""
    images = np.full((frames, 200, 240, 3), 30, np.uint8)
    for t, image in enumerate(images):
        for row, side in enumerate((12, 15, 18, 22, 26)):
            for start in (10, 110):
                top, left = 8 + 38 * row, (start + 60 * row + 5 * t) % (240 - side)
                image[top : top + side, left : left + side] = 220
    return images
