"""Made-up inferences whose truth is known: squares that move in straight lines and are tracked without error."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.data import GroundTruth
from scalor_pyro.inference.masks import BACKGROUND
from scalor_pyro.inference.posterior import Inference
from scalor_pyro.tracks.table import Tracks


class Scene(NamedTuple):
    frames: Tensor  # (B, T, C, H, W)
    inference: Inference
    truths: list[GroundTruth]


def make_truth(rows: list[tuple[float, ...]]) -> GroundTruth:
    """A truth from rows of (frame, identity, x, y, size, share)."""
    frame, identity, *rest = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    return GroundTruth(frame.astype(np.int64), identity.astype(np.int64), *rest)


def make_tracks(rows: list[tuple[float, ...]], side: float = 10.0) -> Tracks:
    """Tracks from rows of (frame, identity, x, y), with square boxes."""
    frame, identity, x, y = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    one = np.ones(len(x))
    return Tracks(frame.astype(np.int64), identity.astype(np.int64), x, y, side * one, side * one, one, 0 * one)


def moving_squares(
    videos: int = 2,
    frames: int = 3,
    slots: int = 5,
    objects: int = 2,
    channels: int = 3,
    image_size: tuple[int, int] = (24, 32),
    side: float = 8.0,
    seed: int = 0,
) -> Scene:
    """Squares over a ramp; slot k holds object k, and the last object of each video arrives in the last frame."""
    generator = np.random.default_rng(seed)
    height, width = image_size
    shape = (videos, frames, slots)
    start = generator.uniform(side / 2, [width - side / 2, height - side / 2], (videos, 1, slots, 2))
    centre = start + generator.uniform(-1, 1, (videos, 1, slots, 2)) * np.arange(frames).reshape(1, -1, 1, 1)
    here = np.broadcast_to(np.arange(slots) < objects, shape).copy()
    here[:, :-1, objects - 1 : objects] &= frames == 1
    new = here & ~np.concatenate([np.zeros_like(here[:, :1]), here[:, :-1]], axis=1)
    size = np.array([width, height])
    where = np.concatenate([np.broadcast_to(side / size, (*shape, 2)), centre / size * 2 - 1], axis=-1)
    identity = np.where(here, np.arange(slots), -1)
    owner = _paint(centre, here, side, image_size)
    colours = generator.uniform(0.4, 1, (slots, channels, 1, 1))
    ramp = np.linspace(0.1, 0.4, width) * np.ones((videos, frames, channels, height, 1))
    foreground = (owner >= 0)[:, :, None]
    painted = np.moveaxis(colours[owner, :, 0, 0], -1, 2)  # (B, T, C, H, W)
    reconstruction = np.where(foreground, painted, ramp)
    disc = _disc(16)
    glimpses = np.concatenate([colours * disc, np.broadcast_to(disc, (slots, 1, 16, 16))], axis=1)
    inference = Inference(
        presence=torch.tensor(np.where(here, 0.9, 0.1), dtype=torch.float32),
        identity=torch.tensor(identity),
        new=torch.tensor(new),
        propagated=torch.tensor((here & ~new).sum(-1)),
        discovered=torch.tensor(new.sum(-1)),
        where=torch.tensor(where, dtype=torch.float32),
        depth=torch.tensor(generator.normal(size=shape), dtype=torch.float32),
        what=torch.tensor(generator.normal(size=(*shape, 6)), dtype=torch.float32),
        appearance=torch.tensor(np.broadcast_to(glimpses, (*shape[:2], *glimpses.shape)).copy(), dtype=torch.float32),
        reconstruction=torch.tensor(reconstruction, dtype=torch.float32),
        background=torch.tensor(ramp, dtype=torch.float32),
        foreground=torch.tensor(foreground, dtype=torch.float32),
        importance=torch.tensor(foreground / 2, dtype=torch.float32),  # of about the right size
        segments=torch.tensor(np.where(owner >= 0, owner, BACKGROUND)),
    )
    noise = generator.normal(0, 0.03, reconstruction.shape)
    noisy = torch.tensor((reconstruction + noise).clip(0, 1), dtype=torch.float32)
    return Scene(noisy, inference, [_truth(centre[b], here[b], side) for b in range(videos)])


def _truth(centre: NDArray[np.float64], here: NDArray[np.bool_], side: float) -> GroundTruth:
    frame, slot = np.nonzero(here)
    x, y = centre[here].T
    return GroundTruth(frame, slot, x, y, np.full(len(x), side), np.ones(len(x)))


def _paint(
    centre: NDArray[np.float64], here: NDArray[np.bool_], side: float, image_size: tuple[int, int]
) -> NDArray[np.int64]:
    """(B, T, H, W): which slot owns a pixel, -1 for none; higher slots are nearer."""
    rows, columns = np.mgrid[: image_size[0], : image_size[1]] + 0.5
    segments = np.full((*here.shape[:2], *image_size), -1)
    for b, t, k in zip(*np.nonzero(here), strict=True):
        x, y = centre[b, t, k]
        segments[b, t][(abs(columns - x) < side / 2) & (abs(rows - y) < side / 2)] = k
    return segments


def _disc(side: int) -> NDArray[np.float64]:
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    return (np.hypot(rows, columns) < 0.9).astype(np.float64)
