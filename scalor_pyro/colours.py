"""Colours of identities, the same in pictures, players and annotated videos."""

import math

Colour = tuple[float, float, float]


# Hues of consecutive identities are this part of the circle apart: no two of the first dozens are alike.
GOLDEN_ANGLE = (3 - math.sqrt(5)) / 2


# Lightness and chroma (OKLCH) that consecutive identities go through; all are clear on black and on white.
# Five tones: hues that come close again after 8, 13 or 21 identities then have another tone.
TONES = ((0.68, 0.20), (0.84, 0.16), (0.62, 0.18), (0.76, 0.17), (0.80, 0.15))


def identity_colour(identity: int) -> Colour:
    """The colour of an identity, (red, green, blue) in [0, 1]; neighbours in the count differ most.

    Differs from a plain HSV circle in that its hues look equally light (OKLCH, Ottosson 2020).
    """
    lightness, chroma = TONES[identity % len(TONES)]
    hue = 2 * math.pi * (0.08 + GOLDEN_ANGLE * identity)
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    cones = (
        (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3,
        (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3,
        (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3,
    )
    long, medium, short = cones
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _gamma(linear: float) -> float:
    """A linear channel as sRGB, cut to [0, 1]."""
    clipped = min(1.0, max(0.0, linear))
    return 12.92 * clipped if clipped <= 0.0031308 else 1.055 * clipped ** (1 / 2.4) - 0.055
