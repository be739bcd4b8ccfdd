"""What do the weights for any scene in the package gain over others, such as earlier ones?

    git show a4b9f38:scalor_pyro/weights/any-scene.safetensors > before.safetensors
    python benchmarks/other_weights.py before.safetensors --movers 6801 6802 --walkers 122 --out runs/other-weights

Each video is tracked with both, without an option. Videos are those of benchmarks/alike.py. Scores are by centres
within one size, and MOTA also by boxes; not linked.
"""

import sys
from pathlib import Path

from alike import gained_by_kind, parse, parser_of, videos
from any_scene import Annotated, scored, write_results
from parts import SHOWN as BY_CENTRES

from scalor_pyro.cli.errors import command
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.inference.trained import TrainedRun, load
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.table import from_dataframe
from scalor_pyro.tracks.text import read_mot
from scalor_pyro.tracks.tracking import track

SHOWN = {**BY_CENTRES, "mota_by_boxes": "MOTA by boxes"}
Results = dict[str, dict[str, dict[str, float]]]


def compared(video: Annotated, runs: dict[str, TrainedRun]) -> dict[str, dict[str, float]]:
    """Scores with each of the weights."""
    truth, results = read_mot(video.truth), {}
    for name, run in runs.items():
        scores = scored(from_dataframe(track(video.video, run, link=False)), truth)
        results[name] = {**scores["centres"], "mota_by_boxes": scores["boxes"]["mota"]}
    return results


def table(results: Results) -> str:
    """A row for each video; then what is gained over those of a kind, and over all."""
    rows = [
        [name, *(" / ".join(f"{scores[key]:.3f}" for key in SHOWN) for scores in ways.values())]
        for name, ways in results.items()
    ]
    lines = [markdown_table(["video", " / ".join(SHOWN.values()), "in the package"], rows)]
    lines += gained_by_kind({name: (ways["others"], ways["packaged"]) for name, ways in results.items()}, SHOWN)
    return "\n".join(lines)


@command
def main(arguments: list[str] | None = None) -> int:
    """Make, track, score and print."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of(__doc__)
    parser.add_argument("others", type=Path, metavar="RUN", help="run folder or file of weights for any scene")
    options = parse(parser, arguments)
    runs = {"others": load(options.others), "packaged": load(ANY_SCENE)}
    results = {video.name: compared(video, runs) for video, _ in videos(options)}
    write_results(options.out / "other_weights.json", results, __file__, arguments)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
