"""Settings of the videos of public benchmarks, and of runs that are trained on them."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from scalor_pyro.config.checks import at_least_1, require, require_choice
from scalor_pyro.config.data import MOST_FRAMES
from scalor_pyro.config.model import ModelConfig
from scalor_pyro.config.options import option
from scalor_pyro.config.presets import HELD_AT_FIRST
from scalor_pyro.config.run import SEED_HELP, check_seed
from scalor_pyro.config.train import MOST_VIDEOS, Stage, TrainConfig

Benchmark = Literal["sprites-mot", "mnist-mot", "multi-dsprites", "balls"]

# H, W in px of all of them.
SIDE = 64
# Frames of the stream of Sprites-MOT and MNIST-MOT that is scored as one sequence; a video is a part of such a stream.
STREAM_FRAMES = 10_000
_IN_VIEW = {"sprites-mot": 2.2, "mnist-mot": 2.2, "multi-dsprites": 2.5, "balls": 16.0}
# Of the public training data of Sprites-MOT.
TRAINING_VIDEOS = 9600


@dataclass(frozen=True)
class PublicData:
    """Videos of a public benchmark, 64 × 64 px; see :mod:`scalor_pyro.data.public`.

    :raises ConfigError: for values that no video can have.
    """

    benchmark: Benchmark = option("sprites-mot", "which benchmark")
    frames: int = option(10, "length of a video in frames")
    digits: Literal["auto", "mnist", "uci"] = option("auto", "source of the digits of mnist-mot")

    def __post_init__(self) -> None:
        require_choice(self, "benchmark", "sprites-mot", "mnist-mot", "multi-dsprites", "balls")
        require_choice(self, "digits", "auto", "mnist", "uci")
        at_least_1(self, "frames", most=STREAM_FRAMES if self.is_stream else MOST_FRAMES)

    @property
    def is_stream(self) -> bool:
        """Whether videos are cut from a stream that goes on from one to the next."""
        return self.benchmark in ("sprites-mot", "mnist-mot")

    @property
    def objects(self) -> Literal["digits", "sprites"]:
        """What moves: digits of MNIST, or anything else."""
        return "digits" if self.benchmark == "mnist-mot" else "sprites"

    @property
    def mean_count(self) -> float:
        """How many objects a frame shows on average."""
        return _IN_VIEW[self.benchmark]

    @property
    def image_size(self) -> tuple[int, int]:
        """H, W in px."""
        return SIDE, SIDE


@dataclass(frozen=True)
class PublicRunConfig:
    """All settings of a run on a public benchmark.

    :raises ConfigError: for videos that the model cannot see.
    """

    data: PublicData
    model: ModelConfig
    train: TrainConfig
    videos: int = option(TRAINING_VIDEOS, "videos to train on, again and again", metavar="N")
    seed: int = option(0, SEED_HELP)
    kind: Literal["public"] = "public"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        at_least_1(self, "videos", most=MOST_VIDEOS)
        size = self.data.image_size
        require(size == self.model.image_size, "model.image_size", self.model.image_size, f"that of the videos, {size}")
        longest, most = max(stage.frames for stage in self.train.curriculum), self.data.frames
        require(longest <= most, "train.curriculum", longest, f"stages of at most data.frames = {most} frames")

    @property
    def evaluated(self) -> PublicData:
        """The videos to evaluate on."""
        return self.data


def public_preset(benchmark: Benchmark = "sprites-mot") -> PublicRunConfig:
    """The setting for a benchmark.

    :raises ConfigError: for an unknown benchmark.
    """
    data = PublicData(benchmark, frames=LENGTHS.get(benchmark, PublicData.frames))
    changes, stages = _MODELS[benchmark], _STAGES.get(benchmark, _FEW)
    train = TrainConfig(steps=4000, curriculum=stages, eval_every=200, evidence=benchmark in _BY_EVIDENCE)
    if changes.get("background") == "moving":
        train = replace(train, **HELD_AT_FIRST)
    return PublicRunConfig(data, ModelConfig(**changes), train)


# Frames of a video, where they are not ten.
LENGTHS = {"balls": 100}
_FEW = Stage(0.1, 2, 32), Stage(0.6, 4, 16), Stage(1.0, 8, 8)
_STAGES = {"balls": (Stage(0.1, 2, 16), Stage(0.6, 4, 8), Stage(1.0, 8, 4))}
# At most three objects, and some slots to spare for what is wrongly found.
_THREE: dict[str, Any] = {"cells": (8, 8), "slots": 6, "first_shortlist": 6, "shortlist": 6}
_COLOURED: dict[str, Any] = {"reject_by_colour": True, "propagated_overlap": 0.8}
# Masks are scored by their overlap: with a small σ, sharp borders are worth their cost. After 171 steps on Sprites-MOT,
# the MOTA of masks of 32 other videos was 0.81 with 0.07, 0.57 with 0.1 and 0.50 with 0.2.
_SHARP: dict[str, Any] = {"sigma": 0.07}
# Objects hide each other; until they meet, nothing says which is in front. After 600 steps on Sprites-MOT, the MOTA of
# masks of 100 other videos was 0.951 so, and 0.928 to 0.941 with the usual depths.
_ORDERED: dict[str, Any] = {"depth_step": 0.5, "depth_range": 4.0}
# Two seeds each: MOTA of Sprites-MOT by boxes is 0.987 with evidence, 0.983 with masks (docs/studies).
_BY_EVIDENCE = {"sprites-mot"}
_MODELS: dict[str, dict[str, Any]] = {
    # 21/2 px ± 10 %, aspect ± 20 %.
    "sprites-mot": {**_THREE, **_COLOURED, **_SHARP, **_ORDERED, "object_size": 10.5, "aspect_range": 0.3},
    # The box of a digit is that of its whole picture, 28/2 px.
    "mnist-mot": {**_THREE, "object_size": 10.0, "box_margin": 1.4, "size_range": 0.05, "aspect_range": 0.05},
    # Boxes of 5.3 to 21 px, and ellipses that turn.
    "multi-dsprites": {
        **_THREE,
        **_COLOURED,
        **_SHARP,
        **_ORDERED,
        "object_size": 10.7,
        "size_range": 0.6,
        "aspect_range": 0.7,
        "background": "moving",
        "colour_start": True,
    },
    "balls": {**_COLOURED, **_ORDERED, "slots": 22, "first_shortlist": 22, "shortlist": 10, "object_size": 10.0},
}
