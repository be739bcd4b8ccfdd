"""What needs no training on public benchmarks: components of one colour, linked by laptrack or OC-SORT.

    pip install '.[rivals,hota]'
    python benchmarks/public_rivals.py --benchmark sprites-mot --record
    python benchmarks/public_rivals.py --benchmark balls --linker oc-sort --record

The most common colour of a video is its background. Pixels of other colours that touch and are nearly of one colour are
a component; what is left over, soft borders above all, belongs to the nearest component. The linker has the settings of
``pipelines.py``, but for tracks of any length. The scores are those of ``public.py``.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pipelines import Detections, Lap, OcSort, link_lap, link_oc_sort, require
from public import TRACKED, parts_of, print_whole_videos, table
from public_records import RECORDS, record_name
from records import without_folders
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from scalor_pyro.cli.errors import command
from scalor_pyro.config import PublicData
from scalor_pyro.config.options import add_option, given
from scalor_pyro.config.public import LENGTHS, STREAM_FRAMES
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation.masks import MaskScorer, mask_table
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.mot_challenge import Scorer
from scalor_pyro.experiments.public_scores import MATCHINGS, TEST_SEED, scores_of_tracks, tracks_of_truth
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.table import Tracks

# Levels of 255 by which neighbours of one colour differ at most, in any channel; and an object from the background.
ALIKE, APART = 30, 30
# px; smaller components are borders.
LEAST = 6
# px from a component, up to which what is left over belongs to it.
NEAR = 2.0

Labels = NDArray[np.int64]


class Found(NamedTuple):
    """The components of a video, and their tracks."""

    labels: Labels  # (T, H, W) 0: background, else 1 + the component's row in the detections
    tracks: Tracks
    row: NDArray[np.int64]  # of each row of the tracks: the detection, -1 if it is none


def components(frame: NDArray[np.uint8], background: NDArray[np.uint8]) -> Labels:
    """Components of one colour. (3, H, W), (3,) → (H, W), 0: background, others from 1"""
    colour = frame.astype(np.int16)
    shown = np.abs(colour - background.astype(np.int16)[:, None, None]).max(0) > APART
    index = np.arange(shown.size).reshape(shown.shape)
    pairs = []
    for one, other in ((np.s_[..., :-1], np.s_[..., 1:]), (np.s_[..., :-1, :], np.s_[..., 1:, :])):
        alike = np.abs(colour[one] - colour[other]).max(0) <= ALIKE
        joined = alike & shown[one] & shown[other]
        pairs.append((index[one][joined], index[other][joined]))
    rows, columns = (np.concatenate(each) for each in zip(*pairs, strict=True))
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(shown.size, shown.size))
    _, label = connected_components(graph, directed=False)
    label = label.reshape(shown.shape)
    kept = (np.bincount(label.ravel())[label] >= LEAST) & shown
    names, order = np.unique(label[kept], return_inverse=True)
    labels = np.zeros(shown.shape, np.int64)
    labels[kept] = np.arange(1, len(names) + 1)[order]
    if kept.any():
        distance, nearest = ndimage.distance_transform_edt(~kept, return_indices=True)
        labels = np.where(shown & (distance <= NEAR), labels[tuple(nearest)], labels)
    return labels


def background_of(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The most common colour. (T, 3, H, W) → (3,)"""
    colours, counts = np.unique(frames.transpose(0, 2, 3, 1).reshape(-1, 3), axis=0, return_counts=True)
    most: NDArray[np.uint8] = colours[counts.argmax()]
    return most


def found_in(frames: NDArray[np.uint8], linker: str) -> Found:
    """Components and tracks of a video (T, 3, H, W)."""
    background, labels, boxes, times, known = background_of(frames), [], [], [], 0
    for t, frame in enumerate(frames):
        label = components(frame, background)
        here = ndimage.find_objects(label)
        boxes += [(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in here]
        times += [t] * len(here)
        labels.append(np.where(label > 0, label + known, 0))
        known += len(here)
    found = Detections(np.array(times, np.int64), np.array(boxes, np.float64).reshape(-1, 4))
    tracks = linked(found, linker)
    return Found(np.stack(labels), tracks, _rows(found, tracks))


def linked(found: Detections, linker: str) -> Tracks:
    """Tracks by a linker."""
    if linker == "oc-sort":
        return link_oc_sort(found, OcSort(minimum_consecutive_frames=1))
    size = float(np.median(np.sqrt(found.box[:, 2:].prod(1)))) if len(found.box) else 1.0
    return link_lap(found, size, Lap(shortest=1))


def _rows(found: Detections, tracks: Tracks) -> NDArray[np.int64]:
    """The detection that each row of the tracks is."""
    at = {(int(t), *map(float, box)): row for row, (t, box) in enumerate(zip(found.frame, found.box, strict=True))}
    corners = np.stack([tracks.x - tracks.width / 2, tracks.y - tracks.height / 2, tracks.width, tracks.height], 1)
    return np.array([at.get((int(t), *map(float, box)), -1) for t, box in zip(tracks.frame, corners, strict=True)])


def masks_of(found: Found) -> Labels:
    """Components named by their tracks: 0 background, else identity + 1."""
    names = np.zeros(int(found.labels.max()) + 1, np.int64)
    there = found.row >= 0
    names[found.row[there] + 1] = found.tracks.identity[there] + 1
    return names[found.labels]


def masks(videos: PublicVideos, options: argparse.Namespace) -> dict[str, Any]:
    """Masks in short videos."""
    scorer = MaskScorer()
    for index in range(options.videos):
        video = videos.video(index, videos.config.frames)
        scorer.add(masks_of(found_in(video.frames, options.linker)), video.masks.astype(np.int64) + 1)
    scores = {f"mask_{name}": value for name, value in vars(scorer.total()).items()}
    print(f"Masks, {options.videos} videos, in percent\n{mask_table({options.linker: scores})}\n")
    return {"masks": {"videos": options.videos, "offline": scores}}


def sequence(videos: PublicVideos, options: argparse.Namespace) -> dict[str, Any]:
    """Boxes over one long sequence."""
    stream = PublicVideos(
        PublicData(videos.config.benchmark, options.sequence, videos.config.digits), videos.seed, "test"
    )
    stream.bank = videos.bank
    video, scorer = stream.video(0, options.sequence), Scorer(MATCHINGS["boxes"])
    scorer.add("sequence", found_in(video.frames, options.linker).tracks, tracks_of_truth(video.truth))
    scores = scorer.total()
    print(f"Boxes, a sequence of {options.sequence} frames\n{table({options.linker: scores})}")
    return {"boxes": {"frames": options.sequence, "offline": scores}}


def whole_videos(videos: PublicVideos, options: argparse.Namespace) -> dict[str, Any]:
    """Tracks of whole videos, and identities through occlusion."""
    made = (videos.video(index, videos.config.frames) for index in range(options.tracked))
    found = scores_of_tracks((found_in(each.frames, options.linker).tracks, each.truth) for each in made)
    print_whole_videos({options.linker: found}, options.tracked)
    return {"tracks": {"videos": options.tracked, "offline": found}}


def parts(videos: PublicVideos, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The scores of each part of a benchmark."""
    ours = {"masks": masks, "sequence": sequence, "whole_videos": whole_videos}
    for part in parts_of(videos, options):
        if part.__name__ in ours:  # a linker forecasts nothing
            yield ours[part.__name__](videos, options)


@command
def main(arguments: list[str] | None = None) -> int:
    """Score, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    for name in ("benchmark", "digits"):
        add_option(parser, PublicData, name)
    add("--linker", choices=["laptrack", "oc-sort"], default="laptrack", help="default: %(default)s")
    add("--mnist", type=Path, metavar="FILE", help="MNIST, for digits")
    add("--videos", type=int, default=1000, metavar="N", help="videos for masks, 0 for none (default: %(default)s)")
    length = f"frames of the sequence, 0 for none (default: {STREAM_FRAMES})"
    add("--sequence", type=int, default=STREAM_FRAMES, metavar="T", help=length)
    add("--tracked", type=int, default=TRACKED, metavar="N", help="videos of balls (default: %(default)s)")
    add("--record", action="store_true", help="keep the scores in docs/records/public")
    options = parser.parse_args(arguments)
    options.forecast = 0
    require(["laptrack"] if options.linker == "laptrack" else ["trackers", "supervision"])
    data = PublicData(**given(options, PublicData))
    videos = PublicVideos(
        PublicData(data.benchmark, LENGTHS.get(data.benchmark, data.frames), data.digits),
        TEST_SEED,
        "test",
        options.mnist,
    )
    kept: dict[str, Any] = {
        "benchmark": data.benchmark,
        "weights": f"colour-components-{options.linker}",
        "training": None,
        "seed": TEST_SEED,
        "provenance": provenance(MadeBy(without_folders(command_line(__file__, arguments))), "cpu"),
    }
    for part in parts(videos, options):
        kept |= part
    if options.record:
        RECORDS.mkdir(parents=True, exist_ok=True)
        write_atomically(RECORDS / record_name(kept), (json.dumps(without_nan(kept), indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
