"""Run docs/tutorial.md, and update the output of its commands and its pictures.

python benchmarks/record_tutorial.py --out recording

This takes some minutes. The folder keeps the output of each command, so a second call runs only the missing ones.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
from PIL import Image

from scalor_pyro.cli import main as scalor
from scalor_pyro.cli.errors import command
from scalor_pyro.files import write_atomically

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "tutorial.md"
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The output of each command, in the folder.
PRINTED = Path("printed.json")
# Frames of a video shown side by side, px between them, and colours of a picture in docs/images.
SHOWN, GAP, COLOURS = (8, 24, 40), 10, 256


def recorded(page: str) -> str:
    """The page, with the output of its commands in each text block that follows them."""
    printed: dict[str, str] = json.loads(PRINTED.read_text(encoding="utf-8")) if PRINTED.exists() else {}
    names: dict[str, Any] = {"__name__": "tutorial"}
    last: list[str] = []  # commands since the last block of text

    def replaced(block: re.Match[str]) -> str:
        language, code = block.groups()
        if language == "python":
            line = page.count("\n", 0, block.start(2))  # so that an error names the page's own line
            exec(compile("\n" * line + code, str(PAGE), "exec"), names)
        elif language == "sh":
            last[:] = commands(code)
            for command in last:
                if command not in printed:
                    printed[command] = output_of(command)
                    write_atomically(PRINTED, json.dumps(printed, indent=1).encode())
        elif last:
            text = "\n\n".join(printed[command].strip("\n") for command in last)
            return f"```text\n{text}\n```"
        return block[0]

    return BLOCK.sub(replaced, page)


def commands(code: str) -> list[str]:
    """The lines that run a command of this project, except for --help."""
    return [line for line in code.splitlines() if line.startswith("scalor ") and "--help" not in line]


def output_of(command: str) -> str:
    """Run a command.

    :raises ValueError: if it fails.
    """
    print(f"$ {command}")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = scalor(shlex.split(command)[1:])
    if status:
        raise ValueError(f"{command}: expected exit status 0, got {status}.")
    return out.getvalue()


def save_pictures(folder: Path) -> None:
    """The pictures of the page, from the files that its commands left in this folder."""
    beside(frames_of("tracks/digits-tracks.mp4", SHOWN)).save(folder / "tutorial-digits.png", optimize=True)
    beside(frames_of("tracks/sprites-tracks.mp4", SHOWN)).save(folder / "tutorial-sprites.png", optimize=True)
    with Image.open("forecast/forecast_0.png") as strip:
        strip.convert("RGB").quantize(COLOURS).save(folder / "tutorial-forecast.png", optimize=True)


def frames_of(path: str, numbers: Sequence[int]) -> Iterator[Image.Image]:
    """Some frames of a video."""
    with av.open(path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in numbers:
                yield frame.to_image()


def beside(images: Iterator[Image.Image]) -> Image.Image:
    """Pictures of one size, from left to right."""
    row = list(images)
    width, height = row[0].size
    joined = Image.new("RGB", (len(row) * (width + GAP) - GAP, height), "white")
    for place, image in enumerate(row):
        joined.paste(image, (place * (width + GAP), 0))
    return joined.quantize(COLOURS)


@command
def main(arguments: list[str] | None = None) -> int:
    """Go through the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to run it in")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    os.chdir(options.out)
    write_atomically(PAGE, recorded(PAGE.read_text(encoding="utf-8")).encode())
    save_pictures(DOCS / "images")
    print(f"{PAGE} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
