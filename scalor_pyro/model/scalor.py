"""SCALOR as a Pyro program: the generative model and its guide."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyro
import torch
from torch import Tensor, nn

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.layers.frame_encoder import FrameEncoder
from scalor_pyro.layers.networks import GlimpseDecoder
from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.layers.rendering import Canvas, draw
from scalor_pyro.model import sites
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import COLOUR_GAIN, AppearanceEncoder, AppearancePrior
from scalor_pyro.model.background import (
    BackgroundDistribution,
    BackgroundPrior,
    MovingDecoder,
    MovingPosterior,
    StaticDecoder,
    StaticPosterior,
)
from scalor_pyro.model.discovery import DiscoveryDistributions, DiscoveryPosterior, DiscoveryPrior, shortlist
from scalor_pyro.model.distributions import normal, weighted_by
from scalor_pyro.model.frame import Carried, FrameLatents, statistics
from scalor_pyro.model.inputs import check_videos, extent
from scalor_pyro.model.program import GuideMessenger
from scalor_pyro.model.propagation import PropagationDistributions, PropagationPosterior, PropagationPrior
from scalor_pyro.model.rejection import explained, fill_slots, strongest_first, within
from scalor_pyro.model.shared import SharedWork
from scalor_pyro.runs.loading import load_model, located
from scalor_pyro.runs.weights import put_weights

_numbers = itertools.count()


class _Plates(NamedTuple):
    sequences: pyro.plate  # B, dim -2
    slots: pyro.plate  # K, dim -1
    cells: pyro.plate  # N, dim -1
    first_proposals: pyro.plate  # M of the first frame, dim -1
    proposals: pyro.plate  # M of a later frame, dim -1


class Scalor(nn.Module):
    r"""Generative world model with scalable object representations (Jiang et al., ICLR 2020, arXiv 1910.02384).

    For B sequences of T frames, K slots, N cells, M shortlisted proposals, with
    z_where = (s_x, s_y, t_x, t_y) in image coordinates:

    ================================  ===========  =======  ==============================================
    site                              batch shape  event    meaning
    ================================  ===========  =======  ==============================================
    ``z_pres_prop_t`` (t > 0)         (B, K)       ()       logit: does the object go on?
    ``z_where_prop_t`` (t > 0)        (B, K)       (4)      deviation from where it is expected
    ``z_depth_prop_t`` (t > 0)        (B, K)       (1)      depth; the smaller is in front
    ``z_what_prop_t`` (t > 0)         (B, K)       (D)      appearance
    ``z_pres_disc_t``                 (B, N)       ()       logit: does the cell discover an object?
    ``z_where_disc_t``                (B, M)       (4)      its size, aspect and place in the cell
    ``z_depth_disc_t``                (B, M)       (1)      its depth
    ``z_what_disc_t``                 (B, M)       (D)      its appearance
    ``z_bg_t`` (with a background)    (B, 1)       (D_bg)   background
    ``x_t``                           (B, 1)       (C,H,W)  the frame
    ================================  ===========  =======  ==============================================

    and, deterministic, in the model alone:

    ================================  ===========  =======  ==============================================
    ``y_t``                           (B, 1)       (C,H,W)  the frame without noise
    ``slot_pres_t``                   (B, K)       ()       presence in [0, 1] of what is in a slot
    ``slot_where_t``                  (B, K)       (4)      its z_where in image coordinates
    ``slot_identity_t``               (B, K)       ()       its identity, -1 where the slot is empty
    ================================  ===========  =======  ==============================================

    .. math::

        p(x, z) &= \prod_t p(x_t | z_t)\, p(z^{bg}_t | z^{bg}_{t-1})\, p(z^D_t | z^P_t)\, p(z^P_t | z_{<t}) \\
        q(z | x) &= \prod_t q(z^{bg}_t | x_t, z^{fg}_t)\, q(z^D_t | z^P_t, x_{\le t})\, q(z^P_t | z_{<t}, x_{\le t})

    Where it differs from the paper is listed, with reason and effect, in docs/deviations.md.

    :param ModelConfig config: sizes and switches.
    :param propagation_prior: a replacement for :class:`~scalor_pyro.model.propagation.PropagationPrior`.
    :param discovery_prior: a replacement for :class:`~scalor_pyro.model.discovery.DiscoveryPrior`.
    :param appearance_prior: a replacement for :class:`~scalor_pyro.model.appearance.AppearancePrior`.
    :param background_prior: a replacement for :class:`~scalor_pyro.model.background.BackgroundPrior`.
    :raises ValueError: for an appearance prior beside a discovery prior, which has one of its own, and for a
        background prior without a background.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        propagation_prior: PropagationPrior | None = None,
        discovery_prior: DiscoveryPrior | None = None,
        appearance_prior: AppearancePrior | None = None,
        background_prior: BackgroundPrior | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.annealed = Annealed()
        self.boxes = Boxes(config)
        self.decoder = GlimpseDecoder(
            config.channels, config.glimpse_size, config.z_what_dim, COLOUR_GAIN if config.colour_start else 0.0
        )
        self.propagation_prior = propagation_prior or PropagationPrior(config)
        if discovery_prior is not None and appearance_prior is not None:
            raise ValueError("An appearance_prior was given beside a discovery_prior: one of the two was expected.")
        self.discovery_prior = discovery_prior or DiscoveryPrior(config, appearance_prior)
        self.frame_encoder = FrameEncoder(config)
        appearance = AppearanceEncoder(config)
        self.propagation_posterior = PropagationPosterior(config, self.boxes, appearance)
        self.discovery_posterior = DiscoveryPosterior(config, appearance)
        if config.background != "none":
            static = config.background == "static"
            self.background_decoder = StaticDecoder(config) if static else MovingDecoder(config)
            self.background_prior = background_prior or BackgroundPrior(config)
            self.background_posterior = StaticPosterior(config) if static else MovingPosterior(config)
        elif background_prior is not None:
            raise ValueError("A background_prior was given, but the config's background is 'none'.")
        self.last_statistics: dict[str, Tensor] = {}
        self.shared = SharedWork()
        # Parameters of two models must not share a name in the parameter store: the second would never be trained.
        self._name = f"scalor_{next(_numbers)}"

    @classmethod
    def from_pretrained(cls, run: str | Path) -> "Scalor":
        """A trained model, on the CPU and ready to infer.

        :param run: the name of weights that come with the package (``scalor weights`` lists them: "digits-vld", …), a
            run folder, or a file of weights.
        :raises CheckpointError: if there is none, it cannot be used, or the networks have changed since.
        """
        config, weights = load_model(run)
        scalor = cls(config)
        put_weights(located(run), weights, scalor)
        return scalor.eval()

    # ------------------------------------------------------------------ the program

    def model(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> list[FrameLatents]:
        """p(x, z): observes the frames it is given, imagines the rest.

        :param x: (B, T, C, H, W) in [0, 1], or None to observe nothing.
        :param frames: how many frames in all; default T.
        :param sequences: B, where nothing is observed.
        :return: one entry a frame.
        :raises ValueError: if x is not a batch of videos that this model can see.
        """
        observed, frames, sequences = extent(x, frames, sequences, self.config, self.decoder.bias.dtype)
        plates = self._plates(sequences)
        latents: list[FrameLatents] = []
        slots: Slots | None = None
        memory = z_bg = background_memory = background = None
        with plates.sequences:
            for t in range(frames):
                propagated = None
                if slots is not None:
                    going_on = self.propagation_prior(slots, memory, self.annealed)
                    memory = going_on.memory
                    propagated = self._propagate(t, going_on, slots, plates)
                discovering = self.discovery_prior(t, sequences, self.annealed)
                proposals = self._discover(t, discovering, plates, first=slots is None)
                frame = self.shared(self.settle, slots, propagated, proposals)
                slots, frame_loc = frame.slots, frame.canvas.colour
                if self.config.background != "none":
                    behind = self.background_prior(z_bg, background_memory, sequences)
                    background_memory = behind.memory
                    z_bg = self._behind(t, behind)
                    background = self.background_decoder(z_bg[:, 0])
                    frame_loc = frame.canvas.over(background)
                self._record(t, frame_loc, slots, plates)
                pyro.sample(
                    sites.x(t),
                    normal(frame_loc[:, None], self.sigma, event_dims=3),
                    obs=x[:, t, None] if x is not None and t < observed else None,
                )
                latents.append(frame._replace(background=background))
        self.shared.forget()
        return latents

    def guide(
        self,
        x: Tensor | None = None,
        frames: int | None = None,
        sequences: int = 1,
        carried: Carried | None = None,
    ) -> list[FrameLatents]:
        """q(z | x): as far as there are frames to see; beyond, the model goes on alone.

        Takes what :meth:`model` takes, and

        :param carried: of the last frame of an earlier call, to go on from there: x is then the frames that follow, and
            sites count from 0 again.
        """
        observed, frames, sequences = extent(x, frames, sequences, self.config, self.decoder.bias.dtype)
        if x is None:
            return []
        self.shared.forget()
        plates = self._plates(sequences)
        latents: list[FrameLatents] = []
        slots, memory, seen_before = (None, None, None) if carried is None else carried
        difference = None if self.background_image is None else x - self.background_image  # what moves, and the light
        surprising = None if difference is None else difference * (self.config.sigma / self.sigma)
        maps, cells, memories = (part.unbind(1) for part in self.frame_encoder(x, surprising, seen_before))
        with plates.sequences, GuideMessenger():
            for t in range(min(observed, frames)):
                frame, propagated, seen = x[:, t], None, None
                if slots is not None:
                    going_on = self.propagation_posterior(slots, memory, self.annealed, frame, maps[t])
                    memory = going_on.memory
                    propagated = self._propagate(t, going_on, slots, plates)
                    seen = self._draw(propagated.detach())
                discovering = self.discovery_posterior(frame, cells[t], seen, self.annealed)
                proposals = self._discover(t, discovering, plates, first=slots is None)
                settled = self.shared(self.settle, slots, propagated, proposals)
                slots = settled.slots
                if self.config.background != "none":
                    seen_behind = frame if difference is None else difference[:, t]
                    self._behind(t, self.background_posterior(seen_behind, settled.canvas.alpha.detach()))
                latents.append(settled._replace(carried=Carried(slots, memory, memories[t])))
        self.last_statistics = statistics(latents, self.config.presence_threshold)
        return latents

    # ------------------------------------------------------------------ what both draw, site by site

    def _propagate(self, t: int, distribution: PropagationDistributions, slots: Slots, plates: _Plates) -> Objects:
        """Draw z_t^P; an empty slot counts nothing."""
        alive = slots.alive.to(distribution.memory.dtype)
        # Weights go outside of their plates: a plate multiplies by its scale whatever was entered within it.
        with weighted_by(alive), plates.slots:
            logit = pyro.sample(sites.z_pres("prop", t), distribution.presence)
        presence = self.shared(_going_on, logit, slots.alive)
        with weighted_by(presence), plates.slots:
            raw = pyro.sample(sites.z_where("prop", t), distribution.where)
            where, shape, velocity = self.shared(self.boxes.propagated, slots.objects, raw)
            depth = pyro.sample(sites.z_depth("prop", t), distribution.depth)
            what = pyro.sample(sites.z_what("prop", t), distribution.what(where))
        glimpse = self.shared(self.decoder.forward, what)
        return Objects(presence, where, shape, velocity, depth, what, glimpse)

    def _discover(self, t: int, distribution: DiscoveryDistributions, plates: _Plates, first: bool) -> Objects:
        """Draw z_t^D: presence in all cells, the rest in the likeliest."""
        with plates.cells:
            logits = pyro.sample(sites.z_pres("disc", t), distribution.presence)
        cells = self.shared(shortlist, logits, self.config.proposals(first))
        presence = self.shared(_presence_of, logits, cells)
        with weighted_by(presence), plates.first_proposals if first else plates.proposals:
            raw = pyro.sample(sites.z_where("disc", t), distribution.where(cells))
            where, shape, velocity = self.shared(self.boxes.discovered, raw, cells)
            depth = pyro.sample(sites.z_depth("disc", t), distribution.depth(cells))
            what = pyro.sample(sites.z_what("disc", t), distribution.what(where))
        glimpse = self.shared(self.decoder.forward, what)
        return Objects(presence, where, shape, velocity, depth, what, glimpse)

    def _behind(self, t: int, distribution: BackgroundDistribution) -> Tensor:
        """Draw z_t^bg. (B, 1, D_bg)"""
        z_bg: Tensor = pyro.sample(sites.z_bg(t), distribution.z_bg)
        return z_bg

    # ------------------------------------------------------------------ what follows without chance

    def _record(self, t: int, frame_loc: Tensor, slots: Slots, plates: _Plates) -> None:
        """Give names to what follows from the latents, for traces and Predictive."""
        pyro.deterministic(sites.y(t), frame_loc[:, None], event_dim=3)
        with plates.slots:
            pyro.deterministic(sites.slot_pres(t), slots.objects.presence, event_dim=0)
            pyro.deterministic(sites.slot_where(t), slots.objects.where, event_dim=1)
            pyro.deterministic(sites.slot_identity(t), slots.identity, event_dim=0)

    def settle(self, previous: Slots | None, propagated: Objects | None, proposals: Objects) -> FrameLatents:
        """Reject what is explained, fill the slots, draw the frame's objects."""
        if previous is not None and propagated is not None:
            propagated = propagated._replace(presence=propagated.presence * self._carried_on(previous, propagated))
        proposals = proposals._replace(presence=proposals.presence * self._accepted(propagated, proposals))
        drawn = proposals if propagated is None else propagated.joined(proposals)
        before = None if propagated is None else propagated.detach()
        slots = fill_slots(previous, before, proposals.detach(), self.config.slots, self.config.presence_threshold)
        return FrameLatents(slots, propagated, proposals, self._draw(drawn))

    @torch.no_grad()
    def _carried_on(self, previous: Slots, propagated: Objects) -> Tensor:
        """1 for a propagated object that stays, 0 for one that left the image or that an older one explains. (B, K)

        One object may pass before another for a frame; in two frames running they are one, tracked twice.
        """
        config, kept = self.config, previous.alive & self.boxes.visible(propagated.where)
        if config.rejection and config.reject_among_propagated:
            now, before = (
                self._explained(each, each, config.propagated_overlap) for each in (propagated, previous.objects)
            )
            kept = strongest_first(now & before, -previous.identity, kept)
        return kept.to(propagated.presence.dtype)

    @torch.no_grad()
    def _accepted(self, propagated: Objects | None, proposals: Objects) -> Tensor:
        """1 for a proposal that stays, 0 for one that is rejected. (B, M)"""
        config, kept = self.config, proposals.presence > 0
        if config.rejection and propagated is not None:
            near = within(proposals, propagated, self.annealed.reject_within)
            kept = kept & ~(self._explained(proposals, propagated, self.annealed.reject_propagated) & near).any(-1)
        if config.rejection and config.reject_among_proposals:
            covers = self._explained(proposals, proposals, self.annealed.reject_proposals)
            kept = strongest_first(covers, proposals.presence, kept)
        return kept.to(proposals.presence.dtype)

    def _explained(self, objects: Objects, others: Objects, overlap: float | Tensor) -> Tensor:
        colour = self.config.colour_threshold if self.config.reject_by_colour else None
        return explained(objects, others, overlap, self.config.mask_threshold, colour)

    def _draw(self, objects: Objects) -> Canvas:
        return draw(
            objects.glimpse, objects.where, objects.presence, objects.depth, self.config.image_size, self.boxes.window
        )

    # ------------------------------------------------------------------ housekeeping

    @property
    def background_image(self) -> Tensor | None:
        """(C, H, W) a static background without its changes of light, detached; None for other backgrounds."""
        decoder = self.background_decoder if self.config.background == "static" else None
        return decoder.scene.detach() if isinstance(decoder, StaticDecoder) else None

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of a pixel: (C, H, W) over a static background, else one for all."""
        if self.config.background == "static" and isinstance(self.background_decoder, StaticDecoder):
            return self.background_decoder.sigma
        return self.decoder.bias.new_full((), self.config.sigma)

    def set_background_image(self, images: Tensor, flicker: Tensor | None = None) -> None:
        """Show the one scene of a static background: the median of these images is where it starts.

        Where the images vary by themselves, as water does, σ of a pixel is larger (``config.flicker``).

        Before training; without it the background starts grey, and objects learn the scene. All videos must then be of
        this scene, seen by the same camera from the same place.

        :param images: (n, C, H, W) in [0, 1]: one of the empty scene, or many in which each place is mostly empty.
        :param flicker: (C, H, W) the standard deviation of each place; None: as several images have it, or, of one
            image, as it is.
        :raises ValueError: if the background is not static, or these are not such images.
        """
        if not isinstance(decoder := getattr(self, "background_decoder", None), StaticDecoder):
            raise ValueError(
                f"The model's background is {self.config.background!r}, but for a scene 'static' was expected."
            )
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1:] != decoder.scene.shape:
            expected = ", ".join(map(str, decoder.scene.shape))
            raise ValueError(f"Images of the scene had shape {shape}, but (n, {expected}) was expected.")
        if flicker is not None and flicker.shape != decoder.scene.shape:
            raise ValueError(
                f"The scene's flicker had shape {tuple(flicker.shape)}, but {tuple(decoder.scene.shape)} was expected."
            )
        check_videos(images[None], self.config)
        decoder.set_background_image(images)
        if flicker is not None:
            decoder.set_flicker(flicker)

    def schedule(self, values: Mapping[str, float]) -> None:
        """Set scheduled quantities by name, see :class:`scalor_pyro.model.annealed.Annealed`."""
        self.annealed.set(values)

    def _plates(self, sequences: int) -> _Plates:
        config, device = self.config, str(self.decoder.bias.device)
        pyro.module(self._name, self)
        return _Plates(
            pyro.plate("sequences", sequences, dim=-2, device=device),
            pyro.plate("slots", config.slots, dim=-1, device=device),
            pyro.plate("cells", config.n_cells, dim=-1, device=device),
            pyro.plate("first_proposals", config.proposals(first=True), dim=-1, device=device),
            pyro.plate("proposals", config.proposals(first=False), dim=-1, device=device),
        )


def _going_on(logit: Tensor, alive: Tensor) -> Tensor:
    return torch.sigmoid(logit) * alive


def _presence_of(logits: Tensor, cells: Tensor) -> Tensor:
    return torch.sigmoid(logits.gather(1, cells))
