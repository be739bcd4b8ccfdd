"""Parts of the model that can be exchanged for your own."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

PartT = TypeVar("PartT")
# A class of modules, or a function that makes one.
Factory = Callable[..., nn.Module]


@dataclass(frozen=True)
class Parts:
    """Parts of :class:`~scalor_pyro.model.scalor.Scalor` that replace the standard ones; None keeps the standard one.

    Each is a class, or a function, that makes a module from the config: ``Parts(decoder=MyDecoder)`` builds
    ``MyDecoder(config)``. (A part is built again for frames of another size, so a ready module would not do.) The
    propagation posterior is built from ``(config, appearance_encoder, attention)``, the discovery posterior from
    ``(config, appearance_encoder)``, whose modules they call.

    What is called with what, for B sequences of T frames, K slots, N cells, M proposals, n objects, D = z_what_dim,
    F = feature_dim, R = tracker_dim, S = glimpse_size:

    - ``decoder(what)``: (B, n, D) → (B, n, C + 1, S, S), colour times alpha, then alpha in [0, 1]. Standard:
      :class:`~scalor_pyro.layers.networks.GlimpseDecoder`.
    - ``appearance_encoder(frame, where)``: (B, C, H, W), (B, n, 4) →
      :class:`~scalor_pyro.model.appearance.Appearance`: ``loc`` and ``scale`` (B, n, D), ``features`` (B, n,
      ``FEATURES``); its attribute ``FEATURES`` is that number. Standard:
      :class:`~scalor_pyro.model.appearance.AppearanceEncoder`.
    - ``frame_encoder(frames, difference, memory)``: (B, T, C, H, W) in [0, 1]; (B, T, C, H, W) frames minus background
      image, or None; ``memories[:, -1]`` of the frames before, or None →
      :class:`~scalor_pyro.layers.frame_encoder.Features`: ``maps`` (B, T, F, H / 4, W / 4), ``cells`` (B, T, F, G_y,
      G_x), ``memories`` (B, T, …). Standard: :class:`~scalor_pyro.layers.frame_encoder.FrameEncoder`.
    - ``attention(objects, frame, feature_map)``: K :class:`~scalor_pyro.layers.objects.Objects` of the last frame,
      (B, C, H, W), (B, F, H / 4, W / 4) → (B, K, 2·R). Standard: :class:`~scalor_pyro.model.attention.Attention`.
    - ``background``: see :class:`~scalor_pyro.model.background.Background`; or only its prior, ``background_prior``:
      see :class:`~scalor_pyro.model.background.BackgroundPrior`.
    - ``propagation_prior(slots, memory, annealed)`` and ``propagation_posterior(slots, memory, annealed, frame,
      feature_map)`` → :class:`~scalor_pyro.model.propagation.PropagationDistributions`. ``memory`` is that of the last
      call, or None. Standard: :class:`~scalor_pyro.model.propagation.PropagationPrior`,
      :class:`~scalor_pyro.model.propagation.PropagationPosterior`.
    - ``discovery_prior(t, batch, annealed)`` and ``discovery_posterior(frame, cells, explained, annealed)`` →
      :class:`~scalor_pyro.model.discovery.DiscoveryDistributions`. ``cells`` (B, F, G_y, G_x), ``explained`` the
      :class:`~scalor_pyro.layers.rendering.Canvas` of the propagated objects, or None. Standard:
      :class:`~scalor_pyro.model.discovery.DiscoveryPrior`,
      :class:`~scalor_pyro.model.discovery.DiscoveryPosterior`.
    - ``appearance_prior(where)``: (B, M, 4) → a distribution with batch shape (B, M) and event shape (D). Standard:
      :class:`~scalor_pyro.model.appearance.AppearancePrior`.

    Weights of a model with parts of its own say which; :meth:`Scalor.from_pretrained` has to be given them again.
    """

    decoder: Factory | None = None
    appearance_encoder: Factory | None = None
    frame_encoder: Factory | None = None
    attention: Factory | None = None
    background: Factory | None = None
    propagation_prior: Factory | None = None
    propagation_posterior: Factory | None = None
    discovery_prior: Factory | None = None
    discovery_posterior: Factory | None = None
    appearance_prior: Factory | None = None
    background_prior: Factory | None = None

    def __post_init__(self) -> None:
        for name, part in self.given().items():
            if isinstance(part, nn.Module) or not callable(part):
                raise ValueError(
                    f"Parts.{name}: expected a class or function that makes a module, got an object of"
                    f" {type(part).__name__}."
                )

    def given(self) -> dict[str, Factory]:
        """The parts that replace a standard one, by name."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: part for name, part in parts.items() if part is not None}

    def names(self) -> dict[str, str]:
        """The same by the full names of their classes or functions."""
        return {name: full_name(part) for name, part in self.given().items()}

    def build(self, name: str, standard: Callable[..., PartT], *arguments: Any) -> PartT:
        """One part, as a module.

        :param name: of a field.
        :param standard: what makes the standard one.
        :param arguments: what it is built from.
        :raises ValueError: if a part of your own makes anything else than a module.
        """
        factory: Callable[..., Any] = getattr(self, name) or standard
        part: PartT = factory(*arguments)
        if not isinstance(part, nn.Module):
            raise ValueError(
                f"Parts.{name}: expected {full_name(factory)} to make a module, got {type(part).__name__}."
            )
        return part


def full_name(thing: Any) -> str:
    """Module and name of a class or function, or of the class of an object."""
    while isinstance(thing, partial):
        thing = thing.func
    thing = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{thing.__module__}.{thing.__qualname__}"


def require_shape(part: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse what a part of your own gives, if it has another shape.

    :param part: a field of :class:`Parts`.
    :raises ValueError: saying which.
    """
    if tuple(value.shape) != shape:
        raise ValueError(f"Parts.{part}: expected a tensor of shape {shape}, got {tuple(value.shape)}.")
