"""``scalor info``: what a video file holds, what moves in it, how it would be tracked, and the sizes to train with."""

import argparse
from pathlib import Path

from scalor_pyro.cli.outputs import require_new_output
from scalor_pyro.cli.reading import add_reading_options, reading_of
from scalor_pyro.cli.rows import Row, file_rows, notes, survey_rows, training_rows
from scalor_pyro.cli.sizes import add_size_options, box_given
from scalor_pyro.cli.tracking.figures import box_sides, sides_row
from scalor_pyro.config import AnySceneRunConfig, ModelConfig
from scalor_pyro.evaluation.tables import named_values
from scalor_pyro.plots.survey import save_survey_picture
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.any_scene.looks import require_frames, require_suitable, size_of
from scalor_pyro.tracks.any_scene.trials import look_for
from scalor_pyro.tracks.tracker import load_for_tracking
from scalor_pyro.video import Survey, Video, VideoError, propose, survey

DESCRIPTION = """Look at a video: its size and length, what moves in it, how scalor track would see it, and the
sizes to train with from scratch.

VIDEO is a file (mp4, avi, mkv, mov, gif, …), a TIFF stack, a folder of images, or a NumPy array (npy, npz).
The camera should stand still; objects should be smaller than the frame and move. Nothing is trained, and the
video is not changed."""
EXAMPLES = """examples:
  scalor info street.mp4
  scalor info street.mp4 --out boxes.png      check in boxes.png that the boxes are on the objects
  scalor info street.mp4 --object-size 29 81  the boxes were not right: objects are 29 px wide and 81 px high
  scalor info cells.tif --crop 0 0 512 512 --stop 300"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", summary: str) -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "info",
        help=summary,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    videos = "video files, TIFF stacks, folders of images or NumPy arrays; several must show the same scene"
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help=videos)
    parser.add_argument("--out", type=Path, metavar="PICTURE.png", help="draw the proposed boxes on some frames")
    parser.add_argument("--overwrite", action="store_true", help="replace PICTURE.png if it exists")
    add_size_options(parser)
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what was found, and draw it.

    :raises ValueError: for what the user has to put right.
    """
    if options.out is not None:
        require_new_output("--out", options.out, ".png", options.overwrite)
    reading = reading_of(options)
    videos = [Video(path, reading.options) for path in options.videos]
    box = box_given(options, *videos)
    for video in videos:
        print(named_values(file_rows(video)), flush=True)
    seen = survey(*videos, box=box)
    proposal = propose(seen, *reading)
    print(f"\nfound in {seen.frames} sampled frames")
    print(named_values(survey_rows(seen)), flush=True)
    try:
        require_frames(videos[0])
        require_suitable(seen, videos[0])
    except VideoError as refusal:
        print(f"\nscalor track, without training, refuses {refusal}")
    else:
        rows = tracking_rows(videos[0], seen, sized=box is not None)
        print(f"\nas scalor track sees it, without training\n{named_values(rows)}")
    print(f"\nproposed for training from scratch, for {proposal.count:.1f} objects per frame of the crop")
    print(named_values(training_rows(proposal.options(reading.options), proposal.model(ModelConfig()))))
    for note in notes(seen):
        print(f"\nnote: {note}")
    if options.out is None:
        print("\nTo check that these are the objects, draw them on some frames with --out boxes.png.")
    else:
        save_survey_picture(options.out, seen, proposal, reading.options)
        print(f"\nThe boxes are drawn in {options.out}.")
    return 0


def tracking_rows(video: Video, seen: Survey, sized: bool) -> list[Row]:
    """At which scale weights for any scene see a video.

    :param seen: in the video.
    :param sized: the size of the objects was given.
    """
    run = load_for_tracking(ANY_SCENE)
    assert isinstance(run.config, AnySceneRunConfig)
    look = look_for(run.scalor, run.config, video, seen, correct=not sized)
    (height, width), model = size_of(look), run.config.model
    sides = box_sides(model if look.boxes is None else look.boxes.of(model), video.again(look.options))
    return [
        sides_row(sides),
        ("resize to", f"{width} × {height} px, {'grey' if look.options.grey else 'colour'}"),
        ("slots K", f"{look.slots}"),
    ]
