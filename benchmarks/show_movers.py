"""A picture of made-up movers, as the model for any scene sees them, with their masks and what the model tracks.

    python benchmarks/show_movers.py --out docs/images/movers.png
    python benchmarks/show_movers.py --weights runs/any-scene --first 100 --out movers.png

Each row is a video that no training sees: frames as differences from the scene with the boxes of tracks, and, of the
last of them, the masks of the truth. Colours are those of identities.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scalor_pyro import Scalor
from scalor_pyro.cli.errors import command
from scalor_pyro.colours import identity_colour
from scalor_pyro.config.movers import any_scene
from scalor_pyro.data import MoverVideos
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import infer
from scalor_pyro.tracks.table import Tracks, tracks_of

# Videos of a column and columns, frames of a video, how much each is enlarged, px between pictures, and colours.
ROWS, COLUMNS, SHOWN, ENLARGED, GAP, COLOURS = 8, 2, (0, 5, 10, 15), 2, 2, 256
Picture = NDArray[np.uint8]


def colour_of(identity: int) -> tuple[int, ...]:
    """An identity's colour, from 0 to 255."""
    return tuple(round(255 * part) for part in identity_colour(identity))


def with_boxes(frame: Picture, tracks: Tracks, number: int) -> Picture:
    """A frame (3, H, W), enlarged, with the boxes of its tracks. (H', W', 3)"""
    image = Image.fromarray(frame.transpose(1, 2, 0))
    image = image.resize((image.width * ENLARGED, image.height * ENLARGED), Image.Resampling.NEAREST)
    drawing, here = ImageDraw.Draw(image), tracks.rows(tracks.frame == number)
    for x, y, width, height, identity in zip(here.x, here.y, here.width, here.height, here.identity, strict=True):
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        drawing.rectangle([ENLARGED * corner for corner in corners], outline=colour_of(int(identity)))
    return np.asarray(image)


def masks_in_colour(mask: NDArray[np.int16]) -> Picture:
    """The masks of a frame (H, W), enlarged. (H', W', 3)"""
    image = np.zeros((*mask.shape, 3), np.uint8)
    for identity in np.unique(mask[mask >= 0]):
        image[mask == identity] = colour_of(int(identity))
    return image.repeat(ENLARGED, 0).repeat(ENLARGED, 1)


def picture(scalor: Scalor, videos: MoverVideos, first: int) -> Picture:
    """Some videos of a stream with their tracks and masks."""
    batch = videos.batch(first, ROWS * COLUMNS)
    tracks = tracks_of(infer(scalor, batch.tensor()), videos.config.image_size)
    rows = []
    for frames, found, masks in zip(batch.frames, tracks, batch.masks, strict=True):
        row = [with_boxes(frames[number], found, number) for number in SHOWN] + [masks_in_colour(masks[SHOWN[-1]])]
        rows.append(
            np.concatenate([np.pad(each, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for each in row], 1)
        )
    columns = [np.concatenate(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)]
    between = np.full((len(columns[0]), 4 * GAP, 3), 255, np.uint8)
    return np.concatenate([part for column in columns for part in (column, between)][:-1], 1)


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", default="any-scene", metavar="RUN", help="default: %(default)s")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="first video (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    options = parser.parse_args(arguments)
    found = picture(Scalor.from_pretrained(options.weights), MoverVideos(any_scene().movers, 0, "test"), options.first)
    png = io.BytesIO()
    Image.fromarray(found).quantize(COLOURS).save(png, format="png", optimize=True)
    write_atomically(options.out, png.getvalue())
    print(f"{options.out} shows videos {options.first} to {options.first + ROWS * COLUMNS - 1}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
