"""Let a trained model generate: forecasts, videos from nothing, or reconstructions.

    python examples/generate.py runs/demo --what forecast --observed 5 --frames 10 --samples 20 --videos 100
    python examples/generate.py runs/demo --what imagine --frames 20
    python examples/generate.py runs/demo --what reconstruct

Forecasts are measured, too: position error and MSE by horizon, against holding what was seen last and against constant
velocity.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from scalor_pyro.checkpoint import load_config, load_weights
from scalor_pyro.config import ConfigError, RunConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.experiment import EVALUATION_BATCH, TEST_SEED
from scalor_pyro.forecast_quality import ForecastEvaluation, table
from scalor_pyro.generation import Generated, check_extent, forecast, imagine, reconstruct
from scalor_pyro.generation_pictures import Row, save_strip, write_generation_player
from scalor_pyro.metrics import without_nan
from scalor_pyro.priors import constant_velocity, first_frame_presence, no_discovery_from
from scalor_pyro.run_folder import RunFolderError, write_atomically
from scalor_pyro.scalor import Scalor
from scalor_pyro.swap_prior import Law, swap_prior

# Where the videos begin in the stream of unseen ones: apart from those that runs are evaluated on.
START = 2_000_000
# What is kept to be shown of forecasts, whatever the numbers of videos and samples; reconstructions are all shown.
SHOWN_VIDEOS, SHOWN_SAMPLES = 4, 3
# Rows of a film strip, and videos side by side in the player.
SHOWN_ROWS, SHOWN_PANELS = 8, 5
# Options that mean something for some of --what alone, with their defaults.
DEFAULTS: dict[str, dict[str, Any]] = {
    "forecast": {"observed": 5, "videos": 8, "motion": "learned", "mnist": None},
    "imagine": {"first_presence": 0.2, "motion": "learned"},
    "reconstruct": {"videos": 4, "mnist": None},
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run")
    parser.add_argument("--what", choices=list(DEFAULTS), default="forecast", help="(default: %(default)s)")
    parser.add_argument("--observed", type=int, metavar="N", help="forecast: frames that are seen (default: 5)")
    parser.add_argument("--frames", type=int, metavar="T", default=10, help="frames in all (default: %(default)s)")
    parser.add_argument("--samples", type=int, metavar="S", default=10, help="how many (default: %(default)s)")
    parser.add_argument("--videos", type=int, metavar="V", help="forecast, reconstruct: unseen videos (default: 8, 4)")
    parser.add_argument("--first-presence", type=float, metavar="P", help="imagine: probability with which a cell of "
                        "the first frame holds an object (default: 0.2)")  # fmt: skip
    parser.add_argument("--motion", choices=["learned", "constant-velocity"], help="forecast, imagine: prior of "
                        "motion (default: learned)")  # fmt: skip
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST: an .npz, or one of the four IDX files")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default: generated/WHAT in the run)")
    return parser.parse_args(arguments)


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options with their defaults, as far as --what has a use for them."""
    for name in sorted({name for defaults in DEFAULTS.values() for name in defaults}):
        value, defaults = getattr(options, name), DEFAULTS[options.what]
        if value is None:
            setattr(options, name, defaults.get(name))
        elif name not in defaults:
            used = " or ".join(what for what in DEFAULTS if name in DEFAULTS[what])
            raise ConfigError(
                f"--{name.replace('_', '-')} was given with --what {options.what}, but {used} was expected."
            )
    for name in ("observed", "frames", "samples", "videos"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} is {value}, but at least 1 was expected.")
    if not 0 <= options.seed < 2**64:
        raise ConfigError(f"--seed is {options.seed}, but a whole number from 0 to 2**64 - 1 was expected.")
    return options


def laws(options: argparse.Namespace, scalor: Scalor) -> dict[str, Law]:
    """The priors that the options ask for, where they are not the trained ones."""
    swapped: dict[str, Law] = {}
    if options.what == "forecast":
        swapped |= no_discovery_from(options.observed)
    if options.what == "imagine":
        swapped |= first_frame_presence(options.first_presence)
    if options.motion == "constant-velocity":
        swapped |= constant_velocity(scalor.config)
    return swapped


def unseen(config: RunConfig, options: argparse.Namespace) -> SyntheticVideos:
    """Videos like those that the run is evaluated on; longer ones where more frames are asked for.

    :raises ValueError: for more observed frames than there are, for no horizon, or for digits that cannot be had.
    """
    data = config.evaluated
    data = replace(data, frames=max(options.frames, data.frames))
    if options.what == "forecast":
        check_extent(options.observed, options.frames, data.frames)
    try:
        return SyntheticVideos(data, TEST_SEED, "test", options.mnist)
    except ConnectionError as error:
        reason = str(error).removesuffix(".")
        raise ConfigError(f"{reason}: a file named by --mnist was expected.") from error


class Kept:
    """Lets a stream of samples pass, and keeps what is to be shown of it: the same amount whatever their number."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.samples, self._count = x.cpu(), list[Generated](), 0
        self._total = torch.zeros_like(self.x)

    def passing(self, samples: Iterable[Generated]) -> Iterator[Generated]:
        """The samples as they come."""
        for sample in samples:
            ours = Generated(*(part[: len(self.x)].cpu() for part in sample))
            self._total, self._count = self._total + ours.y, self._count + 1
            if self._count <= SHOWN_SAMPLES:
                self.samples.append(ours)
            yield sample

    @property
    def mean(self) -> Tensor:
        """The mean frames of all samples, (V, T, C, H, W)."""
        return self._total / self._count


def of_videos(
    options: argparse.Namespace, scalor: Scalor, videos: SyntheticVideos
) -> tuple[Kept, dict[str, Any] | None]:
    """Forecasts or reconstructions: what is to be shown of them, and how good the forecasts are."""
    forecasting = options.what == "forecast"
    evaluation = ForecastEvaluation(options.observed, options.frames) if forecasting else None
    shown = None
    step = EVALUATION_BATCH if forecasting else options.videos
    for start in range(0, options.videos, step):
        batch = videos.batch(START + start, min(step, options.videos - start), options.frames)
        x = batch.tensor(next(scalor.parameters()).device)
        kept = Kept(x[:SHOWN_VIDEOS] if forecasting else x)
        if evaluation is not None:
            samples = forecast(scalor, x, options.observed, options.frames, options.samples)
            evaluation.add(kept.passing(samples), x, batch.truth)
        else:
            for _ in kept.passing(reconstruct(scalor, x, options.samples)):
                pass
        shown = shown or kept
    assert shown is not None  # there is at least one video
    return shown, None if evaluation is None else evaluation.result()


def write(
    options: argparse.Namespace, folder: Path, x: Tensor | None, mean: Tensor | None, samples: list[Generated]
) -> None:
    """Film strips, the player and the arrays.

    :param x: (V, T, C, H, W); None for videos from nothing, as is the mean.
    """
    observed = {"forecast": options.observed, "imagine": 0, "reconstruct": options.frames}[options.what]
    for video in range(len(samples[0].y)):
        rows = [] if x is None else [Row("truth", x[video])]
        rows += [] if mean is None else [Row(f"mean of {options.samples}", mean[video])]
        rows += [Row(f"sample {n}", sample.y[video], sample, video) for n, sample in enumerate(samples, 1)]
        save_strip(folder / f"{options.what}_{video}.png", rows[:SHOWN_ROWS], observed)
        if video == 0:
            write_generation_player(folder / "player.html", rows[:SHOWN_PANELS], observed, f"SCALOR: {options.what}")
    arrays: dict[str, Any] = {"observed": observed}
    for name, parts in zip(Generated._fields, zip(*samples, strict=True), strict=True):
        arrays[name] = torch.stack(parts).numpy()  # (S, V, T, …)
    if x is not None and mean is not None:
        arrays |= {"x": x.numpy(), "mean": mean.numpy()}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(folder / f"{options.what}.npz", content.getvalue())


def main(arguments: list[str] | None = None) -> int:
    """Generate and write; 2 for what the user has to put right."""
    options = parse(arguments)
    try:
        run(checked(options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.")
        return 130
    return 0


def run(options: argparse.Namespace) -> None:
    """All of it, for options that fit together.

    :raises ValueError: for whatever cannot be done, in one sentence.
    """
    config = load_config(options.run)
    scalor = Scalor(config.model)
    load_weights(options.run, scalor)
    scalor.to("cuda" if torch.cuda.is_available() else "cpu")
    pyro.set_rng_seed(options.seed)
    x = mean = result = None
    swapped = laws(options, scalor)
    with swap_prior(swapped) if swapped else nullcontext():
        if options.what == "imagine":
            stream = imagine(scalor, options.frames, options.samples)  # all are kept: they are what is asked for
            samples = [Generated(*(part.cpu() for part in sample)) for sample in stream]
        else:
            shown, result = of_videos(options, scalor, unseen(config, options))
            x, mean, samples = shown.x, shown.mean, shown.samples
    folder = options.out or options.run / "generated" / options.what
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be made ({error.strerror}): a folder was expected.") from error
    write(options, folder, x, mean, samples)
    if result is not None:
        about = {"samples": options.samples, "motion": options.motion, "seed": options.seed}
        write_atomically(folder / "forecast.json", json.dumps(without_nan(result) | about, indent=1).encode())
        print(table(result))
    print(f"Pictures, player.html and arrays are in {folder}.")


if __name__ == "__main__":
    sys.exit(main())
