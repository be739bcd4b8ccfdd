"""Videos of sprites over a textured background, with ground truth, for the benchmarks that need files."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import DataConfig
from scalor_pyro.data.painting import paint
from scalor_pyro.data.sprites import sprite_glyphs
from scalor_pyro.data.truth import GroundTruth, ground_truth
from scalor_pyro.data.worlds import Worlds, draw_worlds
from scalor_pyro.files import written_whole

Pixels = NDArray[np.float32]

RATE = 10  # frames per second
# Frames painted at a time.
CHUNK = 50
# The scene: grey values of plane waves and of a fixed grain, and the noise of the camera; of 1.
GREY, WAVES, GRAIN, NOISE = 0.45, 0.12, 0.03, 0.01


def textured_scene(size: tuple[int, int], scale: float) -> Pixels:
    """Six plane waves, and grain. (3, H, W)

    :param size: H, W in px.
    :param scale: px; the waves are a few times as long.
    """
    height, width = size
    y, x = np.mgrid[:height, :width] / scale
    generator = np.random.default_rng(0)
    image = np.full((3, height, width), GREY)
    for _ in range(6):
        direction, phase = generator.normal(size=2) * 2, generator.uniform(0, 6.28)
        tint = generator.uniform(-1, 1, (3, 1, 1))
        image += WAVES / 2 * tint * np.sin(direction[0] * x + direction[1] * y + phase)
    image += generator.normal(0, GRAIN, (1, height, width))
    return image.astype(np.float32)


def _still(times: NDArray[np.int64]) -> float:
    return 0.0


def _steady(times: NDArray[np.int64]) -> float:
    return 1.0


def make(
    path: Path,
    sprites: DataConfig,
    seed: int,
    frames: int,
    scene: Pixels,
    ripple: Callable[[NDArray[np.int64]], Pixels | float] = _still,
    light: Callable[[NDArray[np.int64]], Pixels | float] = _steady,
    contrast: float = 1.0,
) -> GroundTruth:
    """Write a video as H.264, unless it exists, and return its ground truth.

    :param seed: of sprites and of the camera's noise.
    :param scene: (3, H, W), behind the sprites.
    :param ripple: what is added to the scene at some frames; (n, 1, H, W).
    :param light: what all is multiplied with there; (n, 1, H, W).
    :param contrast: share of their colour that sprites have; the rest is the grey of the scene.
    """
    bank = sprite_glyphs(sprites.object_size)
    scenes = draw_worlds(sprites, seed, "test", range(1), len(bank), frames)
    scenes = replace(scenes, colour=(GREY + contrast * (scenes.colour - GREY)).astype(np.float32))
    if not path.exists():
        with written_whole(path) as temporary:
            parts = _chunks(scenes, frames)
            videos = (_painted(part, bank, scene + ripple(times)) * light(times) for times, part in parts)
            _write(temporary, videos, sprites.image_size, seed)
    (truth,) = ground_truth(scenes, bank, sprites.object_size, sprites.image_size)
    return truth


def _painted(scenes: Worlds, bank: NDArray[np.uint8], behind: Pixels) -> Pixels:
    """The frames of one video, (n, 3, H, W), over scenes (n or none, 3, H, W)."""
    size = behind.shape[-3:]
    whole = np.broadcast_to(behind, (scenes.centre.shape[2], *size)).astype(np.float32)
    return paint(scenes, bank, size[1:], whole[None])[0]


def _write(path: Path, videos: Iterator[Pixels], size: tuple[int, int], seed: int) -> None:
    """Write frames (n, 3, H, W), a chunk at a time, with the noise of a camera."""
    camera = np.random.default_rng(seed)
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(RATE))
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18", "preset": "veryfast"}
        stream.height, stream.width = size
        for video in videos:
            noisy = video + camera.normal(0, NOISE, video.shape).astype(np.float32)
            for image in (noisy.clip(0, 1) * 255).round().astype(np.uint8):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.moveaxis(image, 0, -1)), format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _chunks(scenes: Worlds, frames: int) -> Iterator[tuple[NDArray[np.int64], Worlds]]:
    """The scenes of so many frames, a few at a time, and which frames these are."""
    for start in range(0, frames, CHUNK):
        part = slice(start, min(frames, start + CHUNK))
        times = np.arange(part.start, part.stop)
        yield times, replace(scenes, centre=scenes.centre[:, :, part], alive=scenes.alive[:, :, part])
