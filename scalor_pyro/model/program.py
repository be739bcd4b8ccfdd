"""What all models of videos here share: a pair of Pyro programs, and their parameters in Pyro's parameter store."""

import logging
import weakref
from typing import Any, ClassVar, Protocol

import pyro
import torch
from pyro.params import param_with_module_name
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

logger = logging.getLogger(__name__)

# Keys that handlers of this package set in Pyro's messages, for other handlers to read.
_OF_GUIDE, _DRAWN_EARLY = "of_guide", "drawn_early"


class GuideMessenger(Messenger):
    """Marks the sites of a guide, which have the same names as the model's, for :func:`is_of_guide`."""

    def _pyro_sample(self, msg: Any) -> None:
        # Not in msg["infer"], which a replayed model takes over from its guide.
        msg[_OF_GUIDE] = True


def is_of_guide(msg: Any) -> bool:
    """Whether the site that a handler was given belongs to a guide."""
    return bool(msg.get(_OF_GUIDE))


def mark_drawn(msg: Any) -> None:
    """To be called by a handler that draws a value itself, from the distribution that the site has at that point."""
    msg[_DRAWN_EARLY] = True


def is_drawn(msg: Any) -> bool:
    """Whether a handler has drawn the value of a site already (:func:`mark_drawn`)."""
    return bool(msg.get(_DRAWN_EARLY))


class Program(Protocol):
    """:class:`~scalor_pyro.model.scalor.Scalor`, and the models it is compared with (:mod:`scalor_pyro.baselines`)."""

    config: Any

    def model(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> Any:
        """p(x, z): observes the frames (B, T, C, H, W) it is given and imagines the rest."""

    def guide(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> Any:
        """q(z | x), for the observed frames."""


class StoreName:
    """A name in Pyro's parameter store that no other living model has.

    It is claimed when first used and given back when the model is gone, together with the parameters stored under it:
    the first model of a process that runs is "scalor", a second one beside it "scalor_2". A copy of a model, or one
    that was pickled, gets a name of its own.

    :param kind: the name of the first model of this kind.
    """

    _taken: ClassVar[set[str]] = set()

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._name: str | None = None
        self._stored: dict[str, weakref.ref[Tensor]] = {}  # what this model has put into the store

    def __deepcopy__(self, memo: Any) -> "StoreName":
        return StoreName(self.kind)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoreName, (self.kind,)

    @property
    def name(self) -> str:
        """The name, from the first use on."""
        if self._name is None:
            name, number = self.kind, 1
            while name in self._taken:
                number += 1
                name = f"{self.kind}_{number}"
            self._taken.add(name)
            self._name = name
            weakref.finalize(self, _release, name, self._taken).atexit = False
        return self._name

    def register(self, module: nn.Module) -> None:
        """Put the parameters of a module into the store, where SVI finds them.

        Values that were loaded into the store under their names (:meth:`ParamStoreDict.load`) are copied into the
        module first. Otherwise the module's own parameters count, also after they were replaced by other tensors.

        :raises ValueError: if the store holds a parameter of another shape.
        """
        store = pyro.get_param_store()
        present, loaded = dict(store.named_parameters()), 0
        for name, parameter in module.named_parameters():
            full = param_with_module_name(self.name, name)
            found = present.get(full)
            if found is None or found is parameter:
                continue
            if full not in self._stored or self._stored[full]() is not found:
                _load(full, found, parameter)
                loaded += 1
            del store[full]
        if loaded:
            logger.info("%s: took %d parameters from Pyro's parameter store.", self.name, loaded)
        pyro.module(self.name, module)
        prefix = param_with_module_name(self.name, "")
        self._stored = {name: weakref.ref(value) for name, value in store.named_parameters() if name.startswith(prefix)}


def _load(name: str, value: Tensor, parameter: Tensor) -> None:
    if value.shape != parameter.shape:
        raise ValueError(
            f"{name} in Pyro's parameter store: expected shape {tuple(parameter.shape)}, got {tuple(value.shape)}."
        )
    with torch.no_grad():
        parameter.copy_(value)


def _release(name: str, taken: set[str]) -> None:
    """Give a name back; nothing stays in the store under it."""
    store = pyro.get_param_store()
    prefix = param_with_module_name(name, "")
    for stored in [stored for stored in store.keys() if stored.startswith(prefix)]:
        del store[stored]
    taken.discard(name)


class StoredModule(nn.Module):
    """A module whose parameters are in Pyro's parameter store, under a name of its own (:class:`StoreName`)."""

    def __init__(self) -> None:
        super().__init__()
        self.store_name = StoreName(type(self).__name__.lower())

    def __getstate__(self) -> dict[str, Any]:
        for parameter in self.parameters():
            parameter.__dict__.pop("unconstrained", None)  # a weak reference of Pyro's, which cannot be pickled
        return self.__dict__.copy()


def require_one_particle(value: Tensor, dims: int, program: nn.Module) -> None:
    """Refuse a first latent with more dimensions than the program gives it, as a plate of particles would.

    :param dims: how many it should have.
    :raises ValueError: if it has more.
    """
    if value.dim() > dims:
        raise ValueError(
            f"{type(program).__name__} runs one particle at a time: use vectorize_particles=False or parallel=False."
        )
