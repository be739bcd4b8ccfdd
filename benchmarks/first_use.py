"""From an empty environment to a report: how long it takes a new user.

    python benchmarks/first_use.py vtest.avi --out runs/first-use

Makes a virtual environment in --out, installs this checkout there with the versions of constraints.txt, tracks a video
with no option, and prints a table: seconds of each step by the clock and by the processor. One thread computes. --pip
goes to the first `pip install`, which installs torch, as a mirror or `torch==2.13.0` for the CPU build may need.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from scalor_pyro.cli.errors import command
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance

CHECKOUT = Path(__file__).resolve().parent.parent


def timed(arguments: list[str]) -> tuple[float, float]:
    """Run a command; seconds by the clock, and of the processor.

    :raises CalledProcessError: if it fails.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(arguments, check=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


@command
def main(arguments: list[str] | None = None) -> int:
    """Install, track, and say how long it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder")
    parser.add_argument("--pip", nargs="+", default=["torch"], metavar="ARG", help="of the first pip install")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True)
    env, tracks = options.out / "env", options.out / "tracks"
    install = [str(env / "bin" / "pip"), "install", "--quiet"]
    pins = ["--constraint", str(CHECKOUT / "constraints.txt")]
    steps = {
        "environment": [sys.executable, "-m", "venv", str(env)],
        "install torch": [*install, *options.pip],
        "install scalor_pyro": [*install, *pins, str(CHECKOUT)],
        "track, and report": [str(env / "bin" / "scalor"), "track", str(options.video), "--out", str(tracks)],
    }
    took = {name: timed(step) for name, step in steps.items()}
    took["together"] = (sum(clock for clock, _ in took.values()), sum(used for _, used in took.values()))
    print(markdown_table(["", "s", "s of the processor"], [[k, f"{a:.0f}", f"{b:.0f}"] for k, (a, b) in took.items()]))
    results = {"seconds": took, "provenance": provenance(MadeBy(command_line(__file__, arguments)), "cpu")}
    write_atomically(options.out / "results.json", json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
