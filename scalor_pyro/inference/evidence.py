r"""Evidence: the model itself decides which proposals stay and which tracks end.

Rejection by the overlap of masks asks whether a proposal lies on another object; evidence asks whether the frame is
likelier with it. A proposal with latents z stays if

.. math::

    \log p(x_t | \text{drawn}, z) - \log p(x_t | \text{drawn}) > KL(q(z) \| p(z)) - \log\frac{\rho}{1 - \rho} + \tau

where ρ is the prior probability of a discovery in its cell: the terms of the ELBO that change when z_pres goes from 0
to 1, and τ nats more. The proposal that gains most among its neighbours is drawn first, and the others are weighed
again over it. A track ends where the frame is hardly less likely without its object, in two frames running; with
hindsight, it does not reach into a first frame that is hardly less likely without it.

Which of two objects hides the other is decided in the same way: a tracked object goes to the front, or to the back,
where

.. math::

    \log p(x_t | z') + \log N(z'_{depth}; 0, 1) > \log p(x_t | z) + \log N(z_{depth}; 0, 1)

with the prior that depths have when objects are discovered, because what they did until they met says nothing.

Differs: in the paper, a proposal is rejected where the masks of propagated objects cover it (paper §3.1), and a depth
is what the guide says.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from scalor_pyro.config import ConfigError
from scalor_pyro.inference.weighing import View, Weighed, best_first, best_order
from scalor_pyro.layers.objects import Objects, Slots, gather
from scalor_pyro.layers.rendering import Layer, Sum
from scalor_pyro.model.discovery import Proposed
from scalor_pyro.model.frame import FrameLatents
from scalor_pyro.model.rejection import Kept, touching
from scalor_pyro.model.scalor import Scalor


@dataclass(frozen=True)
class Worth:
    """What an object must be worth, in nats.

    :param discover: τ, which a proposal must gain beyond what its latents cost; 0: the model's own decision.
    :param go_on: a track ends where the frame is less likely without its object by less than this, in two frames
        running; 0: never.
    :param order: objects that meet may go to the front or to the back.
    :raises ConfigError: for values below 0.
    """

    discover: float = 0.0
    go_on: float = 0.0
    order: bool = True

    def __post_init__(self) -> None:
        for name in ("discover", "go_on"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name}: expected a number of nats from 0, got {value}.")


# Thresholds in nats for each px that a typical object covers: a part of an object that another box draws badly gains
# about as much as its area, and is no object of its own.
DISCOVER, GO_ON = 0.4, 0.04
# … of a model that sees differences from the scene. Weights for any scene draw objects that they do not know, and the
# second box on a body is often worth a little.
GO_ON_IN_DIFFERENCES = 0.1


def worth_for(scalor: Scalor, differences: bool = False) -> Worth:
    """The thresholds for a model: 0.4 and 0.04 nats for each px of ``object_size``².

    One rule does for strokes, opaque objects and moving backgrounds: thresholds that were tuned for each of the weights
    that come with the package are within 0.003 MOTA of it. Where a model sees differences, tracks have to gain more to
    go on: 0.1 (docs/studies/hindsight.md).

    :param differences: the model sees differences from the background image, as weights for any scene do.
    """
    area = scalor.config.object_size**2
    return Worth(DISCOVER * area, (GO_ON_IN_DIFFERENCES if differences else GO_ON) * area)


def weigher_for(
    scalor: Scalor, evidence: Worth | Literal["auto"] | None, differences: bool = False
) -> "Weigher | None":
    """What decides by evidence; None: masks do.

    :param differences: see :func:`worth_for`.
    """
    if evidence is None:
        return None
    return Weigher(scalor, worth_for(scalor, differences) if evidence == "auto" else evidence)


class _Weak(NamedTuple):
    """Tracks that a frame hardly needs."""

    weak: Tensor  # (B, K) bool
    identity: Tensor  # (B, K) long


class Weigher:
    """Decides by evidence for the guide of one batch of videos, frame after frame, also over several calls.

    An :class:`~scalor_pyro.model.rejection.Acceptance`. Proposals too faint to be tracked are left out.

    :param scalor: the model whose guide is run.
    :param evidence: what an object must be worth.
    """

    def __init__(self, scalor: Scalor, evidence: Worth) -> None:
        self.scalor, self.evidence = scalor, evidence
        # The guide infers the background after the objects, so that of the frame before stands in for it.
        self._behind = None if scalor.background_image is None else scalor.background_image[None]
        self._before: _Weak | None = None
        self._view: View | None = None  # of the frame that is being decided
        self._turning = False

    @torch.no_grad()
    def order(self, frame: Tensor, propagated: Objects, layer: Layer) -> tuple[Objects, Layer]:
        """Objects with the depths that explain a frame best: each as it is, or at an end of the range of depths."""
        unknown = self.scalor.background is not None and self._behind is None
        if unknown or not self.evidence.order:
            return propagated, layer
        there = propagated.presence > self.scalor.config.presence_threshold
        meeting = (touching(propagated) & there[:, None] & there[..., None]).sum(-1) > 1
        most = int(meeting.sum(1).max())
        if most == 0:
            return propagated, layer
        which = meeting.to(propagated.presence.dtype).topk(most, 1).indices
        depth, times, total = best_order(
            self._view_of(frame).weighed(layer.patches.take(which)),
            layer.total,
            gather(propagated.depth[..., 0], which),
            gather(meeting, which),
            self.scalor.config.depth_range,
        )
        if total is layer.total:
            return propagated, layer
        moved = propagated.depth.scatter(1, which[..., None], depth[..., None])
        scaled = layer.patches.scaled(torch.ones_like(moved[..., 0]).scatter(1, which, times))
        return propagated._replace(depth=moved), Layer(scaled, total)

    @torch.no_grad()
    def keep(
        self,
        t: int,
        frame: Tensor,
        previous: Slots | None,
        propagated: Objects | None,
        proposals: Objects,
        proposed: Proposed,
        layer: Layer | None = None,
    ) -> Kept:
        """1 for each object of a frame that stays, 0 for the others."""
        scalor, going_on = self.scalor, None
        if scalor.background is not None and self._behind is None:
            return scalor.kept_by_masks(previous, propagated, proposals)  # nothing to weigh against yet
        view, self._view = self._view_of(frame), None
        if previous is None or propagated is None:
            canvas = view.empty()
        else:
            going_on = scalor.carried_on(previous, propagated, touching(propagated))
            layer = view.layer_of(propagated) if layer is None else layer
            ended = (going_on == 0) & (propagated.presence > 0)
            canvas = view.empty().plus(layer.patches, going_on) if ended.any() else layer.total
            if self.evidence.go_on > 0:
                tracked = view.weighed(layer.patches)
                needless = self._needless(tracked, canvas, previous, going_on * propagated.presence)
                if needless.any():
                    going_on = going_on * ~needless
                    canvas = view.empty().plus(layer.patches, going_on)
        likely = proposals.presence > scalor.config.presence_threshold
        none = torch.zeros_like(proposals.presence)
        most = int(likely.sum(1).max())
        if most == 0:
            return Kept(going_on, none, canvas.drawn())
        chosen = proposals.presence.topk(most, 1).indices
        cost = gather(self._cost(t, proposed) + self.evidence.discover, chosen)
        new = view.weighed(view.drawn_by(proposals.take(chosen)))
        stays, canvas = best_first(new, canvas, cost, gather(likely, chosen))
        return Kept(going_on, none.scatter(1, chosen, stays.to(none.dtype)), canvas.drawn())

    def turn(self) -> None:
        """The next frame is the first of a video. An object without evidence in it has not come yet."""
        self._turning = True

    @torch.no_grad()
    def infer_behind(self, z_bg: Tensor) -> None:
        """Take the background that the guide has inferred. (B, 1, D_bg)"""
        assert self.scalor.background is not None
        self._behind = self.scalor.background.decoder(z_bg[:, 0])

    def _view_of(self, frame: Tensor) -> View:
        """A frame over the background of the one before; the same for all that is asked of a frame."""
        if self._view is None or self._view.frame is not frame:
            self._view = View.of(self.scalor, frame, self._behind)
        return self._view

    def _needless(self, tracked: "Weighed", canvas: "Sum", previous: Slots, presence: Tensor) -> Tensor:
        """Tracks without which the frame is hardly less likely, now and in the frame before. (B, K) bool

        In a first frame that is seen after later ones, now is enough: before it, there was nothing to be hidden from.
        """
        lost = -tracked.gain(canvas, -1)
        weak = (lost < self.evidence.go_on) & (presence > self.scalor.config.presence_threshold)
        before, self._before = self._before, _Weak(weak, previous.identity)
        if self._turning:
            self._turning = False
            return weak
        if before is None or len(before.weak) != len(weak):
            return torch.zeros_like(weak)
        # By identity, because an object may have another slot than in the call before.
        same = previous.identity[..., None] == before.identity[:, None]
        return weak & (same & before.weak[:, None]).any(-1)

    def _cost(self, t: int, proposed: Proposed) -> Tensor:
        """KL of each proposal's latents, and what its discovery costs, in nats. (B, M)"""
        prior = self.scalor.discovery_prior(t, len(proposed.cells), self.scalor.annealed)
        latents = (
            (proposed.where, prior.where(proposed.cells)),
            (proposed.depth, prior.depth(proposed.cells)),
            (proposed.what, prior.what(proposed.z_where)),
        )
        divergences = [kl_divergence(q, p) for q, p in latents]
        return torch.stack(divergences).sum(0) - prior.presence.logits.gather(1, proposed.cells)


class _Noting(Weigher):
    """Notes what it keeps, frame after frame, and leaves the drawing to those who need its gradient."""

    def __init__(self, scalor: Scalor, evidence: Worth) -> None:
        super().__init__(scalor, evidence)
        self.kept: list[Kept] = []

    def keep(self, *frame: Any) -> Kept:
        """1 for each object of a frame that stays, 0 for the others."""
        self.kept.append(super().keep(*frame)._replace(canvas=None))
        return self.kept[-1]


class ByEvidence:
    """Guide and model of a :class:`~scalor_pyro.model.scalor.Scalor` in which evidence decides, to learn with.

    The guide decides, and the model that is replayed against it keeps what the guide kept::

        by_evidence = ByEvidence(scalor)
        svi = SVI(by_evidence.model, by_evidence.guide, optimiser, ReparamELBO())

    Depths are those of the guide: one that evidence changed would not be the value of its site.

    :param scalor: the model and guide.
    :param evidence: what an object must be worth; "auto": the thresholds of :func:`worth_for`.
    """

    def __init__(self, scalor: Scalor, evidence: Worth | Literal["auto"] = "auto") -> None:
        self.scalor = scalor
        worth = worth_for(scalor) if evidence == "auto" else evidence
        self.evidence = replace(worth, order=False)
        self._kept: list[Kept] = []

    def guide(self, x: Tensor) -> list[FrameLatents]:
        """q(z | x) of frames (B, T, C, H, W)."""
        deciding = _Noting(self.scalor, self.evidence)
        latents = self.scalor.guide(x, acceptance=deciding)
        self._kept = deciding.kept
        return latents

    def model(self, x: Tensor) -> list[FrameLatents]:
        """p(x, z) of the frames that the guide was run on last."""
        return self.scalor.model(x, kept=self._kept)
