"""Record finished runs, and write the tables of README.md and docs/ from all records and the paper's figures.

python benchmarks/tables.py runs/sprites-md runs/digits-vld --mnist mnist.npz
python benchmarks/tables.py --packaged digits-vld sprites-md --mnist mnist.npz
python benchmarks/tables.py

Records are the files of docs/records. Without a run, the tables are written again from the existing records.
"""

import argparse
import json
import math
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import compared
import placing
import public_tables
from records import AGAIN, HINDSIGHT, finished, read, record, record_packaged, score_again

from scalor_pyro.cli.errors import command
from scalor_pyro.experiments.synthetic import Likelihood
from scalor_pyro.files import write_atomically
from scalor_pyro.runs.cards import synthetic_names

ROOT = Path(__file__).resolve().parents[1]
RECORDS, PAPER, GOALS = ROOT / "docs" / "records", "paper.json", "goals.json"
# A table is rewritten between its marker and the end marker.
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

# Stands for figures without a record.
NOTHING = "–"
# Formats by figure.
FORMATS = {
    "mse": "{:.4f}",
    "nll": "{:.3f}",
    "training_minutes": "{:.1f}",
    "processor_minutes": "{:.1f}",
    "steps": "{:.0f}",
}
FORMATS |= {"wall_seconds": "{:.2f}", "processor_seconds": "{:.2f}"}
SCORE = "{:.3f}"
# Between a mean and its standard deviation, with spaces that do not break.
SPREAD = "\u00a0±\u00a0"

# Rows of the tables: the setting and its title.
COUNTS = {"vld": "2–4", "ld": "8–11", "md": "18–24", "hd": "50–64", "vhd": "90–110"}
TITLES = {
    f"{objects}-{density}": f"{objects} {density.upper()}, {count}"
    for objects, densities in (("sprites", COUNTS), ("digits", ("vld", "ld", "md")))
    for density in densities
    for count in [COUNTS[density]]
}
WITH_BACKGROUND = TITLES | {"bg": "BG: sprites MD, moving background"}
TRACKED = WITH_BACKGROUND | {"lg": "LG: sprites MD, tested on 20 frames"}
# The paper's further experiments (appendix C).
FURTHER = {
    "unseen-digits": "trained on digits 0–5, tested on 6–9",
    "denser": "trained on 15–25 sprites, tested on 50–60",
    "dense-discovery": "10–15 new sprites at each of the frames 1, 5 and 9",
    "occlusion": "8–11 sprites that meet",
}
MODELS = {"": "SCALOR", "vrnn-": "VRNN", "sequential-vae-": "SequentialVAE", "sqair-": "SQAIR"}
# The setting with people seen from a building, and the models compared on it.
NATURAL = "ped2"
OF_NATURAL = {prefix: model for prefix, model in MODELS.items() if prefix != "sqair-"}
# Settings for which the paper gives SQAIR's scores.
WITH_SQAIR = ("digits-vld", "sprites-vld", "sprites-ld")

# What lowers MOTA.
ERRORS = {"misses": "misses", "false_alarms": "false alarms", "switches": "identity switches"}

Record = Mapping[str, Any]


class Book:
    """All records, and the paper's figures, by setting."""

    def __init__(self, records: Path, hindsight: bool = False) -> None:
        """Read a folder.

        :param hindsight: take the scores by inference that sees the whole video first, of the runs that have them.
        """
        self.folder = records
        self.records = [_with_times(each) for each in read(records)]
        if hindsight:
            self.records = [{**each, **each[HINDSIGHT]} for each in self.records if HINDSIGHT in each]
        paper = json.loads((records / PAPER).read_text(encoding="utf-8"))
        self.paper: dict[str, dict[str, float]] = paper["settings"]

    def settings(self) -> list[str]:
        """Each setting with a record: those of the tables first, in their order, then the others by name."""
        known = [prefix + name for prefix in MODELS for name in (*TRACKED, NATURAL)]
        found = {each["setting"] for each in self.records}
        return [name for name in known if name in found] + sorted(found - set(known))

    def of(self, setting: str) -> list[Record]:
        """The records of a setting, by seed."""
        found = (each for each in self.records if each["setting"] == setting)
        return sorted(found, key=lambda each: int(each["seed"]))

    def figures(self, setting: str, name: str) -> list[float]:
        """A figure of each seed that has it."""
        return [each[name] for each in self.of(setting) if each.get(name) is not None]

    def mean(self, setting: str, name: str) -> float | None:
        """The mean over the seeds."""
        figures = self.figures(setting, name)
        return statistics.fmean(figures) if figures else None

    def cell(self, setting: str, name: str, spread: bool = False) -> str:
        """The mean over the seeds; with `spread`, also the standard deviation if there are several."""
        figures = self.figures(setting, name)
        mean = written(name, self.mean(setting, name))
        return f"{mean}{SPREAD}{written(name, statistics.stdev(figures))}" if spread and len(figures) > 1 else mean

    def papers(self, setting: str, name: str) -> str:
        """The paper's figure."""
        return written(name, self.paper.get(setting, {}).get(name))

    def seeds(self, setting: str) -> str:
        """The number of seeds."""
        return str(len(self.of(setting)) or NOTHING)

    def sampled(self, settings: Iterable[str]) -> str:
        """How the NLL of some settings was measured."""
        found = [each for name in settings for each in self.of(name) if "nll" in each]
        ways = sorted({(each["nll_samples"], each["nll_videos"]) for each in found})
        words = [f"{samples} importance samples of each of {videos} videos" for samples, videos in ways]
        return "; ".join(words) or NOTHING

    def reached(self, setting: str, name: str) -> str:
        """Whether the mean is as good as the paper's figure, both rounded as in the table.

        MOTA (also the strict one) must be at least the paper's MOTA; errors must be lower.
        """
        score = name.startswith("mota")
        mean, paper = self.mean(setting, name), self.paper.get(setting, {}).get("mota" if score else name)
        if mean is None or paper is None:
            return NOTHING
        ours, theirs = float(written(name, mean)), float(written(name, paper))
        return "yes" if (ours >= theirs if score else ours < theirs) else "no"


def _with_times(each: Record) -> Record:
    """A record with the mean time of a step, evaluations during training included."""
    times = {"wall_seconds": each["training_minutes"], "processor_seconds": each["processor_minutes"]}
    return {**each, **{name: value and value * 60 / each["steps"] for name, value in times.items()}}


def written(name: str, value: float | None) -> str:
    """A figure as a table shows it."""
    return NOTHING if value is None or math.isnan(value) else FORMATS.get(name, SCORE).format(value)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tracking(book: Book) -> str:
    """Scores of tracks, on the videos of the paper's Table 1."""
    return scored(book, TRACKED)


def further(book: Book) -> str:
    """Scores of tracks, on the videos of the paper's appendix C."""
    return scored(book, FURTHER)


def scored(book: Book, titles: Mapping[str, str]) -> str:
    """Scores of tracks, online and offline.

    :param titles: of the settings.
    """
    heads = ["videos", "inference", "seeds", "MOTA 2×", "MOTA 0.5×", "IDF1", "HOTA", "precision", "recall", "CountMAE"]
    scores = ("idf1", "hota", "precision", "recall", "count_mae", "mse")
    rows = [
        [
            title,
            way,
            seen.seeds(name),
            seen.cell(name, "mota", spread=True),
            seen.cell(name, "mota_strict", spread=True),
            *(seen.cell(name, score) for score in scores),
            seen.cell(name, "training_minutes"),
        ]
        for name, title in titles.items()
        for way, seen in both_ways(book).items()
    ]
    return markdown([*heads, "MSE", "minutes"], rows)


def both_ways(book: Book) -> dict[str, Book]:
    """The scores of each way to infer; the lag is that of videos of ten frames (LG: 20)."""
    return {"online": book, "offline": Book(book.folder, hindsight=True)}


def against_paper(book: Book) -> str:
    """The paper's Table 1, and whether its figures are reached."""
    heads = ["videos", *(f"paper: {name}" for name in ("MOTA", "precision", "recall", "CountMAE"))]
    reached = {"mota": "MOTA 2×", "mota_strict": "MOTA 0.5×", "count_mae": "CountMAE"}
    rows = [
        [
            title,
            *(book.papers(name, score) for score in ("mota", "precision", "recall", "count_mae")),
            *(seen.reached(name, score) for seen in both_ways(book).values() for score in reached),
        ]
        for name, title in TRACKED.items()
    ]
    return markdown([*heads, *(f"{way}: {title}" for way in both_ways(book) for title in reached.values())], rows)


def goals(book: Book) -> str:
    """MOTA beside the goals of this project, and what lowers it, in percent of the true objects."""
    wanted = json.loads((book.folder / GOALS).read_text(encoding="utf-8"))["settings"]
    rows = []
    for name, title in TRACKED.items():
        for way, seen in both_ways(book).items():
            mean, goal = seen.mean(name, "mota"), wanted[name][way]
            short = NOTHING if mean is None else written("mota", max(0.0, goal - float(written("mota", mean))))
            rows.append([title, way, written("mota", goal), seen.cell(name, "mota"), short, *_errors(seen.of(name))])
    return markdown(["videos", "inference", "goal", "MOTA 2×", "short by", *ERRORS.values()], rows)


def _errors(records: Sequence[Record]) -> list[str]:
    """Errors of each kind for 100 true objects, the mean over seeds."""
    cells = []
    for error in ERRORS:
        shares = [each[error] * (1 - each["recall"]) / each["misses"] for each in records]  # recall counts all objects
        cells.append(f"{100 * statistics.fmean(shares):.1f} %" if shares else NOTHING)
    return cells


def reconstruction(book: Book) -> str:
    """The MSE of the paper's Table 2: all models on the same data."""
    rows = [
        [
            title,
            *(book.cell(prefix + name, "mse") for prefix in MODELS),
            *(book.papers(prefix + name, "mse") for prefix in ("", "vrnn-")),
            book.reached(name, "mse"),
        ]
        for name, title in WITH_BACKGROUND.items()
    ]
    return markdown(["videos", *MODELS.values(), "paper: SCALOR", "paper: VRNN", "reached"], rows)


def likelihood(book: Book) -> str:
    """The NLL of the paper's Table 2: all models on the same data."""
    rows = [[title, *(book.cell(prefix + name, "nll") for prefix in MODELS)] for name, title in WITH_BACKGROUND.items()]
    shown = [prefix + name for name in WITH_BACKGROUND for prefix in MODELS]
    return markdown(["videos", *MODELS.values()], rows) + f"\nNLL: {book.sampled(shown)}.\n"


def natural(book: Book) -> str:
    """The paper's comparison on natural scenes."""
    heads = ["model", "seeds", "NLL", "MSE", "steps", "minutes", "processor minutes"]
    models = {prefix + NATURAL: model for prefix, model in OF_NATURAL.items()}
    shown = ("steps", "training_minutes", "processor_minutes")
    rows = [
        [
            model,
            book.seeds(name),
            book.cell(name, "nll", spread=True),
            book.cell(name, "mse"),
            *(book.cell(name, figure) for figure in shown),
        ]
        for name, model in models.items()
    ]
    return markdown(heads, rows) + f"\nNLL: {book.sampled(models)}.\n"


def sqair(book: Book) -> str:
    """SQAIR beside SCALOR: tracking, and what a step of training costs."""
    heads = ["videos", "model", "seeds", "MOTA 2×", "MOTA 0.5×", "IDF1", "HOTA", "CountMAE", "seconds a step"]
    shown = ("mota_strict", "idf1", "hota", "count_mae", "wall_seconds", "processor_seconds", "training_minutes")
    rows = [
        [
            TITLES[data],
            MODELS[prefix],
            book.seeds(prefix + data),
            book.cell(prefix + data, "mota", spread=True),
            *(book.cell(prefix + data, name) for name in shown),
            book.papers(prefix + data, "mota"),
        ]
        for data in WITH_SQAIR
        for prefix in ("", "sqair-")
    ]
    return markdown([*heads, "processor seconds a step", "minutes", "paper: MOTA"], rows)


def paper_preset(book: Book) -> str:
    """Trained as in the paper, and as here by default."""
    heads = ["setting", "seeds", "steps", "minutes", "MOTA 2×", "MOTA 0.5×", "IDF1", "precision", "recall", "CountMAE"]
    shown = ("mota_strict", "idf1", "precision", "recall", "count_mae", "mse", "nll", "propagation_rate")
    others = [name for name in book.settings() if re.fullmatch(r"digits-vld-.*(steps|minutes)", name)]
    papers = [name for name in book.settings() if name.startswith("paper-") and name != "paper-digits-vld"]
    rows = [
        [
            f"`{name}`",
            book.seeds(name),
            book.cell(name, "steps"),
            book.cell(name, "training_minutes"),
            book.cell(name, "mota", spread=True),
            *(book.cell(name, score) for score in shown),
        ]
        for name in ("digits-vld", *others, "paper-digits-vld", *papers)
    ]
    return markdown([*heads, "MSE", "NLL", "propagated"], rows)


def runs(book: Book) -> str:
    """Every training with its origin."""
    heads = ["setting", "seed", "steps", "minutes", "processor minutes", "commit", "machine", "command"]
    rows = [
        [
            each["setting"],
            str(each["seed"]),
            str(each["steps"]),
            written("training_minutes", each["training_minutes"]),
            written("processor_minutes", each["processor_minutes"]),
            shown_commit(each),
            each["machine"] or NOTHING,
            f"`{each['command']}`" if each["command"] else NOTHING,
        ]
        for setting in book.settings()
        for each in book.of(setting)
        if each["trained_as"] == setting
    ]
    return markdown(heads, rows or [[NOTHING] * len(heads)])


def shown_commit(each: Record) -> str:
    """The short commit, with remarks: uncommitted changes, a resumed training, a later scoring."""
    if each["commit"] is None:
        return NOTHING
    remarks = ["with changes"] * bool(each["changed"]) + ["of the last resume"] * bool(each["resumed"])
    remarks += [f"scored at `{each[AGAIN][:7]}`"] if each.get(AGAIN) else []
    return f"`{each['commit'][:7]}`" + "".join(f", {remark}" for remark in remarks)


def summary(book: Book) -> str:
    """The tracking scores of README.md and the start page."""
    heads = ["videos", "seeds", "online: MOTA 2× / 0.5×", "offline: MOTA 2× / 0.5×", "paper", "minutes"]
    rows = [
        [
            title,
            book.seeds(name),
            *(f"{seen.cell(name, 'mota')} / {seen.cell(name, 'mota_strict')}" for seen in both_ways(book).values()),
            book.papers(name, "mota"),
            book.cell(name, "training_minutes"),
        ]
        for name, title in TRACKED.items()
        if book.of(name)
    ]
    return markdown(heads, rows or [[NOTHING] * len(heads)])


def of_folder(table: Callable[[Path], str]) -> Callable[[Book], str]:
    """A table whose records are not those of runs."""
    return lambda book: table(book.folder)


def of_placing(name: str) -> Callable[[Book], str]:
    """A table of the page that places the project."""
    return lambda book: placing.tables(book.folder, both_ways(book), TRACKED)[name]()


# The tables of each page.
PAGES: dict[Path, dict[str, Callable[[Book], str]]] = {
    ROOT / "docs" / "results.md": {
        "tracking": tracking,
        "against-paper": against_paper,
        "goals": goals,
        "reconstruction": reconstruction,
        "likelihood": likelihood,
        "natural": natural,
        "sqair": sqair,
    },
    ROOT / "docs" / "studies" / "paper_settings.md": {"paper-preset": paper_preset},
    ROOT / "docs" / "studies" / "generalisation.md": {"further": further},
    ROOT / "docs" / "trainings.md": {"runs": runs},
    ROOT / "docs" / "studies" / "rivals.md": {name: of_folder(table) for name, table in compared.TABLES.items()},
    ROOT / "docs" / "studies" / "public_benchmarks.md": {
        name: of_folder(table) for name, table in public_tables.TABLES.items()
    },
    ROOT / "docs" / "placing.md": {name: of_placing(name) for name in placing.NAMES},
    ROOT / "README.md": {"summary": summary},
    ROOT / "docs" / "index.md": {"summary": summary},
}


def filled(page: Path, book: Book) -> str:
    """The text of a page with each table as the records have it.

    :raises ValueError: if its markers are not those of its tables, each once.
    """
    text, tables = page.read_text(encoding="utf-8"), PAGES[page]
    names = [match[2] for match in MARKED.finditer(text)]
    if sorted(names) != sorted(tables):
        raise ValueError(f"{page}: expected one marker for each of {list(tables)}, got {names}.")
    return MARKED.sub(lambda match: f"{match[1]}\n{tables[match[2]](book)}\n{match[3]}", text)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folders of finished runs to record")
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST, for runs with digits")
    parser.add_argument("--packaged", nargs="+", default=[], choices=synthetic_names(), metavar="NAME",
                        help="packaged weights to score offline, for the records of their runs")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="score RUNs again with the current version")
    parser.add_argument("--nll", type=int, default=50, metavar="N",
                        help="importance samples per video (default: %(default)s)")  # fmt: skip
    parser.add_argument("--nll-videos", type=int, default=16, metavar="N",
                        help="number of unseen videos for the NLL (default: %(default)s)")  # fmt: skip
    return parser.parse_args(arguments)


@command
def main(arguments: list[str] | None = None) -> int:
    """Record and write."""
    options = parse(arguments)
    how = Likelihood(options.nll, options.nll_videos)
    for run in [finished(folder, options.mnist) for folder in options.runs]:
        run = score_again(run) if options.again else run
        for path in record(run, RECORDS, how):
            print(f"{run.folder} is recorded in {path.relative_to(ROOT)}.")
    for name in options.packaged:
        for path in record_packaged(name, RECORDS, options.mnist):
            print(f"{name}, offline, is recorded in {path.relative_to(ROOT)}.")
    for page in PAGES:
        write_atomically(page, filled(page, Book(RECORDS)).encode())
    print(f"The tables of {' and '.join(str(page.relative_to(ROOT)) for page in PAGES)} are written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
