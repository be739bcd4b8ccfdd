"""The tables of docs/studies/public_benchmarks.md, from records of public benchmarks and from published figures."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import public_records

from scalor_pyro.evaluation.forecasts import PLACES
from scalor_pyro.evaluation.masks import COLUMNS
from scalor_pyro.evaluation.tables import markdown_table, shown

# Folder of the records of public benchmarks within that of all records, and the published figures beside it.
FOLDER, PUBLISHED = "public", "published.json"
NOTHING = "–"
WAYS = ("online", "offline")
# What the tables call methods that were not trained on a benchmark; others by their weights.
METHODS = {
    "colour-components-laptrack": "colour components + laptrack",
    "colour-components-oc-sort": "colour components + OC-SORT",
}
BENCHMARKS = {
    "sprites-mot": "Sprites-MOT",
    "mnist-mot": "MNIST-MOT",
    "multi-dsprites": "multi-dSprites",
    "balls": "balls",
}
BOXES = {"mota": "MOTA", "idf1": "IDF1", "motp": "MOTP"}
COUNTS = {"misses": "misses", "false_alarms": "false alarms", "switches": "switches"}
TRACKS = {"mota": "MOTA", "idf1": "IDF1", "hota": "HOTA"}
# Frames ahead.
AHEAD = (1, 5, 10, 20, 40, 90)

Record = Mapping[str, Any]


class Group(NamedTuple):
    """Records of one method on one benchmark, a record for each seed."""

    title: str
    records: list[Record]

    @property
    def trained(self) -> bool:
        """Whether it is a model that was trained on the benchmark."""
        return self.records[0]["training"] is not None

    @property
    def scalor(self) -> bool:
        """Whether it is SCALOR."""
        return self.records[0]["weights"] not in METHODS

    def mean(self, *keys: Any) -> float | None:
        """The mean over the seeds of a figure that all of them have, by its place in the record; None: not measured."""
        found = [_at(record, keys) for record in self.records]
        return None if any(each is None for each in found) else statistics.fmean(found)

    def ways(self, part: str) -> list[str]:
        """The ways to infer that a part was scored in."""
        return [way for way in WAYS if all(_at(record, (part, way)) is not None for record in self.records)]

    def name(self, way: str) -> str:
        """What a row is called."""
        return f"{self.title}, {way}" if self.scalor else self.title


def _at(record: Any, keys: Sequence[Any]) -> Any:
    for key in keys:
        if record is None or isinstance(record, Mapping) and key not in record:
            return None
        record = record[key]
    return record


def groups(folder: Path, benchmark: str) -> list[Group]:
    """What was scored on a benchmark: methods that were not trained on it first, then trainings by their length.

    :param folder: of all records.
    """
    found: dict[tuple[int, str], list[Record]] = {}
    for record in public_records.read(folder / FOLDER):
        if record["benchmark"] == benchmark:
            steps = (record["training"] or {}).get("steps") or 0
            title = f"**trained on it, {steps:,} steps**" if record["training"] else method(record["weights"])
            found.setdefault((steps, title), []).append(record)
    return [Group(_with_seeds(title, found[steps, title]), found[steps, title]) for steps, title in sorted(found)]


def _with_seeds(title: str, records: Sequence[Record]) -> str:
    return f"{title}, {len(records)} seeds" if len(records) > 1 else title


def method(weights: str) -> str:
    """What tables call something that was not trained on a benchmark."""
    return METHODS.get(weights, f"weights `{weights}`, not trained on it")


def published(folder: Path) -> dict[str, Any]:
    """The published figures."""
    figures: dict[str, Any] = json.loads((folder / PUBLISHED).read_text(encoding="utf-8"))
    return figures


def percent(share: float | None) -> str:
    """As the published tables write it."""
    return NOTHING if share is None else f"{100 * share:.1f}"


# ------------------------------------------------------------------ tables


def masks(benchmark: str) -> Callable[[Path], str]:
    """The table of scores of masks on a benchmark."""

    def table(folder: Path) -> str:
        theirs = published(folder).get(benchmark, {}).get("masks", {})
        rows = [
            [f"published: {name}" if benchmark == "sprites-mot" else f"published, on other videos: {name}",
             *(percent(figures.get(key)) for key in COLUMNS)]
            for name, figures in theirs.items()
        ]  # fmt: skip
        for group in groups(folder, benchmark):
            for way in group.ways("masks"):
                rows.append([group.name(way), *(percent(group.mean("masks", way, f"mask_{key}")) for key in COLUMNS)])
        return markdown_table(["in percent", *COLUMNS.values()], rows or [[NOTHING] * (len(COLUMNS) + 1)])

    return table


def sequences(folder: Path) -> str:
    """Boxes over one long sequence."""
    rows = []
    theirs = published(folder)["sequences"]["boxes"]
    for benchmark, by_method in theirs.items():
        title = BENCHMARKS[benchmark]
        for name, figures in by_method.items():
            cells = [percent(figures.get(key)) for key in BOXES]
            rows.append([title, f"published: {name}", *cells, *([NOTHING] * len(COUNTS)), "10,000"])
        for group in groups(folder, benchmark):
            for way in group.ways("boxes"):
                cells = [percent(group.mean("boxes", way, key)) for key in BOXES]
                counts = [f"{group.mean('boxes', way, key):.0f}" for key in COUNTS]
                rows.append([title, group.name(way), *cells, *counts, f"{group.mean('boxes', 'frames'):,.0f}"])
    return markdown_table(["videos", "in percent", *BOXES.values(), *COUNTS.values(), "frames"], rows)


def by_size(folder: Path) -> str:
    """What is missed of multi-dSprites, by size."""
    rows, heads = [], []
    for group in groups(folder, "multi-dsprites"):
        for way in group.ways("masks"):
            parts = group.records[0]["masks"][way].get("by_size")
            if parts:
                heads = [_range(part) for part in parts]
                cells = [percent(group.mean("masks", way, "by_size", place, "miss")) for place in range(len(parts))]
                rows.append([group.name(way), *cells])
    return markdown_table(["missed, in percent", *heads], rows) if rows else _nothing(["missed, in percent"])


def _range(part: Mapping[str, Any]) -> str:
    if part["to"] is None:
        return f"from {part['from']:g} px"
    return f"{part['from']:g}–{part['to']:g} px" if part["from"] else f"up to {part['to']:g} px"


def _nothing(heads: Sequence[str]) -> str:
    return markdown_table(heads, [[NOTHING] * len(heads)])


def balls(folder: Path) -> str:
    """Tracks of balls, and identities through occlusion."""
    heads = ["", *(f"{name} by boxes" for name in TRACKS.values()), *(f"{name} by centres" for name in TRACKS.values())]
    heads += ["occlusions", "followed before", "found after", "same identity after"]
    rows = []
    for group in groups(folder, "balls"):
        for way in group.ways("tracks"):
            scores = [
                shown(group.mean("tracks", way, matching, key)) for matching in ("boxes", "centres") for key in TRACKS
            ]
            count = f"{group.mean('tracks', way, 'occlusion', 'occlusions'):.0f}"
            shares = [shown(group.mean("tracks", way, "occlusion", key)) for key in ("followed", "found", "kept")]
            rows.append([group.name(way), *scores, count, *shares])
    return markdown_table(heads, rows) if rows else _nothing(heads)


def forecasts(folder: Path) -> str:
    """Distance of balls from where they are forecast."""
    heads = ["mean distance, px; frames ahead:", *map(str, AHEAD)]
    rows = []
    for group in groups(folder, "balls"):
        if group.mean("forecasts", "observed") is None:
            continue
        for name, title in PLACES.items():
            errors = [group.mean("forecasts", "position_error", name, ahead - 1) for ahead in AHEAD]
            rows.append([f"{group.title}: {title}", *map(shown, errors)])
    return markdown_table(heads, rows) if rows else _nothing(heads)


def origins(folder: Path) -> str:
    """Where the records come from."""
    heads = ["record", "seed", "steps", "minutes", "trained by", "commit", "scored by", "commit", "machine"]
    rows = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        rows.append([f"`{path.stem}`", *_training(record["training"]), *_made(record["provenance"])])
    return markdown_table(heads, rows) if rows else _nothing(heads)


def _training(training: Record | None) -> Iterator[str]:
    if training is None:
        yield from [NOTHING] * 5
        return
    minutes = training.get("training_minutes")
    yield str(training["seed"])
    yield str(training.get("steps") or NOTHING)
    yield NOTHING if minutes is None else f"{minutes:.1f}"
    yield from list(_made(training))[:2]


def _made(origin: Record) -> Iterator[str]:
    yield f"`{origin['command']}`" if origin.get("command") else NOTHING
    yield (
        f"`{origin['commit'][:7]}`{', with changes' if origin.get('changed') else ''}" if origin["commit"] else NOTHING
    )
    yield origin.get("machine") or NOTHING


TABLES: dict[str, Callable[[Path], str]] = {
    "sprites-mot-masks": masks("sprites-mot"),
    "mnist-mot-masks": masks("mnist-mot"),
    "sequences": sequences,
    "multi-dsprites-masks": masks("multi-dsprites"),
    "multi-dsprites-sizes": by_size,
    "balls": balls,
    "balls-forecasts": forecasts,
    "public-records": origins,
}
