"""All that is to be measured on a GPU, in about two minutes.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --only steps mota --mnist mnist.npz
    python benchmarks/gpu.py --device cpu

Four parts: ``steps`` times training steps of the VLD preset, eager and captured as a graph, in float32 and bfloat16,
for several numbers of videos, with the peak of memory; ``kernels`` counts the operations of a step; ``tracking`` times
inference of VLD videos, and the whole of ``scalor track`` on a video of 640 × 480 pixels; ``mota`` trains until a MOTA
on unseen digits is reached, as ``benchmarks/time_to_mota.py`` does in more detail. On a CPU, the same with the smallest
sizes shows that it works; its figures mean nothing.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # where the package is not installed

import pyro
import torch
import track_speed
from kernels import count
from time_to_mota import bundled, first, looked_at_often, looks_of, watched

from scalor_pyro.config import RunConfig
from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.inference.posterior import follow
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.training.cuda_graph import WARM_UP, CapturedStep
from scalor_pyro.training.device import device_of
from scalor_pyro.training.loop import Trainer

PARTS = ("steps", "kernels", "tracking", "mota")
# H, W of the video that is tracked.
TRACKED = (480, 640)


class Sizes(NamedTuple):
    """How much is measured."""

    batches: tuple[int, ...]  # videos per step
    frames: int
    steps: int  # timed at once
    repeats: int
    tracked: int  # frames of the tracked video, or of each of its parts
    processes: tuple[int, ...]  # that track it
    training: int | None  # steps of the training at most; None: the preset's


ON_GPU = Sizes((16, 64, 256), 10, 10, 3, 100, (1, 4), None)
ON_CPU = Sizes((1,), 2, 1, 1, 12, (1,), 2)
Measured = dict[str, float]


def measure_steps(config: RunConfig, device: torch.device, sizes: Sizes) -> list[dict[str, Any]]:
    """A row for each precision and batch size."""
    rows: list[dict[str, Any]] = []
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
    for precision in precisions:
        for batch in sizes.batches:
            train = replace(config.train, precision=precision)
            found = measure_step(replace(config, train=train), device, batch, sizes)
            rows.append({"precision": precision, "batch": batch, **found})
            print(
                f"{precision}  batch {batch:4}  eager {found['eager_seconds'] * 1e3:8.1f} ms"
                f"  captured {found['captured_seconds'] * 1e3:8.1f} ms  ratio {found['ratio']:5.2f}"
                f"  {found['videos_per_s']:8.0f} videos/s  {found['peak_gb']:6.2f} GB",
                flush=True,
            )
    return rows


def measure_step(config: RunConfig, device: torch.device, batch: int, sizes: Sizes) -> Measured:
    """Seconds of a step both ways, and what follows; without a graph, eager ones alone."""
    pyro.clear_param_store()
    pyro.set_rng_seed(config.seed)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    videos = SyntheticVideos(config.data, config.seed, "train")
    frames = videos.batch(0, batch, sizes.frames).tensor(device)
    trainer = Trainer(Scalor(config.model).to(device), videos, config)
    eager_step = CapturedStep(trainer.whole_step, enabled=False)
    # Eager steps are slow, and hardly differ: one repeat.
    eager = median_seconds(lambda: eager_step(frames), WARM_UP, min(3, sizes.steps), 1, device)
    captured = eager
    if device.type == "cuda":
        captured = median_seconds(lambda: trainer.captured(frames), WARM_UP + 1, sizes.steps, sizes.repeats, device)
    return {
        "eager_seconds": eager,
        "captured_seconds": captured,
        "ratio": eager / captured,
        "videos_per_s": batch / captured,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan"),
    }


def median_seconds(work: Callable[[], object], warm_up: int, times: int, repeats: int, device: torch.device) -> float:
    """The median time of something that is done several times in a row, after a warm-up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(warm_up):
        work()
    seconds = []
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        for _ in range(times):
            work()
        wait()
        seconds.append((time.perf_counter() - start) / times)
    return statistics.median(seconds)


def measure_kernels(config: RunConfig, device: torch.device, sizes: Sizes) -> Measured:
    """The operations of a step that launch kernels, see ``benchmarks/kernels.py``."""
    counted = count(config, min(sizes.batches), sizes.frames, device)
    found = {"forward": counted.forward.total(), "backward": counted.backward.total()}
    print(f"{sum(found.values()):,} operations in a step, {found['backward']:,} of them backward")
    return {name: float(number) for name, number in found.items()}


def measure_tracking(config: RunConfig, device: torch.device, sizes: Sizes) -> Measured:
    """Videos a second of the guide, and frames a second of ``scalor track``, by the clock, whatever the start takes."""
    batch = max(sizes.batches)
    frames = SyntheticVideos(config.data, config.seed, "test").batch(0, batch, sizes.frames).tensor(device)
    scalor = Scalor(config.model).to(device).eval()
    guide = median_seconds(lambda: follow(scalor, frames), 1, min(3, sizes.steps), 1, device)
    print(f"guide {batch / guide:,.0f} videos/s")
    found = {"guide_videos_per_s": batch / guide}
    for processes in sizes.processes:
        frames_of_part = sizes.tracked, 4 * sizes.tracked
        with tempfile.TemporaryDirectory() as folder:
            seconds = [tracked(Path(folder), processes * number, device, processes) for number in frames_of_part]
        rate = 3 * processes * sizes.tracked / (seconds[1] - seconds[0])
        print(f"scalor track --processes {processes}: {rate:.0f} further frames/s at 640 x 480", flush=True)
        found |= {f"track_frames_per_s_{processes}": rate, f"track_seconds_{processes}": seconds[1]}
    return found


def tracked(folder: Path, frames: int, device: torch.device, processes: int) -> float:
    """Seconds by the clock that ``scalor track`` takes for a video of made-up movers."""
    video = folder / f"{frames}.mp4"
    track_speed.make(video, frames, TRACKED)
    command = [sys.executable, "-m", "scalor_pyro", "track", str(video), "--out", str(folder / "tracks")]
    further = ["--device", device.type, "--no-report", "--processes", str(processes)]
    start = time.perf_counter()
    subprocess.run([*command, *further], check=True, stdout=subprocess.DEVNULL, cwd=sys.path[1])
    return time.perf_counter() - start


def measure_mota(config: RunConfig, device: torch.device, mota: float, mnist: Path | None) -> Measured:
    """Seconds of training until MOTA on unseen videos is reached, and the best MOTA; -1 where it was not reached."""
    with tempfile.TemporaryDirectory() as folder:
        watched(config, Scalor, Path(folder), device, mnist)
        looks = looks_of(Path(folder))
    reached = first(looks, mota)
    seconds = -1.0 if reached is None else 60 * reached.minutes
    return {"mota": mota, "seconds": seconds, "best": max(look.mota for look in looks)}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="some of the parts (default: all)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="default: %(default)s")
    parser.add_argument("--mota", type=float, default=0.95, help="MOTA to train to (default: %(default)s)")
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="a local mnist.npz; else the bundled digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device is available; use benchmarks/step.py to measure a CPU.")
    device, sizes = device_of(options.device), ON_GPU if options.device == "cuda" else ON_CPU
    config = preset("digits", "VLD")
    # Steps in which evidence decides cannot be recorded.
    config = replace(config, seed=options.seed, train=replace(config.train, evidence=False))
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {sizes.frames} frames a video")
    with_digits = replace(config, data=bundled(config.data))
    watching = looked_at_often(config, options.mnist)
    if sizes.training is not None:
        train = replace(watching.train, steps=sizes.training, eval_every=sizes.training, eval_videos=1)
        watching = replace(watching, train=train)
    parts: dict[str, Callable[[], Any]] = {
        "steps": lambda: measure_steps(with_digits, device, sizes),
        "kernels": lambda: measure_kernels(with_digits, device, sizes),
        "tracking": lambda: measure_tracking(with_digits, device, sizes),
        "mota": lambda: measure_mota(watching, device, options.mota, options.mnist),
    }
    found: dict[str, Any] = {
        "device": name,
        "provenance": provenance(MadeBy(command_line(__file__, arguments)), device),
    }
    for part in options.only:
        start = time.perf_counter()
        with pyro.validation_enabled(False):
            found[part] = parts[part]()
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
