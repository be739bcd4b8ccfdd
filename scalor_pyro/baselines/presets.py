"""The baselines by name: how each is built, scored, and trained on a row of the paper's tables."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from scalor_pyro.baselines.assessment import Frames
from scalor_pyro.baselines.config import BaselineRun, SequentialVAERun, SQAIRConfig, SQAIRRun, VRNNRun
from scalor_pyro.baselines.sequential_vae import SequentialVAE
from scalor_pyro.baselines.sqair import SQAIR
from scalor_pyro.baselines.vrnn import VRNN
from scalor_pyro.config import ConfigError, DataConfig, Stage, TrainConfig
from scalor_pyro.experiment import TRACKING, Assessment
from scalor_pyro.presets import PRESETS, preset, same_but_for_budget

# Of whole frames: many short videos first, while there is most to learn of single frames.
CURRICULUM = (Stage(0.7, 2, 32), Stage(1.0, 8, 8))


class Baseline(NamedTuple):
    """One of the models that SCALOR is compared with."""

    run: type[BaselineRun]  # its config
    build: Callable[[Any], Any]  # the program, of the model's config
    assessment: Assessment
    configure: Callable[[DataConfig], BaselineRun]  # the run on some videos


def _vrnn(data: DataConfig) -> VRNNRun:
    return VRNNRun(data=data, train=TrainConfig(steps=800, curriculum=CURRICULUM))


def _sequential_vae(data: DataConfig) -> SequentialVAERun:
    return SequentialVAERun(data=data, train=TrainConfig(steps=900, curriculum=CURRICULUM))


def _sqair(data: DataConfig) -> SQAIRRun:
    """As many slots as there can be objects; most of the budget goes to single frames, until it has learned to look."""
    model = SQAIRConfig(slots=data.count_max, object_size=data.object_size)
    stages = (Stage(0.68, 1, 64), Stage(0.86, 2, 32), Stage(1.0, 4, 16))
    return SQAIRRun(data=data, model=model, train=TrainConfig(steps=2200, curriculum=stages, decay_from=0.8))


BASELINES: dict[str, Baseline] = {
    "vrnn": Baseline(VRNNRun, VRNN, Frames(), _vrnn),
    "sequential-vae": Baseline(SequentialVAERun, SequentialVAE, Frames(), _sequential_vae),
    "sqair": Baseline(SQAIRRun, SQAIR, TRACKING, _sqair),
}


def baseline(name: str, objects: str = "digits", density: str = "VLD", background: bool = False) -> BaselineRun:
    """A baseline on the videos of :func:`scalor_pyro.presets.preset`.

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
