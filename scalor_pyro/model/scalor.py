"""SCALOR as a Pyro program: the generative model and its guide."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyro
import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.layers.frame_encoder import STRIDE, Features, FrameEncoder
from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.layers.rendering import Layer, Patches, Sum, drawn, weighted_patches
from scalor_pyro.model import sites
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import AppearanceEncoder, AppearancePrior, make_decoder
from scalor_pyro.model.attention import Attention
from scalor_pyro.model.background import (
    Background,
    BackgroundDistribution,
    BackgroundPrior,
    make_background,
    require_background,
)
from scalor_pyro.model.discovery import (
    DiscoveryDistributions,
    DiscoveryPosterior,
    DiscoveryPrior,
    Proposed,
    shortlist,
)
from scalor_pyro.model.distributions import normal, weighted_by
from scalor_pyro.model.frame import Carried, FrameLatents, statistics
from scalor_pyro.model.inputs import extent
from scalor_pyro.model.parts import Parts, full_name, require_shape
from scalor_pyro.model.program import GuideMessenger, StoredModule, require_one_particle
from scalor_pyro.model.propagation import PropagationDistributions, PropagationPosterior, PropagationPrior
from scalor_pyro.model.rejection import (
    Acceptance,
    Kept,
    explained,
    explained_by_each,
    explained_in,
    fill_slots,
    strongest_first,
    within,
)
from scalor_pyro.model.shared import begin_guide, begin_model, once
from scalor_pyro.runs.loading import load_model, located
from scalor_pyro.runs.weights import put_weights


class _Plates(NamedTuple):
    sequences: pyro.plate  # B, dim -2
    slots: pyro.plate  # K, dim -1
    cells: pyro.plate  # N, dim -1
    first_proposals: pyro.plate  # M of the first frame, dim -1
    proposals: pyro.plate  # M of a later frame, dim -1


class Scalor(StoredModule):
    r"""Generative world model with scalable object representations (Jiang et al., ICLR 2020, arXiv 1910.02384).

    For B sequences of T frames, K slots, N cells, M shortlisted proposals, with
    z_where = (s_x, s_y, t_x, t_y) in image coordinates:

    ================================  ===========  =======  ==============================================
    site                              batch shape  event    meaning
    ================================  ===========  =======  ==============================================
    ``z_pres_prop_t`` (t > 0)         (B, K)       ()       logit: does the object continue?
    ``z_where_prop_t`` (t > 0)        (B, K)       (4)      deviation from where it is expected
    ``z_depth_prop_t`` (t > 0)        (B, K)       (1)      depth; smaller is in front
    ``z_what_prop_t`` (t > 0)         (B, K)       (D)      appearance
    ``z_pres_disc_t``                 (B, N)       ()       logit: does the cell discover an object?
    ``z_where_disc_t``                (B, M)       (4)      its size, aspect and position in the cell
    ``z_depth_disc_t``                (B, M)       (1)      its depth
    ``z_what_disc_t``                 (B, M)       (D)      its appearance
    ``z_bg_t`` (with a background)    (B, 1)       (D_bg)   background
    ``x_t``                           (B, 1)       (C,H,W)  the frame
    ================================  ===========  =======  ==============================================

    and, deterministic, only in the model:

    ================================  ===========  =======  ==============================================
    ``y_t``                           (B, 1)       (C,H,W)  the frame without noise
    ``slot_pres_t``                   (B, K)       ()       presence in [0, 1] of the object in a slot
    ``slot_where_t``                  (B, K)       (4)      its z_where in image coordinates
    ``slot_identity_t``               (B, K)       ()       its identity, -1 where the slot is empty
    ================================  ===========  =======  ==============================================

    .. math::

        p(x, z) &= \prod_t p(x_t | z_t)\, p(z^{bg}_t | z^{bg}_{t-1})\, p(z^D_t | z^P_t)\, p(z^P_t | z_{<t}) \\
        q(z | x) &= \prod_t q(z^{bg}_t | x_t, z^{fg}_t)\, q(z^D_t | z^P_t, x_{\le t})\, q(z^P_t | z_{<t}, x_{\le t})

    docs/deviations.md lists where it differs from the paper, with reasons and effects.

    :param config: sizes and switches.
    :param parts: parts of your own in place of standard ones, see :class:`~scalor_pyro.model.parts.Parts`.
    :param propagation_prior: the same part as a module that is built already; so are the next three.
    :param discovery_prior: …
    :param appearance_prior: …
    :param background_prior: …
    :raises ValueError: for a part that is given twice or does not fit; for an appearance prior beside a discovery
        prior, which has one of its own; for a background, or its prior, if ``config.background`` is "none".
    """

    background: Background | None

    def __init__(
        self,
        config: ModelConfig,
        *,
        parts: Parts | None = None,
        propagation_prior: nn.Module | None = None,
        discovery_prior: nn.Module | None = None,
        appearance_prior: nn.Module | None = None,
        background_prior: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.parts = parts or Parts()
        ready = {
            "propagation_prior": propagation_prior,
            "discovery_prior": discovery_prior,
            "appearance_prior": appearance_prior,
            "background_prior": background_prior,
        }
        self._ready = {name: full_name(module) for name, module in ready.items() if module is not None}
        self._require_parts_that_fit()
        build = self.parts.build
        # The order counts: it is that of the parameters in saved optimisers, and of the random numbers they start from.
        self.annealed = Annealed()
        self.boxes = Boxes(config)
        self.decoder = build("decoder", make_decoder, config)
        self.propagation_prior = propagation_prior or build("propagation_prior", PropagationPrior, config)
        if discovery_prior is None and self.parts.discovery_prior is None:
            discovery_prior = DiscoveryPrior(
                config, appearance_prior or build("appearance_prior", AppearancePrior, config)
            )
        self.discovery_prior = discovery_prior or build("discovery_prior", DiscoveryPrior, config)
        self.frame_encoder = build("frame_encoder", FrameEncoder, config)
        appearance = build("appearance_encoder", AppearanceEncoder, config)
        attention = build("attention", Attention, config)
        self.propagation_posterior = build("propagation_posterior", PropagationPosterior, config, appearance, attention)
        self.discovery_posterior = build("discovery_posterior", DiscoveryPosterior, config, appearance)
        self.background = self._make_background(background_prior)
        self.last_statistics: dict[str, Tensor] = {}

    def _require_parts_that_fit(self) -> None:
        given = self.parts.given()
        for name in self._ready:
            if name in given:
                raise ValueError(f"{name}: expected a module or parts.{name}, got both.")
        names = {*given, *self._ready}
        for one, other in (("discovery_prior", "appearance_prior"), ("background", "background_prior")):
            if one in names and other in names:
                raise ValueError(f"{other}: expected none beside a {one}, which has its own.")

    def _make_background(self, prior: nn.Module | None) -> Background | None:
        config, parts = self.config, self.parts
        if parts.background_prior is not None:
            prior = parts.build("background_prior", BackgroundPrior, config)
        if parts.background is None:
            return make_background(config, prior)
        require_background(config, "background")
        background = parts.build("background", Background, config)
        for name in ("decoder", "prior", "posterior", "image", "sigma"):
            if not hasattr(background, name):
                raise ValueError(f"Parts.background: expected a module with an attribute {name}, got one without.")
        if (background.image is not None) != config.has_background_image:
            raise ValueError("Parts.background: expected an image if config.background is 'static', else none.")
        return background

    @property
    def own_parts(self) -> dict[str, str]:
        """The parts that are not standard ones, and the full names of their classes."""
        return {**self.parts.names(), **self._ready}

    def rebuilt(self, config: ModelConfig) -> "Scalor":
        """A new model with the same parts, for another config.

        :raises ValueError: for a model with priors that were given as modules.
        """
        for name in self._ready:
            raise ValueError(f"{name} was given as a module, which fits one config: give it as parts=Parts({name}=…).")
        return Scalor(config, parts=self.parts)

    @classmethod
    def from_pretrained(cls, run: str | Path, parts: Parts | None = None) -> "Scalor":
        """A trained model, on the CPU and ready to infer.

        :param run: the name of weights that come with the package (``scalor weights`` lists them: "digits-vld", …), a
            run folder, or a file of weights.
        :param parts: the parts of its own that it was trained with. They are code, and are not saved.
        :raises CheckpointError: if it does not exist or cannot be used, the networks have changed since, or it was
            trained with parts of its own that are not given.
        """
        parts = parts or Parts()
        config, weights = load_model(run, parts.names())
        scalor = cls(config, parts=parts)
        put_weights(located(run), weights, scalor)
        return scalor.eval()

    # ------------------------------------------------------------------ the program

    def model(
        self,
        x: Tensor | None = None,
        frames: int | None = None,
        sequences: int = 1,
        kept: Sequence[Kept] = (),
    ) -> list[FrameLatents]:
        """p(x, z): observes the frames it is given and imagines the rest.

        :param x: (B, T, C, H, W) in [0, 1], or None to observe nothing.
        :param frames: the number of frames in total; default T.
        :param sequences: B, if nothing is observed.
        :param kept: which objects stay in the first frames, as decided elsewhere; in the others, masks decide.
        :return: one entry per frame.
        :raises ValueError: if x is not a batch of videos of the config's size.
        """
        observed, frames, sequences = extent(x, frames, sequences, self.config, self.annealed.temperature.dtype)
        plates, sigma = self._plates(sequences), self.sigma
        begin_model(self)
        latents: list[FrameLatents] = []
        slots: Slots | None = None
        memory = z_bg = background_memory = drawn_behind = None
        for t in range(frames):
            propagated = None
            if slots is not None:
                going_on = self.propagation_prior(slots, memory, self.annealed)
                memory = going_on.memory
                propagated = self._propagate(t, going_on, slots, plates)
            discovering = self.discovery_prior(t, sequences, self.annealed)
            proposals, _ = self._discover(t, discovering, plates, first=slots is None)
            frame = once(self.settle, slots, propagated, proposals, kept[t] if t < len(kept) else None)
            slots, frame_loc = frame.slots, frame.canvas.colour
            if self.background is not None:
                behind = self.background.prior(z_bg, background_memory, sequences)
                background_memory = behind.memory
                z_bg = self._behind(t, behind, plates)
                drawn_behind = self.background.decoder(z_bg[:, 0])
                frame_loc = frame.canvas.over(drawn_behind)
            self._record(t, frame_loc, slots, plates)
            with plates.sequences:
                pyro.sample(
                    sites.x(t),
                    normal(frame_loc[:, None], sigma, event_dims=3),
                    obs=x[:, t, None] if x is not None and t < observed else None,
                )
            latents.append(frame._replace(background=drawn_behind))
        return latents

    def guide(
        self,
        x: Tensor | None = None,
        frames: int | None = None,
        sequences: int = 1,
        carried: Carried | None = None,
        acceptance: Acceptance | None = None,
    ) -> list[FrameLatents]:
        """q(z | x), for the observed frames; the model imagines the others.

        Takes the arguments of :meth:`model`, and

        :param carried: of the last frame of an earlier call, to continue from there: x is then the frames that follow,
            sites count from 0 again, and there are as many slots as in ``carried`` (:meth:`Carried.in_slots`).
        :param acceptance: what decides which objects stay; default: masks, as in the model. With another one the slots
            may differ from those of a model that is replayed against this guide, unless it is told what was ``kept``.
        """
        observed, frames, sequences = extent(x, frames, sequences, self.config, self.annealed.temperature.dtype)
        if x is None:
            return []
        begin_guide(self)
        latents: list[FrameLatents] = []
        slots, memory, seen_before, turning = (None, None, None, False) if carried is None else carried
        plates = self._plates(sequences, slots)
        difference = None if self.background_image is None else x - self.background_image  # objects, and the light
        surprising = None if difference is None else difference * (self.config.sigma / self.sigma)
        maps, cells, memories = (part.unbind(1) for part in self._features(x, surprising, seen_before))
        with GuideMessenger():
            for t in range(min(observed, frames)):
                frame, propagated, layer = x[:, t], None, None
                if slots is not None:
                    going_on = self.propagation_posterior(slots, memory, self.annealed, frame, maps[t])
                    memory = going_on.memory
                    propagated = self._propagate(t, going_on, slots, plates)
                    patches = self._patches(propagated.detach())
                    layer = Layer(patches, Sum.of(patches, self.config.image_size))
                    if acceptance is not None:
                        propagated, layer = acceptance.order(frame, propagated, layer)
                seen = None if layer is None else layer.total.drawn()
                discovering = self.discovery_posterior(frame, cells[t], seen, self.annealed)
                proposals, proposed = self._discover(t, discovering, plates, first=slots is None)
                kept = None
                if acceptance is not None:
                    if turning and t == 0:
                        acceptance.turn()
                    kept = acceptance.keep(t, frame, slots, propagated, proposals, proposed, layer)
                settled = once(self.settle, slots, propagated, proposals, kept)
                if turning and t == 0:
                    settled = settled._replace(slots=settled.slots.turned())
                slots = settled.slots
                if self.background is not None:
                    seen_behind = frame if difference is None else difference[:, t]
                    behind = self.background.posterior(seen_behind, settled.canvas.alpha.detach())
                    z_bg = self._behind(t, behind, plates)
                    if acceptance is not None:
                        acceptance.infer_behind(z_bg)
                latents.append(settled._replace(carried=Carried(slots, memory, memories[t])))
        self.last_statistics = statistics(latents, self.config.presence_threshold)
        return latents

    # ------------------------------------------------------------------ latents, drawn by model and guide

    def _propagate(self, t: int, distribution: PropagationDistributions, slots: Slots, plates: _Plates) -> Objects:
        """Draw z_t^P; empty slots do not count."""
        alive = once(_as_weight, slots.alive, distribution.memory.dtype)
        # Weights go outside of all plates: a plate multiplies every weight that is given within it.
        with weighted_by(alive), plates.sequences, plates.slots:
            logit = pyro.sample(sites.z_pres("prop", t), distribution.presence)
        require_one_particle(logit, 2, self)
        presence = once(_going_on, logit, slots.alive)
        with weighted_by(presence), plates.sequences, plates.slots:
            raw = pyro.sample(sites.z_where("prop", t), distribution.where)
            where, shape, velocity = once(self.boxes.propagated, slots.objects, raw)
            depth = pyro.sample(sites.z_depth("prop", t), distribution.depth)
            what = pyro.sample(sites.z_what("prop", t), distribution.what(where))
        glimpse = once(self._decoded, what)
        return Objects(presence, where, shape, velocity, depth, what, glimpse)

    def _discover(
        self, t: int, distribution: DiscoveryDistributions, plates: _Plates, first: bool
    ) -> tuple[Objects, Proposed]:
        """Draw z_t^D: presence in all cells, the rest in the likeliest ones."""
        with plates.sequences, plates.cells:
            logits = pyro.sample(sites.z_pres("disc", t), distribution.presence)
        require_one_particle(logits, 2, self)
        cells = once(shortlist, logits, self.config.proposals(first))
        presence = once(_presence_of, logits, cells)
        where_at, depth_at = distribution.where(cells), distribution.depth(cells)
        with weighted_by(presence), plates.sequences, plates.first_proposals if first else plates.proposals:
            raw = pyro.sample(sites.z_where("disc", t), where_at)
            where, shape, velocity = once(self.boxes.discovered, raw, cells)
            depth = pyro.sample(sites.z_depth("disc", t), depth_at)
            look = distribution.what(where)
            what = pyro.sample(sites.z_what("disc", t), look)
        glimpse = once(self._decoded, what)
        objects = Objects(presence, where, shape, velocity, depth, what, glimpse)
        return objects, Proposed(cells, where, where_at, depth_at, look)

    def _behind(self, t: int, distribution: BackgroundDistribution, plates: _Plates) -> Tensor:
        """Draw z_t^bg. (B, 1, D_bg)"""
        with plates.sequences:
            z_bg: Tensor = pyro.sample(sites.z_bg(t), distribution.z_bg)
        return z_bg

    # ------------------------------------------------------------------ deterministic

    def _features(self, x: Tensor, difference: Tensor | None, memory: Tensor | None) -> Features:
        features: Features = self.frame_encoder(x, difference, memory)
        (height, width), of_frames = self.config.image_size, (*x.shape[:2], self.config.feature_dim)
        require_shape("frame_encoder", features.maps, (*of_frames, height // STRIDE, width // STRIDE))
        require_shape("frame_encoder", features.cells, (*of_frames, *self.config.cells))
        return features

    def _decoded(self, what: Tensor) -> Tensor:
        """Glimpses of objects. (B, n, D) → (B, n, C + 1, S, S)"""
        glimpses: Tensor = self.decoder(what)
        side = self.config.glimpse_size
        require_shape("decoder", glimpses, (*what.shape[:-1], self.config.channels + 1, side, side))
        return glimpses

    def _record(self, t: int, frame_loc: Tensor, slots: Slots, plates: _Plates) -> None:
        """Name quantities that follow from the latents, for traces and Predictive."""
        with plates.sequences:
            pyro.deterministic(sites.y(t), frame_loc[:, None], event_dim=3)
        with plates.sequences, plates.slots:
            pyro.deterministic(sites.slot_pres(t), slots.objects.presence, event_dim=0)
            pyro.deterministic(sites.slot_where(t), slots.objects.where, event_dim=1)
            pyro.deterministic(sites.slot_identity(t), slots.identity, event_dim=0)

    def settle(
        self, previous: Slots | None, propagated: Objects | None, proposals: Objects, kept: Kept | None = None
    ) -> FrameLatents:
        """Leave out objects that others explain, assign the rest to slots, and draw the foreground.

        :param kept: which objects stay; default: by masks.
        """
        if kept is None:
            kept = self.kept_by_masks(previous, propagated, proposals)
        if propagated is not None and kept.propagated is not None:
            propagated = propagated._replace(presence=propagated.presence * kept.propagated)
        proposals = proposals._replace(presence=proposals.presence * kept.proposals)
        canvas, size = kept.canvas, self.config.image_size
        if canvas is None:
            canvas = drawn(self._patches(*([proposals] if propagated is None else [propagated, proposals])), size)
        before = None if propagated is None else propagated.detach()
        slots = fill_slots(previous, before, proposals.detach(), self.config.slots, self.config.presence_threshold)
        return FrameLatents(slots, propagated, proposals, canvas)

    @torch.no_grad()
    def kept_by_masks(self, previous: Slots | None, propagated: Objects | None, proposals: Objects) -> Kept:
        """Which objects stay, by the overlap of their masks (paper §3.1)."""
        going_on = None
        if previous is not None and propagated is not None:
            going_on = self.carried_on(previous, propagated)
            propagated = propagated._replace(presence=propagated.presence * going_on)
        return Kept(going_on, self._accepted(propagated, proposals))

    @torch.no_grad()
    def carried_on(self, previous: Slots, propagated: Objects, near: Tensor | None = None) -> Tensor:
        """1 for a propagated object that stays, 0 for one that left the image or that an older one explains. (B, K)

        In one frame, an object may pass in front of another; if they coincide in two consecutive frames, they are one
        object, tracked twice.

        :param near: (B, K, K) bool: pairs of objects that may overlap. The fewer they are, the faster; the host waits
            for their number. None: each object and its nearest neighbours.
        """
        config, kept = self.config, previous.alive & self.boxes.visible(propagated.where)
        if config.rejection and config.reject_among_propagated:
            rule = config.propagated_overlap, config.mask_threshold, self._colour_threshold
            if near is None:
                both = previous.objects.stacked(propagated)  # in one go, because the cost is that of its many steps
                before, now = explained(both, both, *rule).chunk(2)
                covers = now & before
            else:
                older = previous.identity[:, None] < previous.identity[..., None]
                pairs = near & older & kept[:, None] & kept[..., None]
                covers = explained_in((previous.objects, propagated), pairs.nonzero(), *rule)
            kept = strongest_first(covers, -previous.identity, kept)
        return kept.to(propagated.presence.dtype)

    @torch.no_grad()
    def _accepted(self, propagated: Objects | None, proposals: Objects) -> Tensor:
        """1 for a proposal that stays, 0 for one that is rejected. (B, M)"""
        config, kept = self.config, proposals.presence > 0
        groups: list[tuple[Objects, float | Tensor]] = []
        if config.rejection and propagated is not None:
            groups.append((propagated, self.annealed.reject_propagated))
        if config.rejection and config.reject_among_proposals:
            groups.append((proposals, self.annealed.reject_proposals))
        if not groups:
            return kept.to(proposals.presence.dtype)
        covers = explained_by_each(proposals, groups, config.mask_threshold, self._colour_threshold)
        if propagated is not None:
            kept = kept & ~(covers[0] & within(proposals, propagated, self.annealed.reject_within)).any(-1)
        if config.reject_among_proposals:
            kept = strongest_first(covers[-1], proposals.presence, kept)
        return kept.to(proposals.presence.dtype)

    @property
    def _colour_threshold(self) -> float | None:
        return self.config.colour_threshold if self.config.reject_by_colour else None

    def _patches(self, *groups: Objects) -> Patches:
        """What groups of objects add to a frame; only what is drawn of them is put together."""
        parts = zip(*((each.glimpse, each.where, each.presence, each.depth) for each in groups), strict=True)
        glimpse, where, presence, depth = (part[0] if len(part) == 1 else torch.cat(part, 1) for part in parts)
        return weighted_patches(glimpse, where, presence, depth, self.config.image_size, self.boxes.window)

    # ------------------------------------------------------------------ housekeeping

    @property
    def background_image(self) -> Tensor | None:
        """(C, H, W) a static background without its changes of light, detached; None for other backgrounds."""
        return None if self.background is None else self.background.image

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of a pixel: (C, H, W) over a static background, else a single number."""
        sigma = None if self.background is None else self.background.sigma
        return self.annealed.temperature.new_full((), self.config.sigma) if sigma is None else sigma

    def set_background_image(self, images: Tensor, flicker: Tensor | None = None) -> None:
        """Give a static background its image: it starts from the median of these images.

        To be called before training; otherwise the background starts grey, and objects learn it. All videos must then
        show the same background, seen by the same camera from the same position.

        With ``config.flicker``, σ of a pixel is larger where the background varies by itself, as water does.

        :param images: (n, C, H, W) in [0, 1]: one without objects, or several in which each pixel mostly shows none.
        :param flicker: (C, H, W) the standard deviation of each pixel; None: estimated from several images, and left
            as it is for one image.
        :raises ValueError: if the background is not static, or images or flicker have another shape.
        """
        if self.background is None or self.background.image is None:
            raise ValueError(f"Only a 'static' background has an image; this model's is {self.config.background!r}.")
        self.background.set_image(images, flicker)

    def schedule(self, values: Mapping[str, float]) -> None:
        """Set scheduled quantities by name, see :class:`scalor_pyro.model.annealed.Annealed`."""
        self.annealed.set(values)

    def _plates(self, sequences: int, slots: Slots | None = None) -> _Plates:
        """:param slots: that the program goes on from, if there are."""
        config, device = self.config, str(self.annealed.temperature.device)
        self.store_name.register(self)
        return _Plates(
            pyro.plate("sequences", sequences, dim=-2, device=device),
            pyro.plate("slots", config.slots if slots is None else slots.number, dim=-1, device=device),
            pyro.plate("cells", config.n_cells, dim=-1, device=device),
            pyro.plate("first_proposals", config.proposals(first=True), dim=-1, device=device),
            pyro.plate("proposals", config.proposals(first=False), dim=-1, device=device),
        )


def _as_weight(alive: Tensor, dtype: torch.dtype) -> Tensor:
    return alive.to(dtype)


def _going_on(logit: Tensor, alive: Tensor) -> Tensor:
    return torch.sigmoid(logit) * alive


def _presence_of(logits: Tensor, cells: Tensor) -> Tensor:
    return torch.sigmoid(logits.gather(1, cells))
