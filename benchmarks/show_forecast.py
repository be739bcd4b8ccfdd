"""A picture of how people may walk on, given five frames (after the paper's Figure 14), in a scene that may be shown.

    python benchmarks/show_forecast.py --out runs/walkers-forecast --minutes 5
    python benchmarks/show_forecast.py --out runs/street-forecast --video street.mp4 --trained-on 2000

People walk over a square, drawn by ``made_up_scenes.py`` with a seed of its own; --video takes another video. A model
is trained from random weights on the first frames, and forecasts the next ones: forecast_0.png has the truth, the mean
and single samples, five frames seen and ten predicted. Each step is a command that ``scalor`` has, too.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from made_up_scenes import VIDEO, write

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError

# Not the seed of the scenes that are reported on.
SCENE, SEED = "walkers", 21
# Frames of the scene that the model is trained on; the forecast begins after them.
TRAINED_ON = 90
OBSERVED, SHOWN = 5, 15


def scalor(arguments: Sequence[str]) -> None:
    """Run a command of the package, and show it.

    :raises ConfigError: if it fails; what is wrong, it says itself.
    """
    print("scalor", *arguments, flush=True)
    status = subprocess.run([sys.executable, "-m", "scalor_pyro", *arguments], check=False).returncode
    if status:
        raise ConfigError(f"scalor {arguments[0]}: expected exit status 0, got {status}.")


def commands(video: Path, out: Path, trained_on: int, minutes: float, seed: int) -> list[list[str]]:
    """Training on the first frames, and the forecast of those after them."""
    run, end = str(out / "run"), str(trained_on)
    train = ["train", str(video), "--out", run, "--from-scratch", "--minutes", f"{minutes:g}", "--seed", str(seed)]
    asked = ["--start", end, "--observed", str(OBSERVED), "--frames", str(SHOWN), "--overwrite"]
    return [
        [*train, "--stop", end],
        ["generate", str(video), "--weights", run, "--out", str(out / "forecast"), *asked],
    ]


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw the scene, train, and forecast."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the scene, the run and the forecast")
    add("--video", type=Path, metavar="FILE", help="instead of the made-up scene")
    help_text = "frames of the video to train on; the forecast begins after them (default: %(default)s)"
    add("--trained-on", type=int, default=TRAINED_ON, metavar="N", help=help_text)
    add("--minutes", type=float, default=5.0, metavar="M", help="of training (default: %(default)g)")
    add("--seed", type=int, default=0, help="of the training (default: %(default)s)")
    options = parser.parse_args(arguments)
    video = options.video
    if video is None:
        video = options.out / SCENE / VIDEO
        if not video.exists():
            write(options.out, SCENE, SEED)
    for each in commands(video, options.out, options.trained_on, options.minutes, options.seed):
        if each[0] != "train" or not (options.out / "run").exists():
            scalor(each)
    print(f"The picture is {options.out / 'forecast' / 'forecast_0.png'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
