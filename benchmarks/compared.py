"""The tables of docs/studies/rivals.md, from the records that rivals.py, ped2.py and colloids.py write."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scalor_pyro.evaluation.tables import markdown_table, shown

ANNOTATED, SCENES = "rivals.json", "made_up_scenes.json"
PED2, COLLOIDS = "any_scene_ped2.json", "any_scene_colloids.json"

NOTHING = "–"
# What the tables call the methods, in their order.
METHODS = {
    "scalor": "**scalor**",
    "scalor-online": "**scalor, online**",
    "trackpy": "trackpy",
    "laptrack": "subtraction + laptrack",
    "oc-sort": "subtraction + OC-SORT",
}
# … with `scalor train` on the same video before it.
TRAINED = {
    "scalor": "no training",
    "scalor-trained-2": "trained, 2 minutes",
    "scalor-trained-10": "trained, 10 minutes",
    "scalor-scratch-2": "from scratch, 2 minutes",
    "scalor-scratch-10": "from scratch, 10 minutes",
}
SCORES = ("mota", "idf1", "hota")
# What the tables call the videos.
VIDEOS = {
    "crowd_ld": "8–11 sprites over black",
    "crowd_md": "18–24 sprites over black",
    "pets": "PETS S2.L1",
    "pets-half": "PETS S2.L1, half size",
    "zfish": "ten zebrafish",
}


def read(folder: Path, name: str) -> dict[str, Any]:
    """A record; empty if there is none yet."""
    path = folder / name
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return record


def three(scores: Mapping[str, float | None]) -> str:
    """MOTA / IDF1 / HOTA."""
    return " / ".join(shown(scores[name]) for name in SCORES)


def annotated(folder: Path) -> str:
    """Annotated videos: scores on the half that was not tuned on, and on the whole."""
    heads = ["video", "method", "second half: MOTA / IDF1 / HOTA", "whole: MOTA / IDF1 / HOTA", "precision", "recall"]
    rows = []
    for name, methods in read(folder, ANNOTATED).get("videos", {}).items():
        for method, figures in ((each, methods[each]) for each in METHODS if each in methods):
            late, whole = figures["second_half"]["centres"], figures["whole"]["centres"]
            rows.append(
                [
                    VIDEOS.get(name, name),
                    METHODS[method],
                    three(late),
                    three(whole),
                    shown(whole["precision"]),
                    shown(whole["recall"]),
                    str(whole["switches"]),
                    f"{figures['identities']} / {whole['identities']}",
                    shown(figures["whole"]["boxes"]["mota"]),
                    f"{figures['frames_per_s']:.0f}",
                ]
            )
    further = ["switches", "identities / true", "MOTA by boxes", "frames/s"]
    return markdown_table([*heads, *further], rows or [[NOTHING] * 10])


def trained(folder: Path) -> str:
    """Annotated videos: what training on the video itself adds, over the whole video."""
    heads = ["video", "training", "steps", "MOTA / IDF1 / HOTA", "precision", "recall", "switches", "weights kept"]
    rows = []
    for name, methods in read(folder, ANNOTATED).get("videos", {}).items():
        if any(method in methods for method in list(TRAINED)[1:]):
            rows += [
                [VIDEOS.get(name, name), title, *_of_training(methods[method])]
                for method, title in TRAINED.items()
                if method in methods
            ]
    return markdown_table(heads, rows or [[NOTHING] * len(heads)])


def _of_training(figures: Mapping[str, Any]) -> list[str]:
    whole, training = figures["whole"]["centres"], figures.get("training", {})
    held_out = training.get("held_out")
    cells = [three(whole), shown(whole["precision"]), shown(whole["recall"]), str(whole["switches"])]
    return [str(training.get("steps", NOTHING)), *cells, held_out["kept"] if held_out else NOTHING]


def settings(folder: Path) -> str:
    """What tuning chose."""
    rows = []
    for name, methods in read(folder, ANNOTATED).get("videos", {}).items():
        for method, figures in methods.items():
            if "size" in figures["settings"]:
                chosen = (f"{key} {_figure(value)}" for key, value in figures["settings"].items())
                rows.append([VIDEOS.get(name, name), METHODS[method], ", ".join(chosen).replace("_", " ")])
    return markdown_table(["video", "method", "settings"], rows or [[NOTHING] * 3])


def _figure(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}"


def made_up(folder: Path) -> str:
    """Made-up scenes: nobody tunes anything."""
    videos = read(folder, SCENES).get("videos", {})
    methods = [method for method in METHODS if any(method in each for each in videos.values())]
    heads = [
        "scene",
        *(f"{METHODS[each]}: MOTA / IDF1 / HOTA" for each in methods),
        "scalor: MOTA by boxes",
        "frames/s",
    ]
    rows = [_scene(name, videos[name], methods) for name in sorted(videos)]
    if not rows:
        return markdown_table(heads, [[NOTHING] * len(heads)])
    boxes = [each["scalor"]["whole"]["boxes"]["mota"] for each in videos.values()]
    medians = [_medians([each[method]["whole"]["centres"] for each in videos.values()]) for method in methods]
    return markdown_table(heads, [*rows, ["**median**", *medians, shown(statistics.median(boxes)), ""]]) + _ranks(
        videos
    )


def _scene(name: str, figures: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    cells = [three(figures[method]["whole"]["centres"]) for method in methods]
    ours = figures["scalor"]
    return [name, *cells, shown(ours["whole"]["boxes"]["mota"]), f"{ours['frames_per_s']:.0f}"]


def _medians(scores: Sequence[Mapping[str, float | None]]) -> str:
    # A rival that finds nothing has no IDF1; it counts as 0.
    return three({name: statistics.median(each[name] or 0.0 for each in scores) for name in SCORES})


def _ranks(videos: Mapping[str, Any]) -> str:
    """The worst scenes, and in how many scalor is ahead."""
    mota = {name: each["scalor"]["whole"]["centres"]["mota"] for name, each in videos.items()}
    worst = sorted(mota, key=lambda name: mota[name])[:3]
    ahead = []
    for score in SCORES:
        best = {
            name: max(one["whole"]["centres"][score] or 0.0 for method, one in each.items() if "scalor" not in method)
            for name, each in videos.items()
        }
        won = sum((each["scalor"]["whole"]["centres"][score] or 0.0) >= best[name] for name, each in videos.items())
        ahead.append(f"{score.upper()} in {won}")
    low = ", ".join(f"{name} ({shown(mota[name])})" for name in worst)
    return (
        f"\nWorst by MOTA: {low}. At least as good as the best of the three untuned pipelines: {', '.join(ahead)} of"
        f" {len(videos)} scenes.\n"
    )


def counts(folder: Path) -> str:
    """People and particles, found without training."""
    people, particles = read(folder, PED2), read(folder, COLLOIDS)
    rows = [
        ["people of Ped2, counted by hand", _share(people, "recall"), _share(people, "precision")],
        ["particles that trackpy locates", _share(particles, "found_share"), _share(particles, "precision")],
    ]
    return markdown_table(["", "recall", "precision"], rows)


def _share(record: Mapping[str, Any], name: str) -> str:
    return shown(record[name]) if name in record else NOTHING


def origin(folder: Path) -> str:
    """Where the records come from."""
    rows = []
    for name in (ANNOTATED, SCENES, PED2, COLLOIDS):
        made = read(folder, name).get("provenance")
        cells = (
            [f"`{made['command']}`", f"`{(made['commit'] or NOTHING)[:7]}`", made["machine"]] if made else [NOTHING] * 3
        )
        rows.append([f"`{name}`", *cells])
    return markdown_table(["record", "command", "commit", "machine"], rows)


TABLES: dict[str, Callable[[Path], str]] = {
    "rivals": annotated,
    "rivals-trained": trained,
    "rival-settings": settings,
    "made-up-scenes": made_up,
    "any-scene-counts": counts,
    "rival-records": origin,
}
