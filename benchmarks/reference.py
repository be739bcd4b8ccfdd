"""A training step of the authors' own code beside ours, on one device, in one run.

    git clone https://github.com/JindongJiang/SCALOR
    python benchmarks/reference.py SCALOR --device cuda --videos 16 64

Nothing of that code is part of this repository: it is imported from the folder that is given, in a process of its own,
as it is. Its networks fit one size of frames (``img_h`` of its common.py); ours get the same frames, as many cells and
as many slots as it allows objects. Both are untrained. A step is loss, gradient, clipping and the optimiser of each.
The number of objects that the authors' code discovers decides what its step costs; a new model finds many.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # where the package is not installed

import torch
from torch import Tensor

from scalor_pyro.evaluation.tables import markdown_table

# What a checkout consists of, as far as it is needed.
FILES = ("common.py", "discovery.py", "modules.py", "propagation.py", "scalor.py")
VIDEOS, FRAMES, STEPS, WARM_UP = (16,), 10, 5, 4
SIDES = ("authors", "ours")


def missing(checkout: Path) -> list[str]:
    """The files that a folder lacks to be a checkout of the authors' code."""
    return [name for name in FILES if not (checkout / name).is_file()]


def random_frames(videos: int, frames: int, side: int, device: torch.device) -> Tensor:
    """Grey squares that move over black, (B, T, 3, side, side): neither code is trained on them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(videos, frames, 3, side, side)
    size = max(2, side // 8)
    for video in range(videos):
        for start in torch.randint(0, side - size - frames, (4, 2), generator=generator).tolist():
            for t in range(frames):
                x[video, t, :, start[0] + t : start[0] + t + size, start[1] + t : start[1] + t + size] = 0.6
    return x.to(device)


def authors_step(checkout: Path, device: torch.device) -> tuple[Callable[[Tensor], object], int]:
    """A step of the authors' code, and the side of its frames."""
    sys.path.insert(0, str(checkout))
    import common
    import scalor

    # What its train.py and parse.py set; on one GPU, nothing is parallel.
    settings = {**common.cfg, "sigma": 0.1, "phase_parallel": False, "tau": 1.0, "global_step": 1, "log_phase": False}
    model = scalor.SCALOR(SimpleNamespace(**settings, color_t=torch.rand(common.cfg["color_num"], 3))).to(device)
    optimiser = torch.optim.RMSprop(model.parameters(), lr=4e-5)

    def step(frames: Tensor) -> None:
        log_likelihood, *divergences = (part.mean(0) for part in model(frames)[1:7])
        optimiser.zero_grad()
        (sum(divergences) - log_likelihood).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return step, int(common.img_h)


def our_step(side: int, cells: int, objects: int, device: torch.device) -> Callable[[Tensor], object]:
    """A step of ours, recorded on a GPU as in training."""
    import pyro

    from scalor_pyro.config.presets import preset
    from scalor_pyro.data import SyntheticVideos
    from scalor_pyro.model.scalor import Scalor
    from scalor_pyro.training.loop import Trainer

    config = preset("digits", "MD", background=True)
    model = replace(
        config.model, image_size=(side, side), cells=(cells, cells), slots=objects, first_shortlist=objects,
        shortlist=objects, object_size=side / 8,
    )  # fmt: skip
    config = replace(config, model=model, data=replace(config.data, image_size=(side, side), digits="uci"))
    videos = SyntheticVideos(config.data, 0, "train")
    pyro.enable_validation(False)
    return Trainer(Scalor(model).to(device), videos, config).captured


def measure(side_of: str, checkout: Path, videos: int, frames: int, device: torch.device) -> dict[str, float]:
    """Seconds of a step, and the peak of memory on a GPU."""
    torch.manual_seed(0)
    sys.path.insert(0, str(checkout))
    import common

    side, objects = int(common.img_h), int(common.cfg["max_num_obj"])
    cells = int(common.cfg["num_cell_h"])
    objects = min(objects, cells**2)
    step = authors_step(checkout, device)[0] if side_of == "authors" else our_step(side, cells, objects, device)
    x = random_frames(videos, frames, side, device)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    warm_up, steps = (WARM_UP, STEPS) if device.type == "cuda" else (1, 1)
    for _ in range(warm_up):
        step(x)
    wait()
    start = time.perf_counter()
    for _ in range(steps):
        step(x)
    wait()
    seconds = (time.perf_counter() - start) / steps
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")
    return {"seconds": seconds, "peak_gb": peak}


def measure_apart(side_of: str, options: argparse.Namespace, videos: int) -> dict[str, float]:
    """Measure in a process of its own, because the authors' modules have names such as ``data`` and ``utils``.

    :raises RuntimeError: with the last line of its message, if it fails.
    """
    command = [sys.executable, __file__, str(options.checkout), "--device", options.device, "--measure", side_of]
    command += ["--videos", str(videos), "--frames", str(options.frames)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"The code in {options.checkout}, {side_of}, with torch {torch.__version__}: {reason}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure both, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", type=Path, metavar="PATH", help="a checkout of github.com/JindongJiang/SCALOR")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="default: %(default)s")
    parser.add_argument("--videos", type=int, nargs="+", default=list(VIDEOS), help="of a step (default: 16)")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of a video (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if lacking := missing(options.checkout):
        parser.error(
            f"{options.checkout}: expected a checkout of github.com/JindongJiang/SCALOR,"
            f" got a folder without {', '.join(lacking)}."
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: expected cpu, because no CUDA device is available, got cuda.")
    options.checkout = options.checkout.resolve()
    if options.measure:
        device = torch.device(options.device)
        print(json.dumps(measure(options.measure, options.checkout, options.videos[0], options.frames, device)))
        return 0
    found, rows = {}, []
    for videos in options.videos:
        try:
            theirs, ours = (measure_apart(side_of, options, videos) for side_of in SIDES)
        except RuntimeError as error:
            parser.exit(2, f"{error}\n")
        found[videos] = {"authors": theirs, "ours": ours}
        cells = (theirs["seconds"], ours["seconds"], theirs["seconds"] / ours["seconds"])
        memory = (f"{each['peak_gb']:.2f}" for each in (theirs, ours))
        rows.append([str(videos), *(f"{cell:.3f}" for cell in cells), *memory])
    heads = ["videos", "authors, s a step", "ours, s a step", "ratio", "authors, GB", "ours, GB"]
    print(markdown_table(heads, rows))
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "steps": found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
