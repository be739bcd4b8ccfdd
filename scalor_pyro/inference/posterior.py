"""What the trained guide finds in videos: its mode, not a sample (sampling is for uncertainty)."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.inference.evidence import Worth, weigher_for
from scalor_pyro.inference.inputs import require_videos, undisturbed
from scalor_pyro.inference.latents import frames_of, site_of
from scalor_pyro.inference.masks import importance, owners, shares
from scalor_pyro.model import sites
from scalor_pyro.model.distributions import RelaxedPresence
from scalor_pyro.model.frame import Carried, FrameLatents
from scalor_pyro.model.program import Program, mark_drawn
from scalor_pyro.model.rejection import Acceptance
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.shared import shared_work

# All videos, or all frames.
ALL = slice(None)


class Inference(NamedTuple):
    """What the posterior says about a batch of videos, on the CPU. K slots, z_where in [-1, 1].

    Of an empty slot, only presence and identity mean anything. Objects that are drawn but find no free slot, or whose
    presence is too low for one, are part of the pictures only.
    """

    presence: Tensor  # (B, T, K) z_pres in [0, 1], 0 where the slot is empty
    identity: Tensor  # (B, T, K) long, unique within a video; -1 where the slot is empty
    new: Tensor  # (B, T, K) bool: discovered in this frame
    propagated: Tensor  # (B, T) long: how many propagated objects were drawn
    discovered: Tensor  # (B, T) long: how many proposals were drawn, with or without a free slot
    where: Tensor  # (B, T, K, 4) z_where = (s_x, s_y, t_x, t_y)
    depth: Tensor  # (B, T, K) z_depth; the smaller is in front
    what: Tensor  # (B, T, K, D) z_what, the embedding of the appearance
    appearance: Tensor  # (B, T, K, C + 1, S, S) z_what decoded: premultiplied colour, then alpha
    reconstruction: Tensor  # (B, T, C, H, W)
    background: Tensor  # (B, T, C, H, W)
    foreground: Tensor  # (B, T, 1, H, W) total alpha of the objects
    importance: Tensor  # (B, T, 1, H, W) total α·z_pres·σ(−z_depth) of the objects, which blends them
    segments: Tensor  # (B, T, H, W) long: identity of the object that owns a pixel; BACKGROUND (-2) where none does

    @property
    def slots(self) -> int:
        """K, how many slots there are."""
        return self.presence.shape[2]

    def in_slots(self, count: int) -> "Inference":
        """The same in a larger number of slots; those that are added are empty.

        :raises ValueError: for fewer slots than there are.
        """
        more = count - self.slots
        if more < 0:
            raise ValueError(f"count: expected at least {self.slots} slots, as many as there are, got {count}.")

        def added(values: Tensor, empty: float = 0) -> Tensor:
            return F.pad(values, (0, 0) * (values.dim() - 3) + (0, more), value=empty)

        parts = ("presence", "new", "where", "depth", "what", "appearance")
        padded = {part: added(getattr(self, part)) for part in parts}
        return self._replace(identity=added(self.identity, -1), **padded)

    def soft_masks(self, video: int | slice = ALL, frame: int | slice = ALL) -> Tensor:
        """The share of each pixel that each slot's object draws.

        Where every object drawn has a slot, the masks of a frame add up to its `foreground`, and together with
        1 − `foreground`, the share of the background, to 1. Elsewhere they add up to less. An empty slot draws nothing.

        Masks are not stored but worked out on each call, because they are large: 4·K·H·W bytes a frame, 4 MiB for 64
        slots and 128 × 128 px, and 225 MiB for 1280 × 720 px. Of long videos or large frames, ask for one frame at a
        time. The work is that of drawing the objects once.

        :param video: one video, or a slice of them; default: all.
        :param frame: one frame, or a slice of them; default: all.
        :return: of the shape of ``presence[video, frame]``, then H, W: (K, H, W) for one frame of one video,
            (B, T, K, H, W) for all; in [0, 1].
        """
        parts = (self.appearance, self.where, self.presence, self.depth, self.importance)
        chosen = [_sliced(part, video, frame) for part in parts]
        lead, total = chosen[2].shape[:2], chosen[4]
        if total.numel() == 0:
            masks = total.new_zeros(*chosen[2].shape, *total.shape[-2:])
        else:
            masks = shares(*(part.flatten(0, 1) for part in chosen)).unflatten(0, lead)
        return masks[_kept(video), _kept(frame)]

    def hard_masks(self, video: int | slice = ALL, frame: int | slice = ALL) -> Tensor:
        """Which pixels each slot's object owns, as in `segments`; an empty slot owns none.

        K·H·W bytes a frame; parameters and shape as in :meth:`soft_masks`.

        :return: bool, of the shape of ``presence[video, frame]``, then H, W.
        """
        return self.segments[video, frame][..., None, :, :] == self.identity[video, frame][..., None, None]


def _sliced(part: Tensor, video: int | slice, frame: int | slice) -> Tensor:
    """Videos and frames of a tensor (B, T, …), with both axes kept."""
    chosen = part[video, frame]
    for dim, index in enumerate((video, frame)):
        if not isinstance(index, slice):
            chosen = chosen.unsqueeze(dim)
    return chosen


def _kept(index: int | slice) -> int | slice:
    """What brings an axis that :func:`_sliced` kept to what was asked for."""
    return ALL if isinstance(index, slice) else 0


class SlotHistory(NamedTuple):
    """The part of :class:`Inference` that tracks need."""

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
def infer(
    scalor: Program, x: Tensor, *, lookahead: int | None = 0, evidence: Worth | Literal["auto"] | None = None
) -> Inference:
    """Follow the objects of a batch of videos.

    Online by default: no frame depends on a later one. With a lookahead, the guide comes to the first frame from those
    after it (hindsight): it sees frame k first, then goes back to frame 1, turns round, and the result begins with
    frame 0. Objects that overlap in frame 0 have then been seen apart.

    Differs: without a lookahead, the guide sees the first frame several times (``first_looks``), as if the video stood
    still, and the result begins with the last look. Proposals that overlap reject each other, so each look may find
    objects that the ones before it left out.

    :param scalor: SCALOR, or another program whose model returns :class:`~scalor_pyro.model.frame.FrameLatents`.
    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :param lookahead: k, how many frames after the first are seen before it; at most T - 1 are. None: all.
    :param evidence: decide by the gain in log p(x, z) which proposals stay and which tracks end; "auto": with the
        thresholds that :func:`~scalor_pyro.inference.evidence.worth_for` finds for a model that sees frames as they
        are; for one that sees differences, give ``worth_for(scalor, differences=True)``. None: by masks, as in the
        model.
    :raises ValueError: if x is not a batch of videos that this model can see; for a lookahead or evidence with another
        program than SCALOR.
    """
    require_videos(scalor, x)
    require_lookahead(lookahead)
    if not isinstance(scalor, Scalor):
        if lookahead != 0 or evidence is not None:
            raise ValueError(f"infer: expected a Scalor for lookahead or evidence, got a {type(scalor).__name__}.")
        return collect(
            after_first_looks(scalor, at_mode(scalor, with_first_looks(scalor, x))), scalor.config.presence_threshold
        )
    acceptance = weigher_for(scalor, evidence)
    before = seen_before(scalor, x, lookahead, acceptance)
    trace = follow(scalor, x, before, acceptance)
    latents = [with_background(scalor, trace, t, frame) for t, frame in enumerate(frames_of(trace))]
    return collect([begun(latents[0]), *latents[1:]], scalor.config.presence_threshold)


def require_lookahead(lookahead: int | None) -> None:
    """:raises ValueError: for a negative number of frames."""
    if lookahead is not None and lookahead < 0:
        raise ValueError(f"lookahead: expected a number of frames from 0, or None for all, got {lookahead}.")


def seen_before(
    scalor: Scalor, x: Tensor, lookahead: int | None = 0, acceptance: Acceptance | None = None
) -> Carried | None:
    """What the guide carries into the first frame of videos: from the frames after it, or from looks at it.

    :param Tensor x: (B, T, C, H, W) in [0, 1], from the first frame on.
    :param lookahead: see :func:`infer`.
    :param acceptance: see :meth:`Scalor.guide`.
    :return: None for a single look.
    """
    ahead = x[:, 1:] if lookahead is None else x[:, 1 : lookahead + 1]
    if ahead.shape[1]:
        return _last_carried(follow(scalor, ahead.flip(1), None, acceptance))._replace(turning=True)
    looks = with_first_looks(scalor, x[:, :1])[:, 1:]
    return _last_carried(follow(scalor, looks, None, acceptance)) if looks.shape[1] else None


def _last_carried(trace: poutine.Trace) -> Carried:
    carried = frames_of(trace)[-1].carried
    assert carried is not None
    return carried


def with_background(scalor: Scalor, trace: poutine.Trace, t: int, frame: FrameLatents) -> FrameLatents:
    """Frame t of a trace of the guide with the background that its latents draw."""
    if scalor.background is None:
        return frame
    z_bg = site_of(trace, sites.z_bg(t))["value"]  # (B, 1, D_bg)
    return frame._replace(background=scalor.background.decoder(z_bg[:, 0]))


def with_first_looks(scalor: Program, x: Tensor) -> Tensor:
    """Videos whose first frame is repeated, for further looks at it.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :return: (B, first_looks − 1 + T, C, H, W)
    :raises ValueError: if x is not a batch of videos that this model can see.
    """
    require_videos(scalor, x)
    return torch.cat((x[:, :1].expand(-1, scalor.config.first_looks - 1, -1, -1, -1), x), 1)


def after_first_looks(scalor: Program, latents: list[FrameLatents]) -> list[FrameLatents]:
    """The latents of such videos, from the last look at the first frame on."""
    first, *later = latents[scalor.config.first_looks - 1 :]
    return [begun(first), *later]


def begun(frame: FrameLatents) -> FrameLatents:
    """A frame as the first of a video: objects propagated into it count as discovered."""
    return frame._replace(propagated=None, discovered=frame.drawn, slots=frame.slots._replace(new=frame.slots.alive))


def at_mode(program: Program, x: Tensor) -> Any:
    """The return value of a model for the mode of its guide.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    """
    with undisturbed(), ModeMessenger(), shared_work():
        trace = poutine.trace(program.guide).get_trace(x)
        return poutine.replay(program.model, trace=trace)(x)


def follow(
    scalor: Scalor, x: Tensor, carried: Carried | None = None, acceptance: Acceptance | None = None
) -> poutine.Trace:
    """The mode of the guide alone, which is enough for tracks; frames are not reconstructed.

    :param Tensor x: (B, T, C, H, W) in [0, 1]
    :param carried: of the last frame of the call before, see :meth:`Scalor.guide`; None for the start of a video.
    :param acceptance: see :meth:`Scalor.guide`.
    :return: a trace, which returns the latents of each frame.
    """
    require_videos(scalor, x)
    with undisturbed(), ModeMessenger():
        return poutine.trace(scalor.guide).get_trace(x, carried=carried, acceptance=acceptance)


def slots_of(latents: list[FrameLatents]) -> SlotHistory:
    """The content of the slots after each frame, on the CPU."""
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
        what=stack(lambda f: f.slots.objects.what),
        appearance=stack(lambda f: f.slots.objects.glimpse),
        reconstruction=stack(_reconstruction).clamp(0, 1),
        background=stack(_background).clamp(0, 1),
        foreground=stack(lambda f: f.canvas.alpha),
        importance=stack(importance),
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
