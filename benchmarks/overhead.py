"""The cost of Pyro: a training step as a Pyro program, compared with the same modules in a plain loop.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --repeats 20 --json overhead.json

The loop draws the same random numbers, and the two losses are compared before anything is timed. Steps of both kinds
take turns in one process, on one thread, and processor time is counted, so other programs disturb both alike. The
profiler's share is an upper bound, because profiling makes Python calls more expensive.
"""

import argparse
import cProfile
import json
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from step import FRAMES, STEP, VIDEOS, VLD, video_frames
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from scalor_pyro.config import DataConfig, ModelConfig, TrainConfig
from scalor_pyro.config.presets import preset
from scalor_pyro.layers.objects import Objects
from scalor_pyro.layers.rendering import Canvas, drawn
from scalor_pyro.model.discovery import shortlist
from scalor_pyro.model.distributions import SMALLEST_WEIGHT
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.training.optimiser import make_optimiser

# Name → model and videos.
SETTINGS: dict[str, tuple[ModelConfig, DataConfig]] = {
    "VLD preset, K=M=6": (VLD.model, replace(VLD.data, digits="uci")),
    "K=M=16, background": (STEP, preset("sprites", "MD", background=True).data),
}
# The two losses sum in different order.
SAME_LOSS = 1e-4


class PlainLoss:
    """The negative ELBO of a batch of videos, by a loop over the modules of a Scalor, without Pyro's handlers."""

    def __init__(self, scalor: Scalor) -> None:
        self.scalor = scalor

    def __call__(self, x: Tensor) -> Tensor:
        """x (B, T, C, H, W) → ()"""
        scalor, config, annealed = self.scalor, self.scalor.config, self.scalor.annealed
        self.elbo = x.new_zeros(())
        maps, cells, _ = (part.unbind(1) for part in scalor.frame_encoder(x))
        slots = memory = prior_memory = z_bg = background_memory = None
        for t in range(x.shape[1]):
            frame, propagated, seen = x[:, t], None, None
            if slots is not None:
                q = scalor.propagation_posterior(slots, memory, annealed, frame, maps[t])
                p = scalor.propagation_prior(slots, prior_memory, annealed)
                memory, prior_memory = q.memory, p.memory
                alive = slots.alive.to(x.dtype)
                presence = torch.sigmoid(self.drawn(q.presence, p.presence, alive)) * slots.alive
                raw = self.drawn(q.where, p.where, presence)
                where, shape, velocity = scalor.boxes.propagated(slots.objects, raw)
                depth = self.drawn(q.depth, p.depth, presence)
                what = self.drawn(q.what(where), p.what(where), presence)
                propagated = Objects(presence, where, shape, velocity, depth, what, scalor.decoder(what))
                seen = drawn(scalor._patches(propagated.detach()), config.image_size)
            proposals = self.discovered(t, frame, cells[t], seen)
            settled = scalor.settle(slots, propagated, proposals)
            slots, frame_loc = settled.slots, settled.canvas.colour
            if scalor.background is not None:
                q_behind = scalor.background.posterior(frame, settled.canvas.alpha.detach())
                p_behind = scalor.background.prior(z_bg, background_memory, len(x))
                background_memory = p_behind.memory
                z_bg = self.drawn(q_behind.z_bg, p_behind.z_bg)
                frame_loc = settled.canvas.over(scalor.background.decoder(z_bg[:, 0]))
            pixels = torch.distributions.Normal(frame_loc, frame_loc.new_full((), config.sigma))
            self.elbo = self.elbo + pixels.log_prob(frame).sum()
        return -self.elbo

    def discovered(self, t: int, frame: Tensor, cells: Tensor, seen: Canvas | None) -> Objects:
        """Draw z_t^D."""
        scalor = self.scalor
        q = scalor.discovery_posterior(frame, cells, seen, scalor.annealed)
        p = scalor.discovery_prior(t, len(frame), scalor.annealed)
        logits = self.drawn(q.presence, p.presence)
        chosen = shortlist(logits, scalor.config.proposals(first=t == 0))
        presence = torch.sigmoid(logits.gather(1, chosen))
        raw = self.drawn(q.where(chosen), p.where(chosen), presence)
        where, shape, velocity = scalor.boxes.discovered(raw, chosen)
        depth = self.drawn(q.depth(chosen), p.depth(chosen), presence)
        what = self.drawn(q.what(where), p.what(where), presence)
        return Objects(presence, where, shape, velocity, depth, what, scalor.decoder(what))

    def drawn(self, q: TorchDistribution, p: TorchDistribution, weight: Tensor | None = None) -> Tensor:
        """A draw from the posterior, whose log-ratio to the prior goes into the ELBO."""
        value: Tensor = q.rsample()
        ratio = p.log_prob(value) - q.log_prob(value)
        if weight is not None:
            ratio = torch.where(weight > 0, ratio * weight.clamp(min=SMALLEST_WEIGHT), 0.0)
        self.elbo = self.elbo + ratio.sum()
        return value


Loss = Callable[[Tensor], Tensor]


def measure(model: ModelConfig, videos: DataConfig, repeats: int) -> dict[str, float]:
    """Processor seconds of a loss and of a whole step, both ways, and what Pyro adds."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    config, scalor, frames = TrainConfig(), Scalor(model), video_frames(videos)
    scalor.schedule(config.scheduled(0))
    optimiser, elbo = make_optimiser(list(scalor.parameters()), config), ReparamELBO()
    ways: dict[str, Loss] = {
        "pyro": lambda x: elbo.differentiable_loss(scalor.model, scalor.guide, x),
        "plain": PlainLoss(scalor),
    }
    require_same_loss(ways, frames)

    def step(loss_of: Loss) -> tuple[float, float]:
        start = time.process_time()
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(frames) / (VIDEOS * FRAMES)
        forward = time.process_time()
        loss.backward()
        clip_grad_norm_(scalor.parameters(), config.clip)
        optimiser.step()
        return forward - start, time.process_time() - start

    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, loss_of in ways.items():
            took = step(loss_of)
            if turn > 0:  # the first is there to warm up
                times[name].append(took)
    found = {}
    for which, what in enumerate(("loss", "step")):
        for name in ways:
            found[f"{what}, {name}"] = statistics.median(took[which] for took in times[name])
        pairs = zip(times["pyro"], times["plain"], strict=True)
        found[f"{what}, pyro / plain"] = statistics.median(a[which] / b[which] for a, b in pairs)
    found["share of a loss in Pyro's own code"] = share_of_pyro(lambda: ways["pyro"](frames))
    return found


def require_same_loss(ways: dict[str, Loss], frames: Tensor) -> None:
    """Refuse to compare losses that differ.

    :raises RuntimeError: if the losses differ.
    """
    losses = []
    for loss_of in ways.values():
        pyro.set_rng_seed(1)
        losses.append(loss_of(frames).item() / frames.numel())
    if abs(losses[0] - losses[1]) > SAME_LOSS:
        raise RuntimeError(
            f"The losses differ ({losses[0]} and {losses[1]} per number of the videos), so there is nothing to compare."
        )


def share_of_pyro(work: Callable[[], object]) -> float:
    """The share of the time of some work that the profiler finds in the functions of Pyro themselves."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(work)
    rows = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]  # (file, line, name) → figures
    own = {file: 0.0 for (file, _, _), _ in rows}
    for (file, _, _), (_, _, own_time, _, _) in rows:
        own[file] += own_time
    package = str(Path(pyro.__file__).parent)
    return sum(seconds for file, seconds in own.items() if file.startswith(package)) / sum(own.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7, help="steps of each kind (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats: expected at least 1, got {options.repeats}.")
    torch.set_num_threads(1)
    keep_freed_memory()
    measured = {}
    with pyro.validation_enabled(False):
        for name, setting in SETTINGS.items():
            measured[name] = measure(*setting, options.repeats)
            print(name)
            for what, value in measured[name].items():
                print(f"    {what:40} {value:8.3f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "measured": measured}, indent=1))


if __name__ == "__main__":
    main()
