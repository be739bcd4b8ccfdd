"""Weights saved by earlier versions: what their names are today."""

from collections.abc import Mapping

from torch import Tensor

# Beginnings of names in version 0.1, and of the same weights today; the first that fits counts.
RENAMED = (
    ("background_decoder.scene", "background.decoder.image"),
    ("background_decoder.", "background.decoder."),
    ("background_prior.", "background.prior."),
    ("background_posterior.", "background.posterior."),
    ("propagation_posterior.pixel_encoder.", "propagation_posterior.attention.pixel_encoder."),
    ("propagation_posterior.feature_encoder.", "propagation_posterior.attention.feature_encoder."),
)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of today, in the same order; those of today stay as they are."""
    return {_today(name): value for name, value in weights.items()}


def _today(name: str) -> str:
    for before, today in RENAMED:
        if name.startswith(before):
            return today + name.removeprefix(before)
    return name
