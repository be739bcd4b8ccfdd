"""What do single rules gain, where videos are tracked with the weights for any scene?

    python benchmarks/parts.py --movers 3001 3002 --sprites 371 --out runs/parts
    python benchmarks/parts.py --without told --movers 6101 6102 --long 7201 --out runs/told
    python benchmarks/parts.py --without go-on --movers 6321 6322 --long 7411 --out runs/go-on
    python benchmarks/parts.py --without cuts --movers 7021 7022 --sprites 641 --out runs/cuts
    python benchmarks/parts.py --without embedding --movers 7021 7022 --sprites 641 --out runs/embedding

Each video is tracked with the weights for any scene, without an option, as if nothing had been noticed, and as
`scalor track` does it. What is not noticed is that tracks stay together, which are those of parts, so that larger
objects are looked for; with ``--without told``, how large objects are by the network that tells it; with ``--without
go-on``, that objects are worth little, so that their tracks end; with ``--without cuts``, that a track looks different
from some frame on, if only a little, so that it is cut there; with ``--without embedding``, what stays the same of an
object, so that z_what is what it looks like. Videos are those of benchmarks/alike.py. Scores are by
centres within one size; tracks are linked where cuts or embeddings are asked about, and not otherwise.
"""

import sys
from types import ModuleType
from typing import Any

from alike import gained_by_kind, parse, parser_of, videos
from any_scene import Annotated, scored, write_results

from scalor_pyro.cli.errors import command
from scalor_pyro.evaluation.tables import markdown_table
from scalor_pyro.inference import evidence
from scalor_pyro.tracks import tracker
from scalor_pyro.tracks.any_scene import trials
from scalor_pyro.tracks.linking import cuts
from scalor_pyro.tracks.table import from_dataframe
from scalor_pyro.tracks.text import read_mot
from scalor_pyro.tracks.tracking import track

# Those that are seen only where tracks are linked.
LINKED = ("cuts", "embedding")
# What is replaced where nothing is noticed: a name of a module.
UNNOTICED: dict[str, tuple[ModuleType, str, Any]] = {
    "parts": (trials, "TIMES", 0),
    "told": (trials, "told_side", lambda *_: None),
    "go-on": (evidence, "GO_ON_IN_DIFFERENCES", evidence.GO_ON),
    "cuts": (cuts, "GOES_OVER", 0.02),
    "embedding": (tracker, "Embedder", lambda _: None),
}
WAYS = ("unnoticed", "noticed")
SHOWN = {"mota": "MOTA", "idf1": "IDF1", "hota": "HOTA", "precision": "precision", "recall": "recall"}


def compared(video: Annotated, without: str) -> dict[str, dict[str, float]]:
    """Scores in both ways.

    :param without: see :data:`UNNOTICED`.
    """
    truth, (module, name, replaced) = read_mot(video.truth), UNNOTICED[without]
    usual = getattr(module, name)
    results = {}
    for way, value in zip(WAYS, (replaced, usual), strict=True):
        setattr(module, name, value)
        results[way] = scored(from_dataframe(track(video.video, link=without in LINKED)), truth)["centres"]
    return results


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A row for each video that is tracked in another way now; then what is gained over all of them."""
    changed = {name: ways for name, ways in results.items() if ways["unnoticed"] != ways["noticed"]}
    rows = [
        [name, *(" / ".join(f"{ways[way][key]:.3f}" for key in SHOWN) for way in WAYS)]
        for name, ways in changed.items()
    ]
    figures = " / ".join(SHOWN.values())
    lines = [markdown_table(["video", f"unnoticed: {figures}", "noticed"], rows)]
    lines.append(f"{len(results)} videos, {len(changed)} changed")
    lines += gained_by_kind({name: (ways["unnoticed"], ways["noticed"]) for name, ways in results.items()}, SHOWN)
    return "\n".join(lines)


@command
def main(arguments: list[str] | None = None) -> int:
    """Make, track, score and print."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of(__doc__)
    parser.add_argument("--without", choices=list(UNNOTICED), default="parts", help="(default: %(default)s)")
    options = parse(parser, arguments)
    results = {video.name: compared(video, options.without) for video, _ in videos(options)}
    write_results(options.out / f"{options.without}.json", results, __file__, arguments)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
