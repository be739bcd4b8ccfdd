"""The two ways to infer that figures are given for; every table says which one its figures are of."""

from typing import Literal, NamedTuple

from scalor_pyro.inference.evidence import Worth


class Way(NamedTuple):
    """Settings of :func:`scalor_pyro.inference.posterior.infer`."""

    lookahead: int | None = 0
    evidence: Worth | Literal["auto"] | None = None


# No frame depends on a later one; masks decide.
ONLINE = Way()
# The whole video is seen before its first frame; evidence decides.
OFFLINE = Way(None, "auto")
WAYS = {"online": ONLINE, "offline": OFFLINE}
