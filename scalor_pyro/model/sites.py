"""Names of the sample sites, defined only here: latent first, time last."""

from typing import Literal, NamedTuple

Part = Literal["prop", "disc"]

# Names of the axes of one value, for each family of sites (a name without its time). A scalar has no axis.
EVENT_AXES: dict[str, tuple[str, ...]] = {
    "z_pres_prop": (),
    "z_where_prop": ("coordinate",),
    "z_depth_prop": (),
    "z_what_prop": ("feature",),
    "z_pres_disc": (),
    "z_where_disc": ("coordinate",),
    "z_depth_disc": (),
    "z_what_disc": ("feature",),
    "z_bg": ("feature",),
    "z": ("feature",),
    "x": ("channel", "row", "column"),
    "y": ("channel", "row", "column"),
    "slot_pres": (),
    "slot_where": ("coordinate",),
    "slot_identity": (),
}
# Families of deterministic sites.
DETERMINISTIC = ("y", "slot_pres", "slot_where", "slot_identity")


class SiteName(NamedTuple):
    """The two parts of a site's name."""

    family: str
    t: int


def parse(name: str) -> SiteName | None:
    """Family and time of a site; None for other names (plates, parameters, …)."""
    family, _, t = name.rpartition("_")
    return SiteName(family, int(t)) if family in EVENT_AXES and t.isascii() and t.isdigit() else None


def z_pres(part: Part, t: int) -> str:
    """Logit of presence, one for each slot (``prop``) or grid cell (``disc``)."""
    return f"z_pres_{part}_{t}"


def z_where(part: Part, t: int) -> str:
    """Size and position: a deviation from the expected ones (``prop``), or relative to a cell (``disc``)."""
    return f"z_where_{part}_{t}"


def z_depth(part: Part, t: int) -> str:
    """Depth; a nearer object has a smaller one."""
    return f"z_depth_{part}_{t}"


def z_what(part: Part, t: int) -> str:
    """Appearance."""
    return f"z_what_{part}_{t}"


def z_bg(t: int) -> str:
    """Background of a frame."""
    return f"z_bg_{t}"


def z(t: int) -> str:
    """The single latent of a frame, in models without objects."""
    return f"z_{t}"


def of_object(name: str, n: int) -> str:
    """The site of one object, in models that draw objects one by one: its number n stands before the time."""
    family, _, t = name.rpartition("_")
    return f"{family}_{n}_{t}"


def x(t: int) -> str:
    """The frame itself."""
    return f"x_{t}"


def y(t: int) -> str:
    """Deterministic: the frame without its noise, the mean of ``x_t``."""
    return f"y_{t}"


def slot_pres(t: int) -> str:
    """Deterministic: z_pres in [0, 1] of the object in each slot after a frame."""
    return f"slot_pres_{t}"


def slot_where(t: int) -> str:
    """Deterministic: z_where in image coordinates of the object in each slot after a frame."""
    return f"slot_where_{t}"


def slot_identity(t: int) -> str:
    """Deterministic: identity of the object in each slot after a frame, -1 in an empty slot."""
    return f"slot_identity_{t}"


def is_latent(name: str) -> bool:
    """Whether a site is a latent: only their names begin with z_."""
    return name.startswith("z_")


def frame_of(name: str) -> int:
    """The frame t of a site."""
    return int(name.rpartition("_")[2])
