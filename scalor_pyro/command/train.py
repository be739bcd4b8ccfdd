"""``scalor train``: learn to find and follow what moves in videos of one scene."""

import argparse
from dataclasses import replace
from pathlib import Path

from scalor_pyro.checkpoint import load_config_as
from scalor_pyro.command.info import notes, proposal_rows, survey_rows, table
from scalor_pyro.command.reading import add_reading_options, reading_options
from scalor_pyro.config import ConfigError, TrainConfig
from scalor_pyro.device import device_of
from scalor_pyro.distributed import World, join
from scalor_pyro.run_folder import RunFolder
from scalor_pyro.video import ReadOptions, Video, propose, survey
from scalor_pyro.video_run import VideoFigures, VideoRunConfig, proposed_run, run_on_videos

DESCRIPTION = """Learn to find and follow what moves in a video, without labels.

The camera must stand still. Several VIDEOs must show the same scene, seen from the same place; the window,
stride and sizes to train with are found in the first one, as `scalor info` shows them, where they are not
given. The folder of the run then holds the weights, pictures/ (filmstrip.png: are the boxes on the objects?),
player.html and results.json."""
EXAMPLES = """examples:
  scalor train street.mp4 --out runs/street
  scalor train monday.mp4 tuesday.mp4 --out runs/street --minutes 30
  scalor train --resume --out runs/street     goes on where it was interrupted"""
# Minutes to train unless told otherwise: enough to see on two cores whether a video suits.
MINUTES = 10.0


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
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU where there is one")
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
    config = world.lead(lambda: config_of(options, world.restarts > 0))
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
        return load_config_as(options.out, VideoRunConfig)
    return resumed(options) if options.resume else configured(options)


def configured(options: argparse.Namespace) -> VideoRunConfig:
    """The config of a new run; prints what was found in the first video.

    :raises ValueError: for what the user has to put right.
    """
    if not options.videos:
        raise ConfigError("No VIDEO was given, but at least one, or --resume, was expected.")
    if RunFolder(options.out).state.exists():
        raise ConfigError(f"--out is {options.out}, which holds a run: another folder, or --resume, was expected.")
    budget = budget_of(options)
    given = reading_options(options)
    first, *_ = [Video(path, given) for path in options.videos]  # all are looked for before any work
    seen = survey(first)
    proposal = propose(seen, given)
    for name in ("slots", "sigma"):
        if getattr(options, name) is not None:
            proposal = replace(proposal, **{name: getattr(options, name)})
    print(f"what moves in {first.path}, in the {seen.frames} frames looked at\n{table(survey_rows(seen))}")
    print(f"\nto train with\n{table(proposal_rows(proposal))}")
    for note in notes(seen):
        print(f"\nnote: {note}")
    paths = tuple(str(Path(path).absolute()) for path in options.videos)
    return proposed_run(paths, given, proposal, budget, options.seed or 0)


def resumed(options: argparse.Namespace) -> VideoRunConfig:
    """The config of the run to go on with.

    :raises ValueError: if there is none, or something else is asked for beside it.
    """
    describing = [options.minutes, options.steps, options.slots, options.sigma, options.seed]
    if options.videos or any(value is not None for value in describing) or reading_options(options) != ReadOptions():
        raise ConfigError("--resume goes on as the run was begun: only --out and --device were expected beside it.")
    return load_config_as(RunFolder.open(options.out).path, VideoRunConfig)


def budget_of(options: argparse.Namespace) -> TrainConfig:
    """How long to train."""
    if options.steps is not None:
        return TrainConfig(steps=options.steps)
    return TrainConfig(minutes=MINUTES if options.minutes is None else options.minutes)


def figure_rows(figures: VideoFigures) -> list[tuple[str, str]]:
    """The figures, in words."""
    return [
        ("objects", f"{figures.objects_per_frame:.1f} in a frame"),
        ("propagated", f"{figures.propagation_rate:.3f} of those in later frames; the others are found anew"),
        ("foreground", f"{figures.foreground_share:.3f} of the picture is drawn by objects"),
    ]
