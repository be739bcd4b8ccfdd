"""Score weights on public benchmarks by their own protocols, whether or not they were trained on them.

    python benchmarks/public.py runs/sprites-mot --record
    python benchmarks/public.py runs/mnist-mot --mnist mnist.npz --record
    python benchmarks/public.py sprites-md --videos 100 --sequence 1000 --false-alarms

Sprites-MOT and MNIST-MOT: masks in videos of ten frames (Weis et al., JMLR 22:183), and boxes over one sequence of
10,000 frames (He et al., CVPR 2019). Multi-dSprites: masks, and what is missed by size. Balls: boxes and identities
over whole videos, and forecasts of 90 frames after 10. All but forecasts are scored online and with the frames that
follow. ``--record`` keeps the scores for the tables of the documentation (``make tables``).
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from public_records import RECORDS, origin_of_training, record_name
from records import without_folders

from scalor_pyro.cli.errors import command
from scalor_pyro.config import PublicData, PublicRunConfig
from scalor_pyro.config.options import add_option, given
from scalor_pyro.config.public import LENGTHS, STREAM_FRAMES
from scalor_pyro.data.public import PublicVideos
from scalor_pyro.evaluation import forecasts
from scalor_pyro.evaluation.masks import MaskProtocol, mask_pairs, mask_table
from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.evaluation.tables import lined_up, shown
from scalor_pyro.experiments.public_scores import (
    BATCH,
    TEST_SEED,
    forecast_scores,
    labels_of,
    scores,
    sequence_scores,
    video_scores,
)
from scalor_pyro.experiments.ways import OFFLINE, WAYS, Way
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.posterior import infer
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.tracks.tracker import load_for_tracking

# Share of a false mask that lies on an object, for it to count as one more mask of that; and the share of it that lies
# where an object was in the frame before, which has moved by a quarter of its size since.
MOSTLY_ON, LEFT = 0.5, 0.3
# Videos of balls that are tracked, and forecast.
TRACKED, FORECAST = 100, 32
# Frames ahead of which the error of forecasts is printed.
AHEAD = (1, 5, 10, 20, 40, 90)

COLUMNS = ("mota", "idf1", "motp", "false_alarms", "misses", "switches", "mostly_tracked", "mostly_lost", "identities")
OF_VIDEOS = ("mota", "idf1", "hota", "precision", "recall", "switches", "identities")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("run", metavar="RUN", help="run folder, or name of packaged weights")
    add_option(parser, PublicData, "benchmark", default="that of the run, else sprites-mot")
    add_option(parser, PublicData, "digits")
    add("--mnist", type=Path, metavar="FILE", help="MNIST, for digits")
    add("--videos", type=int, default=1000, metavar="N", help="videos for masks, 0 for none (default: %(default)s)")
    length = f"frames of the sequence, 0 for none (default: {STREAM_FRAMES})"
    add("--sequence", type=int, default=STREAM_FRAMES, metavar="T", help=length)
    add("--tracked", type=int, default=TRACKED, metavar="N", help="videos of balls to track (default: %(default)s)")
    add("--forecast", type=int, default=FORECAST, metavar="N", help="… and to forecast (default: %(default)s)")
    add("--seed", type=int, default=TEST_SEED, help="of the videos (default: %(default)s)")
    add("--false-alarms", action="store_true", help="also say what false masks lie on")
    add("--out", type=Path, metavar="FILE.json", help="keep the scores")
    add("--record", action="store_true", help="keep the scores in docs/records/public")
    return parser.parse_args(arguments)


def videos_of(run: TrainedRun, options: argparse.Namespace) -> PublicVideos:
    """The videos to score on."""
    chosen = given(options, PublicData)
    if isinstance(run.config, PublicRunConfig):
        chosen = {"benchmark": run.config.data.benchmark, **chosen}
    if (benchmark := chosen.get("benchmark")) in LENGTHS:
        chosen["frames"] = LENGTHS[benchmark]
    return PublicVideos(PublicData(**chosen), options.seed, "test", options.mnist)


def table(results: Mapping[str, Mapping[str, Any]], columns: tuple[str, ...] = COLUMNS) -> str:
    """Scores of tracks, a line for each result."""
    lines = [[name, *(shown(found[key]) for key in columns)] for name, found in results.items()]
    return lined_up([["", *columns], *lines])


def kinds_of_false_alarm(scalor: Scalor, videos: PublicVideos, count: int, way: Way) -> Counter[str]:
    """What false alarms of masks lie on.

    A mask that matches none lies mostly on a true object, where an object was in the frame before, or elsewhere.
    """
    kinds: Counter[str] = Counter()
    protocol = MaskProtocol()
    for start in range(0, count, BATCH):
        batch = videos.batch(start, min(BATCH, count - start))
        found = labels_of(infer(scalor, batch.tensor(), lookahead=way.lookahead, evidence=way.evidence))
        for reported, true in zip(found, batch.masks.astype(np.int64) + 1, strict=True):
            for t, pairs in enumerate(mask_pairs(reported, true, protocol), protocol.first):
                wrong = pairs.reported[np.isnan(pairs.distance).all(0)] if len(pairs.true) else pairs.reported
                kinds.update(_lies_on(reported[t] == identity + 1, true[t], true[t - 1]) for identity in wrong)
    return kinds


def _lies_on(mask: NDArray[np.bool_], true: NDArray[np.int64], before: NDArray[np.int64]) -> str:
    if (true[mask] > 0).mean() > MOSTLY_ON:
        return "on an object"
    return "where one has just left" if (before[mask] > 0).mean() > LEFT else "elsewhere"


# ------------------------------------------------------------------ parts of a benchmark


def masks(run: TrainedRun, videos: PublicVideos, options: argparse.Namespace) -> dict[str, Any]:
    """Masks in short videos."""
    count, unequal = options.videos, videos.config.benchmark == "multi-dsprites"
    found = {name: scores(run.scalor, videos, count, way=way, by_size=unequal) for name, way in WAYS.items()}
    print(f"Masks, {count} videos, in percent\n{mask_table(found)}\n")
    kept: dict[str, Any] = {"masks": {"videos": count, **found}}
    if unequal:
        for name, each in found.items():
            print(f"Missed, {name}: {', '.join(_missed(group) for group in each['by_size'])}")
    if options.false_alarms:
        kept["false_alarms"] = kinds = kinds_of_false_alarm(run.scalor, videos, count, OFFLINE)
        print(f"False alarms, offline: {', '.join(f'{number} {kind}' for kind, number in kinds.most_common())}\n")
    return kept


def _missed(group: Mapping[str, Any]) -> str:
    end = "" if group["to"] is None else f"{group['to']:g}"
    return f"{shown(group['miss'])} of {group['from']:g}–{end} px"


def sequence(run: TrainedRun, videos: PublicVideos, options: argparse.Namespace) -> dict[str, Any]:
    """Boxes over one long sequence."""
    ways = {"online": True, "offline": False}
    found = {name: sequence_scores(run, videos, options.sequence, online) for name, online in ways.items()}
    print(f"Boxes, a sequence of {options.sequence} frames\n{table(found)}")
    return {"boxes": {"frames": options.sequence, **found}}


def whole_videos(run: TrainedRun, videos: PublicVideos, options: argparse.Namespace) -> dict[str, Any]:
    """Tracks of whole videos, and identities through occlusion."""
    ways = {"online": True, "offline": False}
    found = {name: video_scores(run, videos, options.tracked, online) for name, online in ways.items()}
    print_whole_videos(found, options.tracked)
    return {"tracks": {"videos": options.tracked, **found}}


def print_whole_videos(found: Mapping[str, Mapping[str, Any]], count: int) -> None:
    """Scores of :func:`~scalor_pyro.experiments.public_scores.video_scores`, by the name of their line."""
    for matching in ("boxes", "centres"):
        print(f"Whole videos, {count}, by {matching}")
        print(table({name: each[matching] for name, each in found.items()}, OF_VIDEOS), "\n")
    hidden = {name: each["occlusion"] for name, each in found.items()}
    print(f"Occlusions\n{table(hidden, ('occlusions', 'frames', 'followed', 'found', 'kept'))}\n")


def futures(run: TrainedRun, videos: PublicVideos, options: argparse.Namespace) -> dict[str, Any]:
    """Forecasts."""
    found = forecast_scores(run.scalor, videos, options.forecast)
    ahead = [frames for frames in AHEAD if frames in found["horizon"]]
    heads = ["Mean distance, px; frames ahead:", *map(str, ahead)]
    rows = [
        [forecasts.PLACES[name], *(shown(errors[frames - 1]) for frames in ahead)]
        for name, errors in found["position_error"].items()
    ]
    print(lined_up([heads, *rows]))
    return {"forecasts": found}


def parts_of(videos: PublicVideos, options: argparse.Namespace) -> list[Any]:
    """What is scored on a benchmark."""
    if videos.config.benchmark == "balls":
        return [whole_videos] * bool(options.tracked) + [futures] * bool(options.forecast)
    return [masks] * bool(options.videos) + [sequence] * bool(options.sequence and videos.config.is_stream)


@command
def main(arguments: list[str] | None = None) -> int:
    """Score, print and keep."""
    options = parse(arguments)
    torch.set_num_threads(1)
    run = load_for_tracking(options.run)
    videos = videos_of(run, options)
    training = origin_of_training(run, videos)
    kept: dict[str, Any] = {
        "benchmark": videos.config.benchmark,
        "weights": Path(options.run).name,
        "training": training,
        "seed": options.seed,
        "provenance": provenance(MadeBy(without_folders(command_line(__file__, arguments))), "cpu"),
    }
    for part in parts_of(videos, options):
        kept |= part(run, videos, options)
    text = (json.dumps(without_nan(kept), indent=1) + "\n").encode()
    for path in [*([options.out] if options.out else []), *([RECORDS / record_name(kept)] if options.record else [])]:
        write_atomically(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
