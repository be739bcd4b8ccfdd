"""``scalor info``: what a video file holds, what moves in it, and the sizes to train with."""

import argparse
from pathlib import Path

from scalor_pyro.cli.reading import add_reading_options, reading_options
from scalor_pyro.config import ConfigError, ModelConfig
from scalor_pyro.plots.survey import save_survey_picture
from scalor_pyro.video import ReadOptions, Survey, Video, propose, survey

DESCRIPTION = """Look at a video: its size and length, what moves in it, and the sizes to train with.

VIDEO is a file (mp4, avi, mkv, mov, gif, …), a TIFF stack, a folder of images, or an array of numpy (npy,
npz). The camera should stand still; objects should be smaller than the frame and move. Nothing is trained,
and the video is not changed."""
EXAMPLES = """examples:
  scalor info street.mp4
  scalor info street.mp4 --out boxes.png      and look whether the boxes are on the objects
  scalor info cells.tif --crop 0 0 512 512 --stop 300"""

Row = tuple[str, str]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "info",
        help="look at a video: its size, what moves in it, and the sizes to train with",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    videos = "a video file, a TIFF stack, a folder of images, …; several of one scene"
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help=videos)
    parser.add_argument("--out", type=Path, metavar="PICTURE.png", help="draw the proposed boxes on some frames")
    parser.add_argument("--overwrite", action="store_true", help="replace PICTURE.png if there is one")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what was found, and draw it.

    :raises ValueError: for what the user has to put right.
    """
    if options.out is not None:
        require_new_output("--out", options.out, ".png", options.overwrite)
    given = reading_options(options)
    videos = [Video(path, given) for path in options.videos]
    for video in videos:
        print(table(file_rows(video)))
    seen = survey(*videos)
    proposal = propose(seen, given)
    print(f"\nwhat moves, in the {seen.frames} frames looked at")
    print(table(survey_rows(seen)))
    print(f"\nproposed, for {proposal.count:.1f} objects in a frame of the crop")
    print(table(training_rows(proposal.options(given), proposal.model(ModelConfig()))))
    for note in notes(seen):
        print(f"\nnote: {note}")
    if options.out is None:
        print("\nAre these the objects? With --out boxes.png they are drawn on some frames.")
    else:
        save_survey_picture(options.out, seen, proposal, given)
        print(f"\nThe boxes are drawn in {options.out}.")
    return 0


def require_new_output(option: str, path: Path, suffix: str, overwrite: bool) -> None:
    """Refuse a file that could not be written, before any work.

    :param option: that asks for the file.
    :param suffix: that its name must have.
    :raises ConfigError: saying why.
    """
    if path.suffix.lower() != suffix:
        raise ConfigError(f"{option} is {path}, but a name that ends in {suffix} was expected.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{option} is {path}, but a folder that exists was expected for it.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{option} is {path}, which exists: another name, or --overwrite, was expected.")


def file_rows(video: Video) -> list[Row]:
    """What the file says of itself."""
    info = video.info
    height, width = info.size
    rows = [
        ("file", f"{info.path} ({info.kind})"),
        ("frames", f"{video.source_frames}"),
        ("size", f"{width} × {height} px (width × height), {'grey' if info.channels == 1 else 'colour'}"),
    ]
    if info.rate is not None:
        rows.append(("rate", f"{info.rate:.4g} frames per second"))
    if info.duration is not None:
        rows.append(("duration", f"{info.duration:.1f} s"))
    if video.expected_frames != video.source_frames:
        rows.append(("to be read", f"{video.expected_frames} frames"))
    return rows


def survey_rows(seen: Survey) -> list[Row]:
    """What moves."""
    return [
        ("objects", f"{seen.width:.0f} × {seen.height:.0f} px, {seen.count:.1f} in a frame, at most {seen.most:.0f}"),
        ("speed", f"{seen.speed:.2g} px per frame"),
        ("contrast", f"{seen.contrast:.2f} of the range from black to white; noise {seen.noise:.3f}"),
        ("colour", "yes" if seen.colour else "none"),
    ]


def training_rows(options: ReadOptions, model: ModelConfig) -> list[Row]:
    """What to train with."""
    crop, (height, width), aspect, levels = options.crop, model.image_size, model.aspect, options.levels
    window = "the whole frame"
    if crop is not None:
        window = f"x {crop.x}, y {crop.y}, {crop.width} × {crop.height} px"
    return [
        ("crop", window),
        ("resize to", f"{width} × {height} px, {'grey' if model.channels == 1 else 'colour'}"),
        ("stride", f"every {_ordinal(options.stride)} frame" if options.stride > 1 else "every frame"),
        ("object size", f"{model.object_size:.1f} px, {aspect:.2f} times as high as wide"),
        ("cells", f"{model.cells[1]} × {model.cells[0]}"),
        ("slots K", f"{model.slots}"),
        ("shortlist M", f"{model.first_shortlist} in the first frame, then {model.shortlist}"),
        ("sigma", f"{model.sigma:g}"),
        *([] if levels is None else [("levels", f"{levels[0]:g} becomes black, {levels[1]:g} white")]),
    ]


def notes(seen: Survey) -> list[str]:
    """What the user should know, a sentence each."""
    found = []
    if seen.camera_moves:
        found.append("the camera seems to move: sizes found by a resting background are then unreliable.")
    if seen.uneven:
        found.append("the time between frames varies: --rate reads them evenly spaced in time.")
    return found


def table(rows: list[Row]) -> str:
    """Two columns."""
    wide = max([12, *(len(name) for name, _ in rows)])
    return "\n".join(f"  {name:<{wide}} {value}" for name, value in rows)


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")
