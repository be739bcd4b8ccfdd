"""``scalor train``: learn to find and follow the moving objects of one scene."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from scalor_pyro.cli.errors import INTERRUPTED
from scalor_pyro.cli.outputs import require_folder
from scalor_pyro.cli.reading import Reading, add_reading_options, reading_of
from scalor_pyro.cli.rows import Row, notes, survey_rows, training_rows
from scalor_pyro.cli.sizes import add_size_options, box_given
from scalor_pyro.config import (
    ConfigError,
    ModelConfig,
    ReadOptions,
    TrainConfig,
    VideoRunConfig,
    config_from_dict,
    config_to_dict,
)
from scalor_pyro.config.checks import require
from scalor_pyro.config.kinds import sees_differences
from scalor_pyro.config.movers import VIDEO_STEPS
from scalor_pyro.config.options import add_option, given
from scalor_pyro.config.run import ALIKE
from scalor_pyro.evaluation.tables import named_values
from scalor_pyro.experiments.video_configs import fresh_run, proposed_run, run_from
from scalor_pyro.experiments.videos import FRESH, VideoFigures, run_on_videos
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.configs import CheckpointError, read_json
from scalor_pyro.runs.folder import CONFIG, RunFolder
from scalor_pyro.runs.loading import load_config, load_config_to_resume
from scalor_pyro.runs.pretrained import ANY_SCENE, recorded
from scalor_pyro.tracks.any_scene.alike import Sizes
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.tracker import load_for_tracking
from scalor_pyro.training.device import add_computing_options, computing, device_of
from scalor_pyro.training.distributed import World, join
from scalor_pyro.video import Survey, Video, propose, survey

DESCRIPTION = """Learn to find and follow what moves in a video, without labels. Try `scalor track VIDEO` first:
it needs no training.

Training starts from the weights for any scene and adapts them to the VIDEOs. Then a second model learns the same
from random weights. The end of each video is held out, and what is best there is kept, be it the weights of the
start. With --from-scratch, a single model is learned, with the sizes that `scalor info` prints, in ten minutes.

The camera must stand still, and all VIDEOs must show the same scene from the same place. Options that are not
given are set from the videos. The run folder then holds the weights, pictures/ (check in filmstrip.png that the
boxes are on the objects), player.html and results.json."""
EXAMPLES = """examples:
  scalor train street.mp4 --out runs/street
  scalor train monday.mp4 tuesday.mp4 --out runs/street --minutes 5
  scalor train street.mp4 --out runs/street --from-scratch --minutes 30
  scalor train --resume --out runs/street     continue an interrupted run"""
# Default budget from scratch: enough to see on two cores whether a video is suitable.
MINUTES = 10.0
# Parts of a settings file that are tables themselves.
PARTS = ("video", "model", "train")
# Settings of "video" that do not say how to read videos: where to look for objects, and how the model sees them.
REGION = ("region", "region_slots", "gain", "levels")
# The share of --minutes for weights that are trained on: steps from random weights take about twice as long.
ADAPTING = 1 / 3
# Fields that have an option of their own.
MODEL, TRAIN = ("slots", "sigma"), ("minutes", "steps", "precision", "capture")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "train",
        help=summary,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "videos",
        nargs="*",
        metavar="VIDEO",
        help="videos of one scene: files, TIFF stacks, folders of images, …",
    )
    add("--out", type=Path, metavar="RUN", required=True, help="folder of the run")
    budget = parser.add_mutually_exclusive_group()
    default_minutes = f"{MINUTES:g} with --from-scratch"
    default_steps = f"{VIDEO_STEPS} for each model, together about three minutes of one core"
    add_option(budget, TrainConfig, "minutes", help="training time in minutes, of both models", default=default_minutes)
    add_option(budget, TrainConfig, "steps", help="number of training steps, of each model", default=default_steps)
    for name in MODEL:
        add_option(parser, ModelConfig, name, default="proposed from the video")
    add_option(parser, VideoRunConfig, "seed")
    start = parser.add_mutually_exclusive_group()
    add_option(start, TrainConfig, "start_from", default=f"{ANY_SCENE}, weights for videos that nobody has trained on")
    start.add_argument("--from-scratch", action="store_true", help="start from random weights")
    add("--adapt-only", action="store_true", help="train no second model from random weights")
    add(
        "--config",
        type=Path,
        metavar="FILE.json",
        help="JSON file with some or all of the settings in a run's config.json; options given here override it",
    )
    add_computing_options(parser)
    add("--resume", action="store_true", help="continue the run in the folder")
    add_size_options(parser)
    add_option(parser, Options, "sizes")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, and print what the model finds in the videos.

    :raises ValueError: for what the user has to put right.
    """
    with join() as world:
        return run_in(world, options)


def run_in(world: World, options: argparse.Namespace) -> int:
    """Train together with other processes."""
    device = device_of(options.device)
    require_folder("--out", options.out)
    config = world.on_rank_0(lambda: config_of(options, world.restarts > 0))
    result = run_on_videos(config, options.out, device=device, resume=options.resume, world=world)
    if result is None:
        print(f"\nInterrupted. To continue: scalor train --resume --out {options.out}")
        return INTERRUPTED
    if result.choice is not None:
        clips = result.choice.trained.clips
        print(f"\ncompared on {clips} held-out clips\n{named_values(result.choice.rows())}")
        print(f"\n{result.choice.sentence()}")
        if result.choice.kept == "start":
            print("--from-scratch learns a model of its own, in ten minutes, which sometimes gives better tracks.")
    print(f"\nfound by the trained model in clips of the videos\n{named_values(figure_rows(result.figures))}")
    for note in result.notes:
        print(f"\nnote: {note}")
    print(f"\nPictures are in {options.out / 'pictures'}; {options.out / 'player.html'} plays a clip.")
    return 0


def config_of(options: argparse.Namespace, restarted: bool) -> VideoRunConfig:
    """The config of the run: a new one's, or that of the run in the folder.

    :param restarted: whether torchrun has restarted this command, so that a run in the folder is its own.
    """
    if restarted and RunFolder(options.out).state.exists():
        return load_config_to_resume(RunFolder(options.out), VideoRunConfig)
    return resumed(options) if options.resume else configured(options)


def configured(options: argparse.Namespace) -> VideoRunConfig:
    """The config of a new run: the proposal for the videos, overridden by the file, overridden by the command line.

    Prints what was found in the video.

    :raises ValueError: for what the user has to put right.
    """
    file = settings(options.config)
    paths = options.videos or file.get("video", {}).get("paths", [])
    if not paths:
        raise ConfigError("No VIDEO was given; name at least one, or add --resume to continue a run.")
    if RunFolder(options.out).state.exists():
        raise ConfigError(f"--out {options.out}: the folder holds a run; choose another, or add --resume.")
    reading = reading_of(options, file.get("video", {}).get("options"))
    require_valid(options)
    start = start_of(file, options)
    videos = [Video(path, reading.options) for path in paths]
    box = box_given(options, *videos)
    seen = survey(*videos, box=box)
    print(f"found in {seen.frames} sampled frames\n{named_values(survey_rows(seen))}")
    absolute = tuple(str(Path(path).absolute()) for path in paths)
    suggested = partial(proposed, absolute, reading, seen, slots=options.slots, sized=box is not None)
    sizes: Sizes = options.sizes or "auto"
    if start is None and file.get("video", {}).get("seen_as") == "differences":  # a second model that was kept
        plan = fresh_run(suggested(ANY_SCENE, sizes=sizes))
    else:
        plan = suggested(start, sizes=sizes, fresh=not options.adapt_only)
    config = settled(plan, start, file, options)
    rows = [*training_rows(config.video.options, config.model), *seen_rows(config), *start_rows(config.train)]
    print(f"\ntraining with\n{named_values([*rows, ('budget', budget(config))])}")
    for note in notes(seen):
        print(f"\nnote: {note}")
    return config


def start_of(file: Mapping[str, Any], options: argparse.Namespace) -> str | None:
    """The weights to start from, by name or path; None: random ones.

    They are those of the command line, else of the settings file, else those for any scene.
    """
    if options.from_scratch:
        return None
    if options.start_from is not None:
        return recorded(options.start_from)
    in_file: str | None = file.get("train", {}).get("start_from", ANY_SCENE)
    return in_file


def proposed(
    paths: tuple[str, ...],
    reading: Reading,
    seen: Survey,
    start: str | None,
    slots: int | None,
    sized: bool,
    sizes: Sizes = "auto",
    fresh: bool = True,
) -> VideoRunConfig:
    """The config of a run as the videos and the weights to start from suggest it.

    :param sized: whether the size of the objects was given.
    :param sizes: how far the sizes of objects differ.
    :param fresh: whether a second model is trained, if there are weights to start from.
    :raises ValueError: if the weights cannot be used, or the given size cannot be that of a model.
    """
    if start is None or not sees_differences(load_config(start)):
        if sizes != "auto":
            raise ConfigError(f"--sizes: expected none but with weights for any scene to start from, got {sizes!r}.")
        return proposed_run(paths, reading.options, propose(seen, *reading))
    return run_from(load_for_tracking(start), paths, reading.options, seen, slots, not sized, sizes, fresh)


def require_valid(options: argparse.Namespace) -> None:
    """Refuse settings that no model or training can have, before any video is read.

    :raises ConfigError: naming the first.
    """
    if options.from_scratch and options.adapt_only:
        raise ConfigError("--adapt-only: expected weights to start from, got --from-scratch.")
    ModelConfig(**given(options, ModelConfig, MODEL))
    TrainConfig(**given(options, TrainConfig, TRAIN))


def settings(path: Path | None) -> dict[str, Any]:
    """The contents of a settings file; empty, if there is none.

    :raises ConfigError: if it is not a settings file, naming it.
    """
    if path is None:
        return {}
    try:
        file = read_json(path)
    except CheckpointError as error:
        raise ConfigError(f"--config {error}") from error
    known = {each.name for each in fields(VideoRunConfig)}
    if (
        not isinstance(file, dict)
        or not set(file) <= known
        or not all(isinstance(file.get(part, {}), dict) for part in PARTS)
        or not _is_second(file.get("fresh"))
    ):
        raise ConfigError(f"--config {path}: expected {', '.join(sorted(known))}, as in the config.json of a run.")
    video = file.get("video", {})
    with _named(f"--config {path}, "):
        require(file.get("kind", "video") == "video", "kind", file.get("kind"), "'video'")
        paths = video.get("paths", [])
        listed = isinstance(paths, list) and all(isinstance(each, str) for each in paths)
        require(listed, "video.paths", paths, "a list of paths")
        with _named("video.options, "):
            config_from_dict(ReadOptions, video.get("options", {}))
    return file


def _is_second(values: Any) -> bool:
    """Whether a settings file says of a second model what can be said of it."""
    if values is None:
        return True
    return isinstance(values, dict) and all(isinstance(values.get(part, {}), dict) for part in ("model", "train"))


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Begin the message of an error with the place that it is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}{error}") from error


def settled(
    proposed: VideoRunConfig, start: str | None, file: Mapping[str, Any], options: argparse.Namespace
) -> VideoRunConfig:
    """The proposal, changed by the file, changed by the command line.

    :param start: see :func:`start_of`.
    """
    config = config_to_dict(proposed)
    model = given(options, ModelConfig, MODEL)
    if proposed.sees_differences:
        model.pop("slots", None)  # they are those of the region, of which the model is trained on windows
    for part in ("model", "train"):
        config[part].update(file.get(part, {}))
    config["video"].update({name: value for name, value in file.get("video", {}).items() if name in REGION})
    config["seed"] = file.get("seed", config["seed"])
    config["model"].update(model)
    config["train"].update(given(options, TrainConfig, TRAIN))
    config["train"]["start_from"] = start
    if options.steps is not None:
        config["train"]["minutes"] = None
    elif options.minutes is None and not {"minutes", "steps"} & set(file.get("train", {})):
        config["train"]["minutes"] = None if proposed.sees_differences else MINUTES
    config["fresh"] = second(config, file, options)
    if options.seed is not None:
        config["seed"] = options.seed
    try:
        return config_from_dict(VideoRunConfig, config)
    except ConfigError as error:
        if _is_in(file, str(error).partition(":")[0].split(".")):
            raise ConfigError(f"--config {options.config}, {error}") from error
        raise


def second(config: dict[str, Any], file: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any] | None:
    """The second model of a run, as plain values; None: there is none.

    :param config: of the run, with the proposal for the second model; the time of its training is divided up.
    """
    fresh: dict[str, Any] | None = config["fresh"]
    changes = file.get("fresh", {})
    if fresh is None or changes is None:
        return None
    for part in ("model", "train"):
        fresh[part].update(changes.get(part, {}))
    fresh["model"].update({name: config["model"][name] for name in ALIKE})
    fresh["train"].update(given(options, TrainConfig, TRAIN))
    minutes = config["train"]["minutes"]
    if options.steps is not None:
        fresh["train"]["minutes"] = None
    elif minutes is not None and (options.minutes is not None or "minutes" not in changes.get("train", {})):
        config["train"]["minutes"] = minutes * ADAPTING
        fresh["train"]["minutes"] = minutes * (1 - ADAPTING)
    return fresh


def _is_in(file: Any, names: list[str]) -> bool:
    """Whether a settings file has a field, as the names of the tables around it and its own."""
    return not names or (isinstance(file, Mapping) and names[0] in file and _is_in(file[names[0]], names[1:]))


def resumed(options: argparse.Namespace) -> VideoRunConfig:
    """The config of the run to continue; says so if it is finished.

    :raises ValueError: if there is none, or options that a run cannot change are given.
    """
    sizes = "object_size", "example", "sizes", "slots"
    describing = (*sizes, "minutes", "steps", "sigma", "seed", "start_from", "config")
    described = any(getattr(options, name) is not None for name in describing) or computing(options)
    described = described or options.from_scratch or options.adapt_only
    if options.videos or described or reading_of(options).given:
        raise ConfigError(
            "--resume continues a run with its own settings; only --out and --device may be given with it."
            f" To train longer, start a new run: {longer(options.out)}"
        )
    folder = RunFolder.open(options.out)
    config = load_config_to_resume(folder, VideoRunConfig)
    if is_finished(folder, config):
        print(f"This run has used its budget of {budget(config)}. To train longer: {longer(options.out)}")
    return config


def is_finished(folder: RunFolder, config: VideoRunConfig) -> bool:
    """Whether the budgets of a run's models are spent."""
    if not _is_spent(folder, config.train):
        return False
    own = RunFolder(folder.path / FRESH)
    return config.fresh is None or (own.state.exists() and _is_spent(own, config.fresh.train))


def _is_spent(folder: RunFolder, train: TrainConfig) -> bool:
    state = load_training_state(folder.state)
    return state.step >= train.steps if train.minutes is None else state.seconds / 60 >= train.minutes


def longer(run: Path) -> str:
    """The command that trains on from the weights of a run."""
    return f"scalor train --config {run / CONFIG} --start-from {run} --minutes M --out NEW."


def seen_rows(config: VideoRunConfig) -> list[Row]:
    """What a model that sees differences is shown."""
    if not config.sees_differences:
        return []
    height, width = config.model.image_size
    return [
        ("seen as", f"differences from the background image, {config.video.gain:.3g} times as strong"),
        ("windows", f"{width} × {height} px; K is {config.video.region_slots} for the whole region"),
    ]


def start_rows(train: TrainConfig) -> list[Row]:
    """The weights to start from, unless they are random."""
    return [] if train.start_from is None else [("start from", train.start_from)]


def budget(config: VideoRunConfig) -> str:
    """The length of the training."""
    if config.fresh is None:
        return _length(config.train)
    return f"{_length(config.train)}, then {_length(config.fresh.train)} from random weights"


def _length(train: TrainConfig) -> str:
    return f"{train.steps} steps" if train.minutes is None else f"{train.minutes:.3g} minutes"


def figure_rows(figures: VideoFigures) -> list[tuple[str, str]]:
    """The figures, in words."""
    return [
        ("objects", f"{figures.objects_per_frame:.1f} per frame"),
        (
            "propagated",
            f"{figures.propagation_rate:.3f} of the objects after the first frame; the rest are new",
        ),
        ("foreground", f"{figures.foreground_share:.3f} of the picture is drawn by objects"),
    ]
