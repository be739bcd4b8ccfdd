"""Tracks: what the posterior says of one video as rows of (frame, identity, box), and MOTChallenge text.

Positions and sizes are in pixels: x to the right, y down, the left and top borders of the image are 0 and
pixel i spans [i, i + 1]. Frames count from 0 here; the MOTChallenge format counts frames, identities and
pixels from 1, and only :func:`write_mot` and :func:`read_mot` know of that.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.posterior import Inference
from scalor_pyro.run_folder import write_atomically

# An object is reported where its presence is above this: more likely there than not.
REPORTED_PRESENCE = 0.5

# MOTChallenge counts frames, identities and pixels from 1.
MOT_FIRST = 1

# A line of MOTChallenge text has 7 columns that mean something here, and 3 (a 3D position) that do not.
MOT_COLUMNS = ("frame", "id", "bb_left", "bb_top", "bb_width", "bb_height", "conf")
MOT_UNUSED = 3


@dataclass(frozen=True, eq=False)
class Tracks:
    """The reported objects of one video, one row for each object in each frame; all arrays have length R.

    :param frame: integers, from 0.
    :param identity: integers, from 0; the same object has the same identity in every frame.
    :param x: px, centre.
    :param y: px, centre.
    :param width: px, of the box.
    :param height: px, of the box.
    :param presence: in [0, 1].
    :param depth: of the depth latent; NaN where it is not known.
    :raises ValueError: for arrays of different lengths, negative frames or identities, values that are not
        finite, and an identity that appears twice in a frame.
    """

    frame: NDArray[np.int64]
    identity: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    presence: NDArray[np.float64]
    depth: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            shape = np.shape(getattr(self, name))
            if shape != (len(self.frame),):
                raise ValueError(f"Tracks.{name} has shape {shape}, but {(len(self.frame),)} was expected.")
        for name in ("frame", "identity"):
            values = getattr(self, name)
            if len(values) and (values.dtype.kind not in "iu" or values.min() < 0):
                raise ValueError(
                    f"Tracks.{name} holds {values.min()} ({values.dtype}), but integers from 0 were expected."
                )
        for name in ("x", "y", "width", "height", "presence"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"Tracks.{name} holds values that are not finite, but numbers were expected.")
        pairs, counts = np.unique(np.stack([self.frame, self.identity]), axis=1, return_counts=True)
        if (counts > 1).any():
            frame, identity = pairs[:, counts > 1][:, 0]
            raise ValueError(f"Identity {identity} appears more than once in frame {frame}, but once was expected.")

    def __len__(self) -> int:
        """R, the number of rows."""
        return len(self.frame)


def reported(inference: Inference) -> Tensor:
    """Which slots hold an object that is reported: present, and with its centre inside the view.

    An object whose centre has left is still carried by the model, but nobody could check it.

    :return: (B, T, K) bool.
    """
    centre_inside = (inference.where[..., 2:].abs() <= 1).all(-1)  # (B, T, K)
    return (inference.presence > REPORTED_PRESENCE) & centre_inside


def boxes(where: Tensor, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes in pixels from z_where.

    :param where: (…, 4): (s_x, s_y, t_x, t_y) in image coordinates.
    :param image_size: H, W in px.
    :return: (…, 4): centre x, centre y, width, height in px.
    """
    height, width = image_size
    scale_x, scale_y, shift_x, shift_y = where.detach().cpu().double().unbind(-1)
    x, y = (shift_x + 1) / 2 * width, (shift_y + 1) / 2 * height
    return np.stack([x.numpy(), y.numpy(), (scale_x * width).numpy(), (scale_y * height).numpy()], axis=-1)


def tracks_of(inference: Inference, image_size: tuple[int, int]) -> list[Tracks]:
    """The tracks of each video of a batch.

    :param inference: what the posterior says of B videos.
    :param image_size: H, W in px.
    :return: B tracks, rows in order of frames.
    """
    keep = reported(inference).cpu().numpy()
    identity = inference.identity.cpu().numpy()
    box = boxes(inference.where, image_size)  # (B, T, K, 4)
    presence = inference.presence.detach().cpu().double().numpy()
    depth = inference.depth.detach().cpu().double().numpy()
    tracks = []
    for b, kept in enumerate(keep):
        frame, _ = np.nonzero(kept)
        x, y, width, height = box[b][kept].T
        tracks.append(Tracks(frame, identity[b][kept], x, y, width, height, presence[b][kept], depth[b][kept]))
    return tracks


def write_mot(path: str | os.PathLike[str], tracks: Tracks) -> None:
    """Write the tracks of one video as MOTChallenge text: a line for each object in each frame.

    Columns: frame, id, bb_left, bb_top, bb_width, bb_height, conf, -1, -1, -1; counted from 1, boxes in px with
    four decimals, conf is the presence. The depth is not written. The file appears whole or not at all.
    """
    left, top = tracks.x - tracks.width / 2 + MOT_FIRST, tracks.y - tracks.height / 2 + MOT_FIRST
    numbers = np.stack([left, top, tracks.width, tracks.height, tracks.presence], axis=1)
    lines = []
    for row in np.lexsort((tracks.identity, tracks.frame)):
        key = f"{tracks.frame[row] + MOT_FIRST},{tracks.identity[row] + MOT_FIRST}"
        lines.append(",".join([key, *(f"{number:.4f}" for number in numbers[row]), *["-1"] * MOT_UNUSED]) + "\n")
    write_atomically(Path(path), "".join(lines).encode())


def read_mot(path: str | os.PathLike[str]) -> Tracks:
    """Read tracks from MOTChallenge text, as :func:`write_mot` writes it; empty lines are passed over.

    :return: the tracks, with a depth of NaN: the format has none.
    :raises ValueError: for a malformed line (its number and what is wrong), or an identity twice in a frame.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    rows = []
    seen: dict[tuple[int, int], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = _parse_mot(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        first = seen.setdefault((row[0], row[1]), number)
        if first != number:
            raise ValueError(f"{path}, line {number}: id {row[1]} was already in frame {row[0]}, in line {first}.")
        rows.append(row)
    return _from_mot(rows)


def _parse_mot(line: str) -> tuple[int, int, Sequence[float]]:
    parts = [part.strip() for part in line.split(",")]
    if not len(MOT_COLUMNS) <= len(parts) <= len(MOT_COLUMNS) + MOT_UNUSED:
        raise ValueError(
            f"it has {len(parts)} columns, but {len(MOT_COLUMNS)} to {len(MOT_COLUMNS) + MOT_UNUSED} were expected."
        )
    counts = [_counted(name, part) for name, part in zip(MOT_COLUMNS[:2], parts[:2], strict=True)]
    numbers = [_finite(name, part) for name, part in zip(MOT_COLUMNS[2:], parts[2:], strict=False)]
    for name, number in zip(MOT_COLUMNS[4:6], numbers[2:4], strict=True):
        if number < 0:
            raise ValueError(f"{name} is {number}, but a size of 0 or more was expected.")
    return counts[0], counts[1], numbers


def _counted(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= MOT_FIRST):
        raise ValueError(f"{name} is {text!r}, but an integer from {MOT_FIRST} was expected.")
    return int(text)


def _finite(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {text!r}, but a finite number was expected.")
    return number


def _from_mot(rows: Sequence[tuple[int, int, Sequence[float]]]) -> Tracks:
    counts = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2) - MOT_FIRST
    numbers = np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, len(MOT_COLUMNS) - 2)
    left, top, width, height, presence = numbers.T
    x, y = left - MOT_FIRST + width / 2, top - MOT_FIRST + height / 2
    return Tracks(counts[:, 0], counts[:, 1], x, y, width, height, presence, np.full(len(rows), np.nan))
