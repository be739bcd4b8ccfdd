"""What linking does for identities: long synthetic videos, tracked by weights that come with the package.

Scores tracks as they are, linked (by place alone, by place and appearance, and in a stream), and with identities given
by the truth: each track gets that of the object that it follows most often. Videos are of the "test" split, 200 frames
long, of seeds that linking was not tuned on (that was seed 5)::

    python benchmarks/linking.py --out linking.json
    python benchmarks/linking.py --mnist mnist.npz --settings digits-vld --out digits.json

``--picture`` draws the paths of the objects of one video, before and after.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from scalor_pyro.data import GroundTruth, SyntheticVideos
from scalor_pyro.evaluation.metrics import hota, score
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.plots.style import empty_figure
from scalor_pyro.runs.cards import synthetic_card_of
from scalor_pyro.tracks.linking.offline import link
from scalor_pyro.tracks.linking.online import OnlineLinker
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.tracker import load_for_tracking, track_chunks

FRAMES = 200
# Videos of each seed, so that both settings have about as many tracks as they need for a steady figure.
VIDEOS = {"sprites-md": 10, "digits-vld": 20}
SEEDS = (11, 12, 13)
# Frames in which an online track waits for its identity.
DELAY = 5


class Tracked(NamedTuple):
    """A video that was tracked."""

    tracks: Tracks
    appearance: NDArray[np.float32]
    truth: GroundTruth
    image_size: tuple[int, int]


def tracked(name: str, seed: int, count: int, mnist: Path | None) -> Iterator[Tracked]:
    """Long videos like those that some weights were evaluated on."""
    config, _ = synthetic_card_of(name)
    data = replace(config.evaluated, frames=FRAMES)
    videos = SyntheticVideos(data, seed, "test", mnist if data.digits == "mnist" else None)
    run = load_for_tracking(name)
    for index in range(count):
        batch = videos.batch(index, 1)
        frames = np.moveaxis(batch.frames[0], 1, -1)  # (T, H, W, C)
        found = [(each.tracks, each.appearance) for each in track_chunks(run, frames, Options(stride=1))]
        appearance = np.concatenate([part for _, part in found])
        yield Tracked(concatenate([part for part, _ in found]), appearance, batch.truth[0], data.image_size)


def linked(video: Tracked) -> Tracks:
    """By place and appearance."""
    return link(video.tracks, video.appearance, video.image_size).tracks


def linked_by_place(video: Tracked) -> Tracks:
    """As tracks of another program would be."""
    return link(video.tracks, None, video.image_size).tracks


def linked_online(video: Tracked) -> Tracks:
    """In a stream."""
    linker = OnlineLinker(video.image_size, delay=DELAY)
    return concatenate([linker.add(video.tracks, video.appearance), linker.finish()])


def objects_of_rows(tracks: Tracks, truth: GroundTruth) -> Iterator[tuple[int, int]]:
    """Rows that are within one size of a true object, each with the object that it is matched with."""
    for frame in np.unique(tracks.frame):
        here, there = np.nonzero(tracks.frame == frame)[0], np.nonzero(truth.frame == frame)[0]
        apart = np.hypot(tracks.x[here, None] - truth.x[there], tracks.y[here, None] - truth.y[there])
        near = np.where(apart < truth.size[there], apart, 1e3)
        for row, column in zip(*linear_sum_assignment(near), strict=True):
            if near[row, column] < 1e3:
                yield int(here[row]), int(truth.identity[there[column]])


def true_objects(tracks: Tracks, truth: GroundTruth) -> dict[int, int]:
    """By identity of a track, the object that it follows most often."""
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for row, true in objects_of_rows(tracks, truth):
        votes[int(tracks.identity[row])][true] += 1
    return {identity: counted.most_common(1)[0][0] for identity, counted in votes.items()}


def by_truth(video: Tracked) -> Tracks:
    """The oracle: tracks of one object have its identity; of two in a frame, one keeps a number of its own."""
    objects, own = true_objects(video.tracks, video.truth), 10**6
    identity = np.array([objects.get(int(each), own + int(each)) for each in video.tracks.identity])
    order = np.lexsort((identity, video.tracks.frame))
    again = (np.diff(video.tracks.frame[order], prepend=-1) == 0) & (np.diff(identity[order], prepend=-1) == 0)
    identity[order[again]] = 2 * own + video.tracks.identity[order[again]]
    return replace(video.tracks, identity=identity)


METHODS: dict[str, Callable[[Tracked], Tracks]] = {
    "as tracked": lambda video: video.tracks,
    "linked by place alone": linked_by_place,
    f"linked in a stream, {DELAY} frames late": linked_online,
    "linked": linked,
    "identities by the truth": by_truth,
}


def figures_of(results: list[Tracks], videos: list[Tracked]) -> dict[str, float]:
    """Scores of all videos, and identities per video."""
    truths = [video.truth for video in videos]
    scores = score(results, truths)
    return {
        "idf1": scores.idf1,
        "hota": hota(results, truths).hota,
        "mota": scores.mota,
        "switches": scores.switches,
        "identities": float(np.mean([len(np.unique(each.identity)) for each in results])),
        "true_identities": float(np.mean([len(np.unique(truth.identity)) for truth in truths])),
    }


def draw(video: Tracked, path: Path) -> None:
    """x of all objects over time: as tracked, linked, and the links, right (green) and wrong (red)."""
    found = link(video.tracks, video.appearance, video.image_size)
    objects = dict(objects_of_rows(video.tracks, video.truth))
    figure = empty_figure(12, 12)
    axes = figure.subplots(3, 1, sharex=True)
    for axis, tracks in zip(axes, (video.tracks, found.tracks, video.tracks), strict=True):
        for identity in np.unique(tracks.identity):
            rows = tracks.identity == identity
            colour = f"C{identity % 10}" if axis is not axes[2] else "0.8"
            axis.plot(tracks.frame[rows], tracks.x[rows], ".", markersize=2, color=colour)
    order = np.lexsort((video.tracks.frame, found.identity))
    order = order[found.kept[order]]
    for before, after in zip(order[:-1], order[1:], strict=True):
        joined = found.identity[before] == found.identity[after]
        if joined and video.tracks.identity[before] != video.tracks.identity[after]:
            right = objects.get(before, -1) == objects.get(after, -2)
            ends = [before, after]
            axes[2].plot(video.tracks.frame[ends], video.tracks.x[ends], color="green" if right else "red")
    for axis, title in zip(axes, ("as tracked", "linked", "links: right in green, wrong in red"), strict=True):
        axis.set_title(title)
        axis.set_ylabel("x, px")
    axes[2].set_xlabel("frame")
    figure.savefig(path)


def main() -> None:
    """Track, link, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--settings", nargs="+", default=list(VIDEOS), choices=list(VIDEOS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="of the videos")
    parser.add_argument("--videos", type=int, help="of each seed")
    parser.add_argument("--mnist", type=Path, help="mnist.npz, in the layout of Keras")
    parser.add_argument("--picture", type=Path, help="draw the first video of the first seed")
    options = parser.parse_args()
    results: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for name in options.settings:
        for seed in options.seeds:
            videos = list(tracked(name, seed, options.videos or VIDEOS[name], options.mnist))
            of_seed = results.setdefault(name, {})[str(seed)] = {}
            for label, method in METHODS.items():
                of_seed[label] = figures_of([method(video) for video in videos], videos)
                print(name, seed, label, of_seed[label], flush=True)
            if options.picture is not None:
                draw(videos[0], options.picture)
                options.picture = None
    options.out.write_text(json.dumps(results, indent=1))
    print(table(results))


def table(results: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    """Means over seeds, with the range of IDF1."""
    rows = []
    for name, seeds in results.items():
        for label in METHODS:
            each = [figures[label] for figures in seeds.values()]
            mean = {key: float(np.mean([figures[key] for figures in each])) for key in each[0]}
            low, high = min(figures["idf1"] for figures in each), max(figures["idf1"] for figures in each)
            cells = [f"{mean['idf1']:.3f} ({low:.3f}–{high:.3f})", f"{mean['hota']:.3f}", f"{mean['mota']:.3f}"]
            numbers = f"{mean['identities']:.1f} / {mean['true_identities']:.1f}"
            rows.append([name, label, *cells, f"{mean['switches']:.0f}", numbers])
    return markdown_table(["", "", "IDF1 (seeds)", "HOTA", "MOTA", "switches", "identities / true"], rows)


if __name__ == "__main__":
    main()
