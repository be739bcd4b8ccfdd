"""How many operations is a training step, part by part?

    python benchmarks/kernels.py
    python benchmarks/kernels.py --model moving --videos 1 --json kernels.json

On a GPU a small step waits for the launches of its kernels rather than for arithmetic. No GPU is needed to count them:
each operation of PyTorch that computes something launches at least one kernel, while those that only make a view of a
tensor, or memory for one, launch none. A few launch several (sorting, products that are split), so the count is a lower
bound. It hardly depends on the number of videos. An operation of the backward pass is counted for the part whose
forward operation it is the gradient of.
"""

import argparse
import json
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyro
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scalor_pyro.config import ModelConfig, RunConfig
from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.layers.rendering import Sum
from scalor_pyro.model import scalor
from scalor_pyro.model.appearance import AppearanceEncoder
from scalor_pyro.model.attention import Attention
from scalor_pyro.model.background import BackgroundPrior, MovingDecoder, MovingPosterior
from scalor_pyro.model.discovery import DiscoveryPosterior, DiscoveryPrior
from scalor_pyro.model.propagation import PropagationPosterior, PropagationPrior
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.loop import Trainer

VIDEOS, FRAMES = 2, 10
VLD, MD = preset("digits", "VLD"), preset("sprites", "MD", background=True)
# Name → config of a run.
MODELS = {
    # K = M = 6; masks decide, as in a step that is recorded as a graph.
    "vld": replace(VLD, data=replace(VLD.data, digits="uci"), train=replace(VLD.train, evidence=False)),
    # K = M = 16, as in benchmarks/step.py
    "moving": RunConfig(
        model=ModelConfig(background="moving", colour_start=True, contrast_input=True), data=MD.data, train=MD.train
    ),
}
# Part → the functions that compute it. An operation belongs to the innermost part that it is called in.
PARTS: dict[str, list[tuple[Any, str]]] = {
    "frame encoder": [(Scalor, "_features")],
    "propagation": [(PropagationPosterior, "forward"), (PropagationPrior, "forward"), (Scalor, "_propagate")],
    "attention": [(Attention, "forward")],
    "discovery": [(DiscoveryPosterior, "forward"), (DiscoveryPrior, "forward"), (Scalor, "_discover")],
    "appearance": [(AppearanceEncoder, "forward")],
    "decoder": [(Scalor, "_decoded")],
    "rendering": [(Scalor, "_patches"), (Sum, "of"), (Sum, "drawn")],
    "rejection": [(Scalor, "kept_by_masks")],
    "slots": [(scalor, "fill_slots")],
    "background": [(BackgroundPrior, "forward"), (MovingPosterior, "forward"), (MovingDecoder, "forward")],
}
# Everything else of a loss: the handlers of Pyro, weights, log-probabilities and their sum.
ELBO, OPTIMISER = "log-probabilities", "optimiser"
# Operations that make memory for a tensor, without filling it.
ALLOCATING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


def launches(operation: Any) -> bool:
    """Whether an operation computes something, rather than making a view or memory."""
    name, schema = operation.overloadpacket.__name__, operation._schema
    views = schema.returns and all(
        returned.alias_info is not None and not returned.alias_info.is_write for returned in schema.returns
    )
    return not (views or name in ALLOCATING or name.startswith("_unsafe_view") or name == "detach")


class Counted(TorchDispatchMode):
    """Counts operations by part, of the forward and of the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.part = ELBO
        self.forward: Counter[str] = Counter()
        self.backward: Counter[str] = Counter()
        self.names: dict[str, Counter[str]] = {}
        # Autograd numbers the nodes of its graph as they are made: from this number on, they belong to this part.
        self._began: list[int] = [0]
        self._parts: list[str] = [ELBO]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if launches(func):
            node = torch._C._current_autograd_node()
            part = self.part if node is None else self._of(node)
            (self.forward if node is None else self.backward)[part] += 1
            self.names.setdefault(part, Counter())[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    def _of(self, node: Any) -> str:
        if node.name().endswith("AccumulateGrad"):
            return OPTIMISER
        return self._parts[bisect_right(self._began, node._sequence_nr()) - 1]

    def enter(self, part: str) -> str:
        """Count for a part from now on; the part so far."""
        before, self.part = self.part, part
        self._began.append(torch._C._autograd._get_sequence_nr())
        self._parts.append(part)
        return before


@contextmanager
def parts_noted(counted: Counted) -> Iterator[None]:
    """Within, the functions of PARTS say when they begin and end."""

    def noting(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            before = counted.enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                counted.enter(before)

        return noted

    with ExitStack() as stack:
        for part, functions in PARTS.items():
            for owner, name in functions:
                stack.enter_context(patch.object(owner, name, noting(part, getattr(owner, name))))
        yield


CPU = torch.device("cpu")


def count(config: RunConfig, videos: int = VIDEOS, frames: int = FRAMES, device: torch.device = CPU) -> Counted:
    """The operations of the second step of a training."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    stream = SyntheticVideos(config.data, 0, "train")
    batch = stream.batch(0, videos, frames).tensor(device)
    trainer = Trainer(Scalor(config.model).to(device), stream, config)
    with pyro.validation_enabled(False):
        trainer.whole_step(batch)  # the first makes the optimiser's state
        with Counted() as counted, parts_noted(counted):
            loss, norm = trainer.gradients(batch)
            counted.enter(OPTIMISER)
            trainer.descend(loss, norm)
    return counted


def rows(counted: Counted) -> list[list[str]]:
    """A row for each part, and the sum."""
    found = []
    for part in (*PARTS, ELBO, OPTIMISER):
        forward, backward = counted.forward[part], counted.backward[part]
        if forward or backward:
            found.append([part, f"{forward:,}", f"{backward:,}", f"{forward + backward:,}"])
    forward, backward = counted.forward.total(), counted.backward.total()
    return [*found, ["together", f"{forward:,}", f"{backward:,}", f"{forward + backward:,}"]]


def main(arguments: list[str] | None = None) -> int:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", choices=list(MODELS), nargs="+", default=list(MODELS), help="default: both")
    parser.add_argument("--videos", type=int, default=VIDEOS, help="of a step (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of a video (default: %(default)s)")
    parser.add_argument("--operations", type=int, metavar="N", help="also print the N commonest of each part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there")
    options = parser.parse_args(arguments)
    found = {}
    for name in options.model:
        counted = count(MODELS[name], options.videos, options.frames)
        found[name] = {"forward": dict(counted.forward), "backward": dict(counted.backward)}
        print(markdown_table([name, "forward", "backward", "together"], rows(counted)), end="\n\n")
        if options.operations:
            for part, names in counted.names.items():
                print(part, *(f"{each} {n}" for each, n in names.most_common(options.operations)), sep=", ")
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "operations": found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
