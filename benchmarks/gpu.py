"""The cost of a training step on a GPU: kernel by kernel or captured as a graph, in float32 or bfloat16.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --only steps --json gpu.json
    python benchmarks/gpu.py --only mota --mnist mnist.npz

Two parts: ``steps`` times steps of the VLD preset at several batch sizes; ``mota`` trains it, and says how long it took
to reach a given MOTA on unseen digits, as ``benchmarks/time_to_mota.py`` does in more detail.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyro
import torch
from time_to_mota import bundled, first, looked_at_often, looks_of, watched
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from scalor_pyro.config import RunConfig
from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.cuda_graph import WARM_UP, CapturedStep
from scalor_pyro.training.loop import Trainer

GPU = torch.device("cuda")
# Videos per step, frames, and steps timed at once.
BATCHES, FRAMES, STEPS = (16, 64, 256), 10, 20
# Repeats.
REPEATS = 5

Measured = dict[str, float]


def measure_steps(config: RunConfig) -> list[dict[str, Any]]:
    """A row for each precision and batch size."""
    rows: list[dict[str, Any]] = []
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
    for precision in precisions:
        for batch in BATCHES:
            found = measure_step(replace(config, train=replace(config.train, precision=precision)), batch)
            rows.append({"precision": precision, "batch": batch, **found})
            print(
                f"{precision}  batch {batch:4}  eager {found['eager_seconds'] * 1e3:8.1f} ms"
                f"  captured {found['captured_seconds'] * 1e3:8.1f} ms  ratio {found['ratio']:5.2f}"
                f"  {found['kernels']:6.0f} kernels  {found['videos_per_s']:8.0f} videos/s  {found['peak_gb']:6.2f} GB",
                flush=True,
            )
    return rows


def measure_step(config: RunConfig, batch: int) -> Measured:
    """Seconds of a step both ways, the kernels in it, and what follows."""
    pyro.clear_param_store()
    pyro.set_rng_seed(config.seed)
    torch.cuda.reset_peak_memory_stats()
    scalor = Scalor(config.model).to(GPU)
    videos = SyntheticVideos(config.data, config.seed, "train")
    frames = videos.batch(0, batch, FRAMES).tensor(GPU)
    trainer = Trainer(scalor, videos, config)
    kernels = count_kernels(trainer, frames)
    eager = seconds_of(CapturedStep(trainer.whole_step, enabled=False), frames)
    captured = seconds_of(trainer.captured, frames)
    return {
        "eager_seconds": eager,
        "captured_seconds": captured,
        "ratio": eager / captured,
        "kernels": kernels,
        "videos_per_s": batch / captured,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
    }


def count_kernels(trainer: Trainer, frames: Tensor) -> int:
    """The number of kernels, copies and fills in a step."""
    trainer.whole_step(frames)  # the first makes the optimiser's state
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        trainer.whole_step(frames)
        torch.cuda.synchronize()
    return sum(event.device_type == torch.profiler.DeviceType.CUDA for event in seen.events())


def seconds_of(step: CapturedStep[Any], frames: Tensor) -> float:
    """The median time of a step, after the warm-up steps and the captured one."""
    for _ in range(WARM_UP + 1):
        step(frames)
    times = []
    for _ in range(REPEATS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(STEPS):
            step(frames)
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / STEPS)
    return statistics.median(times)


def seconds_to_mota(config: RunConfig, mota: float, mnist: Path | None) -> Measured:
    """Seconds of training until MOTA on unseen videos is reached, and the best MOTA; -1 where it was not reached."""
    with tempfile.TemporaryDirectory() as folder:
        watched(config, Scalor, Path(folder), GPU, mnist)
        looks = looks_of(Path(folder))
    reached = first(looks, mota)
    seconds = -1.0 if reached is None else 60 * reached.minutes
    return {"mota": mota, "seconds": seconds, "best": max(look.mota for look in looks)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=["steps", "mota"], help="one of the two parts")
    parser.add_argument("--mota", type=float, default=0.95, help="MOTA to train to (default: %(default)s)")
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="a local mnist.npz; else the bundled digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("no CUDA device is available; use benchmarks/step.py to measure a CPU.")
    config = replace(preset("digits", "VLD"), seed=options.seed)
    found: dict[str, Any] = {"torch": torch.__version__, "gpu": torch.cuda.get_device_name()}
    print(f"{found['gpu']}, torch {found['torch']}, {FRAMES} frames a video")
    if options.only != "mota":
        with pyro.validation_enabled(False):
            found["steps"] = measure_steps(replace(config, data=bundled(config.data)))
    if options.only != "steps":
        found["time_to_mota"] = seconds_to_mota(looked_at_often(config, options.mnist), options.mota, options.mnist)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
