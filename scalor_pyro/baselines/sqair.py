"""SQAIR: objects are inferred one after the other and tracked (Kosiorek et al., 2018)."""

from collections.abc import Mapping
from typing import NamedTuple

import pyro
import torch
from pyro import distributions as dist
from torch import Tensor

from scalor_pyro.baselines.sqair_guide import (
    DistributionsOf,
    Drawn,
    ObjectDistributions,
    SQAIRDiscoveryPosterior,
    SQAIRPropagationPosterior,
)
from scalor_pyro.config.baselines import SQAIRConfig
from scalor_pyro.layers.boxes import Boxes
from scalor_pyro.layers.networks import GlimpseDecoder
from scalor_pyro.layers.objects import Objects, Slots
from scalor_pyro.layers.rendering import Canvas, bilinear_weights, glimpse_centres
from scalor_pyro.model import sites
from scalor_pyro.model.annealed import Annealed
from scalor_pyro.model.appearance import AppearanceEncoder, AppearancePrior
from scalor_pyro.model.distributions import RelaxedPresence, normal, standard_normal, weighted_by
from scalor_pyro.model.frame import FrameLatents, statistics
from scalor_pyro.model.inputs import extent
from scalor_pyro.model.program import GuideMessenger, StoredModule, require_one_particle
from scalor_pyro.model.propagation import PropagationDistributions, PropagationPrior
from scalor_pyro.model.rejection import fill_slots
from scalor_pyro.model.shared import begin_guide, begin_model, once


class _Plates(NamedTuple):
    sequences: pyro.plate  # B, dim -2
    slots: pyro.plate  # K, dim -1


class SQAIR(StoredModule):
    r"""Sequential attend, infer, repeat (Kosiorek et al., NeurIPS 2018, arXiv 1806.01794).

    For B sequences of T frames and K slots. Objects n = 0, …, K − 1 have sites of their own, because in the guide each
    is drawn after the one before:

    ================================  ===========  =======  ==============================================
    site                              batch shape  event    meaning
    ================================  ===========  =======  ==============================================
    ``z_pres_prop_n_t`` (t > 0)       (B, 1)       ()       logit: does the object in slot n continue?
    ``z_where_prop_n_t`` (t > 0)      (B, 1)       (4)      deviation of size, aspect and position
    ``z_what_prop_n_t`` (t > 0)       (B, 1)       (D)      its appearance
    ``z_pres_disc_n_t``               (B, 1)       ()       logit: is there an n-th new object?
    ``z_where_disc_n_t``              (B, 1)       (4)      its size, aspect and position
    ``z_what_disc_n_t``               (B, 1)       (D)      its appearance
    ``x_t``                           (B, 1)       (C,H,W)  the frame
    ================================  ===========  =======  ==============================================

    and, deterministic, only in the model, ``y_t``, ``slot_pres_t``, ``slot_where_t`` and ``slot_identity_t``, as
    :class:`~scalor_pyro.model.scalor.Scalor` has them.

    .. math::

        p(x, z) &= \prod_t p(x_t | z_t)\, p(z^D_t | z^P_t) \prod_n p(z^{P,n}_t | z^n_{<t}) \\
        q(z | x) &= \prod_t \prod_n q(z^{D,n}_t | z^{D,<n}_t, z^P_t, x_t)
                    \prod_n q(z^{P,n}_t | z^{P,<n}_t, z^n_{<t}, x_t)

    An n-th object can be discovered only if the one before was, and if one of the K slots is free: presences multiply,
    and the number of objects is geometric a priori (AIR, Eslami et al., 2016). A frame is the sum of its drawn
    objects.

    Differs:

    - z_pres is relaxed, and the objective is the ELBO weighted by presence, as in SCALOR; the paper has discrete
      presences and VIMCO over five particles.
    - A priori, discovery depends on existing objects only through the number of free slots.
    - Each step of inference sees what earlier steps have drawn of the frame, and what is left, and discovery finds its
      position by attention; in the paper, an RNN has to remember what is explained. With this, it learned to count:
      docs/baselines.md.
    - Sizes and aspects are bounded; glimpses, their networks and the propagation prior are those of SCALOR.
    - Latents are carried from frame to frame without gradients, as in SCALOR.

    :param SQAIRConfig config: sizes.
    """

    def __init__(self, config: SQAIRConfig) -> None:
        super().__init__()
        self.config = config
        objects = config.of_objects()
        self.annealed = Annealed()
        self.boxes = Boxes(objects)
        self.decoder = GlimpseDecoder(config.channels, config.glimpse_size, config.z_what_dim, colour_gain=0.0)
        self.propagation_prior = PropagationPrior(objects)
        self.appearance_prior = AppearancePrior(objects)
        appearance = AppearanceEncoder(objects)
        self.propagation_posterior = SQAIRPropagationPosterior(config, self.boxes, appearance)
        self.discovery_posterior = SQAIRDiscoveryPosterior(config, appearance)
        self.last_statistics: dict[str, Tensor] = {}

    # ------------------------------------------------------------------ the program

    def model(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> list[FrameLatents]:
        """p(x, z): observes the frames it is given and imagines the rest.

        :param x: (B, T, C, H, W) in [0, 1], or None to observe nothing.
        :param frames: the number of frames in total; default T.
        :param sequences: B, if nothing is observed.
        :return: one entry per frame.
        :raises ValueError: if x is not a batch of videos of the config's size.
        """
        observed, frames, plates = self._begin(x, frames, sequences)
        begin_model(self)
        latents: list[FrameLatents] = []
        slots: Slots | None = None
        memory = propagated = None
        with plates.sequences:
            for t in range(frames):
                canvas = once(self._blank, plates.sequences.size)
                if slots is not None:
                    going_on = self.propagation_prior(slots, memory, self.annealed)
                    memory = going_on.memory
                    propagated, canvas = self._propagate(t, _each(going_on), slots, canvas)
                distribution_of = self._new_object(plates.sequences.size)
                proposals, canvas = self._discover(t, distribution_of, propagated, canvas)
                frame = once(self.settle, slots, propagated, proposals, canvas)
                slots = frame.slots
                y = frame.canvas.colour
                self._record(t, y, slots, plates)
                pyro.sample(
                    sites.x(t),
                    normal(y[:, None], y.new_full((), self.config.sigma), event_dims=3),
                    obs=x[:, t, None] if x is not None and t < observed else None,
                )
                latents.append(frame)
        return latents

    def guide(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> list[FrameLatents]:
        """q(z | x), for the observed frames; the model imagines the others.

        Takes the arguments of :meth:`model`.
        """
        observed, frames, plates = self._begin(x, frames, sequences)
        if x is None:
            return []
        begin_guide(self)
        latents: list[FrameLatents] = []
        slots: Slots | None = None
        memory = propagated = None
        with plates.sequences, GuideMessenger():
            for t in range(min(observed, frames)):
                canvas = once(self._blank, plates.sequences.size)
                if slots is not None:
                    distribution_of, memory = self.propagation_posterior(slots, memory, self.annealed, x[:, t])
                    propagated, canvas = self._propagate(t, distribution_of, slots, canvas)
                distribution_of = self.discovery_posterior(self.annealed, x[:, t])
                proposals, canvas = self._discover(t, distribution_of, propagated, canvas)
                frame = once(self.settle, slots, propagated, proposals, canvas)
                slots = frame.slots
                latents.append(frame)
        self.last_statistics = statistics(latents, self.config.presence_threshold)
        return latents

    # ------------------------------------------------------------------ latents, drawn by model and guide

    def _propagate(
        self, t: int, distribution_of: DistributionsOf, slots: Slots, canvas: Canvas
    ) -> tuple[Objects, Canvas]:
        """Draw z_t^P; empty slots do not count."""
        drawn: list[Drawn] = []
        for n, (one, alive) in enumerate(once(_one_by_one, slots)):
            distribution = distribution_of(n, drawn[-1] if drawn else None, canvas)
            with weighted_by(alive):
                logit = pyro.sample(sites.of_object(sites.z_pres("prop", t), n), distribution.presence)
            require_one_particle(logit, 2, self)
            presence = once(_present, logit, alive)
            with weighted_by(presence):
                raw = pyro.sample(sites.of_object(sites.z_where("prop", t), n), distribution.where)
                where, shape, velocity = once(self.boxes.propagated, one, raw)
                what = pyro.sample(sites.of_object(sites.z_what("prop", t), n), distribution.what(where))
            glimpse, canvas = once(self._paint, canvas, presence, where, what)
            drawn.append(Drawn(presence, where, shape, velocity, what, glimpse))
        return once(_together, tuple(drawn)), canvas

    def _discover(
        self, t: int, distribution_of: DistributionsOf, propagated: Objects | None, canvas: Canvas
    ) -> tuple[Objects, Canvas]:
        """Draw z_t^D: an object counts by its presence, that of the ones before it, and the free slots."""
        drawn: list[Drawn] = []
        for n in range(self.config.slots):
            distribution = distribution_of(n, drawn[-1] if drawn else None, canvas)
            possible = once(self._possible, distribution.presence.batch_shape, propagated, tuple(drawn))
            with weighted_by(possible):
                logit = pyro.sample(sites.of_object(sites.z_pres("disc", t), n), distribution.presence)
            require_one_particle(logit, 2, self)
            presence = once(_present, logit, possible)
            with weighted_by(presence):
                raw = pyro.sample(sites.of_object(sites.z_where("disc", t), n), distribution.where)
                where, shape, velocity = once(self._anywhere, raw)
                what = pyro.sample(sites.of_object(sites.z_what("disc", t), n), distribution.what(where))
            glimpse, canvas = once(self._paint, canvas, presence, where, what)
            drawn.append(Drawn(presence, where, shape, velocity, what, glimpse))
        return once(_together, tuple(drawn)), canvas

    def _new_object(self, sequences: int) -> DistributionsOf:
        """p(z_t^D): present with an annealed probability, at any position, with any appearance."""
        logit = torch.logit(self.annealed.discovery_prior)
        distribution = ObjectDistributions(
            RelaxedPresence(self.annealed.temperature, logit.expand(sequences, 1)),
            standard_normal((sequences, 1, 4), logit),
            self.appearance_prior,
        )
        return lambda *_: distribution

    # ------------------------------------------------------------------ deterministic

    def _possible(self, shape: tuple[int, ...], propagated: Objects | None, drawn: tuple[Drawn, ...]) -> Tensor:
        """The weight of one more discovery: all before it are present, and a slot is free. (B, 1)"""
        possible = drawn[-1].presence if drawn else self.decoder.bias.new_ones(shape)
        if propagated is None:
            return possible
        free = self.config.slots - propagated.presence.detach().sum(1, keepdim=True)
        return possible * (free - len(drawn)).clamp(0, 1)

    def _anywhere(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z_where, shape and velocity of a discovery: the cell is the image."""
        return self.boxes.discovered(raw, torch.zeros_like(raw[..., 0], dtype=torch.long))

    def _blank(self, sequences: int) -> Canvas:
        """An empty canvas."""
        empty = self.decoder.bias.new_zeros(sequences, self.config.channels + 1, *self.config.image_size)
        return Canvas(empty[:, :-1], empty[:, -1:])

    def _paint(self, canvas: Canvas, presence: Tensor, where: Tensor, what: Tensor) -> tuple[Tensor, Canvas]:
        """The glimpse of one more object, and the canvas with it."""
        glimpse = self.decoder(what)
        return glimpse, add(canvas, presence, where, glimpse)

    def settle(
        self, previous: Slots | None, propagated: Objects | None, proposals: Objects, canvas: Canvas
    ) -> FrameLatents:
        """Assign objects to slots; the canvas is complete."""
        config = self.config
        before = None if propagated is None else propagated.detach()
        slots = fill_slots(previous, before, proposals.detach(), config.slots, config.presence_threshold)
        return FrameLatents(slots, propagated, proposals, canvas._replace(alpha=canvas.alpha.clamp(max=1)))

    def _record(self, t: int, frame_loc: Tensor, slots: Slots, plates: _Plates) -> None:
        """Name quantities that follow from the latents, for traces and Predictive."""
        pyro.deterministic(sites.y(t), frame_loc[:, None], event_dim=3)
        with plates.slots:
            pyro.deterministic(sites.slot_pres(t), slots.objects.presence, event_dim=0)
            pyro.deterministic(sites.slot_where(t), slots.objects.where, event_dim=1)
            pyro.deterministic(sites.slot_identity(t), slots.identity, event_dim=0)

    # ------------------------------------------------------------------ housekeeping

    def schedule(self, values: Mapping[str, float]) -> None:
        """Set scheduled quantities by name; only temperature, discovery_prior and discovery_bound have an effect."""
        self.annealed.set(values)

    def _begin(self, x: Tensor | None, frames: int | None, sequences: int) -> tuple[int, int, _Plates]:
        """The number of observed frames, of all frames, and the plates."""
        observed, frames, sequences = extent(x, frames, sequences, self.config, self.decoder.bias.dtype)
        self.store_name.register(self)
        device = str(self.decoder.bias.device)
        plates = _Plates(
            pyro.plate("sequences", sequences, dim=-2, device=device),
            pyro.plate("slots", self.config.slots, dim=-1, device=device),
        )
        return observed, frames, plates


def _one_by_one(slots: Slots) -> tuple[tuple[Objects, Tensor], ...]:
    """The object in each slot, and 1 if there is one, else 0 (B, 1)."""
    alive = slots.alive.to(slots.objects.presence.dtype)
    return tuple(
        (Objects(*(part[:, n : n + 1] for part in slots.objects)), alive[:, n : n + 1]) for n in range(alive.shape[1])
    )


def _each(distribution: PropagationDistributions) -> DistributionsOf:
    """The distributions of each object; a priori they are independent."""

    def distribution_of(n: int, before: Drawn | None, explained: Canvas) -> ObjectDistributions:
        one = slice(n, n + 1)
        presence = RelaxedPresence(distribution.presence.temperature, distribution.presence.logits[:, one])
        return ObjectDistributions(
            presence, _of(distribution.where, one), lambda where: _of(distribution.what(where), one)
        )

    return distribution_of


def _of(distribution: dist.Independent, one: slice) -> dist.Independent:
    """The part of a diagonal Normal that belongs to one object."""
    return dist.Normal(distribution.mean[:, one], distribution.stddev[:, one]).to_event(1)


def _present(logit: Tensor, possible: Tensor) -> Tensor:
    """z_pres in [0, 1], at most the weight of its site."""
    return torch.sigmoid(logit) * possible


def _together(drawn: tuple[Drawn, ...]) -> Objects:
    """The objects drawn one by one, as a batch."""
    presence, where, shape, velocity, what, glimpse = (torch.cat(parts, 1) for parts in zip(*drawn, strict=True))
    depth = torch.zeros_like(presence)[..., None]  # no order in depth: drawn objects are summed
    return Objects(presence, where, shape, velocity, depth, what, glimpse)


def add(canvas: Canvas, presence: Tensor, where: Tensor, glimpse: Tensor) -> Canvas:
    """The canvas with one more object: its colour and opacity are added.

    :param Tensor presence: (B, 1) z_pres
    :param Tensor where: (B, 1, 4)
    :param Tensor glimpse: (B, 1, C + 1, S, S)
    """
    height, width = canvas.alpha.shape[-2:]
    present = glimpse * presence[..., None, None, None]
    columns, rows = (
        bilinear_weights(
            (glimpse_centres(pixels, where) - where[..., axis + 2, None]) / where[..., axis, None], glimpse.shape[-1]
        )
        for axis, pixels in ((0, width), (1, height))
    )  # (B, 1, W, S), (B, 1, H, S)
    layer = (rows[:, :, None] @ present @ columns[:, :, None].mT)[:, 0]  # (B, C + 1, H, W)
    return Canvas(canvas.colour + layer[:, :-1], canvas.alpha + layer[:, -1:])
