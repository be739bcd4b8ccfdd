r"""Evidence: at inference, the model itself decides which proposals stay and which tracks end.

Rejection by the overlap of masks asks whether a proposal lies on another object; evidence asks whether the frame is
likelier with it. A proposal with latents z stays if

.. math::

    \log p(x_t | \text{drawn}, z) - \log p(x_t | \text{drawn}) > KL(q(z) \| p(z)) - \log\frac{\rho}{1 - \rho} + \tau

where ρ is the prior probability of a discovery in its cell: the terms of the ELBO that change when z_pres goes from 0
to 1, and τ nats more. The proposal that gains most among its neighbours is drawn first, and the others are weighed
again over it. A track ends where the frame is hardly less likely without its object, in two frames running.

Which of two objects hides the other is decided in the same way: a tracked object goes to the front, or to the back,
where

.. math::

    \log p(x_t | z') + \log N(z'_{depth}; 0, 1) > \log p(x_t | z) + \log N(z_{depth}; 0, 1)

with the prior that depths have when objects are discovered, because what they did until they met says nothing.

Differs: in the paper, a proposal is rejected where the masks of propagated objects cover it (paper §3.1), and a depth
is what the guide says.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from scalor_pyro.config import ConfigError
from scalor_pyro.layers.objects import Objects, Slots, gather
from scalor_pyro.layers.rendering import EPSILON, Canvas, Patches, added, shown, weighted_patches
from scalor_pyro.model.discovery import Proposed
from scalor_pyro.model.rejection import Kept
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
DISCOVER, GO_ON = 0.4, 0.08
# Objects of a neighbourhood that may change their depth in one frame.
MOVES = 4


def worth_for(scalor: Scalor) -> Worth:
    """The thresholds for a model: 0.4 and 0.08 nats for each px of ``object_size``².

    One rule does for strokes, opaque objects and moving backgrounds: thresholds that were tuned for each of the weights
    that come with the package are within 0.006 MOTA of it (docs/studies/hindsight.md).
    """
    area = scalor.config.object_size**2
    return Worth(DISCOVER * area, GO_ON * area)


def weigher_for(scalor: Scalor, evidence: Worth | Literal["auto"] | None) -> "Weigher | None":
    """What decides by evidence; None: masks do."""
    if evidence is None:
        return None
    return Weigher(scalor, worth_for(scalor) if evidence == "auto" else evidence)


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

    @torch.no_grad()
    def order(self, frame: Tensor, propagated: Objects, patches: Patches) -> tuple[Objects, Patches]:
        """Objects with the depths that explain a frame best: each as it is, or at an end of the range of depths."""
        unknown = self.scalor.background is not None and self._behind is None
        if unknown or not self.evidence.order:
            return propagated, patches
        weighed = _View.of(self.scalor, frame, self._behind).weighed(propagated, patches)
        there = propagated.presence > self.scalor.config.presence_threshold
        meeting = (weighed.near & there[:, None] & there[..., None]).sum(-1) > 1
        if not meeting.any():
            return propagated, patches
        depth, patches = _best_order(weighed, propagated.depth[..., 0], meeting, self.scalor.config.depth_range)
        return propagated._replace(depth=depth[..., None]), patches

    @torch.no_grad()
    def keep(
        self,
        t: int,
        frame: Tensor,
        previous: Slots | None,
        propagated: Objects | None,
        proposals: Objects,
        proposed: Proposed,
        patches: Patches | None = None,
    ) -> Kept:
        """1 for each object of a frame that stays, 0 for the others."""
        scalor, going_on = self.scalor, None
        if scalor.background is not None and self._behind is None:
            return scalor.kept_by_masks(previous, propagated, proposals)  # nothing to weigh against yet
        view = _View.of(scalor, frame, self._behind)
        canvas = view.empty()
        if previous is not None and propagated is not None:
            going_on = scalor.carried_on(previous, propagated)
            tracked = view.weighed(propagated, patches)
            canvas = canvas.plus(tracked.patches, going_on)
            if self.evidence.go_on > 0:
                needless = self._needless(tracked, canvas, previous, going_on * propagated.presence)
                going_on = going_on * ~needless
                canvas = view.empty().plus(tracked.patches, going_on)
        likely = proposals.presence > scalor.config.presence_threshold
        none = torch.zeros_like(proposals.presence)
        most = int(likely.sum(1).max())
        if most == 0:
            return Kept(going_on, none, canvas.drawn())
        chosen = proposals.presence.topk(most, 1).indices
        cost = gather(self._cost(t, proposed) + self.evidence.discover, chosen)
        new = view.weighed(proposals.take(chosen))
        stays, canvas = _best_first(new, canvas, cost, gather(likely, chosen))
        return Kept(going_on, none.scatter(1, chosen, stays.to(none.dtype)), canvas.drawn())

    @torch.no_grad()
    def infer_behind(self, z_bg: Tensor) -> None:
        """Take the background that the guide has inferred. (B, 1, D_bg)"""
        assert self.scalor.background is not None
        self._behind = self.scalor.background.decoder(z_bg[:, 0])

    def _needless(self, tracked: "_Weighed", canvas: "_Sum", previous: Slots, presence: Tensor) -> Tensor:
        """Tracks without which the frame is hardly less likely, now and in the frame before. (B, K) bool"""
        lost = -tracked.gain(canvas, -1)
        weak = (lost < self.evidence.go_on) & (presence > self.scalor.config.presence_threshold)
        before, self._before = self._before, _Weak(weak, previous.identity)
        if before is None or before.weak.shape != weak.shape:
            return torch.zeros_like(weak)
        return weak & before.weak & (before.identity == previous.identity)

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


class _Sum(NamedTuple):
    """What is drawn so far: sums of patches, per pixel of the flattened image."""

    summed: Tensor  # (B, C + 1, H·W) colour and alpha, times importance
    importance: Tensor  # (B, 1, H·W)
    image_size: tuple[int, int]

    @classmethod
    def of(cls, patches: Patches, image_size: tuple[int, int]) -> "_Sum":
        """All of some objects."""
        return cls(*added(patches, image_size), image_size)

    def plus(self, patches: Patches, kept: Tensor) -> "_Sum":
        """With more drawn.

        :param kept: (B, n) how many times each object is drawn: 1, 0 for those that are not, or a part.
        """
        summed, importance = added(patches.scaled(kept), self.image_size)
        return _Sum(self.summed + summed, self.importance + importance, self.image_size)

    def drawn(self) -> Canvas:
        """The foreground."""
        return shown(self.summed, self.importance, self.image_size)


class _View(NamedTuple):
    """A frame to be explained."""

    frame: Tensor  # (B, C, H, W)
    behind: Tensor  # (B, C, H, W) what is seen where no object is
    sigma: Tensor  # (B, C, H, W)
    window: tuple[int, int]

    @classmethod
    def of(cls, scalor: Scalor, frame: Tensor, behind: Tensor | None) -> "_View":
        """A frame as a model sees it; without a background, it is black behind the objects."""
        black = torch.zeros_like(frame) if behind is None else behind.expand_as(frame)
        return cls(frame, black, scalor.sigma.expand_as(frame), scalor.boxes.window)

    def empty(self) -> _Sum:
        """Nothing drawn yet."""
        batch, channels, height, width = self.frame.shape
        nothing = self.frame.new_zeros(batch, channels + 1, height * width)
        return _Sum(nothing, nothing[:, :1], (height, width))

    def weighed(self, objects: Objects, patches: Patches | None = None) -> "_Weighed":
        """Objects, to be weighed each in its own window.

        :param patches: what they draw, if it is known.
        """
        size = (self.frame.shape[-2], self.frame.shape[-1])
        if patches is None:
            parts = (objects.glimpse, objects.where, objects.presence, objects.depth)
            patches = weighted_patches(*parts, size, self.window)
        index = patches.pixel.flatten(1)[:, None]
        unexplained, behind, sigma = (
            image.flatten(2).gather(2, index.expand(-1, image.shape[1], -1))
            for image in (self.frame - self.behind, self.behind, self.sigma)
        )
        # Origins of windows are whole pixels: windows overlap where these differ by less than their sides.
        origin = torch.stack((patches.pixel[..., 0, 0] // size[1], patches.pixel[..., 0, 0] % size[1]), -1)
        apart = (origin[:, :, None] - origin[:, None]).abs()  # (B, n, n, 2)
        near = (apart < torch.tensor(self.window, device=apart.device)).all(-1)
        return _Weighed(patches, unexplained, behind, sigma, near, size)


class _Weighed(NamedTuple):
    """Objects that are weighed: all that one of them changes lies in its own window of P pixels."""

    patches: Patches  # of n objects
    unexplained: Tensor  # (B, C, n·P) the frame minus what is behind
    behind: Tensor  # (B, C, n·P)
    sigma: Tensor  # (B, C, n·P)
    near: Tensor  # (B, n, n) bool: their windows overlap
    image_size: tuple[int, int]

    def gain(self, canvas: _Sum, more: float | Tensor) -> Tensor:
        """Nats by which the frame is likelier if one object alone is changed. (B, n)

        :param more: how many times what the object draws is added: 1 draws it as well, −1 leaves it out. (B, n), or
            one number for all.
        """
        if isinstance(more, Tensor):
            more = more.repeat_interleave(self.unexplained.shape[-1] // more.shape[-1], -1)[:, None]
        index = self.patches.pixel.flatten(1)[:, None]
        summed = canvas.summed.gather(2, index.expand(-1, canvas.summed.shape[1], -1))
        total = canvas.importance.gather(2, index)
        other = summed + more * self.patches.summed.flatten(2)
        other_total = (total + more * self.patches.importance.flatten(2)).clamp(min=0)
        nats = self._misfit(summed, total) - self._misfit(other, other_total)
        return nats.unflatten(1, (self.near.shape[1], -1)).sum(-1)

    def _misfit(self, summed: Tensor, total: Tensor) -> Tensor:
        """−log p of each pixel, up to a constant. (B, n·P)"""
        seen = summed / (total + EPSILON)
        colour, alpha = seen[:, :-1], seen[:, -1:]
        return ((self.unexplained - colour + alpha * self.behind) / self.sigma).square().sum(1) / 2


def _best_first(weighed: _Weighed, canvas: _Sum, cost: Tensor, candidates: Tensor) -> tuple[Tensor, _Sum]:
    """Which proposals to draw: the one that gains most among its neighbours, then the next over it, while any gains.

    :param cost: (B, n) nats.
    :param candidates: (B, n) bool: the proposals to choose from.
    :return: (B, n) bool, and the canvas with them.
    """
    stays = torch.zeros_like(candidates)
    while True:
        gains = (weighed.gain(canvas, 1) - cost).masked_fill(~candidates | stays, -torch.inf)
        more = _best_nearby(gains, weighed.near)
        if not more.any():
            return stays, canvas
        stays = stays | more
        canvas = canvas.plus(weighed.patches, more.to(cost.dtype))


def _best_nearby(gains: Tensor, near: Tensor) -> Tensor:
    """Which objects gain, and more than all others whose windows overlap theirs. (B, n) bool"""
    rank = gains.argsort(stable=True, dim=1, descending=True).argsort(1)
    first = rank.masked_fill(gains <= 0, rank.shape[1])[:, None].expand_as(near)
    best = first.masked_fill(~near, rank.shape[1]).amin(-1)
    return (gains > 0) & (rank == best)


def _best_order(weighed: _Weighed, depth: Tensor, candidates: Tensor, reach: float) -> tuple[Tensor, Patches]:
    """The depths that explain a frame best: the object that gains most among its neighbours moves first.

    :param depth: (B, n)
    :param candidates: (B, n) bool: the objects that may move.
    :param reach: depth of an object at the back; −reach at the front.
    :return: (B, n), and the patches with these depths.
    """
    canvas = _Sum.of(weighed.patches, weighed.image_size)
    for _ in range(MOVES):
        front, front_gain = _moved(weighed, canvas, depth, -reach)
        back, back_gain = _moved(weighed, canvas, depth, reach)
        forward = front_gain > back_gain
        gains = torch.where(forward, front_gain, back_gain).masked_fill(~candidates, -torch.inf)
        chosen = _best_nearby(gains, weighed.near)
        if not chosen.any():
            break
        change = torch.where(forward, front, back) * chosen
        canvas = canvas.plus(weighed.patches, change)
        weighed = weighed._replace(patches=weighed.patches.scaled(1 + change))
        depth = torch.where(chosen, torch.where(forward, -reach, reach), depth)
    return depth, weighed.patches


def _moved(weighed: _Weighed, canvas: _Sum, depth: Tensor, to: float) -> tuple[Tensor, Tensor]:
    """What going to a depth adds to each object's importance, as a share of it, and what it gains in nats. (B, n)"""
    more = torch.sigmoid(torch.full_like(depth, -to)) / torch.sigmoid(-depth) - 1
    return more, weighed.gain(canvas, more) - (to**2 - depth**2) / 2
