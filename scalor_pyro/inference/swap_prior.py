"""Swap priors: an effect handler that gives chosen latents of the model another prior for the calls within it.

It composes like Pyro's own handlers::

    with swap_prior({"z_pres_disc_*": absent_from(5)}):  # see scalor_pyro.inference.priors
        Predictive(scalor.model, guide=scalor.guide, num_samples=4)(video[:, :5], frames=10)

    hurried = swap_prior(scalor.model, {"z_where_prop_*": Normal(0.0, 2.0).expand([4]).to_event(1)})
"""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from pyro import poutine
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.poutine.messenger import Messenger
from torch import broadcast_shapes

from scalor_pyro.model.program import is_drawn, is_of_guide
from scalor_pyro.model.sites import frame_of, is_latent

# A distribution, or a function of the frame t and of the prior there.
Prior = TorchDistributionMixin | Callable[[int, Any], TorchDistributionMixin]

ArgumentsT = ParamSpec("ArgumentsT")
ResultT = TypeVar("ResultT")


class SwapPriorMessenger(Messenger):
    """Replace the prior of the model's sites whose names match; see :func:`swap_prior`."""

    def __init__(self, priors: Mapping[str, Prior]) -> None:
        super().__init__()
        if not isinstance(priors, Mapping) or not priors:
            raise ValueError("swap_prior: expected at least one {site name or pattern: prior}, got none.")
        for pattern, prior in priors.items():
            if not isinstance(prior, TorchDistributionMixin) and not callable(prior):
                raise ValueError(
                    f"The prior for {pattern!r}: expected a Pyro distribution, or a function of the frame and the old"
                    f" prior that returns one, got {prior!r}."
                )
        self.priors = dict(priors)
        self._seen: dict[str, None] = {}  # latent sites of the model, in order
        self._unused = set(priors)

    def __enter__(self) -> "SwapPriorMessenger":
        super().__enter__()
        self._seen, self._unused = {}, set(self.priors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if error is None and self._unused:
            pattern = next(pattern for pattern in self.priors if pattern in self._unused)
            raise ValueError(f"swap_prior's {pattern!r} matches no latent site of the model: {_there_are(self._seen)}.")

    def _pyro_sample(self, msg: Any) -> None:
        name = msg["name"]
        if poutine.util.site_is_subsample(msg) or is_of_guide(msg):
            return
        matching = [pattern for pattern in self.priors if fnmatchcase(name, pattern)]
        if not is_latent(name):
            if matching:
                kind = "deterministic" if msg["infer"].get("_deterministic") else "the observed frame"
                raise ValueError(
                    f"swap_prior's {matching[0]!r}: expected a pattern of latent sites, got one that matches"
                    f" {name}, which is {kind}."
                )
            return
        self._seen[name] = None
        self._unused -= set(matching)
        if matching:
            _require_undrawn(msg)
        for pattern in matching:
            prior = self.priors[pattern]
            given = prior if isinstance(prior, TorchDistributionMixin) else prior(frame_of(name), msg["fn"])
            msg["fn"] = _fitted(name, given, msg["fn"])


@overload
def swap_prior(priors: Mapping[str, Prior], /) -> SwapPriorMessenger: ...


@overload
def swap_prior(
    model: Callable[ArgumentsT, ResultT], priors: Mapping[str, Prior], /
) -> Callable[ArgumentsT, ResultT]: ...


def swap_prior(*arguments: Any) -> Any:
    """Give sites of the model another prior: ``with swap_prior(priors):`` or ``swap_prior(model, priors)``.

    The guide keeps its distributions, so ``Predictive(scalor.model, guide=scalor.guide)`` works within. A value that
    the guide has drawn, or that a handler has fixed, stays and is scored by the new prior. Weighting by presence stays.
    Enter ``ModeMessenger``, which draws values itself, before: the handler entered last acts first.

    :param arguments: the program to wrap, which may be left out (a context manager is then returned), and the priors
        by site name, or pattern with ``*``, ``?`` and ``[…]``: a distribution that broadcasts to the site's
        batch shape, or a function (frame t, prior) → distribution. If several patterns match a site they are applied in
        order, and each function is given the result of the one before.
    :raises ValueError: for anything but a distribution or a function; within, for a prior with another event shape or
        support, or a batch shape that does not broadcast to the site's, and for patterns that match observed or
        deterministic sites; on leaving without another error, for a pattern that has matched no site.
    """
    *model, priors = arguments
    messenger = SwapPriorMessenger(priors)
    return messenger(*model) if model else messenger


def _require_undrawn(msg: Any) -> None:
    """Refuse a value that a handler entered later has already drawn from the old prior."""
    if is_drawn(msg):
        raise ValueError(
            f"{msg['name']} was drawn before swap_prior could replace its prior; enter swap_prior last, or let it wrap"
            " the model."
        )


def _fitted(name: str, prior: Any, replaced: Any) -> Any:
    """The new prior at the batch shape of the one that it replaces.

    :raises ValueError: where it cannot take that one's place.
    """
    if not isinstance(prior, TorchDistributionMixin):
        raise ValueError(f"The prior for {name}: expected a Pyro distribution, got {prior!r}.")
    batch, event = tuple(prior.batch_shape), tuple(prior.event_shape)
    expected = tuple(replaced.batch_shape), tuple(replaced.event_shape)
    if event != expected[1] or not _broadcasts(batch, expected[0]):
        raise ValueError(
            f"The prior for {name}: expected a batch shape that broadcasts to {expected[0]} and event shape"
            f" {expected[1]}, got {batch} and {event}."
        )
    if _of_one_event(prior.support) != _of_one_event(replaced.support):
        raise ValueError(
            f"The prior for {name}: expected support {_of_one_event(replaced.support)}, got"
            f" {_of_one_event(prior.support)}."
        )
    return prior if batch == expected[0] else prior.expand(replaced.batch_shape)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return broadcast_shapes(shape, to) == to
    except RuntimeError:  # from torch, for shapes that do not fit
        return False


def _of_one_event(support: Any) -> str:
    """A support as text, whichever of its dimensions are events."""
    while isinstance(support, type(constraints.real_vector)):
        support = support.base_constraint
    return str(support)


def _there_are(names: Mapping[str, None]) -> str:
    """The sites that were seen, one entry for each family."""
    if not names:
        return "no model ran within it"
    families: dict[str, list[int]] = {}
    for name in names:
        families.setdefault(name.rpartition("_")[0], []).append(frame_of(name))
    listed = ", ".join(
        f"{family}_{frames[0]}" + (f" to {frames[-1]}" if len(frames) > 1 else "")
        for family, frames in families.items()
    )
    return f"its sites are {listed}"
