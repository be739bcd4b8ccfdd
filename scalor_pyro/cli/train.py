"""``scalor train``: learn to find and follow what moves in videos of one scene."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from scalor_pyro.cli.info import Row, notes, survey_rows, table, training_rows
from scalor_pyro.cli.reading import add_reading_options, reading_options
from scalor_pyro.config import ConfigError, TrainConfig, VideoRunConfig, config_from_dict, config_to_dict
from scalor_pyro.experiments.videos import VideoFigures, proposed_run, run_on_videos
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config
from scalor_pyro.runs.pretrained import recorded
from scalor_pyro.training.device import add_computing_options, computing, device_of
from scalor_pyro.training.distributed import World, join
from scalor_pyro.video import ReadOptions, Video, propose, survey

DESCRIPTION = """Learn to find and follow what moves in a video, without labels.

The camera must stand still. Several VIDEOs must show the same scene, seen from the same place; the window,
stride and sizes to train with are found in them, as `scalor info` shows them, where they are not given. The
folder of the run then holds the weights, pictures/ (filmstrip.png: are the boxes on the objects?), player.html
and results.json."""
EXAMPLES = """examples:
  scalor train street.mp4 --out runs/street
  scalor train monday.mp4 tuesday.mp4 --out runs/street --minutes 30
  scalor train --resume --out runs/street     goes on where it was interrupted"""
# Minutes to train unless told otherwise: enough to see on two cores whether a video suits.
MINUTES = 10.0
# Parts of a file of settings that are tables themselves.
PARTS = ("video", "model", "train")
# Of the first, what does not say how the videos are read for training.
REGION = ("region", "region_slots")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "train",
        help="learn to find and follow what moves in a video",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("videos", nargs="*", metavar="VIDEO", help="video files, TIFF stacks, folders of images, … of one scene")
    add("--out", type=Path, metavar="RUN", required=True, help="folder of the run")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, metavar="M", help=f"how long to train (default: {MINUTES:g})")
    budget.add_argument("--steps", type=int, metavar="N", help="… or so many steps")
    add("--slots", type=int, metavar="K", help="most objects that are followed at a time (default: as proposed)")
    add("--sigma", type=float, help="standard deviation of a pixel; with less, fainter objects count (default: as "
        "proposed)")  # fmt: skip
    add("--seed", type=int, help="of weights, noise and clips (default: 0)")
    add("--start-from", metavar="RUN", help="begin with the weights of a run, of another video, say, or of that name, "
        "instead of random ones, as far as they fit")  # fmt: skip
    described = "settings as in the config.json of a run, all or some of them; the command line has the last word"
    add("--config", type=Path, metavar="FILE.json", help=described)
    add_computing_options(parser)
    add("--resume", action="store_true", help="go on with the run in the folder")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, and print how the model sees the videos.

    :raises ValueError: for what the user has to put right.
    """
    with join() as world:
        return run_in(world, options)


def run_in(world: World, options: argparse.Namespace) -> int:
    """Train together with other processes."""
    device = device_of(options.device)
    config = world.on_rank_0(lambda: config_of(options, world.restarts > 0))
    figures = run_on_videos(config, options.out, device=device, resume=options.resume, world=world)
    if figures is None:
        print(f"\nInterrupted: scalor train --resume --out {options.out} goes on with it.")
        return 130
    print(f"\nas the trained model sees clips of the videos\n{table(figure_rows(figures))}")
    print(f"\nPictures are in {options.out / 'pictures'}; {options.out / 'player.html'} plays a clip.")
    return 0


def config_of(options: argparse.Namespace, restarted: bool) -> VideoRunConfig:
    """The config of the run: a new one's, or that of the run in the folder.

    :param restarted: whether torchrun has started this command again, so that a run in the folder is its own.
    """
    if restarted and RunFolder(options.out).state.exists():
        return load_config(options.out, VideoRunConfig)
    return resumed(options) if options.resume else configured(options)


def configured(options: argparse.Namespace) -> VideoRunConfig:
    """The config of a new run: as proposed for the first video, then as the file says, then as the command line says.

    Prints what was found in the video.

    :raises ValueError: for what the user has to put right.
    """
    file = settings(options.config)
    reading = file.get("video", {})
    paths = options.videos or reading.get("paths", [])
    if not paths:
        raise ConfigError("No VIDEO was given, but at least one, or --resume, was expected.")
    if RunFolder(options.out).state.exists():
        raise ConfigError(f"--out is {options.out}, which holds a run: another folder, or --resume, was expected.")
    given = reading_options(options, config_from_dict(ReadOptions, reading.get("options", {})))
    seen = survey(*(Video(path, given) for path in paths))
    proposal = propose(seen, given)
    print(f"what moves, in the {seen.frames} frames looked at\n{table(survey_rows(seen))}")
    absolute = tuple(str(Path(path).absolute()) for path in paths)
    config = settled(proposed_run(absolute, given, proposal), file, options)
    to_train = training_rows(config.video.options, config.model)
    print(f"\nto train with\n{table([*to_train, *start_rows(config.train), ('budget', budget(config.train))])}")
    for note in notes(seen):
        print(f"\nnote: {note}")
    return config


def settings(path: Path | None) -> dict[str, Any]:
    """What a file of settings says; nothing, if there is none.

    :raises ConfigError: if it is not a file of settings.
    """
    if path is None:
        return {}
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"--config is {path}, but a file of settings in JSON was expected ({error}).") from error
    known = {each.name for each in fields(VideoRunConfig)}
    if (
        not isinstance(file, dict)
        or not set(file) <= known
        or not all(isinstance(file.get(k, {}), dict) for k in PARTS)
    ):
        raise ConfigError(f"--config is {path}, but some of {', '.join(sorted(known))}, as in a run, were expected.")
    return file


def settled(proposed: VideoRunConfig, file: Mapping[str, Any], options: argparse.Namespace) -> VideoRunConfig:
    """The proposal, changed by the file, changed by the command line."""
    config = config_to_dict(proposed)
    for part in ("model", "train"):
        config[part].update(file.get(part, {}))
    config["video"].update({name: value for name, value in file.get("video", {}).items() if name in REGION})
    config["seed"] = file.get("seed", config["seed"])
    for part, name in (("model", "slots"), ("model", "sigma"), ("train", "minutes"), ("train", "steps")):
        if getattr(options, name) is not None:
            config[part][name] = getattr(options, name)
    config["train"].update(computing(options))
    if options.steps is not None:
        config["train"]["minutes"] = None
    elif options.minutes is None and not {"minutes", "steps"} & set(file.get("train", {})):
        config["train"]["minutes"] = MINUTES
    if options.start_from is not None:
        config["train"]["start_from"] = recorded(options.start_from)
    if options.seed is not None:
        config["seed"] = options.seed
    return config_from_dict(VideoRunConfig, config)


def resumed(options: argparse.Namespace) -> VideoRunConfig:
    """The config of the run to go on with.

    :raises ValueError: if there is none, or something else is asked for beside it.
    """
    describing = ("minutes", "steps", "slots", "sigma", "seed", "start_from", "config")
    described = any(getattr(options, name) is not None for name in describing) or computing(options)
    if options.videos or described or reading_options(options) != ReadOptions():
        raise ConfigError("--resume goes on as the run was begun: only --out and --device were expected beside it.")
    return load_config(RunFolder.open(options.out).path, VideoRunConfig)


def start_rows(train: TrainConfig) -> list[Row]:
    """What it begins with, where that is not random."""
    return [] if train.start_from is None else [("start from", train.start_from)]


def budget(train: TrainConfig) -> str:
    """How long is trained."""
    return f"{train.steps} steps" if train.minutes is None else f"{train.minutes:g} minutes"


def figure_rows(figures: VideoFigures) -> list[tuple[str, str]]:
    """The figures, in words."""
    return [
        ("objects", f"{figures.objects_per_frame:.1f} in a frame"),
        ("propagated", f"{figures.propagation_rate:.3f} of those in later frames; the others are found anew"),
        ("foreground", f"{figures.foreground_share:.3f} of the picture is drawn by objects"),
    ]
