"""Opening a video for a run: how its frames are read, and the model for frames of that size.

A run of ``scalor train`` tracks videos of its own scene, which are read as in training. A run on synthetic videos, such
as most weights that come with the package, tracks any video whose objects move over the background it was trained on
(black, or a moving background); frames then keep their size unless the size of an object is given. A run for any scene
sees differences from the scene (:mod:`~scalor_pyro.tracks.any_scene`).
"""

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import AnySceneRunConfig, BoxRanges, ConfigError, VideoRunConfig
from scalor_pyro.config.checks import require_choice, require_path
from scalor_pyro.config.model import bounds_of
from scalor_pyro.config.options import option
from scalor_pyro.config.sizes import (
    EXAMPLE_HELP,
    EXAMPLE_METAVAR,
    SIDE_OF_BOX,
    SIZE_HELP,
    Example,
    ObjectSize,
    box_of,
    require_inside,
    side_of,
)
from scalor_pyro.data.movers import STILL
from scalor_pyro.inference.evidence import Worth, worth_for
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.views import nearest_size, with_view
from scalor_pyro.tracks.any_scene.alike import Sizes
from scalor_pyro.tracks.any_scene.looks import Differences, differences_of, require_frames, require_suitable
from scalor_pyro.tracks.any_scene.trials import look_for
from scalor_pyro.tracks.checks.sentences import another_depth, another_scene, changed_part, levels_of, like_in_training
from scalor_pyro.video import Chunk, Crop, ReadOptions, Video, survey
from scalor_pyro.video.background.files import load_background_image, region_options
from scalor_pyro.video.background.image import BackgroundImage, estimate_background_image

logger = logging.getLogger(__name__)

# Where no object is, the background image follows the light by this part of the range from black to white per frame.
LIGHT_STEP = 0.1 / 255
# Frames after the first one that are seen before it, where a video is a file.
LOOKAHEAD = 8
# A model of objects over black expects at least this share of a frame to be below this value (of 255).
LEAST_BLACK, BLACK = 0.2, 32
# The background image of a run is compared with the median of so many of the first frames of a video, where in doubt.
LOOKED_AT, LOOKED_AT_FRAMES = 500, 20
# Where the background image of a run of scalor train comes from.
BACKGROUND_SOURCES = ("auto", "run", "video")

# Which boxes are written: the smallest ones around masks, or those of glimpses (z_where).
BoxesOf = Literal["mask", "glimpse"]

# A video: a file, a folder of images, or an array (T, H, W) or (T, H, W, C).
VideoLike = str | os.PathLike[str] | NDArray[Any]


@dataclass(frozen=True)
class Options:
    """How a video is tracked, where it differs from the run.

    :raises ConfigError: for values that no video can have.
    """

    crop: Crop | None = option(
        None,
        "rectangle to track in, in px; X and Y are its upper left corner",
        metavar=("X", "Y", "WIDTH", "HEIGHT"),
        none="the region of the training",
    )
    start: int = option(0, "first frame, counted from 0", metavar="N")
    stop: int | None = option(None, "frame to stop before, counted from 0", metavar="N", none="the end")
    stride: int | None = option(None, "track every N-th frame; 1: all", metavar="N", none="as in training")
    slots: int | None = option(None, "most objects tracked at a time", metavar="K", none="as in training")
    object_size: ObjectSize | None = option(
        None,
        f"{SIZE_HELP}; the video is resized so that objects are as large as in training",
        metavar="PX",
        none="found in the video, or, for weights that are not for any scene, the scale of training",
    )
    example: Example | None = option(None, EXAMPLE_HELP, metavar=EXAMPLE_METAVAR)
    sizes: Sizes = option(
        "auto",
        "how far the sizes of objects differ, with weights for any scene: alike (by 10 % at one distance; keeps pairs"
        " that touch apart), any (from 0.35 to 1.65 of the typical one); auto: a trial says",
    )
    background_image: str = option(
        "auto",
        "what the camera sees without objects: the image in RUN (run), what is found in the video (video), the first if"
        " it fits, else the second (auto), or a picture of the empty scene (FILE)",
        metavar="{auto,run,video,FILE}",
    )
    light_step: float = LIGHT_STEP  # see Tracker
    lookahead: int = option(
        LOOKAHEAD, "frames after the first that are seen before it; 0: online, no frame depends on later ones", "K"
    )
    decide_by: Literal["evidence", "masks"] = option(
        "evidence",
        "whether an object is new, and still there: evidence asks if the frame is likelier with it, masks if its mask"
        " lies on another's",
    )
    discover: float | None = option(
        None, "nats that a new object must gain, with evidence", metavar="NATS", none="found for the weights"
    )
    go_on: float | None = option(
        None,
        "with evidence, a track ends where its object gains less than this in two frames running; 0: never",
        metavar="NATS",
        none="found for the weights",
    )
    boxes: BoxesOf | None = option(
        None,
        "the box that is written: mask fits what the object covers, glimpse is that of z_where, somewhat wider",
        none="mask; for weights of synthetic videos glimpse",
    )

    def __post_init__(self) -> None:
        if self.boxes is not None:
            require_choice(self, "boxes", "mask", "glimpse")
        ReadOptions(start=self.start, stop=self.stop, stride=1 if self.stride is None else self.stride)  # checks them
        if self.slots is not None and self.slots < 1:
            raise ConfigError(f"slots: expected at least 1, got {self.slots}.")
        box_of(self.object_size, self.example)  # checks them
        require_path("background_image", self.background_image)
        require_choice(self, "sizes", "auto", "alike", "any")
        self._require_decisions()
        if not 0 <= self.light_step <= 1:
            raise ConfigError(f"light_step: expected a number from 0 to 1, got {self.light_step}.")

    @property
    def box(self) -> tuple[float, float] | None:
        """H, W of the box of a typical object, px of the file; None: not given."""
        return box_of(self.object_size, self.example)

    def _require_decisions(self) -> None:
        if self.lookahead < 0:
            raise ConfigError(f"lookahead: expected a number of frames from 0, got {self.lookahead}.")
        require_choice(self, "decide_by", "evidence", "masks")
        for name in ("discover", "go_on"):
            value = getattr(self, name)
            if value is not None and self.decide_by != "evidence":
                raise ConfigError(f"{name}: expected decide_by 'evidence' beside it, got {self.decide_by!r}.")
            if value is not None:
                Worth(**{name: value})  # checks it

    @property
    def empty_scene(self) -> str | None:
        """The picture of the empty scene; None: not given.

        :raises ConfigError: if it is neither a picture nor another source of the background image.
        """
        if self.background_image in BACKGROUND_SOURCES:
            return None
        if not os.path.exists(self.background_image):
            raise ConfigError(
                f"background_image: expected {', '.join(BACKGROUND_SOURCES)} or a picture of the empty scene, got"
                f" {self.background_image!r}, which is no file."
            )
        return os.path.abspath(self.background_image)

    def evidence(self, scalor: Scalor, differences: bool = False) -> Worth | None:
        """What an object must be worth to a model; None: masks decide.

        :param differences: see :func:`~scalor_pyro.inference.evidence.worth_for`.
        """
        if self.decide_by == "masks":
            return None
        worth = worth_for(scalor, differences)
        discover = worth.discover if self.discover is None else self.discover
        return replace(worth, discover=discover, go_on=worth.go_on if self.go_on is None else self.go_on)


class Opened(NamedTuple):
    """A video, ready to be tracked."""

    video: Video  # as it has to be read
    scalor: Scalor  # for frames of that size
    differences: Differences | None  # what the model sees of them; None: the frames as they are


def opened(run: TrainedRun, video: VideoLike, options: Options) -> Opened:
    """Open a video for a run.

    :raises VideoError: if the video cannot be read as asked, or, for a run for any scene, nothing moves.
    :raises ConfigError: if the background image does not fit, or an option is for another kind of weights.
    """
    if isinstance(run.config, AnySceneRunConfig):
        return _for_any_scene(run, run.config, video, options)
    if options.sizes != "auto":
        raise ConfigError(
            f"sizes: expected 'auto', because only weights for any scene have boxes of any size, got {options.sizes!r}."
        )
    reader = video_for(run, video, options)
    if isinstance(run.config, VideoRunConfig) and run.config.sees_differences:
        slots = options.slots or run.config.video.region_slots
        scene = torch.from_numpy(_background_image(run, reader, options).image.astype(np.float32) / 255)
        scalor = _over_still(run.scalor, reader.geometry.size, slots, _boxes_there(run.config, reader))
        return Opened(reader, scalor, Differences(scene, run.config.video.gain))
    return Opened(reader, scalor_for(run, reader, options), None)


def _boxes_there(trained_on: VideoRunConfig, video: Video) -> BoxRanges | None:
    """The bounds of boxes in the part of the frames that is tracked; None: those of the model."""
    if trained_on.model.perspective == 0:
        return None
    crop, region = video.geometry.crop, trained_on.video.region or Crop(0, 0, *video.info.size[::-1])
    top, bottom = ((crop.y + down - region.y) / region.height for down in (0, crop.height))
    return bounds_of(trained_on.model).between(top, bottom)


def _for_any_scene(run: TrainedRun, config: AnySceneRunConfig, video: VideoLike, options: Options) -> Opened:
    if options.background_image == "run":
        raise ConfigError(
            "background_image: expected 'auto', 'video' or a picture, because weights for any scene have no image, got"
            " 'run'."
        )
    whole = _whole(video)
    stride = 1 if options.stride is None else options.stride
    part = ReadOptions(
        crop=options.crop,
        start=options.start,
        stop=options.stop,
        stride=stride,
        background_image=options.empty_scene,
    )
    require_inside(options.example, whole.info.size)
    part_of_it = whole.again(part)
    seen = survey(part_of_it, box=options.box)
    require_frames(part_of_it)
    require_suitable(seen, part_of_it)
    look = look_for(run.scalor, config, part_of_it, seen, options.slots, options.box is None, options.sizes)
    reader = whole.again(look.options)
    scalor = _over_still(run.scalor, reader.geometry.size, look.slots, look.boxes)
    return Opened(reader, scalor, differences_of(reader, look.gain))


def _whole(video: VideoLike) -> Video:
    """A video that is read several times: to survey it, for its background, to track it, for the report."""
    whole = Video(video if isinstance(video, np.ndarray) else Path(video))
    whole.keep()
    return whole


def boxes_for(run: TrainedRun, options: Options) -> BoxesOf:
    """Which boxes are written: as asked for, or, by default, those of masks.

    Of a run on synthetic videos, those of glimpses: the true box of a digit or a sprite is that of its whole square,
    whatever of it has ink.
    """
    if options.boxes is not None:
        return options.boxes
    return "mask" if isinstance(run.config, AnySceneRunConfig | VideoRunConfig) else "glimpse"


def _over_still(scalor: Scalor, size: tuple[int, int], slots: int | None, boxes: BoxRanges | None = None) -> Scalor:
    """A model that sees differences, for frames of a size (H, W): where nothing moves, they are grey."""
    like = next(scalor.parameters())
    still = torch.full((scalor.config.channels, *size), STILL, dtype=like.dtype)
    with torch.random.fork_rng(devices=[]), default_dtype_of(scalor):
        return with_view(scalor, size, still, slots, config=None if boxes is None else boxes.of(scalor.config))


def video_for(run: TrainedRun, video: VideoLike, options: Options) -> Video:
    """A video as it has to be read for a run.

    :raises VideoError: if it cannot be read as asked.
    :raises ConfigError: see :func:`require_colour`.
    """
    whole = _whole(video)
    height, width = whole.info.size
    require_inside(options.example, whole.info.size)
    side = None if options.box is None else side_of(options.box)
    if isinstance(run.config, VideoRunConfig):
        if side is not None and run.config.sees_differences:
            side *= SIDE_OF_BOX  # the size of their objects is that of a square with their area
        reading = region_options(run.config, (height, width), options.crop, side)
        reading = replace(reading, levels=_levels(run.config, whole))
    else:
        model, region = run.config.model, options.crop or Crop(0, 0, width, height)
        scale = 1.0 if side is None else model.object_size / side
        size = nearest_size(model, (region.height * scale, region.width * scale))
        reading = ReadOptions(crop=region, size=size, grey=model.channels == 1)
    stride = reading.stride if options.stride is None else options.stride
    reading = replace(reading, start=options.start, stop=options.stop, background_image=options.empty_scene)
    reader = whole.again(replace(reading, stride=stride))
    require_colour(run, reader)
    return reader


def scalor_for(run: TrainedRun, video: Video, options: Options) -> Scalor:
    """The model of a run for the frames of a video.

    :param video: see :func:`video_for`.
    :raises ConfigError: if the background image does not fit.
    """
    size, slots, static = video.geometry.size, options.slots, run.config.model.background == "static"
    image = flicker = None
    if static:
        if slots is None and isinstance(run.config, VideoRunConfig):
            slots = run.config.video.region_slots
        dtype = next(run.scalor.parameters()).dtype
        image, flicker = (torch.from_numpy(part).to(dtype) / 255 for part in _background_image(run, video, options))
    elif options.background_image != "auto":
        raise ConfigError(
            f"background_image: expected 'auto', because the run's background is {run.config.model.background!r}, got"
            f" {options.background_image!r}."
        )
    if run.config.model.background == "none":
        _warn_unless_black(video)
    # Building a model draws initial weights, which the trained ones replace.
    with torch.random.fork_rng(devices=[]), default_dtype_of(run.scalor):
        return with_view(run.scalor, size, image, slots, flicker)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Compute in a precision whatever the caller's default is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def default_dtype_of(scalor: Scalor) -> AbstractContextManager[None]:
    """Compute in the precision of a model."""
    return default_dtype(next(scalor.parameters()).dtype)


def frames_for(scalor: Scalor, chunk: Chunk) -> Tensor:
    """Frames as a model sees them; a model of colour also takes grey ones. (1, n, C, H, W) in [0, 1]"""
    like = next(scalor.parameters())
    frames = chunk.tensor(like.device).to(like.dtype)[None]
    return frames.expand(-1, -1, scalor.config.channels, -1, -1)


def _levels(config: VideoRunConfig, video: Video) -> tuple[float, float] | None:
    """The levels to read a video with: those of the training, if it has about the same range of values."""
    trained, now = config.video.levels, levels_of(video)
    if sentence := another_depth(trained, now):
        logger.warning("%s: %s", video.path, sentence)
    if config.video.options.levels is None and trained is not None and video.levels is not None:
        return trained if like_in_training(trained, now) else None
    return config.video.options.levels


def _warn_unless_black(video: Video) -> None:
    share = float((next(iter(video)).image.max(0) < BLACK).mean())
    if share < LEAST_BLACK:
        logger.warning(
            "%s: %.0f %% of the first frame is black, but these weights were trained on objects over black; train on"
            " the video itself (scalor train) to learn its background.",
            video.path,
            100 * share,
        )


def require_colour(run: TrainedRun, video: Video) -> None:
    """Refuse a colour video for a run of ``scalor train`` on grey ones, and the reverse; other runs take both.

    Runs that see differences do, too: they show a grey video to a model of colour.

    :raises ConfigError: saying which.
    """
    if not isinstance(run.config, VideoRunConfig) or run.config.sees_differences:
        return
    if video.channels != run.config.model.channels:
        raise ConfigError(
            f"{video.path}: expected a {_colour(run.config.model.channels)} video, like those that {run.folder} was"
            f" trained on, got a {_colour(video.channels)} one."
        )


def _background_image(run: TrainedRun, video: Video, options: Options) -> BackgroundImage:
    """The background image of the frames that are read."""
    kept = load_background_image(run.folder) if options.background_image in ("auto", "run") else None
    if kept is not None and kept.image.shape == (video.channels, *video.geometry.size):
        sentence = _misfit(run, video, kept) if options.background_image == "auto" else None
        if sentence is None:
            return kept
        logger.warning("%s: %s", video.path, sentence)
    if options.background_image == "run":
        height, width = video.geometry.size
        found = "none" if kept is None else f"one of {kept.image.shape[2]} × {kept.image.shape[1]} px"
        raise ConfigError(
            f"{video.path}: expected a background image of {width} × {height} px in {run.folder}, got {found}."
        )
    return estimate_background_image([video])


def _misfit(run: TrainedRun, video: Video, kept: BackgroundImage) -> str | None:
    """Whether the background image of a run is of another scene, in one sentence.

    The first frame tells where it fits; where it seems not to, which objects may cause, the median of the beginning of
    the video decides.
    """
    config = run.config
    if not isinstance(config, VideoRunConfig):
        return None
    # In the range from black to white, a difference of the model's input is 2 / gain times as large.
    sigma = config.model.sigma * (2 / config.video.gain if config.sees_differences else 1)

    def judged(image: NDArray[np.uint8]) -> str | None:
        now, before = (torch.from_numpy(each.astype(np.float32) / 255) for each in (image, kept.image))
        return another_scene(changed_part(now[None], before, sigma))

    if judged(next(iter(video)).image) is None:
        return None
    options, stop = video.options, video.options.start + LOOKED_AT * video.options.stride
    beginning = replace(options, stop=stop if options.stop is None else min(stop, options.stop))
    return judged(estimate_background_image([video.again(beginning)], LOOKED_AT_FRAMES).image)


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "colour"
