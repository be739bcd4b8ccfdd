"""The table of docs/placing.md: every figure of the project that something outside can be held against."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import compared
import public_tables
from public_tables import Group, groups, published

from scalor_pyro.evaluation.tables import markdown_table

NOTHING = "–"
# The tables of the page.
NAMES = ("placing-paper", "placing-public", "placing-unseen", "placing-trained", "placing-natural", "placing-origins")
# Scores of which less is better.
ERRORS = ("CountMAE", "MSE", "NLL", "misses", "px")
# Of the paper's Table 1, its scores by the names of the records, and how they are called.
PAPER = {"mota": "MOTA", "count_mae": "CountMAE"}
DIGITS = {"CountMAE": 3, "MSE": 4, "px": 1}
# Whether the videos are the same, in the words of the page.
SAME, ANEW, STREAM, OTHER = "same videos", "made anew", "same procedure", "other videos"
# Frames ahead of which errors of forecasts are shown.
AHEAD = (10, 40, 90)
# Studies that the rows link to.
RESULTS, STUDY, RIVALS = "results.md", "studies/public_benchmarks.md", "studies/rivals.md"
# What `scalor train` does by default, with and without the weights for any scene.
TRAINED = ("scalor-trained-2", "scalor-scratch-10")
PED2 = "studies/ped2.md#scalor-and-models-of-whole-frames"

Figures = tuple[float | None, ...]
Both = tuple[Figures, Figures]  # online, offline


class Book(Protocol):
    """What is needed of the records of trainings, see ``tables.py``."""

    paper: dict[str, dict[str, float]]

    def of(self, setting: str, /) -> list[Mapping[str, Any]]: ...
    def mean(self, setting: str, name: str, /) -> float | None: ...
    def seeds(self, setting: str, /) -> str: ...


class Row(NamedTuple):
    """One line: some scores of this project beside those of something else."""

    what: str
    scores: tuple[str, ...]  # their names
    beside: str  # whose figures they are held against
    theirs: Figures
    online: Figures
    offline: Figures
    same: str
    seeds: str
    page: str  # with more


def unknown(count: int) -> Figures:
    """Nothing measured."""
    return (None,) * count


# ------------------------------------------------------------------ rows


def paper(ways: Mapping[str, Book], titles: Mapping[str, str]) -> Iterator[Row]:
    """The paper's Table 1, and the MSE of its Table 2."""
    online, offline = ways["online"], ways["offline"]
    for setting, title in titles.items():
        theirs = online.paper.get(setting, {})
        ours, later = (tuple(book.mean(setting, name) for name in PAPER) for book in (online, offline))
        given = tuple(theirs.get(name) for name in PAPER)
        heads = tuple(PAPER.values())
        yield Row(title, heads, "paper, SCALOR", given, ours, later, ANEW, online.seeds(setting), RESULTS)
    for setting, title in titles.items():
        if "mse" in online.paper.get(setting, {}):
            ours, later = (online.mean(setting, "mse"),), (offline.mean(setting, "mse"),)
            given = (online.paper[setting]["mse"],)
            yield Row(title, ("MSE",), "paper, SCALOR", given, ours, later, ANEW, online.seeds(setting), RESULTS)


def natural(ways: Mapping[str, Book]) -> Iterator[Row]:
    """NLL on natural scenes: the paper's scale is not known, so SCALOR beside a VRNN trained here."""
    book = ways["online"]
    theirs, ours = (book.mean("vrnn-ped2", "nll"),), (book.mean("ped2", "nll"),)
    title = "people from a building, natural scenes"
    yield Row(title, ("NLL",), "VRNN, trained here", theirs, ours, unknown(1), SAME, book.seeds("ped2"), PED2)


def best(folder: Path, benchmark: str) -> Group | None:
    """The longest training on a benchmark."""
    trained = [group for group in groups(folder, benchmark) if group.trained]
    return trained[-1] if trained else None


def floor(folder: Path, benchmark: str, *keys: str) -> Group | None:
    """What needs no training and has the largest figure of that place in the record."""
    simple = [group for group in groups(folder, benchmark) if not group.scalor and group.mean(*keys) is not None]
    return max(simple, key=lambda group: group.mean(*keys) or 0.0) if simple else None


def of(group: Group | None, part: str, way: str, *names: str) -> Figures:
    """Some figures of a group; unknown, if there is none."""
    return unknown(len(names)) if group is None else tuple(group.mean(part, way, *name.split(".")) for name in names)


def both(group: Group | None, part: str, *names: str) -> Both:
    """The same for both ways to infer."""
    return of(group, part, "online", *names), of(group, part, "offline", *names)


def seeds(group: Group | None) -> str:
    """Their number."""
    return NOTHING if group is None else str(len(group.records))


def public(folder: Path) -> Iterator[Row]:
    """Public benchmarks, beside published figures and beside what needs no training."""
    yield from _masks(folder)
    yield from _sequences(folder)
    yield from _multi_dsprites(folder)
    yield from _balls(folder)


def _masks(folder: Path) -> Iterator[Row]:
    group, names, heads = (
        best(folder, "sprites-mot"),
        ("mask_mota", "mask_motp", "mask_miss"),
        ("MOTA", "MOTP", "misses"),
    )
    ours = both(group, "masks", *names)
    theirs = published(folder)["sprites-mot"]["masks"]["SCALOR"]
    given = (theirs["mota"], theirs["motp"], theirs["miss"])
    title = "Sprites-MOT, masks"
    yield Row(title, heads, "published: SCALOR", given, *ours, STREAM, seeds(group), STUDY)
    yield from _beside_floor(folder, "sprites-mot", title, names, heads, ours, group)


def _beside_floor(
    folder: Path,
    benchmark: str,
    title: str,
    names: tuple[str, ...],
    heads: tuple[str, ...],
    ours: Both,
    group: Group | None,
) -> Iterator[Row]:
    simple = floor(folder, benchmark, "masks", "offline", "mask_mota")
    if simple is not None:
        theirs = of(simple, "masks", "offline", *names)
        yield Row(title, heads, simple.title, theirs, *ours, SAME, seeds(group), STUDY)


def _sequences(folder: Path) -> Iterator[Row]:
    for benchmark, by_method in published(folder)["sequences"]["boxes"].items():
        group, theirs = best(folder, benchmark), by_method["TBA"]
        ours = both(group, "boxes", "mota", "idf1")
        title = f"{public_tables.BENCHMARKS[benchmark]}, boxes over 10,000 frames"
        given = (theirs["mota"], theirs["idf1"])
        yield Row(title, ("MOTA", "IDF1"), "published: TBA", given, *ours, STREAM, seeds(group), STUDY)


def _multi_dsprites(folder: Path) -> Iterator[Row]:
    group, title = best(folder, "multi-dsprites"), "multi-dSprites, masks"
    names, heads = ("mask_mota", "mask_miss"), ("MOTA", "misses")
    ours = both(group, "masks", *names)
    given = (None, published(folder)["multi-dsprites"]["masks"]["SCALOR"]["miss"])
    yield Row(title, heads, "published: SCALOR", given, *ours, OTHER, seeds(group), STUDY)
    yield from _beside_floor(folder, "multi-dsprites", title, names, heads, ours, group)


def _balls(folder: Path) -> Iterator[Row]:
    group, simple = best(folder, "balls"), floor(folder, "balls", "tracks", "offline", "boxes", "hota")
    names = ("boxes.mota", "boxes.idf1", "boxes.hota", "occlusion.kept")
    heads = ("MOTA", "IDF1", "HOTA", "identity kept through occlusion")
    ours = both(group, "tracks", *names)
    theirs, rival = of(simple, "tracks", "offline", *names), NOTHING if simple is None else simple.title
    yield Row("balls", heads, rival, theirs, *ours, SAME, seeds(group), STUDY)
    for name, beside in (("velocity", "constant velocity"), ("hold", "last place held")):
        theirs, errors = _errors(group, name), _errors(group, "mean")
        horizons = tuple(f"px at {ahead}" for ahead in AHEAD)
        yield Row("balls, forecasts", horizons, beside, theirs, errors, unknown(len(AHEAD)), SAME, seeds(group), STUDY)


def _errors(group: Group | None, name: str) -> Figures:
    if group is None:
        return unknown(len(AHEAD))
    return tuple(group.mean("forecasts", "position_error", name, ahead - 1) for ahead in AHEAD)


def rivals(folder: Path) -> Iterator[Row]:
    """Annotated videos, with rivals tuned on their first half; and made-up scenes, where nobody tunes anything."""
    heads = tuple(score.upper() for score in compared.SCORES)
    for name, methods in compared.read(folder, compared.ANNOTATED).get("videos", {}).items():
        figures = {each: _three(found["second_half"]["centres"]) for each, found in methods.items()}
        online, offline = (figures.get(each, unknown(3)) for each in ("scalor-online", "scalor"))
        yield _annotated(name, figures, "second half", online, offline)
    scenes = compared.read(folder, compared.SCENES).get("videos", {})
    if scenes:
        medians = {
            name: _medians(scenes, name) for name in compared.METHODS if all(name in each for each in scenes.values())
        }
        rival = _best_rival(medians)
        online, offline = (medians.get(name, unknown(3)) for name in ("scalor-online", "scalor"))
        title, beside = f"{len(scenes)} made-up scenes, median", f"{compared.METHODS[rival]}, untuned"
        yield Row(title, heads, beside, medians[rival], online, offline, SAME, "1", RIVALS)


def trained(folder: Path) -> Iterator[Row]:
    """The same annotated videos, after `scalor train` on each of them."""
    for name, methods in compared.read(folder, compared.ANNOTATED).get("videos", {}).items():
        figures = {each: _three(found["second_half"]["centres"]) for each, found in methods.items()}
        for method in TRAINED:
            if method in figures:
                yield _annotated(name, figures, compared.TRAINED[method], unknown(3), figures[method])


def _annotated(name: str, figures: Mapping[str, Figures], which: str, online: Figures, offline: Figures) -> Row:
    """An annotated video beside the best rival.

    :param figures: of each method, on the second half.
    :param which: row it is.
    """
    rival, heads = _best_rival(figures), tuple(score.upper() for score in compared.SCORES)
    title, beside = f"{compared.VIDEOS.get(name, name)}, {which}", f"{compared.METHODS[rival]}, tuned on the first half"
    return Row(title, heads, beside, figures[rival], online, offline, SAME, "1", RIVALS)


def _three(scores: Mapping[str, float | None]) -> Figures:
    return tuple(scores[name] for name in compared.SCORES)


def _medians(scenes: Mapping[str, Any], name: str) -> Figures:
    found = [_three(each[name]["whole"]["centres"]) for each in scenes.values()]
    return tuple(statistics.median(value or 0.0 for value in column) for column in zip(*found, strict=True))


def _best_rival(figures: Mapping[str, Figures]) -> str:
    """By the sum of all scores."""
    others = [name for name in figures if "scalor" not in name]
    return max(others, key=lambda name: sum(value or 0.0 for value in figures[name]))


# ------------------------------------------------------------------ the table


def line(row: Row) -> list[str]:
    """A row as it is written."""
    best_of_ours = tuple(
        online if offline is None else offline for online, offline in zip(row.online, row.offline, strict=True)
    )
    return [
        f"[{row.what}]({row.page})",
        " / ".join(row.scores),
        row.beside,
        *(_figures(row.scores, each) for each in (row.theirs, row.online, row.offline)),
        ahead(row.scores, row.theirs, best_of_ours),
        row.same,
        row.seeds,
    ]


def _figures(scores: tuple[str, ...], figures: Figures) -> str:
    if all(each is None for each in figures):
        return NOTHING
    return " / ".join(written(name, each) for name, each in zip(scores, figures, strict=True))


def written(score: str, figure: float | None, signed: bool = False) -> str:
    """A figure."""
    if figure is None:
        return NOTHING
    return f"{figure:{'+' if signed else ''}.{DIGITS.get(score.split()[0], 3)}f}"


def ahead(scores: tuple[str, ...], theirs: Figures, ours: Figures) -> str:
    """By how much this project is ahead: more is better, whatever the score; bold where it falls short."""
    cells = []
    for name, one, other in zip(scores, theirs, ours, strict=True):
        if one is None or other is None:
            cells.append(NOTHING)
            continue
        digits = DIGITS.get(name.split()[0], 3)
        # As written: who looks at the table must find the difference of what stands there.
        gain = (round(other, digits) - round(one, digits)) * (-1 if name.startswith(ERRORS) else 1)
        cell = written(name, gain + 0.0, signed=True)
        cells.append(f"**{cell}**" if round(gain, digits) < 0 else cell)
    return NOTHING if set(cells) == {NOTHING} else " / ".join(cells)


HEADS = ["what", "score", "beside", "its figures", "online", "offline", "ahead by", "videos", "seeds"]


def placed(rows: Callable[[], Iterator[Row]]) -> str:
    """A table of rows."""
    lines = [line(row) for row in rows()]
    return markdown_table(HEADS, lines or [[NOTHING] * len(HEADS)])


def origins(folder: Path, ways: Mapping[str, Book], titles: Mapping[str, str]) -> str:
    """Command and commits of each figure; of several seeds, the command of the first."""
    rows = [_origin(title, ways["online"].of(setting)) for setting, title in titles.items()]
    rows.append(_origin("people from a building", ways["online"].of("ped2")))
    for benchmark, title in public_tables.BENCHMARKS.items():
        for group in groups(folder, benchmark):
            made = [record["training"] or record["provenance"] for record in group.records]
            rows.append(_origin(f"{title}: {group.title}", made))
    for name, title in ((compared.ANNOTATED, "annotated videos"), (compared.SCENES, "made-up scenes")):
        record = compared.read(folder, name)
        rows.append(_origin(title, [record["provenance"]] if record else []))
    return markdown_table(["figures", "command", "commits", "machine"], rows)


def _origin(title: str, made: Sequence[Mapping[str, Any]]) -> list[str]:
    if not made:
        return [title, *[NOTHING] * 3]
    commits = sorted({each["commit"][:7] for each in made if each["commit"]})
    machines = sorted({each["machine"] for each in made if each["machine"]})
    command = f"`{made[0]['command']}`" if made[0]["command"] else NOTHING
    return [title, command, ", ".join(f"`{each}`" for each in commits) or NOTHING, "; ".join(machines) or NOTHING]


def tables(folder: Path, ways: Mapping[str, Book], titles: Mapping[str, str]) -> dict[str, Callable[[], str]]:
    """The tables of the page.

    :param folder: of all records.
    :param ways: the records of trainings, by the way to infer.
    :param titles: of the paper's settings.
    """
    return {
        "placing-paper": lambda: placed(lambda: paper(ways, titles)),
        "placing-public": lambda: placed(lambda: public(folder)),
        "placing-unseen": lambda: placed(lambda: rivals(folder)),
        "placing-trained": lambda: placed(lambda: trained(folder)),
        "placing-natural": lambda: placed(lambda: natural(ways)),
        "placing-origins": lambda: origins(folder, ways, titles),
    }
