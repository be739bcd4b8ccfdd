"""What the trained guide says of videos: its mode, not a sample (sampling is for uncertainty)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.rendering import paste, window_size
from scalor_pyro.model.distributions import RelaxedPresence
from scalor_pyro.model.frame import Carried, FrameLatents
from scalor_pyro.model.inputs import check_videos
from scalor_pyro.model.program import Program, mark_drawn
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.shared import shared_work

# A pixel belongs to an object where the objects' total alpha is above this.
FOREGROUND = 0.5


class Inference(NamedTuple):
    """What the posterior says of a batch of videos, on the CPU. K slots, z_where in [-1, 1]."""

    presence: Tensor  # (B, T, K) z_pres in [0, 1], 0 where the slot is empty
    identity: Tensor  # (B, T, K) long, unique within a video; -1 where the slot is empty
    new: Tensor  # (B, T, K) bool: discovered in this frame
    propagated: Tensor  # (B, T) long: how many propagated objects were drawn
    discovered: Tensor  # (B, T) long: how many proposals were drawn, whether a slot was free for them or not
    where: Tensor  # (B, T, K, 4)
    depth: Tensor  # (B, T, K)
    appearance: Tensor  # (B, T, K, C + 1, S, S) premultiplied colour, then alpha
    reconstruction: Tensor  # (B, T, C, H, W)
    background: Tensor  # (B, T, C, H, W)
    foreground: Tensor  # (B, T, 1, H, W) total alpha of the objects
    segments: Tensor  # (B, T, H, W) long: identity of the object that owns a pixel, -1 = background


class SlotHistory(NamedTuple):
    """The part of :class:`Inference` that tracks are made of."""

    presence: Tensor  # (B, T, K)
    identity: Tensor  # (B, T, K)
    where: Tensor  # (B, T, K, 4)
    depth: Tensor  # (B, T, K)


class ModeMessenger(Messenger):
    """Replace every draw by the mode of its distribution."""

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or msg["done"] or msg["value"] is not None or poutine.util.site_is_subsample(msg):
            return
        distribution = msg["fn"]
        msg["value"] = distribution.mode_logit if isinstance(distribution, RelaxedPresence) else distribution.mean
        msg["done"] = True
        mark_drawn(msg)


@torch.no_grad()
def infer(scalor: Program, x: Tensor) -> Inference:
    """Follow the objects of a batch of videos.

    Differs: it looks at the first frame several times (``first_looks``), as if the video stood still there, and begins
    with the last look. What one look leaves out, since proposals that overlap reject each other, another one finds.

    :param scalor: SCALOR, or another program whose model returns :class:`~scalor_pyro.model.frame.FrameLatents`.
    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :raises ValueError: if x is not a batch of videos that this model can see.
    """
    latents = after_first_looks(scalor, at_mode(scalor, with_first_looks(scalor, x)))
    return collect(latents, scalor.config.presence_threshold)


def with_first_looks(scalor: Program, x: Tensor) -> Tensor:
    """Videos that stand still at first, for all looks at their first frames but one.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :return: (B, first_looks − 1 + T, C, H, W)
    :raises ValueError: if x is not a batch of videos that this model can see.
    """
    check_videos(x, scalor.config)
    return torch.cat((x[:, :1].expand(-1, scalor.config.first_looks - 1, -1, -1, -1), x), 1)


def after_first_looks(scalor: Program, latents: list[FrameLatents]) -> list[FrameLatents]:
    """What is found in such videos, from the last look at the first frame on."""
    first, *later = latents[scalor.config.first_looks - 1 :]
    return [begun(first), *later]


def begun(frame: FrameLatents) -> FrameLatents:
    """A frame as the first of a video: what was propagated into it counts as discovered."""
    return frame._replace(propagated=None, discovered=frame.drawn, slots=frame.slots._replace(new=frame.slots.alive))


@torch.no_grad()
def at_mode(program: Program, x: Tensor) -> Any:
    """What a model returns for the mode of its guide.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    """
    with pyro.validation_enabled(False), ModeMessenger(), shared_work():
        trace = poutine.trace(program.guide).get_trace(x)
        return poutine.replay(program.model, trace=trace)(x)


@torch.no_grad()
def follow(scalor: Scalor, x: Tensor, carried: Carried | None = None) -> poutine.Trace:
    """The guide alone: all that tracks need, without reconstructing the frames.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :param carried: of the last of the frames before, see :meth:`Scalor.guide`; None at the beginning.
    :return: a trace, whose return value are the latents of each frame.
    """
    with pyro.validation_enabled(False), ModeMessenger():
        return poutine.trace(scalor.guide).get_trace(x, carried=carried)


def slots_of(latents: list[FrameLatents]) -> SlotHistory:
    """What is in the slots after each frame, on the CPU."""
    all_slots = [frame.slots for frame in latents]
    return SlotHistory(
        presence=torch.stack([slots.objects.presence for slots in all_slots], 1).cpu(),
        identity=torch.stack([slots.identity for slots in all_slots], 1).cpu(),
        where=torch.stack([slots.objects.where for slots in all_slots], 1).cpu(),
        depth=torch.stack([slots.objects.depth[..., 0] for slots in all_slots], 1).cpu(),
    )


def collect(latents: list[FrameLatents], threshold: float = ModelConfig.presence_threshold) -> Inference:
    """The latents of all frames as stacked tensors.

    :param threshold: z_pres above which an object is counted.
    """

    def stack(part: Callable[[FrameLatents], Tensor]) -> Tensor:
        return torch.stack([part(frame) for frame in latents], 1).cpu()

    return Inference(
        **slots_of(latents)._asdict(),
        new=stack(lambda f: f.slots.new),
        propagated=stack(lambda f: _propagated(f, threshold)),
        discovered=stack(lambda f: f.discovered.number(threshold)),
        appearance=stack(lambda f: f.slots.objects.glimpse),
        reconstruction=stack(_reconstruction).clamp(0, 1),
        background=stack(_background).clamp(0, 1),
        foreground=stack(lambda f: f.canvas.alpha),
        segments=stack(owners),
    )


def _propagated(frame: FrameLatents, threshold: float) -> Tensor:
    if frame.propagated is None:
        return torch.zeros_like(frame.discovered.number(threshold))
    return frame.propagated.number(threshold)


def _background(frame: FrameLatents) -> Tensor:
    return torch.zeros_like(frame.canvas.colour) if frame.background is None else frame.background


def _reconstruction(frame: FrameLatents) -> Tensor:
    return frame.canvas.over(_background(frame))


def owners(frame: FrameLatents) -> Tensor:
    """Which object each pixel belongs to: the identity of the most important one there, -1 = none. (B, H, W)"""
    objects, alpha = frame.slots.objects, frame.canvas.alpha
    batch, (height, width) = len(alpha), alpha.shape[-2:]
    importance = (
        objects.glimpse[:, :, -1:] * (objects.presence * torch.sigmoid(-objects.depth[..., 0]))[:, :, None, None, None]
    )
    sides = objects.where[..., 1].max(), objects.where[..., 0].max()  # largest box, vertical and horizontal
    rows, columns = (
        window_size(float(share) * pixels, importance.shape[-1], pixels)
        for share, pixels in zip(sides, (height, width), strict=True)
    )
    patches, index = paste(importance, objects.where, (height, width), (rows, columns))
    patches, index = patches[:, 0].flatten(1), index.flatten(1)
    most = patches.new_zeros(batch, height * width).scatter_reduce(1, index, patches, "amax")
    wins = (patches > 0) & (patches == most.gather(1, index))
    whose = frame.slots.identity[..., None].expand(-1, -1, rows * columns).flatten(1)
    owner = torch.full_like(most, -1, dtype=torch.long)
    owner = owner.scatter_reduce(1, index, torch.where(wins, whose, -1), "amax").view(batch, height, width)
    return torch.where(alpha[:, 0] > FOREGROUND, owner, -1)
