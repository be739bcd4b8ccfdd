"""Make the picture of docs/report.md: the report of a made-up video, seen by a browser without a window.

python benchmarks/show_report.py --out docs/images/report.png

Prints how large the report is, and how many seconds of a core it took.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from scalor_pyro.config import DataConfig
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.plots.report import About, write_report
from scalor_pyro.tracks.table import from_dataframe
from scalor_pyro.tracks.tracking import track
from scalor_pyro.video import Video

# px of the browser's window.
WINDOW = (1100, 1300)
# What is tracked, and the seed of the video.
DATA = DataConfig("sprites", 8, 11, object_size=18.0, image_size=(192, 288), frames=100)
SEED = 7
# The frame that is shown, and milliseconds for the browser to get there.
SHOWN, PATIENCE = 60, 4000
PAUSE = """<script>addEventListener("load", () => setTimeout(() => {
  const seek = document.getElementById("seek");
  seek.value = %d;
  seek.dispatchEvent(new Event("input"));
}, 1000));</script></body>"""


def main() -> None:
    """Make the video, track it, write the report and photograph it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the picture, PNG")
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        parser.error("there is no chromium.")
    made = SyntheticVideos(DATA, SEED, "test").batch(0, 1, DATA.frames)
    frames = np.ascontiguousarray(made.frames[0].transpose(0, 2, 3, 1))
    tracks = from_dataframe(track(frames, device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        page, begun = Path(folder) / "sprites.html", time.process_time()
        write_report(page, tracks, Video(frames), About("sprites.npy", "weights any-scene", "sprites.csv"))
        print(f"{page.stat().st_size / 1e6:.2f} MB, {time.process_time() - begun:.1f} s of a core")
        text = page.read_text(encoding="utf-8").replace("</body>", PAUSE % SHOWN)
        page.write_text(text, encoding="utf-8")
        line = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        line += [f"--window-size={WINDOW[0]},{WINDOW[1]}", f"--virtual-time-budget={PATIENCE}"]
        line += [f"--user-data-dir={folder}/profile", f"--screenshot={options.out.absolute()}"]
        subprocess.run([*line, page.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
