"""Records of finished runs, for the tables of docs/: scores and origin, as JSON."""

import json
import logging
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyro

from scalor_pyro.config import ConfigError, DataConfig, RunConfig
from scalor_pyro.config.presets import PRESETS, setting_of, test_videos
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.evaluation.metrics import hota, without_nan
from scalor_pyro.experiments import baselines
from scalor_pyro.experiments.synthetic import TEST_SEED, Experiment, Likelihood, evaluate, mean_nll
from scalor_pyro.experiments.ways import OFFLINE, ONLINE, Way
from scalor_pyro.files import write_atomically
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.cards import synthetic_card_of
from scalor_pyro.runs.configs import CheckpointError
from scalor_pyro.runs.loading import load_config, load_weights
from scalor_pyro.runs.provenance import PACKAGE, source_of
from scalor_pyro.tracks.text import read_mot

logger = logging.getLogger(__name__)

# Unseen videos that a run must have been scored on.
VIDEOS = 200
# A run of the first setting is also scored on the videos of the second (paper App. C).
LONGER = {"sprites-md": "lg"}
# Results of a run that its record keeps, if present.
SCORES = (
    "mota",
    "mota_strict",
    "idf1",
    "hota",
    "precision",
    "recall",
    "switches",
    "misses",
    "false_alarms",
    "count_mae",
    "mse",
    "propagation_rate",
    "discoveries",
)
NLL = ("nll", "nll_samples", "nll_videos")
# The scores by inference that sees the whole video first, within a run's results.
HINDSIGHT = "offline"
TRAINING = ("videos", "steps", "training_minutes", "processor_minutes", "seed", "digits")
# The commit that a run was scored at again, if it was.
AGAIN = "scored_at"
ORIGIN = ("commit", "changed", "machine", "processes", "resumed", "python", "torch", "pyro")


class RecordError(ValueError):
    """A run that cannot be recorded; the message names its folder and the reason."""


class Kind(NamedTuple):
    """A kind of run: the prefix of its settings' names, its config, its program."""

    prefix: str
    run: type[Any]
    build: Callable[[Any], Any]
    setting_of: Callable[[Any], str | None]


# SCALOR's settings have no prefix, so it is last.
KINDS = (
    *(Kind(f"{name}-", known.run, known.build, baselines.setting_of) for name, known in baselines.BASELINES.items()),
    Kind("", RunConfig, Scalor, setting_of),
)


class Finished(NamedTuple):
    """A run that was trained and scored."""

    folder: Path
    results: dict[str, Any]  # its results.json
    kind: Kind
    setting: str
    config: Experiment
    mnist: Path | None

    def program(self) -> Any:
        """The trained program.

        :raises CheckpointError: if its weights are missing, or the networks have changed since.
        """
        program = self.kind.build(self.config.model)
        load_weights(self.folder, program, same_config=False)
        program.schedule(self.config.train.settled(self.results["steps"]))
        return program

    def videos(self, data: DataConfig) -> SyntheticVideos:
        """Unseen videos of a kind."""
        return SyntheticVideos(data, TEST_SEED, "test", self.mnist if data.objects == "digits" else None)


def finished(folder: Path, mnist: Path | None = None, videos: int = VIDEOS) -> Finished:
    """Read a run.

    :raises RecordError: if it is not finished, was scored on fewer videos, or is no run of a preset.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise RecordError(f"{folder} is not a finished run: it has no results.json.")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        scored = results["videos"]
    except (ValueError, LookupError, TypeError) as error:
        raise RecordError(f"{path}: expected the results of a run.") from error
    if scored < videos:
        raise RecordError(f"{folder}: expected scores for at least {videos} videos, got {scored}.")
    kind, setting, config = _known(folder, results)
    digits = "-uci" if results["digits"] == "uci" else ""
    run = Finished(folder, results, kind, setting + digits, config, mnist)
    return as_today(run) if AGAIN in results else run


def _known(folder: Path, results: Mapping[str, Any]) -> tuple[Kind, str, Experiment]:
    """The kind and setting that a run states, since presets change; else those of the preset that it equals today."""
    stated = results["provenance"]["preset"] if "provenance" in results else None
    if stated is not None:
        kind = next(kind for kind in KINDS if stated.startswith(kind.prefix))  # the last prefix is empty
        return kind, stated, load_config(folder, kind.run)
    for kind in KINDS:
        try:
            config = load_config(folder, kind.run)
        except CheckpointError:
            continue  # it is of another kind
        setting = kind.setting_of(config)
        if setting is not None:
            return kind, setting, config
    raise RecordError(f"{folder} is not a run of a preset; only those can be recorded.")


def as_today(run: Finished) -> Finished:
    """The run with its preset's current settings; the weights fit only if the networks have not changed."""
    make = PRESETS.get(run.results["provenance"]["preset"])
    return run if make is None else run._replace(config=replace(run.config, model=make().model, train=make().train))


def score_again(run: Finished) -> Finished:
    """Score the weights of a run with the current version and preset, and update its results.

    :raises RecordError: if it has no tracks to score, or no provenance.
    :raises CheckpointError: if the networks have changed since.
    """
    if "mota" not in run.results or "provenance" not in run.results:
        raise RecordError(f"{run.folder} cannot be scored again: it has no tracks or no provenance.")
    run = as_today(run)
    videos = run.videos(run.config.evaluated)
    scores = evaluate(run.program(), videos, run.results["videos"], tracks=run.folder / "tracks")
    run.results.update(without_nan(scores), **{AGAIN: source_of(PACKAGE).commit})
    for name in (*NLL, HINDSIGHT):
        run.results.pop(name, None)
    write_atomically(run.folder / "results.json", json.dumps(run.results, indent=1).encode())
    return run


def record(run: Finished, records: Path, likelihood: Likelihood) -> list[Path]:
    """Measure the scores that a run lacks, and write its record; for some settings also one on longer videos.

    :param records: the folder of the records; a record of the same setting and seed is replaced.
    :param likelihood: how the NLL is measured. It is added to the run's own results, so it is measured once.
    :return: the files written.
    """
    _measure_nll(run, likelihood)
    _measure_hindsight(run)
    scores = dict(run.results)
    if "mota" in scores:
        scores["hota"] = _hota(run.folder / "tracks", run.videos(run.config.evaluated), scores["videos"])
    written = [write(records, run.setting, run.setting, run.results, scores)]
    if run.setting in LONGER:
        setting = LONGER[run.setting]
        data = test_videos(setting, run.config.data)
        videos, count = run.videos(data), run.results["videos"]
        longer, seen = (_scored(run.program(), videos, count, way) for way in (ONLINE, OFFLINE))
        longer[HINDSIGHT] = seen
        written.append(write(records, setting, run.setting, run.results, longer))
    return written


def _measure_nll(run: Finished, likelihood: Likelihood) -> None:
    """Add the NLL to the results of a run, unless they hold one measured in the same way."""
    wanted = {"nll_samples": likelihood.samples, "nll_videos": likelihood.videos}
    if "nll" in run.results and wanted.items() <= run.results.items():
        return
    pyro.set_rng_seed(run.config.seed)  # of the importance samples
    videos = run.videos(run.config.evaluated)
    nll = mean_nll(run.program(), videos, likelihood.videos, likelihood.samples)
    run.results.update(without_nan({"nll": nll}), **wanted)
    write_atomically(run.folder / "results.json", json.dumps(run.results, indent=1).encode())


def _measure_hindsight(run: Finished) -> None:
    """Add the scores by hindsight to the results of a run of SCALOR, unless they are there: no other model has it."""
    if run.kind.build is not Scalor or "mota" not in run.results or HINDSIGHT in run.results:
        return
    videos, count = run.videos(run.config.evaluated), run.results["videos"]
    run.results[HINDSIGHT] = without_nan(_scored(run.program(), videos, count, OFFLINE))
    write_atomically(run.folder / "results.json", json.dumps(run.results, indent=1).encode())


def _scored(program: Any, videos: SyntheticVideos, count: int, way: Way) -> dict[str, Any]:
    """The scores of a program on unseen videos."""
    with tempfile.TemporaryDirectory() as folder:
        scores: dict[str, Any] = evaluate(program, videos, count, tracks=Path(folder), way=way)
        return scores | {"hota": _hota(Path(folder), videos, count)}


def record_packaged(name: str, records: Path, mnist: Path | None) -> list[Path]:
    """Add the scores by hindsight of packaged weights to the record of the run that they come from.

    The weights are those of the run, rounded to half precision.

    :return: the files changed.
    :raises RecordError: if there is no record of that run.
    """
    config, card = synthetic_card_of(name)
    program, written = Scalor.from_pretrained(name), []
    for setting in (name, *([LONGER[name]] if name in LONGER else [])):
        path = records / f"{setting}-{card['seed']}.json"
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if values.get("command") != card["command"]:
            raise RecordError(f"{path}: expected the record of the run of {name}, {card['command']}.")
        data = test_videos(setting, config.data)
        videos = SyntheticVideos(data, TEST_SEED, "test", mnist if data.digits == "mnist" else None)
        found = without_nan(_scored(program, videos, values["videos"], OFFLINE))
        values[HINDSIGHT] = {score: found[score] for score in SCORES} | {AGAIN: source_of(PACKAGE).commit}
        write_atomically(path, (json.dumps(values, indent=1) + "\n").encode())
        written.append(path)
    return written


def _hota(tracks: Path, videos: SyntheticVideos, count: int) -> float | None:
    """HOTA of the tracks that an evaluation wrote; None if trackeval is not installed."""
    try:
        found = [read_mot(tracks / f"{index:05d}.txt") for index in range(count)]
        return hota(found, videos.batch(0, count).truth).hota
    except ConfigError as error:
        logger.warning("%s", error)
        return None


def write(
    records: Path, setting: str, trained_as: str, results: Mapping[str, Any], scores: Mapping[str, Any] | None = None
) -> Path:
    """Write one record.

    :param setting: the setting that was scored; with the seed, the name of the file.
    :param trained_as: the setting that was trained.
    :param results: the run's results.json.
    :param scores: the scores to record; default: those of the results.
    """
    scores, origin = results if scores is None else scores, results.get("provenance", {})
    values = {
        "setting": setting,
        "trained_as": trained_as,
        **{name: results.get(name) for name in TRAINING},
        **{name: scores[name] for name in (*SCORES, *NLL) if name in scores},
        **({HINDSIGHT: {name: scores[HINDSIGHT][name] for name in SCORES}} if HINDSIGHT in scores else {}),
        "command": without_folders(origin.get("command")),
        **{name: origin.get(name) for name in ORIGIN},
        **({AGAIN: results[AGAIN]} if AGAIN in results else {}),
    }
    records.mkdir(parents=True, exist_ok=True)
    path = records / f"{setting}-{results['seed']}.json"
    write_atomically(path, (json.dumps(without_nan(values), indent=1) + "\n").encode())
    return path


def without_folders(command: str | None) -> str | None:
    """The command with absolute paths cut to file names, since the folders mean nothing on another machine."""
    if command is None:
        return None
    return shlex.join(re.sub(r"^(--[\w-]+=)?/.*/", r"\1", part) for part in shlex.split(command))


def read(records: Path) -> list[dict[str, Any]]:
    """All records of a folder, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(records.glob("*-[0-9]*.json"))]
