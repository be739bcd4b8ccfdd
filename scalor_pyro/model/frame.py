"""What model and guide return for each frame, and the state that the guide carries to the next one."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scalor_pyro.layers.objects import Objects, Slots, gather
from scalor_pyro.layers.rendering import Canvas


class Carried(NamedTuple):
    """The state that the guide carries from one frame to the next, within a call or into the next call."""

    slots: Slots
    memory: Tensor | None  # (B, K, R) of the tracker RNNs; None after the first frame
    features: Tensor  # (B, F, H / 4, W / 4) memory of the frame encoder
    turning: bool = False  # time turns round after the next frame: it came backwards so far, and then goes forwards

    def in_slots(self, count: int) -> "Carried":
        """The same objects in another number of slots, at least as many as they are.

        The guide that goes on from there uses that number; its work grows with it.

        :raises ValueError: for fewer slots than objects.
        """
        alive = self.slots.alive
        most = int(alive.sum(1).max())
        if count < most:
            raise ValueError(f"count: expected a slot for each of {most} objects, got {count}.")
        order = alive.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
        slots = self.slots.rearranged(F.pad(order, (0, count - order.shape[1]), value=-1))
        memory = None if self.memory is None else F.pad(gather(self.memory, order), (0, 0, 0, count - order.shape[1]))
        return self._replace(slots=slots, memory=memory)


class FrameLatents(NamedTuple):
    """What :meth:`Scalor.guide` and :meth:`Scalor.model` return for each frame."""

    slots: Slots  # the K slots after the frame
    propagated: Objects | None  # the K propagated objects; None in the first frame
    discovered: Objects  # the M proposals, presence 0 where rejected
    canvas: Canvas  # the foreground: propagated and discovered objects, drawn
    background: Tensor | None = None  # (B, C, H, W), only from the model
    carried: Carried | None = None  # only from the guide

    @property
    def drawn(self) -> Objects:
        """All objects of the canvas: propagated ones, then proposals."""
        return self.discovered if self.propagated is None else self.propagated.joined(self.discovered)


@torch.no_grad()
def statistics(latents: list[FrameLatents], threshold: float) -> dict[str, Tensor]:
    """Statistics of what the guide sees in a batch, as scalar tensors.

    Objects in the slots per frame; the share of objects after the first frame that were propagated rather than
    discovered (0 if there are none); discoveries per video; the share of the image that objects cover.

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
