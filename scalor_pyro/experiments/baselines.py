"""The baselines by name: how each is built, scored, and trained on a row of the paper's tables."""

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

# Of whole frames: single ones first, while there is most to learn of them. A step has as many frames in each stage.
CURRICULUM = (Stage(0.6, 1, 32), Stage(1.0, 8, 4))
FRAMES_TRAIN = TrainConfig(steps=4000, curriculum=CURRICULUM)


class Baseline(NamedTuple):
    """One of the models that SCALOR is compared with."""

    run: type[BaselineRun]  # its config
    build: Callable[[Any], Any]  # the program, of the model's config
    assessment: Assessment
    configure: Callable[[DataConfig], BaselineRun]  # the run on some videos


def _vrnn(data: DataConfig) -> VRNNRun:
    return VRNNRun(data=data, train=FRAMES_TRAIN)


def _sequential_vae(data: DataConfig) -> SequentialVAERun:
    return SequentialVAERun(data=data, train=FRAMES_TRAIN)


# SQAIR learns to count and to find in single frames, then to follow.
SQAIR_CURRICULUM = (Stage(0.35, 1, 32), Stage(0.65, 2, 16), Stage(0.9, 4, 8), Stage(1.0, 8, 4))
# A discovery costs 37 nats in the end. At σ = 0.5, a digit that is half inside the view is worth about 190 a frame.
SQAIR_DISCOVERY = Schedule(((30, 0.1), (130, 1e-16)), log=True)


def _sqair(data: DataConfig) -> SQAIRRun:
    """As many slots as there can be objects."""
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
    :raises ConfigError: for another name, and for videos that there are not.
    """
    if name not in BASELINES:
        raise ConfigError(f"The baseline is {name!r}, but one of {', '.join(BASELINES)} was expected.")
    return BASELINES[name].configure(preset(objects, density, background).data)


def setting_of(config: BaselineRun) -> str | None:
    """The name of what a run was trained as, whatever its budget: the baseline's, and that of the preset whose videos
    it has (``vrnn-digits-vld``); None if it is none of these.
    """
    for setting, make in PRESETS.items():
        data = replace(make().data, digits=config.data.digits)
        for name, known in BASELINES.items():
            if type(config) is not known.run or config.data != data:
                continue
            if same_but_for_budget(config, known.configure(data)):
                return f"{name}-{setting}"
    return None
