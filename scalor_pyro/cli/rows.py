"""What commands print of videos and settings: rows of a name and a value."""

from scalor_pyro.config import ModelConfig
from scalor_pyro.evaluation.tables import ordinal
from scalor_pyro.tracks.summary import printable
from scalor_pyro.video import ReadOptions, Survey, Video

Row = tuple[str, str]
# Boxes of one scale reach from 0.35 to 1.65 times the typical side: sizes that differ by more do not all fit.
FARTHEST = 4.0


def file_rows(video: Video) -> list[Row]:
    """A video file: its kind, length and size."""
    info = video.info
    height, width = info.size
    rows = [
        ("file", f"{printable(info.path)} ({info.kind})"),
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
    """The objects that move: size, number, speed and contrast."""
    size = f"{seen.width:.0f} × {seen.height:.0f} px{' (given)' if seen.given else ''}"
    top = []
    if seen.perspective is not None:
        upper, lower = seen.perspective
        top = [("perspective", f"{upper:.0f} px at the top and {lower:.0f} px at the bottom (side of the box)")]
    return [
        ("objects", f"{size}, {seen.count:.1f} per frame, at most {seen.most:.0f}"),
        *top,
        ("speed", f"{seen.speed:.2g} px per frame"),
        ("contrast", f"{seen.contrast:.2f} of the range from black to white; noise {seen.noise:.3f}"),
        ("colour", "yes" if seen.colour else "none"),
    ]


def training_rows(options: ReadOptions, model: ModelConfig) -> list[Row]:
    """The settings to train with."""
    crop, (height, width), aspect, levels = options.crop, options.size or model.image_size, model.aspect, options.levels
    window = "the whole frame"
    if crop is not None:
        window = f"x {crop.x}, y {crop.y}, {crop.width} × {crop.height} px"
    return [
        ("crop", window),
        ("resize to", f"{width} × {height} px, {'grey' if model.channels == 1 else 'colour'}"),
        ("stride", f"every {ordinal(options.stride)} frame" if options.stride > 1 else "every frame"),
        ("object size", f"{model.object_size:.1f} px; height / width {aspect:.2f}"),
        ("cells", f"{model.cells[1]} × {model.cells[0]}"),
        ("slots K", f"{model.slots}"),
        ("shortlist M", f"{model.first_shortlist} in the first frame, {model.shortlist} in later frames"),
        ("sigma", f"{model.sigma:g}"),
        *([] if levels is None else [("levels", f"{levels[0]:g} is black, {levels[1]:g} is white")]),
    ]


def notes(seen: Survey) -> list[str]:
    """Problems that the user should know of, a sentence each."""
    found = []
    if seen.perspective is not None and max(seen.perspective) > FARTHEST * min(seen.perspective):
        found.append(
            "sizes differ so much between top and bottom that one scale does not suit all; track parts with --crop."
        )
    if seen.camera_moves:
        found.append("the camera seems to move, so the background and the sizes found are unreliable.")
    if seen.uneven:
        found.append("the time between frames varies; --rate FPS reads frames at an even rate.")
    return found
