"""The content of a trace by name: sites of all frames, stacked into tensors with named axes."""

from collections.abc import Sequence
from math import pi, sqrt
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from pyro import poutine
from torch import Tensor

from scalor_pyro.model import sites
from scalor_pyro.model.distributions import RelaxedPresence
from scalor_pyro.model.frame import FrameLatents

Of = Literal["value", "mean", "stddev"]

# What the elements along a plate are called; both lists of proposals are sorted by presence, the likeliest first.
AXIS_OF_PLATE = {
    "sequences": "sequence",
    "slots": "slot",
    "cells": "cell",
    "first_proposals": "proposal",
    "proposals": "proposal",
}
# Standard deviation of the logistic distribution, the noise of a relaxed Bernoulli's logit.
LOGISTIC_STDDEV = pi / sqrt(3)


class Stacked(NamedTuple):
    """One family of sites over time."""

    values: Tensor
    axes: tuple[str, ...]  # the name of each axis of the values
    frames: tuple[int, ...]  # the frames along the axis "frame"

    def at(self, frame: int) -> Tensor:
        """The values of one frame, without the axis "frame".

        :raises ValueError: for a frame that is not stacked.
        """
        if frame not in self.frames:
            raise ValueError(f"frame: expected {self.frames[0]} to {self.frames[-1]}, got {frame}.")
        return self.values.select(self.axes.index("frame"), self.frames.index(frame))


def latents(trace: poutine.Trace, of: Of = "value") -> dict[str, Stacked]:
    """The sites of a trace of :meth:`Scalor.guide` or :meth:`Scalor.model`, each family stacked over its frames.

    Families are site names without the frame: ``z_where_prop``, ``z_pres_disc``, ``z_bg``, ``x``, ….
    ``latents(trace)["z_where_prop"]`` has values of shape (B, T - 1, K, 4), axes ("sequence", "frame", "slot",
    "coordinate") and frames (1, …, T - 1): nothing is propagated into the first frame. If the first frame has another
    number of proposals than later ones, the shorter lists are padded with NaN.

    Units are those of the sites: presences are logits, z_where_prop and z_where_disc are deviations before their bounds
    (see :class:`~scalor_pyro.layers.boxes.Boxes`). In a model's trace, ``slot_pres`` has probabilities, and
    ``slot_where`` image coordinates.

    After :func:`poutine.do`, the trace keeps the value that was drawn at the site; only the rest of the program sees
    the new one. After :func:`poutine.condition`, the trace has the new value.

    :param trace: from :func:`poutine.trace`.
    :param of: "value", or "mean" or "stddev" of the site's distribution: the guide's posterior, the model's prior.
        For a presence, these are the moments of its logit, whose mean is also its mode. Deterministic sites have none,
        and are left out.
    :raises ValueError: for a trace without these sites, another `of`, or a distribution without that moment.
    """
    if of not in get_args(Of):
        raise ValueError(f"of: expected one of {', '.join(map(repr, get_args(Of)))}, got {of!r}.")
    families: dict[str, dict[int, Any]] = {}
    for name, site in trace.nodes.items():
        parsed = sites.parse(name)
        if parsed is not None and site["type"] == "sample":
            families.setdefault(parsed.family, {})[parsed.t] = site
    if not families:
        raise ValueError(
            f"Trace: expected one of Scalor.guide or Scalor.model, got one with {len(trace.nodes)} nodes but none of"
            " their sites."
        )
    return {
        family: _stack(family, dict(sorted(by_time.items())), of)
        for family, by_time in families.items()
        if of == "value" or family not in sites.DETERMINISTIC
    }


def frames_of(trace: poutine.Trace) -> list[FrameLatents]:
    """The return value of :meth:`Scalor.guide` or :meth:`Scalor.model` in a trace, one entry for each frame.

    :raises ValueError: for a trace of another program, or without frames.
    """
    returned = trace.nodes["_RETURN"]["value"] if "_RETURN" in trace else None
    if not isinstance(returned, list) or not returned or not isinstance(returned[0], FrameLatents):
        got = "no frame" if returned == [] else type(returned).__name__
        raise ValueError(
            f"Trace: expected a program that returns frames, Scalor.guide or Scalor.model, got one that returns {got}."
        )
    return returned


def site_of(trace: poutine.Trace, name: str) -> Any:
    """One site of a trace.

    :raises ValueError: if the trace has none of that name.
    """
    if name not in trace:
        raise ValueError(
            f"Trace: expected a whole one of Scalor.guide or Scalor.model, got one without the site {name}."
        )
    return trace.nodes[name]


def _stack(family: str, by_time: dict[int, Any], of: Of) -> Stacked:
    moments = {t: _moment(site, of) for t, site in by_time.items()}
    axes = _axes(family, next(iter(by_time.values())))
    for dim in reversed(range(len(axes))):
        if axes[dim] is None:  # of length 1, without a plate or a name
            moments = {t: value.squeeze(dim) for t, value in moments.items()}
    named = [axis for axis in axes if axis is not None]
    values = list(moments.values())
    if "proposal" in named:
        values = _padded(values, named.index("proposal"))
    time = named.index("sequence") + 1
    named.insert(time, "frame")
    return Stacked(torch.stack(values, time), tuple(named), tuple(by_time))


def _axes(family: str, site: Any) -> list[str | None]:
    """The name of each axis of a site's value; None for an axis without a name."""
    distribution = site["fn"]
    batch: list[str | None] = [None] * len(distribution.batch_shape)
    for plate in site["cond_indep_stack"]:
        batch[plate.dim] = AXIS_OF_PLATE.get(plate.name, plate.name)
    return [*batch, *(sites.EVENT_AXES[family] or [None] * len(distribution.event_shape))]


def _moment(site: Any, of: Of) -> Tensor:
    """The value of a site, or a moment of its distribution in the shape of the value."""
    value: Tensor = site["value"]
    if of == "value":
        return value
    distribution = site["fn"]
    if isinstance(distribution, RelaxedPresence):
        moment = distribution.mode_logit if of == "mean" else (LOGISTIC_STDDEV / distribution.temperature).to(value)
    else:
        try:
            moment = getattr(distribution, of)
        except (NotImplementedError, AttributeError):
            raise ValueError(
                f"{site['name']}: expected a distribution with a {of}, got a {type(distribution).__name__}."
            ) from None
    return moment.expand(value.shape)


def _padded(values: Sequence[Tensor], dim: int) -> list[Tensor]:
    """Values padded with NaN along a dimension, to the length of the longest."""
    longest = max(value.shape[dim] for value in values)
    return [
        F.pad(value, (0, 0) * (value.dim() - dim - 1) + (0, longest - value.shape[dim]), value=torch.nan)
        for value in values
    ]
