"""What model and guide give back for each frame, and what the guide carries to the next one."""

from typing import NamedTuple

import torch
from torch import Tensor

from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.layers.rendering import Canvas


class Carried(NamedTuple):
    """What the guide takes from a frame to the next one, in the next call as well as in the same."""

    slots: Slots
    memory: Tensor | None  # (B, K, R) of the tracker RNNs; None after a first frame
    features: Tensor  # (B, F, H / 4, W / 4) memory of the frame encoder


class FrameLatents(NamedTuple):
    """What :meth:`Scalor.guide` and :meth:`Scalor.model` return for each frame."""

    slots: Slots  # the K slots after the frame
    propagated: Objects | None  # the K that were propagated; None in the first frame
    discovered: Objects  # the M proposals, presence 0 where rejected
    canvas: Canvas  # the foreground: all of these, drawn
    background: Tensor | None = None  # (B, C, H, W), from the model alone
    carried: Carried | None = None  # from the guide alone

    @property
    def drawn(self) -> Objects:
        """All that was drawn: propagated objects, then proposals."""
        return self.discovered if self.propagated is None else self.propagated.joined(self.discovered)


@torch.no_grad()
def statistics(latents: list[FrameLatents], threshold: float) -> dict[str, Tensor]:
    """How the guide sees a batch, as scalar tensors.

    Objects in the slots per frame; of the objects drawn after the first frame, the share that was propagated rather
    than discovered (0 where none was drawn); discoveries per video; the share of the picture that objects cover.

    :param threshold: z_pres above which an object is there.
    """
    discovered = torch.stack([frame.discovered.number(threshold) for frame in latents]).float()  # (T, B)
    propagated = sum(frame.propagated.number(threshold).sum() for frame in latents if frame.propagated is not None)
    return {
        "objects_per_frame": torch.stack([frame.slots.alive.float().sum(-1).mean() for frame in latents]).mean(),
        "propagation_rate": propagated / (propagated + discovered[1:].sum()).clamp(min=1),
        "discoveries": discovered.sum(0).mean(),
        "foreground_share": torch.stack([frame.canvas.alpha.mean() for frame in latents]).mean(),
    }
