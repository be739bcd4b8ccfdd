"""Scalor without training beside what people use today: trackpy, and background subtraction with two linkers.

    pip install '.[rivals,hota]'
    python benchmarks/rivals.py FOLDER --out runs/rivals --halve pets --record docs/records/rivals.json
    python benchmarks/rivals.py SCENES --out runs/scenes --untuned --record docs/records/made_up_scenes.json
    python benchmarks/rivals.py FOLDER --out runs/rivals --again scalor scalor-online
    python benchmarks/rivals.py FOLDER --out runs/rivals --trained zfish --record docs/records/rivals.json

FOLDER holds a folder for each video: one video file, and gt.txt in MOTChallenge text (``any_scene.py``). Each rival is
tuned with the truth of the first half of the video: all settings of finding (FINDING, SPOTS) are ranked by the F1 score
of their boxes, and the best few are linked with all settings of the linker (LAP, OC_SORT, LINK); the largest
MOTA + IDF1 wins. ``--untuned`` takes default settings and the size of the blobs instead. Scalor gets no option:
``scalor`` is `scalor track`, ``scalor-online`` sees no later frame and links nothing. For the videos that --trained
names, there is also `scalor train` on the video itself, without its truth, for 2 and 10 minutes, as by default and from
scratch.

All are scored on the second half, and on the whole video. Results are kept in --out, a file for each video and method,
and are not made again unless --again names the method; runs of `scalor train` are kept even then. Frames a second are
those of the processor's time of one thread, for everything from the file to the tracks; for scalor, that includes the
start of Python and all its files.
"""

import argparse
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from adapting import train
from any_scene import MATCHINGS, SHOWN, TRUTH, Annotated, annotated, scored, tracked
from pipelines import (
    Blobs,
    Bytes,
    Detections,
    Lap,
    Link,
    OcSort,
    Spots,
    blobs,
    boxed,
    differences,
    link_lap,
    link_oc_sort,
    link_spots,
    require,
    spots,
    strong,
    tracks_of,
    typical_size,
)
from records import without_folders
from scipy.optimize import linear_sum_assignment

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.mot_challenge import Scorer, frames_of
from scalor_pyro.evaluation.tables import markdown_table, shown
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.provenance import PACKAGE, MadeBy, command_line, provenance, source_of
from scalor_pyro.tracks.table import Tracks
from scalor_pyro.tracks.text import read_mot, write_mot

# What each setting is tried with, when tuned.
FINDING = [
    Blobs(*each)
    for each in itertools.product((0.4, 0.6, 0.8, 1.0), (0.0, 0.15, 0.3), (0.06, 0.12, 0.25), (False, True))
]
SPOTS = [Spots(*each) for each in itertools.product((0.7, 1.0, 1.4), (0.06, 0.12, 0.25, 0.4, 0.6))]
LAP = [Lap(*each) for each in itertools.product((0.5, 1.0, 1.6), (3, 10), (1, 5))]
OC_SORT = [OcSort(*each) for each in itertools.product((0.05, 0.15, 0.3), (10, 40), (1, 3))]
LINK = [Link(*each) for each in itertools.product((0.5, 0.8, 1.2), (3, 10), (False, True), (4,))]
# Settings of finding that are linked with all settings of the linker, and about how many frames rank them.
BEST, RANKED_BY = 3, 120
# The options of `scalor track`.
SCALOR = {"scalor": [], "scalor-online": ["--lookahead", "0", "--no-link"]}
# … and of `scalor train` before it.
TRAINED = {
    "scalor-trained-2": ["--minutes", "2"],
    "scalor-trained-10": ["--minutes", "10"],
    "scalor-scratch-2": ["--from-scratch", "--minutes", "2"],
    "scalor-scratch-10": ["--from-scratch", "--minutes", "10"],
}
RIVALS = ("trackpy", "laptrack", "oc-sort")
NEEDED = ("cv2", "trackpy", "laptrack", "trackers", "supervision")


class Case(NamedTuple):
    """A video, and what is known of its objects: from the truth of its first half, or from its blobs."""

    video: Path
    truth: Tracks
    frames: int
    size: float  # px, side of an object
    box: tuple[float, float]  # px, the box of an object where the method gives none
    per_frame: float  # objects

    @property
    def half(self) -> int:
        """The frame with which the second half begins."""
        return self.frames // 2


class Chosen(NamedTuple):
    """A pipeline with its settings."""

    run: Callable[[Bytes], Tracks]  # from differences to tracks
    settings: dict[str, Any]


# ------------------------------------------------------------------ pipelines with settings


def by_blobs(case: Case, how: Blobs, linker: Lap | OcSort) -> Chosen:
    """Subtraction and a linker."""

    def run(apart: Bytes) -> Tracks:
        return linked(case, found_by(case, apart, how), linker)

    return Chosen(run, {**asdict(how), **asdict(linker)})


def by_spots(case: Case, how: Spots, linker: Link) -> Chosen:
    """trackpy."""

    def run(apart: Bytes) -> Tracks:
        return linked(case, found_by(case, apart, how), linker)

    return Chosen(run, {"diameter": how.diameter, "mass": how.mass, **asdict(linker)})


def linked(case: Case, found: Detections, linker: Lap | OcSort | Link) -> Tracks:
    """Tracks by any linker."""
    if isinstance(linker, OcSort):
        return link_oc_sort(found, linker)
    if isinstance(linker, Lap):
        return link_lap(found, case.size, linker)
    return link_spots(found, case.size, linker)


# ------------------------------------------------------------------ tuning


def tuned(case: Case, method: str, apart: Bytes) -> Chosen:
    """The best settings of a method on the first half of a video, by its truth."""
    apart, truth = apart[: case.half], case.truth.rows(case.truth.frame < case.half)
    if method == "trackpy":
        how, linker = _best_of(case, _ranked(case, apart, truth, SPOTS), LINK, apart, truth)
        return by_spots(case, how, linker)
    linkers = LAP if method == "laptrack" else OC_SORT
    how, linker = _best_of(case, _ranked(case, apart, truth, FINDING), linkers, apart, truth)
    return by_blobs(case, how, linker)


def found_by(case: Case, apart: Bytes, how: Blobs | Spots) -> Detections:
    """Boxes without identities."""
    if isinstance(how, Blobs):
        return blobs(apart, case.size, how)
    return boxed(strong(spots(apart, case.size, how.diameter), how.mass, case.per_frame), case.box)


def _ranked(case: Case, apart: Bytes, truth: Tracks, settings: Sequence[Any]) -> list[Any]:
    """Ways of finding, by the F1 score of their boxes in some of the frames."""
    every = max(1, round(len(apart) / RANKED_BY))
    some = truth.rows(truth.frame % every == 0)
    some = replace(some, frame=some.frame // every)
    return sorted(settings, key=lambda how: -detection_f1(found_by(case, apart[::every], how), some))


def _best_of(case: Case, ranked: Sequence[Any], linkers: Sequence[Any], apart: Bytes, truth: Tracks) -> tuple[Any, Any]:
    """The largest MOTA + IDF1 among the best ways of finding, each with all linkers."""
    scores = {}
    for how in ranked[:BEST]:
        detections = found_by(case, apart, how)
        for linker in linkers:
            scorer = Scorer(MATCHINGS["centres"])
            scorer.add("half", linked(case, detections, linker), truth)
            total = scorer.total()
            scores[how, linker] = total["mota"] + np.nan_to_num(total["idf1"])
    return max(scores, key=lambda each: scores[each])


def detection_f1(found: Detections, truth: Tracks) -> float:
    """Of boxes without identities, by centres within one size."""
    matching, matched, reported = MATCHINGS["centres"], 0, 0
    for frame in frames_of(tracks_of(found.frame, np.arange(len(found.frame)), found.box), truth, matching):
        reported += len(frame.reported)
        allowed = matching.allowed(frame.costs)
        rows, columns = linear_sum_assignment(np.where(allowed, frame.costs, 1e3))
        matched += int(allowed[rows, columns].sum())
    return 2 * matched / max(1, reported + int((truth.presence > 0).sum()))


def untuned(case: Case, method: str) -> Chosen:
    """Default settings."""
    if method == "trackpy":
        return by_spots(case, Spots(), Link())
    return by_blobs(case, Blobs(), Lap() if method == "laptrack" else OcSort())


def case_of(each: Annotated, apart: Bytes, with_labels: bool) -> Case:
    """A video, and what is known of its objects."""
    truth = read_mot(each.truth)
    labelled = truth.rows((truth.frame < len(apart) // 2) & (truth.presence > 0))
    if with_labels:
        width, height = float(np.median(labelled.width)), float(np.median(labelled.height))
        per_frame = len(labelled.frame) / max(1, len(apart) // 2)
        return Case(each.video, truth, len(apart), (width * height) ** 0.5, (width, height), per_frame)
    size = typical_size(apart)
    per_frame = len(blobs(apart, size, Blobs()).frame) / len(apart)
    return Case(each.video, truth, len(apart), size, (size, size), per_frame)


# ------------------------------------------------------------------ results


def result(tracks: Tracks, truth: Tracks, frames: int, seconds: float, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one method on one video."""
    late = truth.rows(truth.frame >= frames // 2)
    return {
        "second_half": scored(tracks.rows(tracks.frame >= frames // 2), late),
        "whole": scored(tracks, truth),
        "identities": len(set(tracks.identity.tolist())),
        "frames": frames,
        "seconds": seconds,
        "frames_per_s": frames / seconds,
        "settings": dict(settings),
        "commit": source_of(PACKAGE).commit,  # results are kept: not all of a table need be of one commit
    }


def rival(each: Annotated, method: str, with_labels: bool, apart: Bytes) -> tuple[Tracks, dict[str, Any]]:
    """Tune a rival, run it from the file on, and score it."""
    case = case_of(each, apart, with_labels)
    chosen = tuned(case, method, apart) if with_labels else untuned(case, method)
    start = time.process_time()
    tracks = chosen.run(differences(each.video))
    seconds = time.process_time() - start
    return tracks, result(tracks, case.truth, case.frames, seconds, {"size": case.size, **chosen.settings})


def scalor(each: Annotated, out: Path, options: Sequence[str], frames: int) -> tuple[Tracks, dict[str, Any]]:
    """Track with scalor, and score it."""
    before = _child_seconds()
    tracks, _ = tracked(each.video, out, options)
    return tracks, result(tracks, read_mot(each.truth), frames, _child_seconds() - before, {"options": list(options)})


def scalor_trained(each: Annotated, out: Path, options: Sequence[str], frames: int) -> tuple[Tracks, dict[str, Any]]:
    """Train on the video, track it, and score it; what the training took stands beside the scores."""
    train(each.video, out / "run", options)
    tracks, figures = scalor(each, out / "tracks", ["--weights", str(out / "run")], frames)
    told = json.loads((out / "run" / "results.json").read_text(encoding="utf-8"))
    training = {name: told.get(name) for name in ("steps", "held_out")}
    return tracks, {**figures, "settings": {"options": list(options)}, "training": training}


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def halved(each: Annotated, out: Path) -> Annotated:
    """A video at half its size, with its truth."""
    folder = out / f"{each.name}-half"
    half = Annotated(folder.name, folder / "clip.mkv", folder / TRUTH)
    if half.truth.exists():
        return half
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(each.video)) as source, av.open(str(half.video), "w") as target:
        came = source.streams.video[0]
        stream: Any = target.add_stream("ffv1", rate=came.average_rate)
        stream.width, stream.height, stream.pix_fmt = came.width // 2, came.height // 2, "bgr0"
        for frame in source.decode(came):
            small = frame.to_image().resize((stream.width, stream.height), 4)  # the mean of 2 × 2 px
            target.mux(stream.encode(av.VideoFrame.from_image(small)))
        target.mux(stream.encode())
    truth = read_mot(each.truth)
    boxes = np.stack([truth.x - truth.width / 2, truth.y - truth.height / 2, truth.width, truth.height], 1) / 2
    small_truth = tracks_of(truth.frame, truth.identity, boxes)
    small_truth.presence[:] = truth.presence
    write_mot(half.truth, small_truth)
    return half


def results_of(each: Annotated, methods: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """The figures of all methods on a video: kept ones, and those that have to be made."""
    folder, found, apart = options.out / each.name, {}, None
    for method in methods:
        kept = folder / f"{method}.json"
        if not kept.exists() or method in options.again:
            apart = differences(each.video) if apart is None else apart
            if method in SCALOR:
                tracks, figures = scalor(each, folder / method, [*SCALOR[method], *options.further], len(apart))
            elif method in TRAINED:
                tracks, figures = scalor_trained(each, folder / method, TRAINED[method], len(apart))
            else:
                tracks, figures = rival(each, method, not options.untuned, apart)
            folder.mkdir(parents=True, exist_ok=True)
            write_mot(folder / f"{method}.txt", tracks)
            write_atomically(kept, json.dumps(without_nan(figures), indent=1).encode())
            print(each.name, method, *_cells(figures), sep="  ", flush=True)
        found[method] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _cells(figures: Mapping[str, Any], part: str = "whole") -> list[str]:
    scores, boxes = figures[part]["centres"], figures[part]["boxes"]
    names = ("mota", "idf1", "hota", "precision", "recall", "switches")
    speed = f"{figures['frames_per_s']:.0f}"
    return [*(shown(scores[name]) for name in names), str(figures["identities"]), shown(boxes["mota"]), speed]


HEADS = ["MOTA", "IDF1", "HOTA", "precision", "recall", "switches", "identities", "MOTA by boxes", "frames/s"]


def table(results: Mapping[str, Mapping[str, Any]], part: str = "whole") -> str:
    """A row for each video and method."""
    rows = [
        [name, method, *_cells(figures, part)]
        for name, methods in results.items()
        for method, figures in methods.items()
    ]
    return markdown_table(["", "", *HEADS], rows)


def recorded(about: Any) -> Any:
    """The results without the scores that no table shows, and with four decimals."""
    if not isinstance(about, dict):
        return round(about, 4) if isinstance(about, float) else about
    kept = [key for key in about if "mota" not in about or key in SHOWN]
    return {key: recorded(about[key]) for key in kept}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add, methods = parser.add_argument, [*SCALOR, *RIVALS, *TRAINED]
    add("folder", type=Path, metavar="FOLDER", help=f"NAME/{TRUTH} and a video beside it, for each video")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for tracks and results")
    add("--only", nargs="+", default=[], metavar="NAME", help="these videos alone")
    add("--methods", nargs="+", default=[*SCALOR, *RIVALS], choices=methods, help="these methods alone")
    add("--trained", nargs="+", default=[], metavar="NAME", help="also train on these videos: 24 minutes each")
    add("--halve", nargs="+", default=[], metavar="NAME", help="also these videos at half their size")
    add("--untuned", action="store_true", help="rivals with default settings, without the truth")
    add("--again", nargs="+", default=[], choices=methods, help="make results of these methods again")
    add("--record", type=Path, metavar="FILE", help="write the results there, too, for the tables of the docs")
    options = parser.parse_args(arguments[:place])
    options.further = arguments[place + 1 :]
    return options


def _require_known(option: str, names: Sequence[str], videos: Sequence[Annotated]) -> None:
    known = [each.name for each in videos]
    if absent := sorted(set(names) - set(known)):
        raise ConfigError(f"{option}: expected some of {', '.join(known)}, got {', '.join(absent)}.")


@command
def main(arguments: list[str] | None = None) -> int:
    """Track, score, and write the results."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    require(NEEDED)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import cv2

    cv2.setNumThreads(1)
    videos = annotated(options.folder, options.only)
    _require_known("--halve", options.halve, videos)
    videos += [halved(each, options.out / "videos") for each in videos if each.name in options.halve]
    _require_known("--trained", options.trained, videos)
    trained = {name: list(TRAINED) for name in options.trained}
    results = {each.name: results_of(each, options.methods + trained.get(each.name, []), options) for each in videos}
    made = provenance(MadeBy(without_folders(command_line(__file__, arguments))), "cpu")
    about = {"tuned": not options.untuned, "videos": results, "provenance": made}
    write_atomically(options.out / "results.json", (json.dumps(about, indent=1) + "\n").encode())
    if options.record is not None:
        write_atomically(options.record, (json.dumps(recorded(about), indent=1) + "\n").encode())
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
