"""Names of the sample sites, spelled in this place alone: latent first, time last."""

from typing import Literal

Part = Literal["prop", "disc"]


def z_pres(part: Part, t: int) -> str:
    """Logit of presence, one for each slot (``prop``) or grid cell (``disc``)."""
    return f"z_pres_{part}_{t}"


def z_where(part: Part, t: int) -> str:
    """Place and size: a deviation from the last ones (``prop``), or within a cell (``disc``)."""
    return f"z_where_{part}_{t}"


def z_depth(part: Part, t: int) -> str:
    """Depth; the nearer object has the smaller one."""
    return f"z_depth_{part}_{t}"


def z_what(part: Part, t: int) -> str:
    """Appearance."""
    return f"z_what_{part}_{t}"


def z_bg(t: int) -> str:
    """Background of a frame."""
    return f"z_bg_{t}"


def x(t: int) -> str:
    """The frame itself."""
    return f"x_{t}"


def y(t: int) -> str:
    """Deterministic: the frame without its noise, the mean of ``x_t``."""
    return f"y_{t}"


def slot_pres(t: int) -> str:
    """Deterministic: z_pres in [0, 1] of what is in each slot after a frame."""
    return f"slot_pres_{t}"


def slot_where(t: int) -> str:
    """Deterministic: z_where in image coordinates of what is in each slot after a frame."""
    return f"slot_where_{t}"


def slot_identity(t: int) -> str:
    """Deterministic: identity of what is in each slot after a frame, -1 where it is empty."""
    return f"slot_identity_{t}"


def is_latent(name: str) -> bool:
    """Whether a site is one of the latents; the names of no others begin so."""
    return name.startswith("z_")


def frame_of(name: str) -> int:
    """The frame t of a site."""
    return int(name.rpartition("_")[2])
