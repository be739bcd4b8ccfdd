"""The baselines by name: how to build, score and train each of them for a row of the paper's tables."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from scalor_pyro.baselines.sequential_vae import SequentialVAE
from scalor_pyro.baselines.sqair import SQAIR
from scalor_pyro.baselines.vrnn import VRNN
from scalor_pyro.config import ConfigError, DataConfig, Schedule, Stage, TrainConfig
from scalor_pyro.config.baselines import BaselineRun, SequentialVAERun, SQAIRConfig, SQAIRRun, VRNNRun
from scalor_pyro.config.presets import PRESETS, preset, same_but_for_budget
from scalor_pyro.experiments.assessment import Frames
from scalor_pyro.experiments.synthetic import TRACKING, Assessment

# For models of whole frames: single frames first. A step has the same number of frames in each stage.
CURRICULUM = (Stage(0.6, 1, 32), Stage(1.0, 8, 4))
FRAMES_TRAIN = TrainConfig(steps=4000, curriculum=CURRICULUM)


class Baseline(NamedTuple):
    """A model that SCALOR is compared with."""

    run: type[BaselineRun]  # its config
    build: Callable[[Any], Any]  # makes the program from the model's config
    assessment: Assessment
    configure: Callable[[DataConfig], BaselineRun]  # the run on given videos


def _vrnn(data: DataConfig) -> VRNNRun:
    return VRNNRun(data=data, train=FRAMES_TRAIN)


def _sequential_vae(data: DataConfig) -> SequentialVAERun:
    return SequentialVAERun(data=data, train=FRAMES_TRAIN)


# SQAIR learns to count and find objects in single frames, then to follow them.
SQAIR_CURRICULUM = (Stage(0.35, 1, 32), Stage(0.65, 2, 16), Stage(0.9, 4, 8), Stage(1.0, 8, 4))
# At the end a discovery costs 37 nats; at σ = 0.5, a digit that is half in view is worth about 190 nats per frame.
SQAIR_DISCOVERY = Schedule(((30, 0.1), (130, 1e-16)), log=True)


def _sqair(data: DataConfig) -> SQAIRRun:
    """With one slot for each possible object."""
    model = SQAIRConfig(slots=data.count_max, object_size=data.object_size)
    train = TrainConfig(
        steps=1200,
        curriculum=SQAIR_CURRICULUM,
        learning_rate=2e-3,
        temperature=Schedule(((0, 0.8), (300, 0.5))),
        discovery_prior=SQAIR_DISCOVERY,
    )
    return SQAIRRun(data=data, model=model, train=train)


BASELINES: dict[str, Baseline] = {
    "vrnn": Baseline(VRNNRun, VRNN, Frames(), _vrnn),
    "sequential-vae": Baseline(SequentialVAERun, SequentialVAE, Frames(), _sequential_vae),
    "sqair": Baseline(SQAIRRun, SQAIR, TRACKING, _sqair),
}


def baseline(name: str, objects: str = "digits", density: str = "VLD", background: bool = False) -> BaselineRun:
    """A baseline on the videos of :func:`scalor_pyro.config.presets.preset`.

    :param name: 'vrnn', 'sequential-vae' or 'sqair'.
    :raises ConfigError: for another name, or unknown videos.
    """
    if name not in BASELINES:
        raise ConfigError(f"baseline: expected one of {', '.join(BASELINES)}, got {name!r}.")
    return BASELINES[name].configure(preset(objects, density, background).data)


def setting_of(config: BaselineRun) -> str | None:
    """The name of a run's setting, whatever its budget: the baseline's name and that of the preset with its videos
    (``vrnn-digits-vld``); None if there is no such setting.
    """
    for setting, make in PRESETS.items():
        data = replace(make().data, digits=config.data.digits)
        for name, known in BASELINES.items():
            if type(config) is not known.run or config.data != data:
                continue
            if same_but_for_budget(config, known.configure(data)):
                return f"{name}-{setting}"
    return None
