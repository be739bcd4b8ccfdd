"""What is gained where boxes keep to one size, because a trial says that all objects of a video have it?

    python benchmarks/alike.py --movers 1001 1002 --sprites 71 72 --walkers 61 62 --out runs/alike

Each video is tracked with the weights for any scene twice: with boxes of all sizes (`--sizes any`), and as without an
option. --movers makes videos of made-up movers, as benchmarks/adapting.py does: of how they differ from their scene;
--recorded makes such videos as a camera records them. --long makes videos of long bodies alone, --sprites videos of 14
like sprites, over black for even seeds and over a texture for odd ones, and --walkers people on a square, who are
larger in front, as in made_up_scenes.py. Scores are by centres within one size.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapting import made, recorded
from any_scene import TRUTH, Annotated, scored, tracked, write_results
from made_up_scenes import VIDEO, write
from sprite_video import make, textured_scene

from scalor_pyro.cli.errors import command
from scalor_pyro.config import ConfigError, DataConfig
from scalor_pyro.evaluation.metrics import true_tracks
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.tracks.text import read_mot, write_mot

FRAMES, SIZE = 240, (96, 128)
SPRITES = DataConfig(
    objects="sprites", count_min=14, count_max=14, object_size=14.0, image_size=SIZE, speed_min=1.0, speed_max=3.0
)
WAYS = {"any": ("--sizes", "any"), "auto": ()}
SHOWN = {"mota": "MOTA", "idf1": "IDF1", "hota": "HOTA"}
Scores = Mapping[str, float]


def sprites(seed: int, folder: Path) -> Annotated:
    """A video of like sprites, and its truth: over black for even seeds, over a texture for odd ones."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = textured_scene(SIZE, 40) * (seed % 2)
    truth = make(folder / "clip.mp4", SPRITES, seed, FRAMES, scene)
    write_mot(folder / "gt.txt", true_tracks(truth))
    return Annotated(f"sprites {seed}", folder / "clip.mp4", folder / "gt.txt")


def walkers(seed: int, folder: Path) -> Annotated:
    """A video of people who walk over a square, larger in front than at the back, and its truth."""
    write(folder, "walkers", seed)
    return Annotated(f"walkers {seed}", folder / "walkers" / VIDEO, folder / "walkers" / TRUTH)


def long(seed: int, folder: Path) -> Annotated:
    """A video of made-up movers that are all long bodies, and its truth."""
    return made(seed, folder, ("long",))._replace(name=f"long bodies {seed}")


# By the option: what makes a video, and what it shows.
KINDS: dict[str, tuple[Callable[[int, Path], Annotated], str]] = {
    "movers": (made, "made-up movers, as they differ from their scene"),
    "recorded": (recorded, "made-up movers, as a camera records them"),
    "long": (long, "long bodies alone"),
    "sprites": (sprites, "sprites"),
    "walkers": (walkers, "people"),
}


def compared(video: Annotated, out: Path) -> dict[str, Any]:
    """Scores in both ways, and whether the objects were taken for alike."""
    truth, results = read_mot(video.truth), {}
    for way, options in WAYS.items():
        tracks, _ = tracked(video.video, out / way, [*options, "--no-report"])
        scores = scored(tracks, truth)
        results[way] = {**scores["centres"], "mota_by_boxes": scores["boxes"]["mota"]}
    drawn = [json.loads((out / way / f"{video.video.stem}.json").read_text())["box_sides"] for way in WAYS]
    return {**results, "alike": drawn[0] != drawn[1]}


def table(results: dict[str, dict[str, Any]]) -> str:
    """A row for each video; then what is gained over those whose objects were taken for alike."""
    rows = []
    for name, ways in results.items():
        cells = [" / ".join(f"{ways[way][key]:.3f}" for key in (*SHOWN, "mota_by_boxes")) for way in WAYS]
        rows.append([name, "yes" if ways["alike"] else "no", *cells])
    figures = " / ".join((*SHOWN.values(), "MOTA by boxes"))
    lines = [markdown_table(["video", "alike", f"boxes of any size: {figures}", "as a trial says"], rows)]
    alike = [ways for ways in results.values() if ways["alike"]]
    lines += gained([(ways["any"], ways["auto"]) for ways in alike], [*SHOWN, "mota_by_boxes"])
    return "\n".join(lines)


def gained(pairs: Sequence[tuple[Scores, Scores]], keys: Iterable[str]) -> list[str]:
    """A line for each score: what the second of each pair gains over the first, on average over at least two videos."""
    lines = []
    for key in keys if len(pairs) > 1 else ():
        gains = [after[key] - before[key] for before, after in pairs]
        error = statistics.stdev(gains) / len(gains) ** 0.5
        worse = sum(gain < 0 for gain in gains)
        lines.append(f"{key}: {statistics.mean(gains):+.3f} ± {error:.3f} over {len(gains)} videos, lower in {worse}")
    return lines


def gained_by_kind(pairs: Mapping[str, tuple[Scores, Scores]], keys: Iterable[str]) -> list[str]:
    """The same for the videos of each kind, if there are several, and for all.

    :param pairs: by the name of the video, which begins with its kind.
    """
    lines, names = [], list(keys)
    kinds = dict.fromkeys(name.rpartition(" ")[0] for name in pairs)
    for kind in [*kinds, ""] if len(kinds) > 1 else [""]:
        lines += ["", kind or "all", *gained([pair for name, pair in pairs.items() if name.startswith(kind)], names)]
    return lines


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """The command line of a benchmark on made-up videos.

    :param about: its docstring.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (_, shown) in KINDS.items():
        parser.add_argument(f"--{name}", nargs="+", type=int, default=[], metavar="SEED", help=f"videos of {shown}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for videos, tracks and scores")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The options, with some videos.

    :param parser: made by :func:`parser_of`.
    """
    options = parser.parse_args(arguments)
    if not any(getattr(options, name) for name in KINDS):
        asked = ", ".join(f"--{name}" for name in KINDS)
        raise ConfigError(f"expected one of {asked}, to know which videos to make, got none.")
    return options


def videos(options: argparse.Namespace) -> Iterator[tuple[Annotated, Path]]:
    """The made-up videos that are asked for, each with its folder."""
    for name, (make_video, _) in KINDS.items():
        for seed in getattr(options, name):
            folder = options.out / f"{name}-{seed}"
            yield make_video(seed, folder), folder


@command
def main(arguments: list[str] | None = None) -> int:
    """Make, track, score and print."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(parser_of(__doc__), arguments)
    results = {video.name: compared(video, folder) for video, folder in videos(options)}
    write_results(options.out / "alike.json", results, __file__, arguments)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
